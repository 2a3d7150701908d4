//! The commands, one module a noun.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use clap::builder::PossibleValuesParser;
use statuspulse_app::{App, AppError, Caller, boot, caller::Access, organizations};
use statuspulse_policy::Environment;

use crate::output::Output;

pub(crate) mod alert;
pub(crate) mod app;
pub(crate) mod audit;
pub(crate) mod doctor;
pub(crate) mod grant;
pub(crate) mod key;
pub(crate) mod leak;
pub(crate) mod migrate;
pub(crate) mod org;
pub(crate) mod pepper;
pub(crate) mod report;
pub(crate) mod settings;
pub(crate) mod signing_key;
pub(crate) mod user;

/// What every command works with.
pub(crate) struct Context {
    pub(crate) app: Arc<App>,
    pub(crate) caller: Caller,
    /// The server's URL.
    pub(crate) public_url: String,
    /// Steps that were applied to the database when it was opened.
    pub(crate) migrated: Vec<String>,
    pub(crate) output: Output,
}

impl Context {
    /// The operator's access to an organization.
    pub(crate) async fn access(&self, slug: &str) -> Result<Access, AppError> {
        let mut conn = self.app.conn().await?;
        organizations::access(&mut conn, &self.caller, slug).await
    }
}

/// A list that has no pages.
#[derive(serde::Serialize)]
pub(crate) struct Items<T> {
    pub(crate) items: Vec<T>,
}

/// The environments by name.
fn environments() -> PossibleValuesParser {
    PossibleValuesParser::new(Environment::ALL.map(Environment::as_str))
}

fn parse_span(text: &str) -> Result<Duration, String> {
    boot::parse_duration(text).ok_or_else(|| "a span of time such as `5s`, `30m`, `24h` or `7d` is wanted".to_owned())
}

fn parse_moment(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|moment| moment.to_utc())
        .map_err(|_| "a moment such as `2030-01-31T12:00:00Z` is wanted".to_owned())
}

/// A wait for all instances.
fn parse_wait(text: &str) -> Result<Duration, String> {
    parse_span(text)
        .ok()
        .filter(|wait| *wait <= Duration::from_secs(30))
        .ok_or_else(|| "a wait of `0s` to `30s` is wanted".to_owned())
}

/// Whole days: a lifespan is counted in them.
fn parse_days(text: &str) -> Result<i64, String> {
    const DAY: u64 = 86_400;
    let span = parse_span(text).map_err(|_| "a number of days such as `90d` is wanted".to_owned())?;
    if span.as_secs() % DAY != 0 || span.subsec_nanos() != 0 {
        return Err(format!("whole days such as `90d` are wanted, and `{text}` is not a whole number of them"));
    }
    i64::try_from(span.as_secs() / DAY).map_err(|error| error.to_string())
}

/// Whole seconds.
fn parse_seconds(text: &str) -> Result<i64, String> {
    let span = parse_span(text)?;
    if span.subsec_nanos() != 0 {
        return Err("whole seconds are wanted".to_owned());
    }
    i64::try_from(span.as_secs()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifespan_is_whole_days() {
        assert_eq!(
            ["90d", "48h", "0d", "36h", "90", "1500ms"].map(|text| parse_days(text).ok()),
            [Some(90), Some(2), Some(0), None, None, None]
        );
    }

    #[test]
    fn a_wait_ends_at_thirty_seconds() {
        assert_eq!(["0s", "30s", "31s", "1m"].map(|text| parse_wait(text).is_ok()), [true, true, false, false]);
    }

    #[test]
    fn a_moment_is_read_in_any_zone_and_kept_in_utc() {
        assert_eq!(parse_moment("2030-01-31T12:00:00+02:00").unwrap().to_rfc3339(), "2030-01-31T10:00:00+00:00");
    }
}
