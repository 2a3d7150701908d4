//! The counters themselves.

use std::{
    collections::BTreeMap,
    fmt::{self, Formatter},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use redis::{AsyncCommands as _, RedisResult};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use uuid::Uuid;

use crate::{
    SharedError, Target,
    circuit::{Circuit, Entry},
    keys,
    link::{ANSWER, Link},
    script::{ADMIT, PUBLISH},
    window,
};

/// A caller waits for this one.
const ADMIT_WITHIN: Duration = Duration::from_millis(100);
/// How many commands of one call are under way at a time.
const AT_ONCE: usize = 32;
/// How many keys are noted by one command.
const NOTED_AT_ONCE: usize = 1_000;
/// How long what was counted lies there when nobody adds to it, in seconds.
const KEPT: i64 = 300;

/// What [`Shared::admit`] says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Whether the call fits. Then it is counted.
    pub accepted: bool,
    /// How many calls are counted in the window, this one included when it is accepted.
    pub counted: u32,
    /// From which second on one more call fits, in Unix seconds: the present one when there is room. Later than
    /// the caller's clock suggests where the clock of another instance is ahead.
    pub free_from: u64,
}

/// How many calls of a key an instance has counted in one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The key's id.
    pub key: Uuid,
    /// Unix seconds.
    pub second: u64,
    /// All of them, not those since the last time.
    pub calls: u64,
}

/// Counters in Redis or Valkey. One connection for all callers, made when it is first needed, and again after a failure.
///
/// It is served by a task of the runtime whose caller connected. All methods may be dropped while they wait.
pub struct Shared {
    target: Target,
    circuit: Circuit<Link>,
    /// Before anything is known, callers wait for the first one's connection instead of each making their own.
    first: Mutex<()>,
}

