//! One segment file, as the writers, the sync thread and the reader see it.

use crate::SyncError;
use crate::format::{HEADER, Seed, SegmentName};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;

/// All offsets only grow.
///
/// The orderings are sequentially consistent because two pairs of threads talk by "I write mine, then look at yours"
/// (an append and the sync thread, an append and the reader), where anything weaker may let both look too early.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    pub(crate) file_name: Arc<str>,
    pub(crate) seed: Seed,
    /// Microseconds since 1970 UTC; 0 when the header is damaged.
    pub(crate) created_at: u64,
    /// Place in the order in which this process learnt of its segments.
    pub(crate) serial: u64,
    /// `None` for the files of earlier processes, which nobody writes to.
    pub(crate) file: Option<File>,
    /// The end of the last whole record.
    written: AtomicU64,
    synced: AtomicU64,
    /// The highest end that somebody waits for.
    wanted: AtomicU64,
    committed: AtomicU64,
    /// The directory is known to name the file after a power cut.
    pub(crate) is_linked: AtomicBool,
    retired: AtomicBool,
    broken: OnceLock<String>,
    pub(crate) changed: Notify,
}

impl Segment {
    pub(crate) fn live(name: SegmentName, serial: u64, created_at: u64, file: File) -> Segment {
        Segment { file: Some(file), ..Segment::old(name, serial, created_at, HEADER).reopened() }
    }

    pub(crate) fn old(name: SegmentName, serial: u64, created_at: u64, len: u64) -> Segment {
        Segment {
            name,
            file_name: name.to_string().into(),
            seed: name.seed(),
            created_at,
            serial,
            file: None,
            written: AtomicU64::new(len),
            synced: AtomicU64::new(len),
            wanted: AtomicU64::new(0),
            committed: AtomicU64::new(HEADER),
            is_linked: AtomicBool::new(true),
            retired: AtomicBool::new(true),
            broken: OnceLock::new(),
            changed: Notify::new(),
        }
    }

    fn reopened(self) -> Segment {
        Segment {
            synced: AtomicU64::new(0),
            is_linked: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            ..self
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.file.is_some()
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(SeqCst)
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(SeqCst)
    }

    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(SeqCst)
    }

    /// No record will be appended any more.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(SeqCst)
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.get().is_some()
    }

    pub(crate) fn is_stored(&self) -> bool {
        self.committed() >= self.written()
    }

    /// Only under the lock of its lane.
    pub(crate) fn retire(&self) {
        self.retired.store(true, SeqCst);
    }

    pub(crate) fn commit(&self, end: u64) {
        self.committed.fetch_max(end, SeqCst);
    }

    /// Only under the lock of its lane, or by the recovery of an old file, which cuts the torn tail off.
    pub(crate) fn publish(&self, end: u64) {
        self.written.store(end, SeqCst);
    }

    pub(crate) fn want(&self, end: u64) {
        self.wanted.fetch_max(end, SeqCst);
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(SeqCst) > self.synced()
    }

    pub(crate) fn is_dirty(&self) -> bool {
        self.is_live() && !self.is_broken() && self.synced() < self.written()
    }

    /// What is to be told to one who waits for this offset; `None` while it is open.
    pub(crate) fn verdict(&self, end: u64) -> Option<Result<(), SyncError>> {
        if self.synced() >= end {
            return Some(Ok(()));
        }
        let reason = self.broken.get()?.clone();
        Some(Err(SyncError::Failed { file: self.file_name.to_string(), reason }))
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// Everything that was appended is somewhere else for good, so that nobody has to wait for the disk.
    pub(crate) fn settle(&self) {
        if !self.is_broken() {
            self.synced.fetch_max(self.written(), SeqCst);
        }
        self.changed.notify_waiters();
    }

    /// One call of the system where the system takes all of it. A write that falls short is continued only to learn
    /// why.
    pub(crate) fn write(&self, record: &[u8], offset: u64) -> io::Result<()> {
        self.file()?.write_all_at(record, offset)
    }

    pub(crate) fn truncate(&self, len: u64) -> io::Result<()> {
        self.file()?.set_len(len)
    }

    /// Brings what has been appended so far onto the disk, and tells how far that is. `before` is told whether the
    /// directory is yet to be synced for the file's name.
    pub(crate) fn sync(&self, before: impl FnOnce(bool) -> io::Result<()>) -> io::Result<u64> {
        let end = self.written();
        before(!self.is_linked.load(SeqCst))?;
        self.is_linked.store(true, SeqCst);
        self.file()?.sync_data()?;
        Ok(end)
    }

    /// Tells all who wait how a sync went.
    ///
    /// A file whose sync has failed once is never synced again: the kernel may have dropped the pages and called them
    /// clean, and the next call would succeed without them.
    pub(crate) fn conclude(&self, done: &io::Result<u64>) {
        match done {
            Ok(end) => _ = self.synced.fetch_max(*end, SeqCst),
            Err(error) => _ = self.broken.set(error.to_string()),
        }
        self.changed.notify_waiters();
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
