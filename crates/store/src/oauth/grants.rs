//! Grants. Whether one lives is decided by its row alone: ending it needs no fan-out to codes and tokens.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods as _, ExpressionMethods as _, Insertable, JoinOnDsl as _, NullableExpressionMethods as _,
    OptionalExtension as _, QueryDsl as _, Queryable, QueryableByName, Selectable, SelectableHelper as _, sql_query,
    sql_types::{Array, BigInt, Bool, Inet, Integer, Nullable, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use ipnetwork::IpNetwork;
use statuspulse_oauth::{Grant, GrantStatus, Resources};
use statuspulse_policy::{AppId, GrantId, OrganizationId, ScopeSet, UserId};
use uuid::Uuid;

use crate::{
    Conn,
    error::StoreError,
    page::Position,
    rows::{host, micros},
    schema::{oauth_apps, oauth_grants, organizations, users},
};

#[derive(Queryable, Selectable, Insertable, QueryableByName)]
#[diesel(table_name = oauth_grants)]
pub(super) struct GrantRow {
    id: Uuid,
    user_id: Option<Uuid>,
    organization_id: Uuid,
    app_id: Uuid,
    scopes: i64,
    resources: Vec<String>,
    status: String,
    revoked_reason: Option<String>,
    revoked_at: Option<DateTime<Utc>>,
    generation: i64,
    created_at: DateTime<Utc>,
    last_refresh_at: Option<DateTime<Utc>>,
    absolute_expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    last_used_ips: Vec<IpNetwork>,
    seq: i64,
}

impl TryFrom<GrantRow> for Grant {
    type Error = StoreError;

    fn try_from(row: GrantRow) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::corrupt("oauth_grants", column, row.id);
        Ok(Self {
            id: GrantId::from_uuid(row.id),
            user_id: row.user_id.map(UserId::from_uuid),
            organization_id: OrganizationId::from_uuid(row.organization_id),
            app_id: AppId::from_uuid(row.app_id),
            scopes: ScopeSet::from_bits(row.scopes.cast_unsigned()),
            resources: Resources::from_stored(row.resources),
            status: GrantStatus::from_word(&row.status).ok_or_else(|| corrupt("status"))?,
            revoked_reason: row.revoked_reason,
            revoked_at: row.revoked_at,
            generation: row.generation,
            created_at: row.created_at,
            last_refresh_at: row.last_refresh_at,
            absolute_expires_at: row.absolute_expires_at,
            last_used_at: row.last_used_at,
            last_used_ips: row.last_used_ips.iter().map(IpNetwork::ip).collect(),
            sequence: row.seq,
        })
    }
}

impl From<&Grant> for GrantRow {
    fn from(grant: &Grant) -> Self {
        Self {
            id: grant.id.as_uuid(),
            user_id: grant.user_id.map(UserId::as_uuid),
            organization_id: grant.organization_id.as_uuid(),
            app_id: grant.app_id.as_uuid(),
            scopes: grant.scopes.bits().cast_signed(),
            resources: grant.resources.as_slice().to_vec(),
            status: grant.status.as_str().to_owned(),
            revoked_reason: grant.revoked_reason.clone(),
            revoked_at: grant.revoked_at.map(micros),
            generation: grant.generation,
            created_at: micros(grant.created_at),
            last_refresh_at: grant.last_refresh_at.map(micros),
            absolute_expires_at: grant.absolute_expires_at.map(micros),
            last_used_at: grant.last_used_at.map(micros),
            last_used_ips: grant.last_used_ips.iter().copied().map(host).collect(),
            seq: grant.sequence,
        }
    }
}

/// Writes a new grant; `false` when the app acts for itself and has a live grant already.
///
/// # Errors
/// When the database can't be reached.
pub async fn insert(conn: &mut Conn, grant: &Grant) -> Result<bool, StoreError> {
    let written = diesel::insert_into(oauth_grants::table).values(GrantRow::from(grant)).on_conflict_do_nothing();
    Ok(written.execute(conn).await? == 1)
}