impl Shared {
    /// Does nothing yet: a server that is not there is no reason not to start.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target, circuit: Circuit::new(), first: Mutex::new(()) }
    }

    /// Where the counters are.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Accepts and counts a call of a key, if fewer than `limit` are counted in the 61 one-second counters up to `second`
    /// (Unix seconds). What is not accepted is not counted. Of callers at the same time, on whatever instance, no more are
    /// accepted than fit.
    ///
    /// Where the clocks of instances differ, all of them count in the second of the one that is ahead.
    ///
    /// # Errors
    /// [`SharedError`], at the latest after 100 ms, or 1.1 s for the few who have to connect. The call may then be counted
    /// or not.
    pub async fn admit(&self, key: Uuid, second: u64, limit: u32) -> Result<Admission, SharedError> {
        let (accepted, counted, free_from) = self
            .run(ADMIT_WITHIN, async |mut link| {
                ADMIT.run::<(bool, u32, u64)>(&mut link, &keys::rate(key), &[second, u64::from(limit)]).await
            })
            .await?;
        Ok(Admission { accepted, counted, free_from })
    }

    /// Writes down what this instance has counted: for each key and second the whole count, so that writing it again
    /// changes nothing. Counts before the window of 61 seconds up to `second` are dropped.
    ///
    /// # Errors
    /// [`SharedError`]; each of its commands has a second. Some of it may be written; the same call again mends that.
    pub async fn publish(&self, instance: Uuid, second: u64, counts: &[Count]) -> Result<(), SharedError> {
        let mut by_key = BTreeMap::<Uuid, Vec<String>>::new();
        for Count { key, second: counted, calls } in counts {
            let arguments = by_key.entry(*key).or_insert_with(|| vec![window::first(second).to_string()]);
            arguments.extend([window::field(*counted, instance), calls.to_string()]);
        }
        if by_key.is_empty() {
            return Ok(());
        }
        self.run_all(async |link| {
            let keys: Vec<Uuid> = by_key.keys().copied().collect();
            let written = stream::iter(by_key).map(|(key, arguments)| {
                let mut link = link.clone();
                async move { in_time(PUBLISH.run::<()>(&mut link, &keys::usage(key), &arguments)).await }
            });
            written.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
            // Only now, so that whoever reads that there is something finds it.
            for keys in keys.chunks(NOTED_AT_ONCE) {
                in_time(note(&mut link.clone(), second, keys)).await?;
            }
            Ok(())
        })
        .await
    }

    /// The keys of which any instance has published counts within the last 60 s before `second`, in no order.
    ///
    /// # Errors
    /// [`SharedError`], at the latest after a second when there is a connection.
    pub async fn lately(&self, second: u64) -> Result<Vec<Uuid>, SharedError> {
        let members: Vec<String> = self
            .run(ANSWER, async |mut link| link.zrangebyscore(keys::LATELY, window::first(second), "+inf").await)
            .await?;
        // What is no id was not written by us.
        Ok(members.iter().filter_map(|member| Uuid::try_parse(member).ok()).collect())
    }

    /// How many calls of these keys the other instances have published in the window of 61 seconds up to `second`: one
    /// entry for each key, in the same order.
    ///
    /// # Errors
    /// [`SharedError`]; each of its commands has a second.
    pub async fn others(&self, instance: Uuid, second: u64, keys: &[Uuid]) -> Result<Vec<(Uuid, u64)>, SharedError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.run_all(async |link| {
            let read = stream::iter(keys.to_vec()).map(|key| {
                let mut link = link.clone();
                async move {
                    let fields: Vec<(String, u64)> = in_time(link.hgetall(keys::usage(key))).await?;
                    Ok((key, window::others(&fields, instance, second)))
                }
            });
            read.buffered(AT_ONCE).try_collect().await
        })
        .await
    }

    /// One command, within its time.
    async fn run<T>(
        &self,
        bound: Duration,
        command: impl AsyncFnOnce(Link) -> RedisResult<T>,
    ) -> Result<T, SharedError> {
        self.run_all(async |link| within(bound, command(link)).await).await
    }

    /// Several commands on the connection that works, or on a new one when it is time to try.
    async fn run_all<T>(&self, commands: impl AsyncFnOnce(Link) -> Result<T, SharedError>) -> Result<T, SharedError> {
        let mut entry = self.circuit.enter(Instant::now());
        if matches!(entry, Entry::Untried) {
            let turn = self.first.lock().await;
            entry = self.circuit.enter(Instant::now());
            if matches!(entry, Entry::Untried) {
                entry = self.connect_first().await?;
            }
            drop(turn);
        }
        match entry {
            Entry::Works(link) => {
                let done = commands(Link::clone(&link)).await;
                if done.is_err() {
                    self.circuit.failed(&link, Instant::now());
                }
                done
            }
            Entry::Try(attempt) => {
                let tried = async {
                    let link = Link::connect(&self.target).await?;
                    Ok((commands(link.clone()).await?, link))
                };
                match tried.await {
                    Ok((done, link)) => {
                        attempt.worked(Arc::new(link));
                        Ok(done)
                    }
                    Err(error) => {
                        attempt.failed(Instant::now());
                        Err(error)
                    }
                }
            }
            Entry::Rests | Entry::Untried => Err(SharedError::Resting),
        }
    }

    async fn connect_first(&self) -> Result<Entry<'_, Link>, SharedError> {
        match Link::connect(&self.target).await {
            Ok(link) => {
                let link = Arc::new(link);
                self.circuit.works(Arc::clone(&link));
                Ok(Entry::Works(link))
            }
            Err(error) => {
                self.circuit.unreachable(Instant::now());
                Err(error)
            }
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Notes that counts of keys were published in a second, and forgets what is older than the window.
async fn note(link: &mut Link, second: u64, keys: &[Uuid]) -> RedisResult<()> {
    let members: Vec<_> = keys.iter().map(|key| (second, key.to_string())).collect();
    redis::pipe()
        .zadd_multiple(keys::LATELY, &members)
        .ignore()
        .zrembyscore(keys::LATELY, "-inf", format!("({}", window::first(second)))
        .ignore()
        .expire(keys::LATELY, KEPT)
        .ignore()
        .query_async(link)
        .await
}

async fn in_time<T>(command: impl Future<Output = RedisResult<T>>) -> Result<T, SharedError> {
    within(ANSWER, command).await
}

async fn within<T>(bound: Duration, command: impl Future<Output = RedisResult<T>>) -> Result<T, SharedError> {
    Ok(timeout(bound, command).await.map_err(|_| SharedError::Late(bound))??)
}
