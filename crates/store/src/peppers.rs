//! Master keys and peppers that this database was used with.

use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, QueryableByName, sql_query,
    sql_types::{BigInt, SmallInt, Timestamptz},
};
use diesel_async::RunQueryDsl as _;

use crate::{
    Conn,
    error::StoreError,
    rows::micros,
    schema::{master_keys, pepper_versions},
};

/// A pepper that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PepperVersion {
    /// From 1; the highest is current.
    pub version: i16,
    /// The master key from which it is derived.
    pub master_key_version: i16,
}

/// How many versions of keys still need a pepper.
#[derive(Debug, Clone, QueryableByName)]
pub struct PepperUse {
    /// The pepper.
    #[diesel(sql_type = SmallInt)]
    pub version: i16,
    /// The master key from which it is derived.
    #[diesel(sql_type = SmallInt)]
    pub master_key_version: i16,
    /// When it was started.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// Since when it is no longer looked up.
    #[diesel(sql_type = diesel::sql_types::Nullable<Timestamptz>)]
    pub retired_at: Option<DateTime<Utc>>,
    /// Versions under it whose token is or may again be accepted.
    #[diesel(sql_type = BigInt)]
    pub live_versions: i64,
}

/// The check value of a master key's version, if the database knows one.
///
/// # Errors
/// When the database can't be reached.
pub async fn check_value(conn: &mut Conn, version: i16) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(master_keys::table.find(version).select(master_keys::check_value).first(conn).await.optional()?)
}

/// Whether the database was ever used with a master key.
///
/// # Errors
/// When the database can't be reached.
pub async fn knows_a_master_key(conn: &mut Conn) -> Result<bool, StoreError> {
    Ok(diesel::select(diesel::dsl::exists(master_keys::table.select(master_keys::version))).get_result(conn).await?)
}

/// Remembers the check value of a master key's version; of two instances at once the first one counts.
///
/// # Errors
/// When the database can't be reached.
pub async fn remember_master_key(
    conn: &mut Conn,
    version: i16,
    check_value: &[u8],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::insert_into(master_keys::table)
        .values((
            master_keys::version.eq(version),
            master_keys::check_value.eq(check_value),
            master_keys::created_at.eq(micros(now)),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(())
}

/// The peppers in force, newest first.
///
/// # Errors
/// When the database can't be reached.
pub async fn in_force(conn: &mut Conn) -> Result<Vec<PepperVersion>, StoreError> {
    let rows: Vec<(i16, i16)> = pepper_versions::table
        .filter(pepper_versions::retired_at.is_null())
        .order(pepper_versions::version.desc())
        .select((pepper_versions::version, pepper_versions::master_key_version))
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(|(version, master_key_version)| PepperVersion { version, master_key_version }).collect())
}

pub(crate) async fn changed_after(conn: &mut Conn, after: i64) -> Result<bool, StoreError> {
    let newest: Option<i64> = pepper_versions::table.select(diesel::dsl::max(pepper_versions::seq)).first(conn).await?;
    Ok(newest.is_some_and(|seq| seq > after))
}

/// Starts a pepper; `false` when that version exists already.
///
/// # Errors
/// When the database can't be reached.
pub async fn insert(
    conn: &mut Conn,
    pepper: PepperVersion,
    now: DateTime<Utc>,
    sequence: i64,
) -> Result<bool, StoreError> {
    let inserted = diesel::insert_into(pepper_versions::table)
        .values((
            pepper_versions::version.eq(pepper.version),
            pepper_versions::master_key_version.eq(pepper.master_key_version),
            pepper_versions::created_at.eq(micros(now)),
            pepper_versions::seq.eq(sequence),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(inserted == 1)
}

/// No longer looks up under peppers before a version.
///
/// # Errors
/// When the database can't be reached.
pub async fn retire_before(
    conn: &mut Conn,
    version: i16,
    now: DateTime<Utc>,
    sequence: i64,
) -> Result<usize, StoreError> {
    Ok(diesel::update(
        pepper_versions::table
            .filter(pepper_versions::version.lt(version))
            .filter(pepper_versions::retired_at.is_null()),
    )
    .set((pepper_versions::retired_at.eq(micros(now)), pepper_versions::seq.eq(sequence)))
    .execute(conn)
    .await?)
}

/// Every pepper with the number of versions that still need it, newest first.
///
/// # Errors
/// When the database can't be reached.
pub async fn usage(conn: &mut Conn, now: DateTime<Utc>) -> Result<Vec<PepperUse>, StoreError> {
    Ok(sql_query(
        "SELECT p.version, p.master_key_version, p.created_at, p.retired_at,
                (SELECT count(*) FROM key_versions v JOIN keys k ON k.id = v.key_id
                 WHERE v.pepper_version = p.version AND v.lookup_id IS NOT NULL AND v.valid_until > $1
                   AND v.state IN ('live', 'superseded', 'pending') AND k.revoked_at IS NULL) AS live_versions
         FROM pepper_versions p ORDER BY p.version DESC",
    )
    .bind::<Timestamptz, _>(now)
    .load(conn)
    .await?)
}
