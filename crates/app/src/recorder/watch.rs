//! What opens alerts: happenings, merged while they wait.

use std::collections::{HashMap, hash_map::Entry};

use statuspulse_audit::{Action, AlertRule, Class, EventType};
use statuspulse_policy::AlertId;
use statuspulse_store::{
    AsyncConnection as _, Conn,
    alerts::{self as store, Happening, Raised},
};

use crate::{
    alerts::{self, action},
    app::App,
    caller::Caller,
    error::AppError,
};

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
                Err(error @ AppError::Unavailable { .. }) => {
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

async fn raise_alone(app: &App, happening: &Happening) -> Result<(), AppError> {
    let mut conn = app.pool.get().await?;
    conn.transaction(async |conn| raise(app, conn, happening).await.map(drop)).await
}

/// Opens or continues an alert, with the event of its opening, the telling, and what the organization has it do to the key;
/// all in the caller's transaction, and near its end: what it does to a key takes a number of the feed.
///
/// # Errors
/// When the database can't be reached.
pub async fn raise(app: &App, conn: &mut Conn, happening: &Happening) -> Result<Raised, AppError> {
    let id = AlertId::from_uuid(app.env.id()?);
    let raised = store::raise(conn, id, happening).await?;
    if raised != Raised::Opened {
        return Ok(raised);
    }
    tracing::warn!(rule = happening.rule.as_str(), subject = %happening.subject, "alert opened");
    let gone = || AppError::internal("an alert is gone at once");
    let mut alert = store::read::find(conn, id).await?.ok_or_else(gone)?;
    let action = action::due(conn, &alert).await?;
    if let Some(action) = &action {
        store::life::note_action(conn, id, action.as_str()).await?;
        alert.action_taken = Some(action.as_str().to_owned());
    }
    let event = Caller::system(app).event(app, Class::A, Action::AlertOpen, happening.organization)?;
    app.recorder.record(conn, alerts::about(event, &alert)).await?;
    alerts::tell(app, conn, EventType::AlertOpened, &alert, None).await?;
    if let Some(action) = action {
        action.carry_out(app, conn).await?;
    }
    Ok(raised)
}
