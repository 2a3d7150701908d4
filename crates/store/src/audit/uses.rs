//! What the record is good for: sources of a key's calls, refused exchanges of an app.

use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, BigInt, Bool, Inet, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncConnection as _, RunQueryDsl as _, SimpleAsyncConnection as _};
use ipnetwork::IpNetwork;
use statuspulse_policy::{AppId, KeyId, OrganizationId};
use uuid::Uuid;

use crate::{Conn, error::StoreError, page::Position};

/// Which calls of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// All of them, also those that were refused.
    All,
    /// Accepted ones.
    Accepted,
}

/// The calls of a key from one address.
#[derive(Debug, Clone, QueryableByName)]
pub struct SourceRow {
    /// The address; none of calls that came from an unknown one.
    #[diesel(sql_type = Nullable<Inet>)]
    pub ip: Option<IpNetwork>,
    /// Where it is, as far as that is known.
    #[diesel(sql_type = Nullable<Text>)]
    pub country: Option<String>,
    /// Calls from it.
    #[diesel(sql_type = BigInt)]
    pub calls: i64,
}

/// What a key does itself. Readings of the trail have an event of their own in place of that of the call.
const CALLS: &str = "('api.call', 'audit.read', 'audit.export', 'key.claim')";

/// From where a key was used since a moment: each address with its calls, busiest first, at most 10,000. Calls whose address
/// was erased are left out; those whose address was never known have a commitment to none. Gives up after two seconds: a busy
/// key has millions of rows.
///
/// # Errors
/// When the database can't be reached.
pub async fn sources_of_key(
    conn: &mut Conn,
    organization: OrganizationId,
    key: KeyId,
    since: DateTime<Utc>,
    calls: Calls,
) -> Result<Vec<SourceRow>, StoreError> {
    let outcome = if calls == Calls::Accepted { "AND outcome = 'allowed'" } else { "" };
    conn.transaction(async |conn| {
        conn.batch_execute("SET LOCAL statement_timeout = 2000").await?;
        Ok(sql_query(format!(
            "SELECT ip, max(country) AS country, count(*) AS calls FROM audit_events
             WHERE organization_id = $1 AND actor_id = $2 AND actor_kind = 'api_key' AND action IN {CALLS}
               AND occurred_at >= $3 AND (ip IS NOT NULL OR ip_commit IS NULL) {outcome}
             GROUP BY ip ORDER BY calls DESC, ip LIMIT 10000"
        ))
        .bind::<SqlUuid, _>(organization.as_uuid())
        .bind::<Text, _>(key.to_string())
        .bind::<Timestamptz, _>(since)
        .load(conn)
        .await?)
    })
    .await
}

/// The calls of one of several keys from one address.
#[derive(Debug, Clone)]
pub struct KeySource {
    /// The key.
    pub key: KeyId,
    /// Its calls.
    pub source: SourceRow,
}

/// From where several keys were used since a moment, the calls that were refused among them: as [`sources_of_key`], all of
/// them in one question and in the same two seconds. None when there are more than 50,000 pairs of key and address: what is
/// told is whole, or nothing.
///
/// # Errors
/// When the database can't be reached.
pub async fn sources_of_keys(
    conn: &mut Conn,
    organization: OrganizationId,
    keys: &[KeyId],
    since: DateTime<Utc>,
) -> Result<Option<Vec<KeySource>>, StoreError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        actor_id: String,
        #[diesel(embed)]
        source: SourceRow,
    }
    const MOST: usize = 50_000;
    let rows: Vec<Row> = conn
        .transaction(async |conn| {
            conn.batch_execute("SET LOCAL statement_timeout = 2000").await?;
            Ok::<_, StoreError>(
                sql_query(format!(
                    "SELECT actor_id, ip, max(country) AS country, count(*) AS calls FROM audit_events
                     WHERE organization_id = $1 AND actor_id = ANY($2) AND actor_kind = 'api_key' AND action IN {CALLS}
                       AND occurred_at >= $3 AND (ip IS NOT NULL OR ip_commit IS NULL)
                     GROUP BY actor_id, ip ORDER BY calls DESC, actor_id, ip LIMIT {}",
                    MOST + 1
                ))
                .bind::<SqlUuid, _>(organization.as_uuid())
                .bind::<Array<Text>, _>(keys.iter().map(KeyId::to_string).collect::<Vec<_>>())
                .bind::<Timestamptz, _>(since)
                .load(conn)
                .await?,
            )
        })
        .await?;
    if rows.len() > MOST {
        return Ok(None);
    }
    let source = |row: Row| row.actor_id.parse().ok().map(|key| KeySource { key, source: row.source });
    Ok(Some(rows.into_iter().filter_map(source).collect()))
}

