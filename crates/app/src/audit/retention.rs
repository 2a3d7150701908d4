//! How long the trail stays (audit §4): days that have passed are sealed; allowed calls leave after a month, everything else
//! after more than a year, into compressed files where a folder is named. Nothing is deleted row by row.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Days, Duration, NaiveDate, Utc};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use statuspulse_audit::{Action, Class, export::Format, record::instant};
use statuspulse_store::{
    Conn,
    audit::{
        partitions::{self, Sealed},
        trail::{self, Filter, Order, Place},
    },
};

use crate::{app::App, caller::Caller, error::AppError};

/// How long after its end a day is sealed: what was answered at midnight is in the table by then.
const SETTLED: Duration = Duration::hours(1);
/// Records that are read at once.
const PAGE: i64 = 5_000;

/// What one round has done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Days that were sealed.
    pub sealed: Vec<NaiveDate>,
    /// Days whose allowed calls have left.
    pub reduced: Vec<NaiveDate>,
    /// Days that have left as a whole.
    pub dropped: Vec<NaiveDate>,
}

/// One round; none while another instance is at it.
///
/// # Errors
/// When the database can't be reached, or an archive can't be written: then its day stays.
pub async fn pass(app: &App) -> Result<Option<Done>, AppError> {
    let mut owner = app.owner().await?;
    let mut done = Done::default();
    if !partitions::take_turn(&mut owner).await? {
        return Ok(None);
    }
    let now = app.env.now();
    let today = now.date_naive();
    for day in partitions::open_before(&mut owner, (now - SETTLED).date_naive()).await? {
        if partitions::seal(&mut owner, day, now).await?.is_some() {
            done.sealed.push(day);
        }
    }
    let (calls, changes) = (days_before(today, app.audit.keep_calls), days_before(today, app.audit.keep_changes));
    for day in partitions::sealed_before(&mut owner, calls.max(changes)).await? {
        let archive = archive(app, &mut owner, day).await?;
        if day < changes {
            continue;
        }
        note(app, day, "calls", archive.as_deref()).await?;
        partitions::reduce(&mut owner, day).await?;
        done.reduced.push(day);
    }
    for day in partitions::present_before(&mut owner, changes).await? {
        note(app, day, "changes", None).await?;
        partitions::remove(&mut owner, day, None, now).await?;
        done.dropped.push(day);
    }
    Ok(Some(done))
}

fn days_before(today: NaiveDate, span: std::time::Duration) -> NaiveDate {
    today.checked_sub_days(Days::new(span.as_secs() / 86_400)).unwrap_or(NaiveDate::MIN)
}

/// Before anything leaves: one that says so and is repeated after a crash is better than one that is missing.
async fn note(app: &App, day: NaiveDate, leaving: &'static str, archive: Option<&str>) -> Result<(), AppError> {
    let event = Caller::system(app).event(app, Class::A, Action::AuditRetention, None)?;
    let event = event.with("day", day.to_string()).with("leaving", leaving).with("archive", json!(archive));
    Ok(app.recorder.record(&mut *app.conn().await?, event).await?)
}

/// Writes the archive of a day, if there is to be one: the records as exported, compressed, and a manifest that says what is
/// in it. Answers its name.
async fn archive(app: &App, conn: &mut Conn, day: NaiveDate) -> Result<Option<String>, AppError> {
    let Some(folder) = &app.audit.archive_dir else { return Ok(None) };
    let name = format!("audit-{day}.jsonl.gz");
    let failed = |error: io::Error| AppError::internal(format!("the archive `{name}` can't be written: {error}"));
    if folder.join(manifest_name(day)).exists() {
        return Ok(Some(name));
    }
    fs::create_dir_all(folder).map_err(failed)?;
    let sealed = partitions::root_of(conn, day).await?;
    let draft = Draft::create(folder, &name).map_err(failed)?;
    let draft = fill(conn, draft, day).await?;
    if draft.rows != sealed.rows {
        return Err(AppError::internal(format!(
            "the archive `{name}` has {} rows and the day {}",
            draft.rows, sealed.rows
        )));
    }
    draft.finish(folder, &name, day, &sealed, app.env.now()).map_err(failed)?;
    partitions::note_archive(conn, day, &name).await?;
    Ok(Some(name))
}

fn manifest_name(day: NaiveDate) -> String {
    format!("audit-{day}.manifest.json")
}

struct Draft {
    path: PathBuf,
    encoder: GzEncoder<Counting>,
    rows: u64,
    bytes: u64,
}

/// What goes into the file, with its digest.
struct Counting {
    file: BufWriter<File>,
    digest: Sha256,
    bytes: u64,
}

impl io::Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(bytes.split_at(written).0);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Draft {
    fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(format!("{name}.draft"));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let counting = Counting { file: BufWriter::new(file), digest: Sha256::new(), bytes: 0 };
        Ok(Self { path, encoder: GzEncoder::new(counting, Compression::default()), rows: 0, bytes: 0 })
    }

    /// The file first, then the manifest: who sees the manifest finds the file whole.
    fn finish(self, folder: &Path, name: &str, day: NaiveDate, sealed: &Sealed, now: DateTime<Utc>) -> io::Result<()> {
        let mut counting = self.encoder.finish()?;
        counting.file.flush()?;
        counting.file.get_ref().sync_all()?;
        fs::rename(&self.path, folder.join(name))?;
        let manifest = json!({
            "schema": statuspulse_audit::record::SCHEMA,
            "day": day.to_string(),
            "file": name,
            "rows": sealed.rows,
            "root": sealed.root,
            "bytes": self.bytes,
            "compressed_bytes": counting.bytes,
            "sha256": hex(&counting.digest.finalize()),
            "written_at": instant(now),
        });
        let draft = folder.join(format!("{}.draft", manifest_name(day)));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        writeln!(file, "{manifest:#}")?;
        file.sync_all()?;
        fs::rename(draft, folder.join(manifest_name(day)))?;
        File::open(folder)?.sync_all()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn fill(conn: &mut Conn, mut draft: Draft, day: NaiveDate) -> Result<Draft, AppError> {
    let from = day.and_time(chrono::NaiveTime::MIN).and_utc();
    let filter = Filter { from: Some(from), to: Some(from + Duration::days(1)), ..Filter::default() };
    let mut after: Option<Place> = None;
    loop {
        let records = trail::page(conn, &filter, Order::OldestFirst, after, PAGE).await?;
        let mut bytes = Vec::new();
        for record in &records {
            Format::Jsonl.write(record, &mut bytes).map_err(|error| AppError::internal(error.to_string()))?;
        }
        let written = draft.encoder.write_all(&bytes);
        written.map_err(|error| AppError::internal(format!("the archive of {day} can't be written: {error}")))?;
        draft.rows += records.len() as u64;
        draft.bytes += bytes.len() as u64;
        after = records.last().map(Place::from).or(after);
        if i64::try_from(records.len()).unwrap_or(PAGE) < PAGE {
            return Ok(draft);
        }
    }
}
