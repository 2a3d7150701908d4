//! Verification of a trail (audit §5): record by record, in memory that doesn't grow with the records.
//!
//! Records come in about the order of time, the streams among each other; checkpoints come in the order of their numbers. How
//! both are interleaved changes only how much must be remembered: [`Verifier::wants_checkpoint`] says when the next one is
//! of use. Nothing depends on how late a record comes within its stream: a link is compared as soon as both records are there.
//!
//! What is remembered: for each stream its end, its open holes (some 150 bytes each, at most 4,096) and the ranges of the
//! checkpoints that aren't complete; a few nodes of the trees of at most 10,000 of these; a digest for each checkpoint; the
//! ids of rows whose address was erased; the records that no checkpoint has covered yet.

pub(crate) mod content;
mod report;
mod signatures;
mod stream;
mod tree;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use uuid::Uuid;

pub use self::report::{Finding, Reason, Report, Verdict};
use self::{
    content::Texts,
    report::Findings,
    signatures::Signatures,
    stream::{Covered, Hole, Placed, Stream, Uncovered},
    tree::Tree,
};
use crate::{
    bytes::Digest,
    checkpoint::{Head, SignedCheckpoint},
    merkle,
    record::Record,
    signing::PublicKey,
};

/// The action of an event that says whose addresses were erased: its detail has their ids in `erased`.
pub const ERASE: &str = "audit.erase";
/// How long after a record was written a checkpoint must cover it: writers are slow sometimes.
pub const SLACK: TimeDelta = TimeDelta::minutes(10);
/// Trees that are filled at once. Those of checkpoints out of which retention has dropped records never become full.
const MAX_TREES: usize = 10_000;

/// A day whose table is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedDay {
    /// The day, UTC.
    pub day: NaiveDate,
    /// Rows and root that the database says it had; none when the database has forgotten it.
    pub sealed: Option<(u64, Digest)>,
    /// Rows of it that were kept and are still to be read.
    pub kept: u64,
}

/// What is verified, and against what.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Now. Records that claim to be written later than this are judged by when they occurred.
    pub at: DateTime<Utc>,
    /// Public keys by which checkpoints may be signed, besides those that are handed over to.
    pub keys: Vec<PublicKey>,
    /// A key that was got elsewhere: one of the checkpoints must be signed by it as the one in force, or the whole history
    /// may be somebody else's.
    pub anchor: Option<PublicKey>,
    /// The records are those of one organization or a span. Holes are normal then and nothing is said about what is missing;
    /// each record is checked for itself, against its neighbours where they are there, and against heads that fall on it.
    pub partial: bool,
    /// Days whose tables are gone. Holes around them are normal, as many as their seals say.
    pub dropped: Vec<DroppedDay>,
    /// How far the database says that its streams have come. A stream that isn't named may be anywhere.
    pub heads: Vec<Head>,
    /// Streams that are being written and may be in no checkpoint yet.
    pub live: HashSet<Uuid>,
}

/// Verifies one trail.
#[derive(Debug)]
pub struct Verifier {
    options: Options,
    dropped: BTreeSet<NaiveDate>,
    findings: Findings,
    events: u64,
    unaddressed: u64,
    checkpoints: u64,
    newest_checkpoint: Option<DateTime<Utc>>,
    streams: BTreeMap<Uuid, Stream>,
    signatures: Signatures,
    trees: BTreeMap<i64, Tree>,
    /// Rows read, rows that the newest seal counts with its root, and what the caller has counted.
    rows: BTreeMap<NaiveDate, u64>,
    seals: BTreeMap<NaiveDate, (u64, Digest)>,
    observed: BTreeMap<NaiveDate, (u64, Digest)>,
    /// Rows without address that no event has named yet, by id; and ids that events have named.
    erased: HashMap<Uuid, (u64, Uuid, i64)>,
    named: HashSet<Uuid>,
    /// Records missing where days were dropped, and where the first of them is.
    excused: u64,
    first_excused: Option<(u64, Finding)>,
}

