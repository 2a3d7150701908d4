//! The spool as its users see it.

use crate::directory::Directory;
use crate::figures::{Counters, Figures};
use crate::lane::Lane;
use crate::position::{Mark, Position};
use crate::shared::{Shared, locked};
use crate::sync::SyncState;
use crate::tail::Tail;
use crate::{AppendError, SpoolError, SyncError};
use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

/// How a spool is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its directory, which is made when it is not there.
    pub dir: PathBuf,
    /// This start of this process: fresh and random, because names of files are made from it and the checksums of
    /// records from these.
    pub owner: Uuid,
    /// The identity of the spool, if it has none yet: fresh and random.
    pub new_id: Uuid,
    /// The number of files that are written to at the same time; at least 1. Best one per worker.
    pub lanes: usize,
    /// What all segments together may take on the disk, in bytes; 2 GiB.
    pub limit: u64,
    /// What one segment may take, in bytes; 64 MiB. A single record may be longer.
    pub segment: u64,
    /// How long after an append a sync begins that nobody waits for; 50 ms.
    pub sync_every: Duration,
}

impl Options {
    /// One lane, and the limits of the documentation.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, owner: Uuid, new_id: Uuid) -> Options {
        Options {
            dir: dir.into(),
            owner,
            new_id,
            lanes: 1,
            limit: 2 << 30,
            segment: 64 << 20,
            sync_every: Duration::from_millis(50),
        }
    }
}

/// A segment is not made smaller than this for the sake of a small limit, in bytes.
const SMALLEST_SEGMENT: u64 = 4_096;

