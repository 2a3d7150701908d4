//! Lists of keys: filters, keyset pages, and what bulk changes and limits ask.

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods as _, ExpressionMethods as _, JoinOnDsl as _, QueryDsl as _, QueryableByName,
    SelectableHelper as _,
    dsl::sql,
    sql_query,
    sql_types::{BigInt, Bool, Integer, Text, Timestamptz},
};
use diesel_async::RunQueryDsl as _;
use statuspulse_keys::{
    key::{Creator, Key, KeyVersion, Status},
    lifespan::LifespanCaps,
};
use statuspulse_policy::{Environment, KeyId, OrganizationId};
use uuid::Uuid;

use super::{KeyRow, VersionRow};
use crate::{
    Conn,
    error::StoreError,
    page::Position,
    schema::{key_versions, keys},
};

/// Which keys a list shows.
#[derive(Debug, Clone, Default)]
pub struct KeyFilter {
    /// Only these keys.
    pub ids: Option<Vec<KeyId>>,
    /// Only this environment.
    pub environment: Option<Environment>,
    /// Only this status.
    pub status: Option<Status>,
    /// Part of the name in any case, or a whole id or hint.
    pub text: Option<String>,
    /// Only keys of this maker.
    pub created_by: Option<Creator>,
    /// Only keys made after this moment.
    pub created_after: Option<DateTime<Utc>>,
}

/// A key with its current version.
#[derive(Debug, Clone)]
pub struct ListedKey {
    /// The key.
    pub key: Key,
    /// Its current version.
    pub current: KeyVersion,
}

/// Whether the current version is at or past its end under today's caps: the rule of [`LifespanCaps::effective_end`], with
/// the cap taken from the moment instead of added to the row. A macro because Diesel's type of it is unspeakable.
macro_rules! ended {
    ($caps:expr, $now:expr) => {{
        let older_than_cap = |environment: Environment| {
            keys::environment
                .eq(environment.as_str())
                .and(key_versions::created_at.le($now - $caps.lifespan(environment)))
        };
        key_versions::expires_at
            .le($now)
            .or(older_than_cap(Environment::Production))
            .or(older_than_cap(Environment::Staging))
            .or(older_than_cap(Environment::Analytics))
    }};
}

