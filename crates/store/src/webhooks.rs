//! Endpoints that get events, and the outbox.

use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension as _, QueryableByName, sql_query,
    sql_types::{Array, BigInt, Binary, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use statuspulse_audit::{DisabledReason, EndpointKind, EventType};
use statuspulse_keys::Creator;
use statuspulse_policy::{KeyId, OrganizationId, WebhookId};
use uuid::Uuid;

use crate::{
    Conn,
    error::StoreError,
    page::Position,
    rows::{self, micros},
};

pub mod deliveries;
pub mod notices;
pub mod outbox;

/// A signing secret as it is kept: sealed, with the version of the master key that seals it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// Nonce, ciphertext and tag.
    pub bytes: Vec<u8>,
    /// Version of the master key.
    pub key_version: i16,
}

/// Where events are sent.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Identity.
    pub id: WebhookId,
    /// Owner.
    pub organization_id: OrganizationId,
    /// Only events of this key; none means of the whole organization.
    pub key_id: Option<KeyId>,
    /// Where to, as it was given.
    pub url: String,
    /// In which form.
    pub kind: EndpointKind,
    /// What it gets, each once.
    pub events: Vec<EventType>,
    /// Why it gets nothing any more; none while it is active.
    pub disabled: Option<DisabledReason>,
    /// The secret that signs.
    pub secret: SealedSecret,
    /// The secret before, and until when it signs too.
    pub previous: Option<(SealedSecret, DateTime<Utc>)>,
    /// First failure since the last success.
    pub failing_since: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: Creator,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    organization_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    key_id: Option<Uuid>,
    #[diesel(sql_type = Text)]
    url: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Array<Text>)]
    events: Vec<String>,
    #[diesel(sql_type = Nullable<Text>)]
    disabled_reason: Option<String>,
    #[diesel(sql_type = Binary)]
    secret_sealed: Vec<u8>,
    #[diesel(sql_type = SmallInt)]
    secret_key_version: i16,
    #[diesel(sql_type = Nullable<Binary>)]
    previous_sealed: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    previous_key_version: Option<i16>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    previous_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    failing_since: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    created_by: String,
    #[diesel(sql_type = Text)]
    created_by_kind: String,
}

impl TryFrom<Row> for Endpoint {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::corrupt("webhook_endpoints", column, row.id);
        let disabled = row.disabled_reason.as_deref().map(|word| DisabledReason::from_word(word).ok_or(word));
        let events: Option<Vec<EventType>> = row.events.iter().map(|word| EventType::from_word(word)).collect();
        let previous = match (row.previous_sealed, row.previous_key_version, row.previous_until) {
            (Some(bytes), Some(key_version), Some(until)) => Some((SealedSecret { bytes, key_version }, until)),
            _ => None,
        };
        Ok(Self {
            id: WebhookId::from_uuid(row.id),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            key_id: row.key_id.map(KeyId::from_uuid),
            kind: EndpointKind::from_word(&row.kind).ok_or_else(|| corrupt("kind"))?,
            events: events.ok_or_else(|| corrupt("events"))?,
            disabled: disabled.transpose().map_err(|_| corrupt("disabled_reason"))?,
            secret: SealedSecret { bytes: row.secret_sealed, key_version: row.secret_key_version },
            previous,
            failing_since: row.failing_since,
            created_at: row.created_at,
            created_by: rows::creator(&row.created_by_kind, row.created_by).ok_or_else(|| corrupt("created_by"))?,
            url: row.url,
        })
    }
}

