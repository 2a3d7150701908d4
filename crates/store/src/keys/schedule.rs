//! What time alone brings about: slots of successors, and notices of an end.

use chrono::{DateTime, Duration, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Bool, Double, Integer, SmallInt, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use statuspulse_keys::lifespan::LifespanCaps;
use statuspulse_policy::{Environment, KeyId, KeyVersionId};
use uuid::Uuid;

use crate::{Conn, error::StoreError, rows::micros};

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Keys that are not revoked, each with its current version and when that ends under today's caps. Takes the usual caps as
/// `$1` to `$3`; what is asked of it goes on from `$4`.
pub(super) const ENDS: &str = "
    SELECT k.id, k.auto_rotate, v.id AS version_id, v.created_at,
           LEAST(v.expires_at, v.created_at + make_interval(secs => 86400 * CASE k.environment
               WHEN 'production' THEN LEAST(o.max_lifespan_production_days, $1)
               WHEN 'staging' THEN LEAST(o.max_lifespan_staging_days, $2)
               ELSE LEAST(o.max_lifespan_analytics_days, $3) END)) AS ends
    FROM keys k
    JOIN key_versions v ON v.key_id = k.id AND v.version = k.current_version
    JOIN organizations o ON o.id = k.organization_id
    WHERE k.revoked_at IS NULL AND NOT k.canary";

pub(super) fn usual_days() -> [i32; 3] {
    let usual = LifespanCaps::default();
    [Environment::Production, Environment::Staging, Environment::Analytics].map(|env| usual.days(env).cast_signed())
}

/// Keys of which a slot has to be made (Auto-Rotate, and the end is near) or taken away (it has outlived the key). Who asks
/// judges each again under its lock; the times are those of `statuspulse_keys::successor`.
///
/// # Errors
/// When the database can't be reached.
pub async fn slots_due(
    conn: &mut Conn,
    now: DateTime<Utc>,
    ahead: Duration,
    limit: i64,
) -> Result<Vec<KeyId>, StoreError> {
    let [production, staging, analytics] = usual_days();
    let ids: Vec<Id> = sql_query(format!(
        "SELECT id FROM (
             SELECT near.*, EXISTS (SELECT 1 FROM key_versions s WHERE s.key_id = near.id AND s.state = 'pending') AS waits
             FROM ({ENDS}) AS near WHERE auto_rotate
         ) AS near
         WHERE (NOT waits AND ends > $4 AND ends - LEAST(make_interval(secs => $5), (ends - created_at) / 2) <= $4)
            OR (waits AND ends <= $4)
         ORDER BY ends, id LIMIT $6"
    ))
    .bind::<Integer, _>(production)
    .bind::<Integer, _>(staging)
    .bind::<Integer, _>(analytics)
    .bind::<Timestamptz, _>(now)
    .bind::<Double, _>(ahead.num_seconds() as f64)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(ids.into_iter().map(|row| KeyId::from_uuid(row.id)).collect())
}

/// Keys whose end has come near, or has come, without the notice of it. Who asks judges each again under its lock; the
/// thresholds are those of `statuspulse_keys::notice`. An end that lies further back than `back` is no news any more.
///
/// # Errors
/// When the database can't be reached.
pub async fn notices_due(
    conn: &mut Conn,
    now: DateTime<Utc>,
    back: Duration,
    limit: i64,
) -> Result<Vec<KeyId>, StoreError> {
    let [production, staging, analytics] = usual_days();
    let ids: Vec<Id> = sql_query(format!(
        "SELECT id FROM (
             SELECT near.*, CASE WHEN ends <= $4 THEN 0
                 WHEN ends <= $4 + make_interval(secs => 86400) THEN 1
                 WHEN ends <= $4 + make_interval(secs => 3 * 86400) THEN 3
                 WHEN ends <= $4 + make_interval(secs => 7 * 86400) THEN 7
                 WHEN ends <= $4 + make_interval(secs => 14 * 86400) THEN 14
                 ELSE 30 END AS threshold
             FROM ({ENDS}) AS near
             WHERE ends <= $4 + make_interval(secs => 30 * 86400) AND ends > $4 - make_interval(secs => $5)
         ) AS near
         WHERE make_interval(secs => 86400 * threshold) < ends - created_at
           AND NOT EXISTS (SELECT 1 FROM key_notices n
                           WHERE n.key_version_id = near.version_id AND n.threshold_days = near.threshold)
         ORDER BY ends, id LIMIT $6"
    ))
    .bind::<Integer, _>(production)
    .bind::<Integer, _>(staging)
    .bind::<Integer, _>(analytics)
    .bind::<Timestamptz, _>(now)
    .bind::<Double, _>(back.num_seconds() as f64)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(ids.into_iter().map(|row| KeyId::from_uuid(row.id)).collect())
}

/// A notice of an end that has gone out, or was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Days before the end, 0 for the end itself.
    pub threshold_days: i16,
    /// Whether a nearer one was reached already.
    pub skipped: bool,
}

/// Notes a notice; `false` when it had gone out before, however many instances come at once.
///
/// # Errors
/// When the database can't be reached.
pub async fn note_end(
    conn: &mut Conn,
    version: KeyVersionId,
    notice: Notice,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let noted = sql_query(
        "INSERT INTO key_notices (key_version_id, threshold_days, sent_at, skipped) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
    )
    .bind::<SqlUuid, _>(version.as_uuid())
    .bind::<SmallInt, _>(notice.threshold_days)
    .bind::<Timestamptz, _>(micros(now))
    .bind::<Bool, _>(notice.skipped)
    .execute(conn)
    .await?;
    Ok(noted == 1)
}

/// The notices of a version.
///
/// # Errors
/// When the database can't be reached.
pub async fn end_notices(conn: &mut Conn, version: KeyVersionId) -> Result<Vec<Notice>, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = SmallInt)]
        threshold_days: i16,
        #[diesel(sql_type = Bool)]
        skipped: bool,
    }
    let rows: Vec<Row> =
        sql_query("SELECT threshold_days, skipped FROM key_notices WHERE key_version_id = $1 ORDER BY threshold_days")
            .bind::<SqlUuid, _>(version.as_uuid())
            .load(conn)
            .await?;
    Ok(rows.into_iter().map(|row| Notice { threshold_days: row.threshold_days, skipped: row.skipped }).collect())
}
