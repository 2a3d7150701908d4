//! When a delivery is tried again (keys §9.3).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Attempts of a delivery, at most.
pub const MOST_ATTEMPTS: u32 = 10;
/// The longest time that an endpoint can ask for with `Retry-After`.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// Seconds between the previous attempt and the one with this index; before the first there is none.
const WAITS: [u32; MOST_ATTEMPTS as usize] =
    [0, 5, 5 * 60, 30 * 60, 2 * 3_600, 5 * 3_600, 10 * 3_600, 14 * 3_600, 20 * 3_600, 24 * 3_600];

/// The moment of the next attempt, `attempts_made` being behind us and the last of them ending `now`. None after the tenth.
///
/// `jitter` is a random number; it lengthens the wait by up to a tenth, so that what failed together does not come back
/// together. `retry_after` is what the endpoint asked for, an hour at most: nobody comes back
/// earlier, nor earlier than planned, since a short wait that is asked for again and again would use up all attempts at once.
#[must_use]
pub fn next_attempt(
    attempts_made: u32,
    now: DateTime<Utc>,
    jitter: u16,
    retry_after: Option<Duration>,
) -> Option<DateTime<Utc>> {
    let wait = WAITS.get(usize::try_from(attempts_made).ok()?)?;
    let planned = i64::from(*wait) * 1_000;
    let planned = planned + planned * i64::from(jitter) / (10 * i64::from(u16::MAX));
    let asked = retry_after.map_or(0, |asked| asked.min(LONGEST_RETRY_AFTER).as_millis());
    now.checked_add_signed(TimeDelta::milliseconds(planned.max(i64::try_from(asked).ok()?)))
}

#[cfg(test)]
mod tests;
