//! OAuth access tokens as credentials of calls (oauth §6.3): grant and app decide, as they are now.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use statuspulse_keys::directory::OrganizationPolicy;
use statuspulse_oauth::{App as OauthApp, OpaqueToken, TokenDigest, TokenKind, jwt};
use statuspulse_policy::{Code, Environment, Grant, ScopeSet};
use statuspulse_store::organizations;

use crate::{
    app::App,
    error::AppError,
    replica::{Asker, HeldToken},
};

/// An access token with what it depends on, as of one moment.
#[derive(Debug, Clone)]
pub struct AccessFound {
    /// The token.
    pub token: Arc<HeldToken>,
    /// The app that it was issued to.
    pub app: Arc<OauthApp>,
    /// The organization that it acts for.
    pub organization: Arc<OrganizationPolicy>,
}

impl AccessFound {
    /// What it may do now: what it was issued for, cut to what the app may have.
    #[must_use]
    pub fn scopes(&self) -> ScopeSet {
        self.token.scopes.intersection(self.app.scopes)
    }

    /// Since when it is dead: ended alone, with its grant, or with the app.
    #[must_use]
    pub fn revoked_from(&self, app: &App) -> Option<DateTime<Utc>> {
        let of_app = || (!self.app.accepts_issued_at(self.token.decided_at)).then_some(self.token.issued_at);
        // Whoever ended it may have a clock that is ahead; ended it is all the same.
        app.replica.oauth.ended_at(&self.token).or_else(of_app).map(|at| at.min(app.env.now()))
    }

    /// What a call with this token is judged by.
    #[must_use]
    pub fn grant(&self, app: &App) -> Grant<'_> {
        Grant {
            environment: Environment::Production,
            scopes: self.scopes(),
            allowlist: self.app.allowlist.as_ref(),
            organization_allowlist: self.organization.allowlist.as_ref(),
            revoked_from: self.revoked_from(app),
            expires_at: self.token.expires_at,
            disabled: false,
        }
    }
}

/// Whether a text is to be read as an access token. Another kind of OAuth secret in its place is none.
#[must_use]
pub fn looks_like_one(text: &str) -> bool {
    text.starts_with(TokenKind::Access.prefix()) || jwt::has_outline(text)
}

/// Looks for an access token: in memory, then by a bounded query.
///
/// # Errors
/// [`Code::Malformed`], [`Code::Unknown`], [`Code::Expired`] or [`Code::Unavailable`].
pub(crate) async fn find(app: &Arc<App>, text: &str, issuer: &str, asker: Asker) -> Result<AccessFound, Code> {
    let digests = digests(app, text, issuer)?;
    if app.replica.is_stale(app) {
        return Err(Code::Unavailable);
    }
    let in_memory = digests.iter().find_map(|digest| app.replica.oauth.token(digest));
    let token = match in_memory {
        Some(token) => token,
        None => {
            let asked = app.replica.find_access_by_query(app, &digests, asker).await;
            asked.map_err(|error| unavailable(&error))?.ok_or(Code::Unknown)?
        }
    };
    let oauth_app = match app.replica.oauth.app(token.app_id) {
        Some(held) => held,
        None => {
            // Registered a moment ago on another instance.
            app.replica.catch_up().await;
            app.replica.oauth.app(token.app_id).ok_or(Code::Unavailable)?
        }
    };
    let organization = match app.replica.directory.organization(token.organization_id) {
        Some(held) => held,
        None => organization(app, &token).await.map_err(|error| unavailable(&error))?,
    };
    Ok(AccessFound { token, app: oauth_app, organization })
}

fn digests(app: &App, text: &str, issuer: &str) -> Result<Vec<TokenDigest>, Code> {
    if jwt::has_outline(text) {
        let claims = app.signing.read(text, issuer, app.env.now())?;
        return Ok(app.secrets.jwt_digests(&claims.jti));
    }
    let token = OpaqueToken::parse_as(TokenKind::Access, text).ok_or(Code::Malformed)?;
    Ok(app.secrets.token_digests(&token))
}

async fn organization(app: &App, token: &HeldToken) -> Result<Arc<OrganizationPolicy>, AppError> {
    if let Some(policy) = organizations::policy_of(&mut *app.conn().await?, token.organization_id).await? {
        app.replica.directory.apply_organization(policy);
    }
    let held = app.replica.directory.organization(token.organization_id);
    held.ok_or_else(|| AppError::Unavailable { cause: "a token of an organization that isn't there".into() })
}

fn unavailable(error: &AppError) -> Code {
    tracing::warn!(%error, "an access token that isn't in memory could not be looked up");
    Code::Unavailable
}
