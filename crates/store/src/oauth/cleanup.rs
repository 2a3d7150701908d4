//! The clean-up, in batches: a row goes only when it can no longer serve the detection of a replay (oauth §7).

use chrono::{DateTime, Duration, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Timestamptz},
};
use diesel_async::RunQueryDsl as _;
use statuspulse_oauth::grant::KEPT_DAYS;

use crate::{Conn, error::StoreError, rows::micros};

/// Rows of a batch, at most: one is over before anybody waits for it.
pub const BATCH: i64 = 1_000;

/// What is cleaned up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    /// Handles of pages that have ended.
    Requests,
    /// Codes that nobody redeemed, a day after their end, with the grants that nobody was shown.
    Codes,
    /// Access tokens, a day after their end.
    AccessTokens,
    /// Sealed successors whose retry window has ended.
    Successors,
    /// Refresh tokens whose grant ended thirty days ago.
    RefreshTokens,
    /// Redeemed codes of such grants.
    RedeemedCodes,
    /// Such grants, once nothing hangs on them.
    Grants,
    /// Signing keys that are published no more.
    SigningKeys,
}

impl Chore {
    /// All of them, in an order in which nothing hangs on what goes.
    pub const ALL: [Self; 8] = [
        Self::Requests,
        Self::Codes,
        Self::AccessTokens,
        Self::Successors,
        Self::RefreshTokens,
        Self::RedeemedCodes,
        Self::Grants,
        Self::SigningKeys,
    ];

    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Codes => "codes",
            Self::AccessTokens => "access_tokens",
            Self::Successors => "successors",
            Self::RefreshTokens => "refresh_tokens",
            Self::RedeemedCodes => "redeemed_codes",
            Self::Grants => "grants",
            Self::SigningKeys => "signing_keys",
        }
    }

    const fn statement(self) -> &'static str {
        match self {
            Self::Requests => {
                "WITH gone AS (DELETE FROM oauth_requests WHERE handle_digest IN (
                     SELECT handle_digest FROM oauth_requests WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)
                     RETURNING 1)
                 SELECT count(*) AS count FROM gone"
            }
            Self::Codes => {
                "WITH gone AS (DELETE FROM oauth_codes WHERE digest IN (
                     SELECT digest FROM oauth_codes WHERE redeemed_at IS NULL AND expires_at <= $1
                     LIMIT $2 FOR UPDATE SKIP LOCKED)
                     RETURNING grant_id),
                 unseen AS (DELETE FROM oauth_grants WHERE id IN (SELECT grant_id FROM gone) AND status = 'pending')
                 SELECT count(*) AS count FROM gone"
            }
            Self::AccessTokens => {
                "WITH gone AS (DELETE FROM oauth_access_tokens WHERE digest IN (
                     SELECT digest FROM oauth_access_tokens WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)
                     RETURNING 1)
                 SELECT count(*) AS count FROM gone"
            }
            Self::Successors => {
                "WITH gone AS (UPDATE oauth_refresh_tokens SET successor_sealed = NULL WHERE digest IN (
                     SELECT t.digest FROM oauth_refresh_tokens t
                     JOIN oauth_grants g ON g.id = t.grant_id JOIN oauth_apps a ON a.id = g.app_id
                     WHERE t.successor_sealed IS NOT NULL
                       AND t.rotated_at + make_interval(secs => a.refresh_retry_seconds) <= $1
                     LIMIT $2 FOR UPDATE OF t SKIP LOCKED)
                     RETURNING 1)
                 SELECT count(*) AS count FROM gone"
            }
            Self::RefreshTokens => {
                "WITH gone AS (DELETE FROM oauth_refresh_tokens WHERE digest IN (
                     SELECT t.digest FROM oauth_refresh_tokens t JOIN oauth_grants g ON g.id = t.grant_id
                     WHERE coalesce(g.revoked_at, g.absolute_expires_at) <= $1
                     LIMIT $2 FOR UPDATE OF t SKIP LOCKED)
                     RETURNING 1)
                 SELECT count(*) AS count FROM gone"
            }
            Self::RedeemedCodes => {
                "WITH gone AS (DELETE FROM oauth_codes WHERE digest IN (
                     SELECT c.digest FROM oauth_codes c JOIN oauth_grants g ON g.id = c.grant_id
                     WHERE coalesce(g.revoked_at, g.absolute_expires_at) <= $1
                     LIMIT $2 FOR UPDATE OF c SKIP LOCKED)
                     RETURNING 1)
                 SELECT count(*) AS count FROM gone"
            }
            Self::Grants => {
                "WITH gone AS (DELETE FROM oauth_grants WHERE id IN (
                     SELECT g.id FROM oauth_grants g
                     WHERE coalesce(g.revoked_at, g.absolute_expires_at) <= $1
                       AND NOT EXISTS (SELECT 1 FROM oauth_refresh_tokens t WHERE t.grant_id = g.id)
                       AND NOT EXISTS (SELECT 1 FROM oauth_codes c WHERE c.grant_id = g.id)
                       AND NOT EXISTS (SELECT 1 FROM oauth_access_tokens a WHERE a.grant_id = g.id)
                     LIMIT $2 FOR UPDATE OF g SKIP LOCKED)
                     RETURNING 1)
                 SELECT count(*) AS count FROM gone"
            }
            Self::SigningKeys => {
                "WITH gone AS (DELETE FROM oauth_signing_keys WHERE kid IN (
                     SELECT kid FROM oauth_signing_keys WHERE publish_until <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)
                     RETURNING 1)
                 SELECT count(*) AS count FROM gone"
            }
        }
    }

    /// What ended before this moment goes.
    fn before(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Requests | Self::Successors | Self::SigningKeys => now,
            Self::Codes | Self::AccessTokens => now - Duration::hours(24),
            Self::RefreshTokens | Self::RedeemedCodes | Self::Grants => now - Duration::days(KEPT_DAYS),
        }
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// One batch; answers how many rows it took. Rows that somebody works on are left for the next time.
///
/// # Errors
/// When the database can't be reached.
pub async fn batch(conn: &mut Conn, chore: Chore, now: DateTime<Utc>) -> Result<i64, StoreError> {
    let count: Count = sql_query(chore.statement())
        .bind::<Timestamptz, _>(micros(chore.before(now)))
        .bind::<BigInt, _>(BATCH)
        .get_result(conn)
        .await?;
    Ok(count.count)
}