/// An open spool.
///
/// Dropped without [`Spool::close`] it syncs what it has, and the next open counts as one after a crash. The
/// directory stays locked until its [`Tail`] is dropped too.
#[derive(Debug)]
pub struct Spool {
    shared: Arc<Shared>,
    id: Uuid,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Spool {
    /// Opens the spool, makes it when it is not there, and locks it for this process.
    ///
    /// Reads the header of each file of earlier processes, and no records: see [`Spool::tail`].
    ///
    /// # Errors
    /// [`SpoolError::InUse`], [`SpoolError::BadIdentity`], [`SpoolError::NoIdentity`], [`SpoolError::OwnerReused`],
    /// [`SpoolError::NewerFormat`], or the failure of the system.
    pub fn open(options: Options) -> Result<Spool, SpoolError> {
        let directory = Directory::open(&options.dir)?;
        let segments = directory.segments(options.owner)?;
        let id = directory.identity(options.new_id, !segments.is_empty())?;
        // A spool that has just been made was not left by anybody.
        let was_clean = directory.take_clean_marker()? || (segments.is_empty() && id == options.new_id);
        let lanes = u32::try_from(options.lanes.max(1)).unwrap_or(u32::MAX);
        let bytes = segments.iter().map(|segment| segment.written()).sum();
        let shared = Arc::new(Shared {
            directory,
            lanes: (0..lanes).map(|index| Mutex::new(Lane::new(options.owner, index))).collect(),
            next_serial: AtomicU64::new(segments.len() as u64 + 1),
            segments: Mutex::new(segments),
            bytes: AtomicU64::new(bytes),
            limit: options.limit,
            segment_size: options.segment.min(options.limit / (4 * u64::from(lanes))).max(SMALLEST_SEGMENT),
            is_closed: AtomicBool::new(false),
            is_starved: AtomicBool::new(false),
            is_tailed: AtomicBool::new(false),
            reader_waits: AtomicBool::new(false),
            more: Notify::new(),
            released: Notify::new(),
            was_clean,
            counters: Counters::default(),
            sync: SyncState::new(options.sync_every),
        });
        let syncing = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("spool-sync".to_owned())
            .spawn(move || syncing.keep_synced())
            .map_err(SpoolError::io("start the sync thread of", &options.dir))?;
        Ok(Spool { shared, id, thread: Mutex::new(Some(thread)) })
    }

    /// The identity of the spool, which stays as long as its directory: offsets are stored under it.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Whether the last process closed the spool.
    #[must_use]
    pub fn was_clean(&self) -> bool {
        self.shared.was_clean
    }

    /// Appends a record of 1 to [`LONGEST_PAYLOAD`](crate::LONGEST_PAYLOAD) bytes. When this returns, the record
    /// outlives the process; it outlives the machine once [`Spool::synced`] says so.
    ///
    /// It goes to lane `lane_hint` modulo the number of lanes. Calls for one lane wait for each other, so each worker
    /// has its own. One write into the page cache, about a microsecond; but a system that is short of memory or disk
    /// may let it wait ([`Figures::slow_appends`]).
    ///
    /// # Errors
    /// The record is not there, not even in part: [`AppendError::Full`], [`AppendError::TooLarge`],
    /// [`AppendError::Empty`], [`AppendError::Closed`], or the failure of the system.
    pub fn append(&self, lane_hint: usize, payload: &[u8]) -> Result<Mark, AppendError> {
        self.shared.append(lane_hint, payload)
    }

    /// Waits until a record is on the disk. All who wait at the same time share one sync of each file; who comes
    /// while one runs shares the next.
    ///
    /// # Errors
    /// [`SyncError::Failed`] when the system could not write the file out: the record can still be read as long as
    /// the machine runs, and it will never be called safe. [`SyncError::Closed`].
    pub async fn synced(&self, mark: &Mark) -> Result<(), SyncError> {
        let mut is_asked = false;
        loop {
            let mut told = pin!(mark.segment.changed.notified());
            told.as_mut().enable();
            // Before the verdict: what the last round has synced was synced before it was over.
            let is_over = self.shared.sync.is_over();
            if let Some(verdict) = mark.segment.verdict(mark.end) {
                return verdict;
            }
            if is_over {
                return Err(SyncError::Closed);
            }
            if !is_asked {
                is_asked = true;
                mark.segment.want(mark.end);
                self.shared.sync.ask();
            }
            told.await;
        }
    }

    /// The reader, of which there is one at a time. `offsets` says how far each file is stored, as
    /// [`Batch::offsets`](crate::Batch::offsets) told it.
    ///
    /// Reads all that earlier processes left behind those offsets, to tell what is there, and changes nothing.
    ///
    /// # Errors
    /// [`SpoolError::Tailed`], or the failure of the system.
    pub fn tail(&self, offsets: &HashMap<String, u64>) -> Result<Tail, SpoolError> {
        if self.shared.is_tailed.swap(true, SeqCst) {
            return Err(SpoolError::Tailed);
        }
        match self.shared.recover(offsets) {
            Ok((recovered, cuts)) => Ok(Tail::new(Arc::clone(&self.shared), recovered, cuts)),
            Err(error) => {
                self.shared.is_tailed.store(false, SeqCst);
                Err(error)
            }
        }
    }

    /// Notes how far files are stored for good, and deletes those that are stored as a whole. Answers with the names
    /// of deleted files: they will not come back, not even by a power cut, so that their offsets can be forgotten.
    ///
    /// To be called after each batch is stored; and with nothing when [`Tail::wait_for_more`] has returned and there
    /// is nothing to drain.
    ///
    /// # Errors
    /// [`SpoolError::Io`] when a file could not be deleted: it is tried again by the next call.
    pub fn release<'a>(&self, offsets: impl IntoIterator<Item = (&'a str, u64)>) -> Result<Vec<Arc<str>>, SpoolError> {
        let offsets: Vec<_> = offsets.into_iter().collect();
        self.shared.release(&offsets)
    }

    /// Everything that has been appended so far, and what earlier processes left.
    #[must_use]
    pub fn position(&self) -> Position {
        self.shared.position()
    }

    /// Waits until [`Spool::release`] has been told that everything up to this position is stored. Whoever calls this
    /// sets a limit of time: nothing says that the reader moves.
    pub async fn committed(&self, position: &Position) {
        loop {
            let mut told = pin!(self.shared.released.notified());
            told.as_mut().enable();
            if position.is_committed() {
                return;
            }
            told.await;
        }
    }

    /// How the spool is doing.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.shared.figures()
    }

    /// Ends appending, syncs what was appended, and notes that the end was a clean one. What is not yet stored stays
    /// for the next process. A second call does nothing.
    ///
    /// Waits for the disk; not for an async thread.
    ///
    /// # Errors
    /// [`SpoolError::NotSynced`] or [`SpoolError::Io`]; then the next open counts as one after a crash.
    pub fn close(&self) -> Result<(), SpoolError> {
        if self.shared.is_closed.swap(true, SeqCst) {
            return Ok(());
        }
        for lane in &self.shared.lanes {
            locked(lane).retire();
        }
        self.shared.more.notify_one();
        self.stop();
        self.shared.delete_stored()?;
        let broken = self.shared.snapshot().into_iter().find(|segment| segment.is_broken());
        if let Some(segment) = broken {
            let reason = segment.reason().unwrap_or_default().to_owned();
            return Err(SpoolError::NotSynced { file: segment.file_name.to_string(), reason });
        }
        self.shared.directory.mark_clean()
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Ends the sync thread behind its last round.
    fn stop(&self) {
        self.shared.sync.stop();
        let thread = locked(&self.thread).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        self.shared.sync.end();
        for segment in self.shared.snapshot() {
            segment.changed.notify_waiters();
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, SeqCst);
        self.shared.more.notify_one();
        self.stop();
    }
}
