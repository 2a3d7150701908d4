//! Checkpoints (audit §5): every minute, or every 10,000 events, also when nothing happened, so that absence shows.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::Duration as Span;
use serde_json::json;
use statuspulse_audit::{
    Action, Bytes, Checkpoint, Class, EventType, SignedCheckpoint,
    checkpoint::{Head, NO_PREVIOUS, Rotation, SealedDay, VERSION},
    merkle,
};
use statuspulse_store::{
    AsyncConnection as _, Conn, StoreError,
    audit::{
        checkpoints::{self, Stored},
        partitions,
    },
    webhooks,
};

use super::keys;
use crate::{app::App, caller::Caller, error::AppError, webhooks::News};

/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(2);
/// Time between two, at most.
const EVERY: Span = Span::seconds(60);
/// Events between two, at most.
const EVENTS: i64 = 10_000;
/// How long a stream that stands still goes on being listed.
const LISTED: Span = Span::hours(24);
/// Checkpoints that the file takes up at once.
const PAGE: i64 = 500;

/// Makes the checkpoints that are due, and keeps this instance's file of them complete.
pub(crate) async fn run(app: Arc<App>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let made = async {
            make_if_due(&app).await?;
            copy(&app).await
        };
        if let Err(error) = made.await {
            tracing::warn!(%error, "no checkpoint could be made; it is tried again");
        }
    }
}

async fn make_if_due(app: &App) -> Result<(), AppError> {
    let mut conn = app.conn().await?;
    let newest = checkpoints::newest(&mut conn).await?;
    let is_due = match newest {
        None => true,
        Some(newest) => app.env.now() - newest.at >= EVERY || checkpoints::uncovered(&mut conn).await? >= EVENTS,
    };
    if is_due {
        make(app, &mut conn, None, false).await?;
    }
    Ok(())
}

/// Makes one now, at an operator's wish, which is itself an event; with `rotate` it hands over to a new key.
///
/// # Errors
/// 503.
pub async fn now(app: &App, caller: &Caller, rotate: bool) -> Result<SignedCheckpoint, AppError> {
    let mut conn = app.conn().await?;
    let made = make(app, &mut conn, Some(caller), rotate).await?;
    copy(app).await?;
    made.ok_or_else(|| AppError::internal("no checkpoint was made"))
}

/// One instance makes the next one. None: another one is at it.
async fn make(
    app: &App,
    conn: &mut Conn,
    caller: Option<&Caller>,
    rotate: bool,
) -> Result<Option<SignedCheckpoint>, AppError> {
    let result = conn
        .transaction(async |conn| {
            if caller.is_some() {
                checkpoints::await_turn(conn).await?;
            } else if !checkpoints::take_turn(conn).await? {
                return Ok(None);
            }
            let now = app.env.now();
            let newest = checkpoints::newest(conn).await?;
            if caller.is_none() && newest.as_ref().is_some_and(|newest| now - newest.at < EVERY) {
                // Another instance was faster.
                if checkpoints::uncovered(conn).await? < EVENTS {
                    return Ok(None);
                }
            }
            let before = newest.as_ref().map(read).transpose()?;
            let heads = checkpoints::heads(conn, now - LISTED).await?;
            let mut leaves = Vec::new();
            for head in heads.iter().filter(|head| head.covered < head.sequence) {
                let stretch = (head.covered, head.sequence);
                leaves.extend(checkpoints::leaves(conn, head.stream, stretch, (head.uncovered_since, None)).await?);
            }
            let key = keys::in_force(app, conn).await?;
            let next = if rotate { Some(keys::make(app)?) } else { None };
            let body = Checkpoint {
                version: VERSION,
                number: before.as_ref().map_or(1, |before| before.body.number + 1),
                at: now,
                previous: before.map_or(Ok(NO_PREVIOUS), |before| before.body.digest()).map_err(AppError::internal)?,
                streams: heads
                    .iter()
                    .map(|head| Head { stream: head.stream, sequence: head.sequence, hash: head.hash })
                    .collect(),
                leaves: leaves.len() as u64,
                root: merkle::root(&leaves),
                sealed: partitions::unstated(conn)
                    .await?
                    .into_iter()
                    .map(|day| SealedDay { day: day.day, rows: day.rows, root: day.root })
                    .collect(),
                key_id: key.public_key().key_id(),
                rotation: next
                    .as_ref()
                    .map(|(_, next)| Rotation { key_id: next.public_key().key_id(), public_key: next.public_key() }),
            };
            let replaced = body.key_id.to_string();
            let signed = body.sign(&key, next.as_ref().map(|(_, next)| next)).map_err(AppError::internal)?;
            let since = heads.iter().filter_map(|head| head.uncovered_since).min();
            checkpoints::insert(conn, &stored(&signed, since)?, &heads).await?;
            if let Some((row, _)) = &next
                && !checkpoints::add_key(conn, row, Some(&replaced)).await?
            {
                return Err(AppError::conflict("key_changed", "another key has taken over meanwhile; try again"));
            }
            if let Some(caller) = caller {
                let event = caller.event(app, Class::A, Action::AuditCheckpoint, None)?;
                let event = event.with("number", signed.body.number).with("rotated", rotate);
                app.recorder.record(conn, event).await?;
            }
            for organization in webhooks::subscribers(conn, EventType::AuditCheckpoint).await? {
                let news = News::new(EventType::AuditCheckpoint, organization).with("checkpoint", json!(signed));
                news.tell(app, conn).await?;
            }
            Ok::<_, AppError>(Some(signed))
        })
        .await;
    match result {
        // The key is only added in this transaction, and the number is taken by one.
        Err(AppError::Conflict { .. }) if caller.is_none() => Ok(None),
        other => other,
    }
}

