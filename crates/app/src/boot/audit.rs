//! How the audit trail is kept, as it is configured.

use std::{path::PathBuf, time::Duration};

use super::{ConfigError, parse_duration};
use crate::recorder::{AuditOptions, Mode};

/// Room that a spool needs at least: a file for each of a few workers.
const LEAST_SPOOL: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(86_400);
/// A century: more is a typing error.
const LONGEST: Duration = DAY.saturating_mul(36_525);

/// The values, as they come from flags and environment.
#[derive(Debug, Clone, Default)]
pub struct RawAudit {
    /// `STATUSPULSE_AUDIT_MODE`.
    pub mode: Option<String>,
    /// `STATUSPULSE_AUDIT_SPOOL_LIMIT`.
    pub spool_limit: Option<String>,
    /// `STATUSPULSE_AUDIT_KEEP_CALLS`.
    pub keep_calls: Option<String>,
    /// `STATUSPULSE_AUDIT_KEEP_CHANGES`.
    pub keep_changes: Option<String>,
    /// `STATUSPULSE_AUDIT_ARCHIVE_DIR`.
    pub archive_dir: Option<String>,
    /// `STATUSPULSE_GEO_DATABASE`.
    pub geo_database: Option<String>,
    /// HTTP workers.
    pub workers: Option<usize>,
}

impl RawAudit {
    /// Reads and judges the values; the trail's files lie in `dir`.
    pub(super) fn read(self, dir: PathBuf) -> Result<AuditOptions, ConfigError> {
        let defaults = AuditOptions::in_dir(dir);
        let mode = match self.mode.as_deref() {
            None => Mode::default(),
            Some("strict") => Mode::Strict,
            Some("best_effort") => Mode::BestEffort,
            Some(other) => {
                return Err(ConfigError::new("STATUSPULSE_AUDIT_MODE", other, "`strict` or `best_effort`"));
            }
        };
        let spool_limit = match self.spool_limit.as_deref() {
            None => defaults.spool_limit,
            Some(text) => parse_size(text).filter(|bytes| *bytes >= LEAST_SPOOL).ok_or_else(|| {
                ConfigError::new(
                    "STATUSPULSE_AUDIT_SPOOL_LIMIT",
                    text,
                    "a size from `1MiB`, such as `512MiB` or `2GiB`",
                )
            })?,
        };
        let keep_calls = keep("STATUSPULSE_AUDIT_KEEP_CALLS", self.keep_calls, defaults.keep_calls)?;
        let keep_changes = keep("STATUSPULSE_AUDIT_KEEP_CHANGES", self.keep_changes, defaults.keep_changes)?;
        if keep_changes < keep_calls {
            let accepted = "as long as STATUSPULSE_AUDIT_KEEP_CALLS, or longer";
            let shown = format!("{}d", keep_changes.as_secs() / DAY.as_secs());
            return Err(ConfigError::new("STATUSPULSE_AUDIT_KEEP_CHANGES", &shown, accepted));
        }
        let lanes = self.workers.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
        Ok(AuditOptions {
            mode,
            spool_limit,
            keep_calls,
            keep_changes,
            archive_dir: self.archive_dir.map(PathBuf::from),
            geo_database: self.geo_database.map(PathBuf::from),
            // One for the tasks behind the workers.
            lanes: lanes + 1,
            ..defaults
        })
    }
}

fn keep(variable: &'static str, text: Option<String>, default: Duration) -> Result<Duration, ConfigError> {
    let Some(text) = text else { return Ok(default) };
    parse_duration(&text)
        .filter(|span| (DAY..=LONGEST).contains(span))
        .ok_or_else(|| ConfigError::new(variable, &text, "a span from `1d`, such as `30d`"))
}

/// A size as `512MiB`: a whole number and a unit.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(raw: RawAudit) -> String {
        raw.read("audit".into()).unwrap_err().to_string()
    }

    #[test]
    fn sizes_have_a_unit() {
        let sizes = ["1MiB", "2GiB", "7", "MiB", "-1MiB", "1.5GiB", "99999999999TiB"].map(parse_size);
        assert_eq!(sizes, [Some(1 << 20), Some(2 << 30), None, None, None, None, None]);
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_accepted() {
        let lines = [
            refused(RawAudit { mode: Some("strickt".into()), ..RawAudit::default() }),
            refused(RawAudit { spool_limit: Some("1KiB".into()), ..RawAudit::default() }),
            refused(RawAudit { keep_calls: Some("30".into()), ..RawAudit::default() }),
        ];
        let expected = [
            "STATUSPULSE_AUDIT_MODE is `strickt`: `strict` or `best_effort`",
            "STATUSPULSE_AUDIT_SPOOL_LIMIT is `1KiB`: a size from `1MiB`, such as `512MiB` or `2GiB`",
            "STATUSPULSE_AUDIT_KEEP_CALLS is `30`: a span from `1d`, such as `30d`",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn changes_stay_as_long_as_calls() {
        let raw = RawAudit { keep_calls: Some("60d".into()), keep_changes: Some("30d".into()), ..RawAudit::default() };
        assert!(refused(raw).starts_with("STATUSPULSE_AUDIT_KEEP_CHANGES is `30d`"));
    }
}
