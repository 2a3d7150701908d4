//! Access and refresh tokens: digests, never the tokens.

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods as _, ExpressionMethods as _, Insertable, OptionalExtension as _, QueryDsl as _, Queryable,
    Selectable, SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;
use statuspulse_oauth::{Grant, Resources, TokenDigest, refresh::RefreshRecord};
use statuspulse_policy::{GrantId, ScopeSet};
use uuid::Uuid;

use super::{bytes, digest_from, grants::GrantRow};
use crate::{
    Conn,
    error::StoreError,
    rows::micros,
    schema::{oauth_access_tokens, oauth_grants, oauth_refresh_tokens},
};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = oauth_refresh_tokens)]
struct RefreshRow {
    digest: Vec<u8>,
    grant_id: Uuid,
    generation: i64,
    scopes: i64,
    issued_at: DateTime<Utc>,
    idle_expires_at: DateTime<Utc>,
    rotated_at: Option<DateTime<Utc>>,
    successor_sealed: Option<Vec<u8>>,
}

/// Writes a new refresh token; `scopes` are those of the grant.
///
/// # Errors
/// [`StoreError::Duplicate`] when the grant has a token of that generation.
pub async fn insert_refresh(
    conn: &mut Conn,
    digest: &TokenDigest,
    token: &RefreshRecord,
    scopes: ScopeSet,
) -> Result<(), StoreError> {
    let row = RefreshRow {
        digest: digest.as_bytes().to_vec(),
        grant_id: token.grant_id.as_uuid(),
        generation: token.generation,
        scopes: scopes.bits().cast_signed(),
        issued_at: micros(token.issued_at),
        idle_expires_at: micros(token.idle_expires_at),
        rotated_at: token.rotated_at.map(micros),
        successor_sealed: token.successor_sealed.clone(),
    };
    diesel::insert_into(oauth_refresh_tokens::table).values(row).execute(conn).await?;
    Ok(())
}

/// A refresh token by one of the digests that it may be kept under.
///
/// # Errors
/// When the database can't be reached.
pub async fn find_refresh(
    conn: &mut Conn,
    digests: &[TokenDigest],
) -> Result<Option<(TokenDigest, RefreshRecord)>, StoreError> {
    let row: Option<RefreshRow> = oauth_refresh_tokens::table
        .filter(oauth_refresh_tokens::digest.eq_any(bytes(digests)))
        .select(RefreshRow::as_select())
        .first(conn)
        .await
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    let record = RefreshRecord {
        grant_id: GrantId::from_uuid(row.grant_id),
        generation: row.generation,
        issued_at: row.issued_at,
        idle_expires_at: row.idle_expires_at,
        rotated_at: row.rotated_at,
        successor_sealed: row.successor_sealed,
    };
    Ok(Some((digest_from(row.digest, "oauth_refresh_tokens", "digest")?, record)))
}

/// Notes that a refresh token was used, with its successor where the app has a retry window; wipes the successor that the
/// token before still holds. Call it with the grant locked.
///
/// # Errors
/// When the database can't be reached.
pub async fn mark_rotated(
    conn: &mut Conn,
    digest: &TokenDigest,
    token: &RefreshRecord,
    now: DateTime<Utc>,
    successor_sealed: Option<&[u8]>,
) -> Result<bool, StoreError> {
    let fresh = oauth_refresh_tokens::table
        .find(digest.as_bytes().as_slice())
        .filter(oauth_refresh_tokens::rotated_at.is_null());
    let written = diesel::update(fresh)
        .set((
            oauth_refresh_tokens::rotated_at.eq(micros(now)),
            oauth_refresh_tokens::successor_sealed.eq(successor_sealed),
        ))
        .execute(conn)
        .await?;
    let before = oauth_refresh_tokens::table.filter(
        oauth_refresh_tokens::grant_id
            .eq(token.grant_id.as_uuid())
            .and(oauth_refresh_tokens::generation.eq(token.generation - 1)),
    );
    diesel::update(before)
        .set((
            oauth_refresh_tokens::successor_sealed.eq(None::<Vec<u8>>),
            oauth_refresh_tokens::successor_used_at.eq(micros(now)),
        ))
        .execute(conn)
        .await?;
    Ok(written == 1)
}

