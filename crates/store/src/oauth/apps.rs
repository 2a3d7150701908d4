//! Apps with their secrets and redirect URIs.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::{
    AsChangeset, BoolExpressionMethods as _, ExpressionMethods as _, Insertable, OptionalExtension as _, QueryDsl as _,
    Queryable, Selectable, SelectableHelper as _,
    dsl::sql,
    sql_types::{Bool, Text},
};
use diesel_async::RunQueryDsl as _;
use ipnetwork::IpNetwork;
use statuspulse_oauth::{App, AppKind, AppSecret, AppStatus, ClientId, RedirectUri, TokenFormat};
use statuspulse_policy::{AppId, AppSecretId, OrganizationId, ScopeSet};
use uuid::Uuid;

use super::digest_from;
use crate::{
    Conn,
    error::StoreError,
    page::Position,
    rows::{self, micros},
    schema::{oauth_app_secrets, oauth_apps, oauth_redirect_uris},
};

#[derive(Clone, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = oauth_apps, treat_none_as_null = true)]
struct AppRow {
    id: Uuid,
    client_id: String,
    organization_id: Uuid,
    name: String,
    kind: String,
    require_state: bool,
    require_pkce: bool,
    access_token_format: String,
    scopes: i64,
    default_scopes: i64,
    refresh_retry_seconds: i32,
    allowed_cidrs: Option<Vec<IpNetwork>>,
    any_port_on_localhost: bool,
    audiences: Vec<String>,
    status: String,
    tokens_valid_from: DateTime<Utc>,
    created_by: String,
    created_by_kind: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    seq: i64,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = oauth_app_secrets)]
struct SecretRow {
    id: Uuid,
    app_id: Uuid,
    digest: Vec<u8>,
    key_version: i16,
    last4: String,
    label: Option<String>,
    created_by: String,
    created_by_kind: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

impl From<&App> for AppRow {
    fn from(app: &App) -> Self {
        let (created_by_kind, created_by) = rows::creator_words(&app.created_by);
        Self {
            id: app.id.as_uuid(),
            client_id: app.client_id.as_str().to_owned(),
            organization_id: app.organization_id.as_uuid(),
            name: app.name.clone(),
            kind: app.kind.as_str().to_owned(),
            require_state: app.require_state,
            require_pkce: app.require_pkce,
            access_token_format: app.token_format.as_str().to_owned(),
            scopes: app.scopes.bits().cast_signed(),
            default_scopes: app.default_scopes.bits().cast_signed(),
            refresh_retry_seconds: app.refresh_retry_seconds.cast_signed(),
            allowed_cidrs: rows::networks(app.allowlist.as_ref()),
            any_port_on_localhost: app.any_port_on_localhost,
            audiences: app.audiences.clone(),
            status: app.status.as_str().to_owned(),
            tokens_valid_from: micros(app.tokens_valid_from),
            created_by,
            created_by_kind: created_by_kind.to_owned(),
            created_at: micros(app.created_at),
            updated_at: micros(app.updated_at),
            deleted_at: app.deleted_at.map(micros),
            last_used_at: app.last_used_at.map(micros),
            seq: app.sequence,
        }
    }
}

fn app_from(row: AppRow, redirect_uris: Vec<RedirectUri>, secrets: Vec<AppSecret>) -> Result<App, StoreError> {
    let corrupt = |column| StoreError::corrupt("oauth_apps", column, row.id);
    Ok(App {
        id: AppId::from_uuid(row.id),
        client_id: ClientId::parse(&row.client_id).ok_or_else(|| corrupt("client_id"))?,
        organization_id: OrganizationId::from_uuid(row.organization_id),
        name: row.name,
        kind: AppKind::from_word(&row.kind).ok_or_else(|| corrupt("kind"))?,
        require_state: row.require_state,
        require_pkce: row.require_pkce,
        token_format: TokenFormat::from_word(&row.access_token_format).ok_or_else(|| corrupt("access_token_format"))?,
        scopes: ScopeSet::from_bits(row.scopes.cast_unsigned()),
        default_scopes: ScopeSet::from_bits(row.default_scopes.cast_unsigned()),
        refresh_retry_seconds: row.refresh_retry_seconds.try_into().map_err(|_| corrupt("refresh_retry_seconds"))?,
        allowlist: rows::allowlist(row.allowed_cidrs, "oauth_apps", row.id)?,
        any_port_on_localhost: row.any_port_on_localhost,
        audiences: row.audiences,
        status: AppStatus::from_word(&row.status).ok_or_else(|| corrupt("status"))?,
        deleted_at: row.deleted_at,
        tokens_valid_from: row.tokens_valid_from,
        created_by: rows::creator(&row.created_by_kind, row.created_by).ok_or_else(|| corrupt("created_by"))?,
        created_at: row.created_at,
        updated_at: row.updated_at,
        last_used_at: row.last_used_at,
        redirect_uris,
        secrets,
        sequence: row.seq,
    })
}

impl TryFrom<SecretRow> for AppSecret {
    type Error = StoreError;

