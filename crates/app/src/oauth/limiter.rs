//! The limit on failed client authentications: twenty in a minute for one client id from one address (oauth §4.5).
//!
//! It keeps floods out of the trail and guesses slow; with 256 random bits in a secret, no limit is needed to keep them from
//! succeeding. So each instance counts for itself, in memory, in a table that can't grow.

use std::{
    collections::VecDeque,
    net::IpAddr,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use quick_cache::sync::Cache;
use statuspulse_policy::counter_key;

const WINDOW: Duration = Duration::from_secs(60);
const MOST: usize = 20;
/// Pairs of client id and address that are counted, at most; the one that failed least lately gives way.
const PAIRS: usize = 65_536;
/// Many people may sit behind one address: an office, or a suite of tests. At most 9,600 of its requests wait
/// at a time.
const WAITING_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).unwrap();

/// See the module's text.
pub struct FailureLimiter {
    pairs: Cache<[u8; 32], Arc<Mutex<VecDeque<Duration>>>>,
}

impl std::fmt::Debug for FailureLimiter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "FailureLimiter({} pairs)", self.pairs.len())
    }
}

impl Default for FailureLimiter {
    fn default() -> Self {
        Self { pairs: Cache::new(PAIRS) }
    }
}

impl FailureLimiter {
    /// The seconds to wait, when a pair has failed too often. `now` is monotonic.
    #[must_use]
    pub fn wait(&self, pair: &[u8; 32], now: Duration) -> Option<u64> {
        let failures = self.pairs.get(pair)?;
        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
        wait(&mut failures, now)
    }

    /// Counts a failure; answers the seconds to wait when it was one too many, as it is for those that come in parallel.
    pub fn count(&self, pair: [u8; 32], now: Duration) -> Option<u64> {
        let made = self.pairs.get_or_insert_with(&pair, || Ok::<_, std::convert::Infallible>(Arc::default()));
        let Ok(failures) = made;
        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = wait(&mut failures, now);
        if wait.is_none() {
            failures.push_back(now);
        }
        wait
    }
}

fn wait(failures: &mut VecDeque<Duration>, now: Duration) -> Option<u64> {
    while failures.front().is_some_and(|at| now.saturating_sub(*at) >= WINDOW) {
        failures.pop_front();
    }
    let first = failures.front().filter(|_| failures.len() >= MOST)?;
    let left = (*first + WINDOW).saturating_sub(now);
    Some(left.as_millis().div_ceil(1_000).max(1).try_into().unwrap_or(60))
}

/// The limit on authorization requests that wait for a sign-in, for one address: each is kept for a quarter of an hour.
#[derive(Debug)]
pub struct SignInLimiter(DefaultKeyedRateLimiter<Option<IpAddr>>);

impl Default for SignInLimiter {
    fn default() -> Self {
        Self(RateLimiter::keyed(Quota::per_minute(WAITING_PER_MINUTE)))
    }
}

impl SignInLimiter {
    /// Whether one more may wait.
    #[must_use]
    pub fn allow(&self, address: Option<IpAddr>) -> bool {
        self.0.check_key(&address.map(counter_key)).is_ok()
    }

    pub(crate) fn forget_idle(&self) {
        self.0.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: [u8; 32] = [1; 32];

    fn failed_twenty_times() -> FailureLimiter {
        let limiter = FailureLimiter::default();
        for second in 0..20 {
            limiter.count(PAIR, Duration::from_secs(second));
        }
        limiter
    }

    #[test]
    fn twenty_failures_in_a_minute_make_the_pair_wait() {
        assert_eq!(failed_twenty_times().wait(&PAIR, Duration::from_secs(20)), Some(40));
    }

    #[test]
    fn nineteen_failures_make_nobody_wait() {
        let limiter = FailureLimiter::default();
        let waits: Vec<_> = (0..19).filter_map(|second| limiter.count(PAIR, Duration::from_secs(second))).collect();
        assert_eq!((waits, limiter.wait(&PAIR, Duration::from_secs(19))), (Vec::new(), None));
    }

    #[test]
    fn the_wait_ends_with_the_window() {
        assert_eq!(failed_twenty_times().wait(&PAIR, Duration::from_secs(60)), None);
    }

    #[test]
    fn another_pair_is_not_affected() {
        assert_eq!(failed_twenty_times().wait(&[2; 32], Duration::from_secs(20)), None);
    }

    #[test]
    fn six_hundred_people_behind_one_address_may_begin_to_sign_in_at_once() {
        let limiter = SignInLimiter::default();
        let address = "198.51.100.1".parse().ok();
        assert!((0..600).all(|_| limiter.allow(address)));
    }

    #[test]
    fn an_address_begins_no_more_sign_ins_than_that() {
        let limiter = SignInLimiter::default();
        let address = "198.51.100.1".parse().ok();
        // It lets one more begin each tenth of a second, so that a slow machine may count a few beyond.
        assert!((0..2_000).filter(|_| limiter.allow(address)).count() < 1_000);
    }

    #[test]
    fn a_failure_beyond_the_twentieth_waits_at_once() {
        assert_eq!(failed_twenty_times().count(PAIR, Duration::from_secs(30)), Some(30));
    }
}
