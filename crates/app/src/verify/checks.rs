//! What happens to a key beside the answer: the bcrypt check once per version and process, the move to a new pepper, and
//! the consequences of a tampered row or a rotated-away token.

use std::sync::Arc;

use papaya::HashSet;
use serde_json::{Map, json};
use statuspulse_audit::{Action, AlertRule, Class};
use statuspulse_keys::{
    LookupId, SecretHash, Token, VersionState,
    directory::{Found, ReusePolicy, SecretCheck},
};
use statuspulse_policy::{Code, KeyId, KeyVersionId};
use statuspulse_store::{AsyncConnection as _, alerts::Happening, feed, keys};
use tokio::sync::mpsc;

use crate::{app::App, caller::Caller, error::AppError, recorder};

/// Checks that wait for a place in the gate. Beyond that a version stays unchecked until its next use.
const DEFERRED: usize = 10_000;
const TRIES: u32 = 20;
const RETRY: std::time::Duration = std::time::Duration::from_millis(500);

struct Deferred {
    found: Found,
    token: Token,
}

/// Checks under way: one per version.
pub(crate) struct SecretChecks {
    running: HashSet<KeyVersionId>,
    sender: mpsc::Sender<Deferred>,
    receiver: tokio::sync::Mutex<Option<mpsc::Receiver<Deferred>>>,
}

impl Default for SecretChecks {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(DEFERRED);
        Self { running: HashSet::new(), sender, receiver: tokio::sync::Mutex::new(Some(receiver)) }
    }
}

impl std::fmt::Debug for SecretChecks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecretChecks")
    }
}

/// Compares the token with the stored bcrypt hash, if that hasn't been done for this version in this process. With the
/// gate full, the match of the keyed digest is accepted and the check follows: a restart with many keys must not cost
/// minutes of refusals.
pub(super) async fn check_secret(app: &Arc<App>, found: &Found, token: &Token) -> Result<(), Code> {
    let Some(version) = found.version() else {
        return Err(Code::Unknown);
    };
    if found.slot.secret_check() == SecretCheck::Failed {
        return Err(Code::Disabled);
    }
    let Some(Ok(hash)) = &version.secret_hash else {
        found.slot.record_check(false);
        tokio::spawn(persist(Arc::clone(app), Consequence::Quarantine(Box::new(found.clone()), "broken_hash")));
        return Err(Code::Disabled);
    };
    if !app.checks.running.pin().insert(version.id) {
        return Ok(());
    }
    // The text was a token a moment ago.
    let Ok(copy) = Token::parse(token.expose()) else {
        return Err(Code::Malformed);
    };
    let Some(permit) = app.gate.try_enter() else {
        if app.checks.sender.try_send(Deferred { found: found.clone(), token: copy }).is_err() {
            app.checks.running.pin().remove(&version.id);
        }
        return Ok(());
    };
    // A task of its own: the caller may hang up, the check goes on.
    let task = tokio::spawn(run_check(Arc::clone(app), found.clone(), copy, hash.clone(), permit));
    match task.await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Code::Disabled),
        Err(_) => Err(Code::Unavailable),
    }
}

async fn run_check(
    app: Arc<App>,
    found: Found,
    token: Token,
    hash: SecretHash,
    permit: tokio::sync::OwnedSemaphorePermit,
) -> bool {
    let fits = app.gate.blocking(permit, move || hash.verify(&token)).await;
    if let Some(version) = found.version() {
        app.checks.running.pin().remove(&version.id);
    }
    match fits {
        Ok(Ok(true)) => {
            found.slot.record_check(true);
            true
        }
        Ok(_) => {
            found.slot.record_check(false);
            tokio::spawn(persist(app, Consequence::Quarantine(Box::new(found), "hash_mismatch")));
            false
        }
        // The computation itself broke; the next use tries again.
        Err(error) => {
            tracing::error!(%error, "a secret could not be checked");
            true
        }
    }
}

