//! The limit of a key's rate (policy §6): at most so many accepted calls in any 60 s. Apart from the alert, which never
//! refuses anything.

use statuspulse_audit::Window;

use super::Subject;
use crate::app::App;

/// How a key stands with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Accepted calls in any 60 s, at most.
    pub limit: u32,
    /// How many more would be accepted now.
    pub remaining: u32,
    /// Seconds until one more fits, at least 1; none when this one was accepted.
    pub retry_after: Option<u64>,
}

/// Lets a call through, which then counts, or says when the next one fits.
pub async fn admit(app: &App, subject: &Subject, limit: u32) -> Rate {
    let second = app.counters.second(&app.env);
    // Under the key's own lock: of calls at once, exactly as many pass as fit.
    app.counters.with(subject, |_, counts| {
        let accepted = counts.accepted.get_or_insert_default();
        let before = accepted.sum(second);
        if before < u64::from(limit) {
            accepted.add(second, 1);
        }
        rate(accepted, before, limit)
    })
}

/// How a key stands now; counts nothing.
#[must_use]
pub fn glance(app: &App, subject: &Subject, limit: u32) -> Rate {
    let counted = app.counters.counted.pin();
    let Some(counter) = counted.get(&subject.id) else { return Rate { limit, remaining: limit, retry_after: None } };
    let mut counts = counter.counts();
    let accepted = counts.accepted.get_or_insert_default();
    let before = accepted.sum(app.counters.second(&app.env));
    Rate { remaining: left(limit, before), ..rate(accepted, before, limit) }
}

fn rate(accepted: &Window, before: u64, limit: u32) -> Rate {
    if before < u64::from(limit) {
        return Rate { limit, remaining: left(limit, before + 1), retry_after: None };
    }
    let wait = accepted.room_from(u64::from(limit)).saturating_sub(accepted.newest());
    Rate { limit, remaining: 0, retry_after: Some(wait.max(1)) }
}

fn left(limit: u32, counted: u64) -> u32 {
    u32::try_from(u64::from(limit).saturating_sub(counted)).unwrap_or(u32::MAX)
}
