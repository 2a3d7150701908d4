//! Keys that nobody uses.

use chrono::{DateTime, Utc};
use diesel::{
    OptionalExtension as _, QueryableByName, sql_query,
    sql_types::{BigInt, Double, Integer, Nullable, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use statuspulse_keys::idle::WARNED_BEFORE;
use statuspulse_policy::KeyId;
use uuid::Uuid;

use super::schedule::{ENDS, usual_days};
use crate::{Conn, error::StoreError, rows::micros};

/// What is remembered of a key's idleness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleNotice {
    /// Since when, as far as the warning knows.
    pub since: DateTime<Utc>,
    /// When its owners were warned.
    pub warned_at: Option<DateTime<Utc>>,
}

/// Keys of organizations with such a rule that may have a warning or their end coming. Who asks judges each again under
/// its lock; the rule is that of `statuspulse_keys::idle`.
///
/// # Errors
/// When the database can't be reached.
pub async fn idle_due(conn: &mut Conn, now: DateTime<Utc>, limit: i64) -> Result<Vec<KeyId>, StoreError> {
    #[derive(QueryableByName)]
    struct Id {
        #[diesel(sql_type = SqlUuid)]
        id: Uuid,
    }
    let [production, staging, analytics] = usual_days();
    let ids: Vec<Id> = sql_query(format!(
        "SELECT id FROM (
             SELECT k.id, n.since = idle.since AND n.warned_at IS NOT NULL AS warned, n.warned_at,
                    idle.since + make_interval(secs => 86400.0 * o.unused_key_days) AS ends
             FROM ({ENDS}) AS near
             JOIN keys k ON k.id = near.id
             JOIN organizations o ON o.id = k.organization_id
             LEFT JOIN key_idle_notices n ON n.key_id = k.id
             CROSS JOIN LATERAL (SELECT GREATEST(k.created_at, k.last_used_at, near.created_at, n.since) AS since) AS idle
             WHERE o.unused_key_days IS NOT NULL AND k.disabled_at IS NULL AND near.ends > $4
         ) AS near
         WHERE (warned IS NOT TRUE AND ends - make_interval(secs => $5) <= $4)
            OR (warned AND ends <= $4 AND warned_at + make_interval(secs => $5) <= $4)
         ORDER BY ends, id LIMIT $6"
    ))
    .bind::<Integer, _>(production)
    .bind::<Integer, _>(staging)
    .bind::<Integer, _>(analytics)
    .bind::<Timestamptz, _>(now)
    .bind::<Double, _>(WARNED_BEFORE.num_seconds() as f64)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(ids.into_iter().map(|row| KeyId::from_uuid(row.id)).collect())
}

/// What is remembered of a key.
///
/// # Errors
/// When the database can't be reached.
pub async fn idle_notice(conn: &mut Conn, key: KeyId) -> Result<Option<IdleNotice>, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Timestamptz)]
        since: DateTime<Utc>,
        #[diesel(sql_type = Nullable<Timestamptz>)]
        warned_at: Option<DateTime<Utc>>,
    }
    let row: Option<Row> = sql_query("SELECT since, warned_at FROM key_idle_notices WHERE key_id = $1")
        .bind::<SqlUuid, _>(key.as_uuid())
        .get_result(conn)
        .await
        .optional()?;
    Ok(row.map(|row| IdleNotice { since: row.since, warned_at: row.warned_at }))
}

/// Remembers a warning, or that the idleness begins anew.
///
/// # Errors
/// When the database can't be reached.
pub async fn note_idle(conn: &mut Conn, key: KeyId, notice: IdleNotice) -> Result<(), StoreError> {
    sql_query(
        "INSERT INTO key_idle_notices (key_id, since, warned_at) VALUES ($1, $2, $3)
         ON CONFLICT (key_id) DO UPDATE SET since = excluded.since, warned_at = excluded.warned_at",
    )
    .bind::<SqlUuid, _>(key.as_uuid())
    .bind::<Timestamptz, _>(micros(notice.since))
    .bind::<Nullable<Timestamptz>, _>(notice.warned_at.map(micros))
    .execute(conn)
    .await?;
    Ok(())
}
