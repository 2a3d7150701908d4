//! Alerts as they are read, and what was sent of them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension as _, QueryableByName, sql_query,
    sql_types::{Array, BigInt, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use serde_json::Value;
use statuspulse_audit::{
    AlertRule, DeliveryStatus, EventType, Severity,
    anomaly::{Incident, Resolution, Status},
};
use statuspulse_keys::Creator;
use statuspulse_policy::{AlertId, OrganizationId, UserId, WebhookId};
use uuid::Uuid;

use crate::{
    Conn,
    error::StoreError,
    page::Position,
    rows::{creator, micros},
};

/// How an alert ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// By a person, or by itself.
    pub kind: Resolution,
    /// Who.
    pub by: Option<Creator>,
    /// When.
    pub at: DateTime<Utc>,
    /// What the person has written.
    pub note: Option<String>,
}

/// An alert.
#[derive(Debug, Clone)]
pub struct Alert {
    /// Identity.
    pub id: AlertId,
    /// Whose; none for the service itself.
    pub organization: Option<OrganizationId>,
    /// The rule that opened it.
    pub rule: AlertRule,
    /// What the subject is.
    pub subject_kind: String,
    /// Id of the subject.
    pub subject: String,
    /// Name of the key or app that it is about, as it is now.
    pub subject_name: Option<String>,
    /// How urgent.
    pub severity: Severity,
    /// Where it is.
    pub status: Status,
    /// First happening.
    pub opened_at: DateTime<Utc>,
    /// Last happening.
    pub last_seen_at: DateTime<Utc>,
    /// When its cause was last seen to go on.
    pub busy_at: DateTime<Utc>,
    /// How often.
    pub count: i64,
    /// What was observed.
    pub evidence: Value,
    /// Who took it, and when.
    pub acknowledged: Option<(Creator, DateTime<Utc>)>,
    /// How it ended.
    pub ending: Option<Ending>,
    /// What its opening has done to the key by itself.
    pub action_taken: Option<String>,
    /// How often people were told again.
    pub escalations: i16,
}

impl Alert {
    /// What of it decides its next step.
    #[must_use]
    pub fn incident(&self) -> Incident {
        Incident {
            rule: self.rule,
            status: self.status,
            opened_at: self.opened_at,
            busy_at: self.busy_at,
            resolved: self.ending.as_ref().map(|ending| (ending.kind, ending.at)),
        }
    }
}

#[derive(QueryableByName)]
pub(super) struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    organization_id: Option<Uuid>,
    #[diesel(sql_type = Text)]
    rule: String,
    #[diesel(sql_type = Text)]
    subject_kind: String,
    #[diesel(sql_type = Text)]
    subject: String,
    #[diesel(sql_type = Nullable<Text>)]
    subject_name: Option<String>,
    #[diesel(sql_type = Text)]
    severity: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Timestamptz)]
    opened_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    last_seen_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    busy_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Jsonb)]
    evidence: Value,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    acknowledged_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    acknowledged_by: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    acknowledged_operator: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    resolved_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    resolution: Option<Value>,
    #[diesel(sql_type = Nullable<Text>)]
    action_taken: Option<String>,
    #[diesel(sql_type = SmallInt)]
    escalations: i16,
}

/// An alert with the name of its subject. The cast is looked at only where the text is an id.
pub(super) const SELECT: &str = "\
    SELECT a.*, coalesce(k.name, o.name) AS subject_name FROM alerts a
    LEFT JOIN keys k ON k.id = CASE WHEN a.subject_kind = 'key' AND a.subject ~ '^[0-9a-f-]{36}$' THEN a.subject::uuid END
    LEFT JOIN oauth_apps o
        ON o.id = CASE WHEN a.subject_kind = 'app' AND a.subject ~ '^[0-9a-f-]{36}$' THEN a.subject::uuid END";

