//! Housekeeping inside the process: partitions made ahead, ended sessions, old counts.

use std::{sync::Arc, time::Duration};

use chrono::Duration as Span;
use statuspulse_store::{StoreError, habits, idempotency, migrations, sessions, users, webhooks::outbox};

use crate::app::App;

const EVERY: Duration = Duration::from_secs(3_600);
const FORGET_FAILURES: Span = Span::hours(1);
/// How long a repeat of a request that made a token is recognised.
pub const IDEMPOTENCY: Span = Span::hours(24);
/// How long events and their deliveries can be looked at.
pub const KEEP_EVENTS: Span = Span::days(30);
const BATCH: i64 = 1_000;

/// Runs at start and every hour; every instance may, each step is one statement that finds nothing the second time.
pub(crate) async fn run(app: Arc<App>) {
    loop {
        if let Err(error) = pass(&app).await {
            tracing::warn!(%error, "housekeeping did not finish; the next round tries again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// One round.
///
/// # Errors
/// When the database can't be reached.
pub async fn pass(app: &App) -> Result<(), StoreError> {
    app.leaks.forget_idle();
    let now = app.env.now();
    migrations::make_partitions(&mut app.owner().await?, now).await?;
    match crate::audit::retention::pass(app).await {
        Ok(None) => {}
        Ok(Some(done)) if done == Default::default() => {}
        Ok(Some(done)) => tracing::info!(?done, "days of the audit trail were sealed, or have left the table"),
        Err(error) => tracing::warn!(%error, "days of the audit trail stay as they are; the next round tries again"),
    }
    let mut conn = app.pool.get().await?;
    let sessions = sessions::remove_ended(&mut conn, now).await?;
    let failures = users::remove_old_login_failures(&mut conn, now - FORGET_FAILURES).await?;
    let requests = idempotency::remove_old(&mut conn, now - IDEMPOTENCY).await?;
    habits::forget_hours(&mut conn, now).await?;
    let mut events = 0;
    loop {
        let removed = outbox::remove_old(&mut conn, now - KEEP_EVENTS, BATCH).await?;
        events += removed;
        if i64::try_from(removed).unwrap_or(BATCH) < BATCH {
            break;
        }
    }
    tracing::debug!(sessions, failures, requests, events, "housekeeping done");
    Ok(())
}
