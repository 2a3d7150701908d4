//! Requests that made a token: a repeat must not make another one.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods as _, OptionalExtension as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;
use statuspulse_policy::{KeyId, OrganizationId};
use uuid::Uuid;

use crate::{Conn, error::StoreError, rows::micros, schema::idempotency_keys};

/// Identifies a request: who asked, where, under which name.
#[derive(Debug, Clone, Copy)]
pub struct RequestName<'a> {
    /// Where.
    pub organization: OrganizationId,
    /// Who.
    pub caller: &'a str,
    /// The header's value.
    pub key: &'a str,
}

/// What a request made.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// SHA-256 of what was asked.
    pub request_digest: Vec<u8>,
    /// The key.
    pub key: KeyId,
    /// The version.
    pub version: i32,
}

/// What a request made earlier, if it is one that was seen after a moment.
///
/// # Errors
/// When the database can't be reached.
pub async fn find(
    conn: &mut Conn,
    name: RequestName<'_>,
    after: DateTime<Utc>,
) -> Result<Option<Delivered>, StoreError> {
    let row: Option<(Vec<u8>, Uuid, i32)> = idempotency_keys::table
        .find((name.organization.as_uuid(), name.caller, name.key))
        .filter(idempotency_keys::created_at.gt(after))
        .select((idempotency_keys::request_digest, idempotency_keys::key_id, idempotency_keys::version))
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(|(request_digest, key, version)| Delivered { request_digest, key: KeyId::from_uuid(key), version }))
}

/// Remembers what a request made; `false` when the same request got there first. One from before `forget_before` gives
/// way.
///
/// # Errors
/// When the database can't be reached.
pub async fn insert(
    conn: &mut Conn,
    name: RequestName<'_>,
    delivered: &Delivered,
    now: DateTime<Utc>,
    forget_before: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let made = (
        idempotency_keys::request_digest.eq(&delivered.request_digest),
        idempotency_keys::key_id.eq(delivered.key.as_uuid()),
        idempotency_keys::version.eq(delivered.version),
        idempotency_keys::created_at.eq(micros(now)),
    );
    let upsert = diesel::insert_into(idempotency_keys::table)
        .values((
            idempotency_keys::organization_id.eq(name.organization.as_uuid()),
            idempotency_keys::caller.eq(name.caller),
            idempotency_keys::idempotency_key.eq(name.key),
            made,
        ))
        .on_conflict((idempotency_keys::organization_id, idempotency_keys::caller, idempotency_keys::idempotency_key))
        .do_update()
        .set(made);
    // Two traits of Diesel have a `filter`; this is the one of an upsert.
    let upsert = diesel::query_dsl::methods::FilterDsl::filter(upsert, idempotency_keys::created_at.le(forget_before));
    Ok(upsert.execute(conn).await? == 1)
}

/// Forgets requests from before a moment.
///
/// # Errors
/// When the database can't be reached.
pub async fn remove_old(conn: &mut Conn, before: DateTime<Utc>) -> Result<usize, StoreError> {
    Ok(diesel::delete(idempotency_keys::table.filter(idempotency_keys::created_at.le(before))).execute(conn).await?)
}
