//! Events on their way to their places in the stream of this process.

use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use statuspulse_audit::{Action, Class, Digest, Entry, Event, Outcome, Record, record::instant};
use statuspulse_store::audit::writer::{Head, TurnError, read_entry};

use crate::{app::App, caller::Caller, error::AppError};

/// An event that the table refuses.
pub(super) struct Aside {
    pub(super) source: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) error: String,
    /// Place of the gap record that stands for it.
    pub(super) sequence: i64,
}

/// Events on their way to their places.
pub(super) struct Batch<'a> {
    app: &'a App,
    head: Head,
    now: DateTime<Utc>,
    reason: Option<&'a str>,
    /// With the place in `aside` of what they stand for.
    entries: Vec<(Entry, Option<usize>)>,
    aside: Vec<Aside>,
    failed: Option<AppError>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(app: &'a App, head: Head, now: DateTime<Utc>, reason: Option<&'a str>) -> Self {
        Self { app, head, now, reason, entries: Vec::new(), aside: Vec::new(), failed: None }
    }

    pub(super) fn add(&mut self, source: &'static str, bytes: &[u8]) {
        let read = match self.reason {
            Some(reason) => Err(reason.to_owned()),
            None => read_entry(bytes),
        };
        match read {
            Ok(mut entry) => {
                self.app.geo.place(&mut entry);
                self.entries.push((entry, None));
            }
            Err(error) => {
                self.aside.push(Aside { source, bytes: bytes.to_vec(), error, sequence: 0 });
                let place = self.aside.len() - 1;
                self.add_gap(1, "row_refused");
                if let Some((_, stands_for)) = self.entries.last_mut() {
                    *stands_for = Some(place);
                }
            }
        }
    }

    pub(super) fn add_gap(&mut self, count: u64, reason: &str) {
        match gap(self.app, self.now, count, reason) {
            Ok(event) => self.entries.push((Entry::from(&event), None)),
            Err(error) => self.failed = Some(error),
        }
    }

    /// In the order in which they happened, as far as this batch goes.
    pub(super) fn place(mut self) -> Result<(Vec<Record>, Vec<Aside>), TurnError> {
        let unavailable = |error: &dyn std::fmt::Display| TurnError::Unavailable(error.to_string());
        if let Some(error) = &self.failed {
            return Err(unavailable(error));
        }
        self.entries.sort_by_key(|(entry, _)| entry.occurred_at);
        let stream = self.app.recorder.stream;
        let (mut sequence, mut prev): (i64, Digest) = (self.head.sequence, self.head.hash);
        let mut records = Vec::with_capacity(self.entries.len());
        for (entry, stands_for) in self.entries {
            sequence += 1;
            let salt = self.app.env.random().map_err(|error| unavailable(&error))?;
            let record = Record::place(entry, (stream, sequence), prev, salt, self.now);
            let record = record.map_err(|error| TurnError::Refused(error.to_string()))?;
            prev = record.hash;
            if let Some(put) = stands_for.and_then(|place| self.aside.get_mut(place)) {
                put.sequence = sequence;
            }
            records.push(record);
        }
        Ok((records, self.aside))
    }
}

fn gap(app: &App, now: DateTime<Utc>, count: u64, reason: &str) -> Result<Event, AppError> {
    let mut event = Caller::system(app).event(app, Class::A, Action::AuditGap, None)?;
    event.outcome = Outcome::Failed;
    let since = app.recorder.lost_since_us.load(Ordering::Relaxed);
    let from = DateTime::from_timestamp_micros(since).filter(|_| since > 0).unwrap_or(now).min(now);
    let event = event.with("count", count).with("from", instant(from)).with("to", instant(now));
    Ok(event.with("reason", reason))
}
