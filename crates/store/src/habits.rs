//! What is usual for a key: from where it is used, how much, how often it is refused. What departs from that opens alerts.

use chrono::{DateTime, Duration, Utc};
use diesel::{
    OptionalExtension as _, QueryableByName, sql_query,
    sql_types::{Array, BigInt, Bool, Double, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use statuspulse_audit::{AlertRule, anomaly::travel::Place};
use statuspulse_policy::{AppId, KeyId, OrganizationId};
use uuid::Uuid;

use crate::{Conn, error::StoreError, rows::micros};

/// Refusals that are counted, at most.
const COUNTED: i64 = 10_000;
/// How long hours are kept.
const KEPT: Duration = Duration::days(8);

/// The threshold of a rule for a key: that of its own setting, else of its organization's; the rule's where that one has none.
///
/// # Errors
/// When the database can't be reached.
pub async fn threshold(
    conn: &mut Conn,
    rule: AlertRule,
    organization: OrganizationId,
    key: Option<KeyId>,
) -> Result<u64, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<BigInt>)]
        threshold: Option<i64>,
    }
    let row: Option<Row> = sql_query(
        "SELECT threshold FROM alert_settings
         WHERE organization_id = $1 AND rule = $2 AND (key_id = $3 OR key_id IS NULL) ORDER BY key_id NULLS LAST LIMIT 1",
    )
    .bind::<SqlUuid, _>(organization.as_uuid())
    .bind::<Text, _>(rule.as_str())
    .bind::<Nullable<SqlUuid>, _>(key.map(KeyId::as_uuid))
    .get_result(conn)
    .await
    .optional()?;
    Ok(row.and_then(|row| row.threshold).map_or(rule.rule().threshold, i64::unsigned_abs))
}

/// Whether a rule's alert about a subject is not resolved.
///
/// # Errors
/// When the database can't be reached.
pub async fn is_open(conn: &mut Conn, rule: AlertRule, subject: &str) -> Result<bool, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        open: bool,
    }
    let row: Row = sql_query(
        "SELECT EXISTS (SELECT FROM alerts WHERE rule = $1 AND subject = $2 AND status <> 'resolved') AS open",
    )
    .bind::<Text, _>(rule.as_str())
    .bind::<Text, _>(subject)
    .get_result(conn)
    .await?;
    Ok(row.open)
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// How often a key was refused for its address since a moment, as the trail tells it; ten thousand at most.
///
/// # Errors
/// When the database can't be reached.
pub async fn denied_addresses(conn: &mut Conn, key: KeyId, since: DateTime<Utc>) -> Result<i64, StoreError> {
    let row: Number = sql_query(
        "SELECT count(*) AS number FROM (
             SELECT FROM audit_events WHERE actor_id = $1 AND occurred_at > $2
                 AND action = 'api.call' AND reason = 'ip_not_allowed' LIMIT $3) AS denied",
    )
    .bind::<Text, _>(key.to_string())
    .bind::<Timestamptz, _>(micros(since))
    .bind::<BigInt, _>(COUNTED)
    .get_result(conn)
    .await?;
    Ok(row.number)
}

/// An accepted call from a country.
#[derive(Debug, Clone)]
pub struct Visit {
    /// The key.
    pub key: KeyId,
    /// Two letters.
    pub country: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Where, as far as the geo database knows.
    pub place: Option<Place>,
}

/// What was known of a key's places before a visit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known {
    /// Since when its places are noted; none at the first visit.
    pub since: Option<DateTime<Utc>>,
    /// Its last visit to the same country; none at the first one.
    pub same_country_at: Option<DateTime<Utc>>,
    /// Where it was last, and when.
    pub last: Option<(Place, DateTime<Utc>)>,
}

