//! Reading the trail.

use chrono::{DateTime, Duration, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, BigInt, Inet, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use ipnetwork::IpNetwork;
use serde_json::{Map, Value};
use statuspulse_audit::{Bytes, Digest, Entry, Record, record::ActorRef};
use statuspulse_policy::{Cidr, EventId, OrganizationId};
use uuid::Uuid;

use crate::{Conn, error::StoreError};

const TABLE: &str = "audit_events";
/// How far the time of an id may be from that of its event.
const ID_SLACK: Duration = Duration::minutes(10);

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one organization; none: of all, and those that belong to none.
    pub organization: Option<OrganizationId>,
    /// From this moment on.
    pub from: Option<DateTime<Utc>>,
    /// Before this moment.
    pub to: Option<DateTime<Utc>>,
    /// Id of the actor.
    pub actor: Option<String>,
    /// Stable word of the action, or its beginning up to a dot (`key.`).
    pub action: Option<String>,
    /// `allowed`, `denied` or `failed`.
    pub outcome: Option<String>,
    /// From this network.
    pub network: Option<Cidr>,
    /// From this country.
    pub country: Option<String>,
}

/// A place in the trail's order: by time, then stream, then number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// Its stream.
    pub stream: Uuid,
    /// Its number there.
    pub sequence: i64,
}

impl From<&Record> for Place {
    fn from(record: &Record) -> Self {
        Self { occurred_at: record.entry.occurred_at, stream: record.stream, sequence: record.sequence }
    }
}

/// In which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As pages are shown.
    NewestFirst,
    /// As exports are written.
    OldestFirst,
}

#[derive(QueryableByName)]
#[diesel(table_name = crate::schema::audit_events)]
#[diesel(check_for_backend(diesel::pg::Pg))]
struct Row {
    id: Uuid,
    stream: Uuid,
    sequence: i64,
    occurred_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    class: i16,
    action: String,
    outcome: String,
    reason: Option<String>,
    organization_id: Option<Uuid>,
    actor_kind: String,
    actor_id: Option<String>,
    actor_version: Option<i32>,
    method: Option<String>,
    route: Option<String>,
    status: Option<i16>,
    ip: Option<IpNetwork>,
    ip_commit: Option<Vec<u8>>,
    salt: Option<Vec<u8>>,
    country: Option<String>,
    user_agent: Option<String>,
    user_agent_commit: Option<Vec<u8>>,
    fingerprint: Option<Vec<u8>>,
    request_id: Option<Uuid>,
    detail: Value,
    leaf: Vec<u8>,
    prev: Vec<u8>,
    hash: Vec<u8>,
}

impl TryFrom<Row> for Record {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = row.id;
        let corrupt = |column| move || StoreError::corrupt(TABLE, column, id);
        let digest = |column, bytes: Vec<u8>| Digest::from_slice(&bytes).ok_or_else(corrupt(column));
        let optional = |column, bytes: Option<Vec<u8>>| bytes.map(|bytes| digest(column, bytes)).transpose();
        let short = |column, bytes: Option<Vec<u8>>| {
            bytes.map(|bytes| Bytes::<16>::from_slice(&bytes).ok_or_else(corrupt(column))).transpose()
        };
        let Value::Object(detail) = row.detail else { return Err(corrupt("detail")()) };
        Ok(Self {
            entry: Entry {
                id,
                occurred_at: row.occurred_at,
                class: row.class,
                action: row.action,
                outcome: row.outcome,
                reason: row.reason,
                organization_id: row.organization_id,
                actor: ActorRef { kind: row.actor_kind, id: row.actor_id, version: row.actor_version },
                method: row.method,
                route: row.route,
                status: row.status.map(i16::cast_unsigned),
                ip: row.ip.map(|network| network.ip()),
                country: row.country,
                user_agent: row.user_agent,
                fingerprint: short("fingerprint", row.fingerprint)?,
                request_id: row.request_id,
                detail: detail.into_iter().collect::<Map<_, _>>(),
            },
            stream: row.stream,
            sequence: row.sequence,
            recorded_at: row.recorded_at,
            salt: short("salt", row.salt)?,
            ip_commit: optional("ip_commit", row.ip_commit)?,
            user_agent_commit: optional("user_agent_commit", row.user_agent_commit)?,
            leaf: digest("leaf", row.leaf)?,
            prev: digest("prev", row.prev)?,
            hash: digest("hash", row.hash)?,
        })
    }
}

/// The parameters of [`conditions`], so that those that aren't used have a type.
const ASKED: &str = "$1::uuid, $2::timestamptz, $3::timestamptz, $4::text, $5::text, $6::text, $7::inet, $8::text";

/// What a filter asks for, named one by one: a condition that isn't asked for must not stand in the way of an index.
fn conditions(filter: &Filter) -> Vec<&'static str> {
    let mut conditions = Vec::new();
    let mut add = |is_asked: bool, condition: &'static str| {
        if is_asked {
            conditions.push(condition);
        }
    };
    add(filter.organization.is_some(), "organization_id = $1");
    add(filter.from.is_some(), "occurred_at >= $2");
    add(filter.to.is_some(), "occurred_at < $3");
    add(filter.actor.is_some(), "actor_id = $4");
    let is_family = filter.action.as_deref().is_some_and(|action| action.ends_with('.'));
    let of_calls = filter.action.as_deref() == Some("api.");
    let action = match (is_family, of_calls) {
        // Said twice, so that the index of everything but calls serves.
        (true, false) => "starts_with(action, $5) AND action <> 'api.call'",
        (true, true) => "starts_with(action, $5)",
        (false, _) => "action = $5",
    };
    add(filter.action.is_some(), action);
    add(filter.outcome.is_some(), "outcome = $6");
    add(filter.network.is_some(), "ip <<= $7");
    add(filter.country.is_some(), "country = $8");
    conditions
}

