//! Apps: registration, change, suspension, deletion.

use serde_json::json;
use statuspulse_audit::{Action, Class};
use statuspulse_keys::Creator;
use statuspulse_oauth::{App as OauthApp, AppKind, AppStatus, ClientId, ClientSecret, token::CLIENT_ID_ENTROPY};
use statuspulse_policy::{Allowlist, AppId, ScopeSet};
use statuspulse_store::{
    AsyncConnection as _, Conn, feed,
    oauth::apps::{self, AppFilter},
    page::Position,
    users,
};

use self::fields::{
    Errors, allowlist_of, audiences_of, check_name, check_whole, format_of, kind_of, redirect_uris_of, retry_of,
    scopes_of,
};
use super::secrets::new_secret;
use crate::{
    app::App,
    caller::{Access, Caller},
    cursor,
    error::{AppError, FieldError},
};

mod fields;

const DEFAULT_PAGE: i64 = 50;
const LONGEST_PAGE: i64 = 200;
/// Live apps of an organization, at most.
pub const APP_LIMIT: i64 = 1_000;

/// What a new app is asked to be, as it comes from outside.
#[derive(Debug, Clone, Default)]
pub struct CreateApp {
    /// 1 to 100 characters.
    pub name: String,
    /// `confidential` or `public`.
    pub kind: String,
    /// 1 to 20.
    pub redirect_uris: Vec<String>,
    /// Scopes by name.
    pub scopes: Vec<String>,
    /// What it gets when it asks for nothing; none for no default.
    pub default_scopes: Option<Vec<String>>,
    /// See [`OauthApp`].
    pub require_state: Option<bool>,
    /// See [`OauthApp`].
    pub require_pkce: Option<bool>,
    /// `opaque` or `jwt`.
    pub access_token_format: Option<String>,
    /// 0 to 60.
    pub refresh_retry_seconds: Option<i64>,
    /// 1 to 50 networks; none means any address.
    pub allowed_cidrs: Option<Vec<String>>,
    /// See [`OauthApp`].
    pub any_port_on_localhost: Option<bool>,
    /// What it stands for as a resource server; none means the public URL.
    pub audiences: Option<Vec<String>>,
    /// Name of its first secret, for people.
    pub secret_label: Option<String>,
}

/// What is to change; what is not given stays.
#[derive(Debug, Clone, Default)]
pub struct ChangeApp {
    /// See [`CreateApp`].
    pub name: Option<String>,
    /// Must be what it is.
    pub kind: Option<String>,
    /// Replaces all.
    pub redirect_uris: Option<Vec<String>>,
    /// Replaces all.
    pub scopes: Option<Vec<String>>,
    /// Replaces all; an empty list for no default.
    pub default_scopes: Option<Vec<String>>,
    /// See [`CreateApp`].
    pub require_state: Option<bool>,
    /// See [`CreateApp`].
    pub require_pkce: Option<bool>,
    /// See [`CreateApp`].
    pub access_token_format: Option<String>,
    /// See [`CreateApp`].
    pub refresh_retry_seconds: Option<i64>,
    /// `Some(None)` means any address.
    pub allowed_cidrs: Option<Option<Vec<String>>>,
    /// See [`CreateApp`].
    pub any_port_on_localhost: Option<bool>,
    /// `Some(None)` means the public URL.
    pub audiences: Option<Option<Vec<String>>>,
    /// `active` or `suspended`.
    pub status: Option<String>,
}

/// An app as it is shown.
#[derive(Debug)]
pub struct AppView {
    /// The app.
    pub app: OauthApp,
    /// Slug of its publisher.
    pub organization: String,
    /// Addresses of the people who made it or its secrets, by id.
    pub emails: Vec<(statuspulse_policy::UserId, String)>,
}

/// A new app with its secret, if it has one.
#[derive(Debug)]
pub struct Registered {
    /// The app.
    pub view: AppView,
    /// Shown once.
    pub secret: Option<ClientSecret>,
}

