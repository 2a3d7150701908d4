//! Alerts (audit §7): read, taken, closed. Owner and admin change; everybody of the organization reads. Those of the service
//! itself are the operators' business.

use serde_json::{Value, json};
use statuspulse_audit::{
    Action, AlertRule, Class, Event, EventType, Severity,
    anomaly::{Resolution, Status, incident::NOTE},
};
use statuspulse_keys::Creator;
use statuspulse_policy::{AlertId, KeyId, OrganizationId, UserId};
use statuspulse_store::{
    AsyncConnection as _, Conn,
    alerts::{
        Alert, life,
        read::{self, AlertFilter, Told},
    },
    page::Position,
    users,
};

use crate::{
    app::App,
    caller::{Access, Caller},
    cursor::{self, List},
    error::{AppError, FieldError},
    keys::refuse_secret,
    views::AlertJson,
    webhooks::News,
};

pub(crate) mod action;
pub mod backtest;
pub mod settings;
pub mod watch;

/// Whose alerts are meant.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// Those of an organization.
    Of(&'a Access),
    /// Those of the service itself; an operator asks.
    Service,
}

impl<'a> From<Option<&'a Access>> for Whose<'a> {
    fn from(access: Option<&'a Access>) -> Self {
        access.map_or(Self::Service, Self::Of)
    }
}

impl Whose<'_> {
    fn organization(&self) -> Option<OrganizationId> {
        match self {
            Self::Of(access) => Some(access.organization.id),
            Self::Service => None,
        }
    }

    fn require_admin(&self) -> Result<(), AppError> {
        match self {
            Self::Of(access) => access.require_admin(),
            Self::Service => Ok(()),
        }
    }
}

/// An alert as it is shown.
#[derive(Debug)]
pub struct AlertView {
    /// The alert.
    pub alert: Alert,
    /// Addresses of the people who took or closed it.
    pub emails: Vec<(UserId, String)>,
    /// What was sent of it, oldest first; none where it is told itself.
    pub deliveries: Option<Vec<Told>>,
    /// For which time people are told of it again.
    pub escalation: Option<i16>,
}

/// A page of a list.
#[derive(Debug)]
pub struct AlertPage {
    /// Newest first.
    pub items: Vec<AlertView>,
    /// How to ask for the next page, if there is one.
    pub next_cursor: Option<String>,
}

/// What a list of alerts is asked for, as it comes from outside.
#[derive(Debug, Clone, Default)]
pub struct ListAlerts {
    /// Only those that stand so.
    pub status: Option<String>,
    /// Only of this rule.
    pub rule: Option<String>,
    /// Only of this severity.
    pub severity: Option<String>,
    /// Only about this subject, by its id.
    pub subject: Option<String>,
    /// Alerts of one page, 1 to 200.
    pub limit: Option<i64>,
    /// From the page before.
    pub cursor: Option<String>,
}

impl ListAlerts {
    fn read(&self) -> Result<(AlertFilter, i64), AppError> {
        let mut errors = Vec::new();
        let status = word(&mut errors, "status", "unknown_status", self.status.as_deref(), Status::from_word);
        let rule = word(&mut errors, "rule", "unknown_rule", self.rule.as_deref(), AlertRule::from_word);
        let severity = word(&mut errors, "severity", "unknown_severity", self.severity.as_deref(), Severity::from_word);
        if self.subject.as_ref().is_some_and(|text| text.chars().count() > 200 || text.contains('\0')) {
            errors.push(FieldError::new("subject", "invalid_text", "an id has at most 200 characters and no NUL"));
        }
        let limit = self.limit.unwrap_or(50);
        if !(1..=200).contains(&limit) {
            errors.push(FieldError::new("limit", "out_of_bounds", "a page has 1 to 200 items"));
        }
        let filter = AlertFilter { status, rule, severity, subject: self.subject.clone() };
        if errors.is_empty() { Ok((filter, limit)) } else { Err(AppError::Invalid(errors)) }
    }
}

/// Reads a word of a closed list; a mistyped one must not widen the answer.
fn word<T>(
    errors: &mut Vec<FieldError>,
    field: &'static str,
    code: &'static str,
    given: Option<&str>,
    read: fn(&str) -> Option<T>,
) -> Option<T> {
    let given = given?;
    let known = read(given);
    if known.is_none() {
        errors.push(FieldError::new(field, code, "this word is not known here; the API's description has the list"));
    }
    known
}