/// What is kept of an access token.
#[derive(Debug, Clone)]
pub struct AccessRecord {
    /// Its grant.
    pub grant_id: GrantId,
    /// Id of a signed token.
    pub jti: Option<String>,
    /// What it may do.
    pub scopes: ScopeSet,
    /// For whom it is meant.
    pub audiences: Resources,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// Ended from this instant on.
    pub expires_at: DateTime<Utc>,
    /// Ended by somebody from this instant on.
    pub revoked_at: Option<DateTime<Utc>>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = oauth_access_tokens)]
struct AccessRow {
    digest: Vec<u8>,
    grant_id: Uuid,
    jti: Option<String>,
    scopes: i64,
    audiences: Vec<String>,
    issued_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    revoked_at: Option<DateTime<Utc>>,
}

/// Writes a new access token.
///
/// # Errors
/// When the database can't be reached.
pub async fn insert_access(conn: &mut Conn, digest: &TokenDigest, token: &AccessRecord) -> Result<(), StoreError> {
    let row = AccessRow {
        digest: digest.as_bytes().to_vec(),
        grant_id: token.grant_id.as_uuid(),
        jti: token.jti.clone(),
        scopes: token.scopes.bits().cast_signed(),
        audiences: token.audiences.as_slice().to_vec(),
        issued_at: micros(token.issued_at),
        expires_at: micros(token.expires_at),
        revoked_at: None,
    };
    diesel::insert_into(oauth_access_tokens::table).values(row).execute(conn).await?;
    Ok(())
}

/// An access token with its grant, by one of the digests that it may be kept under.
///
/// # Errors
/// When the database can't be reached.
pub async fn find_access(
    conn: &mut Conn,
    digests: &[TokenDigest],
) -> Result<Option<(TokenDigest, AccessRecord, Grant)>, StoreError> {
    let row: Option<(AccessRow, GrantRow)> = oauth_access_tokens::table
        .inner_join(oauth_grants::table)
        .filter(oauth_access_tokens::digest.eq_any(bytes(digests)))
        .select((AccessRow::as_select(), GrantRow::as_select()))
        .first(conn)
        .await
        .optional()?;
    let Some((row, grant)) = row else { return Ok(None) };
    let record = AccessRecord {
        grant_id: GrantId::from_uuid(row.grant_id),
        jti: row.jti,
        scopes: ScopeSet::from_bits(row.scopes.cast_unsigned()),
        audiences: Resources::from_stored(row.audiences),
        issued_at: row.issued_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
    };
    Ok(Some((digest_from(row.digest, "oauth_access_tokens", "digest")?, record, grant.try_into()?)))
}

/// Ends one access token; `false` when it had ended already.
///
/// # Errors
/// When the database can't be reached.
pub async fn revoke_access(
    conn: &mut Conn,
    digest: &TokenDigest,
    now: DateTime<Utc>,
    sequence: i64,
) -> Result<bool, StoreError> {
    let live =
        oauth_access_tokens::table.find(digest.as_bytes().as_slice()).filter(oauth_access_tokens::revoked_at.is_null());
    let written = diesel::update(live)
        .set((oauth_access_tokens::revoked_at.eq(micros(now)), oauth_access_tokens::seq.eq(sequence)))
        .execute(conn)
        .await?;
    Ok(written == 1)
}

/// The access tokens that were ended by somebody after a number of the feed and would live on otherwise.
///
/// # Errors
/// When the database can't be reached.
pub(crate) async fn revoked_after(
    conn: &mut Conn,
    after: i64,
    now: DateTime<Utc>,
) -> Result<Vec<(TokenDigest, DateTime<Utc>)>, StoreError> {
    let rows: Vec<(Vec<u8>, Option<DateTime<Utc>>)> = oauth_access_tokens::table
        .filter(
            oauth_access_tokens::seq
                .gt(after)
                .and(oauth_access_tokens::seq.gt(0))
                .and(oauth_access_tokens::expires_at.gt(now)),
        )
        .select((oauth_access_tokens::digest, oauth_access_tokens::revoked_at))
        .load(conn)
        .await?;
    rows.into_iter()
        .filter_map(|(digest, at)| Some((digest, at?)))
        .map(|(digest, at)| Ok((digest_from(digest, "oauth_access_tokens", "digest")?, at)))
        .collect()
}