/// What an app may ask for that was registered without saying it, by name: everything that only reads, but for the
/// management scopes, which are about this service and its credentials.
#[must_use]
pub fn scopes_unless_told(app: &App) -> Vec<String> {
    let catalog = app.catalog.load();
    let scopes = catalog.read_only().difference(catalog.management());
    catalog.names(scopes).into_iter().map(str::to_owned).collect()
}

/// Registers an app. A confidential one gets its first secret, which is in the answer and nowhere else.
///
/// # Errors
/// 422 by field, 403 `scope_not_grantable` or `role_not_sufficient`, 409 `app_limit_reached`.
pub async fn create(
    app: &App,
    caller: &Caller,
    access: &Access,
    input: CreateApp,
    public_url: &str,
) -> Result<Registered, AppError> {
    access.require_writer()?;
    let mut oauth_app = judge(app, caller, access, &input, public_url)?;
    access.require_grantable(app, oauth_app.scopes)?;
    let secret = match oauth_app.kind {
        AppKind::Public => None,
        AppKind::Confidential => {
            let (secret, record) = new_secret(app, caller, input.secret_label.as_deref())?;
            oauth_app.secrets.push(record);
            Some(secret)
        }
    };
    let event = caller
        .event(app, Class::A, Action::AppCreate, Some(access.organization.id))?
        .with("app_id", oauth_app.id.to_string())
        .with("kind", oauth_app.kind.as_str())
        .with("scopes", super::scope_names(app, oauth_app.scopes));
    let mut conn = app.conn().await?;
    let view = conn
        .transaction(async |conn| {
            // Registrations of one organization take turns here, so that the limit is counted and not guessed.
            let organization = statuspulse_store::organizations::lock(conn, access.organization.id).await?;
            let organization = organization.ok_or(AppError::NotFound("organization"))?;
            let today = Access { organization, right: access.right };
            today.require_grantable(app, oauth_app.scopes)?;
            if apps::count(conn, access.organization.id).await? >= APP_LIMIT {
                let detail = format!("an organization has at most {APP_LIMIT} apps; delete some that nobody uses");
                return Err(AppError::conflict("app_limit_reached", detail));
            }
            app.recorder.record(conn, event).await?;
            oauth_app.sequence = feed::next(conn).await?;
            apps::insert(conn, &oauth_app).await?;
            view(conn, access, oauth_app).await
        })
        .await?;
    caller.mark_recorded();
    app.replica.catch_up().await;
    Ok(Registered { view, secret })
}

fn judge(
    app: &App,
    caller: &Caller,
    access: &Access,
    input: &CreateApp,
    public_url: &str,
) -> Result<OauthApp, AppError> {
    let catalog = app.catalog.load();
    let now = app.env.now();
    let mut errors = Errors::default();
    errors.keep(check_name(&input.name))?;
    let kind = errors.keep(kind_of(&input.kind))?;
    let uris = errors.keep(redirect_uris_of(&input.redirect_uris, kind.unwrap_or(AppKind::Public)))?;
    let scopes = errors.keep(scopes_of("scopes", &input.scopes, &catalog))?;
    let default_scopes = match &input.default_scopes {
        None => Some(ScopeSet::EMPTY),
        Some(names) if names.is_empty() => Some(ScopeSet::EMPTY),
        Some(names) => errors.keep(scopes_of("default_scopes", names, &catalog))?,
    };
    let format = errors.keep(format_of(input.access_token_format.as_deref().unwrap_or("opaque")))?;
    let retry = errors.keep(retry_of(input.refresh_retry_seconds.unwrap_or(0)))?;
    let allowlist = errors.keep(allowlist_of(input.allowed_cidrs.as_deref()))?;
    let audiences = errors.keep(audiences_of(input.audiences.as_deref(), &catalog, public_url))?;
    if let Some(label) = &input.secret_label {
        errors.keep(super::secrets::check_label(label))?;
    }
    let require_pkce = input.require_pkce.unwrap_or(true);
    let all = (kind, uris, scopes, default_scopes, format, retry, allowlist, audiences);
    let (
        Some(kind),
        Some(uris),
        Some(scopes),
        Some(default_scopes),
        Some(format),
        Some(retry),
        Some(allowlist),
        Some(audiences),
    ) = all
    else {
        return Err(AppError::Invalid(errors.0));
    };
    let oauth_app = OauthApp {
        id: AppId::from_uuid(app.env.id()?),
        client_id: ClientId::from_entropy(&app.env.random::<CLIENT_ID_ENTROPY>()?),
        organization_id: access.organization.id,
        name: input.name.clone(),
        kind,
        require_state: input.require_state.unwrap_or(true),
        require_pkce,
        token_format: format,
        scopes,
        default_scopes,
        refresh_retry_seconds: retry,
        allowlist,
        any_port_on_localhost: input.any_port_on_localhost.unwrap_or(false),
        audiences,
        status: AppStatus::Active,
        deleted_at: None,
        tokens_valid_from: now,
        created_by: caller.principal.creator(),
        created_at: now,
        updated_at: now,
        last_used_at: None,
        redirect_uris: uris,
        secrets: Vec::new(),
        sequence: 0,
    };
    errors.keep(check_whole(&oauth_app, &catalog))?;
    errors.done()?;
    Ok(oauth_app)
}

