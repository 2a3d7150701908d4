use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use serde::Serialize;
use statuspulse_app::audit::export::{self, Export};
use statuspulse_audit::export::Format;

use super::{FilterArgs, drained};
use crate::{commands::Context, error::CliError, file::Draft, output};

/// How often the progress is told.
const TOLD: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// `jsonl` has everything and is what `audit verify` reads.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Format::ALL.map(Format::as_str)))]
    format: String,
    #[command(flatten)]
    filter: FilterArgs,
    /// Write to a file, which is there as a whole or not at all [default: standard output].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on behind this event, the last one that arrived of an export that broke off.
    #[arg(long, value_name = "EVENT_ID")]
    after: Option<String>,
}

#[derive(Serialize)]
struct Written {
    events: u64,
    file: String,
}

impl ExportArgs {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let format: Format = self.format.parse().map_err(|error| CliError::Usage(format!("{error}")))?;
        let (access, filter) = self.filter.read(context).await?;
        // Before anything is written, so that a folder that isn't there is told at once.
        let draft = self.output.map(Draft::create).transpose().map_err(failed)?;
        drained(context).await?;
        let after = match &self.after {
            Some(event) => Some(export::behind(&context.app, access.as_ref(), event).await?),
            None => None,
        };
        let mut export = export::begin(&context.app, &context.caller, access.as_ref(), format, filter, after).await?;
        match draft {
            Some(draft) => to_file(context, &mut export, draft).await,
            None => to_stdout(&mut export).await,
        }
    }
}

fn failed(source: io::Error) -> CliError {
    CliError::Io { what: "the export can't be written", source }
}

async fn to_file(context: &Context, export: &mut Export, mut draft: Draft) -> Result<(), CliError> {
    let mut progress = Progress::new();
    while let Some(chunk) = export.next().await? {
        draft.write(&chunk.bytes).map_err(failed)?;
        progress.tell(export.events());
    }
    let path = draft.finish().map_err(failed)?;
    progress.end();
    let written = Written { events: export.events(), file: path.display().to_string() };
    context.output.answer(&written, |_| String::new())?;
    context.output.note(&format!("{} events are in `{}`", written.events, written.file));
    Ok(())
}

async fn to_stdout(export: &mut Export) -> Result<(), CliError> {
    // On a terminal the events themselves show how far it is.
    let mut progress = if io::stdout().is_terminal() { Progress::silent() } else { Progress::new() };
    while let Some(chunk) = export.next().await? {
        match output::write(chunk.bytes).await {
            Ok(()) => progress.tell(export.events()),
            // Whoever read has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            Err(error) => return Err(failed(error)),
        }
    }
    progress.end();
    Ok(())
}

/// How far it is, on a terminal.
pub(in crate::commands) struct Progress {
    shown: bool,
    told: Option<Instant>,
}

impl Progress {
    pub(in crate::commands) fn new() -> Self {
        Self { shown: io::stderr().is_terminal(), told: None }
    }

    fn silent() -> Self {
        Self { shown: false, told: None }
    }

    pub(in crate::commands) fn tell(&mut self, events: u64) {
        if self.shown && self.told.is_none_or(|told| told.elapsed() >= TOLD) {
            self.told = Some(Instant::now());
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "\r{events} events").and_then(|()| stderr.flush());
        }
    }

    pub(in crate::commands) fn end(&mut self) {
        if self.told.take().is_some() {
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "\r\u{1b}[K").and_then(|()| stderr.flush());
        }
    }
}