impl TryFrom<Row> for Alert {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::corrupt("alerts", column, row.id);
        let user = row.acknowledged_by.map(|id| Creator::User(UserId::from_uuid(id)));
        let by = user.or(row.acknowledged_operator.map(Creator::Operator));
        let ending = match (row.resolved_at, row.resolution) {
            (Some(at), Some(told)) => Some(ending(at, &told).ok_or_else(|| corrupt("resolution"))?),
            _ => None,
        };
        Ok(Self {
            id: AlertId::from_uuid(row.id),
            organization: row.organization_id.map(OrganizationId::from_uuid),
            rule: AlertRule::from_word(&row.rule).ok_or_else(|| corrupt("rule"))?,
            subject_kind: row.subject_kind,
            subject: row.subject,
            subject_name: row.subject_name,
            severity: Severity::from_word(&row.severity).ok_or_else(|| corrupt("severity"))?,
            status: Status::from_word(&row.status).ok_or_else(|| corrupt("status"))?,
            opened_at: row.opened_at,
            last_seen_at: row.last_seen_at,
            busy_at: row.busy_at.unwrap_or(row.last_seen_at),
            count: row.count,
            evidence: row.evidence,
            acknowledged: by.zip(row.acknowledged_at),
            ending,
            action_taken: row.action_taken,
            escalations: row.escalations,
        })
    }
}

fn ending(at: DateTime<Utc>, told: &Value) -> Option<Ending> {
    let text = |name: &str| told.get(name).and_then(Value::as_str);
    let by = match (text("by_kind"), text("by")) {
        (Some(kind), Some(by)) => Some(creator(kind, by.to_owned())?),
        _ => None,
    };
    Some(Ending { kind: Resolution::from_word(text("kind")?)?, by, at, note: text("note").map(str::to_owned) })
}

/// Which alerts.
#[derive(Debug, Clone, Default)]
pub struct AlertFilter {
    /// Where they are.
    pub status: Option<Status>,
    /// Of which rule.
    pub rule: Option<AlertRule>,
    /// How urgent.
    pub severity: Option<Severity>,
    /// Id of the subject.
    pub subject: Option<String>,
}

