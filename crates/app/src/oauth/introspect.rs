//! Introspection (RFC 7662; oauth §6.5), answered from memory as far as access tokens go.

use std::sync::Arc;

use statuspulse_audit::{Action, Class, Outcome};
use statuspulse_oauth::{
    App as OauthApp, AppKind, Field, Form, OpaqueToken, Resources, TokenError, TokenErrorCode, TokenKind, client_auth,
    jwt, token_request::check_once,
};
use statuspulse_policy::{KeyId, OrganizationId, ScopeSet};
use statuspulse_store::oauth::{grants, tokens};

use super::{
    Circumstances, Refusal,
    client::{authenticate, may_ask_from_here, refuse},
    event, known,
};
use crate::{app::App, caller::Principal, error::AppError, verify::access::AccessFound};

const ACTION: Action = Action::OauthIntrospect;

/// Who asks.
#[derive(Debug)]
pub enum Asking<'a> {
    /// A key with `credentials:verify`, which was judged already.
    Key {
        /// The key.
        id: KeyId,
        /// Its organization.
        organization: OrganizationId,
    },
    /// A client that has yet to prove who it is: the lines of its `Authorization` header.
    Client(&'a [&'a [u8]]),
}

/// What is told about a live token.
#[derive(Debug, Clone)]
pub struct Active {
    /// Scopes, separated by blanks.
    pub scope: String,
    /// The client that it was issued to.
    pub client_id: String,
    /// The person, or the client itself.
    pub sub: String,
    /// End, in seconds since 1970.
    pub exp: i64,
    /// Start, in seconds since 1970.
    pub iat: i64,
    /// For whom.
    pub aud: Resources,
    /// `Bearer`, or `refresh_token`.
    pub token_type: &'static str,
}

/// Says of a token what the caller may know. None stands for every way of not being live, or not the caller's business.
///
/// # Errors
/// [`Refusal`].
pub async fn introspect(
    app: &Arc<App>,
    circumstances: &Circumstances<'_>,
    asking: Asking<'_>,
    form: &Form,
) -> Result<Option<Active>, Refusal> {
    if let Err(error) = check_once(form) {
        return Err(refuse(app, circumstances, ACTION, None, error).await);
    }
    let token = match form.one("token") {
        Ok(Some(token)) => token,
        _ => return Err(refuse(app, circumstances, ACTION, None, TokenError::request("token_missing")).await),
    };
    let (caller_app, asking) = match asking {
        Asking::Key { id, organization } => (None, Some((id, organization))),
        Asking::Client(authorization) => (Some(client(app, circumstances, authorization, form).await?), None),
    };
    let active = match &caller_app {
        Some((_, false)) => None,
        Some((oauth_app, true)) => find(app, circumstances, Some(oauth_app), token).await?,
        None => find(app, circumstances, None, token).await?,
    };
    let mut event = event(app, circumstances.caller, ACTION, caller_app.as_ref().map(|(app, _)| app.as_ref()), None)?;
    if let Some((id, organization)) = asking {
        event.organization_id = Some(organization);
        event.actor = statuspulse_audit::Actor::ApiKey { id, version: key_version(circumstances) };
    }
    event.class = Class::B;
    event.outcome = Outcome::Allowed;
    app.recorder.queue(event.with("active", active.is_some()));
    circumstances.caller.mark_recorded();
    Ok(active)
}

fn key_version(circumstances: &Circumstances<'_>) -> Option<i32> {
    match circumstances.caller.principal {
        Principal::Key { version, .. } => Some(version),
        _ => None,
    }
}

/// The app that asks, and whether it asks from one of its addresses. What is in memory is enough for who is right; who
/// isn't is judged by the database, which may know a secret of a moment ago.
async fn client(
    app: &Arc<App>,
    circumstances: &Circumstances<'_>,
    authorization: &[&[u8]],
    form: &Form,
) -> Result<(Arc<OauthApp>, bool), Refusal> {
    let now = app.env.now();
    let from_memory = client_auth::read(authorization, form).ok().and_then(|claim| {
        let held = app.replica.oauth.app_by_client_id(claim.client_id()).filter(|_| !app.replica.is_stale(app))?;
        client_auth::authenticate(&claim, Some(&held), app.secrets.digest_keys(), now).ok()?;
        Some(held)
    });
    let found = match from_memory {
        Some(held) => held,
        None => match authenticate(app, circumstances, authorization, form, ACTION).await {
            Ok(client) => Arc::new(client.app),
            // Outside of its addresses it is who it says, and is told nothing.
            Err(Refusal::Error(TokenError { code: TokenErrorCode::InvalidClient, reason: "ip_not_allowed" })) => {
                let Some(held) = held_app(app, authorization, form) else {
                    return Err(AppError::Unavailable { cause: "the app is not in memory yet".into() }.into());
                };
                return Ok((held, false));
            }
            Err(refusal) => return Err(refusal),
        },
    };
    if found.kind != AppKind::Confidential {
        let error = TokenError::new(TokenErrorCode::InvalidClient, "client_is_public");
        return Err(refuse(app, circumstances, ACTION, Some(&found), error).await);
    }
    let here = may_ask_from_here(&found, circumstances);
    Ok((found, here))
}

