//! The replica and the feed that keeps it: one task pulls what has changed, on a hint and at least every second, and is
//! the only one that says how far this instance has come.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use statuspulse_audit::AlertRule;
use statuspulse_keys::{
    Directory, LookupId,
    directory::{Applied, Found},
};
use statuspulse_oauth::TokenDigest;
use statuspulse_store::{
    Conn, StoreError, alerts::Happening, feed, instances, keys, listen::Listener, oauth::tokens, organizations, pool,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{app::App, error::AppError};

mod misses;
mod oauth;

pub(crate) use misses::Asker;
use misses::Misses;
pub use oauth::{HeldToken, OauthDirectory};

/// How often the feed is asked without a hint. A hint that got lost costs no more than this.
pub const POLL: Duration = Duration::from_millis(750);
/// A database that can't be connected to in this time is away.
const SILENCE: Duration = Duration::from_secs(5);
/// How long it may take to answer on a new connection, while a round of the feed is late.
const ANSWER: Duration = Duration::from_secs(1);
/// How long whoever needs a database that hangs waits for its return.
const MOMENT: Duration = Duration::from_millis(250);
/// The same for one round of the feed, which after a mass change or a restore may have much to read.
const ROUND: Duration = Duration::from_secs(60);
/// How often the heartbeat is written while nothing changes.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How often the clock is compared with the database's.
const CLOCK_EVERY: Duration = Duration::from_secs(30);
/// See the module's text.
#[derive(Debug)]
pub struct Replica {
    /// The keys.
    pub directory: Directory,
    /// OAuth apps and access tokens.
    pub oauth: OauthDirectory,
    database_url: String,
    max_staleness: Duration,
    applied: AtomicI64,
    fresh_at: AtomicU64,
    last_poll_failed: AtomicBool,
    database_hangs: watch::Sender<bool>,
    leaving: AtomicBool,
    clock_skew_ms: AtomicI64,
    misses: Misses,
    wake: mpsc::Sender<oneshot::Sender<()>>,
    woken: tokio::sync::Mutex<Option<mpsc::Receiver<oneshot::Sender<()>>>>,
}

impl Replica {
    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    pub(crate) fn new(max_staleness: Duration, database_url: String, now: Duration) -> Self {
        let (wake, woken) = mpsc::channel(1_024);
        Self {
            directory: Directory::new(),
            oauth: OauthDirectory::new(),
            database_url,
            max_staleness,
            applied: AtomicI64::new(0),
            fresh_at: AtomicU64::new(millis(now)),
            last_poll_failed: AtomicBool::new(false),
            database_hangs: watch::Sender::new(false),
            leaving: AtomicBool::new(false),
            clock_skew_ms: AtomicI64::new(0),
            misses: Misses::new(),
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
        self.misses.queries()
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

    /// Whether the database answers, as far as the feed's task knows; one that has hung has a moment to come back. Unlike
    /// [`Replica::is_cut_off`] this is no matter of a feed that is long or can't be read, nor of a database that refuses
    /// connections, which whoever asks is told at once.
    pub(crate) async fn database_answers(&self) -> bool {
        let mut hangs = self.database_hangs.subscribe();
        let back = hangs.wait_for(|hangs| !hangs);
        tokio::time::timeout(MOMENT, back).await.is_ok()
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
            self.oauth.clear();
            app.signing.forget();
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
        let apps_changed = !changes.apps.is_empty();
        for mut oauth_app in changes.apps {
            oauth_app.sequence = oauth_app.sequence.min(changes.through);
            self.oauth.apply_app(oauth_app);
        }
        if apps_changed {
            self.oauth.refresh_origins();
        }
        let now = app.env.now();
        for (grant, at) in changes.ended_grants {
            self.oauth.end_grant(grant, at, now);
        }
        for (token, at) in changes.revoked_tokens {
            self.oauth.end_token(&token, at, now);
        }
        if let Some(keys) = changes.signing_keys {
            app.signing.set(app, keys);
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
        let held = || lookups.iter().find_map(|lookup| self.directory.find(lookup));
        self.misses.ask(app, first.map_key(), client, held, self.read_key(app, lookups)).await
    }

    async fn read_key(&self, app: &App, lookups: &[LookupId]) -> Result<Option<Found>, AppError> {
        let mut conn = app.conn().await?;
        let Some(snapshot) = keys::find_by_lookup(&mut conn, lookups).await? else { return Ok(None) };
        let owner = snapshot.key.organization_id;
        if self.directory.organization(owner).is_none()
            && let Some(organization) = organizations::policy_of(&mut conn, owner).await?
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

    /// Looks for an access token that isn't in memory, under the same bounds.
    ///
    /// # Errors
    /// When the database can't be asked: then nobody may say that the token is unknown.
    pub(crate) async fn find_access_by_query(
        &self,
        app: &App,
        digests: &[TokenDigest],
        asker: Asker,
    ) -> Result<Option<Arc<HeldToken>>, AppError> {
        let Some(first) = digests.first() else { return Ok(None) };
        let held = || digests.iter().find_map(|digest| self.oauth.token(digest));
        let query = async {
            let read = tokens::find_access(&mut *app.conn().await?, digests).await?;
            Ok(read.map(|(digest, record, grant)| self.oauth.hold(HeldToken::new(digest, record, &grant))))
        };
        self.misses.ask_or_refuse(app, oauth::map_key(first), asker, held, query).await
    }

    pub(crate) fn forget_idle_clients(&self) {
        self.misses.forget_idle_clients();
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
                    let answers = tokio::time::timeout(ANSWER, pool::dedicated(&database)).await;
                    app.replica.database_hangs.send_replace(answers.is_err());
                    let late = tokio::time::timeout(ROUND, round).await;
                    late.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer".into())))
                }
            }
        };
        if pulled.is_err() {
            follower.conn = None;
        }
        if pulled.is_ok() {
            app.replica.database_hangs.send_replace(false);
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
            app.replica.oauth.forget_ended(app.env.now());
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
    Happening::new(AlertRule::Integrity, Some(broken.organization), ("key", broken.key), now)
        .with("cause", "unreadable_row")
}

async fn hint(listener: Option<&mut Listener>) -> bool {
    match listener {
        Some(listener) => listener.hint().await,
        None => std::future::pending().await,
    }
}
