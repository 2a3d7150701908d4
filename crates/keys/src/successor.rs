//! Auto-Rotate: a slot for the next version is made ahead of the end, and the holder of the old token picks it up (keys
//! §6). Nobody is present then, and no secret may be kept, so the slot holds none.

use chrono::{DateTime, Duration, Utc};

use crate::{
    directory::KeySnapshot,
    key::{KeyVersion, Status, VersionState},
    lifespan::LifespanCaps,
};

/// The longest time before the end at which a successor is prepared.
pub const AHEAD: Duration = Duration::days(7);

/// How the successor of a key stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Successor {
    /// It waits to be picked up, until the end of the current version.
    Pending {
        /// The end.
        until: DateTime<Utc>,
    },
    /// It was picked up; the version before works until its own end.
    Claimed {
        /// The end.
        until: DateTime<Utc>,
    },
}

/// From when on a version's successor is prepared: seven days before its end, or half of its life where that is shorter.
#[must_use]
pub fn prepared_from(created_at: DateTime<Utc>, end: DateTime<Utc>) -> DateTime<Utc> {
    end - AHEAD.min((end - created_at) / 2)
}

/// Whether a slot has to be made now.
#[must_use]
pub fn is_due(snapshot: &KeySnapshot, current: &KeyVersion, caps: &LifespanCaps, now: DateTime<Utc>) -> bool {
    let key = &snapshot.key;
    let end = caps.effective_end(key.environment, current.created_at, current.expires_at);
    let alive = matches!(key.status(current, caps, now), Status::Active | Status::Disabled);
    key.auto_rotate && !key.canary && alive && slot(snapshot).is_none() && prepared_from(current.created_at, end) <= now
}

/// The slot that waits, if there is one.
#[must_use]
pub fn slot(snapshot: &KeySnapshot) -> Option<&KeyVersion> {
    snapshot.versions.iter().find(|version| version.state == VersionState::Pending)
}

/// How the successor stands.
#[must_use]
pub fn standing(
    snapshot: &KeySnapshot,
    current: &KeyVersion,
    caps: &LifespanCaps,
    now: DateTime<Utc>,
) -> Option<Successor> {
    let key = &snapshot.key;
    if !matches!(key.status(current, caps, now), Status::Active | Status::Disabled) {
        return None;
    }
    if slot(snapshot).is_some() {
        let until = caps.effective_end(key.environment, current.created_at, current.expires_at);
        return Some(Successor::Pending { until });
    }
    current.claimed_at?;
    let before = snapshot.versions.iter().filter(|held| held.state == VersionState::Superseded);
    let until = before.map(|held| held.valid_until).filter(|until| now < *until).max()?;
    Some(Successor::Claimed { until })
}

/// Why there is nothing to pick up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NothingToClaim {
    /// The successor was picked up already.
    #[error("the successor was picked up already; its token was shown once")]
    Claimed,
    /// None is prepared.
    #[error("no successor is prepared; it is 7 days before the end, for keys with auto_rotate")]
    NoSlot,
}

/// The slot that the holder of a version may pick up: that of the current version. Whoever holds an older one comes too
/// late.
///
/// # Errors
/// [`NothingToClaim`].
pub fn claimable<'a>(
    snapshot: &'a KeySnapshot,
    current: &KeyVersion,
    presented: i32,
) -> Result<&'a KeyVersion, NothingToClaim> {
    if presented < current.number && current.claimed_at.is_some() {
        return Err(NothingToClaim::Claimed);
    }
    slot(snapshot).filter(|_| presented == current.number).ok_or(NothingToClaim::NoSlot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::{key, version};

    fn at(days: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(days)
    }

    fn lasting(number: i32, days: i64) -> KeyVersion {
        KeyVersion { created_at: at(0), expires_at: at(days), valid_until: at(days), ..version(number) }
    }

    fn snapshot(versions: Vec<KeyVersion>) -> KeySnapshot {
        let mut key = key();
        key.auto_rotate = true;
        key.current_version = 1;
        KeySnapshot { key, versions }
    }

    fn due_at(days: i64, now: DateTime<Utc>) -> bool {
        let current = lasting(1, days);
        is_due(&snapshot(vec![current.clone()]), &current, &LifespanCaps::default(), now)
    }

    #[test]
    fn a_successor_is_prepared_seven_days_before_the_end() {
        let second = Duration::seconds(1);
        assert_eq!([due_at(90, at(83) - second), due_at(90, at(83))], [false, true]);
    }

    #[test]
    fn a_short_life_gets_it_at_its_half() {
        let second = Duration::seconds(1);
        assert_eq!([due_at(4, at(2) - second), due_at(4, at(2))], [false, true]);
    }

    #[test]
    fn after_the_end_nothing_is_prepared() {
        assert!(!due_at(90, at(90)));
    }

    #[test]
    fn a_key_with_a_slot_gets_no_second_one() {
        let current = lasting(1, 90);
        let slot = KeyVersion { state: VersionState::Pending, ..lasting(2, 90) };
        let held = snapshot(vec![current.clone(), slot]);
        assert!(!is_due(&held, &current, &LifespanCaps::default(), at(85)));
    }

    /// spec: keys K34
    #[test]
    fn whoever_comes_after_the_pick_up_is_told_so() {
        let claimed = KeyVersion { claimed_at: Some(at(85)), ..lasting(2, 175) };
        let held = snapshot(vec![lasting(1, 90), claimed.clone()]);
        assert_eq!(claimable(&held, &claimed, 1).err(), Some(NothingToClaim::Claimed));
    }

    #[test]
    fn without_a_slot_there_is_nothing_to_pick_up() {
        let current = lasting(1, 90);
        assert_eq!(claimable(&snapshot(vec![current.clone()]), &current, 1).err(), Some(NothingToClaim::NoSlot));
    }
}
