//! People, their roles, and the back-off after failed sign-ins.

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods as _, ExpressionMethods as _, Insertable, JoinOnDsl as _, OptionalExtension as _,
    QueryDsl as _, Queryable, QueryableByName, Selectable, SelectableHelper as _,
    dsl::sql,
    sql_query,
    sql_types::{Bool, Bytea, Integer, Text, Timestamptz},
};
use diesel_async::RunQueryDsl as _;
use statuspulse_policy::{OrganizationId, Role, UserId};
use uuid::Uuid;

use crate::{
    Conn,
    error::StoreError,
    rows::micros,
    schema::{login_failures, memberships, organizations, users},
};

/// A person.
#[derive(Debug, Clone)]
pub struct User {
    /// Identity.
    pub id: UserId,
    /// Address as typed.
    pub email: String,
    /// Name for people.
    pub name: String,
    /// Since when the account is closed.
    pub disabled_at: Option<DateTime<Utc>>,
}

/// A person's role in an organization.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The organization.
    pub organization_id: OrganizationId,
    /// Its name in URLs.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// The role.
    pub role: Role,
}

/// A person with the stored password hash, for the sign-in alone.
pub struct Credentials {
    /// The person.
    pub user: User,
    /// Argon2id, PHC string.
    pub password_hash: String,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = users)]
struct UserRow {
    id: Uuid,
    email: String,
    name: String,
    password_hash: String,
    created_at: DateTime<Utc>,
    disabled_at: Option<DateTime<Utc>>,
}

impl From<UserRow> for Credentials {
    fn from(row: UserRow) -> Self {
        let user =
            User { id: UserId::from_uuid(row.id), email: row.email, name: row.name, disabled_at: row.disabled_at };
        Self { user, password_hash: row.password_hash }
    }
}

/// Writes a new person.
///
/// # Errors
/// [`StoreError::Duplicate`] of `users_email` when the address is taken.
pub async fn insert(
    conn: &mut Conn,
    id: UserId,
    email: &str,
    name: &str,
    password_hash: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = UserRow {
        id: id.as_uuid(),
        email: email.to_owned(),
        name: name.to_owned(),
        password_hash: password_hash.to_owned(),
        created_at: micros(now),
        disabled_at: None,
    };
    diesel::insert_into(users::table).values(row).execute(conn).await?;
    Ok(())
}

/// A person by address, without regard to case.
///
/// # Errors
/// When the database can't be reached.
pub async fn by_email(conn: &mut Conn, email: &str) -> Result<Option<Credentials>, StoreError> {
    let row: Option<UserRow> = users::table
        .filter(sql::<Bool>("lower(email) = lower(").bind::<Text, _>(email).sql(")"))
        .select(UserRow::as_select())
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(Credentials::from))
}

/// The stored password hash of a person, for the check alone.
///
/// # Errors
/// When the database can't be reached.
pub async fn password_hash(conn: &mut Conn, user: UserId) -> Result<Option<String>, StoreError> {
    Ok(users::table.find(user.as_uuid()).select(users::password_hash).first(conn).await.optional()?)
}

/// Whether a person, whose account isn't closed, still has this password hash; no other one is stored before the end of the
/// transaction.
///
/// # Errors
/// When the database can't be reached.
pub async fn holds_password(conn: &mut Conn, user: UserId, hash: &str) -> Result<bool, StoreError> {
    let held = users::table
        .filter(users::id.eq(user.as_uuid()).and(users::password_hash.eq(hash)).and(users::disabled_at.is_null()))
        .select(users::id)
        .for_share()
        .first::<Uuid>(conn)
        .await
        .optional()?;
    Ok(held.is_some())
}

/// Locks a person until the end of the transaction. Sessions of the person may still begin where they don't ask for the password.
///
/// # Errors
/// When the database can't be reached.
pub async fn lock(conn: &mut Conn, user: UserId) -> Result<(), StoreError> {
    let row = users::table.find(user.as_uuid()).select(users::id).for_no_key_update();
    row.first::<Uuid>(conn).await.optional()?;
    Ok(())
}

/// Stores another password hash in the place of the one that was seen; false when that is no longer stored, or the account is
/// closed.
///
/// # Errors
/// When the database can't be reached.
pub async fn change_password(conn: &mut Conn, user: UserId, hash: &str, seen: &str) -> Result<bool, StoreError> {
    let open = users::id.eq(user.as_uuid()).and(users::disabled_at.is_null());
    let held = users::table.filter(open.and(users::password_hash.eq(seen)));
    Ok(diesel::update(held).set(users::password_hash.eq(hash)).execute(conn).await? == 1)
}

/// Stores another password hash; false when there is no such person, or the account is closed.
///
/// # Errors
/// When the database can't be reached.
pub async fn set_password(conn: &mut Conn, user: UserId, hash: &str) -> Result<bool, StoreError> {
    let open = users::table.filter(users::id.eq(user.as_uuid()).and(users::disabled_at.is_null()));
    Ok(diesel::update(open).set(users::password_hash.eq(hash)).execute(conn).await? == 1)
}

