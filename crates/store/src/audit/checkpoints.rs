//! Checkpoints, the heads that they vouch for, and the keys that sign them.

use chrono::{DateTime, Duration, Utc};
use diesel::{
    OptionalExtension as _, QueryableByName, sql_query,
    sql_types::{BigInt, Bool, Bytea, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use serde_json::Value;
use statuspulse_audit::Digest;
use uuid::Uuid;

use crate::{Conn, error::StoreError};

/// Key of the advisory lock of whoever writes the next checkpoint. An arbitrary constant.
const LOCK: i64 = 0x5350_4155_4350;
/// How far behind its checkpoint's time an event may have happened: clocks of instances differ.
const CLOCKS: Duration = Duration::minutes(10);

/// A checkpoint as it is stored.
#[derive(Debug, Clone, PartialEq, QueryableByName)]
pub struct Stored {
    /// 1, 2, 3 …
    #[diesel(sql_type = BigInt)]
    pub number: i64,
    /// When it was made.
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    /// What it states.
    #[diesel(sql_type = Jsonb)]
    pub body: Value,
    /// The key that signed it.
    #[diesel(sql_type = Text)]
    pub key_id: String,
    /// 64 bytes.
    #[diesel(sql_type = Bytea)]
    pub signature: Vec<u8>,
    /// 64 bytes, by the key that takes over.
    #[diesel(sql_type = Nullable<Bytea>)]
    pub rotation_signature: Option<Vec<u8>>,
    /// Earliest time of an event that it newly covers.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub since: Option<DateTime<Utc>>,
}

/// The head of a stream and how far checkpoints vouch for it.
#[derive(Debug, Clone)]
pub struct StreamHead {
    /// The stream.
    pub stream: Uuid,
    /// Its last number.
    pub sequence: i64,
    /// Link of that.
    pub hash: Digest,
    /// Last number that a checkpoint vouches for.
    pub covered: i64,
    /// Earliest time of an event behind that.
    pub uncovered_since: Option<DateTime<Utc>>,
    /// When its last event was written.
    pub updated_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct HeadRow {
    #[diesel(sql_type = SqlUuid)]
    stream: Uuid,
    #[diesel(sql_type = BigInt)]
    sequence: i64,
    #[diesel(sql_type = Bytea)]
    hash: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    covered: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    uncovered_since: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    updated_at: DateTime<Utc>,
}

impl TryFrom<HeadRow> for StreamHead {
    type Error = StoreError;

    fn try_from(row: HeadRow) -> Result<Self, StoreError> {
        let hash = Digest::from_slice(&row.hash);
        Ok(Self {
            stream: row.stream,
            sequence: row.sequence,
            hash: hash.ok_or_else(|| StoreError::corrupt("audit_streams", "hash", row.stream))?,
            covered: row.covered,
            uncovered_since: row.uncovered_since,
            updated_at: row.updated_at,
        })
    }
}

#[derive(QueryableByName)]
struct Flag {
    #[diesel(sql_type = Bool)]
    value: bool,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

#[derive(QueryableByName)]
struct Moment {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    value: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct LeafRow {
    #[diesel(sql_type = Bytea)]
    leaf: Vec<u8>,
}

/// Takes the turn of writing the next checkpoint, until the end of the transaction. `false`: another instance has it.
///
/// # Errors
/// When the database can't be reached.
pub async fn take_turn(conn: &mut Conn) -> Result<bool, StoreError> {
    let taken: Flag = sql_query(format!("SELECT pg_try_advisory_xact_lock({LOCK}) AS value")).get_result(conn).await?;
    Ok(taken.value)
}

/// The same, waiting for it.
///
/// # Errors
/// When the database can't be reached.
pub async fn await_turn(conn: &mut Conn) -> Result<(), StoreError> {
    sql_query(format!("SELECT pg_advisory_xact_lock({LOCK})")).execute(conn).await?;
    Ok(())
}

/// The newest checkpoint.
///
/// # Errors
/// When the database can't be reached.
pub async fn newest(conn: &mut Conn) -> Result<Option<Stored>, StoreError> {
    Ok(sql_query("SELECT * FROM audit_checkpoints ORDER BY number DESC LIMIT 1").get_result(conn).await.optional()?)
}

/// Checkpoints behind a number, oldest first.
///
/// # Errors
/// When the database can't be reached.
pub async fn behind(conn: &mut Conn, number: i64, limit: i64) -> Result<Vec<Stored>, StoreError> {
    Ok(sql_query("SELECT * FROM audit_checkpoints WHERE number > $1 ORDER BY number LIMIT $2")
        .bind::<BigInt, _>(number)
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await?)
}

/// Checkpoints before a number, newest first; all of them when there is none.
///
/// # Errors
/// When the database can't be reached.
pub async fn before(conn: &mut Conn, number: Option<i64>, limit: i64) -> Result<Vec<Stored>, StoreError> {
    Ok(sql_query("SELECT * FROM audit_checkpoints WHERE number < $1 ORDER BY number DESC LIMIT $2")
        .bind::<BigInt, _>(number.unwrap_or(i64::MAX))
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await?)
}

/// The checkpoint that first vouches for a record.
///
/// # Errors
/// When the database can't be reached.
pub async fn covering(
    conn: &mut Conn,
    stream: Uuid,
    sequence: i64,
    occurred_at: DateTime<Utc>,
) -> Result<Option<Stored>, StoreError> {
    Ok(sql_query(
        "SELECT * FROM audit_checkpoints WHERE at >= $1 AND EXISTS (
             SELECT FROM jsonb_array_elements(body -> 'streams') head
             WHERE head ->> 'stream' = $2 AND (head ->> 'sequence')::bigint >= $3)
         ORDER BY number LIMIT 1",
    )
    .bind::<Timestamptz, _>(occurred_at - CLOCKS)
    .bind::<Text, _>(stream.to_string())
    .bind::<BigInt, _>(sequence)
    .get_result(conn)
    .await
    .optional()?)
}

/// How far checkpoints before a number vouch for a stream; 0 when none does.
///
/// # Errors
/// When the database can't be reached.
pub async fn vouched_before(conn: &mut Conn, number: i64, stream: Uuid) -> Result<i64, StoreError> {
    let found: Option<Number> = sql_query(
        "SELECT (head ->> 'sequence')::bigint AS value FROM audit_checkpoints,
             LATERAL jsonb_array_elements(body -> 'streams') head
         WHERE number < $1 AND head ->> 'stream' = $2 ORDER BY number DESC LIMIT 1",
    )
    .bind::<BigInt, _>(number)
    .bind::<Text, _>(stream.to_string())
    .get_result(conn)
    .await
    .optional()?;
    Ok(found.map_or(0, |found| found.value))
}

/// Heads of streams that have moved since a moment, or that no checkpoint vouches for yet; by id.
///
/// # Errors
/// When the database can't be reached.
pub async fn heads(conn: &mut Conn, since: DateTime<Utc>) -> Result<Vec<StreamHead>, StoreError> {
    let rows: Vec<HeadRow> = sql_query(
        "SELECT stream, sequence, hash, covered, uncovered_since, updated_at FROM audit_streams
         WHERE updated_at >= $1 OR covered < sequence ORDER BY stream",
    )
    .bind::<Timestamptz, _>(since)
    .load(conn)
    .await?;
    rows.into_iter().map(StreamHead::try_from).collect()
}

/// How far a stream has come; none of one that nobody writes.
///
/// # Errors
/// When the database can't be reached.
pub async fn sequence_of(conn: &mut Conn, stream: Uuid) -> Result<Option<i64>, StoreError> {
    let found: Option<Number> = sql_query("SELECT sequence AS value FROM audit_streams WHERE stream = $1")
        .bind::<SqlUuid, _>(stream)
        .get_result(conn)
        .await
        .optional()?;
    Ok(found.map(|found| found.value))
}

/// Earliest time of what the checkpoints behind a number newly cover.
///
/// # Errors
/// When the database can't be reached.
pub async fn earliest_behind(conn: &mut Conn, number: i64) -> Result<Option<DateTime<Utc>>, StoreError> {
    let found: Moment = sql_query("SELECT min(since) AS value FROM audit_checkpoints WHERE number > $1")
        .bind::<BigInt, _>(number)
        .get_result(conn)
        .await?;
    Ok(found.value)
}

/// Events that no checkpoint vouches for yet.
///
/// # Errors
/// When the database can't be reached.
pub async fn uncovered(conn: &mut Conn) -> Result<i64, StoreError> {
    let sum =
        "SELECT coalesce(sum(sequence - covered), 0)::bigint AS value FROM audit_streams WHERE covered < sequence";
    let found: Number = sql_query(sum).get_result(conn).await?;
    Ok(found.value)
}

/// Leaves of a stretch of a stream, in order. They lie between two times, so that not every day has to be looked through.
///
/// # Errors
/// When the database can't be reached, or a row can't be read.
pub async fn leaves(
    conn: &mut Conn,
    stream: Uuid,
    (after, to): (i64, i64),
    (since, until): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
) -> Result<Vec<Digest>, StoreError> {
    let rows: Vec<LeafRow> = sql_query(
        "SELECT leaf FROM audit_events WHERE stream = $1 AND sequence > $2 AND sequence <= $3
             AND occurred_at >= coalesce($4, '-infinity') AND occurred_at < coalesce($5, 'infinity') ORDER BY sequence",
    )
    .bind::<SqlUuid, _>(stream)
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(to)
    .bind::<Nullable<Timestamptz>, _>(since)
    .bind::<Nullable<Timestamptz>, _>(until)
    .load(conn)
    .await?;
    let corrupt = || StoreError::corrupt("audit_events", "leaf", stream);
    rows.into_iter().map(|row| Digest::from_slice(&row.leaf).ok_or_else(corrupt)).collect()
}

/// Writes a checkpoint, and that it vouches for the heads that it names.
///
/// # Errors
/// When the database can't be reached, or the number is taken.
pub async fn insert(conn: &mut Conn, checkpoint: &Stored, heads: &[StreamHead]) -> Result<(), StoreError> {
    sql_query(
        "INSERT INTO audit_checkpoints (number, at, body, key_id, signature, rotation_signature, since)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind::<BigInt, _>(checkpoint.number)
    .bind::<Timestamptz, _>(checkpoint.at)
    .bind::<Jsonb, _>(&checkpoint.body)
    .bind::<Text, _>(&checkpoint.key_id)
    .bind::<Bytea, _>(&checkpoint.signature)
    .bind::<Nullable<Bytea>, _>(checkpoint.rotation_signature.as_deref())
    .bind::<Nullable<Timestamptz>, _>(checkpoint.since)
    .execute(conn)
    .await?;
    for head in heads.iter().filter(|head| head.covered < head.sequence) {
        // What has come meanwhile keeps the earlier time, which only makes the next look a little wider.
        sql_query(
            "UPDATE audit_streams SET covered = $2,
                 uncovered_since = CASE WHEN sequence = $2 THEN NULL ELSE uncovered_since END
             WHERE stream = $1 AND covered < $2",
        )
        .bind::<SqlUuid, _>(head.stream)
        .bind::<BigInt, _>(head.sequence)
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// A key that signs checkpoints, its secret half sealed.
#[derive(Debug, Clone, QueryableByName)]
pub struct SigningKeyRow {
    /// Name of the key.
    #[diesel(sql_type = Text)]
    pub key_id: String,
    /// 32 bytes.
    #[diesel(sql_type = Bytea)]
    pub public_key: Vec<u8>,
    /// Sealed under the master key.
    #[diesel(sql_type = Bytea)]
    pub sealed: Vec<u8>,
    /// Version of that.
    #[diesel(sql_type = SmallInt)]
    pub master_version: i16,
    /// When it was made.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// When the next one took over.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub replaced_at: Option<DateTime<Utc>>,
}

/// All keys, oldest first; the last one signs.
///
/// # Errors
/// When the database can't be reached.
pub async fn keys(conn: &mut Conn) -> Result<Vec<SigningKeyRow>, StoreError> {
    Ok(sql_query("SELECT * FROM audit_signing_keys ORDER BY created_at, key_id").load(conn).await?)
}

/// Adds a key. The one that signed until now, if there is one, is replaced by it. `false` when there is one that `replaces`
/// does not name: another instance was faster.
///
/// # Errors
/// When the database can't be reached.
pub async fn add_key(conn: &mut Conn, key: &SigningKeyRow, replaces: Option<&str>) -> Result<bool, StoreError> {
    if let Some(before) = replaces {
        let replaced =
            sql_query("UPDATE audit_signing_keys SET replaced_at = $2 WHERE key_id = $1 AND replaced_at IS NULL")
                .bind::<Text, _>(before)
                .bind::<Timestamptz, _>(key.created_at)
                .execute(conn)
                .await?;
        if replaced != 1 {
            return Ok(false);
        }
    }
    let added = sql_query(
        "INSERT INTO audit_signing_keys (key_id, public_key, sealed, master_version, created_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind::<Text, _>(&key.key_id)
    .bind::<Bytea, _>(&key.public_key)
    .bind::<Bytea, _>(&key.sealed)
    .bind::<SmallInt, _>(key.master_version)
    .bind::<Timestamptz, _>(key.created_at)
    .execute(conn)
    .await?;
    Ok(added == 1)
}
