//! Auto-Rotate: slots are made ahead of the end on every instance, and picked up by the holder of the old token.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use statuspulse_audit::{Action, Actor, Class, EventType};
use statuspulse_keys::{
    Key, KeyVersion, Status, VersionState,
    directory::{Found, KeySnapshot},
    successor::{self, AHEAD, NothingToClaim},
};
use statuspulse_policy::{KeyId, KeyVersionId};
use statuspulse_store::{AsyncConnection as _, Conn, feed, keys, organizations, webhooks::outbox};

use super::{
    KeyView,
    create::{NewSecret, TOKEN_TAKEN},
    current_of, current_status, is_running, lost_race, one_of_many, sealing, view,
};
use crate::{
    app::App,
    caller::{Access, Caller, Right},
    error::AppError,
    webhooks::News,
};

const EVERY: Duration = Duration::from_secs(60);
/// Keys of one round; the next one goes on.
const BATCH: i64 = 500;

/// A key with the token of its successor.
#[derive(Debug)]
pub struct Claimed {
    /// The key.
    pub view: KeyView,
    /// The new token; in this answer and nowhere else.
    pub token: statuspulse_keys::Token,
}

/// Runs for as long as the process does, on every instance: the database makes one slot of many tries.
pub(crate) async fn run(app: Arc<App>) {
    loop {
        if let Err(error) = pass(&app).await {
            tracing::warn!(%error, "successors could not be prepared; the next round tries again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Makes the slots that are due and takes away those that have outlived their key; answers how many. After an outage it
/// catches up.
///
/// # Errors
/// 503.
pub async fn pass(app: &App) -> Result<usize, AppError> {
    let now = app.env.now();
    outbox::forget_sealed(&mut *app.conn().await?, now).await?;
    let ids = keys::slots_due(&mut *app.conn().await?, now, AHEAD, BATCH).await?;
    let mut done = 0;
    for id in ids {
        done += usize::from(one_of_many(id, prepare(app, id).await)?);
    }
    if done > 0 {
        app.replica.catch_up().await;
    }
    Ok(done)
}

/// A successor's token, sealed to the key's recipient (keys §7). Made before the transaction opens, like every secret.
struct Sealed {
    secret: NewSecret,
    armoured: String,
}

async fn prepare(app: &App, id: KeyId) -> Result<bool, AppError> {
    let seen = keys::find(&mut *app.conn().await?, None, id).await?;
    let Some(key) = seen.map(|seen| seen.key) else { return Ok(false) };
    let recipient = key.successor_public_key.as_deref();
    let sealed = match recipient {
        Some(recipient) => seal_for(app, &key, recipient).await?,
        None => None,
    };
    let mut conn = app.conn().await?;
    conn.transaction(async |conn| settle(app, conn, id, recipient, sealed.as_ref()).await).await
}

/// Makes a token and seals it; none where that can't be done, and the holder picks it up by the old token.
async fn seal_for(app: &App, key: &Key, recipient: &str) -> Result<Option<Sealed>, AppError> {
    let secret = NewSecret::make(app, key.environment).await?;
    match sealing::seal_to(recipient, secret.token.expose()) {
        Ok(armoured) => Ok(Some(Sealed { secret, armoured })),
        Err(error) => {
            tracing::error!(key = %key.id, %error, "a successor could not be sealed to its recipient");
            Ok(None)
        }
    }
}

async fn settle(
    app: &App,
    conn: &mut Conn,
    id: KeyId,
    recipient: Option<&str>,
    sealed: Option<&Sealed>,
) -> Result<bool, AppError> {
    let Some(mut snapshot) = keys::lock(conn, None, id).await? else { return Ok(false) };
    let Some(organization) = organizations::by_id(conn, snapshot.key.organization_id).await? else { return Ok(false) };
    let (caps, now) = (organization.settings.caps, app.env.now());
    let current = current_of(&snapshot)?.clone();
    let due = successor::is_due(&snapshot, &current, &caps, now);
    let until = caps.effective_end(snapshot.key.environment, current.created_at, current.expires_at);
    let outlived = now >= until && successor::slot(&snapshot).is_some();
    // What was sealed to a recipient of a moment ago is thrown away; the next round seals to the one of now.
    if !(due || outlived) || snapshot.key.successor_public_key.as_deref() != recipient {
        return Ok(false);
    }
    let event = Caller::system(app)
        .event(app, Class::A, Action::KeyUpdate, Some(organization.id))?
        .with("key_id", id.to_string())
        .with("successor", if due { "pending" } else { "removed" })
        .with("sealed", due && sealed.is_some());
    app.recorder.record(conn, event).await?;
    let number = current.number + 1;
    if due {
        let news = News::of_key(EventType::KeySuccessorReady, &snapshot.key, &current, until)
            .with("version", json!(number))
            .with("available_until", json!(until));
        let news = match sealed {
            Some(sealed) => news.with_sealed(sealed.armoured.clone(), until),
            None => news,
        };
        news.tell(app, conn).await?;
    }
    let seen = snapshot.key.sequence;
    snapshot.key.sequence = feed::next(conn).await?;
    if due {
        let version = match sealed {
            Some(sealed) => {
                KeyVersion { state: VersionState::Pending, ..sealed.secret.version(app, number, now, until)? }
            }
            None => KeyVersion {
                id: KeyVersionId::from_uuid(app.env.id()?),
                number,
                state: VersionState::Pending,
                lookup_id: None,
                pepper_version: current.pepper_version,
                secret_hash: None,
                hint: String::new(),
                created_at: now,
                expires_at: until,
                valid_until: until,
                claimed_at: None,
            },
        };
        if !keys::insert_slot(conn, &snapshot.key, &version).await? {
            return Err(lost_race());
        }
        if sealed.is_some() {
            // Never three tokens that work: one inside an overlap ends now.
            end_overlapping(conn, &mut snapshot, now).await?;
        }
    }
    if !keys::update(conn, &snapshot.key, seen).await? {
        return Err(lost_race());
    }
    if !due {
        keys::remove_slot(conn, id).await?;
        outbox::forget_sealed_of(conn, id).await?;
    }
    Ok(true)
}

async fn end_overlapping(
    conn: &mut Conn,
    snapshot: &mut KeySnapshot,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), AppError> {
    let sequence = snapshot.key.sequence;
    for held in &mut snapshot.versions {
        if held.state == VersionState::Superseded && held.valid_until > now {
            held.valid_until = now;
            if !keys::end_version(conn, held, VersionState::Superseded, sequence).await? {
                return Err(lost_race());
            }
        }
    }
    Ok(())
}

/// Picks the successor up: the slot gets its secret, and is the current version from now on. The old token works until its
/// own end.
///
/// # Errors
/// 404 `no_successor`, 409 `successor_claimed`, 503 when the hashing queue is full.
pub async fn claim(app: &App, caller: &Caller, found: &Found) -> Result<Claimed, AppError> {
    let presented = found.version().map_or(0, |version| version.number);
    let id = found.key.key.id;
    // Judged before the hash is made, so that a refusal costs no hash; judged again under the lock, where it counts.
    let environment = {
        let mut conn = app.conn().await?;
        let seen = keys::find(&mut conn, None, id).await?.ok_or(AppError::NotFound("key"))?;
        successor::claimable(&seen, current_of(&seen)?, presented).map_err(nothing)?;
        seen.key.environment
    };
    loop {
        let secret = NewSecret::make(app, environment).await?;
        let mut conn = app.conn().await?;
        match conn.transaction(async |conn| fill(app, caller, conn, id, presented, &secret).await).await {
            Err(AppError::Conflict { code: TOKEN_TAKEN, .. }) => {}
            Err(error) => return Err(error),
            Ok(view) => {
                caller.mark_recorded();
                app.replica.catch_up().await;
                return Ok(Claimed { view, token: secret.token });
            }
        }
    }
}

fn nothing(why: NothingToClaim) -> AppError {
    match why {
        NothingToClaim::Claimed => AppError::conflict("successor_claimed", why.to_string()),
        NothingToClaim::NoSlot => AppError::Missing { code: "no_successor", detail: why.to_string() },
    }
}

async fn fill(
    app: &App,
    caller: &Caller,
    conn: &mut Conn,
    id: KeyId,
    presented: i32,
    secret: &NewSecret,
) -> Result<KeyView, AppError> {
    let mut snapshot = keys::lock(conn, None, id).await?.ok_or(AppError::NotFound("key"))?;
    let organization = organizations::by_id(conn, snapshot.key.organization_id).await?;
    let access = Access { organization: organization.ok_or(AppError::NotFound("organization"))?, right: Right::Reader };
    let (caps, now) = (access.organization.settings.caps, app.env.now());
    let current = current_of(&snapshot)?.clone();
    let slot = successor::claimable(&snapshot, &current, presented).map_err(nothing)?.clone();
    // A key that has ended since it was let in picks nothing up any more.
    super::refuse_ended(current_status(&snapshot, &caps, now)?)?;
    snapshot.key.scopes = snapshot.key.scopes.intersection(app.catalog.load().all());
    let lifespan = snapshot.key.lifespan.min(caps.lifespan(snapshot.key.environment));
    let mut version = secret.version(app, slot.number, now, now + lifespan)?;
    version.claimed_at = Some(now);
    let event = caller
        .event(app, Class::A, Action::KeyClaim, Some(access.organization.id))?
        .with("key_id", id.to_string())
        .with("version", slot.number)
        .with("expires_at", json!(version.expires_at));
    app.recorder.record(conn, event).await?;
    // A sealed one had another secret, which is gone by this.
    outbox::forget_sealed_of(conn, id).await?;
    let old_end = caps.effective_end(snapshot.key.environment, current.created_at, current.expires_at);
    claimed_news(&snapshot, &version, old_end).tell(app, conn).await?;
    let seen = snapshot.key.sequence;
    let sequence = feed::next(conn).await?;
    succeed(conn, &mut snapshot, &current, old_end, now, sequence).await?;
    snapshot.key.current_version = slot.number;
    snapshot.key.sequence = sequence;
    if !put(conn, &slot, &version, sequence).await? || !keys::update(conn, &snapshot.key, seen).await? {
        return Err(lost_race());
    }
    snapshot.versions.retain(|held| held.number != slot.number);
    snapshot.versions.push(version);
    view(conn, &access, snapshot, now).await
}

fn claimed_news(snapshot: &KeySnapshot, version: &KeyVersion, old_end: chrono::DateTime<chrono::Utc>) -> News {
    News::of_key(EventType::KeySuccessorClaimed, &snapshot.key, version, version.expires_at)
        .with("previous_valid_until", json!(old_end))
}

/// The first use of a sealed successor is its claim: it becomes the current version, with a whole lifespan from now on.
/// Written behind the answer of the call that used it.
///
/// # Errors
/// 503.
pub(crate) async fn claim_by_use(app: &App, id: KeyId, used: i32) -> Result<(), AppError> {
    let mut conn = app.conn().await?;
    conn.transaction(async |conn| {
        let Some(mut snapshot) = keys::lock(conn, None, id).await? else { return Ok(()) };
        let organization = organizations::by_id(conn, snapshot.key.organization_id).await?;
        let Some(organization) = organization else { return Ok(()) };
        let (caps, now) = (organization.settings.caps, app.env.now());
        let current = current_of(&snapshot)?.clone();
        let Some(slot) = successor::slot(&snapshot).filter(|slot| slot.number == used).cloned() else { return Ok(()) };
        if !matches!(current_status(&snapshot, &caps, now)?, Status::Active | Status::Disabled) {
            return Ok(());
        }
        let lifespan = snapshot.key.lifespan.min(caps.lifespan(snapshot.key.environment));
        let version = KeyVersion {
            state: VersionState::Live,
            created_at: now,
            expires_at: now + lifespan,
            valid_until: now + lifespan,
            claimed_at: Some(now),
            ..slot.clone()
        };
        let mut event = Caller::system(app)
            .event(app, Class::A, Action::KeyClaim, Some(organization.id))?
            .with("key_id", id.to_string())
            .with("version", slot.number)
            .with("expires_at", json!(version.expires_at))
            .with("cause", "first_use");
        event.actor = Actor::ApiKey { id, version: Some(used) };
        app.recorder.record(conn, event).await?;
        let old_end = caps.effective_end(snapshot.key.environment, current.created_at, current.expires_at);
        claimed_news(&snapshot, &version, old_end).tell(app, conn).await?;
        let seen = snapshot.key.sequence;
        let sequence = feed::next(conn).await?;
        snapshot.versions.retain(|held| held.number != slot.number);
        succeed(conn, &mut snapshot, &current, old_end, now, sequence).await?;
        snapshot.key.current_version = slot.number;
        snapshot.key.sequence = sequence;
        if !put(conn, &slot, &version, sequence).await? || !keys::update(conn, &snapshot.key, seen).await? {
            return Err(lost_race());
        }
        Ok(())
    })
    .await
}

/// Writes the secret into the slot.
pub(super) async fn put(
    conn: &mut Conn,
    slot: &KeyVersion,
    version: &KeyVersion,
    sequence: i64,
) -> Result<bool, AppError> {
    match keys::fill_slot(conn, slot, version, sequence).await {
        Err(error) if error.is_duplicate_of(keys::LOOKUP_INDEX) => {
            Err(AppError::conflict(TOKEN_TAKEN, "the token exists"))
        }
        other => Ok(other?),
    }
}

/// Makes the current version the predecessor, until `end`; one before it that is still inside an overlap ends now: there
/// are never three live versions.
pub(super) async fn succeed(
    conn: &mut Conn,
    snapshot: &mut KeySnapshot,
    current: &KeyVersion,
    end: chrono::DateTime<chrono::Utc>,
    now: chrono::DateTime<chrono::Utc>,
    sequence: i64,
) -> Result<(), AppError> {
    for held in &mut snapshot.versions {
        let was = held.state;
        if held.number == current.number {
            held.state = VersionState::Superseded;
            held.valid_until = end;
        } else if is_running(was) && held.valid_until > now {
            held.valid_until = now;
        } else {
            continue;
        }
        if !keys::end_version(conn, held, was, sequence).await? {
            return Err(lost_race());
        }
    }
    Ok(())
}
