//! Appending: one lane, one file at a time.

use crate::AppendError;
use crate::figures::unix_micros;
use crate::format::{HEADER, LONGEST_PAYLOAD, SegmentName, encode_header, encode_record, record_len};
use crate::position::Mark;
use crate::segment::Segment;
use crate::shared::{Shared, locked};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Instant;
use uuid::Uuid;

/// The part of the spool that one worker writes to. Aligned so that no two lanes share a line of the cache.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Lane {
    owner: Uuid,
    index: u32,
    next_number: u64,
    active: Option<Arc<Segment>>,
    buffer: Vec<u8>,
}

impl Lane {
    pub(crate) fn new(owner: Uuid, index: u32) -> Lane {
        Lane { owner, index, next_number: 0, active: None, buffer: Vec::new() }
    }

    pub(crate) fn retire(&mut self) {
        if let Some(segment) = self.active.take() {
            segment.retire();
        }
    }

    pub(crate) fn retire_if_stored(&mut self, segment: &Arc<Segment>) {
        // Under the lock, so that nothing can have been appended since.
        if segment.is_stored() && self.active.as_ref().is_some_and(|active| Arc::ptr_eq(active, segment)) {
            self.retire();
        }
    }

    fn append(&mut self, shared: &Shared, payload: &[u8]) -> Result<Mark, AppendError> {
        // Under the lock, so that the last sync of a close sees all that got past here.
        if shared.is_closed.load(SeqCst) {
            return Err(AppendError::Closed);
        }
        let len = record_len(payload.len());
        let segment = self.segment_for(shared, len)?;
        if !shared.reserve(len) {
            return Err(AppendError::Full { limit: shared.limit });
        }
        let offset = segment.written();
        encode_record(&mut self.buffer, segment.seed, offset, payload);
        if let Err(error) = segment.write(&self.buffer, offset) {
            shared.give_back(len);
            // The next record goes to the same offset, so a part that stays there does no harm unless we die first;
            // but a file that can't even be cut is not to be trusted with more.
            if segment.truncate(offset).is_err() {
                self.retire();
            }
            return Err(error.into());
        }
        segment.publish(offset + len);
        Ok(Mark { segment, end: offset + len })
    }

    /// The file that has room for so many bytes. One record always fits an empty file.
    fn segment_for(&mut self, shared: &Shared, len: u64) -> Result<Arc<Segment>, AppendError> {
        if let Some(active) = &self.active {
            let written = active.written();
            if !active.is_broken() && (written == HEADER || written + len <= shared.segment_size) {
                return Ok(Arc::clone(active));
            }
        }
        self.retire();
        if !shared.reserve(HEADER) {
            return Err(AppendError::Full { limit: shared.limit });
        }
        let segment = self.create(shared).inspect_err(|_| shared.give_back(HEADER))?;
        self.active = Some(Arc::clone(&segment));
        Ok(segment)
    }

    /// Makes the next file. It is brought onto the disk, with its name, by the first sync: nobody is told that a
    /// record is safe before.
    fn create(&mut self, shared: &Shared) -> io::Result<Arc<Segment>> {
        let name = SegmentName { owner: self.owner, lane: self.index, number: self.next_number };
        // Also when this fails: what is left of it keeps the name.
        self.next_number += 1;
        let created_at = unix_micros();
        let file_name = name.to_string();
        let file = shared.directory.create(&file_name)?;
        if let Err(error) = file.write_all_at(&encode_header(name.seed(), created_at), 0) {
            // A file without a whole header has no records; if it stays, a later process removes it.
            let _ = shared.directory.remove(&file_name);
            return Err(error);
        }
        let mut segments = locked(&shared.segments);
        let serial = shared.next_serial.fetch_add(1, Relaxed);
        let segment = Arc::new(Segment::live(name, serial, created_at, file));
        segments.push(Arc::clone(&segment));
        Ok(segment)
    }
}

impl Shared {
    pub(crate) fn append(&self, lane_hint: usize, payload: &[u8]) -> Result<Mark, AppendError> {
        if payload.is_empty() {
            return Err(AppendError::Empty);
        }
        if payload.len() > LONGEST_PAYLOAD {
            return Err(AppendError::TooLarge { len: payload.len() });
        }
        let begun = Instant::now();
        // There is at least one lane.
        let lane = self.lanes.get(lane_hint % self.lanes.len().max(1)).ok_or(AppendError::Closed)?;
        let appended = locked(lane).append(self, payload);
        match appended {
            Ok(_) => {
                self.sync.touch(begun);
                self.wake_reader();
                self.counters.count_append(begun.elapsed());
            }
            Err(AppendError::Full { .. }) => self.starve(),
            Err(_) => {}
        }
        appended
    }
}
