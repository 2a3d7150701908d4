//! Verification of the trail (audit §5): over the table, or over an export, against the checkpoints of the table, of this data
//! directory, and of a copy that was held elsewhere.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    sync::Arc,
};

use chrono::{DateTime, Utc};
use statuspulse_audit::{
    AlertRule, PublicKey, Record, SignedCheckpoint,
    checkpoint::Head,
    verify::{DroppedDay, Finding, Options, Reason, Report, Verdict, Verifier},
};
use statuspulse_store::{
    alerts::Happening,
    audit::{
        checkpoints, partitions,
        trail::{self, Filter, Order, Place},
    },
};

use super::{checkpoint, keys};
use crate::{app::App, error::AppError};

/// Records that are read at once.
const PAGE: i64 = 5_000;
/// Bytes of a line of an export or of a file of checkpoints, at most: more is no line of ours.
const LONGEST_LINE: usize = 64 << 20;

/// What is verified, beside the table.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Events from this moment on.
    pub from: Option<DateTime<Utc>>,
    /// Events before this moment.
    pub to: Option<DateTime<Utc>>,
    /// Checkpoints that were held elsewhere.
    pub copy: Option<std::path::PathBuf>,
    /// The key that was got elsewhere.
    pub key: Option<PublicKey>,
    /// Holes are normal: an export of one organization.
    pub partial: bool,
}