fn held_app(app: &App, authorization: &[&[u8]], form: &Form) -> Option<Arc<OauthApp>> {
    let claim = client_auth::read(authorization, form).ok()?;
    app.replica.oauth.app_by_client_id(claim.client_id())
}

async fn find(
    app: &Arc<App>,
    circumstances: &Circumstances<'_>,
    caller: Option<&Arc<OauthApp>>,
    token: Field<'_>,
) -> Result<Option<Active>, AppError> {
    let Some(text) = token.text() else { return Ok(None) };
    let refresh = OpaqueToken::parse_as(TokenKind::Refresh, text).filter(|_| !jwt::has_outline(text));
    if let Some(refresh) = refresh {
        let Some(caller) = caller else { return Ok(None) };
        return find_refresh(app, caller, &refresh).await;
    }
    let found = crate::verify::access::find(app, text, circumstances.public_url, circumstances.client).await;
    let found = match found {
        Ok(found) => found,
        Err(statuspulse_policy::Code::Unavailable) => {
            return Err(AppError::Unavailable { cause: "the token can't be looked up".into() });
        }
        Err(_) => return Ok(None),
    };
    Ok(describe(app, circumstances, caller, &found))
}

/// What a caller is told about an access token that was found (oauth §6.5).
fn describe(
    app: &App,
    circumstances: &Circumstances<'_>,
    caller: Option<&Arc<OauthApp>>,
    found: &AccessFound,
) -> Option<Active> {
    let catalog = app.catalog.load();
    let known = known(&catalog, circumstances.public_url);
    let token = &found.token;
    let may_know = match caller {
        // A key stands for the public URL.
        None => token.audiences.contains(known.public_url, &known),
        Some(caller) => {
            let own = caller.id == token.app_id;
            let resource_server = catalog.scope("credentials:verify").is_some_and(|bit| caller.scopes.contains(bit))
                && caller.organization_id == token.organization_id;
            (own || resource_server) && caller.stands_for(&token.audiences, &known)
        }
    };
    let scopes = found.scopes().intersection(catalog.all());
    let live = found.revoked_from(app).is_none() && app.env.now() < token.expires_at;
    (may_know && live && !scopes.is_empty()).then(|| active(&catalog, found, scopes))
}

fn active(catalog: &statuspulse_policy::Catalog, found: &AccessFound, scopes: ScopeSet) -> Active {
    let token = &found.token;
    let client_id = found.app.client_id.to_string();
    Active {
        scope: statuspulse_oauth::scope_request::text(catalog, scopes),
        sub: token.user_id.map_or_else(|| client_id.clone(), |user| user.to_string()),
        client_id,
        exp: token.expires_at.timestamp(),
        iat: token.issued_at.timestamp(),
        aud: token.audiences.clone(),
        token_type: "Bearer",
    }
}

/// A client may ask about its own refresh tokens.
async fn find_refresh(app: &App, caller: &OauthApp, token: &OpaqueToken) -> Result<Option<Active>, AppError> {
    let now = app.env.now();
    let mut conn = app.conn().await?;
    let Some((_, record)) = tokens::find_refresh(&mut conn, &app.secrets.token_digests(token)).await? else {
        return Ok(None);
    };
    let Some(grant) = grants::find(&mut conn, record.grant_id).await?.filter(|grant| grant.app_id == caller.id) else {
        return Ok(None);
    };
    let live = grant.is_live(now)
        && caller.accepts_issued_at(grant.created_at)
        && record.generation == grant.generation
        && now < record.idle_expires_at;
    let end = grant.absolute_expires_at.map_or(record.idle_expires_at, |end| end.min(record.idle_expires_at));
    let catalog = app.catalog.load();
    let scopes = grant.scopes.intersection(caller.scopes).intersection(catalog.all());
    Ok(live.then(|| Active {
        scope: statuspulse_oauth::scope_request::text(&catalog, scopes),
        client_id: caller.client_id.to_string(),
        sub: grant.user_id.map_or_else(|| caller.client_id.to_string(), |user| user.to_string()),
        exp: end.timestamp(),
        iat: record.issued_at.timestamp(),
        aud: grant.resources.clone(),
        token_type: "refresh_token",
    }))
}
