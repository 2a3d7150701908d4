//! The way into the audit trail (audit §2, §3).
//!
//! A change writes its events into the outbox, in its own transaction. A judged call can't wait for the database: its event
//! is appended to the spool on disk before the answer, and a refusal's is on the disk before it. The tailer (`tail`) moves
//! both into the table.

mod batch;
mod fold;
mod observe;
mod tail;
mod usage;
mod watch;

use std::{
    cell::Cell,
    fmt, io,
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use statuspulse_audit::{AlertRule, Class, Entry, Event};
use statuspulse_policy::KeyId;
use statuspulse_spool::{AppendError, Spool, SpoolError};
use statuspulse_store::{Conn, StoreError, alerts::Happening, audit};
use tokio::sync::{Mutex, mpsc, oneshot};
use uuid::Uuid;

use crate::{app::App, error::AppError};

pub use fold::Flood;
pub use statuspulse_spool::Figures;
pub use watch::raise;

/// Alerts and notes of use that wait to be written, at most.
const QUEUE: usize = 65_536;
/// How long a reader of the trail waits for what was answered before.
const SETTLE: Duration = Duration::from_millis(500);
/// How long events may wait before readiness says so (audit §2).
const BEHIND: Duration = Duration::from_secs(10);

/// What happens to an allowed call whose event can't be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// It is answered by 503.
    #[default]
    Strict,
    /// It is answered, and a gap record counts it.
    BestEffort,
}

/// How the trail is kept.
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// Folder of the spool and of the checkpoints' file.
    pub dir: PathBuf,
    /// What happens when an allowed call can't be kept.
    pub mode: Mode,
    /// Bytes of the whole spool, at most.
    pub spool_limit: u64,
    /// How long allowed calls stay in the table.
    pub keep_calls: Duration,
    /// How long everything else stays.
    pub keep_changes: Duration,
    /// Where the days go that leave the table.
    pub archive_dir: Option<PathBuf>,
    /// MMDB file.
    pub geo_database: Option<PathBuf>,
    /// Files that are written at once: one a worker.
    pub lanes: usize,
}

/// Events that are kept in the table for 30 days where nothing else is said, and changes for 400.
impl AuditOptions {
    /// The defaults of the contract, in a folder.
    #[must_use]
    pub fn in_dir(dir: PathBuf) -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            dir,
            mode: Mode::default(),
            spool_limit: 2 << 30,
            keep_calls: DAY * 30,
            keep_changes: DAY * 400,
            archive_dir: None,
            geo_database: None,
            lanes: 2,
        }
    }
}

enum Message {
    Happening(Box<Happening>),
    Used(KeyId, DateTime<Utc>, Option<IpAddr>),
    Flush(oneshot::Sender<()>),
}

/// See the module's text.
pub struct Recorder {
    stream: Uuid,
    mode: Mode,
    /// None at the command line, which puts everything into the outbox.
    spool: OnceLock<Arc<Spool>>,
    folds: fold::Folds,
    sender: mpsc::Sender<Message>,
    receiver: Mutex<Option<mpsc::Receiver<Message>>>,
    lost: AtomicU64,
    lost_ever: AtomicU64,
    lost_since_us: AtomicI64,
    full: AtomicBool,
    waiting_since_ms: AtomicU64,
    written: AtomicU64,
}