/// A stretch of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The stream.
    pub stream: Uuid,
    /// The number before the first one.
    pub behind: i64,
    /// The last number.
    pub to: i64,
}

/// Events of stretches of streams, oldest first. None of them is older than `since`.
///
/// # Errors
/// When the database can't be reached, or a row can't be read.
pub async fn stretches(
    conn: &mut Conn,
    filter: &Filter,
    stretches: &[Stretch],
    since: Option<DateTime<Utc>>,
) -> Result<Vec<Record>, StoreError> {
    let conditions: String = conditions(filter).iter().map(|condition| format!(" AND {condition}")).collect();
    let query = format!(
        "WITH asked AS (SELECT {ASKED})
         SELECT e.* FROM audit_events e
         JOIN unnest($9::uuid[], $10::bigint[], $11::bigint[]) AS s (in_stream, behind, upto)
             ON e.stream = in_stream AND e.sequence > behind AND e.sequence <= upto
         WHERE occurred_at >= coalesce($12, '-infinity') {conditions}
         ORDER BY occurred_at, stream, sequence"
    );
    let rows: Vec<Row> = sql_query(query)
        .bind::<Nullable<SqlUuid>, _>(filter.organization.map(OrganizationId::as_uuid))
        .bind::<Nullable<Timestamptz>, _>(filter.from)
        .bind::<Nullable<Timestamptz>, _>(filter.to)
        .bind::<Nullable<Text>, _>(filter.actor.as_deref())
        .bind::<Nullable<Text>, _>(filter.action.as_deref())
        .bind::<Nullable<Text>, _>(filter.outcome.as_deref())
        .bind::<Nullable<Inet>, _>(filter.network.map(|network| network.to_ip_network()))
        .bind::<Nullable<Text>, _>(filter.country.as_deref())
        .bind::<Array<SqlUuid>, _>(stretches.iter().map(|stretch| stretch.stream).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(stretches.iter().map(|stretch| stretch.behind).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(stretches.iter().map(|stretch| stretch.to).collect::<Vec<_>>())
        .bind::<Nullable<Timestamptz>, _>(since)
        .load(conn)
        .await?;
    rows.into_iter().map(Record::try_from).collect()
}

/// Events behind a place, at most so many.
///
/// # Errors
/// When the database can't be reached, or a row can't be read.
pub async fn page(
    conn: &mut Conn,
    filter: &Filter,
    order: Order,
    after: Option<Place>,
    limit: i64,
) -> Result<Vec<Record>, StoreError> {
    let (beyond, direction) = match order {
        Order::NewestFirst => ("<", "DESC"),
        Order::OldestFirst => (">", "ASC"),
    };
    let mut conditions = conditions(filter).join(" AND ");
    if after.is_some() {
        let place = format!("occurred_at {beyond}= $9 AND (occurred_at, stream, sequence) {beyond} ($9, $10, $11)");
        conditions = if conditions.is_empty() { place } else { format!("{conditions} AND {place}") };
    }
    if conditions.is_empty() {
        conditions.push_str("true");
    }
    let query = format!(
        "WITH asked AS (SELECT {ASKED}, $9::timestamptz, $10::uuid, $11::bigint)
         SELECT * FROM audit_events WHERE {conditions}
         ORDER BY occurred_at {direction}, stream {direction}, sequence {direction} LIMIT $12"
    );
    let rows: Vec<Row> = sql_query(query)
        .bind::<Nullable<SqlUuid>, _>(filter.organization.map(OrganizationId::as_uuid))
        .bind::<Nullable<Timestamptz>, _>(filter.from)
        .bind::<Nullable<Timestamptz>, _>(filter.to)
        .bind::<Nullable<Text>, _>(filter.actor.as_deref())
        .bind::<Nullable<Text>, _>(filter.action.as_deref())
        .bind::<Nullable<Text>, _>(filter.outcome.as_deref())
        .bind::<Nullable<Inet>, _>(filter.network.map(|network| network.to_ip_network()))
        .bind::<Nullable<Text>, _>(filter.country.as_deref())
        .bind::<Nullable<Timestamptz>, _>(after.map(|place| place.occurred_at))
        .bind::<Nullable<SqlUuid>, _>(after.map(|place| place.stream))
        .bind::<Nullable<BigInt>, _>(after.map(|place| place.sequence))
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await?;
    rows.into_iter().map(Record::try_from).collect()
}

/// An event by its id, which says when it happened; of one organization, or of any.
///
/// # Errors
/// When the database can't be reached, or the row can't be read.
pub async fn find(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    id: EventId,
) -> Result<Option<Record>, StoreError> {
    let Some(made_at) = id.as_uuid().get_timestamp().map(|time| time.to_unix()) else { return Ok(None) };
    let made_at = i64::try_from(made_at.0).ok().and_then(|seconds| DateTime::from_timestamp(seconds, made_at.1));
    let Some(made_at) = made_at else { return Ok(None) };
    let rows: Vec<Row> = sql_query(
        "SELECT * FROM audit_events WHERE occurred_at BETWEEN $1 AND $2 AND id = $3
             AND ($4 IS NULL OR organization_id = $4) LIMIT 1",
    )
    .bind::<Timestamptz, _>(made_at - ID_SLACK)
    .bind::<Timestamptz, _>(made_at + ID_SLACK)
    .bind::<SqlUuid, _>(id.as_uuid())
    .bind::<Nullable<SqlUuid>, _>(organization.map(OrganizationId::as_uuid))
    .load(conn)
    .await?;
    rows.into_iter().next().map(Record::try_from).transpose()
}
