use chrono::{DateTime, Duration, Utc};
use serde::Serialize;
use serde_json::json;
use statuspulse_audit::{Action, Class, EventType};
use statuspulse_keys::{Token, rotation, successor};
use statuspulse_policy::KeyId;
use statuspulse_store::{AsyncConnection as _, feed, keys, organizations, webhooks::outbox};

use super::{
    KeyView,
    create::{NewSecret, Request, TOKEN_TAKEN},
    current_of, current_status, lost_race,
    successor::{put, succeed},
    view,
};
use crate::{
    app::App,
    caller::{Access, Caller},
    error::AppError,
    webhooks::News,
};

/// The longest overlap: seven days.
const LONGEST_OVERLAP_SECONDS: i64 = 604_800;

/// What a rotation is asked to do, as it comes from outside.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct RotateKey {
    /// How long the old token stays accepted; none means not at all.
    pub overlap_seconds: Option<i64>,
    /// The version that the caller thinks is current. It says when to rotate, not what to do: the same request sent again
    /// with a newer version is a repeat all the same.
    #[serde(skip)]
    pub if_match: Option<i32>,
}

/// A key with its new token.
#[derive(Debug)]
pub struct Rotated {
    /// The key.
    pub view: KeyView,
    /// The new token; in this answer and nowhere else.
    pub token: Token,
    /// When the old token stops, or stopped.
    pub previous_valid_until: DateTime<Utc>,
}

/// Gives a key its next version. Policy hangs on the key, so nothing but the secret changes.
///
/// # Errors
/// 409 `key_expired`, `key_revoked`, `rotation_conflict`, 412 `version_mismatch`, 422 for an overlap out of bounds, 403
/// when the caller may not hand out the key's scopes (the person who rotates receives the token).
pub async fn rotate(
    app: &App,
    caller: &Caller,
    access: &Access,
    id: KeyId,
    input: RotateKey,
    idempotency_key: Option<&str>,
) -> Result<Rotated, AppError> {
    access.require_writer()?;
    let overlap = input.overlap_seconds.unwrap_or(0);
    if !(0..=LONGEST_OVERLAP_SECONDS).contains(&overlap) {
        let detail = "an overlap is 0 to 604800 seconds (7 days)";
        return Err(AppError::field("overlap_seconds", "out_of_bounds", detail));
    }
    let request = Request::new(caller, access, idempotency_key, &("rotate", id, &input))?;
    request.refuse_repeat(app).await?;
    // Judged before the hash is made, so that a refusal costs no hash; judged again under the lock, where it counts.
    let environment = {
        let mut conn = app.conn().await?;
        let seen = keys::find(&mut conn, Some(access.organization.id), id).await?.ok_or(AppError::NotFound("key"))?;
        access.require_grantable(app, seen.key.scopes)?;
        let status = current_status(&seen, &access.organization.settings.caps, app.env.now())?;
        if let Err(refusal) = rotation::judge(&seen.key, current_of(&seen)?, status, input.if_match, caller.arrived_at)
        {
            // The rotation that stands in the way may be this very request, carried out a moment ago.
            request.judge_repeat(app, &mut conn).await?;
            return Err(refusal.into());
        }
        seen.key.environment
    };
    loop {
        let secret = NewSecret::make(app, environment).await?;
        match write(app, caller, access, id, &secret, input.if_match, Duration::seconds(overlap), &request).await {
            Err(AppError::Conflict { code: TOKEN_TAKEN, .. }) => {}
            Err(error) => return Err(error),
            Ok((view, previous_valid_until)) => {
                caller.mark_recorded();
                app.replica.catch_up().await;
                return Ok(Rotated { view, token: secret.token, previous_valid_until });
            }
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one private step of the use case above, with what it has gathered")]
async fn write(
    app: &App,
    caller: &Caller,
    access: &Access,
    id: KeyId,
    secret: &NewSecret,
    if_match: Option<i32>,
    overlap: Duration,
    request: &Request<'_>,
) -> Result<(KeyView, DateTime<Utc>), AppError> {
    let mut conn = app.conn().await?;
    let event = caller.event(app, Class::A, Action::KeyRotate, Some(access.organization.id))?;
    conn.transaction(async |conn| {
        let mut snapshot =
            keys::lock(conn, Some(access.organization.id), id).await?.ok_or(AppError::NotFound("key"))?;
        request.judge_repeat(app, conn).await?;
        let organization =
            organizations::by_id(conn, access.organization.id).await?.ok_or(AppError::NotFound("organization"))?;
        let caps = organization.settings.caps;
        let now = app.env.now();
        let status = current_status(&snapshot, &caps, now)?;
        let previous = current_of(&snapshot)?.clone();
        rotation::judge(&snapshot.key, &previous, status, if_match, caller.arrived_at)?;
        let today = Access { organization, right: access.right };
        today.require_grantable(app, snapshot.key.scopes)?;
        // Judged against today's catalog: a scope that is no longer in it is not handed on.
        snapshot.key.scopes = snapshot.key.scopes.intersection(app.catalog.load().all());
        let seen = snapshot.key.sequence;
        let number = previous.number + 1;
        let lifespan = snapshot.key.lifespan.min(caps.lifespan(snapshot.key.environment));
        let version = secret.version(app, number, now, now + lifespan)?;
        let old_end = caps.effective_end(snapshot.key.environment, previous.created_at, previous.expires_at);
        let previous_end = rotation::predecessor_end(now, overlap, old_end);
        let event = event
            .with("key_id", id.to_string())
            .with("version", number)
            .with("previous_valid_until", json!(previous_end));
        app.recorder.record(conn, event).await?;
        outbox::forget_sealed_of(conn, id).await?;
        News::of_key(EventType::KeyRotated, &snapshot.key, &version, version.expires_at)
            .with("previous_version", json!(previous.number))
            .with("previous_valid_until", json!(previous_end))
            .tell(app, conn)
            .await?;
        let sequence = feed::next(conn).await?;
        let slot = successor::slot(&snapshot).cloned();
        succeed(conn, &mut snapshot, &previous, previous_end, now, sequence).await?;
        snapshot.key.current_version = number;
        snapshot.key.sequence = sequence;
        if !keys::update(conn, &snapshot.key, seen).await? {
            return Err(lost_race());
        }
        // A slot that waits is what this rotation fills: the person was faster than the holder.
        match slot {
            Some(slot) => {
                if !put(conn, &slot, &version, sequence).await? {
                    return Err(lost_race());
                }
                snapshot.versions.retain(|held| held.number != number);
            }
            None => match keys::insert_version(conn, &snapshot.key, &version).await {
                Err(error) if error.is_duplicate_of(keys::LOOKUP_INDEX) => {
                    return Err(AppError::conflict(TOKEN_TAKEN, "the token exists"));
                }
                other => other?,
            },
        }
        request.deliver(app, conn, id, number).await?;
        snapshot.versions.push(version);
        Ok((view(conn, access, snapshot, now).await?, previous_end))
    })
    .await
}