/// Alerts of an organization, or with none those of the service itself; newest first.
///
/// # Errors
/// When the database can't be reached.
pub async fn list(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    filter: &AlertFilter,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Alert>, StoreError> {
    let whose =
        if organization.is_some() { "a.organization_id = $1" } else { "$1 IS NULL AND a.organization_id IS NULL" };
    let rows: Vec<Row> = sql_query(format!(
        "{SELECT} WHERE {whose} AND ($2 IS NULL OR a.status = $2) AND ($3 IS NULL OR a.rule = $3)
             AND ($4 IS NULL OR a.severity = $4) AND ($5 IS NULL OR a.subject = $5)
             AND ($6 IS NULL OR (a.opened_at, a.id) < ($6, $7))
         ORDER BY a.opened_at DESC, a.id DESC LIMIT $8"
    ))
    .bind::<Nullable<SqlUuid>, _>(organization.map(OrganizationId::as_uuid))
    .bind::<Nullable<Text>, _>(filter.status.map(Status::as_str))
    .bind::<Nullable<Text>, _>(filter.rule.map(AlertRule::as_str))
    .bind::<Nullable<Text>, _>(filter.severity.map(Severity::as_str))
    .bind::<Nullable<Text>, _>(filter.subject.as_deref())
    .bind::<Nullable<Timestamptz>, _>(after.map(|place| micros(place.created_at)))
    .bind::<Nullable<SqlUuid>, _>(after.map(|place| place.id))
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    rows.into_iter().map(Alert::try_from).collect()
}

/// One alert, whosever it is.
///
/// # Errors
/// When the database can't be reached.
pub async fn find(conn: &mut Conn, id: AlertId) -> Result<Option<Alert>, StoreError> {
    one(conn, id, "").await
}

/// The same, locked until the end of the transaction.
///
/// # Errors
/// When the database can't be reached.
pub async fn lock(conn: &mut Conn, id: AlertId) -> Result<Option<Alert>, StoreError> {
    one(conn, id, " FOR NO KEY UPDATE OF a").await
}

async fn one(conn: &mut Conn, id: AlertId, locking: &str) -> Result<Option<Alert>, StoreError> {
    let query = sql_query(format!("{SELECT} WHERE a.id = $1{locking}"));
    let row: Option<Row> = query.bind::<SqlUuid, _>(id.as_uuid()).get_result(conn).await.optional()?;
    row.map(Alert::try_from).transpose()
}

/// How the telling of an alert to one endpoint stands.
#[derive(Debug, Clone)]
pub struct Told {
    /// The endpoint.
    pub webhook: WebhookId,
    /// What was told.
    pub kind: EventType,
    /// How it stands.
    pub status: DeliveryStatus,
    /// Attempts that were begun.
    pub attempts: i32,
    /// When the last one began.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// Status that was answered.
    pub response_status: Option<i16>,
    /// Why the last one failed.
    pub error: Option<String>,
}

#[derive(QueryableByName)]
struct ToldRow {
    #[diesel(sql_type = SqlUuid)]
    alert_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    endpoint_id: Uuid,
    #[diesel(sql_type = Text)]
    r#type: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Integer)]
    attempts: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_attempt_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    response_status: Option<i16>,
    #[diesel(sql_type = Nullable<Text>)]
    error: Option<String>,
}

/// What was sent of these alerts, oldest first, by alert.
///
/// # Errors
/// When the database can't be reached.
pub async fn deliveries(conn: &mut Conn, alerts: &[AlertId]) -> Result<HashMap<AlertId, Vec<Told>>, StoreError> {
    let rows: Vec<ToldRow> = sql_query(
        "SELECT e.alert_id, d.endpoint_id, e.type, d.status, d.attempts, d.last_attempt_at, d.response_status, d.error
         FROM webhook_events e JOIN webhook_deliveries d ON d.event_id = e.id
         WHERE e.alert_id = ANY ($1) ORDER BY e.sequence, d.endpoint_id",
    )
    .bind::<Array<SqlUuid>, _>(alerts.iter().map(|id| id.as_uuid()).collect::<Vec<_>>())
    .load(conn)
    .await?;
    let mut told: HashMap<AlertId, Vec<Told>> = HashMap::new();
    for row in rows {
        let corrupt = |column| StoreError::corrupt("webhook_deliveries", column, row.endpoint_id);
        told.entry(AlertId::from_uuid(row.alert_id)).or_default().push(Told {
            webhook: WebhookId::from_uuid(row.endpoint_id),
            kind: EventType::from_word(&row.r#type).ok_or_else(|| corrupt("event_id"))?,
            status: DeliveryStatus::from_word(&row.status).ok_or_else(|| corrupt("status"))?,
            attempts: row.attempts,
            last_attempt_at: row.last_attempt_at,
            response_status: row.response_status,
            error: row.error,
        });
    }
    Ok(told)
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Deliveries that were begun before `since`, still fail, and are of an alert that is not resolved or are still tried. What
/// a person has switched off is no failure.
///
/// # Errors
/// When the database can't be reached.
pub async fn failing_deliveries(conn: &mut Conn, since: DateTime<Utc>) -> Result<i64, StoreError> {
    let failing: Number = sql_query(
        "SELECT count(*) AS number
         FROM alerts a JOIN webhook_events e ON e.alert_id = a.id JOIN webhook_deliveries d ON d.event_id = e.id
         JOIN webhook_endpoints w ON w.id = d.endpoint_id
         WHERE d.error IS NOT NULL AND d.status <> 'succeeded' AND d.created_at <= $1
           AND (a.status <> 'resolved' OR d.status = 'pending') AND w.disabled_reason IS DISTINCT FROM 'person'",
    )
    .bind::<Timestamptz, _>(micros(since))
    .get_result(conn)
    .await?;
    Ok(failing.number)
}
