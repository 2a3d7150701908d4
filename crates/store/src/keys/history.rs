//! A key by itself, and its versions in pages.

use diesel::{ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, SelectableHelper as _};
use diesel_async::RunQueryDsl as _;
use statuspulse_keys::key::{Key, KeyVersion};
use statuspulse_policy::{KeyId, OrganizationId};

use super::{KeyRow, VersionRow};
use crate::{
    Conn,
    error::StoreError,
    schema::{key_versions, keys},
};

/// A key of an organization without its versions.
///
/// # Errors
/// When the database can't be reached.
pub async fn find_key(conn: &mut Conn, organization: OrganizationId, id: KeyId) -> Result<Option<Key>, StoreError> {
    let row: Option<KeyRow> = keys::table
        .find(id.as_uuid())
        .filter(keys::organization_id.eq(organization.as_uuid()))
        .select(KeyRow::as_select())
        .first(conn)
        .await
        .optional()?;
    row.map(Key::try_from).transpose()
}

/// The versions of a key below a number, newest first.
///
/// # Errors
/// When the database can't be reached.
pub async fn versions_before(
    conn: &mut Conn,
    id: KeyId,
    before: Option<i32>,
    limit: i64,
) -> Result<Vec<KeyVersion>, StoreError> {
    let rows: Vec<VersionRow> = key_versions::table
        .filter(key_versions::key_id.eq(id.as_uuid()))
        .filter(key_versions::version.lt(before.unwrap_or(i32::MAX)))
        .order(key_versions::version.desc())
        .limit(limit)
        .select(VersionRow::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(KeyVersion::try_from).collect()
}
