//! From arguments to an exit code.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    sync::Arc,
};

use clap::Parser as _;
use nix::unistd::{User, getuid};
use statuspulse_app::{
    Caller, Env,
    boot::{self, Instance, Start},
};
use statuspulse_audit::redact::redact;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::{Cli, Command},
    commands::{Context, doctor},
    config::Config,
    error::CliError,
    output::{Output, tell},
};

/// Runs the program.
pub(crate) async fn run() -> ExitCode {
    if let Err(error) = boot::check_environment() {
        tell(&CliError::from(error).text());
        return ExitCode::from(2);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match carry_out(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error.text());
            ExitCode::from(error.exit_code())
        }
    }
}

/// Help, version, or what is wrong with the arguments. They may hold a token that was given where an id is wanted.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Help and version go to standard output.
        let printed = error.print();
        return if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let text = if std::env::args_os().any(|argument| argument == "--json") {
        let whole = error.render().to_string();
        let head: Vec<&str> = whole.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
        head.join(" ")
    } else if io::stderr().is_terminal() {
        error.render().ansi().to_string()
    } else {
        error.render().to_string()
    };
    tell(redact(&text).trim_end());
    ExitCode::from(2)
}

async fn carry_out(cli: Cli) -> Result<(), CliError> {
    let Cli { json, config, mut command } = cli;
    let output = Output { json };
    if let Some(done) = command.offline(output) {
        return done;
    }
    let Config { settings, public_url } = config.read()?;
    command.prepare()?;
    let failed = |source| CliError::Io { what: "the start can't be carried out", source };
    let opening = boot::open(settings, Env::system(), command.purpose());
    let signals = signals()?;
    let Instance { app, migrated, resources } = match boot::until_stopped(opening, signals).await.map_err(failed)? {
        Start::Done(Err(error)) if matches!(command, Command::Doctor) => return doctor::unopened(output, &error),
        Start::Done(opened) => opened?,
        Start::Stopped(opened) => {
            if let Some(Ok(instance)) = opened {
                instance.resources.close().await?;
            }
            return Err(CliError::Interrupted);
        }
    };
    let caller = Caller::operator(&app, &operator());
    let context = Context { caller, app: Arc::new(app), public_url, migrated, output };
    let done = until_interrupted(command, &context).await;
    drop(context);
    let closed = resources.close().await;
    // What went wrong first is what is told.
    done?;
    Ok(closed?)
}

async fn until_interrupted(command: Command, context: &Context) -> Result<(), CliError> {
    let signals = signals()?;
    let interrupted = if command.ends_by_interruption() { Ok(()) } else { Err(CliError::Interrupted) };
    tokio::select! {
        done = command.run(context) => done,
        () = signals => interrupted,
    }
}

/// Ends when a signal says to stop.
fn signals() -> Result<impl Future<Output = ()>, CliError> {
    let failed = |source| CliError::Io { what: "can't wait for signals", source };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The name under which changes stand in the audit trail: that of the account on this machine.
fn operator() -> String {
    let account = User::from_uid(getuid()).ok().flatten().map(|user| user.name);
    account
        .or_else(|| std::env::var("USER").ok().filter(|name| !name.is_empty()))
        .unwrap_or_else(|| format!("uid {}", getuid()))
}
