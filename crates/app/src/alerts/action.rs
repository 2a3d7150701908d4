//! What the opening of an alert does to its key by itself, where the organization has asked for it.

use serde_json::json;
use statuspulse_audit::{Action, Class, anomaly::AlertAction};
use statuspulse_keys::directory::KeySnapshot;
use statuspulse_store::{
    Conn,
    alerts::{Alert, settings},
    feed, keys,
};

use super::key_of;
use crate::{
    app::App,
    caller::Caller,
    error::AppError,
    keys::{lost_race, switch_off},
};

/// Why, in the trail and in what is told.
const CAUSE: &str = "alert";

/// What is to be done to a key, which is locked.
pub(crate) struct Due {
    action: AlertAction,
    snapshot: KeySnapshot,
}

impl Due {
    /// The stable word.
    pub(crate) const fn as_str(&self) -> &'static str {
        self.action.as_str()
    }

    /// Does it; the last thing in its transaction, since from the number of the feed on every other change waits.
    ///
    /// # Errors
    /// 503.
    pub(crate) async fn carry_out(mut self, app: &App, conn: &mut Conn) -> Result<(), AppError> {
        match self.action {
            AlertAction::None => Ok(()),
            AlertAction::DisableKey => switch_off(app, conn, &mut self.snapshot, CAUSE).await,
            AlertAction::LimitRate(limit) => narrow(app, conn, &mut self.snapshot, limit).await,
        }
    }
}

/// What the opening of this alert is to do; none where nothing is asked for, or it is done already.
///
/// # Errors
/// 503.
pub(crate) async fn due(conn: &mut Conn, alert: &Alert) -> Result<Option<Due>, AppError> {
    let (Some(organization), Some(key), true) = (alert.organization, key_of(alert), alert.rule.takes_action()) else {
        return Ok(None);
    };
    let all = settings::list(conn, Some(organization)).await?;
    let action = settings::in_force(&all, organization, alert.rule, Some(key)).map(|setting| setting.action);
    let action = action.unwrap_or_default();
    if action == AlertAction::None {
        return Ok(None);
    }
    let Some(snapshot) = keys::lock(conn, Some(organization), key).await? else { return Ok(None) };
    let held = &snapshot.key;
    // A honeytoken does its work by being used: it stays as it is.
    let alive = held.revoked_at.is_none() && !held.canary;
    let missing = match action {
        AlertAction::None => false,
        AlertAction::DisableKey => held.disabled_at.is_none(),
        AlertAction::LimitRate(limit) => held.rate_limit_per_minute.is_none_or(|present| present > limit),
    };
    Ok((alive && missing).then_some(Due { action, snapshot }))
}

async fn narrow(app: &App, conn: &mut Conn, snapshot: &mut KeySnapshot, limit: u32) -> Result<(), AppError> {
    let key = &mut snapshot.key;
    let event = Caller::system(app)
        .event(app, Class::A, Action::KeyUpdate, Some(key.organization_id))?
        .with("key_id", key.id.to_string())
        .with("changed", json!(["rate_limit_per_minute"]))
        .with("cause", CAUSE);
    app.recorder.record(conn, event).await?;
    let seen = key.sequence;
    key.rate_limit_per_minute = Some(limit);
    key.sequence = feed::next(conn).await?;
    if keys::update(conn, key, seen).await? { Ok(()) } else { Err(lost_race()) }
}