    fn try_from(row: SecretRow) -> Result<Self, StoreError> {
        let corrupt = |column| StoreError::corrupt("oauth_app_secrets", column, row.id);
        Ok(Self {
            id: AppSecretId::from_uuid(row.id),
            digest: digest_from(row.digest, "oauth_app_secrets", "digest")?,
            key_version: row.key_version,
            last4: row.last4,
            label: row.label,
            created_by: rows::creator(&row.created_by_kind, row.created_by).ok_or_else(|| corrupt("created_by"))?,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        })
    }
}

/// What hangs on apps, by app.
#[derive(Default)]
struct Belongings {
    redirect_uris: HashMap<Uuid, Vec<RedirectUri>>,
    secrets: HashMap<Uuid, Vec<AppSecret>>,
}

impl Belongings {
    fn complete(&mut self, row: AppRow) -> Result<App, StoreError> {
        let uris = self.redirect_uris.remove(&row.id).unwrap_or_default();
        let secrets = self.secrets.remove(&row.id).unwrap_or_default();
        app_from(row, uris, secrets)
    }
}

/// Two queries, however many apps.
async fn belongings(conn: &mut Conn, ids: &[Uuid]) -> Result<Belongings, StoreError> {
    let mut all = Belongings::default();
    let found: Vec<(Uuid, String)> = oauth_redirect_uris::table
        .filter(oauth_redirect_uris::app_id.eq_any(ids))
        .order((oauth_redirect_uris::app_id, oauth_redirect_uris::position))
        .select((oauth_redirect_uris::app_id, oauth_redirect_uris::uri))
        .load(conn)
        .await?;
    for (app, uri) in found {
        all.redirect_uris.entry(app).or_default().push(RedirectUri::from_stored(uri));
    }
    let found: Vec<SecretRow> = oauth_app_secrets::table
        .filter(oauth_app_secrets::app_id.eq_any(ids))
        .order((oauth_app_secrets::created_at.desc(), oauth_app_secrets::id.desc()))
        .select(SecretRow::as_select())
        .load(conn)
        .await?;
    for row in found {
        all.secrets.entry(row.app_id).or_default().push(row.try_into()?);
    }
    Ok(all)
}

/// Completes rows with what hangs on them.
async fn complete(conn: &mut Conn, rows: Vec<AppRow>) -> Result<Vec<App>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut all = belongings(conn, &ids).await?;
    rows.into_iter().map(|row| all.complete(row)).collect()
}

/// Writes a new app with its redirect URIs and secrets.
///
/// # Errors
/// When the database can't be reached.
pub async fn insert(conn: &mut Conn, app: &App) -> Result<(), StoreError> {
    diesel::insert_into(oauth_apps::table).values(AppRow::from(app)).execute(conn).await?;
    write_redirect_uris(conn, app).await?;
    for secret in &app.secrets {
        insert_secret(conn, app.id, secret).await?;
    }
    Ok(())
}

