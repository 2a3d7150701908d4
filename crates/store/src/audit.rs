//! The audit trail's table.

use chrono::{DateTime, Utc};
use diesel::{
    Insertable, QueryableByName, sql_query,
    sql_types::{BigInt, Inet, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncConnection as _, RunQueryDsl as _, SimpleAsyncConnection as _};
use ipnetwork::IpNetwork;
use serde_json::Value;
use statuspulse_audit::Event;
use statuspulse_policy::{AppId, KeyId, OrganizationId};
use uuid::Uuid;

use crate::{
    Conn,
    error::StoreError,
    page::Position,
    rows::{host, micros},
    schema::audit_events,
};

/// Rows of one statement, so that its parameters stay far below PostgreSQL's 65,535.
const BATCH: usize = 1_000;

/// An event with its place in the stream of the process that writes it.
#[derive(Debug, Clone)]
pub struct NumberedEvent {
    /// The process.
    pub stream: Uuid,
    /// Rising within the stream.
    pub sequence: i64,
    /// The event.
    pub event: Event,
}

#[derive(Insertable)]
#[diesel(table_name = audit_events)]
struct EventRow<'a> {
    id: Uuid,
    stream: Uuid,
    sequence: i64,
    occurred_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    class: i16,
    action: &'a str,
    outcome: &'a str,
    reason: Option<&'a str>,
    organization_id: Option<Uuid>,
    actor_kind: &'a str,
    actor_id: Option<String>,
    actor_version: Option<i32>,
    method: Option<&'a str>,
    route: Option<&'a str>,
    status: Option<i16>,
    ip: Option<IpNetwork>,
    user_agent: Option<&'a str>,
    fingerprint: Option<&'a [u8]>,
    request_id: Option<Uuid>,
    detail: Value,
}

impl<'a> EventRow<'a> {
    fn new(numbered: &'a NumberedEvent, recorded_at: DateTime<Utc>) -> Self {
        let event = &numbered.event;
        Self {
            id: event.id.as_uuid(),
            stream: numbered.stream,
            sequence: numbered.sequence,
            occurred_at: micros(event.occurred_at),
            recorded_at: micros(recorded_at),
            class: event.class.number(),
            action: event.action.as_str(),
            outcome: event.outcome.as_str(),
            reason: event.reason,
            organization_id: event.organization_id.map(OrganizationId::as_uuid),
            actor_kind: event.actor.kind(),
            actor_id: event.actor.id(),
            actor_version: event.actor.version(),
            method: event.origin.method.as_deref(),
            route: event.origin.route.as_deref(),
            status: event.status.map(u16::cast_signed),
            ip: event.origin.ip.map(host),
            user_agent: event.origin.user_agent.as_deref(),
            fingerprint: event.origin.fingerprint.as_ref().map(|fingerprint| fingerprint.as_bytes().as_slice()),
            request_id: event.origin.request_id.map(|id| id.as_uuid()),
            detail: Value::Object(event.detail.clone()),
        }
    }
}

/// Writes events.
///
/// # Errors
/// When the database can't be reached, or a day has no partition.
pub async fn insert(conn: &mut Conn, events: &[NumberedEvent], recorded_at: DateTime<Utc>) -> Result<(), StoreError> {
    for batch in events.chunks(BATCH) {
        let rows: Vec<EventRow<'_>> = batch.iter().map(|event| EventRow::new(event, recorded_at)).collect();
        diesel::insert_into(audit_events::table).values(rows).execute(conn).await?;
    }
    Ok(())
}

/// The calls of a key from one network.
#[derive(Debug, Clone, QueryableByName)]
pub struct SourceRow {
    /// The address.
    #[diesel(sql_type = Inet)]
    pub ip: IpNetwork,
    /// Calls from it.
    #[diesel(sql_type = BigInt)]
    pub calls: i64,
}

/// From where a key was used since a moment, also in vain: each address with its calls, busiest first, at most 10,000. Gives
/// up after two seconds: a busy key has millions of rows.
///
/// # Errors
/// When the database can't be reached.
pub async fn sources_of_key(
    conn: &mut Conn,
    organization: OrganizationId,
    key: KeyId,
    since: DateTime<Utc>,
) -> Result<Vec<SourceRow>, StoreError> {
    conn.transaction(async |conn| {
        conn.batch_execute("SET LOCAL statement_timeout = 2000").await?;
        Ok(sql_query(
            "SELECT ip, count(*) AS calls FROM audit_events
             WHERE organization_id = $1 AND actor_id = $2 AND actor_kind = 'api_key' AND action = 'api.call'
               AND occurred_at >= $3 AND ip IS NOT NULL
             GROUP BY ip ORDER BY calls DESC, ip LIMIT 10000",
        )
        .bind::<SqlUuid, _>(organization.as_uuid())
        .bind::<Text, _>(key.to_string())
        .bind::<Timestamptz, _>(since)
        .load(conn)
        .await?)
    })
    .await
}

/// A refused exchange of an app.
#[derive(Debug, Clone, QueryableByName)]
pub struct Failure {
    /// Id of the event.
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    /// When.
    #[diesel(sql_type = Timestamptz)]
    pub occurred_at: DateTime<Utc>,
    /// Which exchange.
    #[diesel(sql_type = Text)]
    pub action: String,
    /// Why it was refused.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// What was answered.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub status: Option<i16>,
    #[diesel(sql_type = Nullable<Inet>)]
    ip: Option<IpNetwork>,
    /// User agent, escaped.
    #[diesel(sql_type = Nullable<Text>)]
    pub user_agent: Option<String>,
    /// Id of the request, as its answer carried it.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub request_id: Option<Uuid>,
    /// Offset of the first byte in which a redirect URI differs.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub first_difference: Option<i64>,
}

impl Failure {
    /// Where it came from.
    #[must_use]
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        self.ip.map(|network| network.ip())
    }
}

/// The refused exchanges of an app, newest first, after a position.
///
/// # Errors
/// When the database can't be reached.
pub async fn failures_of_app(
    conn: &mut Conn,
    app: AppId,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Failure>, StoreError> {
    let (before, id) = after.map_or((None, None), |position| (Some(position.created_at), Some(position.id)));
    let failures = sql_query(
        "SELECT id, occurred_at, action, reason, status, ip, user_agent, request_id,
                (detail ->> 'first_difference')::bigint AS first_difference
         FROM audit_events
         WHERE detail ->> 'app_id' = $1 AND outcome <> 'allowed' AND action LIKE 'oauth.%'
           AND ($2 IS NULL OR (occurred_at, id) < ($2, $3))
         ORDER BY occurred_at DESC, id DESC LIMIT $4",
    )
    .bind::<Text, _>(app.to_string())
    .bind::<Nullable<Timestamptz>, _>(before)
    .bind::<Nullable<SqlUuid>, _>(id)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(failures)
}
