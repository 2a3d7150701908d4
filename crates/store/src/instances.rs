//! Running instances and how far each has followed the change feed.

use chrono::{DateTime, Utc};
use diesel::{ExpressionMethods as _, QueryDsl as _};
use diesel_async::RunQueryDsl as _;
use statuspulse_policy::InstanceId;
use uuid::Uuid;

use crate::{Conn, error::StoreError, rows::micros, schema::instances};

/// An instance's heartbeat.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// The instance.
    pub id: InstanceId,
    /// Every change up to this one is in force there.
    pub applied: i64,
    /// Its last successful poll.
    pub at: DateTime<Utc>,
    /// How long it answers from memory without the database, in seconds.
    pub max_staleness_seconds: i32,
}

/// Writes a heartbeat.
///
/// # Errors
/// When the database can't be reached.
pub async fn beat(conn: &mut Conn, beat: &Heartbeat, started_at: DateTime<Utc>) -> Result<(), StoreError> {
    diesel::insert_into(instances::table)
        .values((
            instances::id.eq(beat.id.as_uuid()),
            instances::applied_seq.eq(beat.applied),
            instances::applied_at.eq(micros(beat.at)),
            instances::max_staleness_seconds.eq(beat.max_staleness_seconds),
            instances::started_at.eq(micros(started_at)),
        ))
        .on_conflict(instances::id)
        .do_update()
        .set((
            instances::applied_seq.eq(beat.applied),
            instances::applied_at.eq(micros(beat.at)),
            instances::max_staleness_seconds.eq(beat.max_staleness_seconds),
            instances::started_at.eq(micros(started_at)),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// All heartbeats, by id.
///
/// # Errors
/// When the database can't be reached.
pub async fn list(conn: &mut Conn) -> Result<Vec<Heartbeat>, StoreError> {
    let rows: Vec<(Uuid, i64, DateTime<Utc>, i32)> = instances::table
        .order(instances::id)
        .select((instances::id, instances::applied_seq, instances::applied_at, instances::max_staleness_seconds))
        .load(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(id, applied, at, max_staleness_seconds)| Heartbeat {
            id: InstanceId::from_uuid(id),
            applied,
            at,
            max_staleness_seconds,
        })
        .collect())
}

/// Takes an instance off the list.
///
/// # Errors
/// When the database can't be reached.
pub async fn remove(conn: &mut Conn, id: InstanceId) -> Result<(), StoreError> {
    diesel::delete(instances::table.find(id.as_uuid())).execute(conn).await?;
    Ok(())
}
