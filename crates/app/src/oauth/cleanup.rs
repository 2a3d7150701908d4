//! The clean-up inside the process: one instance at a time, in batches, and nothing that the detection of a replay needs.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::Duration as Span;
use statuspulse_store::{
    leases,
    oauth::cleanup::{BATCH, Chore, batch},
};

use crate::{app::App, error::AppError};

const LEASE: &str = "oauth-cleanup";
/// A lease outlives a few rounds, so that the same instance goes on; after a kill another one takes over behind it.
const HELD_FOR: Span = Span::seconds(150);
const EVERY: Duration = Duration::from_secs(60);
const WIPE_EVERY: Duration = Duration::from_secs(1);
/// Between two batches, so that a long clean-up never has the database for itself.
const BREATH: Duration = Duration::from_millis(20);

/// Rows that were taken since the start, by chore.
#[derive(Debug, Default)]
pub struct Tally {
    rows: Mutex<BTreeMap<&'static str, u64>>,
    rounds: AtomicU64,
    /// Held for a batch: one that meets another of the same process would skip its rows and take them for done.
    turn: tokio::sync::Mutex<()>,
}

impl Tally {
    fn add(&self, chore: Chore, rows: u64) {
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner).entry(chore.as_str()).or_default() += rows;
    }

    /// Rounds that this instance has carried to their end.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// By chore.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<&'static str, u64> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Wipes what retries of a refresh were answered with, from the end of their window on. Every second, and by every instance:
/// a database that is stolen a minute later must not hold what its window was the only reason for (oauth §5). It is one
/// statement over an index that holds the open windows alone, and of two instances each leaves the other's rows.
pub(crate) async fn wipe(app: Arc<App>) {
    loop {
        tokio::time::sleep(WIPE_EVERY).await;
        if let Err(error) = wipe_due(&app).await {
            tracing::debug!(%error, "sealed successors could not be wiped; the next second tries again");
        }
    }
}

async fn wipe_due(app: &App) -> Result<(), AppError> {
    loop {
        let mut conn = app.conn().await?;
        let turn = app.oauth_cleaned.turn.lock().await;
        let rows = batch(&mut conn, Chore::Successors, app.env.now()).await?;
        drop((conn, turn));
        app.oauth_cleaned.add(Chore::Successors, rows.unsigned_abs());
        if rows < BATCH {
            return Ok(());
        }
        tokio::time::sleep(BREATH).await;
    }
}

/// Runs for as long as the process does.
pub(crate) async fn run(app: Arc<App>) {
    loop {
        if let Err(error) = pass(&app).await {
            tracing::warn!(%error, "the clean-up of oauth did not finish; the next round goes on");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// One round: the signing key that is due, then every chore to its end. Answers the rows taken; none when another
/// instance has the lease.
///
/// # Errors
/// When the database can't be reached.
pub async fn pass(app: &App) -> Result<Option<u64>, AppError> {
    crate::signing::ensure(app).await?;
    app.sign_ins.forget_idle();
    let mut taken = 0;
    for chore in Chore::ALL {
        loop {
            let now = app.env.now();
            let mut conn = app.conn().await?;
            if !leases::acquire(&mut conn, LEASE, app.instance, now, now + HELD_FOR).await? {
                return Ok(None);
            }
            let turn = app.oauth_cleaned.turn.lock().await;
            let rows = batch(&mut conn, chore, now).await?;
            drop((conn, turn));
            app.oauth_cleaned.add(chore, rows.unsigned_abs());
            taken += rows.unsigned_abs();
            if rows < BATCH {
                break;
            }
            tokio::time::sleep(BREATH).await;
        }
    }
    app.oauth_cleaned.rounds.fetch_add(1, Ordering::Relaxed);
    if taken > 0 {
        tracing::debug!(rows = taken, "oauth cleaned up");
    }
    Ok(Some(taken))
}

/// Gives the lease back, when this instance leaves in order.
pub(crate) async fn leave(app: &App) {
    let left = async { leases::release(&mut *app.pool.get().await?, LEASE, app.instance).await };
    if let Err(error) = left.await {
        tracing::warn!(%error, "the lease of the clean-up stays for a while");
    }
}
