//! The forms in which the trail is handed out (audit §6).
//!
//! One event is one line in each of them, whatever the caller has sent: what would break a line, steer a terminal, reorder or
//! hide text, separate fields or begin a formula comes out inert, and what was there can be read back.
//!
//! | form | how a character comes out that must not stand there |
//! |---|---|
//! | `jsonl`, `ocsf` | `\uXXXX`, as JSON has it: the same value for every reader |
//! | `cef` | extension: `\\`, `\=`, `\r`, `\n`; header: `\\`, `\|`; what CEF has no escape for is `\uXXXX` *before* that, so `\\uXXXX` in the line |
//! | `csv` | quotes of RFC 4180, `\uXXXX`, and a `'` in front of a formula |
//!
//! `\uXXXX` stands for UTF-16 code units, as in JSON. In `cef` and `csv` a backslash itself is only written so (`\u005C`) where the
//! text would be taken for such an escape; any other stays, so that user agents read as the trail keeps them.

use std::{fmt, str::FromStr};

use crate::record::Record;

mod cef;
mod csv;
mod inert;
mod jsonl;
mod meaning;
mod ocsf;

/// Who makes the service, for forms that ask.
const VENDOR: &str = "StatusPulse";
/// What the service is called, for forms that ask.
const PRODUCT: &str = "Auth";
/// The release that writes; all crates of the workspace have one version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A form of export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One JSON object a line with everything that is known: what `audit verify` reads.
    Jsonl,
    /// Open Cybersecurity Schema Framework 1.3.0, one JSON object a line.
    Ocsf,
    /// Common Event Format, version 0.
    Cef,
    /// RFC 4180, with a header line; for spreadsheets.
    Csv,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Jsonl, Self::Ocsf, Self::Cef, Self::Csv];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Ocsf => "ocsf",
            Self::Cef => "cef",
            Self::Csv => "csv",
        }
    }

    /// The media type of an export (`text/csv`: RFC 4180 §3).
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Jsonl | Self::Ocsf => "application/x-ndjson",
            Self::Cef => "text/plain; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// The line in front of the first event, with its end; only `csv` has one.
    #[must_use]
    pub fn header(self) -> Option<String> {
        match self {
            Self::Csv => Some(csv::header()),
            Self::Jsonl | Self::Ocsf | Self::Cef => None,
        }
    }

    /// Appends the record as exactly one line, with its end (CRLF in `csv`, LF in the others).
    ///
    /// # Errors
    /// When the record has no such form; `out` is then as it was.
    pub fn write(self, record: &Record, out: &mut Vec<u8>) -> Result<(), ExportError> {
        let before = out.len();
        let written = match self {
            Self::Jsonl => jsonl::write(record, out).map_err(Cause::Json),
            Self::Ocsf => ocsf::write(record, out).map_err(Cause::Json),
            Self::Cef => cef::write(record, out).map_err(Cause::Json),
            Self::Csv => csv::write(record, out),
        };
        written.map_err(|cause| {
            // Half a line would be read together with the next one.
            out.truncate(before);
            ExportError { format: self, id: record.entry.id, cause }
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no form of export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{0}`: use jsonl, ocsf, cef or csv")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

/// A record that can't be written in a form.
#[derive(Debug, thiserror::Error)]
#[error("event `{id}` can't be written as {format}")]
pub struct ExportError {
    format: Format,
    id: uuid::Uuid,
    #[source]
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Json(serde_json::Error),
    #[error(transparent)]
    Csv(::csv::Error),
}

#[cfg(test)]
mod tests;
