//! The chain of one stream, checked link by link in whatever order its records come.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::report::Reason;
use crate::{bytes::Digest, chain, checkpoint::LARGEST, record::Record};

/// Holes that are kept open in one stream. Slow transactions leave a few; more are what retention leaves, or a theft.
pub(super) const MAX_HOLES: usize = 4_096;

/// Sequences that haven't come yet between two that have. Both ends are kept, so that the one that comes late is held to
/// its neighbours like any other.
#[derive(Debug, Clone)]
pub(super) struct Hole {
    pub(super) from: i64,
    pub(super) to: i64,
    /// Link of the record before `from`.
    before: Digest,
    /// `prev` of the record behind `to`.
    after: Digest,
    /// Days of these two; none before the stream's first.
    pub(super) days: (Option<NaiveDate>, NaiveDate),
    /// Records read when it opened.
    pub(super) position: u64,
}

/// A record that no known checkpoint covers yet.
#[derive(Debug)]
pub(super) struct Uncovered {
    pub(super) leaf: Digest,
    pub(super) hash: Digest,
    pub(super) position: u64,
    pub(super) occurred_at: DateTime<Utc>,
    pub(super) recorded_at: DateTime<Utc>,
}

/// Sequences that one checkpoint newly covers.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) from: i64,
    pub(super) to: i64,
    /// What the checkpoint says about `to`.
    pub(super) hash: Digest,
    pub(super) checkpoint: i64,
    /// Place of `from` among the checkpoint's leaves.
    pub(super) place: u64,
    /// Sequences that haven't come yet.
    left: i64,
}

/// How a record found its place.
pub(super) enum Placed {
    /// It is where it belongs; `settled` is a hole that was given up for it.
    Well { settled: Option<Hole> },
    /// It has a place but doesn't fit its neighbours.
    Unlinked,
    /// It has none.
    Nowhere(Reason),
    /// It falls where nothing is known any more.
    Unknown,
}

#[derive(Debug)]
pub(super) struct Stream {
    /// The highest sequence so far, its link and its day.
    pub(super) last: i64,
    pub(super) last_hash: Digest,
    pub(super) last_day: Option<NaiveDate>,
    /// By `from`.
    holes: BTreeMap<i64, Hole>,
    /// The highest sequence in a hole that was given up.
    settled: i64,
    /// The head of the newest checkpoint that lists the stream, and when that was made.
    pub(super) known: i64,
    known_hash: Digest,
    pub(super) known_at: Option<DateTime<Utc>>,
    ranges: VecDeque<Range>,
    pub(super) uncovered: BTreeMap<i64, Uncovered>,
}

impl Stream {
    pub(super) fn new(id: Uuid) -> Self {
        let beginning = chain::beginning(id);
        Self {
            last: 0,
            last_hash: beginning,
            last_day: None,
            holes: BTreeMap::new(),
            settled: 0,
            known: 0,
            known_hash: beginning,
            known_at: None,
            ranges: VecDeque::new(),
            uncovered: BTreeMap::new(),
        }
    }

    /// Holds a record to its neighbours, as far as they have come; those that come later are held to it.
    pub(super) fn place(&mut self, record: &Record, position: u64, partial: bool) -> Placed {
        let sequence = record.sequence;
        if !(1..=LARGEST).contains(&sequence) {
            return Placed::Nowhere(Reason::Forged);
        }
        if sequence > self.last {
            return self.append(record, position);
        }
        let hole = self.holes.range(..=sequence).next_back().map(|(_, hole)| hole).filter(|hole| sequence <= hole.to);
        let Some(hole) = hole.cloned() else {
            let unknown = partial && sequence <= self.settled;
            return if unknown { Placed::Unknown } else { Placed::Nowhere(Reason::Repeated) };
        };
        self.holes.remove(&hole.from);
        let day = record.entry.occurred_at.date_naive();
        let fits =
            (sequence != hole.from || record.prev == hole.before) && (sequence != hole.to || record.hash == hole.after);
        if sequence > hole.from {
            let days = (hole.days.0, day);
            let left = Hole { to: sequence - 1, after: record.prev, days, ..hole.clone() };
            self.holes.insert(left.from, left);
        }
        if sequence < hole.to {
            let days = (Some(day), hole.days.1);
            let right = Hole { from: sequence + 1, before: record.hash, days, ..hole };
            self.holes.insert(right.from, right);
        }
        if fits { Placed::Well { settled: self.settle() } } else { Placed::Unlinked }
    }

    fn append(&mut self, record: &Record, position: u64) -> Placed {
        let day = record.entry.occurred_at.date_naive();
        let next = self.last + 1;
        let fits = record.sequence != next || record.prev == self.last_hash;
        if record.sequence > next {
            let hole = Hole {
                from: next,
                to: record.sequence - 1,
                before: self.last_hash,
                after: record.prev,
                days: (self.last_day, day),
                position,
            };
            self.holes.insert(next, hole);
        }
        (self.last, self.last_hash, self.last_day) = (record.sequence, record.hash, Some(day));
        if fits { Placed::Well { settled: self.settle() } } else { Placed::Unlinked }
    }

    /// Gives the oldest hole up when there are too many.
    fn settle(&mut self) -> Option<Hole> {
        if self.holes.len() <= MAX_HOLES {
            return None;
        }
        let (_, hole) = self.holes.pop_first()?;
        self.settled = self.settled.max(hole.to);
        Some(hole)
    }

    pub(super) fn take_holes(&mut self) -> impl Iterator<Item = Hole> + use<> {
        std::mem::take(&mut self.holes).into_values()
    }

    /// The range that covers a sequence up to the known head, and whether that was its last one.
    pub(super) fn covered(&mut self, sequence: i64) -> Option<Covered> {
        let index = self.ranges.partition_point(|range| range.to < sequence);
        let range = self.ranges.get_mut(index).filter(|range| range.from <= sequence)?;
        let covered = Covered {
            checkpoint: range.checkpoint,
            place: range.place.checked_add_signed(sequence - range.from)?,
            head: (sequence == range.to).then_some(range.hash),
        };
        range.left -= 1;
        if range.left == 0 {
            self.ranges.remove(index);
        }
        Some(covered)
    }

    /// Takes the head that a checkpoint names. False when the stream was further or elsewhere by an earlier one.
    pub(super) fn advance(
        &mut self,
        sequence: i64,
        hash: Digest,
        (checkpoint, at): (i64, DateTime<Utc>),
        place: u64,
    ) -> bool {
        if sequence <= self.known {
            return sequence == self.known && hash == self.known_hash;
        }
        let from = self.known + 1;
        self.ranges.push_back(Range { from, to: sequence, hash, checkpoint, place, left: sequence - self.known });
        (self.known, self.known_hash, self.known_at) = (sequence, hash, Some(at));
        true
    }

    /// The records that have become covered, with their sequences.
    pub(super) fn take_covered(&mut self) -> BTreeMap<i64, Uncovered> {
        let rest = self.uncovered.split_off(&(self.known + 1));
        std::mem::replace(&mut self.uncovered, rest)
    }
}

/// What a checkpoint says about one record.
pub(super) struct Covered {
    pub(super) checkpoint: i64,
    /// Its place among the checkpoint's leaves.
    pub(super) place: u64,
    /// The link it must have, when it is the head.
    pub(super) head: Option<Digest>,
}