/// Works off the checks that were deferred, one after the other.
pub(crate) async fn work_off_checks(app: Arc<App>) {
    let Some(mut receiver) = app.checks.receiver.lock().await.take() else {
        return;
    };
    while let Some(Deferred { found, token }) = receiver.recv().await {
        let hash = found.version().and_then(|version| version.secret_hash.clone());
        if let (Some(Ok(hash)), Some(permit)) = (hash, app.gate.enter().await) {
            run_check(Arc::clone(&app), found, token, hash, permit).await;
        }
    }
}

/// What has to be written because of a call, beside its answer.
#[derive(Debug)]
enum Consequence {
    /// A key's row was tampered with: it is switched off and a critical alert opened. This instance refuses it already.
    Quarantine(Box<Found>, &'static str),
    /// A rotated-away token was used where the policy is to revoke the key.
    Revoke(KeyId),
}

impl Consequence {
    async fn write(&self, app: &App) -> Result<(), AppError> {
        match self {
            Self::Quarantine(found, reason) => quarantine(app, found, reason).await,
            Self::Revoke(id) => crate::keys::revoke_in_background(app, *id, "rotated_key_used").await,
        }
    }
}

/// Writes a consequence, trying again while the database is away, for a bounded time.
async fn persist(app: Arc<App>, consequence: Consequence) {
    for _ in 0..TRIES {
        match consequence.write(&app).await {
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
    let event = Caller::system(app)
        .event(app, Class::A, Action::KeyDisable, Some(found.organization.id))?
        .with("key_id", id.to_string())
        .with("cause", reason);
    let mut conn = app.conn().await?;
    conn.transaction(async |conn| {
        let Some(mut snapshot) = keys::lock(conn, None, id).await? else {
            return Ok(());
        };
        recorder::raise(app, conn, &happening).await?;
        if snapshot.key.disabled_at.is_some() || snapshot.key.revoked_at.is_some() {
            return Ok(());
        }
        app.recorder.record(conn, event).await?;
        let seen = snapshot.key.sequence;
        snapshot.key.disabled_at = Some(now);
        snapshot.key.sequence = feed::next(conn).await?;
        keys::update(conn, &snapshot.key, seen).await?;
        Ok::<_, AppError>(())
    })
    .await
}

fn integrity(found: &Found, now: chrono::DateTime<chrono::Utc>, reason: &str) -> Happening {
    let mut facts = Map::new();
    facts.insert("cause".into(), json!(reason));
    facts.insert("version".into(), json!(found.version().map(|version| version.number)));
    Happening {
        rule: AlertRule::Integrity,
        organization: Some(found.organization.id),
        subject_kind: "key",
        subject: found.key.key.id.to_string(),
        first_at: now,
        last_at: now,
        count: 1,
        routes: Vec::new(),
        sources: Vec::new(),
        facts,
    }
}

/// With the policy `kill`, the use of a rotated-away token revokes the key: whoever holds the old secret may hold the new
/// one too.
pub(super) fn apply_reuse_policy(app: &Arc<App>, found: &Found) {
    if found.organization.reuse_policy != ReusePolicy::Kill {
        return;
    }
    tokio::spawn(persist(Arc::clone(app), Consequence::Revoke(found.key.key.id)));
}

/// Puts a version under the current pepper when it was found under an older one, in the background.
pub(super) fn reindex_if_due(app: &Arc<App>, found: &Found, token: Token) {
    let (Some(version), Some(pepper)) = (found.version(), app.secrets.current_pepper()) else {
        return;
    };
    if version.pepper_version == pepper.version() || version.state == VersionState::Revoked {
        return;
    }
    if !app.checks.running.pin().insert(version.id) {
        return;
    }
    let (app, id, version, old) = (Arc::clone(app), found.key.key.id, version.id, version.pepper_version);
    let lookup = pepper.lookup_id(&token);
    drop(token);
    tokio::spawn(async move {
        if let Err(error) = reindex(&app, id, version, old, &lookup, pepper.version()).await {
            tracing::warn!(%error, "a key could not be moved to the current pepper; its next use tries again");
        }
        app.checks.running.pin().remove(&version);
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
