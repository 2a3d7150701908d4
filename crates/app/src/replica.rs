//! The replica and the feed that keeps it: one task pulls what has changed, on a hint and at least every second, and is
//! the only one that says how far this instance has come.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use quick_cache::sync::Cache;
use serde_json::{Map, json};
use statuspulse_audit::AlertRule;
use statuspulse_keys::{
    Directory, LookupId,
    directory::{Applied, Found},
};
use statuspulse_policy::counter_key;
use statuspulse_store::{
    Conn, StoreError, alerts::Happening, feed, instances, keys, listen::Listener, organizations, pool,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{app::App, error::AppError};

/// How often the feed is asked without a hint. A hint that got lost costs no more than this.
pub const POLL: Duration = Duration::from_millis(750);
/// A database that can't be connected to in this time is away.
const SILENCE: Duration = Duration::from_secs(5);
/// The same for one round of the feed, which after a mass change or a restore may have much to read.
const ROUND: Duration = Duration::from_secs(60);
/// A call doesn't wait longer for a look-up by query.
const LOOK_UP: Duration = Duration::from_secs(3);
/// After a look-up that the database didn't answer, the next ones are refused for this long.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// How often the heartbeat is written while nothing changes.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How often the clock is compared with the database's.
const CLOCK_EVERY: Duration = Duration::from_secs(30);
/// Tokens that were not found are not asked for again this soon.
const NEGATIVE_FOR: chrono::Duration = chrono::Duration::seconds(2);
const NEGATIVE_ENTRIES: usize = 65_536;
/// Look-ups by query of tokens that aren't in memory: per client address, and for all together.
const MISSES_PER_CLIENT: NonZeroU32 = NonZeroU32::new(20).unwrap();
const MISSES_BURST_PER_CLIENT: NonZeroU32 = NonZeroU32::new(40).unwrap();
const MISSES: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// See the module's text.
#[derive(Debug)]
pub struct Replica {
    /// The keys.
    pub directory: Directory,
    database_url: String,
    max_staleness: Duration,
    applied: AtomicI64,
    fresh_at: AtomicU64,
    last_poll_failed: AtomicBool,
    failed_at: Mutex<Option<Instant>>,
    leaving: AtomicBool,
    clock_skew_ms: AtomicI64,
    queries: AtomicUsize,
    negative: Cache<u128, DateTime<Utc>>,
    per_client: DefaultKeyedRateLimiter<Option<IpAddr>>,
    overall: DefaultDirectRateLimiter,
    wake: mpsc::Sender<oneshot::Sender<()>>,
    woken: tokio::sync::Mutex<Option<mpsc::Receiver<oneshot::Sender<()>>>>,
}

impl Replica {
    pub(crate) fn new(max_staleness: Duration, database_url: String, now: Duration) -> Self {
        let (wake, woken) = mpsc::channel(1_024);
        Self {
            directory: Directory::new(),
            database_url,
            max_staleness,
            applied: AtomicI64::new(0),
            fresh_at: AtomicU64::new(millis(now)),
            last_poll_failed: AtomicBool::new(false),
            failed_at: Mutex::default(),
            leaving: AtomicBool::new(false),
            clock_skew_ms: AtomicI64::new(0),
            queries: AtomicUsize::new(0),
            negative: Cache::new(NEGATIVE_ENTRIES),
            per_client: RateLimiter::keyed(Quota::per_second(MISSES_PER_CLIENT).allow_burst(MISSES_BURST_PER_CLIENT)),
            overall: RateLimiter::direct(Quota::per_second(MISSES)),
            wake,
            woken: tokio::sync::Mutex::new(Some(woken)),
        }
    }

    /// Number of the last change that is in force here.
    #[must_use]
    pub fn applied(&self) -> i64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Queries for tokens that weren't in memory, since the start.
    #[must_use]
    pub fn queries(&self) -> usize {
        self.queries.load(Ordering::Relaxed)
    }

    /// How long ago the feed was last read with success.
    #[must_use]
    pub fn age(&self, app: &App) -> Duration {
        Duration::from_millis(millis(app.env.monotonic()).saturating_sub(self.fresh_at.load(Ordering::Acquire)))
    }

    /// Whether this instance has been without the feed for so long that it can't tell an outage from being cut off while
    /// somebody revokes a key.
    #[must_use]
    pub fn is_stale(&self, app: &App) -> bool {
        self.age(app) >= self.max_staleness
    }

    /// Whether the last try to read the feed failed.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.last_poll_failed.load(Ordering::Relaxed)
    }

    /// How far this machine's clock is from the database's, in milliseconds.
    #[must_use]
    pub fn clock_skew_ms(&self) -> i64 {
        self.clock_skew_ms.load(Ordering::Relaxed)
    }

    /// Loads everything, at start.
    pub(crate) async fn load(&self, app: &App) -> Result<(), AppError> {
        let mut conn = app.conn().await?;
        self.pull(app, &mut conn).await?;
        self.beat(app, &mut conn).await?;
        Ok(())
    }

    /// Asks the feed's task to read now and waits until it has, at most a second: after a change made here, so that this
    /// instance judges the next call by it. On the command line there is no such task, and nothing to wait for.
    pub async fn catch_up(&self) {
        // Nothing was ever loaded: no task follows the feed here. (The first pepper alone makes a loaded feed longer.)
        if self.applied() == 0 {
            return;
        }
        let (done, pulled) = oneshot::channel();
        if self.wake.try_send(done).is_ok() {
            // The poll comes anyway.
            let _ = tokio::time::timeout(Duration::from_secs(1), pulled).await;
        }
    }

    async fn pull(&self, app: &App, conn: &mut Conn) -> Result<bool, StoreError> {
        let before = self.applied();
        // What is read is as old as the question, not as the answer.
        let asked_at = app.env.monotonic();
        let mut changes = feed::changes_after(conn, before, app.env.now()).await?;
        if changes.through < before {
            // A restored backup, or a failover that lost the last commits: numbers are given a second time, and what is
            // held under them may never have happened.
            tracing::error!(
                held = before,
                found = changes.through,
                "the change feed went back; everything is read again"
            );
            changes = feed::changes_after(conn, 0, app.env.now()).await?;
            self.directory.clear();
            self.applied.store(0, Ordering::Release);
        }
        // A row can only be ahead of the feed when the feed went back without it; a number that is yet to be given out
        // must not outrank the change that will get it.
        for mut organization in changes.organizations {
            organization.sequence = organization.sequence.min(changes.through);
            self.directory.apply_organization(organization);
        }
        if let Some(peppers) = changes.peppers
            && let Some(missing) = app.secrets.set_peppers(&peppers)
        {
            tracing::error!(
                pepper = missing.version,
                master_key = missing.master_key_version,
                "a pepper needs a master key that this instance doesn't have; keys under it are not found"
            );
        }
        for mut key in changes.keys {
            key.key.sequence = key.key.sequence.min(changes.through);
            let id = key.key.id;
            if self.directory.apply_key(key) == Applied::UnknownOrganization {
                tracing::error!(key = %id, "a key of an organization that the feed never brought");
            }
        }
        for broken in changes.unreadable {
            self.directory.forget_key(broken.key, broken.sequence);
            app.recorder.alert(unreadable(&broken, app.env.now()));
        }
        self.applied.fetch_max(changes.through, Ordering::AcqRel);
        self.fresh_at.fetch_max(millis(asked_at), Ordering::AcqRel);
        Ok(changes.through != before)
    }

    async fn beat(&self, app: &App, conn: &mut Conn) -> Result<(), StoreError> {
        if self.leaving.load(Ordering::Acquire) {
            return Ok(());
        }
        let now = app.env.now();
        let beat = instances::Heartbeat {
            id: app.instance,
            applied: self.applied(),
            at: now,
            max_staleness_seconds: i32::try_from(self.max_staleness.as_secs()).unwrap_or(i32::MAX),
        };
        instances::beat(conn, &beat, now).await
    }

    async fn compare_clocks(&self, app: &App, conn: &mut Conn) -> Result<(), StoreError> {
        let theirs = feed::database_time(conn).await?;
        let skew = (app.env.now() - theirs).num_milliseconds();
        self.clock_skew_ms.store(skew, Ordering::Relaxed);
        if skew.abs() > 2_000 {
            tracing::warn!(skew_ms = skew, "this machine's clock and the database's differ");
        }
        Ok(())
    }

    /// Takes the heartbeat away: nobody has to wait for an instance that has left in order.
    pub(crate) async fn leave(&self, app: &App) {
        self.leaving.store(true, Ordering::Release);
        let left = async {
            let mut conn = app.pool.get().await?;
            instances::remove(&mut conn, app.instance).await
        };
        if let Err(error) = left.await {
            tracing::warn!(%error, "the heartbeat stays; revocations will wait for this instance for a while");
        }
    }

    /// Looks for a token that isn't in memory: a key made a moment ago on another instance, or nobody's token. At most
    /// one query a token every two seconds, and a bounded number of queries for each client and for all.
    ///
    /// # Errors
    /// When the database can't be asked: then nobody may say that the token is unknown.
    pub async fn find_by_query(
        &self,
        app: &App,
        lookups: &[LookupId],
        client: Option<IpAddr>,
    ) -> Result<Option<Found>, AppError> {
        let Some(first) = lookups.first() else { return Ok(None) };
        let place = first.map_key();
        let now = app.env.now();
        if self.negative.get(&place).is_some_and(|at| now - at >= NEGATIVE_FOR) {
            self.negative.remove(&place);
        }
        // One of many identical look-ups asks; the others wait for its answer.
        let guard = match self.negative.get_value_or_guard_async(&place).await {
            Ok(_) => return Ok(None),
            Err(guard) => guard,
        };
        if let Some(found) = lookups.iter().find_map(|lookup| self.directory.find(lookup)) {
            return Ok(Some(found));
        }
        let allowed = self.per_client.check_key(&client.map(counter_key)).is_ok() && self.overall.check().is_ok();
        if !allowed {
            return Ok(None);
        }
        // While the database is away, one look-up a second finds out whether it is back; the others don't queue for it.
        if self.failed_at().is_some_and(|at| at.elapsed() < FAILED_FOR) {
            return Err(AppError::Unavailable { cause: "the database was away a moment ago".into() });
        }
        self.queries.fetch_add(1, Ordering::Relaxed);
        let read = async { keys::find_by_lookup(&mut *app.pool.get().await?, lookups).await };
        let late = |_| StoreError::Unavailable("no answer in time".into());
        let read = tokio::time::timeout(LOOK_UP, read).await.map_err(late).flatten().inspect_err(|error| {
            if error.is_unavailable() {
                *self.failed_at() = Some(Instant::now());
            }
        })?;
        let Some(snapshot) = read else {
            // Whether the guard is gone meanwhile makes no difference to the answer.
            let _ = guard.insert(now);
            return Ok(None);
        };
        if self.directory.organization(snapshot.key.organization_id).is_none()
            && let Some(organization) =
                organizations::policy_of(&mut *app.conn().await?, snapshot.key.organization_id).await?
        {
            self.directory.apply_organization(organization);
        }
        // The feed may have been faster and know better: what is in the directory counts, not what was read here.
        let read = snapshot.clone();
        self.directory.apply_key(snapshot);
        if let Some(found) = lookups.iter().find_map(|lookup| self.directory.find(lookup)) {
            return Ok(Some(found));
        }
        // The key is held without this version, which ended long ago: as long as nothing newer is known, what was read
        // here says how.
        let same = self.directory.key(read.key.id).is_some_and(|held| held.key.sequence == read.key.sequence);
        Ok(lookups.iter().filter(|_| same).find_map(|lookup| self.directory.find_in(read.clone(), lookup)))
    }

    /// When the database last left a look-up without an answer. Only misses come here, and none waits with it in hand.
    fn failed_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn forget_idle_clients(&self) {
        self.per_client.retain_recent();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The feed's task, with a connection of its own: a busy pool must not hold a revocation up.
pub(crate) async fn follow(app: Arc<App>) {
    let Some(mut woken) = app.replica.woken.lock().await.take() else { return };
    let Ok(database) = pool::parse_url(&app.replica.database_url) else { return };
    // Well within the bound, also where it is set to a second.
    let poll = POLL.min(app.replica.max_staleness / 4);
    let mut follower = Follower::default();
    let mut listener: Option<Listener> = None;
    loop {
        if listener.is_none() {
            let connecting = tokio::time::timeout(SILENCE, Listener::connect(&database));
            listener = connecting.await.ok().and_then(Result::ok);
        }
        let mut waiting = Vec::new();
        let mut lost = false;
        tokio::select! {
            asked = woken.recv() => match asked {
                Some(done) => waiting.push(done),
                None => return,
            },
            alive = hint(listener.as_mut()) => lost = !alive,
            () = tokio::time::sleep(poll) => {}
        }
        if lost {
            listener = None;
        }
        while let Ok(done) = woken.try_recv() {
            waiting.push(done);
        }
        let pulled = {
            let mut round = std::pin::pin!(follower.round(&app, &database));
            match tokio::time::timeout(SILENCE, &mut round).await {
                Ok(pulled) => pulled,
                Err(_) => {
                    // Much to read, or a database that hangs: readiness says so, and the round may still go well.
                    app.replica.last_poll_failed.store(true, Ordering::Relaxed);
                    let late = tokio::time::timeout(ROUND, round).await;
                    late.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer".into())))
                }
            }
        };
        if pulled.is_err() {
            follower.conn = None;
        }
        if app.replica.leaving.load(Ordering::Acquire) {
            // The database may go away now; nobody has to be told.
            return;
        }
        if pulled.is_err() != app.replica.last_poll_failed.swap(pulled.is_err(), Ordering::Relaxed) {
            match pulled {
                Err(error) => tracing::warn!(%error, "the change feed can't be read; calls are judged from memory"),
                Ok(()) => tracing::info!("the change feed can be read again"),
            }
        }
        for done in waiting {
            // Whoever waited may have given up.
            let _ = done.send(());
        }
    }
}

/// What the feed's task keeps from round to round.
#[derive(Default)]
struct Follower {
    conn: Option<Conn>,
    beat_at: Option<tokio::time::Instant>,
    clock_at: Option<tokio::time::Instant>,
}

impl Follower {
    async fn round(&mut self, app: &App, database: &pool::Config) -> Result<(), StoreError> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            empty => {
                let connecting = tokio::time::timeout(SILENCE, pool::dedicated(database)).await;
                empty.insert(connecting.map_err(|_| StoreError::Unavailable("no connection in time".into()))??)
            }
        };
        let changed = app.replica.pull(app, conn).await?;
        let due = |at: Option<tokio::time::Instant>, every| at.is_none_or(|at| at.elapsed() >= every);
        if changed || due(self.beat_at, BEAT_EVERY) {
            app.replica.beat(app, conn).await?;
            app.replica.forget_idle_clients();
            self.beat_at = Some(tokio::time::Instant::now());
        }
        if due(self.clock_at, CLOCK_EVERY) {
            app.replica.compare_clocks(app, conn).await?;
            self.clock_at = Some(tokio::time::Instant::now());
        }
        Ok(())
    }
}

fn unreadable(broken: &keys::Unreadable, now: DateTime<Utc>) -> Happening {
    Happening {
        rule: AlertRule::Integrity,
        organization: Some(broken.organization),
        subject_kind: "key",
        subject: broken.key.to_string(),
        first_at: now,
        last_at: now,
        count: 1,
        routes: Vec::new(),
        sources: Vec::new(),
        facts: Map::from_iter([("cause".to_owned(), json!("unreadable_row"))]),
    }
}

async fn hint(listener: Option<&mut Listener>) -> bool {
    match listener {
        Some(listener) => listener.hint().await,
        None => std::future::pending().await,
    }
}
