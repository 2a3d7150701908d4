//! When a key may get its next version (keys §5).

use chrono::{DateTime, Duration, Utc};

use crate::key::{Key, KeyVersion, Status};

/// A rotation this soon after the last one is taken for a double click or a retry.
const RETRY_WINDOW: Duration = Duration::seconds(5);

/// Why a rotation is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RotationRefusal {
    /// A key that is dead for good is replaced by a new one, by a person.
    #[error("the key is revoked; create a new one")]
    Revoked,
    /// The same for one past its end.
    #[error("the key has expired; create a new one")]
    Expired,
    /// `If-Match` named another version than the current one.
    #[error("the key is at version {current}; read it again")]
    VersionMismatch {
        /// The current version.
        current: i32,
    },
    /// Somebody has just been given the current version's token.
    #[error("version {current} was issued a moment ago; use its token, or name it in If-Match to rotate again")]
    JustRotated {
        /// The current version.
        current: i32,
    },
}

/// Judges a rotation on the locked row. `arrived_at` is when the request came in, before any waiting: of many requests at
/// once the ones that lose the race see a version made after they arrived.
///
/// # Errors
/// The reason, see [`RotationRefusal`].
pub fn judge(
    key: &Key,
    current: &KeyVersion,
    status: Status,
    if_match: Option<i32>,
    arrived_at: DateTime<Utc>,
) -> Result<(), RotationRefusal> {
    match status {
        Status::Revoked => return Err(RotationRefusal::Revoked),
        Status::Expired => return Err(RotationRefusal::Expired),
        Status::Active | Status::Disabled => {}
    }
    let number = key.current_version;
    match if_match {
        Some(wanted) if wanted != number => Err(RotationRefusal::VersionMismatch { current: number }),
        Some(_) => Ok(()),
        None if number > 1 && current.created_at > arrived_at - RETRY_WINDOW => {
            Err(RotationRefusal::JustRotated { current: number })
        }
        None => Ok(()),
    }
}

/// When the predecessor stops: at once, or at the end of the overlap, but never later than its own end.
#[must_use]
pub fn predecessor_end(now: DateTime<Utc>, overlap: Duration, old_end: DateTime<Utc>) -> DateTime<Utc> {
    (now + overlap).min(old_end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::{key, version};

    const HOUR: Duration = Duration::hours(1);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::seconds(seconds)
    }

    fn judged(number: i32, made: i64, if_match: Option<i32>, arrived: i64) -> Result<(), RotationRefusal> {
        let mut key = key();
        key.current_version = number;
        let mut version = version(number);
        version.created_at = at(made);
        judge(&key, &version, Status::Active, if_match, at(arrived))
    }

    #[test]
    fn a_new_key_may_be_rotated_at_once() {
        assert_eq!(judged(1, 100, None, 100), Ok(()));
    }

    #[test]
    fn a_second_rotation_within_five_seconds_is_a_conflict() {
        let conflict = Err(RotationRefusal::JustRotated { current: 2 });
        assert_eq!([judged(2, 100, None, 104), judged(2, 100, None, 90)], [conflict, conflict]);
    }

    #[test]
    fn five_seconds_later_it_is_wanted() {
        assert_eq!(judged(2, 100, None, 105), Ok(()));
    }

    /// spec: keys K26
    #[test]
    fn a_stale_version_is_a_mismatch() {
        assert_eq!(judged(2, 0, Some(1), 100), Err(RotationRefusal::VersionMismatch { current: 2 }));
    }

    #[test]
    fn naming_the_current_version_overrides_the_window() {
        assert_eq!(judged(2, 100, Some(2), 101), Ok(()));
    }

    /// spec: keys K27
    #[test]
    fn dead_keys_are_not_rotated() {
        let refused = [Status::Expired, Status::Revoked].map(|s| judge(&key(), &version(1), s, None, at(0)).err());
        assert_eq!(refused, [Some(RotationRefusal::Expired), Some(RotationRefusal::Revoked)]);
    }

    /// spec: keys K28
    #[test]
    fn a_disabled_key_may_be_rotated() {
        assert_eq!(judge(&key(), &version(1), Status::Disabled, None, at(0)), Ok(()));
    }

    #[test]
    fn an_overlap_never_prolongs_the_old_version() {
        assert_eq!(predecessor_end(at(0), HOUR * 24, at(3_600)), at(3_600));
    }
}
