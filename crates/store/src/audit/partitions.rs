//! Days of the trail: sealed when they have passed, reduced when allowed calls have stayed long enough, dropped at last.
//!
//! All of it is the owner's: the role of the service may neither change nor remove what the trail holds.

use chrono::{DateTime, Duration, NaiveDate, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Bytea, Date, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncConnection as _, RunQueryDsl as _, SimpleAsyncConnection as _};
use statuspulse_audit::{Digest, merkle::StreamingRoot};
use uuid::Uuid;

use crate::{Conn, error::StoreError, migrations::partition_name};

/// Key of the advisory lock of whoever keeps the days. An arbitrary constant.
const LOCK: i64 = 0x5350_4155_4441;
/// Whether a checkpoint states the seal as it is: one that was made about when the day was sealed, or later.
const STATED: &str = "EXISTS (
    SELECT FROM audit_checkpoints c WHERE c.at >= audit_partitions.sealed_at - interval '10 minutes'
        AND c.body -> 'sealed' @> jsonb_build_array(jsonb_build_object(
            'day', audit_partitions.day::text, 'rows', audit_partitions.rows, 'root', encode(audit_partitions.root, 'hex'))))";
/// Leaves that are read at once.
const PAGE: u32 = 20_000;

/// A sealed day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// The day, UTC.
    pub day: NaiveDate,
    /// Its rows.
    pub rows: u64,
    /// Merkle root over their leaves, by stream and number.
    pub root: Digest,
}

/// A day whose allowed calls, or all of whose rows, have left the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// What it was when it was sealed; none when it never was.
    pub sealed: Option<Sealed>,
    /// The day.
    pub day: NaiveDate,
    /// Rows that were kept of it.
    pub kept: u64,
    /// Whether retention says that it has taken them.
    pub by_retention: bool,
}

#[derive(QueryableByName)]
struct GoneRow {
    #[diesel(embed)]
    day: DayRow,
    #[diesel(sql_type = diesel::sql_types::Bool)]
    by_retention: bool,
}

#[derive(QueryableByName)]
struct DayRow {
    #[diesel(sql_type = Date)]
    day: NaiveDate,
    #[diesel(sql_type = Nullable<BigInt>)]
    rows: Option<i64>,
    #[diesel(sql_type = Nullable<Bytea>)]
    root: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    kept: Option<i64>,
}

impl DayRow {
    fn sealed(&self) -> Result<Option<Sealed>, StoreError> {
        let (Some(rows), Some(root)) = (self.rows, &self.root) else { return Ok(None) };
        let corrupt = || StoreError::corrupt("audit_partitions", "root", self.day);
        let root = Digest::from_slice(root).ok_or_else(corrupt)?;
        Ok(Some(Sealed { day: self.day, rows: rows.unsigned_abs(), root }))
    }
}

#[derive(QueryableByName)]
struct LeafRow {
    #[diesel(sql_type = SqlUuid)]
    stream: Uuid,
    #[diesel(sql_type = Bytea)]
    leaf: Vec<u8>,
}

/// Seals that no checkpoint states yet.
///
/// # Errors
/// When the database can't be reached, or a row can't be read.
pub async fn unstated(conn: &mut Conn) -> Result<Vec<Sealed>, StoreError> {
    let rows: Vec<DayRow> = sql_query(format!(
        "SELECT day, rows, root, kept FROM audit_partitions WHERE state = 'sealed' AND NOT {STATED} ORDER BY day"
    ))
    .load(conn)
    .await?;
    let sealed: Result<Vec<_>, _> = rows.iter().map(DayRow::sealed).collect();
    Ok(sealed?.into_iter().flatten().collect())
}

/// Takes the turn of keeping the days, until the connection ends. `false`: another instance has it.
///
/// # Errors
/// When the database can't be reached.
pub async fn take_turn(conn: &mut Conn) -> Result<bool, StoreError> {
    let taken: Found = sql_query(format!("SELECT pg_try_advisory_lock({LOCK}) AS value")).get_result(conn).await?;
    Ok(taken.value)
}

/// Seals of days that are whole in the table.
///
/// # Errors
/// When the database can't be reached, or a row can't be read.
pub async fn stated(conn: &mut Conn) -> Result<Vec<Sealed>, StoreError> {
    let query = "SELECT day, rows, root, kept FROM audit_partitions WHERE state = 'sealed' ORDER BY day";
    let rows: Vec<DayRow> = sql_query(query).load(conn).await?;
    let sealed: Result<Vec<_>, _> = rows.iter().map(DayRow::sealed).collect();
    Ok(sealed?.into_iter().flatten().collect())
}

/// Days before a day that are not sealed.
///
/// # Errors
/// When the database can't be reached.
pub async fn open_before(conn: &mut Conn, day: NaiveDate) -> Result<Vec<NaiveDate>, StoreError> {
    days(conn, "state = 'open' AND day < $1", day).await
}

