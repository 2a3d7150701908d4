use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use statuspulse_app::audit::verify::{self, Question};
use statuspulse_audit::verify::{Finding, Reason, Report, Verdict};

use super::{drained, read_public_keys};
use crate::{
    commands::{Context, parse_moment},
    error::CliError,
    output::Output,
};

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Only events from this moment on; what is missing before and behind is no matter then.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    from: Option<DateTime<Utc>>,
    /// Only events before this moment.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    to: Option<DateTime<Utc>>,
    /// Checkpoints that were held elsewhere, one a line; with `--jsonl` all of them in order.
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// The public key, got from elsewhere; several of them, oldest first, where it was changed.
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// An export of the form `jsonl` in place of the tables.
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// The export is one of an organization or otherwise narrowed: that events are missing is no matter.
    #[arg(long, requires = "jsonl")]
    partial: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// Whether nothing waited for the table when it was looked at; none of an export.
    #[serde(skip_serializing_if = "Option::is_none")]
    drained: Option<bool>,
}

impl VerifyArgs {
    fn question(&self) -> Result<Question, CliError> {
        Ok(Question {
            from: self.from,
            to: self.to,
            copy: self.checkpoints.clone(),
            keys: self.public_key.as_deref().map(read_public_keys).transpose()?.unwrap_or_default(),
            partial: self.partial,
        })
    }

    /// Over an export: without configuration, database and data directory.
    pub(super) fn offline(&self, output: Output) -> Option<Result<(), CliError>> {
        let file = self.jsonl.as_deref()?;
        let verify = || {
            if self.checkpoints.is_some() && self.public_key.is_none() {
                let text = "--checkpoints with --jsonl needs --public-key: nothing else says who may sign them";
                return Err(CliError::Usage(text.to_owned()));
            }
            let report = verify::export(file, &self.question()?, Utc::now())?;
            self.tell(output, &report, None)
        };
        Some(verify())
    }

    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let question = self.question()?;
        let drained = drained(context).await?;
        let report = verify::database(&context.app, &question, drained).await?;
        self.tell(context.output, &report, Some(drained))
    }

    fn tell(&self, output: Output, report: &Report, drained: Option<bool>) -> Result<(), CliError> {
        output.answer(&Answer { report, drained }, |_| self.summary(report, drained))?;
        match report.verdict {
            Verdict::Whole => Ok(()),
            verdict => Err(CliError::Verdict(verdict)),
        }
    }

    /// What was looked at, what nobody vouches for, what was found.
    fn summary(&self, report: &Report, drained: Option<bool>) -> String {
        let mut lines = Vec::new();
        let part =
            if self.partial || self.from.is_some() || self.to.is_some() { " of a part of the trail" } else { "" };
        lines.push(match report.verdict {
            Verdict::Whole => format!("whole: {} events{part}, nothing contradicts", report.events),
            Verdict::Tampered => format!("TAMPERED: {} events{part} were read", report.events),
            Verdict::Incomplete => format!("INCOMPLETE: what is there is right, {} events{part}", report.events),
        });
        if let Some(finding) = &report.first_bad {
            lines.push(format!("first contradiction: {}", words(finding)));
        }
        if let Some(finding) = &report.incomplete {
            lines.push(format!("missing: {}", words(finding)));
        }
        if drained == Some(false) {
            lines.push("missing: events that still wait in the outbox or in a spool".to_owned());
        }
        lines.push(match (report.checkpoints, self.public_key.is_some()) {
            (0, _) => {
                "no checkpoint was looked at: that the newest events were cut off, or all written anew, would not show"
                    .to_owned()
            }
            (number, true) => format!("{number} checkpoints, signed by the key that was given"),
            (number, false) => {
                format!("{number} checkpoints, signed by the database's own key: give --public-key to rely on one that you hold")
            }
        });
        if self.checkpoints.is_none() && self.jsonl.is_none() {
            lines.push(
                "no copy from elsewhere was compared: give --checkpoints against somebody who has the database and its key"
                    .to_owned(),
            );
        }
        if report.uncovered > 0 {
            lines.push(format!(
                "{} events are newer than every checkpoint: nobody vouches for them yet",
                report.uncovered
            ));
        }
        if report.unaddressed > 0 {
            let told = if part.is_empty() { ", as events of erasure say" } else { "" };
            lines.push(format!("{} events had their address or user agent erased{told}", report.unaddressed));
        }
        lines.join("\n")
    }
}

/// A finding in words.
pub(in crate::commands) fn words(finding: &Finding) -> String {
    let event = match (finding.stream, finding.sequence) {
        (Some(stream), Some(sequence)) => format!("event {sequence} of stream {stream}"),
        _ => "an event".to_owned(),
    };
    let checkpoint =
        finding.checkpoint.map_or_else(|| "a checkpoint".to_owned(), |number| format!("checkpoint {number}"));
    let day = finding.day.map_or_else(|| "a day".to_owned(), |day| format!("the day {day}"));
    match finding.reason {
        Reason::Changed => format!("{event} was changed: what it says does not give its digest"),
        Reason::Unlinked => format!("{event} does not follow the one before it"),
        Reason::Repeated => format!("{event} is there a second time"),
        Reason::Missing => format!("{event} is gone, though later ones are there"),
        Reason::Commitment => format!("{event} has another address or user agent than was written"),
        Reason::ErasedWithoutEvent => {
            format!("{event} lost its address or user agent, and no event says who erased it")
        }
        Reason::UnknownStream => format!("{event} belongs to a stream that no checkpoint knows"),
        Reason::Forged => format!("{event} was written by nobody who writes this trail"),
        Reason::HeadDiffers => format!("{event} is not the one that {checkpoint} vouches for"),
        Reason::RootDiffers => format!("the events of {checkpoint} are not those that it vouches for"),
        Reason::SealDiffers => format!("{day} does not hold what was sealed"),
        Reason::CheckpointKey => format!("{checkpoint} is not signed by a key that may sign it"),
        Reason::CheckpointSignature => format!("{checkpoint} was changed: its signature does not fit"),
        Reason::CheckpointRotation => format!("{checkpoint} hands over to a key that has not signed it"),
        Reason::CheckpointNumber => format!("{checkpoint} does not have the next number: one is gone or there twice"),
        Reason::CheckpointPrevious => format!("{checkpoint} does not follow the one before it"),
        Reason::CheckpointExchanged => format!("{checkpoint} is another one than the copy that was held elsewhere"),
        Reason::CheckpointMalformed => format!("{checkpoint} has not the form of one"),
        Reason::Truncated => {
            format!("{event} and what came behind it: a checkpoint or the head of the stream knows of them")
        }
        Reason::CheckpointsEnd => format!("{checkpoint} is held elsewhere, and the trail ends before it"),
        Reason::DayUnsealed => format!("{day} is gone, and no checkpoint seals what it held"),
    }
}