/// Notes a visit, and answers what was known before. Of two first visits at once the database takes one for the first.
///
/// # Errors
/// When the database can't be reached, or the key is not there.
pub async fn visit(conn: &mut Conn, visit: &Visit) -> Result<Known, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<Timestamptz>)]
        since: Option<DateTime<Utc>>,
        #[diesel(sql_type = Nullable<Timestamptz>)]
        same_country_at: Option<DateTime<Utc>>,
        #[diesel(sql_type = Nullable<Timestamptz>)]
        last_at: Option<DateTime<Utc>>,
        #[diesel(sql_type = Nullable<Double>)]
        latitude: Option<f64>,
        #[diesel(sql_type = Nullable<Double>)]
        longitude: Option<f64>,
        #[diesel(sql_type = Bool)]
        inserted: bool,
    }
    let row: Row = sql_query(
        "WITH same AS (SELECT last_seen_at FROM key_places WHERE key_id = $1 AND country = $2 FOR UPDATE),
              last AS (SELECT last_seen_at, latitude, longitude FROM key_places
                       WHERE key_id = $1 ORDER BY last_seen_at DESC LIMIT 1),
              noted AS (
                  INSERT INTO key_places (key_id, country, first_seen_at, last_seen_at, latitude, longitude)
                  VALUES ($1, $2, $3, $3, $4, $5)
                  ON CONFLICT (key_id, country) DO UPDATE SET
                      last_seen_at = GREATEST(key_places.last_seen_at, excluded.last_seen_at),
                      latitude = excluded.latitude, longitude = excluded.longitude
                  RETURNING xmax = 0 AS inserted)
         SELECT (SELECT min(first_seen_at) FROM key_places WHERE key_id = $1) AS since,
                (SELECT last_seen_at FROM same) AS same_country_at,
                (SELECT last_seen_at FROM last) AS last_at,
                (SELECT latitude FROM last) AS latitude, (SELECT longitude FROM last) AS longitude,
                (SELECT inserted FROM noted) AS inserted",
    )
    .bind::<SqlUuid, _>(visit.key.as_uuid())
    .bind::<Text, _>(&visit.country)
    .bind::<Timestamptz, _>(micros(visit.at))
    .bind::<Nullable<Double>, _>(visit.place.map(|place| place.latitude))
    .bind::<Nullable<Double>, _>(visit.place.map(|place| place.longitude))
    .get_result(conn)
    .await?;
    let place = row.latitude.zip(row.longitude).and_then(|(north, east)| Place::new(north, east));
    Ok(Known {
        since: row.since,
        // Another instance was faster: it has seen it as the first.
        same_country_at: row.same_country_at.or((!row.inserted).then_some(visit.at)),
        last: place.zip(row.last_at),
    })
}

/// What a key did in an hour, to be added to what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Hour {
    /// The key.
    pub key: KeyId,
    /// Begin of the hour.
    pub hour: DateTime<Utc>,
    /// Calls that named it.
    pub calls: i64,
    /// Those that were refused.
    pub refused: i64,
    /// The most within one minute.
    pub busiest_minute: i64,
}

/// Adds up what keys did.
///
/// # Errors
/// When the database can't be reached.
pub async fn add_hours(conn: &mut Conn, hours: &[Hour]) -> Result<(), StoreError> {
    if hours.is_empty() {
        return Ok(());
    }
    sql_query(
        "INSERT INTO usage_hours (key_id, hour, calls, refused, busiest_minute)
         SELECT fresh.* FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::bigint[])
             AS fresh(key, hour, calls, refused, busiest) WHERE EXISTS (SELECT FROM keys WHERE id = fresh.key)
         ORDER BY fresh.key, fresh.hour
         ON CONFLICT (key_id, hour) DO UPDATE SET
             calls = usage_hours.calls + excluded.calls, refused = usage_hours.refused + excluded.refused,
             busiest_minute = GREATEST(usage_hours.busiest_minute, excluded.busiest_minute)",
    )
    .bind::<Array<SqlUuid>, _>(hours.iter().map(|hour| hour.key.as_uuid()).collect::<Vec<Uuid>>())
    .bind::<Array<Timestamptz>, _>(hours.iter().map(|hour| hour.hour).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(hours.iter().map(|hour| hour.calls).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(hours.iter().map(|hour| hour.refused).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(hours.iter().map(|hour| hour.busiest_minute).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// How many calls the busiest minutes of a key's hours have had on the average, since a moment and before another one, and
/// how many hours that were.
///
/// # Errors
/// When the database can't be reached.
pub async fn usual_minute(
    conn: &mut Conn,
    key: KeyId,
    (since, before): (DateTime<Utc>, DateTime<Utc>),
) -> Result<(f64, i64), StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Double)]
        mean: f64,
        #[diesel(sql_type = BigInt)]
        hours: i64,
    }
    let row: Row = sql_query(
        "SELECT coalesce(avg(busiest_minute), 0)::float8 AS mean, count(*) AS hours FROM usage_hours
         WHERE key_id = $1 AND hour >= $2 AND hour < $3",
    )
    .bind::<SqlUuid, _>(key.as_uuid())
    .bind::<Timestamptz, _>(micros(since))
    .bind::<Timestamptz, _>(micros(before))
    .get_result(conn)
    .await?;
    Ok((row.mean, row.hours))
}