/// Sealed days before a day, whose allowed calls are still there. Without a checkpoint that states the seal, nothing of a day
/// may leave: verification could not tell it from a theft.
///
/// # Errors
/// When the database can't be reached.
pub async fn sealed_before(conn: &mut Conn, day: NaiveDate) -> Result<Vec<NaiveDate>, StoreError> {
    days(conn, &format!("state = 'sealed' AND day < $1 AND {STATED}"), day).await
}

/// Days before a day that hold anything.
///
/// # Errors
/// When the database can't be reached.
pub async fn present_before(conn: &mut Conn, day: NaiveDate) -> Result<Vec<NaiveDate>, StoreError> {
    days(conn, &format!("(state = 'reduced' OR state = 'sealed' AND {STATED}) AND day < $1"), day).await
}

async fn days(conn: &mut Conn, condition: &str, day: NaiveDate) -> Result<Vec<NaiveDate>, StoreError> {
    let query = format!("SELECT day, rows, root, kept FROM audit_partitions WHERE {condition} ORDER BY day");
    let rows: Vec<DayRow> = sql_query(query).bind::<Date, _>(day).load(conn).await?;
    Ok(rows.into_iter().map(|row| row.day).collect())
}

/// Days out of which rows have left, and days whose table is gone though nothing says why.
///
/// # Errors
/// When the database can't be reached, or a row can't be read.
pub async fn gone(conn: &mut Conn) -> Result<Vec<Gone>, StoreError> {
    let rows: Vec<GoneRow> = sql_query(
        "SELECT day, rows, root, kept, state IN ('reduced', 'dropped') AS by_retention
         FROM audit_partitions WHERE state IN ('reduced', 'dropped')
             OR NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                 WHERE i.inhparent = 'audit_events'::regclass AND c.relname LIKE 'audit\\_events\\_' || to_char(day, 'YYYYMMDD') || '%')
         ORDER BY day",
    )
    .load(conn)
    .await?;
    rows.iter()
        .map(|GoneRow { day, by_retention }| {
            Ok(Gone {
                sealed: day.sealed()?,
                day: day.day,
                kept: day.kept.unwrap_or_default().unsigned_abs(),
                by_retention: *by_retention,
            })
        })
        .collect()
}

/// Rows and root of a day as they are now, in bounded memory.
///
/// # Errors
/// When the database can't be reached, or a row can't be read.
pub async fn root_of(conn: &mut Conn, day: NaiveDate) -> Result<Sealed, StoreError> {
    let (from, to) = bounds(day);
    conn.transaction(async |conn| {
        // The first answer comes when all of a day is sorted.
        sql_query("SET LOCAL statement_timeout = 0").execute(conn).await?;
        // Sorted once, on the server: a page after the other would sort the day for each.
        sql_query(format!(
            "DECLARE leaves NO SCROLL CURSOR FOR SELECT stream, leaf FROM audit_events
             WHERE occurred_at >= '{}' AND occurred_at < '{}' ORDER BY stream, sequence",
            from.to_rfc3339(),
            to.to_rfc3339()
        ))
        .execute(conn)
        .await?;
        let mut root = StreamingRoot::default();
        loop {
            let rows: Vec<LeafRow> = sql_query(format!("FETCH {PAGE} FROM leaves")).load(conn).await?;
            for row in &rows {
                let corrupt = || StoreError::corrupt("audit_events", "leaf", row.stream);
                root.push(Digest::from_slice(&row.leaf).ok_or_else(corrupt)?);
            }
            if rows.is_empty() {
                return Ok(Sealed { day, rows: root.leaves(), root: root.root() });
            }
        }
    })
    .await
}

/// The first moment of a day and that of the next.
fn bounds(day: NaiveDate) -> (DateTime<Utc>, DateTime<Utc>) {
    let from = day.and_time(chrono::NaiveTime::MIN).and_utc();
    (from, from + Duration::days(1))
}

/// Seals a day: rows and root as they are while nobody can add to them. None when it is sealed already. Needs the owner.
///
/// # Errors
/// When the database can't be reached, or a row can't be read.
pub async fn seal(conn: &mut Conn, day: NaiveDate, now: DateTime<Utc>) -> Result<Option<Sealed>, StoreError> {
    conn.transaction(async |conn| {
        // Who writes to the day holds this off until it has committed, and who comes later finds the seal.
        conn.batch_execute(&format!("LOCK TABLE {} IN SHARE MODE", partition_name(day))).await?;
        let sealed = root_of(conn, day).await?;
        let done = sql_query(
            "UPDATE audit_partitions SET state = 'sealed', rows = $2, root = $3, sealed_at = $4
             WHERE day = $1 AND state = 'open'",
        )
        .bind::<Date, _>(sealed.day)
        .bind::<BigInt, _>(sealed.rows.cast_signed())
        .bind::<Bytea, _>(sealed.root.as_slice())
        .bind::<Timestamptz, _>(now)
        .execute(conn)
        .await?;
        Ok((done == 1).then_some(sealed))
    })
    .await
}

