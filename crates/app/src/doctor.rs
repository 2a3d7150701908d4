//! Whether an installation is well: what an operator would look at one by one, in plain lines.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use chrono::{DateTime, Duration, Utc};
use serde::Serialize;
use statuspulse_audit::AlertRule;
use statuspulse_store::{Conn, audit::checkpoints, doctor, migrations};

use crate::{app::App, audit, error::AppError};

/// The oldest PostgreSQL with which this works.
const OLDEST: i32 = 140_000;
/// Days that should have a partition, today among them.
const DAYS: usize = 8;
/// How long events may wait for a server that empties the outbox.
const LATE: Duration = Duration::seconds(10);
/// A server makes a checkpoint every minute.
const STALE: Duration = Duration::minutes(5);
/// How far clocks may differ: more blurs times, still more breaks spans of validity.
const SKEW: Duration = Duration::seconds(1);
const LARGEST_SKEW: Duration = Duration::seconds(30);

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works; somebody should look.
    Warning,
    /// It doesn't work, or is not safe.
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// A stable word.
    pub name: &'static str,
    /// How it went.
    pub status: Status,
    /// What was found, and what to do about it.
    pub detail: String,
}

impl Check {
    /// A check.
    #[must_use]
    pub fn new(name: &'static str, status: Status, detail: impl Into<String>) -> Self {
        Self { name, status, detail: detail.into() }
    }

    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, detail)
    }

    fn warning(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Warning, detail)
    }

    fn failed(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Failed, detail)
    }
}

/// Everything that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// Whether nothing failed.
    pub ok: bool,
    /// In a fixed order.
    pub checks: Vec<Check>,
}

impl From<Vec<Check>> for Diagnosis {
    fn from(checks: Vec<Check>) -> Self {
        Self { ok: checks.iter().all(|check| check.status != Status::Failed), checks }
    }
}

/// Looks at an installation that could be opened; changes nothing.
pub async fn examine(app: &App) -> Diagnosis {
    let mut checks = Vec::new();
    match app.conn().await {
        Ok(mut conn) => look_at_database(app, &mut conn, &mut checks).await,
        Err(error) => checks.push(Check::failed("database", cause(&error))),
    }
    checks.push(data_directory(app.audit.dir.parent().unwrap_or(&app.audit.dir)));
    checks.push(geo(app));
    checks.into()
}

async fn look_at_database(app: &App, conn: &mut Conn, checks: &mut Vec<Check>) {
    type Look<'a> = Result<Check, AppError>;
    let mut note = |name: &'static str, look: Look<'_>| {
        checks.push(look.unwrap_or_else(|error| Check::failed(name, cause(&error))));
    };
    note("database", version(conn).await);
    note("clock", clock(app, conn).await);
    note("migrations", steps(conn).await);
    note("role", role(conn).await);
    note("master_key", Ok(master_key(app)));
    note("partitions", partitions(app, conn).await);
    note("quarantine", quarantine(conn).await);
    note("outbox", outbox(app, conn).await);
    note("audit_key", audit_key(app, conn).await);
    note("checkpoint", checkpoint(app, conn).await);
    note("alerts", alerts(conn).await);
}

fn cause(error: &AppError) -> String {
    match error {
        AppError::Unavailable { cause } | AppError::Internal { cause } => cause.clone(),
        other => other.to_string(),
    }
}

async fn version(conn: &mut Conn) -> Result<Check, AppError> {
    let server = doctor::server(conn).await?;
    let told = format!("PostgreSQL {}", server.version);
    Ok(if server.number < OLDEST {
        Check::failed("database", format!("{told}; 14 is the oldest that works"))
    } else {
        Check::ok("database", told)
    })
}

async fn clock(app: &App, conn: &mut Conn) -> Result<Check, AppError> {
    let before = app.env.now();
    let server = doctor::server(conn).await?.now;
    let took = app.env.now() - before;
    Ok(judge_clock(server - (before + took / 2), took))
}

