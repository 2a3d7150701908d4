use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use statuspulse_audit::{Action, Class, EventType};
use statuspulse_keys::{Creator, VersionState};
use statuspulse_policy::{Environment, InstanceId};
use statuspulse_store::{
    AsyncConnection as _, Conn, feed,
    keys::{self, KeyFilter, ListedKey},
    page::Position,
    users,
    webhooks::outbox,
};

use super::{current_of, is_running, lost_race, state};
use crate::{
    app::App,
    caller::{Access, Caller},
    error::AppError,
    webhooks::News,
};

const PAGE: i64 = 200;

/// Which keys a bulk revocation means, as it comes from outside.
#[derive(Debug, Clone, Default)]
pub struct BulkFilter {
    /// Address of a person, or name of an operator's account.
    pub created_by: Option<String>,
    /// Made after this moment.
    pub created_after: Option<DateTime<Utc>>,
    /// Of this environment.
    pub environment: Option<Environment>,
}

/// The keys that were, or would be, revoked.
#[derive(Debug)]
pub struct BulkOutcome {
    /// The keys.
    pub keys: Vec<ListedKey>,
    /// Instances that don't have it yet, with when they were last heard of.
    pub pending: Vec<(InstanceId, DateTime<Utc>)>,
}

/// Revokes every key that fits, in one transaction with one number of the feed and one event a key; or only says which.
///
/// # Errors
/// 404 when nobody of that name made keys here, 503.
pub async fn revoke_many(
    app: &App,
    caller: &Caller,
    access: &Access,
    filter: &BulkFilter,
    dry_run: bool,
    wait: Duration,
) -> Result<BulkOutcome, AppError> {
    access.require_admin()?;
    let mut conn = app.conn().await?;
    let created_by = match &filter.created_by {
        None => None,
        Some(name) if name.contains('@') => {
            let user = users::by_email(&mut conn, name).await?.ok_or(AppError::NotFound("user"))?;
            Some(Creator::User(user.user.id))
        }
        Some(name) => Some(Creator::Operator(name.clone())),
    };
    let wanted = KeyFilter {
        environment: filter.environment,
        created_by,
        created_after: filter.created_after,
        ..KeyFilter::default()
    };
    if dry_run {
        let keys = all_unrevoked(app, &mut conn, access, &wanted).await?;
        return Ok(BulkOutcome { keys, pending: Vec::new() });
    }
    let (revoked, sequence) = conn
        .transaction(async |conn| {
            let revoked = all_unrevoked(app, conn, access, &wanted).await?;
            let now = app.env.now();
            let mut locked = Vec::with_capacity(revoked.len());
            // Always in the same order: two that lock several keys must not wait for each other.
            let mut ids: Vec<_> = revoked.iter().map(|listed| listed.key.id).collect();
            ids.sort_unstable();
            for id in ids {
                let found = keys::lock(conn, Some(access.organization.id), id).await?;
                locked.extend(found.filter(|snapshot| snapshot.key.revoked_at.is_none()));
            }
            for snapshot in &locked {
                let event = caller
                    .event(app, Class::A, Action::KeyRevoke, Some(access.organization.id))?
                    .with("key_id", snapshot.key.id.to_string())
                    .with("cause", "bulk");
                app.recorder.record(conn, event).await?;
                let current = current_of(snapshot)?;
                News::of_key(EventType::KeyRevoked, &snapshot.key, current, current.expires_at)
                    .with("reason", json!("bulk"))
                    .tell(app, conn)
                    .await?;
                outbox::forget_sealed_of(conn, snapshot.key.id).await?;
            }
            if locked.is_empty() {
                return Ok::<_, AppError>((revoked, None));
            }
            let sequence = feed::next(conn).await?;
            for mut snapshot in locked {
                let seen = snapshot.key.sequence;
                snapshot.key.revoked_at = Some(now);
                snapshot.key.revoke_reason = Some("bulk".to_owned());
                snapshot.key.sequence = sequence;
                if !keys::update(conn, &snapshot.key, seen).await? {
                    return Err(lost_race());
                }
                keys::remove_slot(conn, snapshot.key.id).await?;
                for version in &mut snapshot.versions {
                    let was = version.state;
                    if is_running(was) && version.valid_until > now {
                        version.state = VersionState::Revoked;
                        version.valid_until = now;
                        if !keys::end_version(conn, version, was, sequence).await? {
                            return Err(lost_race());
                        }
                    }
                }
            }
            Ok((revoked, Some(sequence)))
        })
        .await?;
    drop(conn);
    caller.mark_recorded();
    app.replica.catch_up().await;
    let pending = match sequence {
        Some(sequence) => state::await_instances(app, sequence, wait).await?.1,
        None => Vec::new(),
    };
    Ok(BulkOutcome { keys: revoked, pending })
}

async fn all_unrevoked(
    app: &App,
    conn: &mut Conn,
    access: &Access,
    filter: &KeyFilter,
) -> Result<Vec<ListedKey>, AppError> {
    let caps = access.organization.settings.caps;
    let now = app.env.now();
    let mut all: Vec<ListedKey> = Vec::new();
    let mut after = None;
    loop {
        let page = keys::list(conn, access.organization.id, filter, &caps, now, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some(Position { created_at: last.key.created_at, id: last.key.id.as_uuid() });
        all.extend(page.into_iter().filter(|listed| listed.key.revoked_at.is_none()));
    }
}
