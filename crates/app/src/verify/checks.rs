//! What happens to a key beside the answer: the bcrypt check once per version and process, the move to a new pepper, and
//! the consequences of a tampered row or a rotated-away token.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::json;
use statuspulse_audit::AlertRule;
use statuspulse_keys::{
    LookupId, SecretHash, Token, VersionState,
    directory::{Found, ReusePolicy, SecretCheck},
};
use statuspulse_policy::{Code, KeyId, KeyVersionId};
use statuspulse_store::{AsyncConnection as _, alerts::Happening, feed, keys};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use uuid::Uuid;

use crate::{app::App, error::AppError, recorder};

/// Checks under way and waiting, at most. Beyond that a version stays unchecked until its next use.
const CHECKS: usize = 10_000;
/// How long a call waits for its key's check to get its turn. A running one is waited for to its end.
const TURN: Duration = Duration::from_millis(25);
const TRIES: u32 = 20;
const RETRY: Duration = Duration::from_millis(500);

/// How far the check of a version has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Queued,
    Running,
    Done(bool),
}

/// The checks of stored hashes: at most one at a time for a version, and places of their own, so that neither sign-ins
/// nor new keys can put them off.
pub(crate) struct SecretChecks {
    permits: Arc<Semaphore>,
    under_way: Mutex<HashMap<KeyVersionId, watch::Receiver<Progress>>>,
    written: papaya::HashSet<Uuid>,
}

impl SecretChecks {
    /// For a machine with that many cores: one stays free for everything else.
    pub(crate) fn new(cores: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))),
            under_way: Mutex::default(),
            written: papaya::HashSet::new(),
        }
    }

    /// Takes every place, if all are free.
    pub(crate) fn hold(&self) -> Option<OwnedSemaphorePermit> {
        let places = u32::try_from(self.permits.available_permits()).ok()?;
        Arc::clone(&self.permits).try_acquire_many_owned(places).ok()
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<KeyVersionId, watch::Receiver<Progress>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for SecretChecks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecretChecks")
    }
}

/// Compares the token with the stored bcrypt hash, if that hasn't been done for this version in this process. Calls that
/// come meanwhile wait for the same check. When many keys wait for theirs, the match of the keyed digest is accepted and
/// the check follows: a restart with many keys must not cost minutes of refusals.
pub(super) async fn check_secret(app: &Arc<App>, found: &Found, token: &Token) -> Result<(), Code> {
    let Some(version) = found.version() else { return Err(Code::Unknown) };
    if found.slot.secret_check() == SecretCheck::Failed {
        return Err(Code::Disabled);
    }
    let Some(Ok(hash)) = &version.secret_hash else {
        found.slot.record_check(false);
        tokio::spawn(persist(Arc::clone(app), Consequence::Quarantine(Box::new(found.clone()), "broken_hash")));
        return Err(Code::Disabled);
    };
    let mut progress = {
        let mut under_way = app.checks.under_way();
        match under_way.get(&version.id) {
            Some(progress) => progress.clone(),
            None if under_way.len() >= CHECKS => return Ok(()),
            None => {
                // The text was a token a moment ago.
                let Ok(copy) = Token::parse(token.expose()) else { return Err(Code::Malformed) };
                let (sender, progress) = watch::channel(Progress::Queued);
                under_way.insert(version.id, progress.clone());
                // A task of its own: the caller may hang up, the check goes on.
                tokio::spawn(run_check(Arc::clone(app), found.clone(), version.id, copy, hash.clone(), sender));
                progress
            }
        }
    };
    loop {
        let now = *progress.borrow_and_update();
        let changed = match now {
            Progress::Done(true) => return Ok(()),
            Progress::Done(false) => return Err(Code::Disabled),
            Progress::Running => progress.changed().await,
            Progress::Queued => match tokio::time::timeout(TURN, progress.changed()).await {
                Ok(changed) => changed,
                Err(_) => return Ok(()),
            },
        };
        if changed.is_err() {
            return Err(Code::Unavailable);
        }
    }
}

async fn run_check(
    app: Arc<App>,
    found: Found,
    version: KeyVersionId,
    token: Token,
    hash: SecretHash,
    progress: watch::Sender<Progress>,
) {
    let permit = Arc::clone(&app.checks.permits).acquire_owned().await;
    progress.send_replace(Progress::Running);
    let fits = match permit {
        Ok(permit) => app.gate.blocking(permit, move || hash.verify(&token)).await,
        Err(error) => Err(AppError::internal(error)),
    };
    let fits = match fits {
        Ok(fits) => fits == Ok(true),
        Err(error) => {
            // The computation itself broke: nobody is told that it fits, and the next use tries again.
            tracing::error!(%error, "a secret could not be checked");
            app.checks.under_way().remove(&version);
            return;
        }
    };
    // The outcome stands before the check is over, so that no other one can begin in between.
    found.slot.record_check(fits);
    app.checks.under_way().remove(&version);
    progress.send_replace(Progress::Done(fits));
    if !fits {
        persist(app, Consequence::Quarantine(Box::new(found), "hash_mismatch")).await;
    }
}

