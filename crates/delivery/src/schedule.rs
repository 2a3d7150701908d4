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
/// together. `retry_after` is what the endpoint asked for: it replaces the wait, from a second to an hour, and not the count.
#[must_use]
pub fn next_attempt(
    attempts_made: u32,
    now: DateTime<Utc>,
    jitter: u16,
    retry_after: Option<Duration>,
) -> Option<DateTime<Utc>> {
    let wait = WAITS.get(usize::try_from(attempts_made).ok()?)?;
    let milliseconds = match retry_after {
        Some(asked) => i64::try_from(asked.clamp(Duration::from_secs(1), LONGEST_RETRY_AFTER).as_millis()).ok()?,
        None => {
            let planned = i64::from(*wait) * 1_000;
            planned + planned * i64::from(jitter) / (10 * i64::from(u16::MAX))
        }
    };
    now.checked_add_signed(TimeDelta::milliseconds(milliseconds))
}

#[cfg(test)]
mod tests;
