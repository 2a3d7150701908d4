//! The operators' command line of StatusPulse Auth. It can do nothing that the use cases of `statuspulse-app` don't do,
//! and each of its changes is in the audit trail under the name of the operator's account.

mod cli;
mod commands;
mod config;
mod error;
mod file;
mod output;
mod prompt;
mod run;
mod telemetry;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    run::run().await
}
