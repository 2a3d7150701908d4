//! Keys that nobody uses are switched off, after a warning (keys §4).

use serde_json::json;
use statuspulse_audit::EventType;
use statuspulse_keys::{
    Status,
    idle::{self, Idle},
};
use statuspulse_policy::KeyId;
use statuspulse_store::{
    AsyncConnection as _, Conn,
    keys::{self, IdleNotice, idle_due, idle_notice, note_idle},
    organizations,
};

use super::{current_of, current_status, one_of_many, state::switch_off};
use crate::{app::App, error::AppError, webhooks::News};

const BATCH: i64 = 500;
/// Why, in the trail and in what is told.
const UNUSED: &str = "unused";

/// Warns of and switches off what is due; answers how many. The next round goes on where one was not enough.
///
/// # Errors
/// 503.
pub async fn pass(app: &App) -> Result<usize, AppError> {
    let ids = idle_due(&mut *app.conn().await?, app.env.now(), BATCH).await?;
    let mut done = 0;
    for id in ids {
        let mut conn = app.conn().await?;
        let settled = conn.transaction(async |conn| settle(app, conn, id).await).await;
        done += usize::from(one_of_many(id, settled)?);
    }
    if done > 0 {
        app.replica.catch_up().await;
    }
    Ok(done)
}

async fn settle(app: &App, conn: &mut Conn, id: KeyId) -> Result<bool, AppError> {
    let Some(mut snapshot) = keys::lock(conn, None, id).await? else { return Ok(false) };
    let Some(organization) = organizations::by_id(conn, snapshot.key.organization_id).await? else { return Ok(false) };
    let Some(days) = organization.settings.unused_key_days else { return Ok(false) };
    let (caps, now) = (organization.settings.caps, app.env.now());
    if current_status(&snapshot, &caps, now)? != Status::Active || snapshot.key.canary {
        return Ok(false);
    }
    let current = current_of(&snapshot)?.clone();
    let noted = idle_notice(conn, id).await?;
    let since = idle::since(&snapshot.key, &current, noted.map(|notice| notice.since));
    // A warning of before the last use warns of nothing.
    let warned_at = noted.filter(|notice| notice.since == since).and_then(|notice| notice.warned_at);
    match idle::judge(since, warned_at, days, now) {
        None => Ok(false),
        Some(Idle::Warn { until }) => {
            note_idle(conn, id, IdleNotice { since, warned_at: Some(now) }).await?;
            let end = caps.effective_end(snapshot.key.environment, current.created_at, current.expires_at);
            News::of_key(EventType::KeyUnused, &snapshot.key, &current, end)
                .with("unused_since", json!(since))
                .with("disabled_at", json!(until))
                .with("days_left", json!((until - now).num_days()))
                .tell(app, conn)
                .await?;
            Ok(true)
        }
        Some(Idle::SwitchOff) => {
            switch_off(app, conn, &mut snapshot, UNUSED).await?;
            Ok(true)
        }
    }
}
