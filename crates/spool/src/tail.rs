//! Reading: the one reader that takes the records out.

use crate::SpoolError;
use crate::format::{Found, Scanner, SegmentName};
use crate::recover::{Cut, Damage, Recovered};
use crate::segment::Segment;
use crate::shared::{Shared, locked};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name of the segment file that it lies in.
    pub file: Arc<str>,
    /// The offset behind it: when it is stored, so is the file up to here.
    pub end: u64,
    /// What was appended.
    pub payload: Vec<u8>,
}

/// Records in the order in which they are to be stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The records. Those of one file stand in the order of their offsets.
    pub entries: Vec<Entry>,
    /// Damaged places that this batch passes over and that [`Recovered`] has not told of: the disk did not give back
    /// what was written.
    pub damage: Vec<Damage>,
    ends: BTreeMap<Arc<str>, u64>,
    payload_bytes: usize,
}

impl Batch {
    /// How far each file is stored once this batch is: to be stored in the same transaction.
    #[must_use]
    pub fn offsets(&self) -> &BTreeMap<Arc<str>, u64> {
        &self.ends
    }

    /// Whether nothing was there, not even a damaged place.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// The one reader of a spool. While it lives the directory stays locked, and there is no other.
///
/// Its calls read files and are meant for a thread that may wait for the disk.
#[derive(Debug)]
pub struct Tail {
    shared: Arc<Shared>,
    recovered: Recovered,
    cuts: Vec<Cut>,
    /// The files of earlier processes, oldest process first, each with its lanes.
    earlier: VecDeque<Lanes>,
    live: Lanes,
    /// The serial number of the last segment that has been taken up.
    seen: u64,
}

impl Tail {
    pub(crate) fn new(shared: Arc<Shared>, recovered: Recovered, cuts: Vec<Cut>) -> Tail {
        let mut tail = Tail { shared, recovered, cuts, earlier: VecDeque::new(), live: Lanes::default(), seen: 0 };
        tail.look_for_files();
        tail
    }

    /// What earlier processes left behind.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// The next records, without waiting: at most `records`, and none more once their payloads come to `bytes`.
    ///
    /// All files of an earlier process come before those of a later one; the lanes of one process take turns. Live
    /// files are read up to what has been appended, synced or not.
    ///
    /// The first call also cuts off the torn tails that [`Tail::recovered`] tells of, so that they are told of once:
    /// whoever has to report the recovery keeps the report before it.
    ///
    /// # Errors
    /// [`SpoolError::Io`]. What had been taken out by the failed call is not lost: the next reader that is made with
    /// the stored offsets finds it again.
    pub fn drain(&mut self, records: usize, bytes: usize) -> Result<Batch, SpoolError> {
        self.cut_tails()?;
        self.look_for_files();
        let mut batch = Batch::default();
        let mut taking =
            Taking { shared: &self.shared, known: &self.recovered.damage, batch: &mut batch, records, bytes };
        while let Some(lanes) = self.earlier.front_mut() {
            lanes.take(&mut taking)?;
            if !lanes.is_finished() {
                return Ok(batch);
            }
            self.earlier.pop_front();
        }
        self.live.take(&mut taking)?;
        Ok(batch)
    }

    /// Waits until there is something to drain, or to release because an append found the spool full. `false` when
    /// the spool is closed and all of it has been drained.
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn wait_for_more(&self) -> bool {
        loop {
            let mut told = pin!(self.shared.more.notified());
            told.as_mut().enable();
            self.shared.reader_waits.store(true, SeqCst);
            // Before the look, so that a close cannot slip in between.
            let is_closed = self.shared.is_closed.load(SeqCst);
            if self.has_more() || self.shared.is_starved.load(SeqCst) {
                return true;
            }
            if is_closed {
                return false;
            }
            told.await;
        }
    }

    fn has_more(&self) -> bool {
        let is_new = |segment: &Arc<Segment>| segment.serial > self.seen && !segment.is_stored();
        self.earlier.iter().any(Lanes::has_more)
            || self.live.has_more()
            || locked(&self.shared.segments).iter().any(is_new)
    }

    fn cut_tails(&mut self) -> Result<(), SpoolError> {
        while let Some(cut) = self.cuts.last() {
            self.shared.directory.cut(&cut.file, cut.len)?;
            self.cuts.pop();
        }
        Ok(())
    }

