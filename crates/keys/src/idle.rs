//! Keys that nobody uses (keys §4, `unused_key_days`): their owners are warned, and two weeks later they are switched off.

use chrono::{DateTime, Duration, Utc};

use crate::key::{Key, KeyVersion};

/// How long before it is switched off a key's owners are warned.
pub const WARNED_BEFORE: Duration = Duration::days(14);

/// What an idle key has coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// A warning that it is switched off at this moment.
    Warn {
        /// The moment, if nobody uses it meanwhile.
        until: DateTime<Utc>,
    },
    /// It is switched off now.
    SwitchOff,
}

/// Since when a key is idle: its last accepted call, its making, its last secret, or what else began it anew.
#[must_use]
pub fn since(key: &Key, current: &KeyVersion, begun: Option<DateTime<Utc>>) -> DateTime<Utc> {
    let moments = [Some(key.created_at), Some(current.created_at), key.last_used_at, begun];
    moments.into_iter().flatten().max().unwrap_or(key.created_at)
}

/// What is due for a key that is idle since a moment, where the organization lets keys be idle for so many days. Nobody is
/// cut off without a warning of two weeks, also where the rule is younger than the idleness.
#[must_use]
pub fn judge(since: DateTime<Utc>, warned_at: Option<DateTime<Utc>>, days: u32, now: DateTime<Utc>) -> Option<Idle> {
    let end = since + Duration::days(i64::from(days));
    match warned_at {
        None if end - WARNED_BEFORE <= now => Some(Idle::Warn { until: end.max(now + WARNED_BEFORE) }),
        Some(warned) if end <= now && warned + WARNED_BEFORE <= now => Some(Idle::SwitchOff),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(days)
    }

    #[test]
    fn the_warning_comes_fourteen_days_before() {
        let second = Duration::seconds(1);
        let told = [judge(at(0), None, 30, at(16) - second), judge(at(0), None, 30, at(16))];
        assert_eq!(told, [None, Some(Idle::Warn { until: at(30) })]);
    }

    #[test]
    fn the_end_comes_when_it_was_said() {
        let second = Duration::seconds(1);
        let told = [judge(at(0), Some(at(16)), 30, at(30) - second), judge(at(0), Some(at(16)), 30, at(30))];
        assert_eq!(told, [None, Some(Idle::SwitchOff)]);
    }

    #[test]
    fn a_rule_that_is_younger_than_the_idleness_cuts_nobody_off_without_warning() {
        let told = [
            judge(at(0), None, 30, at(100)),
            judge(at(0), Some(at(100)), 30, at(113)),
            judge(at(0), Some(at(100)), 30, at(114)),
        ];
        assert_eq!(told, [Some(Idle::Warn { until: at(114) }), None, Some(Idle::SwitchOff)]);
    }
}