/// What a key did in each hour from a moment on in which it did something, oldest first.
///
/// # Errors
/// When the database can't be reached.
pub async fn hours_of(conn: &mut Conn, key: KeyId, since: DateTime<Utc>) -> Result<Vec<Hour>, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Timestamptz)]
        hour: DateTime<Utc>,
        #[diesel(sql_type = BigInt)]
        calls: i64,
        #[diesel(sql_type = BigInt)]
        refused: i64,
        #[diesel(sql_type = BigInt)]
        busiest_minute: i64,
    }
    let rows: Vec<Row> = sql_query(
        "SELECT hour, calls, refused, busiest_minute FROM usage_hours WHERE key_id = $1 AND hour >= $2 ORDER BY hour",
    )
    .bind::<SqlUuid, _>(key.as_uuid())
    .bind::<Timestamptz, _>(micros(since))
    .load(conn)
    .await?;
    let hour = |row: Row| Hour {
        key,
        hour: row.hour,
        calls: row.calls,
        refused: row.refused,
        busiest_minute: row.busiest_minute,
    };
    Ok(rows.into_iter().map(hour).collect())
}

/// A country from which calls of a key were accepted.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct Stay {
    /// Two letters.
    #[diesel(sql_type = Text)]
    pub country: String,
    /// First accepted call from there.
    #[diesel(sql_type = Timestamptz)]
    pub first_seen_at: DateTime<Utc>,
    /// Last accepted call from there, to the minute.
    #[diesel(sql_type = Timestamptz)]
    pub last_seen_at: DateTime<Utc>,
}

/// The countries from which calls of a key were ever accepted, the last one first. A country has two letters, so there are
/// few.
///
/// # Errors
/// When the database can't be reached.
pub async fn places_of(conn: &mut Conn, key: KeyId) -> Result<Vec<Stay>, StoreError> {
    let places = sql_query(
        "SELECT country, first_seen_at, last_seen_at FROM key_places WHERE key_id = $1
         ORDER BY last_seen_at DESC, country",
    )
    .bind::<SqlUuid, _>(key.as_uuid())
    .load(conn)
    .await?;
    Ok(places)
}

/// Forgets the hours that tell nothing any more.
///
/// # Errors
/// When the database can't be reached.
pub async fn forget_hours(conn: &mut Conn, now: DateTime<Utc>) -> Result<usize, StoreError> {
    let removed = sql_query("DELETE FROM usage_hours WHERE hour < $1").bind::<Timestamptz, _>(micros(now - KEPT));
    Ok(removed.execute(conn).await?)
}

/// How many people have authorized an app since a moment.
///
/// # Errors
/// When the database can't be reached.
pub async fn consents(conn: &mut Conn, app: AppId, since: DateTime<Utc>) -> Result<i64, StoreError> {
    let row: Number = sql_query(
        "SELECT count(DISTINCT user_id) AS number FROM oauth_grants
         WHERE app_id = $1 AND created_at > $2 AND user_id IS NOT NULL",
    )
    .bind::<SqlUuid, _>(app.as_uuid())
    .bind::<Timestamptz, _>(micros(since))
    .get_result(conn)
    .await?;
    Ok(row.number)
}
