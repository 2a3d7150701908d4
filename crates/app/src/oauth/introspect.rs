//! Introspection (RFC 7662; oauth §6.5), answered from memory as far as access tokens go.

use std::sync::Arc;

use statuspulse_audit::{Action, Actor, Class, Outcome};
use statuspulse_oauth::{
    App as OauthApp, AppKind, Field, Form, OpaqueToken, Resources, TokenError, TokenErrorCode, TokenKind, client_auth,
    token_request::presented_token,
};
use statuspulse_policy::{Code, KeyId, OrganizationId, ScopeSet};
use statuspulse_store::oauth::{grants, tokens};

use super::{
    Circumstances, Refusal,
    client::{Client, is_blocked, may_ask_from_here, named, prove, refuse},
    event, known,
    tokens::touch,
};
use crate::{app::App, caller::Principal, error::AppError, replica::Asker, verify::access::AccessFound};

const ACTION: Action = Action::OauthIntrospect;

/// Who asks. Without `Debug`: the header holds a secret.
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

/// Judges what a question says before it is looked at who asks with a key: the token must be there, and a client that is
/// named or proven beside the key is a second way to authenticate (oauth §4.4).
///
/// # Errors
/// [`Refusal`], with its event.
pub async fn check_question_of_key(
    app: &App,
    circumstances: &Circumstances<'_>,
    authorization: &[&[u8]],
    form: &Form,
) -> Result<(), Refusal> {
    const OF_CLIENTS: [&str; 4] = ["client_id", "client_secret", "client_assertion", "client_assertion_type"];
    let twice = || TokenError::request("client_authenticated_twice");
    let error = match presented_token(form) {
        Err(error) => error,
        Ok(_) if OF_CLIENTS.iter().any(|name| form.all(name).next().is_some()) => twice(),
        Ok(_) => return Ok(()),
    };
    let named = named(app, authorization, form);
    Err(refuse(app, circumstances, ACTION, named.as_deref(), error).await)
}

/// The status that a question is answered with whose key is refused. A key outside of its networks is who it says, and
/// told nothing; an outage or a limit is no wrong credential.
#[must_use]
pub const fn status_of_refused_key(code: Code) -> u16 {
    match code {
        Code::IpNotAllowed => 200,
        Code::Unavailable => 503,
        Code::RateLimited => 429,
        _ => 401,
    }
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
    let token = match presented_token(form) {
        Ok(token) => token,
        Err(error) => {
            let named = match asking {
                Asking::Key { .. } => None,
                Asking::Client(authorization) => named(app, authorization, form),
            };
            return Err(refuse(app, circumstances, ACTION, named.as_deref(), error).await);
        }
    };
    let (client, asking) = match asking {
        Asking::Key { id, organization } => (None, Some((id, organization))),
        Asking::Client(authorization) => (Some(client(app, circumstances, authorization, form).await?), None),
    };
    let asks_from_here = client.as_ref().is_none_or(|client| may_ask_from_here(&client.app, circumstances));
    let active = if asks_from_here {
        find(app, circumstances, client.as_ref().map(|client| &client.app), token).await?
    } else {
        None
    };
    let mut event = event(app, circumstances.caller, ACTION, client.as_ref().map(|client| &client.app), None)?;
    if let Some((id, organization)) = asking {
        event.organization_id = Some(organization);
        event.actor = Actor::ApiKey { id, version: key_version(circumstances) };
        app.recorder.used(id, app.env.now(), circumstances.client.ip());
    }
    if let Some(client) = client {
        event = client.sign(event);
        tokio::spawn(touch(Arc::clone(app), client));
    }
    event.class = Class::B;
    event.outcome = Outcome::Allowed;
    app.recorder.keep(app, &event.with("active", active.is_some())).await?;
    circumstances.caller.mark_recorded();
    Ok(active)
}

fn key_version(circumstances: &Circumstances<'_>) -> Option<i32> {
    match circumstances.caller.principal {
        Principal::Key { version, .. } => Some(version),
        _ => None,
    }
}

/// The app that asks. What is in memory is enough for who is right; who isn't is judged by the database, which may know a
/// secret of a moment ago. The limit on failures holds either way.
async fn client(
    app: &Arc<App>,
    circumstances: &Circumstances<'_>,
    authorization: &[&[u8]],
    form: &Form,
) -> Result<Client, Refusal> {
    let now = app.env.now();
    let from_memory = client_auth::read(authorization, form).ok().and_then(|claim| {
        let held = app.replica.oauth.app_by_client_id(claim.client_id()).filter(|_| !app.replica.is_stale(app))?;
        if is_blocked(app, circumstances, &claim) {
            return None;
        }
        let proven = client_auth::authenticate(&claim, Some(&held), app.secrets.digest_keys(), now).ok()?;
        Some(Client { app: OauthApp::clone(&held), secret: proven.secret })
    });
    let client = match from_memory {
        Some(client) => client,
        None => prove(app, circumstances, authorization, form, ACTION).await?,
    };
    if client.app.kind != AppKind::Confidential {
        let error = TokenError::new(TokenErrorCode::InvalidClient, "client_is_public");
        return Err(refuse(app, circumstances, ACTION, Some(&client.app), error).await);
    }
    Ok(client)
}

async fn find(
    app: &Arc<App>,
    circumstances: &Circumstances<'_>,
    caller: Option<&OauthApp>,
    token: Field<'_>,
) -> Result<Option<Active>, AppError> {
    let Some(text) = token.text() else { return Ok(None) };
    if let Some(refresh) = OpaqueToken::parse_as(TokenKind::Refresh, text) {
        let Some(caller) = caller else { return Ok(None) };
        return find_refresh(app, caller, &refresh).await;
    }
    let found = crate::verify::access::find(app, text, circumstances.public_url, Asker::ResourceServer).await;
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
    caller: Option<&OauthApp>,
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
            own || resource_server && caller.stands_for(&token.audiences, &known)
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