impl Recorder {
    /// A recorder whose stream is this process.
    #[must_use]
    pub fn new(stream: Uuid, mode: Mode) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self {
            stream,
            mode,
            spool: OnceLock::new(),
            folds: fold::Folds::default(),
            sender,
            receiver: Mutex::new(Some(receiver)),
            lost: AtomicU64::new(0),
            lost_ever: AtomicU64::new(0),
            lost_since_us: AtomicI64::new(0),
            full: AtomicBool::new(false),
            waiting_since_ms: AtomicU64::new(0),
            written: AtomicU64::new(0),
        }
    }

    /// Id of the stream: of this process, and of no other one before or after it.
    #[must_use]
    pub fn stream(&self) -> Uuid {
        self.stream
    }

    /// Writes a change's event in the change's own transaction.
    ///
    /// # Errors
    /// When it can't be written: then the change must fail too.
    pub async fn record(&self, conn: &mut Conn, event: Event) -> Result<(), StoreError> {
        audit::put(conn, &[Entry::from(&event)]).await
    }

    /// Writes the events of one change of many things, in its own transaction.
    ///
    /// # Errors
    /// When they can't be written: then the change must fail too.
    pub async fn record_all(&self, conn: &mut Conn, events: Vec<Event>) -> Result<(), StoreError> {
        let entries: Vec<Entry> = events.iter().map(Entry::from).collect();
        audit::put(conn, &entries).await
    }

    /// Keeps the event of a call before its answer leaves: an allowed one survives the end of this process, a refused one a
    /// power cut.
    ///
    /// # Errors
    /// 503 when it can't be kept; the answer must not say anything else then.
    pub async fn keep(&self, app: &App, event: &Event) -> Result<(), AppError> {
        let entry = Entry::from(event);
        let Some(spool) = self.spool.get() else {
            return Ok(audit::put(&mut *app.conn().await?, &[entry]).await?);
        };
        let bytes = serde_json::to_vec(&entry).map_err(|error| AppError::internal(error.to_string()))?;
        let kept = match spool.append(lane(), &bytes) {
            Ok(_) if event.class == Class::C => Ok(()),
            Ok(mark) => spool.synced(&mark).await.map_err(|error| error.to_string()),
            Err(error) => {
                if matches!(error, AppendError::Full { .. }) && !self.full.swap(true, Ordering::Relaxed) {
                    self.alert(happening(app, AlertRule::AuditGap, 1, "spool_full"));
                }
                Err(error.to_string())
            }
        };
        match kept {
            Ok(()) => {
                self.full.store(false, Ordering::Relaxed);
                Ok(())
            }
            Err(_) if event.class == Class::C && self.mode == Mode::BestEffort => {
                self.lose(app, 1);
                Ok(())
            }
            Err(cause) => Err(AppError::Unavailable { cause: format!("an audit event can't be kept: {cause}") }),
        }
    }

    /// Keeps the event of a call that named no credential. Beyond twenty a second from one network for one reason, such
    /// calls become one event a second (audit §2).
    ///
    /// # Errors
    /// See [`Recorder::keep`].
    pub async fn keep_of_stranger(&self, app: &App, event: &Event, flood: Flood) -> Result<(), AppError> {
        if self.folds.takes(flood, event, app.env.monotonic()) { Ok(()) } else { self.keep(app, event).await }
    }

    /// Queues what opens an alert. Never blocks.
    pub fn alert(&self, happening: Happening) {
        if self.sender.try_send(Message::Happening(Box::new(happening))).is_err() {
            tracing::error!("an alert could not be queued; the event that it is about is in the trail");
        }
    }

    /// Notes the use of a key whose event doesn't say so itself. Never blocks; the next use makes up for a lost note.
    pub fn used(&self, key: KeyId, at: DateTime<Utc>, ip: Option<IpAddr>) {
        let _ = self.sender.try_send(Message::Used(key, at, ip));
    }

    fn lose(&self, app: &App, count: u64) {
        self.lost_ever.fetch_add(count, Ordering::Relaxed);
        // Only the first of a row: the gap spans from there to its record.
        let now = app.env.now().timestamp_micros();
        let _ = self.lost_since_us.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        // Log the first of a row; the gap record has the number.
        if self.lost.fetch_add(count, Ordering::AcqRel) == 0 {
            tracing::error!(count, "audit events could not be kept; a gap record will follow");
        }
    }

    /// Events lost since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost_ever.load(Ordering::Relaxed)
    }

    /// Events of this process that are in the table.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// How long the oldest event has waited for the table.
    #[must_use]
    pub fn lag(&self, app: &App) -> Duration {
        match self.waiting_since_ms.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => app.env.monotonic().saturating_sub(Duration::from_millis(since)),
        }
    }

    /// Whether events have waited for the database for too long.
    #[must_use]
    pub fn is_behind(&self, app: &App) -> bool {
        self.lag(app) >= BEHIND
    }

    /// Whether the last event could not be kept for want of room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// How the spool is doing; none at the command line, which has none.
    #[must_use]
    pub fn figures(&self) -> Option<Figures> {
        self.spool.get().map(|spool| spool.figures())
    }

    /// Waits until everything that was kept before is in the table, at most that long. Answers whether it is.
    pub async fn flush(&self, patience: Duration) -> bool {
        let (done, written) = oneshot::channel();
        let flushed = async { self.sender.send(Message::Flush(done)).await.is_ok() && written.await.is_ok() };
        tokio::time::timeout(patience, flushed).await.unwrap_or(false)
    }

    /// For whoever is about to read the trail: what this instance has answered before is in it, unless the database is slow.
    pub async fn settle(&self) {
        if self.spool.get().is_some() && !self.flush(SETTLE).await {
            tracing::debug!("the trail is read before everything that was answered is in it");
        }
    }

    /// Opens the spool of this process.
    ///
    /// # Errors
    /// When the folder can't be used or belongs to another process.
    pub(crate) fn open_spool(&self, options: &AuditOptions, fresh: Uuid) -> Result<(), AppError> {
        let spool = open(options, self.stream, fresh).map_err(|error| AppError::internal(error.to_string()))?;
        // Only one task opens it.
        let _ = self.spool.set(Arc::new(spool));
        Ok(())
    }

    /// Syncs and closes the spool, so that the next start knows that nothing is missing.
    ///
    /// # Errors
    /// When it can't be synced.
    pub(crate) fn close_spool(&self) -> io::Result<()> {
        self.spool.get().map_or(Ok(()), |spool| spool.close().map_err(io::Error::other))
    }
}

