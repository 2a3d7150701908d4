//! Apps, grants and their failures as JSON.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use statuspulse_keys::Creator;
use statuspulse_oauth::{AppSecret, ClientSecret};
use statuspulse_policy::AppSecretId;
use statuspulse_store::{audit::uses::Failure, oauth::grants::ListedGrant};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{CreatorJson, entries, names};
use crate::{
    app::App,
    oauth::{
        apps::{AppView, Page, Registered},
        failures, grants,
        secrets::Added,
    },
};

/// An OAuth app; of its secrets, everything but the secrets.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = App)]
pub struct AppJson {
    id: Uuid,
    client_id: String,
    organization: String,
    name: String,
    kind: &'static str,
    redirect_uris: Vec<String>,
    scopes: Vec<String>,
    default_scopes: Vec<String>,
    require_state: bool,
    require_pkce: bool,
    access_token_format: &'static str,
    refresh_retry_seconds: u32,
    allowed_cidrs: Option<Vec<String>>,
    any_port_on_localhost: bool,
    audiences: Vec<String>,
    status: &'static str,
    secrets: Vec<AppSecretJson>,
    created_at: DateTime<Utc>,
    created_by: CreatorJson,
    updated_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
}

/// A client secret, without the secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AppSecret)]
pub struct AppSecretJson {
    id: Uuid,
    label: Option<String>,
    last4: String,
    created_at: DateTime<Utc>,
    created_by: CreatorJson,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

fn creator(view: &AppView, by: &Creator) -> CreatorJson {
    let email = view.emails.iter().find(|(user, _)| *by == Creator::User(*user)).map(|(_, email)| email.clone());
    CreatorJson::new(by.clone(), email)
}

fn secret(view: &AppView, secret: &AppSecret) -> AppSecretJson {
    AppSecretJson {
        id: secret.id.as_uuid(),
        label: secret.label.clone(),
        last4: secret.last4.clone(),
        created_at: secret.created_at,
        created_by: creator(view, &secret.created_by),
        expires_at: secret.revoked_at.or(secret.expires_at),
        last_used_at: secret.last_used_at,
    }
}

impl AppJson {
    /// An app. The public URL is what an app without audiences of its own stands for.
    #[must_use]
    pub fn new(app: &App, view: &AppView, public_url: &str) -> Self {
        let AppView { app: it, organization, .. } = view;
        let catalog = app.catalog.load();
        let audiences = if it.audiences.is_empty() { vec![public_url.to_owned()] } else { it.audiences.clone() };
        Self {
            id: it.id.as_uuid(),
            client_id: it.client_id.to_string(),
            organization: organization.clone(),
            name: it.name.clone(),
            kind: it.kind.as_str(),
            redirect_uris: it.redirect_uris.iter().map(|uri| uri.as_str().to_owned()).collect(),
            scopes: names(&catalog, it.scopes),
            default_scopes: names(&catalog, it.default_scopes),
            require_state: it.require_state,
            require_pkce: it.require_pkce,
            access_token_format: it.token_format.as_str(),
            refresh_retry_seconds: it.refresh_retry_seconds,
            allowed_cidrs: entries(it.allowlist.as_ref()),
            any_port_on_localhost: it.any_port_on_localhost,
            audiences,
            status: it.status.as_str(),
            secrets: it.secrets.iter().map(|held| secret(view, held)).collect(),
            created_at: it.created_at,
            created_by: creator(view, &it.created_by),
            updated_at: it.updated_at,
            last_used_at: it.last_used_at,
        }
    }
}

/// A client secret on its way to the one who asked for it.
#[derive(ToSchema)]
#[schema(value_type = String)]
pub struct ClientSecretJson(ClientSecret);

impl Serialize for ClientSecretJson {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl std::fmt::Debug for ClientSecretJson {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A new app with its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RegisteredApp)]
pub struct RegisteredJson {
    app: AppJson,
    client_id: String,
    /// In this answer and nowhere else; a public app has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<ClientSecretJson>,
}

impl RegisteredJson {
    /// A new app.
    #[must_use]
    pub fn new(app: &App, registered: Registered, public_url: &str) -> Self {
        Self {
            app: AppJson::new(app, &registered.view, public_url),
            client_id: registered.view.app.client_id.to_string(),
            client_secret: registered.secret.map(ClientSecretJson),
        }
    }
}

/// A page of apps.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AppPage)]
pub struct AppPageJson {
    items: Vec<AppJson>,
    next_cursor: Option<String>,
}

impl AppPageJson {
    /// A page.
    #[must_use]
    pub fn new(app: &App, page: &Page, public_url: &str) -> Self {
        let items = page.items.iter().map(|view| AppJson::new(app, view, public_url)).collect();
        Self { items, next_cursor: page.next_cursor.clone() }
    }
}

/// A new client secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AddedSecret)]
pub struct AddedSecretJson {
    secret: AppSecretJson,
    /// In this answer and nowhere else.
    client_secret: ClientSecretJson,
}

impl AddedSecretJson {
    /// A new secret; none when the app doesn't hold it, which can't be.
    #[must_use]
    pub fn new(added: Added) -> Option<Self> {
        let find = |id: AppSecretId| added.view.app.secrets.iter().find(|held| held.id == id);
        let held = find(added.id)?;
        Some(Self { secret: secret(&added.view, held), client_secret: ClientSecretJson(added.secret) })
    }
}

/// What somebody has authorized.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Grant)]
pub struct GrantJson {
    id: Uuid,
    app: GrantAppJson,
    organization: String,
    /// Who decided; left out where the app acts for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<GrantUserJson>,
    scopes: Vec<String>,
    created_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
    #[schema(value_type = Vec<String>)]
    last_used_ips: Vec<IpAddr>,
    expires_at: Option<DateTime<Utc>>,
}

/// The app of a grant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GrantApp)]
pub struct GrantAppJson {
    id: Uuid,
    client_id: String,
    name: String,
    publisher: String,
}

/// The person of a grant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GrantUser)]
pub struct GrantUserJson {
    id: Uuid,
    email: Option<String>,
}

impl GrantJson {
    /// A grant.
    #[must_use]
    pub fn new(app: &App, listed: &ListedGrant) -> Self {
        let grant = &listed.grant;
        Self {
            id: grant.id.as_uuid(),
            app: GrantAppJson {
                id: grant.app_id.as_uuid(),
                client_id: listed.client_id.clone(),
                name: listed.app_name.clone(),
                publisher: listed.publisher.clone(),
            },
            organization: listed.organization.clone(),
            user: grant.user_id.map(|id| GrantUserJson { id: id.as_uuid(), email: listed.email.clone() }),
            scopes: names(&app.catalog.load(), grant.scopes),
            created_at: grant.created_at,
            last_used_at: grant.last_used_at,
            last_used_ips: grant.last_used_ips.clone(),
            expires_at: grant.absolute_expires_at,
        }
    }
}

/// A page of grants.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GrantPage)]
pub struct GrantPageJson {
    items: Vec<GrantJson>,
    next_cursor: Option<String>,
}

impl GrantPageJson {
    /// A page.
    #[must_use]
    pub fn new(app: &App, page: &grants::Page) -> Self {
        let items = page.items.iter().map(|listed| GrantJson::new(app, listed)).collect();
        Self { items, next_cursor: page.next_cursor.clone() }
    }
}

/// A refused exchange of an app.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AppFailure)]
pub struct FailureJson {
    id: Uuid,
    occurred_at: DateTime<Utc>,
    /// Which exchange, such as `oauth.token`.
    action: String,
    /// The true reason, such as `verifier_mismatch`.
    reason: Option<String>,
    status: Option<i16>,
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    user_agent: Option<String>,
    /// As the answer's `X-Request-Id`.
    request_id: Option<Uuid>,
    /// Where a redirect URI differs: the offset of the first byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_difference: Option<i64>,
}

impl From<&Failure> for FailureJson {
    fn from(failure: &Failure) -> Self {
        Self {
            id: failure.id,
            occurred_at: failure.occurred_at,
            action: failure.action.clone(),
            reason: failure.reason.clone(),
            status: failure.status,
            ip: failure.ip(),
            user_agent: failure.user_agent.clone(),
            request_id: failure.request_id,
            first_difference: failure.first_difference,
        }
    }
}

/// A page of refused exchanges.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AppFailurePage)]
pub struct FailurePageJson {
    items: Vec<FailureJson>,
    next_cursor: Option<String>,
}

impl From<failures::Page> for FailurePageJson {
    fn from(page: failures::Page) -> Self {
        Self { items: page.items.iter().map(FailureJson::from).collect(), next_cursor: page.next_cursor }
    }
}

/// How many grants were ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevokedGrants)]
pub struct RevokedGrantsJson {
    /// The number.
    pub revoked: u64,
}