/// What has to be written because of a call, beside its answer.
#[derive(Debug)]
enum Consequence {
    /// A key's row was tampered with: it is switched off and a critical alert opened. This instance refuses it already.
    Quarantine(Box<Found>, &'static str),
    /// A rotated-away token was used where the policy is to revoke the key.
    Revoke(KeyId),
    /// A sealed successor was used for the first time, which is its claim.
    Claim(KeyId, i32),
}

impl Consequence {
    fn about(&self) -> Uuid {
        match self {
            Self::Quarantine(found, _) => found.key.key.id.as_uuid(),
            Self::Revoke(id) => id.as_uuid(),
            Self::Claim(id, _) => id.as_uuid(),
        }
    }

    async fn write(&self, app: &App) -> Result<(), AppError> {
        match self {
            Self::Quarantine(found, reason) => quarantine(app, found, reason).await,
            Self::Revoke(id) => crate::keys::revoke_in_background(app, *id, "rotated_key_used").await,
            Self::Claim(id, number) => crate::keys::successor::claim_by_use(app, *id, *number).await,
        }
    }
}

/// Writes a consequence, trying again while the database is away, for a bounded time.
async fn persist(app: Arc<App>, consequence: Consequence) {
    let about = consequence.about();
    // One is enough: whoever goes on using such a key must not pile up work.
    if !app.checks.written.pin().insert(about) {
        return;
    }
    write_persistently(&app, &consequence).await;
    app.checks.written.pin().remove(&about);
}

async fn write_persistently(app: &App, consequence: &Consequence) {
    for _ in 0..TRIES {
        match consequence.write(app).await {
            Ok(()) => return app.replica.catch_up().await,
            Err(AppError::Unavailable { .. }) => tokio::time::sleep(RETRY).await,
            Err(error) => return tracing::error!(%error, ?consequence, "the consequence of a call can't be written"),
        }
    }
    tracing::error!(?consequence, "the consequence of a call was not written: the database stayed away");
}

async fn quarantine(app: &App, found: &Found, reason: &'static str) -> Result<(), AppError> {
    let id = found.key.key.id;
    tracing::error!(key = %id, reason, "a key's stored secret is not its own: quarantined");
    let now = app.env.now();
    let happening = integrity(found, now, reason);
    let mut conn = app.conn().await?;
    conn.transaction(async |conn| {
        let Some(mut snapshot) = keys::lock(conn, None, id).await? else {
            return Ok(());
        };
        recorder::raise(app, conn, &happening).await?;
        if snapshot.key.disabled_at.is_some() || snapshot.key.revoked_at.is_some() {
            return Ok(());
        }
        crate::keys::switch_off(app, conn, &mut snapshot, reason).await
    })
    .await
}

fn integrity(found: &Found, now: chrono::DateTime<chrono::Utc>, reason: &str) -> Happening {
    Happening::new(AlertRule::Integrity, Some(found.organization.id), ("key", found.key.key.id), now)
        .with("cause", reason)
        .with("version", json!(found.version().map(|version| version.number)))
}

/// With the policy `kill`, the use of a rotated-away token revokes the key: whoever holds the old secret may hold the new
/// one too.
pub(super) fn apply_reuse_policy(app: &Arc<App>, found: &Found) {
    if found.organization.reuse_policy != ReusePolicy::Kill {
        return;
    }
    tokio::spawn(persist(Arc::clone(app), Consequence::Revoke(found.key.key.id)));
}

/// The first accepted use of a sealed successor claims it (keys §7). The call does not wait for it.
pub(super) fn claim_if_sealed(app: &Arc<App>, found: &Found) {
    let Some(version) = found.version().filter(|version| version.state == VersionState::Pending) else { return };
    tokio::spawn(persist(Arc::clone(app), Consequence::Claim(found.key.key.id, version.number)));
}

/// Puts a version under the current pepper when it was found under an older one, in the background.
pub(super) fn reindex_if_due(app: &Arc<App>, found: &Found, token: Token) {
    let (Some(version), Some(pepper)) = (found.version(), app.secrets.current_pepper()) else {
        return;
    };
    if version.pepper_version == pepper.version() || version.state == VersionState::Revoked {
        return;
    }
    if !app.checks.written.pin().insert(version.id.as_uuid()) {
        return;
    }
    let (app, id, version, old) = (Arc::clone(app), found.key.key.id, version.id, version.pepper_version);
    let lookup = pepper.lookup_id(&token);
    drop(token);
    tokio::spawn(async move {
        if let Err(error) = reindex(&app, id, version, old, &lookup, pepper.version()).await {
            tracing::warn!(%error, "a key could not be moved to the current pepper; its next use tries again");
        }
        app.checks.written.pin().remove(&version.as_uuid());
    });
}

async fn reindex(
    app: &App,
    id: KeyId,
    version: KeyVersionId,
    old_pepper: i16,
    lookup: &LookupId,
    pepper: i16,
) -> Result<(), AppError> {
    let mut conn = app.conn().await?;
    conn.transaction(async |conn| {
        if keys::lock(conn, None, id).await?.is_none() {
            return Ok(());
        }
        let sequence = feed::next(conn).await?;
        if keys::reindex(conn, version, old_pepper, lookup, pepper, sequence).await? {
            keys::stamp(conn, id, sequence).await?;
        }
        Ok::<_, AppError>(())
    })
    .await
}