/// The keys of an organization, newest first, after a position.
///
/// # Errors
/// When the database can't be reached.
pub async fn list(
    conn: &mut Conn,
    organization: OrganizationId,
    filter: &KeyFilter,
    caps: &LifespanCaps,
    now: DateTime<Utc>,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<ListedKey>, StoreError> {
    let mut query = keys::table
        .inner_join(
            key_versions::table
                .on(key_versions::key_id.eq(keys::id).and(key_versions::version.eq(keys::current_version))),
        )
        .filter(keys::organization_id.eq(organization.as_uuid()))
        .order((keys::created_at.desc(), keys::id.desc()))
        .limit(limit)
        .select((KeyRow::as_select(), VersionRow::as_select()))
        .into_boxed();
    if let Some(ids) = &filter.ids {
        query = query.filter(keys::id.eq_any(ids.iter().map(|id| id.as_uuid())));
    }
    if let Some(environment) = filter.environment {
        query = query.filter(keys::environment.eq(environment.as_str()));
    }
    if let Some(status) = filter.status {
        let alive = keys::revoked_at.is_null();
        query = match status {
            Status::Revoked => query.filter(keys::revoked_at.is_not_null()),
            Status::Expired => query.filter(alive.and(ended!(caps, now))),
            Status::Disabled => {
                query.filter(alive.and(keys::disabled_at.is_not_null()).and(diesel::dsl::not(ended!(caps, now))))
            }
            Status::Active => {
                query.filter(alive.and(keys::disabled_at.is_null()).and(diesel::dsl::not(ended!(caps, now))))
            }
        };
    }
    if let Some(text) = &filter.text {
        let named = sql::<Bool>("position(lower(").bind::<Text, _>(text.clone()).sql(") IN lower(keys.name)) > 0");
        query = match text.parse::<Uuid>() {
            Ok(id) => query.filter(named.or(keys::id.eq(id))),
            Err(_) if text.is_ascii() => query.filter(named.or(key_versions::hint.eq(text.clone()))),
            Err(_) => {
                let named = named_beyond_ascii(conn, organization, text).await?;
                query.filter(keys::id.eq_any(named).or(key_versions::hint.eq(text.clone())))
            }
        };
    }
    if let Some(creator) = &filter.created_by {
        let (kind, by) = match creator {
            Creator::User(id) => ("user", id.to_string()),
            Creator::Operator(name) => ("operator", name.clone()),
        };
        query = query.filter(keys::created_by_kind.eq(kind).and(keys::created_by.eq(by)));
    }
    if let Some(moment) = filter.created_after {
        query = query.filter(keys::created_at.gt(moment));
    }
    if let Some(position) = after {
        query = query.filter(
            keys::created_at
                .lt(position.created_at)
                .or(keys::created_at.eq(position.created_at).and(keys::id.lt(position.id))),
        );
    }
    let rows: Vec<(KeyRow, VersionRow)> = query.load(conn).await?;
    rows.into_iter()
        .map(|(key, version)| Ok(ListedKey { key: key.try_into()?, current: version.try_into()? }))
        .collect()
}

/// Locks keys of an organization until the end of the transaction, as [`super::lock`] locks one. Always in the order of their
/// ids: two that lock several keys must not wait for each other. What is not there, or another's, is not locked.
///
/// # Errors
/// When the database can't be reached.
pub async fn lock_all(conn: &mut Conn, organization: OrganizationId, ids: &[KeyId]) -> Result<(), StoreError> {
    let _locked: Vec<Uuid> = keys::table
        .filter(keys::organization_id.eq(organization.as_uuid()))
        .filter(keys::id.eq_any(ids.iter().map(|id| id.as_uuid())))
        .order(keys::id)
        .select(keys::id)
        .for_no_key_update()
        .load(conn)
        .await?;
    Ok(())
}

/// The keys whose name holds a text in any case. What is upper and what lower beyond ASCII is the database's locale's
/// business, and ours is `C`, which knows no other letters: so the names are compared here.
async fn named_beyond_ascii(
    conn: &mut Conn,
    organization: OrganizationId,
    text: &str,
) -> Result<Vec<Uuid>, StoreError> {
    let wanted = text.to_lowercase();
    let names: Vec<(Uuid, String)> = keys::table
        .filter(keys::organization_id.eq(organization.as_uuid()))
        .select((keys::id, keys::name))
        .load(conn)
        .await?;
    Ok(names.into_iter().filter(|(_, name)| name.to_lowercase().contains(&wanted)).map(|(id, _)| id).collect())
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How many keys of an organization are neither revoked nor expired.
///
/// # Errors
/// When the database can't be reached.
pub async fn count_alive(
    conn: &mut Conn,
    organization: OrganizationId,
    caps: &LifespanCaps,
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
    let days = |environment| caps.days(environment).cast_signed();
    let count: Count = sql_query(
        "SELECT count(*) AS count FROM keys k
         JOIN key_versions v ON v.key_id = k.id AND v.version = k.current_version
         WHERE k.organization_id = $1 AND k.revoked_at IS NULL
           AND LEAST(v.expires_at, v.created_at + make_interval(secs => 86400 *
               CASE k.environment WHEN 'production' THEN $2 WHEN 'staging' THEN $3 ELSE $4 END)) > $5",
    )
    .bind::<diesel::sql_types::Uuid, _>(organization.as_uuid())
    .bind::<Integer, _>(days(Environment::Production))
    .bind::<Integer, _>(days(Environment::Staging))
    .bind::<Integer, _>(days(Environment::Analytics))
    .bind::<Timestamptz, _>(now)
    .get_result(conn)
    .await?;
    Ok(count.count)
}