impl Verifier {
    /// Begins.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let keys = options.keys.iter().chain(&options.anchor).copied();
        Self {
            dropped: options.dropped.iter().map(|day| day.day).collect(),
            findings: Findings::default(),
            events: 0,
            unaddressed: 0,
            checkpoints: 0,
            newest_checkpoint: None,
            streams: BTreeMap::new(),
            signatures: Signatures::new(keys, options.partial),
            trees: BTreeMap::new(),
            rows: BTreeMap::new(),
            seals: BTreeMap::new(),
            observed: BTreeMap::new(),
            erased: HashMap::new(),
            named: HashSet::new(),
            excused: 0,
            first_excused: None,
            options,
        }
    }

    /// Whether the next checkpoint should be handed over before this record, because none so far covers it.
    #[must_use]
    pub fn wants_checkpoint(&self, record: &Record) -> bool {
        self.streams.get(&record.stream).is_none_or(|stream| stream.known < record.sequence)
    }

    /// The next checkpoint by number.
    pub fn checkpoint(&mut self, signed: &SignedCheckpoint) {
        self.checkpoints += 1;
        let number = signed.body.number;
        let judged = self.signatures.next(signed);
        for reason in judged.wrong {
            self.findings.bad(self.events, Finding::checkpoint(reason, number));
        }
        if !judged.counts {
            return;
        }
        self.newest_checkpoint = self.newest_checkpoint.max(Some(signed.body.at));
        self.take_seals(signed);
        self.take_heads(signed);
    }

    /// A copy of a checkpoint that was held elsewhere, in whatever order. Best after the trail's own of the same number,
    /// since it needn't be remembered then.
    pub fn compare(&mut self, copy: SignedCheckpoint) {
        let number = copy.body.number;
        if let Some(reason) = self.signatures.compare(copy) {
            self.findings.bad(self.events, Finding::checkpoint(reason, number));
        }
    }

    /// Rows and root of a day that is there, computed over its leaves ordered by stream and sequence (see
    /// [`merkle::StreamingRoot`]): records that come in the order of time can't give it in bounded memory.
    pub fn day(&mut self, day: NaiveDate, rows: u64, root: Digest) {
        self.observed.insert(day, (rows, root));
    }

    /// The next record.
    pub fn record(&mut self, record: &Record) {
        let position = self.events;
        self.events += 1;
        let (stream, sequence) = (record.stream, record.sequence);
        *self.rows.entry(record.entry.occurred_at.date_naive()).or_default() += 1;
        if !content::is_what_it_says(record) {
            self.findings.bad(position, Finding::record(Reason::Changed, stream, sequence));
        }
        self.look_at_texts(record, position);

        let state = self.streams.entry(stream).or_insert_with(|| Stream::new(stream));
        match state.place(record, position, self.options.partial) {
            Placed::Well { settled } => {
                if let Some(hole) = settled {
                    self.judge_hole(stream, &hole);
                }
            }
            Placed::Unlinked => self.findings.bad(position, Finding::record(Reason::Unlinked, stream, sequence)),
            Placed::Nowhere(reason) => {
                self.findings.bad(position, Finding::record(reason, stream, sequence));
                return;
            }
            Placed::Unknown => return,
        }
        self.cover(
            stream,
            sequence,
            Uncovered {
                leaf: record.leaf,
                hash: record.hash,
                position,
                occurred_at: record.entry.occurred_at,
                recorded_at: record.recorded_at,
            },
        );
    }

    /// Ends, after the last record and the last checkpoint.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let ended = self.judge_copies();
        let uncovered: usize = self.streams.values().map(|stream| stream.uncovered.len()).sum();
        if !self.options.partial {
            self.judge_streams();
            self.judge_dropped();
            self.judge_erased();
        }
        if let Some(number) = ended {
            self.findings.incomplete(Finding::checkpoint(Reason::CheckpointsEnd, number));
        }
        self.judge_heads();
        self.judge_seals();
        if let Some(anchor) = self.options.anchor
            && self.checkpoints > 0
            && !self.signatures.was_in_force(&anchor)
        {
            self.findings.bad(self.events, Finding::checkpoint(Reason::CheckpointKey, 1));
        }
        let (verdict, first_bad, incomplete) = self.findings.split();
        Report {
            ok: verdict == Verdict::Whole,
            verdict,
            events: self.events,
            unaddressed: self.unaddressed,
            checkpoints: self.checkpoints,
            uncovered: uncovered as u64,
            first_bad,
            incomplete,
        }
    }

    fn look_at_texts(&mut self, record: &Record, position: u64) {
        match content::texts(record) {
            Texts::Fit => {}
            Texts::Wrong => {
                self.findings.bad(position, Finding::record(Reason::Commitment, record.stream, record.sequence));
            }
            Texts::Erased => {
                self.unaddressed += 1;
                if !self.named.contains(&record.entry.id) {
                    self.erased.entry(record.entry.id).or_insert((position, record.stream, record.sequence));
                }
            }
        }
        if record.entry.action == ERASE {
            let ids = record.entry.detail.get("erased").and_then(|ids| ids.as_array());
            for id in ids.into_iter().flatten().filter_map(|id| id.as_str()?.parse().ok()) {
                self.erased.remove(&id);
                self.named.insert(id);
            }
        }
    }

    /// Compares a record with what a checkpoint says about it, now or when that checkpoint comes.
    fn cover(&mut self, stream: Uuid, sequence: i64, record: Uncovered) {
        let Some(state) = self.streams.get_mut(&stream) else { return };
        if sequence > state.known {
            state.uncovered.insert(sequence, record);
            return;
        }
        let Some(Covered { checkpoint, place, head }) = state.covered(sequence) else { return };
        if head.is_some_and(|head| head != record.hash) {
            let finding = Finding::record(Reason::HeadDiffers, stream, sequence);
            self.findings.bad(record.position, Finding { checkpoint: Some(checkpoint), ..finding });
        }
        if let Some(tree) = self.trees.get_mut(&checkpoint)
            && let Some(fits) = tree.insert(place, record.leaf)
        {
            self.trees.remove(&checkpoint);
            if !fits {
                self.findings.bad(record.position, Finding::checkpoint(Reason::RootDiffers, checkpoint));
            }
        }
    }

    fn take_seals(&mut self, signed: &SignedCheckpoint) {
        for sealed in &signed.body.sealed {
            self.seals.insert(sealed.day, (sealed.rows, sealed.root));
        }
    }

    fn take_heads(&mut self, signed: &SignedCheckpoint) {
        let body = &signed.body;
        let mut leaves = 0_u64;
        let mut moved = Vec::new();
        for head in &body.streams {
            let state = self.streams.entry(head.stream).or_insert_with(|| Stream::new(head.stream));
            let before = state.known;
            if !state.advance(head.sequence, head.hash, (body.number, body.at), leaves) {
                let finding = Finding::record(Reason::HeadDiffers, head.stream, head.sequence);
                self.findings.bad(self.events, Finding { checkpoint: Some(body.number), ..finding });
            } else if state.known > before {
                leaves = leaves.saturating_add((state.known - before).unsigned_abs());
                moved.push(head.stream);
            }
        }
        // The first of a span may cover records of before.
        if !self.options.partial {
            if leaves != body.leaves || leaves == 0 && body.root != merkle::empty() {
                self.findings.bad(self.events, Finding::checkpoint(Reason::RootDiffers, body.number));
            } else if leaves > 0 {
                self.trees.insert(body.number, Tree::new(leaves, body.root));
                if self.trees.len() > MAX_TREES {
                    self.trees.pop_first();
                }
            }
        }
        for stream in moved {
            let covered = self.streams.get_mut(&stream).map(Stream::take_covered).unwrap_or_default();
            for (sequence, record) in covered {
                self.cover(stream, sequence, record);
            }
        }
    }

    /// A hole that nothing will fill any more.
    fn judge_hole(&mut self, stream: Uuid, hole: &Hole) {
        if self.options.partial {
            return;
        }
        let finding = Finding::record(Reason::Missing, stream, hole.from);
        if self.is_excused(hole.days.0, hole.days.1) {
            self.excuse(hole.to - hole.from + 1, hole.position, finding);
        } else {
            self.findings.bad(hole.position, finding);
        }
    }

    fn excuse(&mut self, records: i64, position: u64, finding: Finding) {
        self.excused = self.excused.saturating_add(records.unsigned_abs());
        if self.first_excused.as_ref().is_none_or(|(first, _)| position < *first) {
            self.first_excused = Some((position, finding));
        }
    }

    /// Whether a day that lies between two records was dropped. A record may have got its place on the day after.
    fn is_excused(&self, from: Option<NaiveDate>, to: NaiveDate) -> bool {
        let one = Days::new(1);
        let from = from.unwrap_or(NaiveDate::MIN).min(to);
        let from = from.checked_sub_days(one).unwrap_or(from);
        let to = to.checked_add_days(one).unwrap_or(to);
        self.dropped.range(from..=to).next().is_some()
    }
}

mod end;

#[cfg(test)]
mod tests;
