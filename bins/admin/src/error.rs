//! Why a command was not carried out, as it is told and as an exit code.

use std::{fmt::Write as _, io};

use serde_json::Value;
use statuspulse_app::{
    AppError,
    boot::{BootError, ConfigError},
};
use statuspulse_audit::{redact::redact, verify::Verdict};

use crate::output::{escaped, readable};

#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Wrong usage that only shows outside of the arguments themselves.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Boot(#[from] BootError),
    #[error(transparent)]
    App(#[from] AppError),
    #[error("{what}: {source}")]
    Io { what: &'static str, source: io::Error },
    /// The change is made; its answer is written already.
    #[error("{0} instances have not acknowledged the change in time; they refuse keys when they stay away")]
    Pending(usize),
    /// The trail is not whole; the answer that says where is written already.
    #[error("the audit trail is {}", if *.0 == Verdict::Tampered { "tampered with" } else { "incomplete" })]
    Verdict(Verdict),
    /// A proof that proves nothing.
    #[error("nothing is proven: {0}")]
    Unproven(String),
    /// A report that is not the one that was signed; the answer that says where is written already.
    #[error("the report is not the one that was signed: {0}")]
    Unsealed(String),
    /// What failed is in the answer, which is written already.
    #[error("{0} of the checks failed")]
    Unwell(usize),
    #[error("nothing was changed")]
    Declined,
    #[error("interrupted; a change that was under way is made whole or not at all")]
    Interrupted,
}

impl CliError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) | Self::Boot(BootError::Config(_)) => 2,
            Self::App(error) => match error.status() {
                400 => 2,
                404 => 3,
                500.. | 429 => 1,
                _ => 4,
            },
            Self::Verdict(verdict) => verdict.exit_code(),
            Self::Unproven(_) | Self::Unsealed(_) => Verdict::Tampered.exit_code(),
            Self::Boot(_)
            | Self::Io { .. }
            | Self::Pending(_)
            | Self::Unwell(_)
            | Self::Declined
            | Self::Interrupted => 1,
        }
    }

    /// A stable word.
    fn code(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage",
            Self::Config(_) | Self::Boot(BootError::Config(_)) => "configuration",
            Self::Boot(_) => "start",
            Self::App(error) => error.code(),
            Self::Io { .. } => "io",
            Self::Pending(_) => "pending",
            Self::Verdict(Verdict::Tampered) | Self::Unproven(_) | Self::Unsealed(_) => "tampered",
            Self::Verdict(_) => "incomplete",
            Self::Unwell(_) => "unwell",
            Self::Declined => "declined",
            Self::Interrupted => "interrupted",
        }
    }

    /// One line, then one for each field or fact. Never ends with a line break.
    pub(crate) fn text(&self) -> String {
        let mut lines = Vec::new();
        let headline = match self {
            Self::App(AppError::Invalid(fields)) => {
                lines.extend(fields.iter().map(|wrong| format!("{}: {} [{}]", wrong.field, wrong.detail, wrong.code)));
                let (noun, verb) = if fields.len() == 1 { ("field", "is") } else { ("fields", "are") };
                format!("{} {noun} of what was asked {verb} refused", fields.len())
            }
            Self::App(AppError::Conflict { detail, facts, .. }) => {
                for (name, fact) in facts {
                    match fact {
                        Value::Array(items) => {
                            lines.extend(items.iter().map(|item| format!("{name}: {}", readable(item))));
                        }
                        single => lines.push(format!("{name}: {}", readable(single))),
                    }
                }
                detail.clone()
            }
            // An operator is who reads the log.
            Self::App(error @ (AppError::Unavailable { cause } | AppError::Internal { cause })) => {
                lines.push(format!("cause: {cause}"));
                error.to_string()
            }
            other => other.to_string(),
        };
        let mut text = format!("error[{}]: {}", self.code(), escaped(&headline));
        for line in lines {
            let _ = write!(text, "\n  {}", escaped(&line));
        }
        redact(&text).into_owned()
    }
}
