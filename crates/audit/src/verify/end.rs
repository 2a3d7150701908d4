//! What can only be told when everything was read.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Finding, Reason, SLACK, Verifier,
    stream::{Stream, Uncovered},
};

impl Verifier {
    /// Copies that are newer than everything here vouch for records too. The number of the first such one.
    pub(super) fn judge_copies(&mut self) -> Option<i64> {
        let mut ended = None;
        for (copy, wrong) in self.signatures.beyond() {
            let number = copy.body.number;
            match wrong {
                Some(reason) => self.findings.bad(self.events, Finding::checkpoint(reason, number)),
                None => {
                    ended = ended.or(Some(number));
                    self.take_copied_heads(&copy);
                }
            }
        }
        ended
    }

    fn take_copied_heads(&mut self, copy: &crate::checkpoint::SignedCheckpoint) {
        let made = (copy.body.number, copy.body.at);
        for head in &copy.body.streams {
            let state = self.streams.entry(head.stream).or_insert_with(|| Stream::new(head.stream));
            let advanced = state.advance(head.sequence, head.hash, made, 0);
            let covered = state.take_covered();
            if !advanced {
                let finding = Finding::record(Reason::HeadDiffers, head.stream, head.sequence);
                self.findings.bad(self.events, Finding { checkpoint: Some(made.0), ..finding });
            }
            for (sequence, record) in covered {
                self.cover(head.stream, sequence, record);
            }
        }
    }

    pub(super) fn judge_streams(&mut self) {
        for (id, mut stream) in std::mem::take(&mut self.streams) {
            for hole in stream.take_holes() {
                self.judge_hole(id, &hole);
            }
            if let Some(at) = stream.known_at.filter(|_| stream.known > stream.last) {
                let finding = Finding::record(Reason::Truncated, id, stream.last + 1);
                if self.is_excused(stream.last_day, at.date_naive()) {
                    self.excuse(stream.known - stream.last, self.events, finding);
                } else {
                    self.findings.incomplete(finding);
                }
            }
            self.judge_uncovered(id, &stream);
            self.streams.insert(id, stream);
        }
    }

    /// A record that was written long before the newest checkpoint and isn't in it didn't come from a writer of this trail.
    fn judge_uncovered(&mut self, id: Uuid, stream: &Stream) {
        let Some(newest) = self.newest_checkpoint.filter(|_| !self.options.live.contains(&id)) else { return };
        let limit = newest.checked_sub_signed(SLACK).unwrap_or(newest);
        let late = stream.uncovered.iter().find(|(_, record)| self.appeared(record) < limit);
        if let Some((sequence, record)) = late {
            let reason = if stream.known == 0 { Reason::UnknownStream } else { Reason::Forged };
            self.findings.bad(record.position, Finding::record(reason, id, *sequence));
        }
    }

    /// When a record appeared. Nothing vouches for when it was written, and a spool may be drained long after its records
    /// occurred; so the former counts unless it is impossible.
    fn appeared(&self, record: &Uncovered) -> DateTime<Utc> {
        let possible = record.recorded_at >= record.occurred_at && record.recorded_at <= self.options.at + SLACK;
        if possible { record.recorded_at } else { record.occurred_at }
    }

    /// The streams must be where the database itself says, when it does.
    pub(super) fn judge_heads(&mut self) {
        for head in std::mem::take(&mut self.options.heads) {
            let (last, hash) =
                self.streams.get(&head.stream).map_or((0, None), |stream| (stream.last, Some(stream.last_hash)));
            if last > head.sequence {
                self.findings.bad(self.events, Finding::record(Reason::Forged, head.stream, head.sequence + 1));
            } else if last == head.sequence {
                if hash.is_some_and(|hash| hash != head.hash) {
                    self.findings.bad(self.events, Finding::record(Reason::Forged, head.stream, head.sequence));
                }
            } else if !self.options.partial && !self.is_excused_tail(&head.stream) {
                self.findings.incomplete(Finding::record(Reason::Truncated, head.stream, last + 1));
            }
        }
    }

    fn is_excused_tail(&self, stream: &Uuid) -> bool {
        let state = self.streams.get(stream);
        state
            .and_then(|stream| Some((stream.last_day, stream.known_at?)))
            .is_some_and(|(day, at)| self.is_excused(day, at.date_naive()))
    }

    /// As many records may be missing around dropped days as their seals say, and no other number.
    pub(super) fn judge_dropped(&mut self) {
        let mut gone = 0_u64;
        let mut unsealed = false;
        for day in std::mem::take(&mut self.options.dropped) {
            let there = self.rows.get(&day.day).copied().unwrap_or_default();
            match self.seals.remove(&day.day) {
                None => {
                    unsealed = true;
                    self.findings.incomplete(Finding::day(Reason::DayUnsealed, day.day));
                }
                Some(seal) => {
                    let (rows, _) = seal;
                    if day.sealed.is_some_and(|said| said != seal) || there != day.kept || there > rows {
                        self.findings.bad(self.events, Finding::day(Reason::SealDiffers, day.day));
                    }
                    gone = gone.saturating_add(rows.saturating_sub(there));
                }
            }
        }
        if unsealed || gone == self.excused {
            return;
        }
        match self.first_excused.take() {
            Some((position, finding)) if self.excused > gone => match finding.reason {
                Reason::Truncated => self.findings.incomplete(finding),
                _ => self.findings.bad(position, finding),
            },
            // Fewer are missing than were dropped: a day is counted wrongly, or records were put in.
            _ => {
                let first = self.dropped.first().copied();
                if let Some(day) = first.filter(|_| !self.findings.any()) {
                    self.findings.bad(self.events, Finding::day(Reason::SealDiffers, day));
                }
            }
        }
    }

    pub(super) fn judge_erased(&mut self) {
        if let Some((position, stream, sequence)) = self.erased.values().min().copied() {
            self.findings.bad(position, Finding::record(Reason::ErasedWithoutEvent, stream, sequence));
        }
    }

    /// Days that are there against their seals.
    pub(super) fn judge_seals(&mut self) {
        for (day, (rows, root)) in std::mem::take(&mut self.seals) {
            let there = self.rows.get(&day).copied().unwrap_or_default();
            // Records that are missing were told of by name already.
            let rows_fit = there == rows || self.options.partial || there < rows && self.findings.any();
            let counted = self.observed.get(&day);
            let root_fits = counted.is_none_or(|counted| *counted == (rows, root) || there < rows);
            if !rows_fit || !root_fits {
                self.findings.bad(self.events, Finding::day(Reason::SealDiffers, day));
            }
        }
    }
}
