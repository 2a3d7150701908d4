//! Events that wait to be told, written in the transaction of what they tell.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use serde_json::Value;
use statuspulse_audit::EventType;
use statuspulse_policy::{AlertId, DeliveryId, EventId, KeyId, OrganizationId, WebhookId};

use crate::{Conn, error::StoreError, rows::micros};

/// An event of the outbox.
#[derive(Debug, Clone)]
pub struct OutboxEvent {
    /// Identity: the header `webhook-id` of each delivery.
    pub id: EventId,
    /// Whose.
    pub organization_id: OrganizationId,
    /// The key it is about.
    pub key_id: Option<KeyId>,
    /// The alert that it tells of.
    pub alert_id: Option<AlertId>,
    /// What happened.
    pub kind: EventType,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// The body's data.
    pub data: Value,
    /// When `data.sealed` is to be deleted.
    pub sealed_until: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct Numbered {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
}

/// Writes an event; answers its number.
///
/// # Errors
/// When the database can't be reached.
pub async fn insert(conn: &mut Conn, event: &OutboxEvent) -> Result<i64, StoreError> {
    let written: Numbered = sql_query(
        "INSERT INTO webhook_events (id, organization_id, key_id, type, occurred_at, data, sealed_until, alert_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING sequence",
    )
    .bind::<SqlUuid, _>(event.id.as_uuid())
    .bind::<SqlUuid, _>(event.organization_id.as_uuid())
    .bind::<Nullable<SqlUuid>, _>(event.key_id.map(|id| id.as_uuid()))
    .bind::<Text, _>(event.kind.as_str())
    .bind::<Timestamptz, _>(micros(event.occurred_at))
    .bind::<Jsonb, _>(&event.data)
    .bind::<Nullable<Timestamptz>, _>(event.sealed_until.map(micros))
    .bind::<Nullable<SqlUuid>, _>(event.alert_id.map(|id| id.as_uuid()))
    .get_result(conn)
    .await?;
    Ok(written.sequence)
}

/// Sends an event on its way to endpoints, due at once. One that is deleted at this moment gets nothing, and is no error.
///
/// # Errors
/// When the database can't be reached.
pub async fn insert_deliveries(
    conn: &mut Conn,
    event: &OutboxEvent,
    deliveries: &[(DeliveryId, WebhookId)],
) -> Result<(), StoreError> {
    let (ids, endpoints): (Vec<_>, Vec<_>) =
        deliveries.iter().map(|(id, endpoint)| (id.as_uuid(), endpoint.as_uuid())).unzip();
    sql_query(
        "INSERT INTO webhook_deliveries (id, organization_id, endpoint_id, event_id, status, next_attempt_at, created_at)
         SELECT d.id, $1, e.id, $2, 'pending', $3, $3
         FROM unnest($4, $5) AS d (id, endpoint_id) JOIN webhook_endpoints e ON e.id = d.endpoint_id
         FOR KEY SHARE OF e",
    )
    .bind::<SqlUuid, _>(event.organization_id.as_uuid())
    .bind::<SqlUuid, _>(event.id.as_uuid())
    .bind::<Timestamptz, _>(micros(event.occurred_at))
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<SqlUuid>, _>(endpoints)
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes sealed successors whose time is over; answers how many.
///
/// # Errors
/// When the database can't be reached.
pub async fn forget_sealed(conn: &mut Conn, now: DateTime<Utc>) -> Result<usize, StoreError> {
    let forgotten =
        sql_query("UPDATE webhook_events SET data = data - 'sealed', sealed_until = NULL WHERE sealed_until <= $1")
            .bind::<Timestamptz, _>(now)
            .execute(conn)
            .await?;
    Ok(forgotten)
}

/// Deletes the sealed successors of a key at once: what they hold is not to be used any more.
///
/// # Errors
/// When the database can't be reached.
pub async fn forget_sealed_of(conn: &mut Conn, key: KeyId) -> Result<usize, StoreError> {
    let forgotten = sql_query(
        "UPDATE webhook_events SET data = data - 'sealed', sealed_until = NULL
         WHERE key_id = $1 AND sealed_until IS NOT NULL",
    )
    .bind::<SqlUuid, _>(key.as_uuid())
    .execute(conn)
    .await?;
    Ok(forgotten)
}

/// Takes events away that are older, no longer on their way, and of no alert that is still to be resolved, at most `limit`; answers how many.
///
/// # Errors
/// When the database can't be reached.
pub async fn remove_old(conn: &mut Conn, before: DateTime<Utc>, limit: i64) -> Result<usize, StoreError> {
    let removed = sql_query(
        "DELETE FROM webhook_events WHERE id IN (
             SELECT e.id FROM webhook_events e
             WHERE e.occurred_at < $1
               AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.event_id = e.id AND d.status = 'pending')
               AND NOT EXISTS (SELECT 1 FROM alerts a WHERE a.id = e.alert_id AND a.status <> 'resolved')
             ORDER BY e.occurred_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind::<Timestamptz, _>(before)
    .bind::<BigInt, _>(limit)
    .execute(conn)
    .await?;
    Ok(removed)
}
