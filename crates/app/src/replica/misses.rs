//! Look-ups by query of tokens that aren't in memory: bounded for each client and for all, one at a time for a token, and
//! not repeated for what was not found a moment ago (policy §7.3).

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use quick_cache::sync::Cache;
use statuspulse_policy::counter_key;
use tokio::time::Instant;

use crate::{app::App, error::AppError};

/// A call doesn't wait longer for a look-up by query.
const LOOK_UP: Duration = Duration::from_secs(3);
/// After a look-up that the database didn't answer, the next ones are refused for this long.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// Tokens that were not found are not asked for again this soon.
const NEGATIVE_FOR: chrono::Duration = chrono::Duration::seconds(2);
const NEGATIVE_ENTRIES: usize = 65_536;
/// Look-ups per client address, and for all together.
const MISSES_PER_CLIENT: NonZeroU32 = NonZeroU32::new(20).unwrap();
const MISSES_BURST_PER_CLIENT: NonZeroU32 = NonZeroU32::new(40).unwrap();
const MISSES: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// Look-ups for all resource servers that have proven who they are.
const MISSES_OF_SERVERS: NonZeroU32 = NonZeroU32::new(2_000).unwrap();

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Misses {
    failed_at: Mutex<Option<Instant>>,
    queries: AtomicUsize,
    negative: Cache<u128, DateTime<Utc>>,
    per_client: DefaultKeyedRateLimiter<Option<IpAddr>>,
    overall: DefaultDirectRateLimiter,
    of_servers: DefaultDirectRateLimiter,
}

/// Who asks about an access token.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asker {
    /// Somebody at this address, who may be anybody.
    Stranger(Option<IpAddr>),
    /// A resource server that has proven who it is: strangers must not spend its look-ups.
    ResourceServer,
}

impl Misses {
    pub(crate) fn new() -> Self {
        Self {
            failed_at: Mutex::default(),
            queries: AtomicUsize::new(0),
            negative: Cache::new(NEGATIVE_ENTRIES),
            per_client: RateLimiter::keyed(Quota::per_second(MISSES_PER_CLIENT).allow_burst(MISSES_BURST_PER_CLIENT)),
            overall: RateLimiter::direct(Quota::per_second(MISSES)),
            of_servers: RateLimiter::direct(Quota::per_second(MISSES_OF_SERVERS)),
        }
    }

    /// Queries since the start.
    pub(crate) fn queries(&self) -> usize {
        self.queries.load(Ordering::Relaxed)
    }

    pub(crate) fn forget_idle_clients(&self) {
        self.per_client.retain_recent();
    }

    /// Asks `query` about an access token. They are many, and each instance meets each of them for a first time: where no
    /// look-up is left, nobody may say that one is unknown.
    ///
    /// # Errors
    /// When the database can't be asked, or no look-up is left.
    pub(crate) async fn ask_or_refuse<T>(
        &self,
        app: &App,
        place: u128,
        asker: Asker,
        held: impl Fn() -> Option<T>,
        query: impl Future<Output = Result<Option<T>, AppError>>,
    ) -> Result<Option<T>, AppError> {
        let allowed = || match asker {
            Asker::Stranger(client) => self.allows(client),
            Asker::ResourceServer => self.of_servers.check().is_ok(),
        };
        let spent = || Err(AppError::Unavailable { cause: "no look-up of access tokens is left".into() });
        self.ask_within(app, place, allowed, spent, held, query).await
    }

    /// Asks `query` about a key, unless `held` has it by the time that it is this one's turn. `place` is the token's
    /// digest, cut. The query puts what it finds into memory before it answers, so that those who wait find it there.
    ///
    /// # Errors
    /// When the database can't be asked: then nobody may say that the token is unknown.
    pub(crate) async fn ask<T>(
        &self,
        app: &App,
        place: u128,
        client: Option<IpAddr>,
        held: impl Fn() -> Option<T>,
        query: impl Future<Output = Result<Option<T>, AppError>>,
    ) -> Result<Option<T>, AppError> {
        self.ask_within(app, place, || self.allows(client), || Ok(None), held, query).await
    }

    fn allows(&self, client: Option<IpAddr>) -> bool {
        self.per_client.check_key(&client.map(counter_key)).is_ok() && self.overall.check().is_ok()
    }

    async fn ask_within<T>(
        &self,
        app: &App,
        place: u128,
        allowed: impl Fn() -> bool,
        spent: impl Fn() -> Result<Option<T>, AppError>,
        held: impl Fn() -> Option<T>,
        query: impl Future<Output = Result<Option<T>, AppError>>,
    ) -> Result<Option<T>, AppError> {
        let now = app.env.now();
        if self.negative.get(&place).is_some_and(|at| now - at >= NEGATIVE_FOR) {
            self.negative.remove(&place);
        }
        // One of many identical look-ups asks; the others wait for its answer.
        let guard = match self.negative.get_value_or_guard_async(&place).await {
            Ok(_) => return Ok(None),
            Err(guard) => guard,
        };
        if let Some(found) = held() {
            return Ok(Some(found));
        }
        if !allowed() {
            return spent();
        }
        // While the database is away, one look-up a second finds out whether it is back; the others don't queue for it.
        if self.failed_at().is_some_and(|at| at.elapsed() < FAILED_FOR) {
            return Err(AppError::Unavailable { cause: "the database was away a moment ago".into() });
        }
        self.queries.fetch_add(1, Ordering::Relaxed);
        let late = |_| AppError::Unavailable { cause: "no answer in time".into() };
        let read = tokio::time::timeout(LOOK_UP, query).await.map_err(late).flatten().inspect_err(|error| {
            if matches!(error, AppError::Unavailable { .. }) {
                *self.failed_at() = Some(Instant::now());
            }
        })?;
        if read.is_none() {
            // Whether the guard is gone meanwhile makes no difference to the answer.
            let _ = guard.insert(now);
        }
        Ok(read)
    }

    /// When the database last left a look-up without an answer. Only misses come here, and none waits with it in hand.
    fn failed_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
