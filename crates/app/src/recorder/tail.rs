//! The tailer (audit §3): one per process, it merges the spool's files and the outbox, gives each event its place in the
//! stream of this process, and writes batches. Head and offsets move in the batch's own transaction, so a crash repeats
//! nothing and skips nothing.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Duration as Span, NaiveDate, Utc};
use statuspulse_audit::{Action, AlertRule, Class, Record, chain};
use statuspulse_spool::{Recovered, Spool, Tail};
use statuspulse_store::{
    StoreError,
    audit::{
        partitions,
        writer::{Head, TurnError, Writer},
    },
    migrations, pool,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{Message, batch::Batch, happening, observe::Observer, usage::UsageBook, watch::Happenings};
use crate::{app::App, caller::Caller};

/// Events of one transaction, from the spool and from the outbox each.
const BATCH: usize = 2_000;
/// Bytes of them, from the spool.
const BATCH_BYTES: usize = 8 << 20;
/// How long events gather.
const GATHER: Duration = Duration::from_millis(100);
/// How often the last use of keys is written.
const USAGE_EVERY: Duration = Duration::from_secs(10);
/// How long events are written until everything else has its turn.
const PORTION: Duration = Duration::from_millis(500);
/// How often it is looked at what the events tell of keys.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a day may be without a partition until it is made.
const UNATTENDED: Duration = Duration::from_secs(60);
/// How long a failed turn waits for the next.
const RETRY: Duration = Duration::from_millis(500);

pub(super) struct Tailer {
    app: Arc<App>,
    spool: Arc<Spool>,
    writer: Option<Writer>,
    head: Head,
    /// Read from the spool and not yet in the table.
    pending: VecDeque<Piece>,
    /// How far each file of the spool is in the table.
    offsets: HashMap<String, u64>,
    tail: Option<Tail>,
    /// How much of each source a turn takes: less while it looks for a row that the database refuses.
    limit: usize,
    happenings: Happenings,
    usage: UsageBook,
    observer: Observer,
    waiting: Vec<oneshot::Sender<()>>,
    retry_at: Option<Instant>,
    recovered: bool,
    /// Days of the turn that is under way, or has failed.
    days: BTreeSet<NaiveDate>,
    /// Since when one of them has no partition.
    without_partition: Option<Instant>,
}

/// A stretch of a file of the spool.
struct Piece {
    file: Arc<str>,
    /// The offset behind it.
    end: u64,
    /// The event; none where the disk did not give back what was written.
    event: Option<Vec<u8>>,
}

/// What one turn takes.
#[derive(Clone, Copy)]
struct Portion<'a> {
    spool: usize,
    outbox: usize,
    /// Put aside what it takes, for this reason.
    aside: Option<&'a str>,
}

impl Tailer {
    pub(super) fn new(app: Arc<App>, spool: Arc<Spool>) -> Self {
        let head = Head { sequence: 0, hash: chain::beginning(app.recorder.stream) };
        Self {
            app,
            spool,
            writer: None,
            head,
            pending: VecDeque::new(),
            offsets: HashMap::new(),
            tail: None,
            limit: BATCH,
            happenings: Happenings::default(),
            usage: UsageBook::default(),
            observer: Observer::default(),
            waiting: Vec::new(),
            retry_at: None,
            recovered: false,
            days: BTreeSet::new(),
            without_partition: None,
        }
    }