/// People by id.
///
/// # Errors
/// When the database can't be reached.
pub async fn by_ids(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<User>, StoreError> {
    let rows: Vec<UserRow> = users::table.filter(users::id.eq_any(ids)).select(UserRow::as_select()).load(conn).await?;
    Ok(rows.into_iter().map(|row| Credentials::from(row).user).collect())
}

/// The people of an organization with their roles, by address.
///
/// # Errors
/// When the database can't be reached.
pub async fn of_organization(conn: &mut Conn, organization: OrganizationId) -> Result<Vec<(User, Role)>, StoreError> {
    let rows: Vec<(UserRow, String)> = memberships::table
        .inner_join(users::table.on(users::id.eq(memberships::user_id)))
        .filter(memberships::organization_id.eq(organization.as_uuid()))
        .order(users::email)
        .select((UserRow::as_select(), memberships::role))
        .load(conn)
        .await?;
    rows.into_iter()
        .map(|(row, role)| {
            let role = role.parse().map_err(|_| StoreError::corrupt("memberships", "role", row.id))?;
            Ok((Credentials::from(row).user, role))
        })
        .collect()
}

/// The organizations of a person, the one they have belonged to for longest first: who is added to another one stays at home.
///
/// # Errors
/// When the database can't be reached.
pub async fn memberships_of(conn: &mut Conn, user: UserId) -> Result<Vec<Membership>, StoreError> {
    let rows: Vec<(Uuid, String, String, String)> = memberships::table
        .inner_join(organizations::table)
        .filter(memberships::user_id.eq(user.as_uuid()))
        .order((memberships::created_at, organizations::slug))
        .select((organizations::id, organizations::slug, organizations::name, memberships::role))
        .load(conn)
        .await?;
    rows.into_iter()
        .map(|(id, slug, name, role)| {
            let role = role.parse().map_err(|_| StoreError::corrupt("memberships", "role", user))?;
            Ok(Membership { organization_id: OrganizationId::from_uuid(id), slug, name, role })
        })
        .collect()
}

/// How failed sign-ins slow further ones down.
#[derive(Debug, Clone, Copy)]
pub struct BackOff {
    /// Tries in a row that cost nothing.
    pub free: i32,
    /// The longest wait in seconds; it doubles with each try beyond the free ones, from one second.
    pub longest_seconds: i32,
    /// Tries from before this moment no longer count.
    pub forget_before: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct Blocked {
    #[diesel(sql_type = Timestamptz)]
    blocked_until: DateTime<Utc>,
}

/// Counts a try as failed before its password is looked at, unless tries are blocked now: then nothing is counted and the
/// end of the block comes back. One statement, so that of many parallel guesses each sees the count of the one before.
///
/// Only beyond the free tries are times compared. Parallel tries arrive in another order than that of their clocks, and the
/// clocks of instances differ: a `now` from before the last try must not count as blocked by it.
///
/// # Errors
/// When the database can't be reached.
pub async fn begin_login(
    conn: &mut Conn,
    subject: &[u8; 32],
    now: DateTime<Utc>,
    back_off: BackOff,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let counted = sql_query(
        "INSERT INTO login_failures AS f (subject, failures, last_at, blocked_until) VALUES ($1, 1, $2, $2)
         ON CONFLICT (subject) DO UPDATE SET
             failures = CASE WHEN f.last_at < $3 THEN 1 ELSE f.failures + 1 END,
             last_at = $2,
             blocked_until = CASE WHEN f.last_at < $3 OR f.failures + 1 < $4 THEN $2
                 ELSE $2 + make_interval(secs => LEAST($5, power(2, LEAST(f.failures + 1 - $4, 20)))) END
         WHERE f.failures < $4 OR f.blocked_until <= $2",
    )
    .bind::<Bytea, _>(subject.as_slice())
    .bind::<Timestamptz, _>(micros(now))
    .bind::<Timestamptz, _>(micros(back_off.forget_before))
    .bind::<Integer, _>(back_off.free)
    .bind::<Integer, _>(back_off.longest_seconds)
    .execute(conn)
    .await?;
    if counted == 1 {
        return Ok(None);
    }
    let blocked: Option<Blocked> = sql_query("SELECT blocked_until FROM login_failures WHERE subject = $1")
        .bind::<Bytea, _>(subject.as_slice())
        .get_result(conn)
        .await
        .optional()?;
    Ok(Some(blocked.map_or(now, |row| row.blocked_until)))
}

/// Takes one counted try back: it was a success. The others of the same network stay.
///
/// # Errors
/// When the database can't be reached.
pub async fn uncount_login(conn: &mut Conn, subject: &[u8; 32]) -> Result<(), StoreError> {
    diesel::update(login_failures::table.find(subject.as_slice()))
        .set((
            login_failures::failures.eq(login_failures::failures - 1),
            login_failures::blocked_until.eq(login_failures::last_at),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets the failures of an account after a success.
///
/// # Errors
/// When the database can't be reached.
pub async fn forget_login_failures(conn: &mut Conn, subject: &[u8; 32]) -> Result<(), StoreError> {
    diesel::delete(login_failures::table.find(subject.as_slice())).execute(conn).await?;
    Ok(())
}

/// Removes failures whose last one is older than a moment.
///
/// # Errors
/// When the database can't be reached.
pub async fn remove_old_login_failures(conn: &mut Conn, before: DateTime<Utc>) -> Result<usize, StoreError> {
    Ok(diesel::delete(login_failures::table.filter(login_failures::last_at.lt(before))).execute(conn).await?)
}
