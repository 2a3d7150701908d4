//! When and from where keys were last used; collected in memory and written in one statement.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, Inet, Integer, Nullable, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use ipnetwork::IpNetwork;
use statuspulse_policy::KeyId;
use uuid::Uuid;

use crate::{Conn, error::StoreError, rows::host};

/// The accepted calls of a key since the last write.
#[derive(Debug, Clone)]
pub struct Usage {
    /// The key.
    pub key: KeyId,
    /// Its last accepted call.
    pub at: DateTime<Utc>,
    /// Its distinct addresses, newest first; at most five count.
    pub addresses: Vec<IpAddr>,
}

/// A key that was used before.
#[derive(Debug, Clone, Copy)]
pub struct UsedBefore {
    /// The key.
    pub key: KeyId,
    /// Whose.
    pub organization: Uuid,
    /// The last use that was known.
    pub before: DateTime<Utc>,
    /// The use that was written.
    pub at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct Before {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    organization_id: Uuid,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_used_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

/// Writes what was collected: one statement for all keys. Times only move forward; of the addresses, the five newest
/// distinct ones stay. Answers when each was used before.
///
/// # Errors
/// When the database can't be reached.
pub async fn write_usage(conn: &mut Conn, usage: &[Usage]) -> Result<Vec<UsedBefore>, StoreError> {
    if usage.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<Uuid> = usage.iter().map(|used| used.key.as_uuid()).collect();
    let times: Vec<DateTime<Utc>> = usage.iter().map(|used| used.at).collect();
    let addresses = usage.iter().flat_map(|used| {
        used.addresses.iter().take(5).enumerate().map(|(place, ip)| (used.key.as_uuid(), host(*ip), place as i32))
    });
    let (mut owners, mut networks, mut places) = (Vec::<Uuid>::new(), Vec::<IpNetwork>::new(), Vec::<i32>::new());
    for (owner, network, place) in addresses {
        owners.push(owner);
        networks.push(network);
        places.push(place);
    }
    let before: Vec<Before> = sql_query(
        // Under its lock: of two instances that write a use at once, one finds the other's.
        "WITH locked AS (SELECT id, last_used_at FROM keys WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE)
         UPDATE keys SET
             last_used_at = GREATEST(keys.last_used_at, fresh.at),
             last_used_ips = ARRAY(
                 SELECT ip FROM (
                     SELECT DISTINCT ON (ip) ip, place FROM (
                         SELECT seen.ip, seen.place
                         FROM unnest($3::uuid[], $4::inet[], $5::int[]) AS seen(key, ip, place)
                         WHERE seen.key = keys.id
                         UNION ALL
                         SELECT old.ip, 100 + old.place::int
                         FROM unnest(keys.last_used_ips) WITH ORDINALITY AS old(ip, place)
                     ) AS merged ORDER BY ip, place
                 ) AS distinct_ones ORDER BY place LIMIT 5)
         FROM unnest($1::uuid[], $2::timestamptz[]) AS fresh(key, at), locked
         WHERE keys.id = fresh.key AND keys.id = locked.id
         RETURNING keys.id, keys.organization_id, locked.last_used_at, fresh.at",
    )
    .bind::<Array<SqlUuid>, _>(keys)
    .bind::<Array<Timestamptz>, _>(times)
    .bind::<Array<SqlUuid>, _>(owners)
    .bind::<Array<Inet>, _>(networks)
    .bind::<Array<Integer>, _>(places)
    .load(conn)
    .await?;
    let used = |row: Before| {
        let before = row.last_used_at?;
        Some(UsedBefore { key: KeyId::from_uuid(row.id), organization: row.organization_id, before, at: row.at })
    };
    Ok(before.into_iter().filter_map(used).collect())
}
