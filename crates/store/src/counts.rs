//! Counts of busy keys by the second, common to all instances (audit §7).

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, BigInt, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use uuid::Uuid;

use crate::{Conn, error::StoreError, rows::micros};

/// Seconds for which counts are kept.
const KEPT: i64 = 300;
/// Seconds of the window in which they are summed.
const WINDOW: i64 = 61;

/// What one instance has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The key, or grant.
    pub subject: Uuid,
    /// Seconds since 1970.
    pub second: i64,
    /// Calls in that second.
    pub calls: i64,
}

/// Writes what an instance has counted, over what it wrote before of the same seconds.
///
/// # Errors
/// When the database can't be reached.
pub async fn publish(conn: &mut Conn, instance: Uuid, counts: &[Count]) -> Result<(), StoreError> {
    if counts.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO usage_seconds (key_id, second, instance, calls)
         SELECT key, second, $4, calls FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS fresh(key, second, calls)
         ON CONFLICT (key_id, second, instance) DO UPDATE SET calls = excluded.calls",
    )
    .bind::<Array<SqlUuid>, _>(counts.iter().map(|count| count.subject).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(counts.iter().map(|count| count.second).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(counts.iter().map(|count| count.calls).collect::<Vec<_>>())
    .bind::<SqlUuid, _>(instance)
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Subject {
    #[diesel(sql_type = SqlUuid)]
    key_id: Uuid,
}

/// Keys that other instances have written about within the last minute.
///
/// # Errors
/// When the database can't be reached.
pub async fn lately(conn: &mut Conn, instance: Uuid, second: i64) -> Result<Vec<Uuid>, StoreError> {
    let rows: Vec<Subject> =
        sql_query("SELECT DISTINCT key_id FROM usage_seconds WHERE second > $1 AND second <= $2 AND instance <> $3")
            .bind::<BigInt, _>(second - WINDOW)
            .bind::<BigInt, _>(second + WINDOW)
            .bind::<SqlUuid, _>(instance)
            .load(conn)
            .await?;
    Ok(rows.into_iter().map(|row| row.key_id).collect())
}

#[derive(QueryableByName)]
struct Sum {
    #[diesel(sql_type = SqlUuid)]
    key_id: Uuid,
    #[diesel(sql_type = BigInt)]
    calls: i64,
}

/// What the other instances have counted in the window that ends with a second; what they tell of later ones counts there.
///
/// # Errors
/// When the database can't be reached.
pub async fn others(
    conn: &mut Conn,
    instance: Uuid,
    second: i64,
    subjects: &[Uuid],
) -> Result<Vec<(Uuid, u64)>, StoreError> {
    if subjects.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<Sum> = sql_query(
        "SELECT key_id, sum(calls)::bigint AS calls FROM usage_seconds
         WHERE key_id = ANY($1) AND instance <> $2 AND second > $3 AND second <= $4 GROUP BY key_id",
    )
    .bind::<Array<SqlUuid>, _>(subjects.to_vec())
    .bind::<SqlUuid, _>(instance)
    .bind::<BigInt, _>(second - WINDOW)
    .bind::<BigInt, _>(second)
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key_id, u64::try_from(row.calls).unwrap_or_default())).collect())
}

/// Forgets what has left every window.
///
/// # Errors
/// When the database can't be reached.
pub async fn forget(conn: &mut Conn, second: i64) -> Result<(), StoreError> {
    sql_query("DELETE FROM usage_seconds WHERE second < $1").bind::<BigInt, _>(second - KEPT).execute(conn).await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Instances that have been heard of since a moment.
///
/// # Errors
/// When the database can't be reached.
pub async fn live(conn: &mut Conn, since: DateTime<Utc>) -> Result<u64, StoreError> {
    let row: Number = sql_query("SELECT count(*) AS number FROM instances WHERE applied_at >= $1")
        .bind::<Timestamptz, _>(micros(since))
        .get_result(conn)
        .await?;
    Ok(u64::try_from(row.number).unwrap_or_default())
}
