//! Authorization codes.

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods as _, ExpressionMethods as _, Insertable, OptionalExtension as _, QueryDsl as _, Queryable,
    Selectable, SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;
use statuspulse_oauth::{Challenge, Resources, TokenDigest, code::CodeRecord};
use statuspulse_policy::{AppId, GrantId, ScopeSet};
use uuid::Uuid;

use super::{bytes, digest_from};
use crate::{Conn, error::StoreError, rows::micros, schema::oauth_codes};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = oauth_codes)]
struct CodeRow {
    digest: Vec<u8>,
    grant_id: Uuid,
    app_id: Uuid,
    redirect_uri: String,
    challenge: Option<String>,
    scopes: i64,
    resources: Vec<String>,
    expires_at: DateTime<Utc>,
    redeemed_at: Option<DateTime<Utc>>,
}

/// Writes a new code.
///
/// # Errors
/// When the database can't be reached.
pub async fn insert(conn: &mut Conn, digest: &TokenDigest, code: &CodeRecord) -> Result<(), StoreError> {
    let row = CodeRow {
        digest: digest.as_bytes().to_vec(),
        grant_id: code.grant_id.as_uuid(),
        app_id: code.app_id.as_uuid(),
        redirect_uri: code.redirect_uri.clone(),
        challenge: code.challenge.as_ref().map(|challenge| challenge.as_str().to_owned()),
        scopes: code.scopes.bits().cast_signed(),
        resources: code.resources.as_slice().to_vec(),
        expires_at: micros(code.expires_at),
        redeemed_at: code.redeemed_at.map(micros),
    };
    diesel::insert_into(oauth_codes::table).values(row).execute(conn).await?;
    Ok(())
}

/// A code by one of the digests that it may be kept under.
///
/// # Errors
/// When the database can't be reached.
pub async fn find(conn: &mut Conn, digests: &[TokenDigest]) -> Result<Option<(TokenDigest, CodeRecord)>, StoreError> {
    let query = oauth_codes::table.filter(oauth_codes::digest.eq_any(bytes(digests))).select(CodeRow::as_select());
    let row: Option<CodeRow> = query.first(conn).await.optional()?;
    let Some(row) = row else { return Ok(None) };
    let corrupt = |column| StoreError::corrupt("oauth_codes", column, row.grant_id);
    let challenge = row.challenge.map(|text| Challenge::parse(&text).ok_or_else(|| corrupt("challenge")));
    let record = CodeRecord {
        grant_id: GrantId::from_uuid(row.grant_id),
        app_id: AppId::from_uuid(row.app_id),
        redirect_uri: row.redirect_uri,
        challenge: challenge.transpose()?,
        scopes: ScopeSet::from_bits(row.scopes.cast_unsigned()),
        resources: Resources::from_stored(row.resources),
        expires_at: row.expires_at,
        redeemed_at: row.redeemed_at,
    };
    Ok(Some((digest_from(row.digest, "oauth_codes", "digest")?, record)))
}

/// Redeems a code; `false` when somebody else was first. This statement decides, also between processes.
///
/// # Errors
/// When the database can't be reached.
pub async fn redeem(conn: &mut Conn, digest: &TokenDigest, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let fresh = oauth_codes::table
        .find(digest.as_bytes().as_slice())
        .filter(oauth_codes::redeemed_at.is_null().and(oauth_codes::expires_at.gt(now)));
    let written = diesel::update(fresh).set(oauth_codes::redeemed_at.eq(micros(now))).execute(conn).await?;
    Ok(written == 1)
}
