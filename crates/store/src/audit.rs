//! The audit trail's tables.
//!
//! A change writes its events into the outbox, in its own transaction; a tailer ([`writer`]) gives them, and what the spool
//! holds, their places in the trail.

pub mod checkpoints;
mod copy;
pub mod erase;
pub mod partitions;
pub mod trail;
pub mod uses;
pub mod writer;

use std::collections::HashMap;

use diesel::{
    sql_query,
    sql_types::{Array, BigInt, Jsonb, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use serde_json::Value;
use statuspulse_audit::Entry;
use uuid::Uuid;

use crate::{Conn, error::StoreError};

/// Writes a change's events, in the change's own transaction.
///
/// # Errors
/// When they can't be written: then the change must fail too.
pub async fn put(conn: &mut Conn, events: &[Entry]) -> Result<(), StoreError> {
    let unwritable = |error: serde_json::Error| StoreError::Unavailable(format!("an event can't be written: {error}"));
    let events: Vec<Value> = events.iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(unwritable)?;
    if events.is_empty() {
        return Ok(());
    }
    let put = sql_query("INSERT INTO audit_outbox (event) SELECT * FROM unnest($1)")
        .bind::<Array<Jsonb>, _>(events)
        .execute(conn)
        .await;
    // Whatever stands in the way of the trail, the change is not at fault: trying again may help (audit §2).
    put.map(drop).map_err(|error| StoreError::Unavailable(format!("an audit event can't be written: {error}")))
}

#[derive(diesel::QueryableByName)]
struct Found {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    value: bool,
}

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

#[derive(diesel::QueryableByName)]
struct Offset {
    #[diesel(sql_type = Text)]
    file: String,
    #[diesel(sql_type = BigInt)]
    offset: i64,
}

/// The highest number that the outbox holds; 0 when it is empty.
///
/// # Errors
/// When the database can't be reached.
pub async fn newest_waiting(conn: &mut Conn) -> Result<i64, StoreError> {
    let found: Number = sql_query("SELECT coalesce(max(id), 0) AS value FROM audit_outbox").get_result(conn).await?;
    Ok(found.value)
}

/// Whether events of the outbox wait that were there when it had this number at most.
///
/// # Errors
/// When the database can't be reached.
pub async fn waits_up_to(conn: &mut Conn, id: i64) -> Result<bool, StoreError> {
    let found: Found = sql_query("SELECT EXISTS (SELECT FROM audit_outbox WHERE id <= $1) AS value")
        .bind::<BigInt, _>(id)
        .get_result(conn)
        .await?;
    Ok(found.value)
}

/// How far each file of a spool is in the table.
///
/// # Errors
/// When the database can't be reached.
pub async fn offsets(conn: &mut Conn, spool: Uuid) -> Result<HashMap<String, u64>, StoreError> {
    let rows: Vec<Offset> = sql_query("SELECT file, \"offset\" FROM audit_spool WHERE instance = $1")
        .bind::<SqlUuid, _>(spool)
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(|row| (row.file, row.offset.unsigned_abs())).collect())
}