/// Lists alerts, newest first.
///
/// # Errors
/// 422 for an unknown filter value or a limit out of bounds, 400 for a cursor of another list.
pub async fn list(app: &App, whose: Whose<'_>, asked: &ListAlerts) -> Result<AlertPage, AppError> {
    let (filter, limit) = asked.read()?;
    let filters = json!([asked.status, asked.rule, asked.severity, asked.subject]).to_string();
    let organization = whose.organization();
    // No organization has the id that is nothing but zeros.
    let nobody = OrganizationId::from_uuid(uuid::Uuid::nil());
    let list = List { name: "alerts", organization: organization.unwrap_or(nobody), filters: &filters };
    let after = asked.cursor.as_deref().map(|cursor| cursor::read(&app.secrets, &list, cursor)).transpose()?;
    let mut conn = app.conn().await?;
    // One more than asked for says whether there is a next page.
    let mut rows = read::list(&mut conn, organization, &filter, after, limit + 1).await?;
    let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > limit;
    rows.truncate(usize::try_from(limit).unwrap_or_default());
    let next_cursor = rows.last().filter(|_| more).map(|last| {
        let place = Position { created_at: last.opened_at, id: last.id.as_uuid() };
        cursor::write(&app.secrets, &list, place)
    });
    Ok(AlertPage { items: views(&mut conn, rows).await?, next_cursor })
}

/// One alert.
///
/// # Errors
/// 404.
pub async fn show(app: &App, whose: Whose<'_>, id: AlertId) -> Result<AlertView, AppError> {
    let mut conn = app.conn().await?;
    let found = own(whose, read::find(&mut conn, id).await?)?;
    view(&mut conn, found).await
}

/// An operator's access to the organization of an alert that is named by its id alone; none for one of the service itself.
///
/// # Errors
/// 404.
pub async fn operator_access(app: &App, id: AlertId) -> Result<Option<Access>, AppError> {
    let mut conn = app.conn().await?;
    let found = read::find(&mut conn, id).await?.ok_or(AppError::NotFound("alert"))?;
    match found.organization {
        Some(organization) => Ok(Some(crate::organizations::operator_access(&mut conn, organization).await?)),
        None => Ok(None),
    }
}

/// One of another organization is not there at all.
fn own(whose: Whose<'_>, found: Option<Alert>) -> Result<Alert, AppError> {
    found.filter(|alert| alert.organization == whose.organization()).ok_or(AppError::NotFound("alert"))
}

/// Takes an alert, perhaps from somebody who has it. Taking what one has already changes nothing.
///
/// # Errors
/// 403, 404, 409 `already_resolved`.
pub async fn acknowledge(app: &App, caller: &Caller, whose: Whose<'_>, id: AlertId) -> Result<AlertView, AppError> {
    whose.require_admin()?;
    let event = caller.event(app, Class::A, Action::AlertAcknowledge, whose.organization())?;
    let by = caller.principal.creator();
    let mut conn = app.conn().await?;
    let (alert, changed) = conn
        .transaction(async |conn| {
            let alert = own(whose, read::lock(conn, id).await?)?;
            alert.incident().acknowledge().map_err(|_| already_resolved())?;
            if alert.acknowledged.as_ref().is_some_and(|(holder, _)| *holder == by) {
                return Ok((alert, false));
            }
            app.recorder.record(conn, about(event, &alert)).await?;
            if !life::acknowledge(conn, id, &by, app.env.now()).await? {
                return Err(already_resolved());
            }
            Ok::<_, AppError>((own(whose, read::find(conn, id).await?)?, true))
        })
        .await?;
    if changed {
        caller.mark_recorded();
    }
    view(&mut conn, alert).await
}

/// Closes an alert, with a note of what came of it. A cause that goes on opens another one only after it has ceased once, or
/// after a quarter of an hour.
///
/// # Errors
/// 403, 404, 409 `already_resolved`, 422 for the note.
pub async fn resolve(
    app: &App,
    caller: &Caller,
    whose: Whose<'_>,
    id: AlertId,
    note: Option<&str>,
) -> Result<AlertView, AppError> {
    whose.require_admin()?;
    let note = check_note(note)?;
    let event = caller.event(app, Class::A, Action::AlertResolve, whose.organization())?;
    let by = caller.principal.creator();
    let mut conn = app.conn().await?;
    let alert = conn
        .transaction(async |conn| {
            let alert = own(whose, read::lock(conn, id).await?)?;
            alert.incident().resolve().map_err(|_| already_resolved())?;
            // Notes hold names and addresses, which the trail could never forget.
            let event = about(event, &alert)
                .with("kind", Resolution::Manual.as_str())
                .with("note_length", note.chars().count());
            app.recorder.record(conn, event).await?;
            if !life::resolve(conn, id, &by, note, app.env.now()).await? {
                return Err(already_resolved());
            }
            let alert = own(whose, read::find(conn, id).await?)?;
            tell(app, conn, EventType::AlertResolved, &alert, None).await?;
            Ok::<_, AppError>(alert)
        })
        .await?;
    caller.mark_recorded();
    view(&mut conn, alert).await
}

