//! OAuth 2: apps, the authorization of people, the exchange of codes and tokens, and what of it can be ended.

pub mod apps;
pub mod authorize;
pub mod cleanup;
mod client;
pub mod failures;
pub mod grants;
pub mod introspect;
mod limiter;
pub mod revoke;
pub mod secrets;
mod surge;
pub mod tokens;

use serde_json::json;
use statuspulse_audit::{Action, Class, Event, Outcome};
use statuspulse_oauth::{App as OauthApp, Form, Grant, TokenError, resource::Known};
use statuspulse_policy::{Catalog, ClientAddress};
use statuspulse_store::Conn;

pub use limiter::{FailureLimiter, SignInLimiter};

use crate::{app::App, caller::Caller, error::AppError};

/// Where a request comes from and where it arrived: what every exchange is judged with.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Who asks, for the trail.
    pub caller: &'a Caller,
    /// The client's address.
    pub client: ClientAddress,
    /// The public URL, which is the issuer.
    pub public_url: &'a str,
}

/// What an exchange at the token endpoint and its siblings ends with when it doesn't end as asked.
#[derive(Debug)]
pub enum Refusal {
    /// A registered error.
    Error(TokenError),
    /// Too many failed authentications: seconds to wait.
    TooMany(u64),
    /// Something that is needed is away, or a defect.
    Failed(AppError),
}

impl<T: Into<AppError>> From<T> for Refusal {
    fn from(error: T) -> Self {
        Self::Failed(error.into())
    }
}

/// The resources that tokens may be for.
pub(crate) fn known<'a>(catalog: &'a Catalog, public_url: &'a str) -> Known<'a> {
    Known { public_url, audiences: catalog.audiences() }
}

/// The event of an exchange, with the ids of what it was about. That an app is named proves nothing yet: who has proven it
/// signs the event.
pub(crate) fn event(
    app: &App,
    caller: &Caller,
    action: Action,
    oauth_app: Option<&OauthApp>,
    grant: Option<&Grant>,
) -> Result<Event, AppError> {
    let organization = grant.map(|grant| grant.organization_id).or_else(|| oauth_app.map(|app| app.organization_id));
    let mut event = caller.event(app, Class::A, action, organization)?;
    if let Some(oauth_app) = oauth_app {
        event = event.with("app_id", oauth_app.id.to_string());
    }
    if let Some(grant) = grant {
        event = event.with("grant_id", grant.id.to_string());
        if let Some(user) = grant.user_id {
            event = event.with("user_id", user.to_string());
        }
    }
    event.status = Some(200);
    Ok(event)
}

/// The same of an exchange that was refused.
pub(crate) fn refused(mut event: Event, reason: &'static str, status: u16) -> Event {
    event.outcome = Outcome::of_status(status);
    event.reason = Some(reason);
    event.status = Some(status);
    event.class = Class::B;
    event
}

/// Writes the event of a refused exchange, before the answer.
pub(crate) async fn note(app: &App, caller: &Caller, event: Event) -> Result<(), AppError> {
    let mut conn = app.conn().await?;
    note_in(app, caller, &mut conn, event).await
}

/// The same in a transaction of the caller's.
pub(crate) async fn note_in(app: &App, caller: &Caller, conn: &mut Conn, event: Event) -> Result<(), AppError> {
    app.recorder.record(conn, event).await?;
    caller.mark_recorded();
    Ok(())
}

/// The event of an exchange whose body could not be read; `status` is that of the answer.
///
/// # Errors
/// 503.
pub async fn note_unreadable(
    app: &App,
    caller: &Caller,
    action: Action,
    authorization: &[&[u8]],
    reason: &'static str,
    status: u16,
) -> Result<(), AppError> {
    let named = client::named(app, authorization, &Form::default());
    let event = refused(event(app, caller, action, named.as_deref(), None)?, reason, status);
    note(app, caller, event).await
}

/// The scopes of an event, by name.
pub(crate) fn scope_names(app: &App, scopes: statuspulse_policy::ScopeSet) -> serde_json::Value {
    json!(app.catalog.load().names(scopes))
}