/// A grant with whether the person who decided is still there: a member of the organization whose account is open.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The grant.
    pub grant: Grant,
    /// True for an app that acts for itself, too.
    pub person_remains: bool,
}

#[derive(QueryableByName)]
struct Remains {
    #[diesel(sql_type = Bool)]
    remains: bool,
}

/// Locks a grant until the end of the transaction: whatever happens to it and its tokens takes turns here.
///
/// # Errors
/// When the database can't be reached.
pub async fn lock(conn: &mut Conn, id: GrantId) -> Result<Option<Standing>, StoreError> {
    let row: Option<GrantRow> = oauth_grants::table
        .find(id.as_uuid())
        .select(GrantRow::as_select())
        .for_no_key_update()
        .first(conn)
        .await
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    let remains: Remains = sql_query(
        "SELECT $1 IS NULL OR EXISTS (
             SELECT 1 FROM memberships m JOIN users u ON u.id = m.user_id
             WHERE m.user_id = $1 AND m.organization_id = $2 AND u.disabled_at IS NULL) AS remains",
    )
    .bind::<Nullable<SqlUuid>, _>(row.user_id)
    .bind::<SqlUuid, _>(row.organization_id)
    .get_result(conn)
    .await?;
    Ok(Some(Standing { grant: row.try_into()?, person_remains: remains.remains }))
}

/// A grant by its id.
///
/// # Errors
/// When the database can't be reached.
pub async fn find(conn: &mut Conn, id: GrantId) -> Result<Option<Grant>, StoreError> {
    let row: Option<GrantRow> =
        oauth_grants::table.find(id.as_uuid()).select(GrantRow::as_select()).first(conn).await.optional()?;
    row.map(Grant::try_from).transpose()
}

/// The live grant of an app that acts for itself.
///
/// # Errors
/// When the database can't be reached.
pub async fn own(conn: &mut Conn, app: AppId) -> Result<Option<Grant>, StoreError> {
    let row: Option<GrantRow> = oauth_grants::table
        .filter(
            oauth_grants::app_id
                .eq(app.as_uuid())
                .and(oauth_grants::user_id.is_null())
                .and(oauth_grants::status.eq(GrantStatus::Active.as_str())),
        )
        .select(GrantRow::as_select())
        .first(conn)
        .await
        .optional()?;
    row.map(Grant::try_from).transpose()
}

