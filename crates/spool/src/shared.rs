//! What the writers, the sync thread and the reader share.

use crate::SpoolError;
use crate::directory::Directory;
use crate::figures::{Counters, Figures};
use crate::lane::Lane;
use crate::position::{Mark, Position};
use crate::segment::Segment;
use crate::sync::SyncState;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// Locks are taken in this order: a lane, then `segments`; and the state of the sync thread with none of them.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) directory: Directory,
    pub(crate) lanes: Vec<Mutex<Lane>>,
    /// In the order of their serial numbers: those of earlier processes, oldest first, then our own.
    pub(crate) segments: Mutex<Vec<Arc<Segment>>>,
    pub(crate) next_serial: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) limit: u64,
    pub(crate) segment_size: u64,
    pub(crate) is_closed: AtomicBool,
    /// An append found the spool full.
    pub(crate) is_starved: AtomicBool,
    pub(crate) is_tailed: AtomicBool,
    /// The reader sleeps and wants to hear of the next append.
    pub(crate) reader_waits: AtomicBool,
    pub(crate) more: Notify,
    pub(crate) released: Notify,
    pub(crate) was_clean: bool,
    pub(crate) counters: Counters,
    pub(crate) sync: SyncState,
}

impl Shared {
    pub(crate) fn snapshot(&self) -> Vec<Arc<Segment>> {
        locked(&self.segments).clone()
    }

    /// Takes so many bytes of the limit, when they are there.
    pub(crate) fn reserve(&self, bytes: u64) -> bool {
        let before = self.bytes.fetch_add(bytes, Relaxed);
        let fits = before.checked_add(bytes).is_some_and(|after| after <= self.limit);
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    /// The spool is full: the reader may be able to make room even though it has stored everything.
    pub(crate) fn starve(&self) {
        self.is_starved.store(true, SeqCst);
        self.wake_reader();
    }

    pub(crate) fn wake_reader(&self) {
        if self.reader_waits.load(SeqCst) && self.reader_waits.swap(false, SeqCst) {
            self.more.notify_one();
        }
    }

    /// Notes how far files are stored, and deletes those that are stored as a whole.
    pub(crate) fn release(&self, offsets: &[(&str, u64)]) -> Result<Vec<Arc<str>>, SpoolError> {
        let segments = self.snapshot();
        for (file, end) in offsets {
            if let Some(segment) = segments.iter().find(|segment| &*segment.file_name == *file) {
                segment.commit(*end);
            }
        }
        let least = if self.is_starved.swap(false, SeqCst) { 0 } else { self.segment_size / 4 };
        for segment in segments.iter().filter(|segment| !segment.is_retired()) {
            if segment.is_stored()
                && segment.written() >= least
                && let Some(lane) = self.lanes.get(segment.name.lane as usize)
            {
                locked(lane).retire_if_stored(segment);
            }
        }
        let gone = self.delete_stored();
        self.released.notify_waiters();
        gone
    }

    /// The names of the files that are gone for good.
    pub(crate) fn delete_stored(&self) -> Result<Vec<Arc<str>>, SpoolError> {
        let stored: Vec<_> =
            self.snapshot().into_iter().filter(|segment| segment.is_retired() && segment.is_stored()).collect();
        if stored.is_empty() {
            return Ok(Vec::new());
        }
        for segment in &stored {
            self.directory.remove(&segment.file_name)?;
            let known = {
                let mut segments = locked(&self.segments);
                let before = segments.len();
                segments.retain(|other| !Arc::ptr_eq(other, segment));
                segments.len() < before
            };
            // Two callers may meet here; one of them counts.
            if known {
                self.give_back(segment.written());
            }
            segment.settle();
        }
        // Until the directory is synced a power cut could bring a file back, and when its offset has been forgotten
        // by then, all of it would be read again.
        self.directory.sync()?;
        Ok(stored.iter().map(|segment| Arc::clone(&segment.file_name)).collect())
    }

    pub(crate) fn position(&self) -> Position {
        let mark = |segment: Arc<Segment>| Mark { end: segment.written(), segment };
        Position { ends: self.snapshot().into_iter().map(mark).collect() }
    }

    pub(crate) fn figures(&self) -> Figures {
        let segments = self.snapshot();
        let pending = segments.iter().map(|segment| segment.written().saturating_sub(segment.committed())).sum();
        let counters = &self.counters;
        let last_sync = match counters.last_sync.load(Relaxed) {
            0 => None,
            micros => SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros)),
        };
        Figures {
            bytes: self.bytes.load(Relaxed),
            limit: self.limit,
            pending,
            segments: segments.len(),
            unsynced_for: self.sync.age(),
            appended: counters.appended.load(Relaxed),
            slowest_append: Duration::from_nanos(counters.slowest_append.load(Relaxed)),
            slow_appends: counters.slow_appends.load(Relaxed),
            syncs: counters.syncs.load(Relaxed),
            failed_syncs: counters.failed_syncs.load(Relaxed),
            slowest_sync: Duration::from_nanos(counters.slowest_sync.load(Relaxed)),
            last_sync,
        }
    }
}

/// A panic elsewhere leaves nothing half done behind any of our locks.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