/// An app with what people want to know about it.
pub(super) async fn view(conn: &mut Conn, access: &Access, app: OauthApp) -> Result<AppView, AppError> {
    views(conn, access, vec![app]).await?.pop().ok_or_else(|| AppError::internal("a view of nothing"))
}

async fn views(conn: &mut Conn, access: &Access, list: Vec<OauthApp>) -> Result<Vec<AppView>, AppError> {
    let creators = |app: &OauthApp| {
        let of_secrets = app.secrets.iter().map(|secret| secret.created_by.clone());
        std::iter::once(app.created_by.clone()).chain(of_secrets).collect::<Vec<_>>()
    };
    let ids: Vec<uuid::Uuid> = list
        .iter()
        .flat_map(creators)
        .filter_map(|creator| match creator {
            Creator::User(id) => Some(id.as_uuid()),
            Creator::Operator(_) => None,
        })
        .collect();
    let people = users::by_ids(conn, &ids).await?;
    let emails: Vec<_> = people.into_iter().map(|user| (user.id, user.email)).collect();
    let organization = access.organization.slug.clone();
    Ok(list
        .into_iter()
        .map(|app| AppView { app, organization: organization.clone(), emails: emails.clone() })
        .collect())
}

/// An app of the organization.
///
/// # Errors
/// 404, 503.
pub async fn show(app: &App, access: &Access, id: AppId) -> Result<AppView, AppError> {
    let mut conn = app.conn().await?;
    let found = apps::find(&mut conn, Some(access.organization.id), id).await?;
    let found = found.filter(|app| app.deleted_at.is_none()).ok_or(AppError::NotFound("app"))?;
    view(&mut conn, access, found).await
}

/// The id of an app that is named by its id or its client id.
///
/// # Errors
/// 404, 503.
pub async fn named(app: &App, text: &str) -> Result<OauthApp, AppError> {
    let mut conn = app.conn().await?;
    let found = match (ClientId::parse(text), text.parse::<AppId>()) {
        (Some(client_id), _) => apps::by_client_id(&mut conn, &client_id).await?,
        (None, Ok(id)) => apps::find(&mut conn, None, id).await?,
        (None, Err(_)) => None,
    };
    found.filter(|app| app.deleted_at.is_none()).ok_or(AppError::NotFound("app"))
}

