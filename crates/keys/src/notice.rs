//! Notices of a key's end (keys §8): at 30, 14, 7, 3 and 1 days and at the end, each once for a version.

use chrono::{DateTime, Duration, Utc};

/// Days before the end, farthest first.
pub const THRESHOLDS: [u16; 5] = [30, 14, 7, 3, 1];
/// The notice of the end itself.
pub const AT_THE_END: u16 = 0;

/// The notice that is due: the nearest threshold that is reached, or the end. None while there is nothing to tell. A
/// threshold at or above the version's own life is never told: it was reached when the version was made.
#[must_use]
pub fn reached(created_at: DateTime<Utc>, end: DateTime<Utc>, now: DateTime<Utc>) -> Option<u16> {
    if now >= end {
        return Some(AT_THE_END);
    }
    let nearest = THRESHOLDS.into_iter().rev().find(|days| end - now <= span(*days))?;
    (span(nearest) < end - created_at).then_some(nearest)
}

/// Thresholds that were reached before this one and are passed over, where nobody was there to tell them.
pub fn passed(created_at: DateTime<Utc>, end: DateTime<Utc>, reached: u16) -> impl Iterator<Item = u16> {
    THRESHOLDS.into_iter().filter(move |days| *days > reached && span(*days) < end - created_at)
}

fn span(days: u16) -> Duration {
    Duration::days(i64::from(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(days)
    }

    #[test]
    fn each_threshold_begins_at_its_instant() {
        let second = Duration::seconds(1);
        let told = THRESHOLDS.map(|days| {
            let begins = at(90 - i64::from(days));
            (reached(at(0), at(90), begins - second) != Some(days), reached(at(0), at(90), begins) == Some(days))
        });
        assert_eq!(told, [(true, true); 5]);
    }

    #[test]
    fn the_end_is_told_from_its_instant_on() {
        assert_eq!(reached(at(0), at(90), at(90)), Some(AT_THE_END));
    }

    #[test]
    fn a_threshold_at_or_above_the_versions_life_is_never_told() {
        let second = Duration::seconds(1);
        let told =
            [reached(at(0), at(30), at(0)), reached(at(0), at(20), at(5)), reached(at(0), at(1), at(0) + second)];
        assert_eq!(told, [None, None, None]);
    }

    #[test]
    fn after_an_outage_only_the_nearest_is_told_and_the_others_are_passed_over() {
        let nearest = reached(at(0), at(90), at(88)).unwrap();
        assert_eq!((nearest, passed(at(0), at(90), nearest).collect::<Vec<_>>()), (3, vec![30, 14, 7]));
    }

    #[test]
    fn what_was_never_due_is_not_passed_over_either() {
        assert_eq!(passed(at(0), at(10), 1).collect::<Vec<_>>(), [7, 3]);
    }
}
