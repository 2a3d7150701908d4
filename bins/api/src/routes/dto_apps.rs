//! Bodies about apps and grants as they come.

use serde::Deserialize;
use statuspulse_app::oauth::apps::{ChangeApp, CreateApp};
use utoipa::ToSchema;

use crate::http::body::{given, not_null};

/// A new app.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewApp {
    /// 1 to 100 characters.
    name: String,
    /// `confidential` or `public`.
    kind: String,
    /// 1 to 20, compared byte for byte.
    redirect_uris: Vec<String>,
    scopes: Vec<String>,
    /// What it gets when it asks for nothing; among `scopes`. Left out: no default.
    default_scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "not_null")]
    require_state: Option<bool>,
    /// Can't be switched off for a public app.
    #[serde(default, deserialize_with = "not_null")]
    require_pkce: Option<bool>,
    /// `opaque` (the default: revocation is immediate everywhere) or `jwt` (who verifies offline sees it at the end).
    #[serde(default, deserialize_with = "not_null")]
    access_token_format: Option<String>,
    /// 0 to 60. Within it a used refresh token gives the same successor again; so does a thief's, who is found out one
    /// generation later.
    #[serde(default, deserialize_with = "not_null")]
    refresh_retry_seconds: Option<i64>,
    /// 1 to 50 networks; null means any address.
    allowed_cidrs: Option<Vec<String>>,
    #[serde(default, deserialize_with = "not_null")]
    any_port_on_localhost: Option<bool>,
    /// What it stands for when it asks about tokens; null means the public URL.
    audiences: Option<Vec<String>>,
}

impl From<NewApp> for CreateApp {
    fn from(body: NewApp) -> Self {
        Self {
            name: body.name,
            kind: body.kind,
            redirect_uris: body.redirect_uris,
            scopes: body.scopes,
            default_scopes: body.default_scopes,
            require_state: body.require_state,
            require_pkce: body.require_pkce,
            access_token_format: body.access_token_format,
            refresh_retry_seconds: body.refresh_retry_seconds,
            allowed_cidrs: body.allowed_cidrs,
            any_port_on_localhost: body.any_port_on_localhost,
            audiences: body.audiences,
            secret_label: None,
        }
    }
}

/// A change of an app; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedApp {
    #[serde(default, deserialize_with = "not_null")]
    name: Option<String>,
    /// Can't be changed; must be what it is.
    #[serde(default, deserialize_with = "not_null")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    redirect_uris: Option<Vec<String>>,
    #[serde(default, deserialize_with = "not_null")]
    scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    default_scopes: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "not_null")]
    require_state: Option<bool>,
    #[serde(default, deserialize_with = "not_null")]
    require_pkce: Option<bool>,
    #[serde(default, deserialize_with = "not_null")]
    access_token_format: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    refresh_retry_seconds: Option<i64>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_cidrs: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "not_null")]
    any_port_on_localhost: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    audiences: Option<Option<Vec<String>>>,
    /// `active` or `suspended`.
    #[serde(default, deserialize_with = "not_null")]
    status: Option<String>,
}

impl From<ChangedApp> for ChangeApp {
    fn from(body: ChangedApp) -> Self {
        Self {
            name: body.name,
            kind: body.kind,
            redirect_uris: body.redirect_uris,
            scopes: body.scopes,
            default_scopes: body.default_scopes.map(Option::unwrap_or_default),
            require_state: body.require_state,
            require_pkce: body.require_pkce,
            access_token_format: body.access_token_format,
            refresh_retry_seconds: body.refresh_retry_seconds,
            allowed_cidrs: body.allowed_cidrs,
            any_port_on_localhost: body.any_port_on_localhost,
            audiences: body.audiences,
            status: body.status,
        }
    }
}

/// A new secret.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSecret {
    /// 0 to 7,776,000; 604,800 (a week) when left out. Earlier secrets end after it.
    #[serde(default, deserialize_with = "not_null")]
    pub(crate) overlap_seconds: Option<i64>,
    /// 1 to 100 characters, for people.
    pub(crate) label: Option<String>,
}

/// Which grants to end: exactly one of these.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantsToEnd {
    /// All of an app, by its id or client id.
    pub(crate) app: Option<String>,
    /// All of a person, by id or e-mail address.
    pub(crate) user: Option<String>,
    /// One, by its id.
    pub(crate) grant: Option<String>,
}
