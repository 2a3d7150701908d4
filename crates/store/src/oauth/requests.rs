//! Authorization requests that wait for a sign-in or a decision, each under a one-time handle.

use chrono::{DateTime, Utc};
use diesel::{
    BoolExpressionMethods as _, ExpressionMethods as _, Insertable, OptionalExtension as _, QueryDsl as _, Queryable,
    Selectable, SelectableHelper as _,
};
use diesel_async::RunQueryDsl as _;
use statuspulse_oauth::TokenDigest;
use statuspulse_policy::{AppId, SessionId, UserId};
use uuid::Uuid;

use super::bytes;
use crate::{Conn, error::StoreError, rows::micros, schema::oauth_requests};

/// A request that waits.
#[derive(Debug, Clone)]
pub struct WaitingRequest {
    /// The session that was asked; none while it waits for a sign-in.
    pub session: Option<SessionId>,
    /// Who was asked; none while it waits for a sign-in.
    pub user: Option<UserId>,
    /// The app that asks.
    pub app: AppId,
    /// The query as it came.
    pub parameters: String,
    /// End.
    pub expires_at: DateTime<Utc>,
    /// When it served.
    pub used_at: Option<DateTime<Utc>>,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = oauth_requests)]
struct RequestRow {
    handle_digest: Vec<u8>,
    session_id: Option<Uuid>,
    user_id: Option<Uuid>,
    app_id: Uuid,
    parameters: String,
    expires_at: DateTime<Utc>,
    used_at: Option<DateTime<Utc>>,
}

/// Writes a request.
///
/// # Errors
/// When the database can't be reached.
pub async fn insert(conn: &mut Conn, handle: &TokenDigest, request: &WaitingRequest) -> Result<(), StoreError> {
    let row = RequestRow {
        handle_digest: handle.as_bytes().to_vec(),
        session_id: request.session.map(SessionId::as_uuid),
        user_id: request.user.map(UserId::as_uuid),
        app_id: request.app.as_uuid(),
        parameters: request.parameters.clone(),
        expires_at: micros(request.expires_at),
        used_at: None,
    };
    diesel::insert_into(oauth_requests::table).values(row).execute(conn).await?;
    Ok(())
}

/// A request by the digests of its handle.
///
/// # Errors
/// When the database can't be reached.
pub async fn find(conn: &mut Conn, handle: &[TokenDigest]) -> Result<Option<WaitingRequest>, StoreError> {
    let query = oauth_requests::table
        .filter(oauth_requests::handle_digest.eq_any(bytes(handle)))
        .select(RequestRow::as_select());
    let row: Option<RequestRow> = query.first(conn).await.optional()?;
    Ok(row.map(|row| WaitingRequest {
        session: row.session_id.map(SessionId::from_uuid),
        user: row.user_id.map(UserId::from_uuid),
        app: AppId::from_uuid(row.app_id),
        parameters: row.parameters,
        expires_at: row.expires_at,
        used_at: row.used_at,
    }))
}

/// Uses a handle up; `false` when it has served or ended. This statement decides which of two answers counts.
///
/// # Errors
/// When the database can't be reached.
pub async fn take(conn: &mut Conn, handle: &[TokenDigest], now: DateTime<Utc>) -> Result<bool, StoreError> {
    let fresh = oauth_requests::table.filter(
        oauth_requests::handle_digest
            .eq_any(bytes(handle))
            .and(oauth_requests::used_at.is_null())
            .and(oauth_requests::expires_at.gt(now)),
    );
    Ok(diesel::update(fresh).set(oauth_requests::used_at.eq(micros(now))).execute(conn).await? == 1)
}