fn already_resolved() -> AppError {
    AppError::conflict("already_resolved", "the alert is resolved and stays so; what happens later opens another one")
}

fn check_note(note: Option<&str>) -> Result<&str, AppError> {
    let note = note.unwrap_or_default();
    if note.trim().is_empty() {
        return Err(AppError::field("note", "required", "say what came of it, in 1 to 2,000 characters"));
    }
    if !NOTE.contains(&note.chars().count()) || note.contains('\0') {
        return Err(AppError::field("note", "invalid_note", "a note has 1 to 2,000 characters and no NUL"));
    }
    refuse_secret("note", note)?;
    Ok(note)
}

/// An event with what it is about.
pub(crate) fn about(event: Event, alert: &Alert) -> Event {
    event
        .with("alert_id", alert.id.to_string())
        .with("rule", alert.rule.as_str())
        .with("subject", alert.subject.as_str())
}

/// Tells the organization's endpoints of an alert, whole as it now is. One of the service itself has nobody to tell but the log.
pub(crate) async fn tell(
    app: &App,
    conn: &mut Conn,
    kind: EventType,
    alert: &Alert,
    escalation: Option<i16>,
) -> Result<(), AppError> {
    let Some(organization) = alert.organization else { return Ok(()) };
    let key = key_of(alert);
    let view = AlertView { alert: alert.clone(), emails: Vec::new(), deliveries: None, escalation };
    let told = serde_json::to_value(AlertJson::new(view)).map_err(AppError::internal)?;
    News::of_alert(kind, organization, alert.id, key).with("alert", told).tell(app, conn).await?;
    Ok(())
}

/// The key that an alert is about.
pub(crate) fn key_of(alert: &Alert) -> Option<KeyId> {
    (alert.subject_kind == "key").then(|| alert.subject.parse().ok()).flatten()
}

async fn view(conn: &mut Conn, alert: Alert) -> Result<AlertView, AppError> {
    let mut all = views(conn, vec![alert]).await?;
    all.pop().ok_or_else(|| AppError::internal("one alert makes one view"))
}

async fn views(conn: &mut Conn, alerts: Vec<Alert>) -> Result<Vec<AlertView>, AppError> {
    let ids: Vec<AlertId> = alerts.iter().map(|alert| alert.id).collect();
    let mut deliveries = if ids.is_empty() { Default::default() } else { read::deliveries(conn, &ids).await? };
    let people: Vec<_> = alerts.iter().flat_map(people).map(UserId::as_uuid).collect();
    let people = if people.is_empty() { Vec::new() } else { users::by_ids(conn, &people).await? };
    let emails: Vec<(UserId, String)> = people.into_iter().map(|user| (user.id, user.email)).collect();
    let view = |alert: Alert| AlertView {
        deliveries: Some(deliveries.remove(&alert.id).unwrap_or_default()),
        emails: emails.clone(),
        escalation: None,
        alert,
    };
    Ok(alerts.into_iter().map(view).collect())
}

fn people(alert: &Alert) -> Vec<UserId> {
    let taken = alert.acknowledged.as_ref().map(|(by, _)| by);
    let closed = alert.ending.as_ref().and_then(|ending| ending.by.as_ref());
    let person = |by: &Creator| match by {
        Creator::User(id) => Some(*id),
        Creator::Operator(_) => None,
    };
    taken.into_iter().chain(closed).filter_map(person).collect()
}

/// The evidence with what was sent.
pub(crate) fn with_deliveries(evidence: Value, deliveries: Option<Vec<Value>>) -> Value {
    match (evidence, deliveries) {
        (Value::Object(mut evidence), Some(deliveries)) => {
            evidence.insert("deliveries".to_owned(), Value::Array(deliveries));
            Value::Object(evidence)
        }
        (evidence, _) => evidence,
    }
}