/// The newest grants of a person for an app and an organization that haven't ended: what may be remembered.
///
/// # Errors
/// When the database can't be reached.
pub async fn of_person(
    conn: &mut Conn,
    user: UserId,
    app: AppId,
    organization: OrganizationId,
) -> Result<Vec<Grant>, StoreError> {
    const ENOUGH: i64 = 100;
    let rows: Vec<GrantRow> = oauth_grants::table
        .filter(
            oauth_grants::user_id
                .eq(user.as_uuid())
                .and(oauth_grants::app_id.eq(app.as_uuid()))
                .and(oauth_grants::organization_id.eq(organization.as_uuid()))
                .and(oauth_grants::status.ne(GrantStatus::Revoked.as_str())),
        )
        .order((oauth_grants::created_at.desc(), oauth_grants::id.desc()))
        .limit(ENOUGH)
        .select(GrantRow::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(Grant::try_from).collect()
}

/// Puts a decided grant in force; `false` when it has ended meanwhile.
///
/// # Errors
/// When the database can't be reached.
pub async fn activate(conn: &mut Conn, id: GrantId) -> Result<bool, StoreError> {
    let live = oauth_grants::table.find(id.as_uuid()).filter(oauth_grants::status.ne(GrantStatus::Revoked.as_str()));
    let written = diesel::update(live).set(oauth_grants::status.eq(GrantStatus::Active.as_str()));
    Ok(written.execute(conn).await? == 1)
}

/// Raises the generation; `false` when another one was faster or the grant has ended.
///
/// # Errors
/// When the database can't be reached.
pub async fn rotate(conn: &mut Conn, id: GrantId, seen: i64, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let same = oauth_grants::table
        .find(id.as_uuid())
        .filter(oauth_grants::generation.eq(seen).and(oauth_grants::status.eq(GrantStatus::Active.as_str())));
    let written = diesel::update(same)
        .set((oauth_grants::generation.eq(seen + 1), oauth_grants::last_refresh_at.eq(micros(now))))
        .execute(conn)
        .await?;
    Ok(written == 1)
}

/// Which grants are meant. Nothing given means none, not all.
#[derive(Debug, Clone, Copy, Default)]
pub struct GrantFilter {
    /// Of this organization: the one they are for.
    pub organization: Option<OrganizationId>,
    /// Of this app.
    pub app: Option<AppId>,
    /// Of this person.
    pub user: Option<UserId>,
    /// This one.
    pub grant: Option<GrantId>,
}

/// A grant that is being ended.
#[derive(Debug, Clone, QueryableByName)]
pub struct Ended {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    app_id: Uuid,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    user_id: Option<Uuid>,
    #[diesel(sql_type = SqlUuid)]
    organization_id: Uuid,
    #[diesel(sql_type = BigInt)]
    scopes: i64,
}

impl Ended {
    /// Which.
    #[must_use]
    pub const fn id(&self) -> GrantId {
        GrantId::from_uuid(self.id)
    }

    /// Of which app.
    #[must_use]
    pub const fn app(&self) -> AppId {
        AppId::from_uuid(self.app_id)
    }

    /// Of whom.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        self.user_id.map(UserId::from_uuid)
    }

    /// For which organization.
    #[must_use]
    pub const fn organization(&self) -> OrganizationId {
        OrganizationId::from_uuid(self.organization_id)
    }

    /// What it opens.
    #[must_use]
    pub const fn scopes(&self) -> ScopeSet {
        ScopeSet::from_bits(self.scopes.cast_unsigned())
    }
}

/// How many grants that haven't ended a filter means.
///
/// # Errors
/// When the database can't be reached.
pub async fn count(conn: &mut Conn, filter: GrantFilter, now: DateTime<Utc>) -> Result<i64, StoreError> {
    let mut query = oauth_grants::table
        .filter(oauth_grants::status.ne(GrantStatus::Revoked.as_str()))
        .filter(oauth_grants::absolute_expires_at.is_null().or(oauth_grants::absolute_expires_at.gt(now)))
        .count()
        .into_boxed();
    if let Some(id) = filter.organization {
        query = query.filter(oauth_grants::organization_id.eq(id.as_uuid()));
    }
    if let Some(id) = filter.app {
        query = query.filter(oauth_grants::app_id.eq(id.as_uuid()));
    }
    if let Some(id) = filter.user {
        query = query.filter(oauth_grants::user_id.eq(id.as_uuid()));
    }
    if let Some(id) = filter.grant {
        query = query.filter(oauth_grants::id.eq(id.as_uuid()));
    }
    Ok(query.get_result(conn).await?)
}