/// A page of apps.
#[derive(Debug)]
pub struct Page {
    /// Newest first.
    pub items: Vec<AppView>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// The apps of an organization, newest first.
///
/// # Errors
/// 400 `invalid_cursor`, 422 for a page out of bounds, 503.
pub async fn list(
    app: &App,
    access: &Access,
    filter: &AppFilter,
    limit: Option<i64>,
    after: Option<&str>,
) -> Result<Page, AppError> {
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(AppError::field("limit", "out_of_bounds", "a page has 1 to 200 items"));
    }
    let filters = format!("{filter:?}");
    let list = cursor::List { name: "apps", organization: access.organization.id, filters: &filters };
    let after = after.map(|text| cursor::read(&app.secrets, &list, text)).transpose()?;
    let mut conn = app.conn().await?;
    let mut found = apps::list(&mut conn, access.organization.id, filter, after, limit + 1).await?;
    let more = found.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next_cursor = found.last().filter(|_| more).map(|last| {
        cursor::write(&app.secrets, &list, Position { created_at: last.created_at, id: last.id.as_uuid() })
    });
    Ok(Page { items: views(&mut conn, access, found).await?, next_cursor })
}

/// Changes an app. Suspending ends all of its tokens for good; switching it on again lets it get new ones.
///
/// # Errors
/// 404, 422 by field, 403.
pub async fn change(
    app: &App,
    caller: &Caller,
    access: &Access,
    id: AppId,
    input: &ChangeApp,
    public_url: &str,
) -> Result<AppView, AppError> {
    access.require_writer()?;
    let mut conn = app.conn().await?;
    let (view, changed) = conn
        .transaction(async |conn| {
            let before = locked(conn, access, id).await?;
            let mut after = apply(app, &before, input, public_url)?;
            // Whoever may not hand out a scope may not change where its holders are sent either.
            access.require_grantable(app, before.scopes.union(after.scopes))?;
            let names = changed_fields(&before, &after);
            if names.is_empty() {
                return Ok((view(conn, access, before).await?, false));
            }
            let event = caller
                .event(app, Class::A, Action::AppUpdate, Some(access.organization.id))?
                .with("app_id", id.to_string())
                .with("fields", json!(names))
                .with("status", after.status.as_str());
            app.recorder.record(conn, event).await?;
            after.updated_at = app.env.now();
            write(conn, &mut after).await?;
            Ok::<_, AppError>((view(conn, access, after).await?, true))
        })
        .await?;
    if changed {
        caller.mark_recorded();
        app.replica.catch_up().await;
    }
    Ok(view)
}

/// An app of the organization, locked.
pub(super) async fn locked(conn: &mut Conn, access: &Access, id: AppId) -> Result<OauthApp, AppError> {
    let found = apps::lock(conn, Some(access.organization.id), id).await?;
    found.filter(|app| app.deleted_at.is_none()).ok_or(AppError::NotFound("app"))
}

/// Writes a locked app under the next number of the feed.
pub(super) async fn write(conn: &mut Conn, app: &mut OauthApp) -> Result<(), AppError> {
    let seen = app.sequence;
    app.sequence = feed::next(conn).await?;
    if apps::update(conn, app, seen).await? {
        Ok(())
    } else {
        Err(AppError::conflict("changed_meanwhile", "the app was changed at the same moment; look at it again"))
    }
}

