//! Verification of the trail (audit §5): over the table, or over an export, against the checkpoints of the table, of this data
//! directory, and of a copy that was held elsewhere.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use statuspulse_audit::{
    AlertRule, PublicKey, Record, SignedCheckpoint,
    checkpoint::Head,
    verify::{DroppedDay, Finding, Options, Reason, Report, Verdict, Verifier},
};
use statuspulse_store::{
    AsyncConnection as _, Conn, StoreError,
    alerts::Happening,
    audit::{
        checkpoints, partitions,
        trail::{self, Filter, Order, Place},
    },
};

use super::{checkpoint, keys, until::Until};
use crate::{app::App, error::AppError, recorder};

/// Records that are read at once.
const PAGE: i64 = 5_000;
/// Checkpoints that are read at once.
const CHECKPOINTS: i64 = 50;
/// How often tables that somebody works on are read again.
const AGAIN: usize = 2;
/// Bytes of a line of an export or of a file of checkpoints, at most: more is no line of ours.
const LONGEST_LINE: u64 = 64 << 20;

/// What is verified, beside the table.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Events from this moment on.
    pub from: Option<DateTime<Utc>>,
    /// Events before this moment.
    pub to: Option<DateTime<Utc>>,
    /// Checkpoints that were held elsewhere.
    pub copy: Option<std::path::PathBuf>,
    /// The keys that were got elsewhere, oldest first: the last one must have signed.
    pub keys: Vec<PublicKey>,
    /// Holes are normal: an export of one organization.
    pub partial: bool,
}

impl Question {
    const fn is_of_a_span(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }
}

/// Verifies the tables of the database. A contradiction opens an alert.
///
/// # Errors
/// When the database, or a file, can't be read.
pub async fn database(app: &Arc<App>, question: &Question, drained: bool) -> Result<Report, AppError> {
    let mut report = pass(app, question).await?;
    for _ in 0..AGAIN {
        // What retention or an erasure does meanwhile looks like a theft to who has read a part before and a part after.
        let Some(report_of_now) = look_again(app, question, &report).await? else { break };
        report = report_of_now;
    }
    let Pass { mut report, .. } = report;
    if !drained && report.verdict == Verdict::Whole {
        report.ok = false;
        report.verdict = Verdict::Incomplete;
    }
    if report.verdict == Verdict::Tampered {
        raise(app, &report).await;
    }
    Ok(report)
}

/// One reading of the tables, and the days that were gone when it began.
struct Pass {
    report: Report,
    gone: Vec<partitions::Gone>,
}

/// Reads a second time where the first one may have met somebody at work.
async fn look_again(app: &Arc<App>, question: &Question, found: &Pass) -> Result<Option<Pass>, AppError> {
    if found.report.verdict == Verdict::Whole {
        return Ok(None);
    }
    let is_erasure = found.report.first_bad.as_ref().is_some_and(|bad| bad.reason == Reason::ErasedWithoutEvent);
    if is_erasure {
        // The event of an erasure waits in the outbox for a moment.
        super::drain(app).await?;
    } else if partitions::gone(&mut *app.conn().await?).await? == found.gone {
        return Ok(None);
    }
    let again = pass(app, question).await?;
    Ok(Some(again))
}