/// Writes a new endpoint.
///
/// # Errors
/// When the database can't be reached.
pub async fn insert(conn: &mut Conn, endpoint: &Endpoint) -> Result<(), StoreError> {
    let (created_by_kind, created_by) = rows::creator_words(&endpoint.created_by);
    sql_query(
        "INSERT INTO webhook_endpoints (id, organization_id, key_id, url, kind, events, status, secret_sealed,
             secret_key_version, created_at, created_by, created_by_kind)
         VALUES ($1, $2, $3, $4, $5, $6, 'active', $7, $8, $9, $10, $11)",
    )
    .bind::<SqlUuid, _>(endpoint.id.as_uuid())
    .bind::<SqlUuid, _>(endpoint.organization_id.as_uuid())
    .bind::<Nullable<SqlUuid>, _>(endpoint.key_id.map(|id| id.as_uuid()))
    .bind::<Text, _>(&endpoint.url)
    .bind::<Text, _>(endpoint.kind.as_str())
    .bind::<Array<Text>, _>(words(&endpoint.events))
    .bind::<Binary, _>(&endpoint.secret.bytes)
    .bind::<SmallInt, _>(endpoint.secret.key_version)
    .bind::<Timestamptz, _>(micros(endpoint.created_at))
    .bind::<Text, _>(created_by)
    .bind::<Text, _>(created_by_kind)
    .execute(conn)
    .await?;
    Ok(())
}

fn words(events: &[EventType]) -> Vec<&'static str> {
    events.iter().map(|kind| kind.as_str()).collect()
}

/// How many endpoints an organization has. Call it under the organization's lock.
///
/// # Errors
/// When the database can't be reached.
pub async fn count(conn: &mut Conn, organization: OrganizationId) -> Result<i64, StoreError> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let found: Count = sql_query("SELECT count(*) AS count FROM webhook_endpoints WHERE organization_id = $1")
        .bind::<SqlUuid, _>(organization.as_uuid())
        .get_result(conn)
        .await?;
    Ok(found.count)
}

/// An endpoint of an organization.
///
/// # Errors
/// When the database can't be reached.
pub async fn find(
    conn: &mut Conn,
    organization: OrganizationId,
    id: WebhookId,
) -> Result<Option<Endpoint>, StoreError> {
    one(conn, organization, id, "SELECT * FROM webhook_endpoints WHERE id = $1 AND organization_id = $2").await
}

/// As [`find`], and locks it until the end of the transaction; against other changes, not against events that are put on
/// their way to it.
///
/// # Errors
/// When the database can't be reached.
pub async fn lock(
    conn: &mut Conn,
    organization: OrganizationId,
    id: WebhookId,
) -> Result<Option<Endpoint>, StoreError> {
    one(
        conn,
        organization,
        id,
        "SELECT * FROM webhook_endpoints WHERE id = $1 AND organization_id = $2 FOR NO KEY UPDATE",
    )
    .await
}

async fn one(
    conn: &mut Conn,
    organization: OrganizationId,
    id: WebhookId,
    statement: &str,
) -> Result<Option<Endpoint>, StoreError> {
    let row: Option<Row> = sql_query(statement)
        .bind::<SqlUuid, _>(id.as_uuid())
        .bind::<SqlUuid, _>(organization.as_uuid())
        .get_result(conn)
        .await
        .optional()?;
    row.map(Endpoint::try_from).transpose()
}