fn apply(app: &App, before: &OauthApp, input: &ChangeApp, public_url: &str) -> Result<OauthApp, AppError> {
    let catalog = app.catalog.load();
    let mut after = before.clone();
    let mut errors = Errors::default();
    if let Some(name) = &input.name {
        errors.keep(check_name(name))?;
        after.name.clone_from(name);
    }
    if let Some(kind) = &input.kind
        && errors.keep(kind_of(kind))?.is_some_and(|kind| kind != before.kind)
    {
        let detail = "an app stays what it is; register another one";
        errors.0.push(FieldError::new("kind", "kind_is_fixed", detail));
    }
    if let Some(texts) = &input.redirect_uris {
        after.redirect_uris = errors.keep(redirect_uris_of(texts, before.kind))?.unwrap_or_default();
    }
    if let Some(names) = &input.scopes {
        after.scopes = errors.keep(scopes_of("scopes", names, &catalog))?.unwrap_or(before.scopes);
    }
    match &input.default_scopes {
        None => {}
        Some(names) if names.is_empty() => after.default_scopes = ScopeSet::EMPTY,
        Some(names) => {
            let parsed = errors.keep(scopes_of("default_scopes", names, &catalog))?;
            after.default_scopes = parsed.unwrap_or(ScopeSet::EMPTY);
        }
    }
    after.require_state = input.require_state.unwrap_or(before.require_state);
    after.require_pkce = input.require_pkce.unwrap_or(before.require_pkce);
    after.any_port_on_localhost = input.any_port_on_localhost.unwrap_or(before.any_port_on_localhost);
    if let Some(word) = &input.access_token_format {
        after.token_format = errors.keep(format_of(word))?.unwrap_or(before.token_format);
    }
    if let Some(seconds) = input.refresh_retry_seconds {
        after.refresh_retry_seconds = errors.keep(retry_of(seconds))?.unwrap_or(0);
    }
    if let Some(entries) = &input.allowed_cidrs {
        after.allowlist = errors.keep(allowlist_of(entries.as_deref()))?.flatten();
    }
    if let Some(list) = &input.audiences {
        after.audiences = errors.keep(audiences_of(list.as_deref(), &catalog, public_url))?.unwrap_or_default();
    }
    if let Some(word) = &input.status {
        let status = AppStatus::from_word(word)
            .ok_or_else(|| AppError::field("status", "unknown_status", "a status is `active` or `suspended`"));
        after.status = errors.keep(status)?.unwrap_or(before.status);
    }
    // At the end of a suspension too: an exchange that was under way when it began may have issued something since.
    if after.status != before.status {
        after.tokens_valid_from = valid_from_now_on(app, before);
    }
    errors.keep(check_whole(&after, &catalog))?;
    errors.done()?;
    Ok(after)
}

/// From a microsecond after now: what was issued in this one is dead too.
fn valid_from_now_on(app: &App, before: &OauthApp) -> chrono::DateTime<chrono::Utc> {
    (app.env.now() + chrono::Duration::microseconds(1)).max(before.tokens_valid_from)
}

fn changed_fields(before: &OauthApp, after: &OauthApp) -> Vec<&'static str> {
    let list = |list: &Option<Allowlist>| list.as_ref().map(|list| list.entries().to_vec());
    let differs = [
        ("name", before.name != after.name),
        ("redirect_uris", before.redirect_uris != after.redirect_uris),
        ("scopes", before.scopes != after.scopes),
        ("default_scopes", before.default_scopes != after.default_scopes),
        ("require_state", before.require_state != after.require_state),
        ("require_pkce", before.require_pkce != after.require_pkce),
        ("access_token_format", before.token_format != after.token_format),
        ("refresh_retry_seconds", before.refresh_retry_seconds != after.refresh_retry_seconds),
        ("allowed_cidrs", list(&before.allowlist) != list(&after.allowlist)),
        ("any_port_on_localhost", before.any_port_on_localhost != after.any_port_on_localhost),
        ("audiences", before.audiences != after.audiences),
        ("status", before.status != after.status),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// Deletes an app: nothing is issued any more, and everything that was issued is dead. The row stays, since grants and the
/// trail speak of it.
///
/// # Errors
/// 404, 403, 503.
pub async fn delete(app: &App, caller: &Caller, access: &Access, id: AppId) -> Result<(), AppError> {
    access.require_writer()?;
    let mut conn = app.conn().await?;
    conn.transaction(async |conn| {
        let mut found = locked(conn, access, id).await?;
        access.require_grantable(app, found.scopes)?;
        let event = caller
            .event(app, Class::A, Action::AppDelete, Some(access.organization.id))?
            .with("app_id", id.to_string());
        app.recorder.record(conn, event).await?;
        found.deleted_at = Some(app.env.now());
        found.updated_at = app.env.now();
        found.tokens_valid_from = valid_from_now_on(app, &found);
        write(conn, &mut found).await
    })
    .await?;
    caller.mark_recorded();
    app.replica.catch_up().await;
    Ok(())
}