fn judge_clock(ahead: Duration, took: Duration) -> Check {
    // What the answer took blurs the comparison by as much.
    let skew = (ahead.abs() - took / 2).max(Duration::zero());
    let side = if ahead < Duration::zero() { "behind" } else { "ahead of" };
    let told = format!("the database's clock is {} ms {side} this machine's", ahead.num_milliseconds().abs());
    match skew {
        skew if skew > LARGEST_SKEW => Check::failed("clock", format!("{told}; set both by NTP")),
        skew if skew > SKEW => Check::warning("clock", format!("{told}; set both by NTP")),
        _ => Check::ok("clock", told),
    }
}

async fn steps(conn: &mut Conn) -> Result<Check, AppError> {
    let applied = doctor::applied_steps(conn).await?;
    let known = migrations::steps()?;
    let missing = known.iter().filter(|step| !applied.contains(step)).count();
    let newer = applied.iter().filter(|step| !known.contains(step)).count();
    Ok(if missing > 0 {
        Check::failed("migrations", format!("{missing} of {} are missing; run `migrate`", known.len()))
    } else if newer > 0 {
        Check::warning("migrations", format!("{newer} are of a newer release than this program"))
    } else {
        Check::ok("migrations", format!("all {} are applied", known.len()))
    })
}

async fn role(conn: &mut Conn) -> Result<Check, AppError> {
    const NONE: &str = "the service keeps the right to change the audit trail, because the database's user may not create \
                        the role `statuspulse_app` or is no member of it; create it, grant it to that user, run `migrate`";
    if !doctor::has_role(conn).await? || doctor::server(conn).await?.role != "statuspulse_app" {
        return Ok(Check::warning("role", NONE));
    }
    let rights = doctor::excessive_rights(conn).await?;
    Ok(if rights.is_empty() {
        Check::ok("role", "`statuspulse_app` can add to the audit trail and read it, and nothing else")
    } else {
        Check::failed("role", format!("`statuspulse_app` could change the audit trail: {}", rights.join(", ")))
    })
}

fn master_key(app: &App) -> Check {
    // An instance whose key doesn't fit can't be opened.
    let versions: Vec<String> = app.secrets.masters().iter().map(|key| key.version().to_string()).collect();
    Check::ok("master_key", format!("fits this database; version {}", versions.join(", ")))
}

async fn partitions(app: &App, conn: &mut Conn) -> Result<Check, AppError> {
    let today = app.env.now().date_naive();
    let days: Vec<_> = today.iter_days().take(DAYS).collect();
    let missing = doctor::days_without_partition(conn, &days).await?;
    let list = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Ok(if missing.contains(&today) {
        Check::failed(
            "partitions",
            format!("events wait: there is no partition for {list}; run `migrate` as the owner"),
        )
    } else if missing.is_empty() {
        Check::ok("partitions", format!("made for today and {} days ahead", DAYS - 1))
    } else {
        Check::warning("partitions", format!("there is none yet for {list}; run `migrate` as the owner"))
    })
}

async fn quarantine(conn: &mut Conn) -> Result<Check, AppError> {
    Ok(match doctor::quarantined(conn).await? {
        0 => Check::ok("quarantine", "empty"),
        events => Check::warning(
            "quarantine",
            format!("{events} events were refused by the table; look at `audit_quarantine`"),
        ),
    })
}

async fn outbox(app: &App, conn: &mut Conn) -> Result<Check, AppError> {
    let outbox = doctor::outbox(conn).await?;
    let lag = outbox.since.map_or(Duration::zero(), |since| app.env.now() - since);
    let told = format!("{} events wait", outbox.waiting);
    Ok(if lag > LATE {
        let advice = "no server writes them; start one, or run `audit checkpoint`";
        Check::warning("outbox", format!("{told}, the oldest for {} s: {advice}", lag.num_seconds()))
    } else {
        Check::ok("outbox", told)
    })
}