/// Endpoints of an organization, newest first.
///
/// # Errors
/// When the database can't be reached.
pub async fn list(
    conn: &mut Conn,
    organization: OrganizationId,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Endpoint>, StoreError> {
    let rows: Vec<Row> = sql_query(
        "SELECT * FROM webhook_endpoints
         WHERE organization_id = $1 AND ($2 IS NULL OR (created_at, id) < ($2, $3))
         ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind::<SqlUuid, _>(organization.as_uuid())
    .bind::<Nullable<Timestamptz>, _>(after.map(|place| place.created_at))
    .bind::<Nullable<SqlUuid>, _>(after.map(|place| place.id))
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    rows.into_iter().map(Endpoint::try_from).collect()
}

/// Writes what can change of a locked endpoint.
///
/// # Errors
/// When the database can't be reached.
pub async fn update(conn: &mut Conn, endpoint: &Endpoint) -> Result<bool, StoreError> {
    let previous = endpoint.previous.as_ref();
    let status = if endpoint.disabled.is_some() { "disabled" } else { "active" };
    let changed = sql_query(
        "UPDATE webhook_endpoints SET url = $2, kind = $3, events = $4, status = $5, disabled_reason = $6,
             secret_sealed = $7, secret_key_version = $8, previous_sealed = $9, previous_key_version = $10,
             previous_until = $11, failing_since = $12, key_id = $13
         WHERE id = $1",
    )
    .bind::<SqlUuid, _>(endpoint.id.as_uuid())
    .bind::<Text, _>(&endpoint.url)
    .bind::<Text, _>(endpoint.kind.as_str())
    .bind::<Array<Text>, _>(words(&endpoint.events))
    .bind::<Text, _>(status)
    .bind::<Nullable<Text>, _>(endpoint.disabled.map(DisabledReason::as_str))
    .bind::<Binary, _>(&endpoint.secret.bytes)
    .bind::<SmallInt, _>(endpoint.secret.key_version)
    .bind::<Nullable<Binary>, _>(previous.map(|(secret, _)| secret.bytes.as_slice()))
    .bind::<Nullable<SmallInt>, _>(previous.map(|(secret, _)| secret.key_version))
    .bind::<Nullable<Timestamptz>, _>(previous.map(|(_, until)| micros(*until)))
    .bind::<Nullable<Timestamptz>, _>(endpoint.failing_since.map(micros))
    .bind::<Nullable<SqlUuid>, _>(endpoint.key_id.map(|id| id.as_uuid()))
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// Takes an endpoint away, with its deliveries.
///
/// # Errors
/// When the database can't be reached.
pub async fn delete(conn: &mut Conn, organization: OrganizationId, id: WebhookId) -> Result<bool, StoreError> {
    let deleted = sql_query("DELETE FROM webhook_endpoints WHERE id = $1 AND organization_id = $2")
        .bind::<SqlUuid, _>(id.as_uuid())
        .bind::<SqlUuid, _>(organization.as_uuid())
        .execute(conn)
        .await?;
    Ok(deleted == 1)
}

/// Active endpoints that get an event: of the whole organization, or of the key it is about.
///
/// # Errors
/// When the database can't be reached.
pub async fn subscribed(
    conn: &mut Conn,
    organization: OrganizationId,
    key: Option<KeyId>,
    kind: EventType,
) -> Result<Vec<WebhookId>, StoreError> {
    #[derive(QueryableByName)]
    struct Id {
        #[diesel(sql_type = SqlUuid)]
        id: Uuid,
    }
    let rows: Vec<Id> = sql_query(
        "SELECT id FROM webhook_endpoints
         WHERE organization_id = $1 AND status = 'active' AND (key_id IS NULL OR key_id = $2) AND $3 = ANY (events)
         ORDER BY id",
    )
    .bind::<SqlUuid, _>(organization.as_uuid())
    .bind::<Nullable<SqlUuid>, _>(key.map(|id| id.as_uuid()))
    .bind::<Text, _>(kind.as_str())
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| WebhookId::from_uuid(row.id)).collect())
}

/// Notes a success: the row of failures ends.
///
/// # Errors
/// When the database can't be reached.
pub async fn note_success(conn: &mut Conn, id: WebhookId) -> Result<(), StoreError> {
    sql_query("UPDATE webhook_endpoints SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL")
        .bind::<SqlUuid, _>(id.as_uuid())
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Subscriber {
    #[diesel(sql_type = SqlUuid)]
    organization_id: Uuid,
}

/// Organizations that have a live endpoint for a type of events.
///
/// # Errors
/// When the database can't be reached.
pub async fn subscribers(conn: &mut Conn, event: EventType) -> Result<Vec<OrganizationId>, StoreError> {
    let rows: Vec<Subscriber> = sql_query(
        "SELECT DISTINCT organization_id FROM webhook_endpoints WHERE status = 'active' AND $1 = ANY(events)
         ORDER BY organization_id",
    )
    .bind::<Text, _>(event.as_str())
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| OrganizationId::from_uuid(row.organization_id)).collect())
}
