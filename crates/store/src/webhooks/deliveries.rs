//! Deliveries: taken by one worker at a time, and written back with what came of the attempt.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use serde_json::Value;
use statuspulse_audit::{DeliveryStatus, EventType};
use statuspulse_policy::{DeliveryId, EventId, InstanceId, OrganizationId, WebhookId};
use uuid::Uuid;

use crate::{Conn, error::StoreError, page::Position, rows::micros};

/// A delivery that this worker has taken.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Identity.
    pub id: DeliveryId,
    /// Where to.
    pub endpoint: WebhookId,
    /// Whose.
    pub organization: OrganizationId,
    /// The header `webhook-id`.
    pub event: EventId,
    /// What.
    pub kind: EventType,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// The body's data.
    pub data: Value,
    /// Its number among the events.
    pub sequence: i64,
    /// Attempts, this one included.
    pub attempts: i32,
    /// Until when it is this worker's: with the worker's instance the proof that it still is.
    pub until: DateTime<Utc>,
    /// The worker's instance.
    pub by: InstanceId,
}

#[derive(QueryableByName)]
struct ClaimedRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    endpoint_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    organization_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    event_id: Uuid,
    #[diesel(sql_type = Text)]
    r#type: String,
    #[diesel(sql_type = Timestamptz)]
    occurred_at: DateTime<Utc>,
    #[diesel(sql_type = Jsonb)]
    data: Value,
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = Integer)]
    attempts: i32,
}

/// Attempts at one endpoint that are under way at the same time, over all instances: a slow one must not take the places of
/// all others.
pub const PER_ENDPOINT: i64 = 4;

