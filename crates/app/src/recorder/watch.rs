//! What opens alerts: happenings, merged while they wait.

use std::collections::{HashMap, hash_map::Entry};

use serde_json::json;
use statuspulse_audit::{Action, AlertRule, Class, EventType};
use statuspulse_policy::AlertId;
use statuspulse_store::{
    AsyncConnection as _, Conn, StoreError,
    alerts::{self, Happening},
};

use crate::{app::App, caller::Caller, error::AppError, webhooks::News};

/// Subjects that wait at once while the database is away; what is beyond is in the trail and opens no alert.
const WAITING: usize = 10_000;

#[derive(Default)]
pub(super) struct Happenings(HashMap<(AlertRule, String), Happening>);

impl Happenings {
    pub(super) fn add(&mut self, fresh: Happening) {
        let place = (fresh.rule, fresh.subject.clone());
        if self.0.len() >= WAITING && !self.0.contains_key(&place) {
            tracing::error!(rule = fresh.rule.as_str(), "too many alerts wait for the database");
            return;
        }
        match self.0.entry(place) {
            Entry::Occupied(mut held) => held.get_mut().observed.merge(fresh.rule, fresh.observed),
            Entry::Vacant(free) => drop(free.insert(fresh)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Raises what waits, each in a transaction of its own; what the database can't take now stays.
    pub(super) async fn raise(&mut self, app: &App) {
        let mut waiting: Vec<Happening> = std::mem::take(&mut self.0).into_values().collect();
        // Always in the same order: two instances that write at once must not wait for each other.
        waiting.sort_by(|a, b| (a.rule.as_str(), &a.subject).cmp(&(b.rule.as_str(), &b.subject)));
        let mut away = false;
        for happening in waiting {
            if away {
                self.add(happening);
                continue;
            }
            match raise_alone(app, &happening).await {
                Ok(()) => {}
                Err(error) if error.is_unavailable() => {
                    tracing::warn!(%error, "alerts wait for the database");
                    away = true;
                    self.add(happening);
                }
                Err(error) => {
                    let (rule, subject) = (happening.rule.as_str(), &happening.subject);
                    tracing::error!(%error, rule, %subject, "an alert was refused");
                }
            }
        }
    }
}

async fn raise_alone(app: &App, happening: &Happening) -> Result<(), StoreError> {
    let mut conn = app.pool.get().await?;
    conn.transaction(async |conn| raise(app, conn, happening).await.map(drop)).await
}

/// Opens or continues an alert, with the event of its opening, in the caller's transaction. Answers whether it was opened.
///
/// # Errors
/// When the database can't be reached.
pub async fn raise(app: &App, conn: &mut Conn, happening: &Happening) -> Result<bool, StoreError> {
    let unavailable = |error: AppError| StoreError::Unavailable(error.to_string());
    let id = AlertId::from_uuid(app.env.id().map_err(|error| unavailable(error.into()))?);
    if !alerts::raise(conn, id, happening).await? {
        return Ok(false);
    }
    tracing::warn!(rule = happening.rule.as_str(), subject = %happening.subject, "alert opened");
    let event = Caller::system(app)
        .event(app, Class::A, Action::AlertOpen, happening.organization)
        .map_err(unavailable)?
        .with("alert_id", id.to_string())
        .with("rule", happening.rule.as_str())
        .with("subject", happening.subject.clone());
    app.recorder.record(conn, event).await?;
    let Some(organization) = happening.organization else { return Ok(true) };
    News::new(EventType::AlertOpened, organization)
        .with(
            "alert",
            json!({
                "id": id.to_string(),
                "rule": happening.rule.as_str(),
                "severity": happening.rule.severity(happening.observed.count).as_str(),
                "status": "open",
                "subject": {"kind": happening.subject_kind, "id": happening.subject},
                "opened_at": happening.observed.first_at,
                "last_seen_at": happening.observed.last_at,
                "count": happening.observed.count,
                "control": happening.rule.controls(),
            }),
        )
        .tell(app, conn)
        .await?;
    Ok(true)
}