fn open(options: &AuditOptions, owner: Uuid, fresh: Uuid) -> Result<Spool, SpoolError> {
    Spool::open(statuspulse_spool::Options {
        limit: options.spool_limit,
        lanes: options.lanes.max(1),
        ..statuspulse_spool::Options::new(options.dir.join("spool"), owner, fresh)
    })
}

/// Moves what a server that has stopped left in its spool, and what waits in the outbox, into the table; for the command line,
/// which may do so again. Answers whether nothing waits any more; none when another process has the spool, and empties it.
///
/// # Errors
/// When the folder can't be used.
pub(crate) async fn drain_alone(app: &Arc<App>, patience: Duration) -> Result<Option<bool>, AppError> {
    let spool = match open(&app.audit, app.env.id()?, app.env.id()?) {
        Ok(spool) => Arc::new(spool),
        Err(SpoolError::InUse { .. }) => return Ok(None),
        Err(error) => return Err(AppError::internal(error.to_string())),
    };
    let drained = tail::Tailer::new(Arc::clone(app), Arc::clone(&spool)).settle(patience).await;
    if let Err(error) = spool.close() {
        tracing::warn!(%error, "the spool could not be closed");
    }
    Ok(Some(drained))
}

/// Something about this instance that somebody must know.
pub(crate) fn happening(app: &App, rule: AlertRule, count: i64, reason: &str) -> Happening {
    let mut happening = Happening::new(rule, None, ("instance", app.instance), app.env.now()).with("reason", reason);
    happening.observed.count = count;
    happening
}

/// The lane of this thread: each worker has one of its own, so that none waits for another.
fn lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static LANE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    LANE.get()
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recorder").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// The task that writes what was kept. Ends when the recorder is gone, or at once when another task has taken the queue.
pub async fn write_events(app: Arc<App>) {
    let Some(spool) = app.recorder.spool.get().cloned() else { return };
    let Some(receiver) = app.recorder.receiver.lock().await.take() else { return };
    tail::Tailer::new(app, spool).run(receiver).await;
}
