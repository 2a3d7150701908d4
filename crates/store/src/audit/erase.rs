//! Erasure of addresses. Needs the owner: the role of the service may not change what the trail holds.

use std::net::IpAddr;

use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Inet, Nullable, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use statuspulse_policy::OrganizationId;
use uuid::Uuid;

use crate::{Conn, error::StoreError, rows::host};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

#[derive(QueryableByName)]
struct Erased {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Events that have an address.
///
/// # Errors
/// When the database can't be reached.
pub async fn count(conn: &mut Conn, ip: IpAddr, organization: Option<OrganizationId>) -> Result<u64, StoreError> {
    let found: Count =
        sql_query("SELECT count(*) AS value FROM audit_events WHERE ip = $1 AND ($2 IS NULL OR organization_id = $2)")
            .bind::<Inet, _>(host(ip))
            .bind::<Nullable<SqlUuid>, _>(organization.map(OrganizationId::as_uuid))
            .get_result(conn)
            .await?;
    Ok(found.value.unsigned_abs())
}

/// Erases an address, its salt and the user agent beside it from at most so many events; answers their ids.
///
/// # Errors
/// When the database can't be reached.
pub async fn erase(
    conn: &mut Conn,
    ip: IpAddr,
    organization: Option<OrganizationId>,
    limit: i64,
) -> Result<Vec<Uuid>, StoreError> {
    let rows: Vec<Erased> = sql_query(
        "UPDATE audit_events e SET ip = NULL, salt = NULL, user_agent = NULL
         FROM (SELECT occurred_at, stream, sequence FROM audit_events
               WHERE ip = $1 AND ($2 IS NULL OR organization_id = $2) LIMIT $3) found
         WHERE e.occurred_at = found.occurred_at AND e.stream = found.stream AND e.sequence = found.sequence
         RETURNING e.id",
    )
    .bind::<Inet, _>(host(ip))
    .bind::<Nullable<SqlUuid>, _>(organization.map(OrganizationId::as_uuid))
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Takes an address out of the last addresses of keys and grants.
///
/// # Errors
/// When the database can't be reached.
pub async fn forget_last_uses(
    conn: &mut Conn,
    ip: IpAddr,
    organization: Option<OrganizationId>,
) -> Result<(), StoreError> {
    for table in ["keys", "oauth_grants"] {
        sql_query(format!(
            "UPDATE {table} SET last_used_ips = array_remove(last_used_ips, $1)
             WHERE $1 = ANY(last_used_ips) AND ($2 IS NULL OR organization_id = $2)"
        ))
        .bind::<Inet, _>(host(ip))
        .bind::<Nullable<SqlUuid>, _>(organization.map(OrganizationId::as_uuid))
        .execute(conn)
        .await?;
    }
    Ok(())
}
