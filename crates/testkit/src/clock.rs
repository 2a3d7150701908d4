//! A clock that a test moves.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, SubsecRound as _, Utc};
use statuspulse_app::Clock;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct FixedClock(Mutex<Times>);

#[derive(Debug)]
struct Times {
    now: DateTime<Utc>,
    monotonic: Duration,
}

impl Default for FixedClock {
    /// Starts at the present second, for which a new database has its partitions.
    fn default() -> Self {
        Self::at(Utc::now().trunc_subsecs(0))
    }
}

impl FixedClock {
    /// Starts at a moment.
    #[must_use]
    pub fn at(now: DateTime<Utc>) -> Self {
        // Not zero, so that "an hour ago" can be said of it.
        let monotonic = Duration::from_secs(1_000_000);
        Self(Mutex::new(Times { now, monotonic }))
    }

    /// Lets time pass: the time of day and the monotonic one.
    pub fn advance(&self, by: Duration) {
        let mut times = self.times();
        times.now += by;
        times.monotonic += by;
    }

    /// Sets the time of day. Forwards the monotonic time moves along; backwards it stays, as when somebody corrects a
    /// clock.
    pub fn set(&self, now: DateTime<Utc>) {
        let mut times = self.times();
        let forwards = (now - times.now).to_std().unwrap_or_default();
        times.monotonic += forwards;
        times.now = now;
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.times().now
    }

    fn monotonic(&self) -> Duration {
        self.times().monotonic
    }
}