async fn audit_key(app: &App, conn: &mut Conn) -> Result<Check, AppError> {
    let keys = audit::keys::all(app, conn).await?;
    Ok(match keys.iter().rfind(|key| key.in_force) {
        None => Check::ok("audit_key", "made with the first checkpoint"),
        Some(key) if key.can_sign() => Check::ok("audit_key", format!("`{}` signs checkpoints", key.public.key_id())),
        Some(key) => {
            let told = format!("`{}` is sealed under a master key that is not given here", key.public.key_id());
            Check::failed("audit_key", told)
        }
    })
}

async fn checkpoint(app: &App, conn: &mut Conn) -> Result<Check, AppError> {
    let newest = checkpoints::newest(conn).await?;
    Ok(judge_checkpoint(newest.map(|newest| (newest.number, newest.at)), app.env.now()))
}

fn judge_checkpoint(newest: Option<(i64, DateTime<Utc>)>, now: DateTime<Utc>) -> Check {
    const ADVICE: &str = "a running server makes one every minute, `audit checkpoint` one now";
    match newest {
        None => Check::warning("checkpoint", format!("there is none: nothing vouches for the trail yet; {ADVICE}")),
        Some((number, at)) => {
            let age = now - at;
            let told = format!("number {number} is {} s old", age.num_seconds());
            if age > STALE {
                Check::warning("checkpoint", format!("{told}; {ADVICE}"))
            } else {
                Check::ok("checkpoint", told)
            }
        }
    }
}

async fn alerts(conn: &mut Conn) -> Result<Check, AppError> {
    let rules = [AlertRule::AuditGap, AlertRule::Integrity].map(AlertRule::as_str);
    Ok(match doctor::open_alerts(conn, &rules).await? {
        0 => Check::ok("alerts", "no alert about the audit trail is open"),
        open => Check::warning("alerts", format!("{open} of `{}` or `{}` are open", rules[0], rules[1])),
    })
}

fn data_directory(folder: &Path) -> Check {
    // Others may pass through where PostgreSQL runs under an account of its own; nobody else may look around or write.
    let wanted = [(folder.to_owned(), 0o066), (folder.join("audit"), 0o077), (folder.join("master.key"), 0o077)];
    let mut open = Vec::new();
    for (path, forbidden) in wanted {
        match fs::metadata(&path).map(|found| found.permissions().mode() & 0o777) {
            Ok(mode) if mode & forbidden != 0 => open.push(format!("`{}` has mode {mode:o}", path.display())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Check::failed("data_directory", format!("`{}`: {error}", path.display())),
        }
    }
    if open.is_empty() {
        Check::ok("data_directory", format!("`{}` is closed to others", folder.display()))
    } else {
        Check::failed("data_directory", format!("open to others: {}", open.join(", ")))
    }
}

fn geo(app: &App) -> Check {
    if app.geo.is_broken() {
        Check::warning("geo", "the file of STATUSPULSE_GEO_DATABASE can't be read: events have no country")
    } else if app.geo.is_named() {
        Check::ok("geo", "the file can be read")
    } else {
        Check::ok("geo", "no STATUSPULSE_GEO_DATABASE is set: events have no country")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_not_taken_for_a_wrong_clock() {
        let judged = |ahead, took| judge_clock(Duration::milliseconds(ahead), Duration::milliseconds(took)).status;
        let statuses = [judged(300, 2), judged(-2_000, 2), judged(2_000, 4_000), judged(60_000, 2)];
        assert_eq!(statuses, [Status::Ok, Status::Warning, Status::Ok, Status::Failed]);
    }

    #[test]
    fn a_checkpoint_gets_old_after_five_minutes() {
        let now = DateTime::UNIX_EPOCH + Duration::days(1);
        let ages = [None, Some((1, now - Duration::seconds(301))), Some((1, now - Duration::seconds(299)))];
        let statuses = ages.map(|newest| judge_checkpoint(newest, now).status);
        assert_eq!(statuses, [Status::Warning, Status::Warning, Status::Ok]);
    }

    #[test]
    fn a_data_directory_may_be_passed_through_and_not_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let status = |mode| {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            data_directory(folder.path()).status
        };
        assert_eq!([0o700, 0o711, 0o755].map(status), [Status::Ok, Status::Ok, Status::Failed]);
    }
}