#[derive(QueryableByName)]
struct Word {
    #[diesel(sql_type = Text)]
    value: String,
}

/// Scopes that accepted calls of a key have needed since a moment; and whether it has judged calls for a gateway, which stand
/// in the trail under the credentials that were judged: that is only looked for where the key may. Gives up after two seconds.
///
/// # Errors
/// When the database can't be reached.
pub async fn scopes_of_key(
    conn: &mut Conn,
    organization: OrganizationId,
    key: KeyId,
    since: DateTime<Utc>,
    may_judge: bool,
) -> Result<Vec<String>, StoreError> {
    let words: Vec<Word> = conn
        .transaction(async |conn| {
            conn.batch_execute("SET LOCAL statement_timeout = 2000").await?;
            Ok::<_, StoreError>(
                sql_query(
                    "SELECT DISTINCT detail ->> 'required_scope' AS value FROM audit_events
                     WHERE organization_id = $1 AND actor_id = $2 AND actor_kind = 'api_key' AND occurred_at >= $3
                       AND outcome = 'allowed' AND detail ->> 'required_scope' IS NOT NULL
                     UNION SELECT 'credentials:verify' WHERE $4 AND EXISTS (
                         SELECT FROM audit_events WHERE organization_id = $1 AND occurred_at >= $3
                             AND detail ->> 'via' = $2)",
                )
                .bind::<SqlUuid, _>(organization.as_uuid())
                .bind::<Text, _>(key.to_string())
                .bind::<Timestamptz, _>(since)
                .bind::<Bool, _>(may_judge)
                .load(conn)
                .await?,
            )
        })
        .await?;
    Ok(words.into_iter().map(|word| word.value).collect())
}

/// A refused exchange of an app.
#[derive(Debug, Clone, QueryableByName)]
pub struct Failure {
    /// Id of the event.
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    /// When.
    #[diesel(sql_type = Timestamptz)]
    pub occurred_at: DateTime<Utc>,
    /// Which exchange.
    #[diesel(sql_type = Text)]
    pub action: String,
    /// Why it was refused.
    #[diesel(sql_type = Nullable<Text>)]
    pub reason: Option<String>,
    /// What was answered.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub status: Option<i16>,
    #[diesel(sql_type = Nullable<Inet>)]
    ip: Option<IpNetwork>,
    /// User agent, escaped.
    #[diesel(sql_type = Nullable<Text>)]
    pub user_agent: Option<String>,
    /// Id of the request, as its answer carried it.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub request_id: Option<Uuid>,
    /// Offset of the first byte in which a redirect URI differs.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub first_difference: Option<i64>,
}

impl Failure {
    /// Where it came from.
    #[must_use]
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        self.ip.map(|network| network.ip())
    }
}

/// The refused exchanges of an app, newest first, after a position.
///
/// # Errors
/// When the database can't be reached.
pub async fn failures_of_app(
    conn: &mut Conn,
    app: AppId,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Failure>, StoreError> {
    let (before, id) = after.map_or((None, None), |position| (Some(position.created_at), Some(position.id)));
    let failures = sql_query(
        "SELECT id, occurred_at, action, reason, status, ip, user_agent, request_id,
                (detail ->> 'first_difference')::bigint AS first_difference
         FROM audit_events
         WHERE detail ->> 'app_id' = $1 AND outcome <> 'allowed' AND action LIKE 'oauth.%'
           AND ($2 IS NULL OR (occurred_at, id) < ($2, $3))
         ORDER BY occurred_at DESC, id DESC LIMIT $4",
    )
    .bind::<Text, _>(app.to_string())
    .bind::<Nullable<Timestamptz>, _>(before)
    .bind::<Nullable<SqlUuid>, _>(id)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(failures)
}
