//! Bringing what was appended onto the disk, in groups.

#[cfg(test)]
mod tests;

use crate::segment::Segment;
use crate::shared::{Shared, locked};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct SyncState {
    asked: Mutex<Asked>,
    wake: Condvar,
    every: Duration,
    started: Instant,
    /// When the oldest append that no round has taken up was made, in nanoseconds since `started` plus 1; 0 when
    /// there is none.
    dirty_since: AtomicU64,
    /// The same of those that a round has taken up and not yet finished.
    syncing_since: AtomicU64,
    /// The last round is over.
    is_over: AtomicBool,
    #[cfg(test)]
    pub(crate) fails: AtomicBool,
}

#[derive(Debug, Default)]
struct Asked {
    /// Somebody waits.
    now: bool,
    stop: bool,
}

impl SyncState {
    pub(crate) fn new(every: Duration) -> SyncState {
        SyncState {
            asked: Mutex::default(),
            wake: Condvar::new(),
            every,
            started: Instant::now(),
            dirty_since: AtomicU64::new(0),
            syncing_since: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            #[cfg(test)]
            fails: AtomicBool::new(false),
        }
    }

    /// An append has been made at this time. Nearly always one load: only the first after a round wakes the thread.
    pub(crate) fn touch(&self, at: Instant) {
        if self.dirty_since.load(SeqCst) != 0 {
            return;
        }
        let since = self.nanos(at.saturating_duration_since(self.started));
        if self.dirty_since.compare_exchange(0, since, SeqCst, SeqCst).is_ok() {
            // Under the lock, or the thread could look, find nothing, and sleep past this.
            let _asked = locked(&self.asked);
            self.wake.notify_one();
        }
    }

    pub(crate) fn ask(&self) {
        locked(&self.asked).now = true;
        self.wake.notify_one();
    }

    pub(crate) fn stop(&self) {
        locked(&self.asked).stop = true;
        self.wake.notify_one();
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(SeqCst)
    }

    pub(crate) fn age(&self) -> Option<Duration> {
        let oldest = [&self.syncing_since, &self.dirty_since].map(|since| since.load(SeqCst));
        let oldest = oldest.into_iter().filter(|since| *since != 0).min()?;
        Some(self.started.elapsed().saturating_sub(Duration::from_nanos(oldest - 1)))
    }

    fn nanos(&self, since: Duration) -> u64 {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX - 1) + 1
    }

    /// How long until a round takes up what nobody waits for.
    fn left(&self) -> Duration {
        match self.dirty_since.load(SeqCst) {
            0 => self.every,
            since => (Duration::from_nanos(since - 1) + self.every).saturating_sub(self.started.elapsed()),
        }
    }

    /// Sleeps until something is to be done.
    fn next_round(&self) -> Round {
        let asleep = |asked: &mut Asked| !asked.now && !asked.stop;
        let mut asked = self
            .wake
            .wait_while(locked(&self.asked), |asked| asleep(asked) && self.dirty_since.load(SeqCst) == 0)
            .unwrap_or_else(PoisonError::into_inner);
        if asleep(&mut asked) {
            (asked, _) =
                self.wake.wait_timeout_while(asked, self.left(), asleep).unwrap_or_else(PoisonError::into_inner);
        }
        asked.now = false;
        Round { is_last: asked.stop, is_whole: asked.stop || self.left().is_zero() }
    }
}

struct Round {
    is_last: bool,
    /// All files; otherwise only those that somebody waits for, who need not wait for the others.
    is_whole: bool,
}

impl Shared {
    /// The sync thread, until it is told to stop.
    pub(crate) fn keep_synced(&self) {
        loop {
            let round = self.sync.next_round();
            if round.is_whole {
                // Taken back before the files are looked at: an append that is too late for this round sets it again.
                let since = self.sync.dirty_since.swap(0, SeqCst);
                self.sync.syncing_since.store(since, SeqCst);
            }
            for segment in self.snapshot() {
                if segment.is_dirty() && (round.is_whole || segment.is_wanted()) {
                    self.sync_one(&segment);
                }
            }
            if round.is_whole {
                self.sync.syncing_since.store(0, SeqCst);
            }
            if round.is_last {
                return;
            }
        }
    }

    fn sync_one(&self, segment: &Segment) {
        let begun = Instant::now();
        let done = segment.sync(|is_new| {
            #[cfg(test)]
            if self.sync.fails.swap(false, SeqCst) {
                return Err(std::io::Error::other("planted"));
            }
            if is_new { self.directory.sync_names() } else { Ok(()) }
        });
        // Before anybody is told, who may look at the figures then.
        self.counters.count_sync(begun.elapsed(), done.is_ok());
        segment.conclude(&done);
        if let Err(error) = done {
            // The lane goes on in a new file as soon as it sees that this one is broken.
            tracing::error!(file = %segment.file_name, %error, "a spool file could not be synced");
        }
    }
}
