//! The change feed (policy §7.5). Every change to what decides calls takes the next number in its own transaction: the
//! lock on the one row makes the order of numbers the order of commits. A PostgreSQL sequence would not: its numbers are
//! taken before the commit, and a reader that asks for what is newer could skip a late committer for ever.

use chrono::{DateTime, Duration, Utc};
use diesel::{
    ExpressionMethods as _, QueryDsl as _, QueryableByName, SelectableHelper as _, sql_query,
    sql_types::{BigInt, Text, Timestamptz},
};
use diesel_async::RunQueryDsl as _;
use statuspulse_keys::directory::{KeySnapshot, OrganizationPolicy};
use statuspulse_oauth::{App, TokenDigest, grant::ACCESS_SECONDS};
use statuspulse_policy::GrantId;

use crate::{
    Conn,
    error::StoreError,
    keys::{self, KeyRow},
    listen::CHANNEL,
    oauth::{apps, grants, signing_keys, signing_keys::SigningKey, tokens},
    organizations::{self, OrganizationRow},
    peppers::{self, PepperVersion},
    schema,
};

/// Versions that ended longer ago than this are not loaded; a miss still finds them by query.
const ENDED_KEPT: Duration = Duration::days(30);
/// Between the clocks of the instances, at most: one that is further off answers nothing.
const CLOCK_TOLERANCE: Duration = Duration::minutes(10);

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    seq: i64,
}

#[derive(QueryableByName)]
struct Now {
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

/// Takes the next number and leaves the hint that goes out with the commit. Call it last: from here to the commit all
/// other changes wait.
///
/// # Errors
/// When the database can't be reached.
pub async fn next(conn: &mut Conn) -> Result<i64, StoreError> {
    let number: Number = sql_query("UPDATE key_feed SET seq = seq + 1 RETURNING seq").get_result(conn).await?;
    sql_query("SELECT pg_notify($1, $2)")
        .bind::<Text, _>(CHANNEL)
        .bind::<Text, _>(number.seq.to_string())
        .execute(conn)
        .await?;
    Ok(number.seq)
}

/// The number of the last committed change.
///
/// # Errors
/// When the database can't be reached.
pub async fn current(conn: &mut Conn) -> Result<i64, StoreError> {
    let number: Number = sql_query("SELECT seq FROM key_feed").get_result(conn).await?;
    Ok(number.seq)
}

/// The database's clock.
///
/// # Errors
/// When the database can't be reached.
pub async fn database_time(conn: &mut Conn) -> Result<DateTime<Utc>, StoreError> {
    let now: Now = sql_query("SELECT clock_timestamp() AS now").get_result(conn).await?;
    Ok(now.now)
}

/// What has changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Everything up to this number is in here.
    pub through: i64,
    /// Organizations, to be applied before keys.
    pub organizations: Vec<OrganizationPolicy>,
    /// Keys.
    pub keys: Vec<KeySnapshot>,
    /// Keys whose rows can't be read.
    pub unreadable: Vec<keys::Unreadable>,
    /// All peppers in force, when one of them has changed.
    pub peppers: Option<Vec<PepperVersion>>,
    /// OAuth apps.
    pub apps: Vec<App>,
    /// Grants that were ended, with the moment; as long as a token of theirs could still be live.
    pub ended_grants: Vec<(GrantId, DateTime<Utc>)>,
    /// Access tokens that were ended one by one, with the moment.
    pub revoked_tokens: Vec<(TokenDigest, DateTime<Utc>)>,
    /// All signing keys, when one of them has changed.
    pub signing_keys: Option<Vec<SigningKey>>,
}

/// Everything that changed after a number, as of one snapshot of the database; from 0 that is everything there is.
///
/// # Errors
/// When the database can't be reached or holds a row that the service can't have written.
pub async fn changes_after(conn: &mut Conn, after: i64, now: DateTime<Utc>) -> Result<Changes, StoreError> {
    conn.build_transaction()
        .read_only()
        .repeatable_read()
        .run(async |conn| {
            let through = current(conn).await?;
            if through <= after {
                return Ok(Changes { through, ..Changes::default() });
            }
            let organizations: Vec<OrganizationRow> = schema::organizations::table
                .filter(schema::organizations::seq.gt(after))
                .select(OrganizationRow::as_select())
                .load(conn)
                .await?;
            let keys: Vec<KeyRow> =
                schema::keys::table.filter(schema::keys::seq.gt(after)).select(KeyRow::as_select()).load(conn).await?;
            let peppers_changed = peppers::changed_after(conn, after).await?;
            let (keys, unreadable) = keys::readable_snapshots(conn, keys, Some(now - ENDED_KEPT)).await?;
            let since = now - Duration::seconds(ACCESS_SECONDS) - CLOCK_TOLERANCE;
            let signing_keys = if signing_keys::changed_after(conn, after).await? {
                Some(signing_keys::all(conn).await?)
            } else {
                None
            };
            Ok(Changes {
                through,
                unreadable,
                apps: apps::changed_after(conn, after).await?,
                ended_grants: grants::ended_after(conn, after, since).await?,
                revoked_tokens: tokens::revoked_after(conn, after, now).await?,
                signing_keys,
                organizations: organizations.into_iter().map(organizations::policy).collect::<Result<_, _>>()?,
                keys,
                peppers: if peppers_changed { Some(peppers::in_force(conn).await?) } else { None },
            })
        })
        .await
}
