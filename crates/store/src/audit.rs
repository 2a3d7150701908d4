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

use diesel::{
    sql_query,
    sql_types::{Array, Jsonb},
};
use diesel_async::RunQueryDsl as _;
use serde_json::Value;
use statuspulse_audit::Entry;

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

/// Whether events wait in the outbox.
///
/// # Errors
/// When the database can't be reached.
pub async fn waits(conn: &mut Conn) -> Result<bool, StoreError> {
    let found: Found = sql_query("SELECT EXISTS (SELECT FROM audit_outbox) AS value").get_result(conn).await?;
    Ok(found.value)
}
