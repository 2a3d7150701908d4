//! Evidence for an audit: a sealed folder that its reader can check without us.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
};

use askama::Template as _;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;
use statuspulse_app::report::{self, Step};
use statuspulse_audit::{
    report::{FileEntry, MANIFEST, Period, Release, SIGNATURE},
    verify::Verdict,
};

use super::{Context, parse_moment};
use crate::{error::CliError, output::Output};

mod check;
mod folder;
mod page;

use self::{folder::Folder, page::Page};

/// The report for people.
const HTML: &str = "report.html";
/// The report for programs.
const JSON: &str = "report.json";

#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Write the evidence for a SOC 2 audit: a folder with `report.html`, `report.json` and a signed manifest.
    ///
    /// Exit code 10 or 11 where the audit trail of the period is not whole: the report is written all the same, and says so.
    Soc2(Soc2Args),
    /// Check that a report is as it was signed; needs nothing but its folder. Exit code 0 whole, 10 when something differs.
    Check(check::CheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct Soc2Args {
    /// Slug of the organization.
    #[arg(long)]
    org: String,
    /// First moment of the period, such as `2030-01-01T00:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    from: DateTime<Utc>,
    /// The moment behind its end; not in the future.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    to: DateTime<Utc>,
    /// The folder; one that holds something is refused [default: `soc2-ORG-FROM-TO` in the current one].
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Written {
    folder: String,
    files: Vec<&'static str>,
    verdict: Verdict,
}

impl ReportCommand {
    pub(crate) fn prepare(&self) -> Result<(), CliError> {
        match self {
            // What is wrong by itself is told before a database is opened.
            Self::Soc2(args) => Ok(report::period(args.from, args.to, Utc::now()).map(drop)?),
            Self::Check(_) => Ok(()),
        }
    }

    /// Carries out what needs nothing but files; none for everything else.
    pub(crate) fn offline(&self, output: Output) -> Option<Result<(), CliError>> {
        match self {
            Self::Soc2(_) => None,
            Self::Check(args) => Some(args.run(output)),
        }
    }

    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::Soc2(args) => args.run(context).await,
            Self::Check(args) => args.run(context.output),
        }
    }
}

impl Soc2Args {
    async fn run(self, context: &Context) -> Result<(), CliError> {
        let app = &context.app;
        let access = context.access(&self.org).await?;
        let period = report::period(self.from, self.to, app.env.now())?;
        let path = self.output.unwrap_or_else(|| default_folder(&self.org, period));
        // Before anything long is done, so that a folder that can't serve is told at once.
        let mut folder = Folder::create(path)?;
        let release =
            Release { program: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let mut progress = Progress::new();
        let gathered = report::gather(app, &context.caller, &access, period, release, |step| progress.tell(step)).await;
        progress.end();
        let report = gathered?;
        let failed = |source: io::Error| CliError::Io { what: "the report can't be written", source };
        let html = Page::new(&report).render().map_err(|error| failed(io::Error::other(error)))?;
        let mut json = serde_json::to_string_pretty(&report).map_err(|error| failed(error.into()))?;
        json.push('\n');
        let contents = [(HTML, html.as_bytes()), (JSON, json.as_bytes())];
        let entries = contents.iter().map(|(name, content)| FileEntry::of(name, content)).collect();
        let sealed = report::seal(app, &report, entries).await?;
        // The signature is the last one: without it, what a crash has left can't be taken for a report.
        let sealing = [(MANIFEST, sealed.manifest.as_slice()), (SIGNATURE, sealed.signature.as_slice())];
        for (name, content) in contents.into_iter().chain(sealing) {
            folder.write(name, content).map_err(failed)?;
        }
        let path = folder.finish();
        let verdict = report.trail.report.verdict;
        let files = vec![HTML, JSON, MANIFEST, SIGNATURE];
        let written = Written { folder: path.display().to_string(), files, verdict };
        context.output.answer(&written, |_| String::new())?;
        context.output.note(&format!("the report is in `{}`", path.display()));
        if !report.trail.drained {
            context.output.note("warning[not_drained]: events still wait for the table; the report is without them");
        }
        match verdict {
            Verdict::Whole => Ok(()),
            verdict => Err(CliError::Verdict(verdict)),
        }
    }
}

fn default_folder(org: &str, period: Period) -> PathBuf {
    let named = |at: DateTime<Utc>| {
        // A day that begins needs no time; what separates hours elsewhere is no letter of a file's name everywhere.
        let form = if at.time() == chrono::NaiveTime::MIN { "%Y-%m-%d" } else { "%Y-%m-%dT%H%M%SZ" };
        at.format(form).to_string()
    };
    PathBuf::from(format!("soc2-{org}-{}-{}", named(period.from), named(period.to)))
}

/// What is being done, on a terminal.
struct Progress {
    shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self { shown: io::stderr().is_terminal() }
    }

    fn tell(&mut self, step: Step) {
        let text = match step {
            Step::Drain => "bringing what waits into the trail …",
            Step::Read => "reading the tables …",
            Step::Verify => "verifying the trail …",
        };
        self.write(&format!("\r\u{1b}[K{text}"));
    }

    fn end(&mut self) {
        self.write("\r\u{1b}[K");
    }

    fn write(&mut self, text: &str) {
        if self.shown {
            let mut stderr = io::stderr().lock();
            let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_by_days_and_by_times_where_they_matter() {
        let at = |text: &str| parse_moment(text).unwrap();
        let names =
            [("2030-01-01T00:00:00Z", "2030-02-01T00:00:00Z"), ("2030-01-01T06:30:00Z", "2030-02-01T00:00:00Z")]
                .map(|(from, to)| default_folder("acme", Period { from: at(from), to: at(to) }).display().to_string());
        assert_eq!(names, ["soc2-acme-2030-01-01-2030-02-01", "soc2-acme-2030-01-01T063000Z-2030-02-01"]);
    }
}