/// Locks live grants until the end of the transaction, a batch at a time and always in the same order.
///
/// # Errors
/// When the database can't be reached.
pub async fn lock_live(
    conn: &mut Conn,
    filter: GrantFilter,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Ended>, StoreError> {
    let live = sql_query(
        "SELECT id, app_id, user_id, organization_id, scopes FROM oauth_grants
         WHERE status <> 'revoked' AND (absolute_expires_at IS NULL OR absolute_expires_at > $5)
           AND ($1 IS NULL OR organization_id = $1) AND ($2 IS NULL OR app_id = $2)
           AND ($3 IS NULL OR user_id = $3) AND ($4 IS NULL OR id = $4)
           AND num_nonnulls($1, $2, $3, $4) > 0
         ORDER BY id LIMIT $6 FOR NO KEY UPDATE",
    )
    .bind::<Nullable<SqlUuid>, _>(filter.organization.map(OrganizationId::as_uuid))
    .bind::<Nullable<SqlUuid>, _>(filter.app.map(AppId::as_uuid))
    .bind::<Nullable<SqlUuid>, _>(filter.user.map(UserId::as_uuid))
    .bind::<Nullable<SqlUuid>, _>(filter.grant.map(GrantId::as_uuid))
    .bind::<Timestamptz, _>(micros(now))
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    Ok(live)
}

/// Ends locked grants; answers how many it was. `sequence` is their place in the change feed, whose lock is taken behind
/// those of the grants: always in this order, or two who end things would wait for each other.
///
/// # Errors
/// When the database can't be reached.
pub async fn revoke(
    conn: &mut Conn,
    ids: &[GrantId],
    reason: &str,
    now: DateTime<Utc>,
    sequence: i64,
) -> Result<usize, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let live = oauth_grants::table
        .filter(oauth_grants::id.eq_any(ids).and(oauth_grants::status.ne(GrantStatus::Revoked.as_str())));
    let ended = diesel::update(live)
        .set((
            oauth_grants::status.eq(GrantStatus::Revoked.as_str()),
            oauth_grants::revoked_reason.eq(reason),
            oauth_grants::revoked_at.eq(micros(now)),
            oauth_grants::seq.eq(sequence),
        ))
        .execute(conn)
        .await?;
    Ok(ended)
}

/// A grant as people see it.
#[derive(Debug, Clone)]
pub struct ListedGrant {
    /// The grant.
    pub grant: Grant,
    /// Public name of the app.
    pub client_id: String,
    /// Name of the app.
    pub app_name: String,
    /// Name of the app's publisher.
    pub publisher: String,
    /// Slug of the organization that it is for.
    pub organization: String,
    /// Address of the person who decided.
    pub email: Option<String>,
}