/// Opens sealed days again, into which an event is to be written that comes late. Needs the owner.
///
/// # Errors
/// When the database can't be reached.
pub async fn reopen(conn: &mut Conn, day: NaiveDate) -> Result<bool, StoreError> {
    let done = sql_query("UPDATE audit_partitions SET state = 'open' WHERE day = $1 AND state = 'sealed'")
        .bind::<Date, _>(day)
        .execute(conn)
        .await?;
    Ok(done == 1)
}

/// Leaves of a sealed day only changes and refusals. Answers how many. Needs the owner; may be repeated after a crash.
///
/// # Errors
/// When the database can't be reached.
pub async fn reduce(conn: &mut Conn, day: NaiveDate) -> Result<u64, StoreError> {
    let (name, kept) = (partition_name(day), format!("{}_kept", partition_name(day)));
    let next = day.succ_opt().unwrap_or(day);
    conn.batch_execute(&format!(
        "DROP TABLE IF EXISTS {kept};
         CREATE TABLE {kept} (LIKE audit_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
         COMMENT ON TABLE {kept} IS 'Changes and refusals of {day} (UTC)';
         INSERT INTO {kept} SELECT * FROM {name} WHERE class < 3;"
    ))
    .await?;
    detach(conn, &name).await?;
    conn.transaction(async |conn| {
        // What somebody wrote between the copy and the end of the detaching comes along.
        conn.batch_execute(&format!(
            "INSERT INTO {kept} SELECT n.* FROM {name} n WHERE n.class < 3 AND NOT EXISTS (
                 SELECT FROM {kept} k WHERE k.stream = n.stream AND k.sequence = n.sequence);
             ALTER TABLE audit_events ATTACH PARTITION {kept}
                 FOR VALUES FROM ('{day} 00:00:00+00') TO ('{next} 00:00:00+00');
             UPDATE audit_partitions SET state = 'reduced', kept = (SELECT count(*) FROM {kept}) WHERE day = '{day}';
             DROP TABLE {name};"
        ))
        .await?;
        let kept: DayRow = sql_query("SELECT day, rows, root, kept FROM audit_partitions WHERE day = $1")
            .bind::<Date, _>(day)
            .get_result(conn)
            .await?;
        Ok::<_, StoreError>(kept.kept.unwrap_or_default().unsigned_abs())
    })
    .await
}

/// Removes what is left of a day. Needs the owner; may be repeated after a crash.
///
/// # Errors
/// When the database can't be reached.
pub async fn remove(
    conn: &mut Conn,
    day: NaiveDate,
    archive: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    for name in [partition_name(day), format!("{}_kept", partition_name(day))] {
        if exists(conn, &name).await? {
            detach(conn, &name).await?;
            conn.batch_execute(&format!("DROP TABLE {name}")).await?;
        }
    }
    sql_query(
        "UPDATE audit_partitions SET state = 'dropped', kept = 0, dropped_at = $2, archive = coalesce($3, archive)
         WHERE day = $1",
    )
    .bind::<Date, _>(day)
    .bind::<Timestamptz, _>(now)
    .bind::<Nullable<Text>, _>(archive)
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes where the archive of a day is. Needs the owner.
///
/// # Errors
/// When the database can't be reached.
pub async fn note_archive(conn: &mut Conn, day: NaiveDate, archive: &str) -> Result<(), StoreError> {
    sql_query("UPDATE audit_partitions SET archive = $2 WHERE day = $1")
        .bind::<Date, _>(day)
        .bind::<Text, _>(archive)
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    value: bool,
}

async fn exists(conn: &mut Conn, name: &str) -> Result<bool, StoreError> {
    let found: Found =
        sql_query("SELECT to_regclass($1) IS NOT NULL AS value").bind::<Text, _>(name).get_result(conn).await?;
    Ok(found.value)
}

/// Detaches concurrently, so that neither readers nor writers of other days wait. One that a crash has left half-way is ended.
async fn detach(conn: &mut Conn, name: &str) -> Result<(), StoreError> {
    let attached = |pending: &str| {
        format!(
            "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'audit_events'::regclass
                 AND inhrelid = to_regclass('{name}') {pending}) AS value"
        )
    };
    let pending: Found = sql_query(attached("AND inhdetachpending")).get_result(conn).await?;
    if pending.value {
        return Ok(conn.batch_execute(&format!("ALTER TABLE audit_events DETACH PARTITION {name} FINALIZE")).await?);
    }
    let whole: Found = sql_query(attached("")).get_result(conn).await?;
    if whole.value {
        // A statement of its own: it can't stand in a transaction, and several in one message are one.
        sql_query(format!("ALTER TABLE audit_events DETACH PARTITION {name} CONCURRENTLY")).execute(conn).await?;
    }
    Ok(())
}