    pub(super) async fn run(mut self, mut receiver: mpsc::Receiver<Message>) {
        let mut usage_due = Instant::now() + USAGE_EVERY;
        let mut look_due = Instant::now();
        let mut messages = Vec::with_capacity(BATCH);
        loop {
            let next = Instant::now() + GATHER;
            loop {
                match tokio::time::timeout_at(next, receiver.recv_many(&mut messages, BATCH)).await {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(_) => break,
                }
                for message in messages.drain(..) {
                    match message {
                        Message::Happening(happening) => self.happenings.add(*happening),
                        Message::Used(key, at, ip) => self.usage.add(key, at, ip),
                        Message::Flush(done) => self.waiting.push(done),
                    }
                }
                // Somebody waits: no gathering.
                if !self.waiting.is_empty() {
                    break;
                }
            }
            self.fold(!self.waiting.is_empty()).await;
            if !self.happenings.is_empty() {
                self.happenings.raise(&self.app).await;
            }
            let mut drained = self.drain().await;
            if Instant::now() >= usage_due || !self.waiting.is_empty() {
                self.usage.write(&self.app, &mut self.happenings).await;
                self.observer.write_hours(&self.app, &mut self.happenings).await;
                usage_due = Instant::now() + USAGE_EVERY;
            }
            if Instant::now() >= look_due || !self.waiting.is_empty() {
                self.observer.look(&self.app, &mut self.happenings).await;
                look_due = Instant::now() + LOOK_EVERY;
            }
            if !self.happenings.is_empty() {
                self.happenings.raise(&self.app).await;
                // Whoever waits is to find the events of the alerts, too.
                drained = drained && (self.waiting.is_empty() || self.drain().await);
            }
            if drained && self.happenings.is_empty() {
                for done in self.waiting.drain(..) {
                    // Whoever waited may have given up.
                    let _ = done.send(());
                }
            }
        }
    }

