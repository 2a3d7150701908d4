//! Who asks at the token endpoint and its siblings: the limit on failures, authentication, the app's addresses.

use std::sync::Arc;

use statuspulse_audit::{Action, Actor, Event};
use statuspulse_oauth::{
    App as OauthApp, ClientId, Form, TokenError, TokenErrorCode,
    client_auth::{self, Claim},
    token::CLIENT_ID_ENTROPY,
};
use statuspulse_policy::{AppSecretId, counter_key};
use statuspulse_store::oauth::apps;

use super::{Circumstances, Refusal, event, note, refused};
use crate::{app::App, error::AppError};

/// An app that has proven who it is.
#[derive(Debug)]
pub(crate) struct Client {
    /// The app.
    pub(crate) app: OauthApp,
    /// The secret that it used.
    pub(crate) secret: Option<AppSecretId>,
}

impl Client {
    /// Puts the app that has proven who it is, and its secret, into an event.
    pub(crate) fn sign(&self, mut event: Event) -> Event {
        if matches!(event.actor, Actor::Unknown) {
            event.actor = Actor::App(self.app.id);
        }
        match self.secret {
            Some(secret) => event.with("secret_id", secret.to_string()),
            None => event,
        }
    }
}

/// Whether a pair of client id and address has failed too often.
pub(crate) fn is_blocked(app: &App, circumstances: &Circumstances<'_>, claim: &Claim) -> bool {
    app.client_failures.wait(&pair_of(app, circumstances, claim), app.env.monotonic()).is_some()
}

/// Authenticates the client of a request, and judges from where it asks. A refusal has its event when this returns.
pub(crate) async fn authenticate(
    app: &App,
    circumstances: &Circumstances<'_>,
    authorization: &[&[u8]],
    form: &Form,
    action: Action,
) -> Result<Client, Refusal> {
    let client = prove(app, circumstances, authorization, form, action).await?;
    if may_ask_from_here(&client.app, circumstances) {
        return Ok(client);
    }
    // Not a failed authentication, so it isn't counted as one; but the answer is the same.
    let error = TokenError::new(TokenErrorCode::InvalidClient, "ip_not_allowed");
    Err(refuse(app, circumstances, action, Some(&client.app), error).await)
}

/// Authenticates the client of a request, wherever it asks from.
pub(crate) async fn prove(
    app: &App,
    circumstances: &Circumstances<'_>,
    authorization: &[&[u8]],
    form: &Form,
    action: Action,
) -> Result<Client, Refusal> {
    let claim = match client_auth::read(authorization, form) {
        Ok(claim) => claim,
        Err(error) => {
            let named = named(app, authorization, form);
            return Err(refuse(app, circumstances, action, named.as_deref(), error).await);
        }
    };
    let pair = pair_of(app, circumstances, &claim);
    if let Some(wait) = app.client_failures.wait(&pair, app.env.monotonic()) {
        return Err(too_many(app, circumstances, action, &claim, wait).await);
    }
    let now = app.env.now();
    // What can't be an id is looked for like one: how long an answer takes must not tell who exists (oauth §4.4).
    let id = claim.parsed_client_id().unwrap_or_else(|| ClientId::from_entropy(&[0; CLIENT_ID_ENTROPY]));
    let found = apps::by_client_id(&mut *app.conn().await?, &id).await?;
    let error = match client_auth::authenticate(&claim, found.as_ref(), app.secrets.digest_keys(), now) {
        Ok(authenticated) => {
            let Some(found) = found else { return Err(AppError::internal("an app out of nothing").into()) };
            return Ok(Client { app: found, secret: authenticated.secret });
        }
        Err(error) => error,
    };
    if let Some(wait) = app.client_failures.count(pair, app.env.monotonic()) {
        return Err(too_many(app, circumstances, action, &claim, wait).await);
    }
    Err(refuse(app, circumstances, action, found.as_ref(), error).await)
}

/// Whether the client's address is one of the app's (oauth §2.8).
pub(crate) fn may_ask_from_here(oauth_app: &OauthApp, circumstances: &Circumstances<'_>) -> bool {
    let Some(list) = &oauth_app.allowlist else { return true };
    circumstances.client.ip().is_some_and(|ip| list.contains(ip))
}

/// The app that a request names, unproven and from memory: a request that is refused before anybody is authenticated costs
/// no query, and its owner still learns of it (oauth §2.9).
pub(crate) fn named(app: &App, authorization: &[&[u8]], form: &Form) -> Option<Arc<OauthApp>> {
    app.replica.oauth.app_by_client_id(&client_auth::named(authorization, form)?)
}

/// A refusal with its event.
pub(crate) async fn refuse(
    app: &App,
    circumstances: &Circumstances<'_>,
    action: Action,
    oauth_app: Option<&OauthApp>,
    error: TokenError,
) -> Refusal {
    let noted = async {
        let event = event(app, circumstances.caller, action, oauth_app, None)?;
        note(app, circumstances.caller, refused(event, error.reason, error.code.http_status())).await
    };
    match noted.await {
        Ok(()) => Refusal::Error(error),
        // Without its event the answer may not leave.
        Err(error) => Refusal::Failed(error),
    }
}

async fn too_many(app: &App, circumstances: &Circumstances<'_>, action: Action, claim: &Claim, wait: u64) -> Refusal {
    // The app is named to its owner, and found in memory: a flood must not cost queries.
    let found = app.replica.oauth.app_by_client_id(claim.client_id());
    let event = match event(app, circumstances.caller, action, found.as_deref(), None) {
        Ok(event) => event,
        Err(error) => return Refusal::Failed(error),
    };
    match app.recorder.keep(app, &refused(event, "too_many_failures", 429)).await {
        Ok(()) => {
            circumstances.caller.mark_recorded();
            Refusal::TooMany(wait)
        }
        Err(error) => Refusal::Failed(error),
    }
}

fn pair_of(app: &App, circumstances: &Circumstances<'_>, claim: &Claim) -> [u8; 32] {
    let address = circumstances.client.ip().map_or_else(|| "unknown".to_owned(), |ip| counter_key(ip).to_string());
    app.secrets.back_off_subject("oauth client", &format!("{address} {}", claim.client_id()))
}