async fn write_redirect_uris(conn: &mut Conn, app: &App) -> Result<(), StoreError> {
    diesel::delete(oauth_redirect_uris::table.filter(oauth_redirect_uris::app_id.eq(app.id.as_uuid())))
        .execute(conn)
        .await?;
    let row = |(place, uri): (usize, &RedirectUri)| {
        (
            oauth_redirect_uris::app_id.eq(app.id.as_uuid()),
            oauth_redirect_uris::uri.eq(uri.as_str().to_owned()),
            oauth_redirect_uris::position.eq(place as i16),
        )
    };
    let rows: Vec<_> = app.redirect_uris.iter().enumerate().map(row).collect();
    diesel::insert_into(oauth_redirect_uris::table).values(rows).execute(conn).await?;
    Ok(())
}

/// Writes a new secret.
///
/// # Errors
/// When the database can't be reached.
pub async fn insert_secret(conn: &mut Conn, app: AppId, secret: &AppSecret) -> Result<(), StoreError> {
    let (created_by_kind, created_by) = rows::creator_words(&secret.created_by);
    let row = SecretRow {
        id: secret.id.as_uuid(),
        app_id: app.as_uuid(),
        digest: secret.digest.as_bytes().to_vec(),
        key_version: secret.key_version,
        last4: secret.last4.clone(),
        label: secret.label.clone(),
        created_by,
        created_by_kind: created_by_kind.to_owned(),
        created_at: micros(secret.created_at),
        expires_at: secret.expires_at.map(micros),
        revoked_at: secret.revoked_at.map(micros),
        last_used_at: None,
    };
    diesel::insert_into(oauth_app_secrets::table).values(row).execute(conn).await?;
    Ok(())
}

