use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use statuspulse_audit::{Action, Class, EventType};
use statuspulse_keys::{VersionState, directory::KeySnapshot};
use statuspulse_policy::{InstanceId, KeyId};
use statuspulse_store::{AsyncConnection as _, Conn, feed, instances, keys, webhooks::outbox};

use super::{KeyView, current_of, is_running, lost_race, refuse_revoked, view};
use crate::{
    app::App,
    caller::{Access, Caller},
    error::AppError,
    webhooks::News,
};

/// An instance that has been silent for its staleness bound and this much more is no longer waited for: it answers 503
/// until it has caught up.
const SILENT_FOR: chrono::Duration = chrono::Duration::minutes(10);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The longest reason in characters.
const REASON_LENGTH: usize = 500;

/// Which of the three switches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Switch {
    /// Ends the key for good, with a reason.
    Revoke(Option<String>),
    /// Switches it off.
    Disable,
    /// Switches it on again.
    Enable,
}

/// Where a change is in force.
#[derive(Debug)]
pub struct Receipt {
    /// The key.
    pub view: KeyView,
    /// Instances that have it, with the time.
    pub applied: Vec<(InstanceId, DateTime<Utc>)>,
    /// Instances that don't yet, with when they were last heard of.
    pub pending: Vec<(InstanceId, DateTime<Utc>)>,
}

/// Revokes, disables or enables a key, and waits at most `wait` for all instances to have it. Doing what is done already
/// is no error and changes nothing.
///
/// # Errors
/// 404, 409 `key_revoked`, 403, 422 for a reason or a wait out of bounds.
pub async fn switch(
    app: &App,
    caller: &Caller,
    access: &Access,
    id: KeyId,
    switch: &Switch,
    wait: Duration,
) -> Result<Receipt, AppError> {
    access.require_writer()?;
    if wait > LONGEST_WAIT {
        return Err(AppError::field("wait", "out_of_bounds", "a wait is 0 to 30 seconds, such as `5s`"));
    }
    if let Switch::Revoke(Some(reason)) = switch {
        check_reason(reason)?;
    }
    let mut conn = app.conn().await?;
    let changed = conn
        .transaction(async |conn| {
            let mut snapshot =
                keys::lock(conn, Some(access.organization.id), id).await?.ok_or(AppError::NotFound("key"))?;
            if *switch == Switch::Enable {
                access.require_grantable(app, snapshot.key.scopes)?;
            }
            let sequence = set(app, caller, conn, &mut snapshot, switch).await?;
            Ok::<_, AppError>((view(conn, access, snapshot, app.env.now()).await?, sequence))
        })
        .await?;
    drop(conn);
    let (view, sequence) = changed;
    if sequence.is_some() {
        caller.mark_recorded();
    }
    app.replica.catch_up().await;
    let sequence = sequence.unwrap_or(view.key.sequence);
    let (applied, pending) = await_instances(app, sequence, wait).await?;
    Ok(Receipt { view, applied, pending })
}

pub(super) fn check_reason(reason: &str) -> Result<(), AppError> {
    if reason.chars().count() > REASON_LENGTH || reason.chars().any(char::is_control) {
        return Err(AppError::field(
            "reason",
            "invalid_reason",
            "a reason has at most 500 characters, no control characters",
        ));
    }
    super::refuse_secret("reason", reason)
}

