//! How the spool is doing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// An append that takes longer than this is counted as slow: a call waits for it.
pub const SLOW_APPEND: Duration = Duration::from_millis(5);

/// How the spool is doing, at one moment; counters run from the open on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// The bytes of all segments on the disk.
    pub bytes: u64,
    /// What `bytes` may come to.
    pub limit: u64,
    /// The bytes that the reader has not yet reported as stored.
    pub pending: u64,
    /// The number of segments.
    pub segments: usize,
    /// For how long the oldest append has not been synced, at most; `None` when all are.
    pub unsynced_for: Option<Duration>,
    /// Records appended.
    pub appended: u64,
    /// The longest that one append took.
    pub slowest_append: Duration,
    /// Appends that took longer than [`SLOW_APPEND`].
    pub slow_appends: u64,
    /// Syncs of a file that succeeded.
    pub syncs: u64,
    /// Syncs of a file that failed.
    pub failed_syncs: u64,
    /// The longest that one sync of a file took.
    pub slowest_sync: Duration,
    /// When the last sync succeeded.
    pub last_sync: Option<SystemTime>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) appended: AtomicU64,
    pub(crate) slowest_append: AtomicU64,
    pub(crate) slow_appends: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) failed_syncs: AtomicU64,
    pub(crate) slowest_sync: AtomicU64,
    /// Microseconds since 1970 UTC, 0 for never.
    pub(crate) last_sync: AtomicU64,
}

impl Counters {
    pub(crate) fn count_append(&self, took: Duration) {
        self.appended.fetch_add(1, Relaxed);
        raise(&self.slowest_append, took);
        if took > SLOW_APPEND {
            self.slow_appends.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn count_sync(&self, took: Duration, is_done: bool) {
        if !is_done {
            self.failed_syncs.fetch_add(1, Relaxed);
            return;
        }
        self.syncs.fetch_add(1, Relaxed);
        raise(&self.slowest_sync, took);
        self.last_sync.store(unix_micros(), Relaxed);
    }
}

/// Looks before it writes, so that the lanes don't take the line from each other at each append.
fn raise(highest: &AtomicU64, took: Duration) {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    if nanos > highest.load(Relaxed) {
        highest.fetch_max(nanos, Relaxed);
    }
}

/// Now, in microseconds since 1970 UTC; 0 before that.
pub(crate) fn unix_micros() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