/// Writes the ends of a secret.
///
/// # Errors
/// When the database can't be reached.
pub async fn update_secret(conn: &mut Conn, secret: &AppSecret) -> Result<(), StoreError> {
    diesel::update(oauth_app_secrets::table.find(secret.id.as_uuid()))
        .set((
            oauth_app_secrets::expires_at.eq(secret.expires_at.map(micros)),
            oauth_app_secrets::revoked_at.eq(secret.revoked_at.map(micros)),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Writes a changed app with its redirect URIs, if it is still at the change that the caller saw; `false` otherwise.
///
/// # Errors
/// When the database can't be reached.
pub async fn update(conn: &mut Conn, app: &App, seen: i64) -> Result<bool, StoreError> {
    let still = oauth_apps::table.find(app.id.as_uuid()).filter(oauth_apps::seq.eq(seen));
    let written = diesel::update(still).set(AppRow::from(app)).execute(conn).await?;
    if written == 1 {
        write_redirect_uris(conn, app).await?;
    }
    Ok(written == 1)
}

/// An app by its id, deleted ones too. `organization` bounds where it is looked for.
///
/// # Errors
/// When the database can't be reached.
pub async fn find(conn: &mut Conn, organization: Option<OrganizationId>, id: AppId) -> Result<Option<App>, StoreError> {
    let row = oauth_apps::table.find(id.as_uuid()).select(AppRow::as_select()).first(conn).await.optional()?;
    one(conn, organization, row).await
}

/// As [`find`], and locks the app until the end of the transaction: changes of one app take turns here.
///
/// # Errors
/// When the database can't be reached.
pub async fn lock(conn: &mut Conn, organization: Option<OrganizationId>, id: AppId) -> Result<Option<App>, StoreError> {
    let query = oauth_apps::table.find(id.as_uuid()).select(AppRow::as_select()).for_no_key_update();
    let row = query.first(conn).await.optional()?;
    one(conn, organization, row).await
}

/// An app by its public name, deleted ones too. A name that nobody has costs as many queries, so that the time of a failed
/// authentication doesn't tell which names are taken (oauth §4.4).
///
/// # Errors
/// When the database can't be reached.
pub async fn by_client_id(conn: &mut Conn, id: &ClientId) -> Result<Option<App>, StoreError> {
    let query = oauth_apps::table.filter(oauth_apps::client_id.eq(id.as_str())).select(AppRow::as_select());
    let row: Option<AppRow> = query.first(conn).await.optional()?;
    let mut all = belongings(conn, &[row.as_ref().map_or_else(Uuid::nil, |row| row.id)]).await?;
    row.map(|row| all.complete(row)).transpose()
}

async fn one(
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    row: Option<AppRow>,
) -> Result<Option<App>, StoreError> {
    let row = row.filter(|row| organization.is_none_or(|wanted| wanted.as_uuid() == row.organization_id));
    Ok(complete(conn, row.into_iter().collect()).await?.pop())
}

/// Which apps a list shows. Deleted ones are never shown.
#[derive(Debug, Clone, Default)]
pub struct AppFilter {
    /// Only this status.
    pub status: Option<AppStatus>,
    /// Only this kind.
    pub kind: Option<AppKind>,
    /// Part of the name in any case, or a whole id or client id.
    pub text: Option<String>,
}

/// The apps of an organization, newest first, after a position.
///
/// # Errors
/// When the database can't be reached.
pub async fn list(
    conn: &mut Conn,
    organization: OrganizationId,
    filter: &AppFilter,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<App>, StoreError> {
    let mut query = oauth_apps::table
        .filter(oauth_apps::organization_id.eq(organization.as_uuid()).and(oauth_apps::deleted_at.is_null()))
        .order((oauth_apps::created_at.desc(), oauth_apps::id.desc()))
        .limit(limit)
        .select(AppRow::as_select())
        .into_boxed();
    if let Some(status) = filter.status {
        query = query.filter(oauth_apps::status.eq(status.as_str()));
    }
    if let Some(kind) = filter.kind {
        query = query.filter(oauth_apps::kind.eq(kind.as_str()));
    }
    if let Some(text) = &filter.text {
        let named =
            sql::<Bool>("position(lower(").bind::<Text, _>(text.clone()).sql(") IN lower(oauth_apps.name)) > 0");
        query = match text.parse::<Uuid>() {
            Ok(id) => query.filter(named.or(oauth_apps::id.eq(id))),
            Err(_) => query.filter(named.or(oauth_apps::client_id.eq(text.clone()))),
        };
    }
    if let Some(position) = after {
        query = query.filter(
            oauth_apps::created_at
                .lt(position.created_at)
                .or(oauth_apps::created_at.eq(position.created_at).and(oauth_apps::id.lt(position.id))),
        );
    }
    let rows = query.load(conn).await?;
    complete(conn, rows).await
}

/// All apps that changed after a number of the feed.
///
/// # Errors
/// When the database can't be reached.
pub(crate) async fn changed_after(conn: &mut Conn, after: i64) -> Result<Vec<App>, StoreError> {
    let rows = oauth_apps::table.filter(oauth_apps::seq.gt(after)).select(AppRow::as_select()).load(conn).await?;
    complete(conn, rows).await
}

/// Notes that an app, and the secret that it used, were used.
///
/// # Errors
/// When the database can't be reached.
pub async fn touch(
    conn: &mut Conn,
    app: AppId,
    secret: Option<AppSecretId>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    diesel::update(oauth_apps::table.find(app.as_uuid()))
        .set(oauth_apps::last_used_at.eq(micros(now)))
        .execute(conn)
        .await?;
    if let Some(secret) = secret {
        diesel::update(oauth_app_secrets::table.find(secret.as_uuid()))
            .set(oauth_app_secrets::last_used_at.eq(micros(now)))
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// How many apps an organization has.
///
/// # Errors
/// When the database can't be reached.
pub async fn count(conn: &mut Conn, organization: OrganizationId) -> Result<i64, StoreError> {
    let own = oauth_apps::organization_id.eq(organization.as_uuid()).and(oauth_apps::deleted_at.is_null());
    Ok(oauth_apps::table.filter(own).count().get_result(conn).await?)
}
