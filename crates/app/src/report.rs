//! The evidence for an audit after SOC 2: what the service knows of one organization and one period, gathered into one report
//! that is sealed with the audit trail's key.

mod content;
mod controls;
mod figures;
mod gather;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use statuspulse_audit::{
    Action, Bytes,
    record::instant,
    report::{self as seal, FileEntry, Manifest, Owner, Period, Release},
};
use statuspulse_store::{audit::trail::Filter, report as store};

pub use self::content::*;
use crate::{
    app::App,
    audit::{
        self, keys,
        read::note,
        verify::{self, Question},
    },
    caller::{Access, Caller},
    error::AppError,
};

/// Kind of this report, as its event and its manifest name it.
pub const KIND: &str = "soc2";
/// Items of a list, at most; how many there are stands beside it.
pub const LISTED: usize = 5_000;
/// No version of a key may live longer than this in production and analytics.
pub const LONG_DAYS: u32 = 90;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What waits is brought into the trail.
    Drain,
    /// The tables are read.
    Read,
    /// The trail is verified.
    Verify,
}

/// A period that has passed.
///
/// # Errors
/// 400 when it ends before it begins, or has not ended yet.
pub fn period(from: DateTime<Utc>, to: DateTime<Utc>, now: DateTime<Utc>) -> Result<Period, AppError> {
    let refused = |detail: String| Err(AppError::BadRequest { code: "invalid_period", detail });
    if from >= to {
        return refused(format!(
            "the period has to end after it begins, and {} is not after {}",
            instant(to),
            instant(from)
        ));
    }
    if to > now {
        return refused(format!(
            "the period has to be over, and {} lies in the future: it is {}",
            instant(to),
            instant(now)
        ));
    }
    Ok(Period { from, to })
}

/// Gathers a report. Its event is written before anything is read. A contradiction in the trail opens an alert.
///
/// # Errors
/// 403, 503.
pub async fn gather(
    app: &Arc<App>,
    caller: &Caller,
    access: &Access,
    period: Period,
    release: Release,
    mut tell: impl FnMut(Step),
) -> Result<Report, AppError> {
    access.require_admin()?;
    let organization = &access.organization;
    let filter = Filter { from: Some(period.from), to: Some(period.to), ..Filter::default() };
    note(app, caller, Action::AuditExport, Some(organization.id), &filter, |event| event.with("report", KIND)).await?;
    tell(Step::Drain);
    let drained = audit::drain(app).await?;
    tell(Step::Read);
    let now = app.env.now();
    let asked = gather::asked(organization, period, now);
    let facts = store::read(&mut *app.conn().await?, &asked).await?;
    tell(Step::Verify);
    let question = Question { from: Some(period.from), to: Some(period.to), ..Question::default() };
    let verified = verify::database(app, &question, drained).await?;
    let made = gather::Made { at: now, by: caller.actor(), with: release };
    Ok(gather::report(app, organization, period, made, facts, (verified, drained)))
}

/// A manifest with its signature.
#[derive(Debug)]
pub struct Sealed {
    /// The bytes of `manifest.json`, as they are signed.
    pub manifest: Vec<u8>,
    /// The signature.
    pub signature: Bytes<64>,
}

/// Seals the files of a report with the audit trail's key in force.
///
/// # Errors
/// 503, or 500 where this instance lacks the master key that seals the key.
pub async fn seal(app: &App, report: &Report, files: Vec<FileEntry>) -> Result<Sealed, AppError> {
    let key = keys::in_force(app, &mut *app.conn().await?).await?;
    let manifest = Manifest {
        format: seal::FORMAT.to_owned(),
        report: KIND.to_owned(),
        organization: report.organization.clone(),
        period: report.period,
        made_at: report.made_at,
        made_with: report.made_with.clone(),
        key_id: key.public_key().key_id(),
        files,
    };
    let mut manifest =
        serde_json::to_vec_pretty(&manifest).map_err(|error| AppError::internal(format!("a manifest: {error}")))?;
    manifest.push(b'\n');
    let signature = seal::sign(&key, &manifest);
    Ok(Sealed { manifest, signature })
}

fn owner(organization: &statuspulse_store::organizations::Organization) -> Owner {
    Owner { id: organization.id.as_uuid(), slug: organization.slug.clone(), name: organization.name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u32) -> DateTime<Utc> {
        DateTime::from_timestamp(i64::from(day) * 86_400, 0).unwrap()
    }

    #[test]
    fn a_period_that_is_empty_turned_or_not_over_is_refused() {
        let periods = [(1, 2), (2, 2), (3, 2), (1, 9), (1, 10)];
        let judged = periods.map(|(from, to)| period(at(from), at(to), at(9)).is_ok());
        assert_eq!(judged, [true, false, false, true, false]);
    }
}