/// Changes the state of a locked key with its event; answers the change's number, or none when there was nothing to do.
pub(crate) async fn set(
    app: &App,
    caller: &Caller,
    conn: &mut Conn,
    snapshot: &mut KeySnapshot,
    switch: &Switch,
) -> Result<Option<i64>, AppError> {
    let now = app.env.now();
    let key = &mut snapshot.key;
    let done = match switch {
        Switch::Revoke(_) => key.revoked_at.is_some(),
        Switch::Disable => {
            refuse_revoked(key)?;
            key.disabled_at.is_some()
        }
        Switch::Enable => {
            refuse_revoked(key)?;
            key.disabled_at.is_none()
        }
    };
    if done {
        return Ok(None);
    }
    let action = match switch {
        Switch::Revoke(reason) => {
            key.revoked_at = Some(now);
            key.revoke_reason.clone_from(reason);
            Action::KeyRevoke
        }
        Switch::Disable => {
            key.disabled_at = Some(now);
            Action::KeyDisable
        }
        Switch::Enable => {
            key.disabled_at = None;
            Action::KeyEnable
        }
    };
    let mut event = caller.event(app, Class::A, action, Some(key.organization_id))?.with("key_id", key.id.to_string());
    if let Switch::Revoke(Some(reason)) = switch {
        event = event.with("cause", reason.as_str());
    }
    app.recorder.record(conn, event).await?;
    if *switch == Switch::Enable {
        // Who switches it on means to use it: it is not idle by what was before.
        keys::note_idle(conn, snapshot.key.id, keys::IdleNotice { since: now, warned_at: None }).await?;
    }
    if let Some((kind, reason)) = told(switch) {
        let current = current_of(snapshot)?;
        News::of_key(kind, &snapshot.key, current, current.expires_at)
            .with("reason", json!(reason))
            .tell(app, conn)
            .await?;
    }
    if matches!(switch, Switch::Revoke(_)) {
        outbox::forget_sealed_of(conn, snapshot.key.id).await?;
    }
    let seen = snapshot.key.sequence;
    let sequence = feed::next(conn).await?;
    snapshot.key.sequence = sequence;
    if !keys::update(conn, &snapshot.key, seen).await? {
        return Err(lost_race());
    }
    if matches!(switch, Switch::Revoke(_)) {
        keys::remove_slot(conn, snapshot.key.id).await?;
        snapshot.versions.retain(|held| held.state != VersionState::Pending);
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
    Ok(Some(sequence))
}

/// Switches a locked key off on the service's own account, and says why.
pub(crate) async fn switch_off(
    app: &App,
    conn: &mut Conn,
    snapshot: &mut KeySnapshot,
    cause: &'static str,
) -> Result<(), AppError> {
    let event = Caller::system(app)
        .event(app, Class::A, Action::KeyDisable, Some(snapshot.key.organization_id))?
        .with("key_id", snapshot.key.id.to_string())
        .with("cause", cause);
    app.recorder.record(conn, event).await?;
    let current = current_of(snapshot)?;
    let news = News::of_key(EventType::KeyDisabled, &snapshot.key, current, current.expires_at);
    news.with("reason", json!(cause)).tell(app, conn).await?;
    let key = &mut snapshot.key;
    let seen = key.sequence;
    key.disabled_at = Some(app.env.now());
    key.sequence = feed::next(conn).await?;
    if keys::update(conn, key, seen).await? { Ok(()) } else { Err(lost_race()) }
}

/// What endpoints are told of it.
fn told(switch: &Switch) -> Option<(EventType, Option<&str>)> {
    match switch {
        Switch::Revoke(reason) => Some((EventType::KeyRevoked, reason.as_deref())),
        Switch::Disable => Some((EventType::KeyDisabled, None)),
        Switch::Enable => None,
    }
}

/// Waits until every instance has a change.
pub(super) async fn await_instances(
    app: &App,
    sequence: i64,
    wait: Duration,
) -> Result<(Vec<(InstanceId, DateTime<Utc>)>, Vec<(InstanceId, DateTime<Utc>)>), AppError> {
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        let mut conn = app.conn().await?;
        let beats = instances::list(&mut conn).await?;
        drop(conn);
        let now = app.env.now();
        let heard = |beat: &instances::Heartbeat| {
            now - beat.at < chrono::Duration::seconds(i64::from(beat.max_staleness_seconds)) + SILENT_FOR
        };
        let (applied, pending): (Vec<_>, Vec<_>) =
            beats.into_iter().filter(heard).partition(|beat| beat.applied >= sequence);
        if pending.is_empty() || tokio::time::Instant::now() >= deadline {
            let pairs = |beats: Vec<instances::Heartbeat>| beats.into_iter().map(|beat| (beat.id, beat.at)).collect();
            return Ok((pairs(applied), pairs(pending)));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Revokes a key on the service's own account.
///
/// # Errors
/// 503.
pub async fn revoke_in_background(app: &App, id: KeyId, reason: &str) -> Result<(), AppError> {
    let caller = Caller::system(app);
    let mut conn = app.conn().await?;
    conn.transaction(async |conn| {
        let Some(mut snapshot) = keys::lock(conn, None, id).await? else {
            return Ok(());
        };
        set(app, &caller, conn, &mut snapshot, &Switch::Revoke(Some(reason.to_owned()))).await?;
        Ok(())
    })
    .await
}
