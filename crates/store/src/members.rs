//! Who belongs to an organization, in which role.

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods as _, ExpressionMethods as _, JoinOnDsl as _, OptionalExtension as _, QueryDsl as _,
    QueryableByName, sql_query,
    sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl as _;
use statuspulse_policy::{OrganizationId, Role, UserId};
use uuid::Uuid;

use crate::{
    Conn,
    error::StoreError,
    page::Position,
    rows::micros,
    schema::{memberships, users},
    users::User,
};

/// A person in an organization.
#[derive(Debug, Clone)]
pub struct Member {
    /// Who.
    pub user: User,
    /// In which role.
    pub role: Role,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// The newest sign-in since then whose session is kept: what the person did before concerns others.
    pub last_sign_in_at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    email: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    disabled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_sign_in_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Member {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            role: row.role.parse().map_err(|_| StoreError::corrupt("memberships", "role", row.id))?,
            created_at: row.created_at,
            last_sign_in_at: row.last_sign_in_at,
            user: User {
                id: UserId::from_uuid(row.id),
                email: row.email,
                name: row.name,
                disabled_at: row.disabled_at,
            },
        })
    }
}

/// The members of an organization, newest first, after a position; or the one that is named.
async fn load(
    conn: &mut Conn,
    organization: OrganizationId,
    named: Option<UserId>,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Member>, StoreError> {
    let rows: Vec<Row> = sql_query(
        "SELECT u.id, u.email, u.name, u.disabled_at, m.role, m.created_at,
                (SELECT max(s.created_at) FROM sessions s WHERE s.user_id = u.id AND s.created_at >= m.created_at)
                    AS last_sign_in_at
         FROM memberships m JOIN users u ON u.id = m.user_id
         WHERE m.organization_id = $1 AND ($2 IS NULL OR m.user_id = $2)
           AND ($3 IS NULL OR (m.created_at, m.user_id) < ($3, $4))
         ORDER BY m.created_at DESC, m.user_id DESC LIMIT $5",
    )
    .bind::<SqlUuid, _>(organization.as_uuid())
    .bind::<Nullable<SqlUuid>, _>(named.map(UserId::as_uuid))
    .bind::<Nullable<Timestamptz>, _>(after.map(|position| position.created_at))
    .bind::<Nullable<SqlUuid>, _>(after.map(|position| position.id))
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await?;
    rows.into_iter().map(Member::try_from).collect()
}

/// The members of an organization, newest first, after a position.
///
/// # Errors
/// When the database can't be reached.
pub async fn list(
    conn: &mut Conn,
    organization: OrganizationId,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Member>, StoreError> {
    load(conn, organization, None, after, limit).await
}

/// A member.
///
/// # Errors
/// When the database can't be reached.
pub async fn find(conn: &mut Conn, organization: OrganizationId, user: UserId) -> Result<Option<Member>, StoreError> {
    Ok(load(conn, organization, Some(user), None, 1).await?.pop())
}

/// How many members an organization has.
///
/// # Errors
/// When the database can't be reached.
pub async fn count(conn: &mut Conn, organization: OrganizationId) -> Result<i64, StoreError> {
    let members = memberships::table.filter(memberships::organization_id.eq(organization.as_uuid()));
    Ok(members.count().get_result(conn).await?)
}

/// Locks a membership until the end of the transaction, and answers it: nothing is granted on a role that is about to
/// change (see [`holds`]).
///
/// # Errors
/// When the database can't be reached.
pub async fn lock(conn: &mut Conn, organization: OrganizationId, user: UserId) -> Result<Option<Member>, StoreError> {
    let row: Option<Uuid> = memberships::table
        .find((organization.as_uuid(), user.as_uuid()))
        .select(memberships::user_id)
        .for_update()
        .first(conn)
        .await
        .optional()?;
    if row.is_none() {
        return Ok(None);
    }
    find(conn, organization, user).await
}

/// Whether a person has a role right now; it stays so until the end of the transaction.
///
/// # Errors
/// When the database can't be reached.
pub async fn holds(
    conn: &mut Conn,
    organization: OrganizationId,
    user: UserId,
    role: Role,
) -> Result<bool, StoreError> {
    let row: Option<Uuid> = memberships::table
        .find((organization.as_uuid(), user.as_uuid()))
        .filter(memberships::role.eq(role.as_str()))
        .select(memberships::user_id)
        .for_share()
        .first(conn)
        .await
        .optional()?;
    Ok(row.is_some())
}

/// The owners of an organization who can sign in. Who decides by them holds the organization's lock.
///
/// # Errors
/// When the database can't be reached.
pub async fn owners(conn: &mut Conn, organization: OrganizationId) -> Result<Vec<UserId>, StoreError> {
    let ids: Vec<Uuid> = memberships::table
        .inner_join(users::table.on(users::id.eq(memberships::user_id)))
        .filter(
            memberships::organization_id
                .eq(organization.as_uuid())
                .and(memberships::role.eq(Role::Owner.as_str()))
                .and(users::disabled_at.is_null()),
        )
        .select(memberships::user_id)
        .load(conn)
        .await?;
    Ok(ids.into_iter().map(UserId::from_uuid).collect())
}

/// Gives a person a role in an organization.
///
/// # Errors
/// [`StoreError::Duplicate`] of `memberships_pkey` when there is one already.
pub async fn insert(
    conn: &mut Conn,
    organization: OrganizationId,
    user: UserId,
    role: Role,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::insert_into(memberships::table)
        .values((
            memberships::organization_id.eq(organization.as_uuid()),
            memberships::user_id.eq(user.as_uuid()),
            memberships::role.eq(role.as_str()),
            memberships::created_at.eq(micros(now)),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Gives a member another role; `false` when there is no such member.
///
/// # Errors
/// When the database can't be reached.
pub async fn set_role(
    conn: &mut Conn,
    organization: OrganizationId,
    user: UserId,
    role: Role,
) -> Result<bool, StoreError> {
    let written = diesel::update(memberships::table.find((organization.as_uuid(), user.as_uuid())))
        .set(memberships::role.eq(role.as_str()))
        .execute(conn)
        .await?;
    Ok(written == 1)
}

/// Takes a membership away; `false` when there is none.
///
/// # Errors
/// When the database can't be reached.
pub async fn remove(conn: &mut Conn, organization: OrganizationId, user: UserId) -> Result<bool, StoreError> {
    let membership = memberships::table.find((organization.as_uuid(), user.as_uuid()));
    Ok(diesel::delete(membership).execute(conn).await? == 1)
}
