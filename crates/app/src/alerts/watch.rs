//! What time alone brings about: alerts whose cause has ceased resolve themselves, people are told again of those that nobody
//! takes, and of those that could not be told somebody must hear: the log, a metric and readiness say so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::Duration as Span;
use statuspulse_audit::{
    Action, AlertRule, Class, EventType,
    anomaly::{Resolution, Status, incident::escalates_at},
};
use statuspulse_policy::AlertId;
use statuspulse_store::{
    AsyncConnection as _, Conn,
    alerts::{life, read},
    leases,
};

use super::{about, tell};
use crate::{app::App, caller::Caller, error::AppError};

/// How often it is looked. What is told of an end is to be there within five seconds.
const EVERY: Duration = Duration::from_secs(2);
/// In how many rounds the deliveries that fail are counted once.
const LOOK_EACH: u64 = 15;
/// Seconds for which rates must have been looked at again after an outage.
const SEEN_FOR: u64 = 30;
const LEASE: &str = "alerts";
const HELD_FOR: Span = Span::seconds(15);
const BATCH: i64 = 200;
/// How long a delivery of an alert fails until somebody must hear of it.
const FAILING_FOR: Span = Span::hours(1);

/// What this instance has seen last.
#[derive(Debug, Default)]
pub struct Figures {
    failing: AtomicI64,
}

impl Figures {
    /// Deliveries of alerts that fail for an hour or longer.
    #[must_use]
    pub fn failing_deliveries(&self) -> i64 {
        self.failing.load(Ordering::Relaxed)
    }
}

/// What a round has done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Alerts that have resolved themselves.
    pub resolved: usize,
    /// Alerts of which people were told again.
    pub escalated: usize,
}

/// Runs for as long as the process does, on every instance; one of them does the work, and each counts what fails: it is
/// its own readiness that says so.
pub(crate) async fn run(app: Arc<App>) {
    for round in 0_u64.. {
        if let Err(error) = turn(&app, round % LOOK_EACH == 0).await {
            tracing::warn!(%error, "alerts could not be looked after; the next round tries again");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn turn(app: &App, counts: bool) -> Result<(), AppError> {
    if counts {
        look(app).await?;
    }
    let now = app.env.now();
    let mine = leases::acquire(&mut *app.conn().await?, LEASE, app.instance, now, now + HELD_FOR).await?;
    if mine {
        settle(app).await?;
    }
    Ok(())
}

/// Gives the lease back, when this instance leaves in order.
pub(crate) async fn leave(app: &App) {
    let left = async { leases::release(&mut *app.pool.get().await?, LEASE, app.instance).await };
    if let Err(error) = left.await {
        tracing::warn!(%error, "the lease of the alerts' watch stays for a while");
    }
}

/// One round, whoever has the lease: each step is guarded, so that two at once do it once.
///
/// # Errors
/// 503.
pub async fn round(app: &App) -> Result<Round, AppError> {
    look(app).await?;
    settle(app).await
}

/// Counts the deliveries that fail, and says so when there are more than before.
async fn look(app: &App) -> Result<(), AppError> {
    let since = app.env.now() - FAILING_FOR;
    let failing = read::failing_deliveries(&mut *app.conn().await?, since).await?;
    let before = app.alert_watch.failing.swap(failing, Ordering::Relaxed);
    if failing > before {
        tracing::error!(deliveries = failing, "alerts could not be delivered to webhooks for an hour");
    }
    Ok(())
}

async fn settle(app: &App) -> Result<Round, AppError> {
    let mut done = Round::default();
    let now = app.env.now();
    for id in life::calm(&mut *app.conn().await?, now, BATCH).await? {
        let mut conn = app.conn().await?;
        let closed = conn.transaction(async |conn| resolve(app, conn, id).await).await;
        done.resolved += usize::from(one_of_many(id, closed)?);
    }
    for id in life::escalation_due(&mut *app.conn().await?, now, BATCH).await? {
        let mut conn = app.conn().await?;
        let told = conn.transaction(async |conn| escalate(app, conn, id).await).await;
        done.escalated += usize::from(one_of_many(id, told)?);
    }
    Ok(done)
}

/// One that can't be looked after must not keep the others from it.
fn one_of_many(id: AlertId, done: Result<bool, AppError>) -> Result<bool, AppError> {
    match done {
        Ok(done) => Ok(done),
        Err(error @ AppError::Unavailable { .. }) => Err(error),
        Err(error) => {
            tracing::error!(alert = %id, %error, "an alert could not be looked after");
            Ok(false)
        }
    }
}

async fn resolve(app: &App, conn: &mut Conn, id: AlertId) -> Result<bool, AppError> {
    let Some(alert) = read::lock(conn, id).await? else { return Ok(false) };
    let now = app.env.now();
    if !alert.incident().is_over(now) {
        return Ok(false);
    }
    // While nobody could look, nobody could say that it goes on.
    if alert.rule == AlertRule::CallRate && app.counters.watched_seconds(&app.env) < SEEN_FOR {
        return Ok(false);
    }
    if !life::resolve_calm(conn, id, alert.rule, now).await? {
        return Ok(false);
    }
    let event = Caller::system(app).event(app, Class::A, Action::AlertResolve, alert.organization)?;
    app.recorder.record(conn, about(event, &alert).with("kind", Resolution::Automatic.as_str())).await?;
    let Some(alert) = read::find(conn, id).await? else { return Ok(false) };
    tell(app, conn, EventType::AlertResolved, &alert, None).await?;
    tracing::info!(alert = %id, rule = alert.rule.as_str(), subject = %alert.subject, "alert resolved by itself");
    Ok(true)
}

async fn escalate(app: &App, conn: &mut Conn, id: AlertId) -> Result<bool, AppError> {
    let Some(alert) = read::lock(conn, id).await? else { return Ok(false) };
    if alert.status != Status::Open {
        return Ok(false);
    }
    let now = app.env.now();
    // After an outage, and where the severity has risen, people are told once and not for every time that has passed.
    let mut told = alert.escalations;
    while escalates_at(alert.severity, alert.opened_at, told).is_some_and(|at| at <= now) {
        told += 1;
    }
    if told == alert.escalations || !life::escalate(conn, id, (alert.escalations, told), now).await? {
        return Ok(false);
    }
    tell(app, conn, EventType::AlertOpened, &alert, Some(told)).await?;
    let (rule, severity) = (alert.rule.as_str(), alert.severity.as_str());
    tracing::error!(alert = %id, rule, severity, subject = %alert.subject, escalation = told, "nobody has taken an alert");
    Ok(true)
}