/// Takes deliveries that are due, for this instance until `until`. Rows that another worker is about to take are skipped;
/// those of a worker that has died are taken over when its time is up.
///
/// # Errors
/// When the database can't be reached.
pub async fn claim(
    conn: &mut Conn,
    instance: InstanceId,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Claimed>, StoreError> {
    let rows: Vec<ClaimedRow> = sql_query(
        "WITH waiting AS (
             SELECT DISTINCT endpoint_id FROM webhook_deliveries WHERE status = 'pending' AND next_attempt_at <= $1
         ), due AS (
             SELECT near.id FROM waiting w
             JOIN webhook_endpoints e ON e.id = w.endpoint_id AND e.status = 'active'
             CROSS JOIN LATERAL (
                 SELECT d.id, d.next_attempt_at FROM webhook_deliveries d
                 WHERE d.endpoint_id = w.endpoint_id AND d.status = 'pending' AND d.next_attempt_at <= $1
                   AND (d.claimed_until IS NULL OR d.claimed_until <= $1)
                 ORDER BY d.next_attempt_at, d.id
                 LIMIT (SELECT GREATEST(0, $5 - count(*)) FROM webhook_deliveries b
                        WHERE b.endpoint_id = w.endpoint_id AND b.status = 'pending' AND b.claimed_until > $1)
             ) AS near
             ORDER BY near.next_attempt_at, near.id LIMIT $4
         ), locked AS (
             SELECT d.id FROM webhook_deliveries d JOIN due USING (id)
             WHERE d.status = 'pending' AND (d.claimed_until IS NULL OR d.claimed_until <= $1)
             FOR UPDATE OF d SKIP LOCKED
         ), taken AS (
             UPDATE webhook_deliveries d
             SET attempts = attempts + 1, last_attempt_at = $1, claimed_by = $2, claimed_until = $3
             FROM locked WHERE d.id = locked.id RETURNING d.*
         )
         SELECT t.id, t.endpoint_id, t.organization_id, t.event_id, t.attempts, e.type, e.occurred_at, e.data, e.sequence
         FROM taken t JOIN webhook_events e ON e.id = t.event_id ORDER BY e.sequence",
    )
    .bind::<Timestamptz, _>(micros(now))
    .bind::<SqlUuid, _>(instance.as_uuid())
    .bind::<Timestamptz, _>(micros(until))
    .bind::<BigInt, _>(limit)
    .bind::<BigInt, _>(PER_ENDPOINT)
    .load(conn)
    .await?;
    // An event of a type that this release doesn't know is left to one that does.
    let known = rows.into_iter().filter_map(|row| {
        let kind = EventType::from_word(&row.r#type);
        if kind.is_none() {
            tracing::error!(event = %row.event_id, r#type = row.r#type, "an event of an unknown type can't be sent");
        }
        Some((kind?, row))
    });
    Ok(known
        .map(|(kind, row)| Claimed {
            id: DeliveryId::from_uuid(row.id),
            endpoint: WebhookId::from_uuid(row.endpoint_id),
            organization: OrganizationId::from_uuid(row.organization_id),
            event: EventId::from_uuid(row.event_id),
            kind,
            occurred_at: row.occurred_at,
            data: row.data,
            sequence: row.sequence,
            attempts: row.attempts,
            until: micros(until),
            by: instance,
        })
        .collect())
}

/// Gives back what an earlier life of this instance had taken: it can't be sending any more.
///
/// # Errors
/// When the database can't be reached.
pub async fn release(conn: &mut Conn, instance: InstanceId) -> Result<usize, StoreError> {
    let released = sql_query(
        "UPDATE webhook_deliveries SET claimed_by = NULL, claimed_until = NULL
         WHERE claimed_by = $1 AND status = 'pending'",
    )
    .bind::<SqlUuid, _>(instance.as_uuid())
    .execute(conn)
    .await?;
    Ok(released)
}

/// What came of an attempt.
#[derive(Debug, Clone, Default)]
pub struct Attempt {
    /// Status that was answered.
    pub response_status: Option<u16>,
    /// First KiB of what was answered.
    pub response_excerpt: Option<String>,
    /// Why it failed; none for a success.
    pub error: Option<&'static str>,
    /// When to try again; none when it is over.
    pub next_attempt_at: Option<DateTime<Utc>>,
}

/// Writes an attempt's outcome, if this worker still holds the delivery.
///
/// # Errors
/// When the database can't be reached.
pub async fn finish(conn: &mut Conn, claimed: &Claimed, attempt: &Attempt) -> Result<bool, StoreError> {
    let status = match (attempt.error, attempt.next_attempt_at) {
        (None, _) => DeliveryStatus::Succeeded,
        (Some(_), Some(_)) => DeliveryStatus::Pending,
        (Some(_), None) => DeliveryStatus::Failed,
    };
    let next = attempt.next_attempt_at.filter(|_| status == DeliveryStatus::Pending);
    let written = sql_query(
        "UPDATE webhook_deliveries SET status = $3, next_attempt_at = $4, response_status = $5, response_excerpt = $6,
             error = $7, claimed_by = NULL, claimed_until = NULL
         WHERE id = $1 AND claimed_by = $2 AND claimed_until = $8 AND status = 'pending'",
    )
    .bind::<SqlUuid, _>(claimed.id.as_uuid())
    .bind::<SqlUuid, _>(claimed.by.as_uuid())
    .bind::<Text, _>(status.as_str())
    .bind::<Nullable<Timestamptz>, _>(next.map(micros))
    .bind::<Nullable<SmallInt>, _>(attempt.response_status.and_then(|status| i16::try_from(status).ok()))
    .bind::<Nullable<Text>, _>(attempt.response_excerpt.as_deref())
    .bind::<Nullable<Text>, _>(attempt.error)
    .bind::<Timestamptz, _>(claimed.until)
    .execute(conn)
    .await?;
    Ok(written == 1)
}

/// Ends what is on its way to an endpoint that gets nothing any more.
///
/// # Errors
/// When the database can't be reached.
pub async fn give_up(conn: &mut Conn, endpoint: WebhookId) -> Result<usize, StoreError> {
    let ended = sql_query(
        "UPDATE webhook_deliveries SET status = 'failed', next_attempt_at = NULL, claimed_by = NULL, claimed_until = NULL,
             error = coalesce(error, 'endpoint_disabled')
         WHERE endpoint_id = $1 AND status = 'pending'",
    )
    .bind::<SqlUuid, _>(endpoint.as_uuid())
    .execute(conn)
    .await?;
    Ok(ended)
}

/// A delivery as it is shown.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Identity.
    pub id: DeliveryId,
    /// The header `webhook-id`.
    pub event: EventId,
    /// What.
    pub kind: EventType,
    /// How it stands.
    pub status: DeliveryStatus,
    /// Attempts that were begun.
    pub attempts: i32,
    /// When the next one is due.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When the last one began.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// Status that was answered.
    pub response_status: Option<i16>,
    /// First KiB of what was answered.
    pub response_excerpt: Option<String>,
    /// Why the last one failed.
    pub error: Option<String>,
    /// When the event happened.
    pub created_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct DeliveryRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    event_id: Uuid,
    #[diesel(sql_type = Text)]
    r#type: String,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Integer)]
    attempts: i32,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    next_attempt_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_attempt_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    response_status: Option<i16>,
    #[diesel(sql_type = Nullable<Text>)]
    response_excerpt: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    error: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl TryFrom<DeliveryRow> for Delivery {
    type Error = StoreError;

    fn try_from(row: DeliveryRow) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::corrupt("webhook_deliveries", column, row.id);
        Ok(Self {
            id: DeliveryId::from_uuid(row.id),
            event: EventId::from_uuid(row.event_id),
            kind: EventType::from_word(&row.r#type).ok_or_else(|| corrupt("event_id"))?,
            status: DeliveryStatus::from_word(&row.status).ok_or_else(|| corrupt("status"))?,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            last_attempt_at: row.last_attempt_at,
            response_status: row.response_status,
            response_excerpt: row.response_excerpt,
            error: row.error,
            created_at: row.created_at,
        })
    }
}

/// Deliveries of an endpoint, newest first; perhaps only those that stand so.
///
/// # Errors
/// When the database can't be reached.
pub async fn list(
    conn: &mut Conn,
    endpoint: WebhookId,
    status: Option<DeliveryStatus>,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let rows: Vec<DeliveryRow> = sql_query(
        "SELECT d.*, e.type FROM webhook_deliveries d JOIN webhook_events e ON e.id = d.event_id
         WHERE d.endpoint_id = $1 AND ($2 IS NULL OR d.status = $2)
           AND ($3 IS NULL OR (d.created_at, d.id) < ($3, $4))
         ORDER BY d.created_at DESC, d.id DESC LIMIT $5",
    )
    .bind::<SqlUuid, _>(endpoint.as_uuid())
    .bind::<Nullable<Text>, _>(status.map(DeliveryStatus::as_str))
    .bind::<Nullable<Timestamptz>, _>(after.map(|place| place.created_at))
    .bind::<Nullable<SqlUuid>, _>(after.map(|place| place.id))
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    rows.into_iter().map(Delivery::try_from).collect()
}

/// Queues a delivery again, with the same id of the event and a schedule from its beginning. `false` when there is no such
/// delivery of this endpoint.
///
/// # Errors
/// When the database can't be reached.
pub async fn retry(
    conn: &mut Conn,
    endpoint: WebhookId,
    id: DeliveryId,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let queued = sql_query(
        "UPDATE webhook_deliveries SET status = 'pending', attempts = 0, next_attempt_at = $3, error = NULL,
             claimed_by = NULL, claimed_until = NULL
         WHERE id = $1 AND endpoint_id = $2",
    )
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<SqlUuid, _>(endpoint.as_uuid())
    .bind::<Timestamptz, _>(micros(now))
    .execute(conn)
    .await?;
    Ok(queued == 1)
}
