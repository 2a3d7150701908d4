//! The audit trail's writer.
//!
//! A change writes its event in its own transaction. A judged call can't wait for the database: its event goes into a
//! bounded queue that a task writes in batches. When the queue is full or a row is refused, the event is lost, but never
//! silently: it is counted, logged, and a gap record says how many as soon as the database takes one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde_json::json;
use statuspulse_audit::{Action, Actor, AlertRule, Class, Event, EventType, Outcome};
use statuspulse_policy::{AlertId, GrantId, KeyId};
use statuspulse_store::{
    AsyncConnection as _, Conn, StoreError,
    alerts::{self, Happening},
    audit::{self, NumberedEvent},
    keys::{Usage, write_usage},
    oauth::grants::{self, GrantUsage},
};
use tokio::sync::{Mutex, mpsc, oneshot};
use uuid::Uuid;

use crate::{
    app::App,
    caller::{Caller, Principal},
    error::AppError,
    webhooks::News,
};

/// Events that wait to be written, at most; about 40 MB.
const QUEUE: usize = 65_536;
/// Events of one transaction.
const BATCH: usize = 2_000;
/// How long a batch waits for more.
const LINGER: Duration = Duration::from_millis(100);
/// How often the last use of keys is written.
const USAGE_EVERY: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(500);

enum Message {
    Event(Box<Event>),
    Happening(Box<Happening>),
    Used(KeyId, DateTime<Utc>, Option<IpAddr>),
    Flush(oneshot::Sender<()>),
}

/// See the module's text.
#[derive(Debug)]
pub struct Recorder {
    stream: Uuid,
    sequence: AtomicI64,
    sender: mpsc::Sender<Message>,
    receiver: Mutex<Option<mpsc::Receiver<Message>>>,
    lost: AtomicU64,
    lost_ever: AtomicU64,
    behind: AtomicBool,
}

impl Recorder {
    /// A recorder whose stream is this process.
    #[must_use]
    pub fn new(stream: Uuid) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self {
            stream,
            sequence: AtomicI64::new(0),
            sender,
            receiver: Mutex::new(Some(receiver)),
            lost: AtomicU64::new(0),
            lost_ever: AtomicU64::new(0),
            behind: AtomicBool::new(false),
        }
    }

    fn number(&self, event: Event) -> NumberedEvent {
        NumberedEvent { stream: self.stream, sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1, event }
    }

    /// Writes a change's event in the change's own transaction.
    ///
    /// # Errors
    /// When it can't be written: then the change must fail too.
    pub async fn record(&self, conn: &mut Conn, event: Event) -> Result<(), StoreError> {
        let at = event.occurred_at;
        audit::insert(conn, &[self.number(event)], at).await
    }

    /// Writes the events of one change of many things, in its own transaction.
    ///
    /// # Errors
    /// When they can't be written: then the change must fail too.
    pub async fn record_all(&self, conn: &mut Conn, events: Vec<Event>) -> Result<(), StoreError> {
        let Some(at) = events.first().map(|event| event.occurred_at) else { return Ok(()) };
        let numbered: Vec<NumberedEvent> = events.into_iter().map(|event| self.number(event)).collect();
        audit::insert(conn, &numbered, at).await
    }

    /// Queues the event of a judged call. Never blocks.
    pub fn queue(&self, event: Event) {
        self.send(Message::Event(Box::new(event)));
    }

    /// Queues what opens an alert. Never blocks.
    pub fn alert(&self, happening: Happening) {
        self.send(Message::Happening(Box::new(happening)));
    }

    /// Notes the use of a key whose event doesn't say so itself. Never blocks; the next use makes up for a lost note.
    pub fn used(&self, key: KeyId, at: DateTime<Utc>, ip: Option<IpAddr>) {
        let _ = self.sender.try_send(Message::Used(key, at, ip));
    }

    fn send(&self, message: Message) {
        if self.sender.try_send(message).is_err() {
            self.lose(1);
        }
    }

    fn lose(&self, count: u64) {
        if count == 0 {
            return;
        }
        self.lost_ever.fetch_add(count, Ordering::Relaxed);
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

    /// Whether events wait because the database doesn't take them.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }

    /// Waits until everything queued before is written, at most that long. Answers whether it was.
    pub async fn flush(&self, patience: Duration) -> bool {
        let (done, written) = oneshot::channel();
        let flushed = async { self.sender.send(Message::Flush(done)).await.is_ok() && written.await.is_ok() };
        tokio::time::timeout(patience, flushed).await.unwrap_or(false)
    }
}

#[derive(Default)]
struct Batch {
    events: Vec<NumberedEvent>,
    happenings: HashMap<(AlertRule, String), Happening>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.happenings.is_empty()
    }

    fn add_happening(&mut self, fresh: Happening) {
        let place = self.happenings.entry((fresh.rule, fresh.subject.clone()));
        let held = place.or_insert_with(|| Happening { count: 0, ..fresh.clone() });
        held.count += fresh.count;
        held.first_at = held.first_at.min(fresh.first_at);
        held.last_at = held.last_at.max(fresh.last_at);
        for (list, more) in [(&mut held.routes, fresh.routes), (&mut held.sources, fresh.sources)] {
            for text in more {
                if !list.contains(&text) {
                    list.push(text);
                }
            }
        }
    }
}

