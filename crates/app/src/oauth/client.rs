//! Who asks at the token endpoint and its siblings: the limit on failures, authentication, the app's addresses.

use statuspulse_audit::Action;
use statuspulse_oauth::{
    App as OauthApp, Form, TokenError, TokenErrorCode,
    client_auth::{self, Claim},
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

/// Authenticates the client of a request. A refusal has its event when this returns.
pub(crate) async fn authenticate(
    app: &App,
    circumstances: &Circumstances<'_>,
    authorization: &[&[u8]],
    form: &Form,
    action: Action,
) -> Result<Client, Refusal> {
    let claim = match client_auth::read(authorization, form) {
        Ok(claim) => claim,
        Err(error) => return Err(refuse(app, circumstances, action, None, error).await),
    };
    let pair = pair_of(app, circumstances, &claim);
    if let Some(wait) = app.client_failures.wait(&pair, app.env.monotonic()) {
        return Err(too_many(app, circumstances, action, &claim, wait).await);
    }
    let now = app.env.now();
    let found = match claim.parsed_client_id() {
        Some(id) => apps::by_client_id(&mut *app.conn().await?, &id).await?,
        None => None,
    };
    let error = match client_auth::authenticate(&claim, found.as_ref(), app.secrets.digest_keys(), now) {
        Ok(authenticated) => {
            let Some(found) = found else { return Err(AppError::internal("an app out of nothing").into()) };
            if may_ask_from_here(&found, circumstances) {
                return Ok(Client { app: found, secret: authenticated.secret });
            }
            // Not a failed authentication, so it isn't counted as one; but the answer is the same.
            let error = TokenError::new(TokenErrorCode::InvalidClient, "ip_not_allowed");
            return Err(refuse(app, circumstances, action, Some(&found), error).await);
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
    let event = event(app, circumstances.caller, action, found.as_deref(), None);
    match event {
        Ok(event) => {
            app.recorder.queue(refused(event, "too_many_failures", 429));
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