    fn look_for_files(&mut self) {
        let seen = self.seen;
        for segment in locked(&self.shared.segments).iter().filter(|segment| segment.serial > seen) {
            self.seen = segment.serial;
            if segment.is_live() {
                self.live.push(segment);
                continue;
            }
            let owner = segment.name.owner;
            match self.earlier.back_mut() {
                Some(lanes) if lanes.owner() == Some(owner) => lanes.push(segment),
                _ => {
                    let mut lanes = Lanes::default();
                    lanes.push(segment);
                    self.earlier.push_back(lanes);
                }
            }
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.shared.reader_waits.store(false, SeqCst);
        self.shared.is_tailed.store(false, SeqCst);
    }
}

/// A batch in the making.
struct Taking<'a> {
    shared: &'a Shared,
    known: &'a [Damage],
    batch: &'a mut Batch,
    records: usize,
    bytes: usize,
}

impl Taking<'_> {
    fn left(&self) -> usize {
        if self.batch.payload_bytes >= self.bytes {
            return 0;
        }
        self.records.saturating_sub(self.batch.entries.len())
    }
}

/// The lanes of one process.
#[derive(Debug, Default)]
struct Lanes {
    lanes: VecDeque<Source>,
}

impl Lanes {
    fn owner(&self) -> Option<uuid::Uuid> {
        self.lanes.front().and_then(|lane| lane.files.front()).map(|segment| segment.name.owner)
    }

    fn push(&mut self, segment: &Arc<Segment>) {
        let SegmentName { lane, .. } = segment.name;
        match self.lanes.iter_mut().find(|source| source.lane == lane) {
            Some(source) => source.files.push_back(Arc::clone(segment)),
            None => self.lanes.push_back(Source { lane, files: VecDeque::from([Arc::clone(segment)]), open: None }),
        }
    }

    fn is_finished(&self) -> bool {
        self.lanes.iter().all(|lane| lane.files.is_empty())
    }

    fn has_more(&self) -> bool {
        self.lanes.iter().any(Source::has_more)
    }

    /// In turns, and whoever comes last in one batch comes first in the next.
    fn take(&mut self, taking: &mut Taking<'_>) -> Result<(), SpoolError> {
        let share = (taking.left() / self.lanes.len().max(1)).max(1);
        let mut idle = 0;
        while idle < self.lanes.len() && taking.left() > 0 {
            let Some(mut lane) = self.lanes.pop_front() else { return Ok(()) };
            let taken = lane.take(share, taking);
            self.lanes.push_back(lane);
            idle = if taken? { 0 } else { idle + 1 };
        }
        Ok(())
    }
}

/// The files of one lane.
#[derive(Debug)]
struct Source {
    lane: u32,
    files: VecDeque<Arc<Segment>>,
    /// The first of `files`, once it is being read.
    open: Option<Scanner<File>>,
}

impl Source {
    fn has_more(&self) -> bool {
        let mut files = self.files.iter();
        let Some(first) = files.next() else { return false };
        let read = self.open.as_ref().map_or(first.committed(), Scanner::offset);
        read < first.written() || files.any(|segment| !segment.is_stored())
    }

    /// Takes at most `share` records; whether it took any, or passed over a damaged place.
    fn take(&mut self, share: usize, taking: &mut Taking<'_>) -> Result<bool, SpoolError> {
        let most = taking.left().saturating_sub(share);
        let mut moved = false;
        while let Some(segment) = self.files.front() {
            let directory = &taking.shared.directory;
            let scanner = match &mut self.open {
                Some(scanner) => scanner,
                none => {
                    let file = match &segment.file {
                        Some(file) => file.try_clone().map_err(directory.failed("open", &segment.file_name))?,
                        // Stored as a whole, it may have been deleted.
                        None if segment.is_stored() => {
                            self.files.pop_front();
                            continue;
                        }
                        None => directory.read(&segment.file_name)?,
                    };
                    none.insert(Scanner::new(file, segment.seed, segment.committed()))
                }
            };
            // In this order: once it is retired, nothing is written any more.
            let is_retired = segment.is_retired();
            let begun = scanner.offset();
            while taking.left() > most {
                let found = scanner.step(segment.written()).map_err(directory.failed("read", &segment.file_name))?;
                match found {
                    Some(Found::Record { end, payload }) => {
                        let file = Arc::clone(&segment.file_name);
                        taking.batch.payload_bytes += payload.len();
                        taking.batch.entries.push(Entry { file, end, payload: payload.to_vec() });
                    }
                    Some(Found::Damaged { from, to }) => {
                        let damage = Damage { file: Arc::clone(&segment.file_name), from, to };
                        if !taking.known.contains(&damage) {
                            taking.batch.damage.push(damage);
                        }
                    }
                    None => break,
                }
            }
            if scanner.offset() > begun {
                taking.batch.ends.insert(Arc::clone(&segment.file_name), scanner.offset());
                moved = true;
            }
            if !is_retired || scanner.offset() < segment.written() {
                break;
            }
            self.open = None;
            self.files.pop_front();
        }
        Ok(moved)
    }
}
