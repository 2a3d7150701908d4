//! The server of StatusPulse Auth: the REST API, and the judgement of calls for gateways.

mod assets;
pub mod config;
mod http;
mod openapi;
mod pages;
mod reload;
mod routes;
mod seed;
mod server;
mod state;
mod telemetry;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use config::{Cli, Command};
use server::tell;
use statuspulse_app::boot;

pub use http::headers::REQUEST_ID;
pub use openapi::document as openapi_document;
pub use routes::{ROUTES, Route, Who};
pub use server::{Running, ServeError, service, start};
pub use state::{Outgoing, State};

/// Runs the program: exit code 0 after an orderly stop, 1 when the server can't run, 2 for a bad configuration.
pub async fn run() -> ExitCode {
    if let Err(error) = boot::check_environment() {
        tell(&format!("error: {error}"));
        return ExitCode::from(2);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors and go to standard output.
            let code = if error.use_stderr() { 2 } else { 0 };
            return match error.print() {
                Ok(()) => ExitCode::from(code),
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    match cli.command.unwrap_or(Command::Serve) {
        Command::Openapi => match openapi::document().to_pretty_json() {
            Ok(text) => match writeln!(io::stdout().lock(), "{text}") {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            },
            Err(error) => {
                tell(&format!("error: {error}"));
                ExitCode::FAILURE
            }
        },
        Command::Serve => match server::serve(cli.options).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tell(&format!("error: {error}"));
                if error.is_configuration() { ExitCode::from(2) } else { ExitCode::FAILURE }
            }
        },
    }
}
