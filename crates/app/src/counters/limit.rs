//! The limit of a key's rate (policy §6): at most so many accepted calls in any 60 s. Apart from the alert, which never
//! refuses anything.

use statuspulse_audit::Window;

use super::{Counters, Subject};
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

/// Lets a call through, which then counts, or says when the next one fits. What is counted in common decides; while that
/// can't be reached, what this instance has let through itself.
pub async fn admit(app: &App, subject: &Subject, limit: u32) -> Rate {
    let (counters, second) = (&app.counters, app.counters.second(&app.env));
    let Some(shared) = &counters.shared else { return admit_here(counters, subject, second, limit) };
    let here = stand(counters, subject, second, limit);
    if here.retry_after.is_some() {
        // Not less was let through by all of them.
        return here;
    }
    match shared.admit(subject.id, second, limit).await {
        Ok(admission) if admission.accepted => {
            counters.with(subject, |_, counts| counts.accepted.get_or_insert_default().add(second, 1));
            Rate { limit, remaining: left(limit, admission.counted.into()), retry_after: None }
        }
        Ok(admission) => {
            let wait = admission.free_from.saturating_sub(second).max(1);
            Rate { limit, remaining: 0, retry_after: Some(wait) }
        }
        Err(error) => {
            counters.impair(&error.into());
            admit_here(counters, subject, second, limit)
        }
    }
}

/// Decided under the key's own lock: of calls at once, exactly as many pass as fit.
fn admit_here(counters: &Counters, subject: &Subject, second: u64, limit: u32) -> Rate {
    counters.with(subject, |_, counts| {
        let accepted = counts.accepted.get_or_insert_default();
        let before = accepted.sum(second);
        if before < u64::from(limit) {
            accepted.add(second, 1);
        }
        rate(accepted, before, limit)
    })
}

/// What a call would meet here.
fn stand(counters: &Counters, subject: &Subject, second: u64, limit: u32) -> Rate {
    counters.with(subject, |_, counts| {
        let accepted = counts.accepted.get_or_insert_default();
        let before = accepted.sum(second);
        rate(accepted, before, limit)
    })
}

/// How many calls a key has left at this instance; counts nothing.
#[must_use]
pub fn remaining(app: &App, subject: &Subject, limit: u32) -> u32 {
    let second = app.counters.second(&app.env);
    app.counters
        .with(subject, |_, counts| left(limit, counts.accepted.as_mut().map_or(0, |accepted| accepted.sum(second))))
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