/// Live grants whose code was redeemed, newest first, after a position.
///
/// # Errors
/// When the database can't be reached.
pub async fn list(
    conn: &mut Conn,
    filter: GrantFilter,
    now: DateTime<Utc>,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<ListedGrant>, StoreError> {
    let publishers = diesel::alias!(organizations as publishers);
    type Row = (GrantRow, String, String, String, String, Option<String>);
    let mut query = oauth_grants::table
        .inner_join(oauth_apps::table.on(oauth_apps::id.eq(oauth_grants::app_id)))
        .inner_join(organizations::table.on(organizations::id.eq(oauth_grants::organization_id)))
        .inner_join(publishers.on(publishers.field(organizations::id).eq(oauth_apps::organization_id)))
        .left_join(users::table.on(users::id.nullable().eq(oauth_grants::user_id)))
        .filter(oauth_grants::status.eq(GrantStatus::Active.as_str()))
        .filter(oauth_apps::deleted_at.is_null().and(oauth_grants::created_at.ge(oauth_apps::tokens_valid_from)))
        .filter(oauth_grants::absolute_expires_at.is_null().or(oauth_grants::absolute_expires_at.gt(now)))
        .order((oauth_grants::created_at.desc(), oauth_grants::id.desc()))
        .limit(limit)
        .select((
            GrantRow::as_select(),
            oauth_apps::client_id,
            oauth_apps::name,
            publishers.field(organizations::name),
            organizations::slug,
            users::email.nullable(),
        ))
        .into_boxed();
    if let Some(id) = filter.organization {
        query = query.filter(oauth_grants::organization_id.eq(id.as_uuid()));
    }
    if let Some(id) = filter.app {
        query = query.filter(oauth_grants::app_id.eq(id.as_uuid()));
    }
    if let Some(id) = filter.user {
        query = query.filter(oauth_grants::user_id.eq(id.as_uuid()));
    }
    if let Some(id) = filter.grant {
        query = query.filter(oauth_grants::id.eq(id.as_uuid()));
    }
    if let Some(position) = after {
        query = query.filter(
            oauth_grants::created_at
                .lt(position.created_at)
                .or(oauth_grants::created_at.eq(position.created_at).and(oauth_grants::id.lt(position.id))),
        );
    }
    let rows: Vec<Row> = query.load(conn).await?;
    rows.into_iter()
        .map(|(grant, client_id, app_name, publisher, organization, email)| {
            Ok(ListedGrant { grant: grant.try_into()?, client_id, app_name, publisher, organization, email })
        })
        .collect()
}

/// The grants that ended after a number of the feed. From the beginning, those that ended before a moment are left out:
/// no token of theirs is alive. Later on none is: whoever wrote the time may have another clock.
///
/// # Errors
/// When the database can't be reached.
pub(crate) async fn ended_after(
    conn: &mut Conn,
    after: i64,
    since: DateTime<Utc>,
) -> Result<Vec<(GrantId, DateTime<Utc>)>, StoreError> {
    let rows: Vec<(Uuid, Option<DateTime<Utc>>)> = oauth_grants::table
        .filter(oauth_grants::seq.gt(after).and(oauth_grants::seq.gt(0)))
        .filter(oauth_grants::revoked_at.gt(if after > 0 { DateTime::UNIX_EPOCH } else { since }))
        .select((oauth_grants::id, oauth_grants::revoked_at))
        .load(conn)
        .await?;
    Ok(rows.into_iter().filter_map(|(id, at)| Some((GrantId::from_uuid(id), at?))).collect())
}

/// The accepted calls with a grant's tokens since the last write.
#[derive(Debug, Clone)]
pub struct GrantUsage {
    /// The grant.
    pub grant: GrantId,
    /// Its last accepted call.
    pub at: DateTime<Utc>,
    /// Its distinct addresses, newest first; at most five count.
    pub addresses: Vec<IpAddr>,
}

/// Writes what was collected, one statement for all; times only move forward.
///
/// # Errors
/// When the database can't be reached.
pub async fn write_usage(conn: &mut Conn, usage: &[GrantUsage]) -> Result<(), StoreError> {
    if usage.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = usage.iter().map(|used| used.grant.as_uuid()).collect();
    let times: Vec<DateTime<Utc>> = usage.iter().map(|used| used.at).collect();
    let (mut owners, mut networks, mut places) = (Vec::<Uuid>::new(), Vec::<IpNetwork>::new(), Vec::<i32>::new());
    for used in usage {
        for (place, ip) in used.addresses.iter().take(5).enumerate() {
            owners.push(used.grant.as_uuid());
            networks.push(host(*ip));
            places.push(place as i32);
        }
    }
    sql_query(
        "WITH locked AS (SELECT id FROM oauth_grants WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE)
         UPDATE oauth_grants SET
             last_used_at = GREATEST(oauth_grants.last_used_at, fresh.at),
             last_used_ips = ARRAY(
                 SELECT ip FROM (
                     SELECT DISTINCT ON (ip) ip, place FROM (
                         SELECT seen.ip, seen.place
                         FROM unnest($3::uuid[], $4::inet[], $5::int[]) AS seen(id, ip, place)
                         WHERE seen.id = oauth_grants.id
                         UNION ALL
                         SELECT old.ip, 100 + old.place::int
                         FROM unnest(oauth_grants.last_used_ips) WITH ORDINALITY AS old(ip, place)
                     ) AS merged ORDER BY ip, place
                 ) AS distinct_ones ORDER BY place LIMIT 5)
         FROM unnest($1::uuid[], $2::timestamptz[]) AS fresh(id, at)
         WHERE oauth_grants.id = fresh.id AND oauth_grants.id IN (SELECT id FROM locked)",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<Array<Timestamptz>, _>(times)
    .bind::<Array<SqlUuid>, _>(owners)
    .bind::<Array<Inet>, _>(networks)
    .bind::<Array<Integer>, _>(places)
    .execute(conn)
    .await?;
    Ok(())
}
