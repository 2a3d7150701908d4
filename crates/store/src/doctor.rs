//! What an operator wants to know of a database.

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, BigInt, Bool, Date, Integer, Nullable, Text, Timestamptz},
};
use diesel_async::RunQueryDsl as _;

use crate::{Conn, error::StoreError};

/// The server, and whom it takes us for.
#[derive(Debug, Clone, QueryableByName)]
pub struct Server {
    /// Its version as it tells it.
    #[diesel(sql_type = Text)]
    pub version: String,
    /// The same as a number, such as 160003.
    #[diesel(sql_type = Integer)]
    pub number: i32,
    /// Its clock.
    #[diesel(sql_type = Timestamptz)]
    pub now: DateTime<Utc>,
    /// The role that connections have taken on.
    #[diesel(sql_type = Text)]
    pub role: String,
}

/// Asks the server.
///
/// # Errors
/// When the database can't be reached.
pub async fn server(conn: &mut Conn) -> Result<Server, StoreError> {
    Ok(sql_query(
        "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number,
                clock_timestamp() AS now, current_user::text AS role",
    )
    .get_result(conn)
    .await?)
}

#[derive(QueryableByName)]
struct Word {
    #[diesel(sql_type = Text)]
    value: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

#[derive(QueryableByName)]
struct Flag {
    #[diesel(sql_type = Bool)]
    value: bool,
}

/// Steps of the schema that were applied, oldest first.
///
/// # Errors
/// When the database can't be reached.
pub async fn applied_steps(conn: &mut Conn) -> Result<Vec<String>, StoreError> {
    let rows: Vec<Word> =
        sql_query("SELECT version::text AS value FROM __diesel_schema_migrations ORDER BY version").load(conn).await?;
    Ok(rows.into_iter().map(|row| row.value).collect())
}

/// Whether the service's role is there.
///
/// # Errors
/// When the database can't be reached.
pub async fn has_role(conn: &mut Conn) -> Result<bool, StoreError> {
    let query = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'statuspulse_app') AS value";
    Ok(sql_query(query).get_result::<Flag>(conn).await?.value)
}

/// Rights by which the service's role could change what the trail holds, as `table: right`. There should be none.
///
/// # Errors
/// When the database can't be reached.
pub async fn excessive_rights(conn: &mut Conn) -> Result<Vec<String>, StoreError> {
    let rows: Vec<Word> = sql_query(
        "SELECT t.relname || ': ' || p AS value
         FROM pg_roles r, unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) p, pg_class t
         WHERE r.rolname = 'statuspulse_app' AND has_table_privilege(r.oid, t.oid, p)
           AND (t.oid = ANY (ARRAY['audit_events', 'audit_checkpoints', 'audit_quarantine', 'audit_partitions']::regclass[])
                OR t.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'audit_events'::regclass))
         ORDER BY 1",
    )
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.value).collect())
}

#[derive(QueryableByName)]
struct Day {
    #[diesel(sql_type = Date)]
    value: NaiveDate,
}

/// Days of these that the trail has no partition for.
///
/// # Errors
/// When the database can't be reached.
pub async fn days_without_partition(conn: &mut Conn, days: &[NaiveDate]) -> Result<Vec<NaiveDate>, StoreError> {
    let rows: Vec<Day> = sql_query(
        "SELECT day AS value FROM unnest($1) day WHERE NOT EXISTS (
             SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = 'audit_events'::regclass AND c.relname = 'audit_events_' || to_char(day, 'YYYYMMDD'))
         ORDER BY day",
    )
    .bind::<Array<Date>, _>(days)
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.value).collect())
}

/// Events that the trail's table has refused.
///
/// # Errors
/// When the database can't be reached.
pub async fn quarantined(conn: &mut Conn) -> Result<i64, StoreError> {
    Ok(sql_query("SELECT count(*) AS value FROM audit_quarantine").get_result::<Number>(conn).await?.value)
}

/// What waits in the outbox.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub struct Outbox {
    /// Events.
    #[diesel(sql_type = BigInt)]
    pub waiting: i64,
    /// When the oldest of them was written.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub since: Option<DateTime<Utc>>,
}

/// Looks into the outbox.
///
/// # Errors
/// When the database can't be reached.
pub async fn outbox(conn: &mut Conn) -> Result<Outbox, StoreError> {
    Ok(sql_query("SELECT count(*) AS waiting, min(created_at) AS since FROM audit_outbox").get_result(conn).await?)
}

/// Alerts of these rules that are not resolved.
///
/// # Errors
/// When the database can't be reached.
pub async fn open_alerts(conn: &mut Conn, rules: &[&str]) -> Result<i64, StoreError> {
    let query = "SELECT count(*) AS value FROM alerts WHERE status <> 'resolved' AND rule = ANY ($1)";
    Ok(sql_query(query).bind::<Array<Text>, _>(rules).get_result::<Number>(conn).await?.value)
}