#[derive(Default)]
struct UsageBook {
    keys: HashMap<KeyId, Usage>,
    grants: HashMap<GrantId, GrantUsage>,
}

impl UsageBook {
    /// Only accepted calls count as use.
    fn note(&mut self, event: &Event) {
        if event.action != Action::ApiCall || event.outcome != Outcome::Allowed {
            return;
        }
        match event.actor {
            Actor::ApiKey { id, .. } => self.add(id, event.occurred_at, event.origin.ip),
            Actor::AccessToken(id) => self.add_grant(id, event.occurred_at, event.origin.ip),
            _ => {}
        }
    }

    fn add(&mut self, id: KeyId, at: DateTime<Utc>, ip: Option<IpAddr>) {
        let entry = self.keys.entry(id).or_insert_with(|| Usage { key: id, at, addresses: Vec::new() });
        entry.at = entry.at.max(at);
        note_address(&mut entry.addresses, ip);
    }

    fn add_grant(&mut self, id: GrantId, at: DateTime<Utc>, ip: Option<IpAddr>) {
        let entry = self.grants.entry(id).or_insert_with(|| GrantUsage { grant: id, at, addresses: Vec::new() });
        entry.at = entry.at.max(at);
        note_address(&mut entry.addresses, ip);
    }
}

/// The newest first, each once, five at most.
fn note_address(addresses: &mut Vec<IpAddr>, ip: Option<IpAddr>) {
    let Some(ip) = ip else { return };
    addresses.retain(|known| *known != ip);
    addresses.insert(0, ip);
    addresses.truncate(5);
}

/// The writer's task. Ends when the recorder is gone, or at once when another task has taken the queue.
pub async fn write_events(app: Arc<App>) {
    let Some(mut receiver) = app.recorder.receiver.lock().await.take() else {
        return;
    };
    let mut usage = UsageBook::default();
    let mut usage_due = tokio::time::Instant::now() + USAGE_EVERY;
    let mut messages = Vec::with_capacity(BATCH);
    loop {
        let until_usage = usage_due.saturating_duration_since(tokio::time::Instant::now());
        let received = tokio::time::timeout(until_usage, receiver.recv_many(&mut messages, BATCH)).await;
        match received {
            Ok(0) => break,
            Ok(count) if count < BATCH && !messages.iter().any(|message| matches!(message, Message::Flush(_))) => {
                tokio::time::sleep(LINGER).await;
                while messages.len() < BATCH {
                    let Ok(message) = receiver.try_recv() else { break };
                    messages.push(message);
                }
            }
            _ => {}
        }
        let mut batch = Batch::default();
        for message in messages.drain(..) {
            match message {
                Message::Event(event) => {
                    usage.note(&event);
                    batch.events.push(app.recorder.number(*event));
                }
                Message::Happening(happening) => batch.add_happening(*happening),
                Message::Used(key, at, ip) => usage.add(key, at, ip),
                Message::Flush(done) => batch.waiting.push(done),
            }
        }
        let flushing = !batch.waiting.is_empty();
        if !batch.is_empty() {
            write_batch(&app, &mut batch).await;
        }
        if tokio::time::Instant::now() >= usage_due || flushing {
            write_usage_book(&app, &mut usage).await;
            usage_due = tokio::time::Instant::now() + USAGE_EVERY;
        }
        for done in batch.waiting {
            // Whoever waited may have given up.
            let _ = done.send(());
        }
    }
}

/// Writes a batch, however long the database is away; the queue takes what comes meanwhile. Events that the database
/// refuses are halved until the row is alone; that row is lost and counted. Alerts have transactions of their own.
async fn write_batch(app: &App, batch: &mut Batch) {
    let mut happenings: Vec<Happening> = std::mem::take(&mut batch.happenings).into_values().collect();
    // Always in the same order: two instances that write at once must not wait for each other.
    happenings.sort_by(|a, b| (a.rule.as_str(), &a.subject).cmp(&(b.rule.as_str(), &b.subject)));
    let mut parts = vec![std::mem::take(&mut batch.events)];
    while let Some(mut events) = parts.pop() {
        match persist(app, &Piece::Events(&events)).await {
            Ok(()) => {}
            Err(error) if events.len() <= 1 => {
                tracing::error!(%error, "an audit event was refused by the database");
                app.recorder.lose(events.len() as u64);
            }
            Err(_) => {
                let second = events.split_off(events.len() / 2);
                parts.push(second);
                parts.push(events);
            }
        }
    }
    for happening in happenings {
        if let Err(error) = persist(app, &Piece::Alert(&happening)).await {
            tracing::error!(%error, rule = happening.rule.as_str(), subject = %happening.subject, "an alert was refused");
            app.recorder.lose(1);
        }
    }
}