fn stored(signed: &SignedCheckpoint, since: Option<chrono::DateTime<chrono::Utc>>) -> Result<Stored, AppError> {
    Ok(Stored {
        number: signed.body.number,
        at: signed.body.at,
        body: serde_json::to_value(&signed.body).map_err(|error| AppError::internal(error.to_string()))?,
        key_id: signed.body.key_id.to_string(),
        signature: signed.signature.as_slice().to_vec(),
        rotation_signature: signed.rotation_signature.map(|signature| signature.as_slice().to_vec()),
        since,
    })
}

/// A checkpoint as it was signed.
///
/// # Errors
/// When the row holds something else.
pub fn read(stored: &Stored) -> Result<SignedCheckpoint, AppError> {
    let corrupt = |column| StoreError::CorruptRow { table: "audit_checkpoints", column, id: stored.number.to_string() };
    let body = serde_json::from_value(stored.body.clone()).map_err(|_| corrupt("body"))?;
    let signature = Bytes::from_slice(&stored.signature).ok_or_else(|| corrupt("signature"))?;
    let rotation = stored.rotation_signature.as_deref().map(|bytes| Bytes::from_slice(bytes).ok_or(()));
    let rotation_signature = rotation.transpose().map_err(|()| corrupt("rotation_signature"))?;
    Ok(SignedCheckpoint { body, signature, rotation_signature })
}

/// The file of this instance's data directory that holds a copy of every checkpoint.
#[must_use]
pub fn file(app: &App) -> PathBuf {
    app.audit.dir.join("checkpoints.jsonl")
}

/// Appends to the file what the table has more.
async fn copy(app: &App) -> Result<(), AppError> {
    let path = file(app);
    let failed = |error: io::Error| AppError::internal(format!("`{}`: {error}", path.display()));
    let Some(_turn) = turn(&path).map_err(failed)? else { return Ok(()) };
    let held = last_number(&path).map_err(failed)?;
    let mut number = held;
    let mut conn = app.conn().await?;
    loop {
        let more = checkpoints::behind(&mut conn, number, PAGE).await?;
        let Some(last) = more.last() else { break };
        number = last.number;
        let mut text = String::new();
        for stored in &more {
            text.push_str(&read(stored)?.to_line().map_err(|error| AppError::internal(error.to_string()))?);
            text.push('\n');
        }
        append(&path, &text).map_err(failed)?;
    }
    // A table that ends before the file was set back: what vouches for the rest is here, and verification will say so.
    if let Some(newest) = checkpoints::newest(&mut conn).await?
        && newest.number < held
    {
        tracing::error!(
            table = newest.number,
            file = held,
            "the trail's table ends before the copy of its checkpoints"
        );
    }
    Ok(())
}

/// The turn of writing the file, of which a server and the command line may be in want at once: a checkpoint that stands
/// there twice would look like a forged one. None: another process has it, and appends the same.
fn turn(path: &Path) -> io::Result<Option<File>> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let lock =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.with_extension("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Number of the last whole line; 0 without a file. A torn line is what a crash left: it is ended, so that no later one runs
/// into it.
fn last_number(path: &Path) -> io::Result<i64> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    // One line is far shorter; of a long file only the end is read.
    let mut reader = BufReader::new(file);
    io::Seek::seek(&mut reader, io::SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut last = 0;
    for line in reader.split(b'\n') {
        let line = line?;
        let read = std::str::from_utf8(&line).ok().and_then(|line| SignedCheckpoint::from_line(line).ok());
        if let Some(signed) = read {
            last = last.max(signed.body.number);
        }
    }
    Ok(last)
}

/// Bytes of the file's end in which its last line is looked for.
const TAIL: u64 = 16 << 20;

fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    if !ends_with_a_line(&mut file)? {
        file.write_all(b"\n")?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn ends_with_a_line(file: &mut File) -> io::Result<bool> {
    use std::io::{Read as _, Seek as _};
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(io::SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}
