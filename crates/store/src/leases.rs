//! Work that one instance at a time does. A lease ends by itself, so that another one takes over after a kill.

use chrono::{DateTime, Utc};
use diesel::{
    sql_query,
    sql_types::{Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use statuspulse_policy::InstanceId;

use crate::{Conn, error::StoreError, rows::micros};

/// Takes or prolongs a lease; `false` when another instance holds it.
///
/// # Errors
/// When the database can't be reached.
pub async fn acquire(
    conn: &mut Conn,
    name: &str,
    holder: InstanceId,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let taken = sql_query(
        "INSERT INTO leases (name, holder, until) VALUES ($1, $2, $4)
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
             WHERE leases.until <= $3 OR leases.holder = excluded.holder",
    )
    .bind::<Text, _>(name)
    .bind::<SqlUuid, _>(holder.as_uuid())
    .bind::<Timestamptz, _>(micros(now))
    .bind::<Timestamptz, _>(micros(until))
    .execute(conn)
    .await?;
    Ok(taken == 1)
}

/// Gives a lease back, so that nobody has to wait for its end.
///
/// # Errors
/// When the database can't be reached.
pub async fn release(conn: &mut Conn, name: &str, holder: InstanceId) -> Result<(), StoreError> {
    sql_query("DELETE FROM leases WHERE name = $1 AND holder = $2")
        .bind::<Text, _>(name)
        .bind::<SqlUuid, _>(holder.as_uuid())
        .execute(conn)
        .await?;
    Ok(())
}
