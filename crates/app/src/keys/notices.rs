//! Notices of an end that comes near (keys §8): of keys, and of apps' secrets. Every instance looks; the row that is unique
//! makes each notice one, in the transaction of its event.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Duration as Span, SecondsFormat, Utc};
use serde_json::json;
use statuspulse_audit::{Action, Class, EventType};
use statuspulse_keys::{Status, notice};
use statuspulse_policy::KeyId;
use statuspulse_store::{
    AsyncConnection as _, Conn,
    keys::{self, Notice, note_end, notices_due},
    organizations,
    webhooks::notices::{EndingSecret, note_secret, secrets_due},
};

use super::{current_of, current_status, one_of_many};
use crate::{app::App, caller::Caller, error::AppError, webhooks::News};

const EVERY: Duration = Duration::from_secs(60);
const BATCH: i64 = 500;
/// An end that lies further back is no news any more.
const BACK: Span = Span::days(30);

/// Runs for as long as the process does, on every instance.
pub(crate) async fn run(app: Arc<App>) {
    loop {
        if let Err(error) = pass(&app).await {
            tracing::warn!(%error, "notices of ends could not be given; the next round tries again");
        }
        if let Err(error) = super::idle::pass(&app).await {
            tracing::warn!(%error, "unused keys could not be looked after; the next round tries again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Gives the notices that are due; answers how many. After an outage only the nearest one of each is given.
///
/// # Errors
/// 503.
pub async fn pass(app: &App) -> Result<usize, AppError> {
    let mut given = 0;
    loop {
        let ids = notices_due(&mut *app.conn().await?, app.env.now(), BACK, BATCH).await?;
        let mut round = 0;
        for id in &ids {
            let mut conn = app.conn().await?;
            let given = conn.transaction(async |conn| give(app, conn, *id).await).await;
            round += usize::from(one_of_many(*id, given)?);
        }
        given += round;
        // What others gave meanwhile is not ours to wait for.
        if round == 0 {
            break;
        }
    }
    for secret in secrets_due(&mut *app.conn().await?, app.env.now(), BATCH).await? {
        let mut conn = app.conn().await?;
        match conn.transaction(async |conn| give_of_secret(app, conn, &secret).await).await {
            Ok(told) => given += usize::from(told),
            Err(error @ AppError::Unavailable { .. }) => return Err(error),
            Err(error) => tracing::error!(secret = %secret.id, %error, "a notice could not be given"),
        }
    }
    Ok(given)
}

async fn give(app: &App, conn: &mut Conn, id: KeyId) -> Result<bool, AppError> {
    let Some(snapshot) = keys::lock(conn, None, id).await? else { return Ok(false) };
    let Some(organization) = organizations::by_id(conn, snapshot.key.organization_id).await? else { return Ok(false) };
    let (caps, now) = (organization.settings.caps, app.env.now());
    if current_status(&snapshot, &caps, now)? == Status::Revoked {
        return Ok(false);
    }
    let current = current_of(&snapshot)?;
    let end = caps.effective_end(snapshot.key.environment, current.created_at, current.expires_at);
    let Some(reached) = notice::reached(current.created_at, end, now) else { return Ok(false) };
    let noted = |days: u16, skipped| Notice { threshold_days: i16::try_from(days).unwrap_or(i16::MAX), skipped };
    if !note_end(conn, current.id, noted(reached, false), now).await? {
        return Ok(false);
    }
    for days in notice::passed(current.created_at, end, reached) {
        note_end(conn, current.id, noted(days, true), now).await?;
    }
    if reached == notice::AT_THE_END {
        let event = Caller::system(app)
            .event(app, Class::A, Action::KeyExpire, Some(organization.id))?
            .with("key_id", id.to_string())
            .with("cause", "lifespan");
        app.recorder.record(conn, event).await?;
        News::of_key(EventType::KeyExpired, &snapshot.key, current, end).tell(app, conn).await?;
    } else {
        let news = News::of_key(EventType::KeyExpiring, &snapshot.key, current, end);
        news.with("threshold_days", json!(reached))
            .with("days_left", json!(days_left(end, now)))
            .tell(app, conn)
            .await?;
    }
    Ok(true)
}

/// Days that are left, a begun one counted: after an outage fewer than the threshold.
fn days_left(end: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    ((end - now).num_milliseconds() + 86_399_999) / 86_400_000
}

async fn give_of_secret(app: &App, conn: &mut Conn, secret: &EndingSecret) -> Result<bool, AppError> {
    let now = app.env.now();
    let days: i16 = if secret.expires_at - now <= Span::days(1) { 1 } else { 7 };
    if !note_secret(conn, secret.id, days, false, now).await? {
        return Ok(false);
    }
    if days == 1 && secret.expires_at - secret.created_at > Span::days(7) {
        note_secret(conn, secret.id, 7, true, now).await?;
    }
    News::new(EventType::AppSecretExpiring, secret.organization)
        .with("app", json!({"id": secret.app.to_string(), "client_id": secret.client_id, "name": secret.app_name}))
        .with(
            "secret",
            json!({
                "id": secret.id.to_string(),
                "label": secret.label,
                "last4": secret.last4,
                "expires_at": secret.expires_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            }),
        )
        .with("threshold_days", json!(days))
        .with("days_left", json!(days_left(secret.expires_at, now)))
        .tell(app, conn)
        .await?;
    Ok(true)
}