    /// Writes everything that waits, once. Answers whether that went well in time.
    pub(super) async fn settle(mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            let drained = self.drain().await;
            if !self.happenings.is_empty() {
                self.happenings.raise(&self.app).await;
            }
            if drained && self.happenings.is_empty() {
                self.usage.write(&self.app, &mut self.happenings).await;
                self.observer.write_hours(&self.app, &mut self.happenings).await;
                self.observer.look(&self.app, &mut self.happenings).await;
                if self.happenings.is_empty() {
                    return true;
                }
                self.happenings.raise(&self.app).await;
            }
            let next = self.retry_at.unwrap_or_else(|| Instant::now() + GATHER);
            if next >= until {
                return false;
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// Keeps the folds of the seconds that are over.
    async fn fold(&self, all: bool) {
        for event in self.app.recorder.folds.take(self.app.env.monotonic(), all) {
            if let Err(error) = self.app.recorder.keep(&self.app, &event).await {
                tracing::error!(%error, "a fold of calls could not be kept");
                let count = event.detail.get("count").and_then(serde_json::Value::as_u64).unwrap_or(1);
                self.app.recorder.lose(&self.app, count);
            }
        }
    }

    /// Writes what waits. Answers whether nothing does any more.
    async fn drain(&mut self) -> bool {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        self.retry_at = None;
        self.make_partitions().await;
        let until = if self.waiting.is_empty() { None } else { self.newest().await };
        let began = Instant::now();
        loop {
            match self.step(until).await {
                Ok(true) => {
                    self.without_partition = None;
                    self.app.recorder.waiting_since_ms.store(0, Ordering::Relaxed);
                    return true;
                }
                Ok(false) => {
                    self.note_waiting();
                    // Under a steady load something always waits; what is told of it must not.
                    if began.elapsed() >= PORTION {
                        return false;
                    }
                }
                Err(error) => {
                    self.fail(&error);
                    return false;
                }
            }
        }
    }

    /// A day whose partition nobody has made in the meantime gets one: whoever took it away has been told by then, and events
    /// that come late may be of a day for which none was made ahead.
    async fn make_partitions(&mut self) {
        if self.without_partition.is_none_or(|since| since.elapsed() < UNATTENDED) {
            return;
        }
        self.without_partition = None;
        let made = async {
            let mut owner = self.app.owner().await?;
            for day in &self.days {
                migrations::make_partition(&mut owner, *day).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = made.await {
            tracing::warn!(%error, "a missing partition of the audit trail could not be made");
        }
    }

    /// The newest event of the outbox: what somebody waits for includes what another instance has in hand.
    async fn newest(&mut self) -> Option<i64> {
        match &self.writer {
            Some(writer) => writer.newest_waiting().await.ok(),
            None => None,
        }
    }

    fn waits_since(&self, moment: Duration) {
        let moment = u64::try_from(moment.as_millis()).unwrap_or(u64::MAX).max(1);
        self.app.recorder.waiting_since_ms.store(moment, Ordering::Relaxed);
    }

    fn note_waiting(&self) {
        let now = u64::try_from(self.app.env.monotonic().as_millis()).unwrap_or(u64::MAX).max(1);
        // Since the first: later ones don't make it younger.
        let _ = self.app.recorder.waiting_since_ms.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn fail(&mut self, error: &TurnError) {
        self.note_waiting();
        self.retry_at = Some(Instant::now() + RETRY);
        match error {
            TurnError::NoPartition(_) => {
                let happening = happening(&self.app, AlertRule::WatchImpaired, 1, "audit_partition_missing");
                self.happenings.add(happening);
                self.without_partition.get_or_insert_with(Instant::now);
                tracing::error!(%error, "audit events wait for a partition");
            }
            TurnError::Overtaken => {
                tracing::warn!("the audit trail's head is read again: a turn's answer was lost");
                self.writer = None;
            }
            _ => {
                tracing::warn!(%error, "audit events wait for the database");
                self.writer = None;
            }
        }
    }

    /// One turn, or the search for a row that is refused. Answers whether nothing waits any more.
    async fn step(&mut self, until: Option<i64>) -> Result<bool, TurnError> {
        self.connect().await?;
        self.fill().await?;
        let whole = Portion { spool: self.limit, outbox: self.limit, aside: None };
        let turned = if self.limit > 1 {
            self.turn(whole).await
        } else {
            // One at a time, so that the refusal says which.
            match self.turn_alone(Portion { outbox: 0, ..whole }).await {
                Ok(spool) => self.turn_alone(Portion { spool: 0, ..whole }).await.map(|outbox| spool + outbox),
                failed => failed,
            }
        };
        match turned {
            Ok(0) if self.pending.is_empty() => {
                self.make_room();
                self.is_drained(until).await
            }
            Ok(_) => {
                self.limit = (self.limit * 2).min(BATCH);
                Ok(false)
            }
            Err(TurnError::Refused(error)) => {
                tracing::warn!(%error, of = self.limit, "the database refuses an audit event; looking for it");
                self.limit = (self.limit / 2).max(1);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether what somebody waits for is there: what another instance has in hand is not, before that one has written it.
    async fn is_drained(&self, until: Option<i64>) -> Result<bool, TurnError> {
        match (until, &self.writer) {
            (Some(until), Some(writer)) => Ok(!writer.waits_up_to(until).await?),
            _ => Ok(true),
        }
    }

    /// A spool that was found full gives its files back once all of them are stored.
    fn make_room(&self) {
        if let Err(error) = self.spool.release([]) {
            tracing::warn!(%error, "a file of the spool that is stored can't be deleted yet");
        }
    }

    async fn turn_alone(&mut self, portion: Portion<'_>) -> Result<usize, TurnError> {
        match self.turn(portion).await {
            Err(TurnError::Refused(error)) => {
                tracing::error!(%error, "an audit event is put into quarantine");
                let taken = self.turn(Portion { aside: Some(&error), ..portion }).await?;
                let happening = happening(&self.app, AlertRule::AuditGap, 1, "row_refused");
                self.happenings.add(happening);
                self.app.recorder.lost_ever.fetch_add(1, Ordering::Relaxed);
                Ok(taken)
            }
            other => other,
        }
    }

    /// Connects and finds out where this process stands.
    async fn connect(&mut self) -> Result<(), TurnError> {
        if self.writer.is_some() {
            return Ok(());
        }
        let unavailable = |error: &dyn std::fmt::Display| TurnError::Unavailable(error.to_string());
        let database = pool::parse_url(self.app.replica.database_url()).map_err(|error| unavailable(&error))?;
        let writer = Writer::connect(&database, self.spool.id()).await.map_err(|error| unavailable(&error))?;
        if let Some(head) = writer.head(self.app.recorder.stream).await? {
            self.head = head;
        }
        self.offsets = writer.offsets().await?;
        self.pending.clear();
        // There is one reader at a time: the one before ends first.
        self.tail = None;
        let tail = self.spool.tail(&self.offsets).map_err(|error| unavailable(&error))?;
        let found = tail.recovered();
        writer.forget(&found.forgotten).await?;
        if !self.recovered {
            self.recovered = true;
            self.note_recovery(found).await;
        }
        self.tail = Some(tail);
        self.writer = Some(writer);
        Ok(())
    }

    /// Says once what the process before has left.
    async fn note_recovery(&self, found: &Recovered) {
        if found.was_clean && found.records == 0 && found.damage.is_empty() {
            return;
        }
        let event = Caller::system(&self.app).event(&self.app, Class::B, Action::AuditRecovered, None);
        let Ok(event) = event else { return };
        let event = event
            .with("clean", found.was_clean)
            .with("files", found.files)
            .with("records", found.records)
            .with("torn_bytes", found.torn_bytes())
            // What had not been synced when the power went is gone, and nothing on the disk says how much that was.
            .with("unsynced_ms_at_most", if found.was_clean { 0 } else { 50 });
        if let Err(error) = self.app.recorder.keep(&self.app, &event).await {
            tracing::error!(%error, "the recovery of the spool could not be noted");
        }
    }

    /// Reads on in the spool.
    async fn fill(&mut self) -> Result<(), TurnError> {
        let Some(tail) = &mut self.tail else { return Ok(()) };
        if self.pending.len() >= self.limit {
            return Ok(());
        }
        let batch = tail.drain(BATCH, BATCH_BYTES).map_err(|error| TurnError::Unavailable(error.to_string()))?;
        let mut read: HashMap<Arc<str>, u64> = HashMap::new();
        // The first call of it may have cut off what the report of the recovery tells of.
        let damaged: Vec<_> = batch.damage.iter().map(|place| (Arc::clone(&place.file), place.to)).collect();
        let ends: Vec<_> = batch.offsets().iter().map(|(file, end)| (Arc::clone(file), *end)).collect();
        for entry in batch.entries {
            read.insert(Arc::clone(&entry.file), entry.end);
            self.pending.push_back(Piece { file: entry.file, end: entry.end, event: Some(entry.payload) });
        }
        for (file, end) in ends {
            if read.get(&file).is_none_or(|entry| *entry < end) {
                self.pending.push_back(Piece { file, end, event: None });
            }
        }
        if !damaged.is_empty() {
            tracing::error!(places = damaged.len(), "the disk did not give back audit events that were written to it");
            self.app.recorder.lose(&self.app, damaged.len() as u64);
        }
        Ok(())
    }

    /// One transaction. Answers how many events it has taken.
    async fn turn(&mut self, portion: Portion<'_>) -> Result<usize, TurnError> {
        let Some(writer) = &mut self.writer else { return Err(TurnError::Unavailable("not connected".into())) };
        let from_spool = portion.spool.min(self.pending.len());
        let lost = if portion.aside.is_some() { 0 } else { self.app.recorder.lost.load(Ordering::Acquire) };
        if from_spool == 0 && lost == 0 && (portion.outbox == 0 || writer.newest_waiting().await? == 0) {
            return Ok(0);
        }
        let now = self.app.env.now();
        let app = Arc::clone(&self.app);
        let mut batch = Batch::new(&app, self.head, now, portion.aside);
        let mut moved: HashMap<String, (u64, u64)> = HashMap::new();
        for waiting in self.pending.iter().take(from_spool) {
            if let Some(event) = &waiting.event {
                batch.add("spool", event);
            }
            let file: &str = &waiting.file;
            let from = self.offsets.get(file).copied().unwrap_or_default();
            moved.entry(file.to_owned()).or_insert((from, from)).1 = waiting.end;
        }
        if lost > 0 {
            batch.add_gap(lost, "not_kept");
        }
        let outbox = i64::try_from(portion.outbox).unwrap_or(i64::MAX);
        let mut days = BTreeSet::new();
        let writing = async {
            let turn = writer.begin().await?;
            if outbox > 0 {
                for waiting in turn.take(outbox).await? {
                    batch.add("outbox", waiting.event.as_bytes());
                }
            }
            let (records, aside) = batch.place()?;
            days.extend(records.iter().map(|record| record.entry.occurred_at.date_naive()));
            if records.is_empty() && moved.is_empty() {
                return Ok((records, 0));
            }
            turn.write(self.app.instance.as_uuid(), self.head.sequence, &records, &moved, now).await?;
            for put in &aside {
                turn.put_aside((self.app.recorder.stream, put.sequence), put.source, &put.bytes, &put.error, now)
                    .await?;
            }
            // Once the rows are there: whoever seals one of their days has done so before, or waits for them.
            reopen(&app, &days, now).await?;
            turn.commit().await?;
            Ok((records, aside.len()))
        };
        let written = Writer::in_time(writing).await;
        self.days = days;
        let (records, aside) = written?;
        self.apply(&records, from_spool, moved, lost, aside).await;
        Ok(records.len().max(from_spool))
    }

    /// What a committed turn means here.
    async fn apply(
        &mut self,
        records: &[Record],
        from_spool: usize,
        moved: HashMap<String, (u64, u64)>,
        lost: u64,
        aside: usize,
    ) {
        for record in records {
            self.usage.note(&record.entry);
            self.observer.note(&record.entry);
        }
        if let Some(last) = records.last() {
            // Under a steady load something always waits; what counts is how old it is.
            let age = (self.app.env.now() - last.entry.occurred_at).to_std().unwrap_or_default();
            self.waits_since(self.app.env.monotonic().saturating_sub(age));
            self.head = Head { sequence: last.sequence, hash: last.hash };
        }
        self.pending.drain(..from_spool);
        let released = self.spool.release(moved.iter().map(|(file, (_, to))| (file.as_str(), *to)));
        self.offsets.extend(moved.into_iter().map(|(file, (_, to))| (file, to)));
        let recorder = &self.app.recorder;
        recorder.written.fetch_add(records.len() as u64, Ordering::Relaxed);
        if lost > 0 {
            recorder.lost.fetch_sub(lost, Ordering::AcqRel);
            recorder.lost_since_us.store(0, Ordering::Relaxed);
            let happening =
                happening(&self.app, AlertRule::AuditGap, i64::try_from(lost).unwrap_or(i64::MAX), "not_kept");
            self.happenings.add(happening);
        }
        match released {
            Ok(gone) if !gone.is_empty() => {
                let gone: Vec<String> = gone.iter().map(|file| file.to_string()).collect();
                self.offsets.retain(|file, _| !gone.contains(file));
                // Next start finds them too.
                if let Some(writer) = &self.writer
                    && let Err(error) = writer.forget(&gone).await
                {
                    tracing::debug!(%error, "offsets of files that are gone stay for now");
                }
            }
            Err(error) => tracing::warn!(%error, "a file of the spool that is stored can't be deleted yet"),
            _ => {}
        }
        if aside > 0 {
            tracing::error!(aside, "audit events are in quarantine; gap records stand in their places");
        }
    }
}

/// Days that are sealed already, and get another event, are sealed again.
async fn reopen(app: &App, days: &BTreeSet<NaiveDate>, now: DateTime<Utc>) -> Result<(), TurnError> {
    let settled = (now - Span::days(1)).date_naive();
    let late: Vec<NaiveDate> = days.range(..settled).copied().collect();
    if late.is_empty() {
        return Ok(());
    }
    let unavailable = |error: StoreError| TurnError::Unavailable(error.to_string());
    let mut owner = app.owner().await.map_err(unavailable)?;
    for day in late {
        if partitions::reopen(&mut owner, day).await.map_err(unavailable)? {
            tracing::warn!(%day, "an event has come late: its day is sealed again");
        }
    }
    Ok(())
}