/// What one transaction of the writer holds.
enum Piece<'a> {
    Events(&'a [NumberedEvent]),
    Alert(&'a Happening),
}

/// Tries again as long as the database is away.
async fn persist(app: &App, piece: &Piece<'_>) -> Result<(), StoreError> {
    loop {
        let written = match piece {
            Piece::Events(events) => write_part(app, events).await,
            Piece::Alert(happening) => raise_alone(app, happening).await,
        };
        match written {
            Err(error) if error.is_unavailable() => {
                app.recorder.behind.store(true, Ordering::Relaxed);
                tracing::warn!(%error, "audit events and alerts wait for the database");
                tokio::time::sleep(RETRY).await;
            }
            // The answer to an earlier commit was lost, not the commit.
            Err(error) if error.is_duplicate_of_column("occurred_at_stream_sequence") => return Ok(()),
            other => {
                app.recorder.behind.store(false, Ordering::Relaxed);
                return other;
            }
        }
    }
}

async fn write_part(app: &App, events: &[NumberedEvent]) -> Result<(), StoreError> {
    let mut conn = app.pool.get().await?;
    let lost = app.recorder.lost.load(Ordering::Acquire);
    if events.is_empty() && lost == 0 {
        return Ok(());
    }
    let now = app.env.now();
    conn.transaction(async |conn| {
        audit::insert(conn, events, now).await?;
        if lost > 0 {
            write_gap(app, conn, lost, now).await?;
        }
        Ok::<_, StoreError>(())
    })
    .await?;
    app.recorder.lost.fetch_sub(lost, Ordering::AcqRel);
    Ok(())
}

async fn raise_alone(app: &App, happening: &Happening) -> Result<(), StoreError> {
    let mut conn = app.pool.get().await?;
    conn.transaction(async |conn| raise(app, conn, happening).await.map(drop)).await
}

/// Opens or continues an alert, with the event of its opening, in the caller's transaction. Answers whether it was opened.
///
/// # Errors
/// When the database can't be reached.
pub async fn raise(app: &App, conn: &mut Conn, happening: &Happening) -> Result<bool, StoreError> {
    let unavailable = |error: AppError| StoreError::Unavailable(error.to_string());
    let id = AlertId::from_uuid(app.env.id().map_err(|error| unavailable(error.into()))?);
    if !alerts::raise(conn, id, happening).await? {
        return Ok(false);
    }
    tracing::warn!(rule = happening.rule.as_str(), subject = %happening.subject, "alert opened");
    let event = Caller::system(app)
        .event(app, Class::A, Action::AlertOpen, happening.organization)
        .map_err(unavailable)?
        .with("alert_id", id.to_string())
        .with("rule", happening.rule.as_str())
        .with("subject", happening.subject.clone());
    app.recorder.record(conn, event).await?;
    let Some(organization) = happening.organization else { return Ok(true) };
    News::new(EventType::AlertOpened, organization)
        .with(
            "alert",
            json!({
                "id": id.to_string(),
                "rule": happening.rule.as_str(),
                "severity": happening.rule.severity(happening.count).as_str(),
                "status": "open",
                "subject": {"kind": happening.subject_kind, "id": happening.subject},
                "opened_at": happening.first_at,
                "last_seen_at": happening.last_at,
                "count": happening.count,
                "control": happening.rule.controls(),
            }),
        )
        .tell(app, conn)
        .await?;
    Ok(true)
}

async fn write_gap(app: &App, conn: &mut Conn, lost: u64, now: DateTime<Utc>) -> Result<(), StoreError> {
    let unavailable = |error: AppError| StoreError::Unavailable(error.to_string());
    let caller = Caller::new(Principal::System, statuspulse_audit::event::Origin::default(), now);
    let mut event = caller.event(app, Class::A, Action::AuditGap, None).map_err(unavailable)?;
    event.outcome = Outcome::Failed;
    let event = event.with("count", lost).with("to", json!(now)).with("reason", "queue_full_or_refused");
    app.recorder.record(conn, event).await?;
    let happening = Happening {
        rule: AlertRule::AuditGap,
        organization: None,
        subject_kind: "instance",
        subject: app.instance.to_string(),
        first_at: now,
        last_at: now,
        count: i64::try_from(lost).unwrap_or(i64::MAX),
        routes: Vec::new(),
        sources: Vec::new(),
        facts: serde_json::Map::new(),
    };
    raise(app, conn, &happening).await.map(drop)
}

async fn write_usage_book(app: &App, book: &mut UsageBook) {
    if book.keys.is_empty() && book.grants.is_empty() {
        return;
    }
    let usage: Vec<Usage> = book.keys.values().cloned().collect();
    let of_grants: Vec<GrantUsage> = book.grants.values().cloned().collect();
    let written = async {
        let mut conn = app.pool.get().await?;
        write_usage(&mut conn, &usage).await?;
        grants::write_usage(&mut conn, &of_grants).await
    };
    match written.await {
        Ok(()) => *book = UsageBook::default(),
        // The times stay in the book and go with the next round.
        Err(error) => tracing::warn!(%error, keys = usage.len(), "the last use of keys could not be written"),
    }
}