/// Verifies the tables of the database. A contradiction opens an alert.
///
/// # Errors
/// When the database, or a file, can't be read.
pub async fn database(app: &Arc<App>, question: &Question, drained: bool) -> Result<Report, AppError> {
    let mut conn = app.conn().await?;
    let now = app.env.now();
    // What is written behind this is not looked at: verification would run after a trail that grows.
    let newest = checkpoints::newest(&mut conn).await?.map_or(0, |newest| newest.number);
    let known = keys::all(app, &mut conn).await?;
    let heads = checkpoints::heads(&mut conn, DateTime::UNIX_EPOCH).await?;
    let gone = partitions::gone(&mut conn).await?;
    let spans = question.from.is_some() || question.to.is_some();
    let options = Options {
        at: now,
        keys: known.iter().map(|key| key.public).take(1).collect(),
        anchor: question.key,
        partial: question.partial || spans,
        dropped: gone
            .iter()
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
    let until: HashMap<_, _> = heads.iter().map(|head| (head.stream, head.sequence)).collect();
    let mut verifier = Verifier::new(options);
    let mut stated = 0;
    let filter = Filter { from: question.from, to: question.to, ..Filter::default() };
    let mut after: Option<Place> = None;
    loop {
        let records = trail::page(&mut conn, &filter, Order::OldestFirst, after, PAGE).await?;
        after = records.last().map(Place::from).or(after);
        for record in &records {
            while verifier.wants_checkpoint(record) && stated < newest {
                stated = feed(&mut verifier, &mut conn, stated, newest).await?;
            }
            // Written since this began: the next verification looks at it.
            let is_new =
                record.recorded_at > now && until.get(&record.stream).is_none_or(|head| record.sequence > *head);
            if !is_new {
                verifier.record(record);
            }
        }
        if i64::try_from(records.len()).unwrap_or(PAGE) < PAGE {
            break;
        }
    }
    while stated < newest {
        stated = feed(&mut verifier, &mut conn, stated, newest).await?;
    }
    if !spans {
        for sealed in partitions::stated(&mut conn).await? {
            let found = partitions::root_of(&mut conn, sealed.day).await?;
            verifier.day(found.day, found.rows, found.root);
        }
    }
    let own = checkpoint::file(app);
    if own.exists() {
        compare(&mut verifier, &own)?;
    }
    if let Some(copy) = &question.copy {
        compare(&mut verifier, copy)?;
    }
    let mut report = verifier.finish();
    // Retention says what it takes. A day that is gone without is missing, even if a checkpoint knows what was in it.
    let vanished = gone.iter().find(|day| day.vanished).filter(|_| report.verdict == Verdict::Whole);
    if let Some(day) = vanished {
        report.ok = false;
        report.verdict = Verdict::Incomplete;
        report.incomplete = Some(Finding {
            stream: None,
            sequence: None,
            reason: Reason::DayUnsealed,
            checkpoint: None,
            day: Some(day.day),
        });
    }
    if !drained && report.verdict == Verdict::Whole {
        report.ok = false;
        report.verdict = Verdict::Incomplete;
    }
    if report.verdict == Verdict::Tampered {
        raise(app, &report);
    }
    Ok(report)
}

/// Gives the next checkpoints; answers the number of the last one.
async fn feed(
    verifier: &mut Verifier,
    conn: &mut statuspulse_store::Conn,
    stated: i64,
    newest: i64,
) -> Result<i64, AppError> {
    let more = checkpoints::behind(conn, stated, 50).await?;
    let mut last = newest;
    for stored in more.iter().filter(|stored| stored.number <= newest) {
        last = stored.number;
        verifier.checkpoint(&checkpoint::read(stored)?);
    }
    Ok(last)
}

/// Verifies an export, without a database: with the public key, and the checkpoints that were held elsewhere.
///
/// # Errors
/// When a file can't be read, or a line is none of an export.
pub fn export(file: &Path, question: &Question, now: DateTime<Utc>) -> Result<Report, AppError> {
    let options = Options {
        at: now,
        keys: question.key.into_iter().collect(),
        anchor: question.key,
        partial: question.partial || question.from.is_some() || question.to.is_some(),
        ..Options::default()
    };
    let mut verifier = Verifier::new(options);
    let mut copies = match &question.copy {
        Some(path) => Some(lines(path)?),
        None => None,
    };
    let mut next = || -> Result<Option<SignedCheckpoint>, AppError> {
        let Some(lines) = &mut copies else { return Ok(None) };
        let Some((number, line)) = lines.next().transpose()? else { return Ok(None) };
        let path = question.copy.as_deref().unwrap_or(Path::new("checkpoints"));
        SignedCheckpoint::from_line(&line).map(Some).map_err(|error| unreadable(path, number, &error))
    };
    for line in lines(file)? {
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

fn compare(verifier: &mut Verifier, path: &Path) -> Result<(), AppError> {
    for line in lines(path)? {
        let (number, line) = line?;
        match SignedCheckpoint::from_line(&line) {
            Ok(signed) => verifier.compare(signed),
            // What a crash left of a line, which was written again behind it.
            Err(error) => tracing::warn!(file = %path.display(), line = number, %error, "a line is no checkpoint"),
        }
    }
    Ok(())
}

/// The lines of a file that are not empty, with their numbers.
fn lines(path: &Path) -> Result<impl Iterator<Item = Result<(usize, String), AppError>> + use<>, AppError> {
    let shown = path.display().to_string();
    let failed = move |error: std::io::Error| AppError::BadRequest {
        code: "unreadable_file",
        detail: format!("`{shown}` can't be read: {error}"),
    };
    let file = File::open(path).map_err(&failed)?;
    let mut reader = BufReader::new(file);
    let mut number = 0;
    Ok(std::iter::from_fn(move || {
        loop {
            number += 1;
            let mut line = Vec::new();
            match std::io::Read::take(&mut reader, LONGEST_LINE as u64).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(failed(error))),
            }
            match String::from_utf8(line) {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => return Some(Ok((number, text.trim_end().to_owned()))),
                Err(_) => return Some(Err(failed(std::io::Error::other(format!("line {number} is not UTF-8"))))),
            }
        }
    }))
}

fn unreadable(path: &Path, line: usize, error: &dyn std::fmt::Display) -> AppError {
    AppError::BadRequest { code: "unreadable_line", detail: format!("`{}` line {line}: {error}", path.display()) }
}

fn raise(app: &App, report: &Report) {
    let now = app.env.now();
    let facts = serde_json::to_value(&report.first_bad).ok();
    app.recorder.alert(Happening {
        rule: AlertRule::Integrity,
        organization: None,
        subject_kind: "trail",
        subject: "audit".to_owned(),
        first_at: now,
        last_at: now,
        count: 1,
        routes: Vec::new(),
        sources: Vec::new(),
        facts: facts.and_then(|facts| facts.as_object().cloned()).unwrap_or_default(),
    });
}