async fn pass(app: &App, question: &Question) -> Result<Pass, AppError> {
    // Before the heads are read: a checkpoint that is made meanwhile vouches for records that are not looked at.
    let copies = Extent::of(&checkpoint::file(app)).into_iter().chain(question.copy.as_deref().map(Extent::of_given));
    let copies = copies.collect::<Result<Vec<_>, _>>()?;
    let mut conn = app.conn().await?;
    let now = app.env.now();
    // What is written behind this is not looked at: verification would run after a trail that grows.
    let newest = checkpoints::newest(&mut conn).await?.map_or(0, |newest| newest.number);
    let known = match keys::all(app, &mut conn).await {
        Ok(known) => known,
        Err(AppError::Internal { cause }) => {
            // Somebody has put another key into the table. No checkpoint is signed by a key that is known, then.
            tracing::error!(%cause, "the keys of the audit trail can't be relied on");
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    let heads = checkpoints::heads(&mut conn, DateTime::UNIX_EPOCH).await?;
    let gone = partitions::gone(&mut conn).await?;
    let spans = question.is_of_a_span();
    let options = Options {
        at: now,
        keys: known.iter().map(|key| key.public).take(1).collect(),
        anchor: question.keys.last().copied(),
        partial: question.partial || spans,
        // A sealed day that has gone without retention is missing like any other rows.
        dropped: gone
            .iter()
            .filter(|day| day.by_retention || day.sealed.is_none())
            .map(|day| DroppedDay {
                day: day.day,
                sealed: day.sealed.map(|sealed| (sealed.rows, sealed.root)),
                kept: day.kept,
            })
            .collect(),
        heads: heads
            .iter()
            .map(|head| Head { stream: head.stream, sequence: head.sequence, hash: head.hash })
            .collect(),
        live: heads.iter().filter(|head| head.covered == 0).map(|head| head.stream).collect(),
    };
    let mut until = Until::new(heads.iter().map(|head| (head.stream, head.sequence)));
    let mut reading = Reading { verifier: Verifier::new(options), stated: 0, newest, corrupt: None };
    let filter = Filter { from: question.from, to: question.to, ..Filter::default() };
    let mut after: Option<Place> = None;
    loop {
        let records = match trail::page(&mut conn, &filter, Order::OldestFirst, after, PAGE).await {
            Ok(records) => records,
            Err(error @ StoreError::CorruptRow { .. }) => {
                tracing::error!(%error, "the service can't have written this row; verification ends there");
                reading.corrupt.get_or_insert(Finding::of(Reason::Changed));
                break;
            }
            Err(error) => return Err(error.into()),
        };
        after = records.last().map(Place::from).or(after);
        until.next_page();
        for record in &records {
            while reading.verifier.wants_checkpoint(record) && reading.stated < newest {
                reading.feed(&mut conn).await?;
            }
            if !until.is_new(&mut conn, record).await? {
                reading.verifier.record(record);
            }
        }
        if i64::try_from(records.len()).unwrap_or(PAGE) < PAGE {
            break;
        }
    }
    while reading.stated < newest {
        reading.feed(&mut conn).await?;
    }
    if !spans {
        for sealed in partitions::stated(&mut conn).await? {
            let found = partitions::root_of(&mut conn, sealed.day).await?;
            reading.verifier.day(found.day, found.rows, found.root);
        }
    }
    for copy in &copies {
        compare(&mut reading.verifier, copy)?;
    }
    Ok(Pass { report: reading.finish(), gone })
}

/// The verifier, and how far the checkpoints of the table are in it.
struct Reading {
    verifier: Verifier,
    stated: i64,
    newest: i64,
    /// A row that is none of ours.
    corrupt: Option<Finding>,
}

impl Reading {
    /// Gives the next checkpoints.
    async fn feed(&mut self, conn: &mut Conn) -> Result<(), AppError> {
        let more = checkpoints::behind(conn, self.stated, CHECKPOINTS).await?;
        let mut last = self.newest;
        for stored in more.iter().filter(|stored| stored.number <= self.newest) {
            last = stored.number;
            match checkpoint::read(stored) {
                Ok(signed) => self.verifier.checkpoint(&signed),
                Err(error) => {
                    tracing::error!(number = stored.number, %error, "a row is no checkpoint");
                    let finding =
                        Finding { checkpoint: Some(stored.number), ..Finding::of(Reason::CheckpointMalformed) };
                    self.corrupt.get_or_insert(finding);
                }
            }
        }
        self.stated = last;
        Ok(())
    }

    fn finish(self) -> Report {
        let mut report = self.verifier.finish();
        if let Some(finding) = self.corrupt {
            report.ok = false;
            report.verdict = Verdict::Tampered;
            report.first_bad.get_or_insert(finding);
        }
        report
    }
}

/// Verifies an export, without a database: with the public key, and the checkpoints that were held elsewhere.
///
/// # Errors
/// When a file can't be read, or a line is none of an export.
pub fn export(file: &Path, question: &Question, now: DateTime<Utc>) -> Result<Report, AppError> {
    let options = Options {
        at: now,
        keys: question.keys.clone(),
        anchor: question.keys.last().copied(),
        partial: question.partial || question.is_of_a_span(),
        ..Options::default()
    };
    let mut verifier = Verifier::new(options);
    let copies = question.copy.as_deref().map(Extent::of_given).transpose()?;
    let mut copies = copies.as_ref().map(Copies::open).transpose()?;
    let mut next = || copies.as_mut().map_or(Ok(None), Copies::next);
    for line in Lines::open(&Extent::of_given(file)?)? {
        let (number, line) = line?;
        let record: Record = serde_json::from_str(&line).map_err(|error| unreadable(file, number, &error))?;
        let at = record.entry.occurred_at;
        if question.from.is_some_and(|from| at < from) || question.to.is_some_and(|to| at >= to) {
            continue;
        }
        while verifier.wants_checkpoint(&record) {
            match next()? {
                Some(signed) => verifier.checkpoint(&signed),
                None => break,
            }
        }
        verifier.record(&record);
    }
    while let Some(signed) = next()? {
        verifier.checkpoint(&signed);
    }
    Ok(verifier.finish())
}

fn compare(verifier: &mut Verifier, copy: &Extent) -> Result<(), AppError> {
    let mut copies = Copies::open(copy)?;
    while let Some(signed) = copies.next()? {
        verifier.compare(signed);
    }
    Ok(())
}

/// A file that others append to, as long as it was when it was looked at.
struct Extent {
    path: PathBuf,
    length: u64,
}

impl Extent {
    /// None when there is no such file.
    fn of(path: &Path) -> Option<Result<Self, AppError>> {
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            found => Some(Self::read(path, found)),
        }
    }

    /// A file that must be there.
    fn of_given(path: &Path) -> Result<Self, AppError> {
        Self::read(path, std::fs::metadata(path))
    }

    fn read(path: &Path, found: std::io::Result<std::fs::Metadata>) -> Result<Self, AppError> {
        let found = found.map_err(|error| unreadable_file(path, &error))?;
        // A pipe has no length, and is read to its end.
        let length = if found.is_file() { found.len() } else { u64::MAX };
        Ok(Self { path: path.to_owned(), length })
    }
}

/// The checkpoints of a file.
struct Copies {
    path: PathBuf,
    lines: Lines,
    last: Option<SignedCheckpoint>,
}

impl Copies {
    fn open(file: &Extent) -> Result<Self, AppError> {
        Ok(Self { path: file.path.clone(), lines: Lines::open(file)?, last: None })
    }

    /// The next one. A line that is none is what a crash left of one, which was written again behind it; where it was not, its
    /// number is missing. The same one twice says nothing new.
    fn next(&mut self) -> Result<Option<SignedCheckpoint>, AppError> {
        for line in &mut self.lines {
            let (number, line) = line?;
            match SignedCheckpoint::from_line(&line) {
                Ok(signed) if self.last.as_ref() == Some(&signed) => {}
                Ok(signed) => {
                    self.last = Some(signed.clone());
                    return Ok(Some(signed));
                }
                Err(error) => {
                    tracing::warn!(file = %self.path.display(), line = number, %error, "a line is no checkpoint");
                }
            }
        }
        Ok(None)
    }
}

/// The lines of a file that are not empty, with their numbers.
struct Lines {
    path: PathBuf,
    reader: BufReader<std::io::Take<File>>,
    number: usize,
}

impl Lines {
    fn open(extent: &Extent) -> Result<Self, AppError> {
        let file = File::open(&extent.path).map_err(|error| unreadable_file(&extent.path, &error))?;
        Ok(Self { path: extent.path.clone(), reader: BufReader::new(file.take(extent.length)), number: 0 })
    }
}

impl Iterator for Lines {
    type Item = Result<(usize, String), AppError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.number += 1;
            let mut line = Vec::new();
            match (&mut self.reader).take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(unreadable_file(&self.path, &error))),
            }
            match String::from_utf8(line) {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => return Some(Ok((self.number, text.trim_end().to_owned()))),
                Err(error) => return Some(Err(unreadable(&self.path, self.number, &error))),
            }
        }
    }
}

fn unreadable_file(path: &Path, error: &std::io::Error) -> AppError {
    AppError::BadRequest { code: "unreadable_file", detail: format!("`{}` can't be read: {error}", path.display()) }
}

fn unreadable(path: &Path, line: usize, error: &dyn std::fmt::Display) -> AppError {
    AppError::BadRequest { code: "unreadable_line", detail: format!("`{}` line {line}: {error}", path.display()) }
}

/// Opens the alert at once: the command line, which mostly asks, has no task that would do it later.
async fn raise(app: &App, report: &Report) {
    let now = app.env.now();
    let facts = serde_json::to_value(&report.first_bad).ok();
    let mut happening = Happening::new(AlertRule::Integrity, None, ("trail", "audit"), now);
    happening.observed.facts = facts.and_then(|facts| facts.as_object().cloned()).unwrap_or_default();
    let raising = async {
        let mut conn = app.conn().await?;
        conn.transaction(async |conn| recorder::raise(app, conn, &happening).await).await?;
        Ok::<_, AppError>(())
    };
    // What was found is answered in any case.
    if let Err(error) = raising.await {
        tracing::error!(%error, "the alert about the trail could not be opened");
    }
}
