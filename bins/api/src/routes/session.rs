//! Signing in and out.

use actix_web::{
    HttpResponse,
    cookie::{Cookie, SameSite, time::OffsetDateTime},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use statuspulse_app::{
    accounts,
    passwords::Password,
    sessions::{self, SessionView},
    views::{EndedSessionsJson, OwnSessionPageJson},
};
use statuspulse_policy::SessionId;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Answer,
    dto::{ChangedPassword, SignIn},
};
use crate::http::{Context, context::check_origin, error::Problem, query};

/// A session about itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    user: SessionUser,
    organizations: Vec<SessionOrganization>,
    /// To be sent as `X-CSRF-Token` with unsafe methods.
    csrf_token: String,
}

/// Who is signed in.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionUser {
    id: Uuid,
    email: String,
    name: String,
}

/// An organization of the signed-in person.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionOrganization {
    slug: String,
    name: String,
    role: &'static str,
}

impl From<SessionView> for Session {
    fn from(view: SessionView) -> Self {
        let organization = |held: statuspulse_store::users::Membership| SessionOrganization {
            slug: held.slug,
            name: held.name,
            role: held.role.as_str(),
        };
        Self {
            user: SessionUser { id: view.user.id.as_uuid(), email: view.user.email, name: view.user.name },
            organizations: view.organizations.into_iter().map(organization).collect(),
            csrf_token: view.csrf_token,
        }
    }
}

/// Sign in.
#[utoipa::path(post, path = "/v1/session", tag = "session", request_body = SignIn, responses(
    (status = 200, description = "signed in; the cookie is the session", body = Session),
    (status = 401, description = "wrong address or password", body = Problem),
    (status = 429, description = "too many failed sign-ins", body = Problem),
))]
pub(crate) async fn sign_in(context: Context) -> Answer {
    check_origin(&context, false)?;
    let body: SignIn = context.json().await?;
    let password = Password::new(body.password);
    let signed_in = sessions::sign_in(context.app(), &context.caller, &body.email, password).await?;
    let cookie = live_cookie(&context, signed_in.cookie, signed_in.expires_at);
    Ok(HttpResponse::Ok().cookie(cookie).json(Session::from(signed_in.view)))
}

/// The session.
#[utoipa::path(get, path = "/v1/session", tag = "session", security(("session" = [])), responses(
    (status = 200, description = "who is signed in", body = Session),
    (status = 401, description = "nobody is", body = Problem),
))]
pub(crate) async fn show(context: Context) -> Answer {
    let view = sessions::view(context.app(), context.session()?).await?;
    Ok(HttpResponse::Ok().json(Session::from(view)))
}

/// Sign out.
#[utoipa::path(delete, path = "/v1/session", tag = "session", security(("session" = [])), responses(
    (status = 204, description = "signed out"),
    (status = 401, description = "nobody is signed in", body = Problem),
))]
pub(crate) async fn sign_out(context: Context) -> Answer {
    let session = context.session()?;
    sessions::sign_out(context.app(), &context.caller, session).await?;
    Ok(signed_out(&context))
}

/// The answer that takes the cookie away.
fn signed_out(context: &Context) -> HttpResponse {
    let mut cookie = session_cookie(context, String::new());
    cookie.make_removal();
    HttpResponse::NoContent().cookie(cookie).finish()
}

/// The live sessions of the signed-in person, newest first.
#[utoipa::path(get, path = "/v1/me/sessions", tag = "session", security(("session" = [])),
    params(("limit" = Option<i64>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)), responses(
    (status = 200, description = "a page", body = OwnSessionPageJson), (status = 401, body = Problem),
    (status = 400, description = "a cursor of another list", body = Problem)))]
pub(crate) async fn list(context: Context) -> Answer {
    let parameters = query::list_parameters(&context.request, &["limit", "cursor"])?;
    let session = context.session()?;
    let (limit, cursor) = (query::limit(&parameters)?, query::value(&parameters, "cursor"));
    let page = sessions::list(context.app(), session, limit, cursor).await?;
    Ok(HttpResponse::Ok().json(OwnSessionPageJson::new(page, session.id)))
}

/// End one of them; the one that asks is signed out.
#[utoipa::path(delete, path = "/v1/me/sessions/{id}", tag = "session", security(("session" = [])),
    params(("id" = uuid::Uuid, Path)), responses(
    (status = 204, description = "it has ended"), (status = 401, body = Problem),
    (status = 404, description = "no live session of this person", body = Problem)))]
pub(crate) async fn end_one(context: Context) -> Answer {
    let session = context.session()?;
    let id: SessionId = context.id("session")?;
    sessions::end_one(context.app(), &context.caller, session, id).await?;
    Ok(if id == session.id { signed_out(&context) } else { HttpResponse::NoContent().finish() })
}

/// End all of them but the one that asks.
#[utoipa::path(delete, path = "/v1/me/sessions", tag = "session", security(("session" = [])), responses(
    (status = 200, description = "how many were ended", body = EndedSessionsJson), (status = 401, body = Problem)))]
pub(crate) async fn end_others(context: Context) -> Answer {
    let session = context.session()?;
    let ended = sessions::end_others(context.app(), &context.caller, session).await?;
    Ok(HttpResponse::Ok().json(EndedSessionsJson { ended }))
}

/// Change the own password; all other sessions of the person end.
#[utoipa::path(post, path = "/v1/me/password", tag = "session", security(("session" = [])), request_body = ChangedPassword, responses(
    (status = 200, description = "how many other sessions were ended; the cookie of this one is another one from now on", body = EndedSessionsJson),
    (status = 401, body = Problem),
    (status = 409, description = "`password_changed`: it is another one by now", body = Problem),
    (status = 422, description = "`wrong_password`, `password_length`, `password_unchanged`", body = Problem),
    (status = 429, description = "`too_many_attempts`", body = Problem)))]
pub(crate) async fn change_password(context: Context) -> Answer {
    let session = context.session()?;
    let body: ChangedPassword = context.json().await?;
    let (current, new) = (Password::new(body.current_password), Password::new(body.new_password));
    let changed = accounts::change_password(context.app(), &context.caller, session, current, new).await?;
    let mut answer = HttpResponse::Ok();
    if let Some(cookie) = changed.cookie {
        answer.cookie(live_cookie(&context, cookie, session.expires_at));
    }
    Ok(answer.json(EndedSessionsJson { ended: changed.ended }))
}

/// The cookie of a session until its end.
pub(crate) fn live_cookie(context: &Context, value: String, expires_at: DateTime<Utc>) -> Cookie<'static> {
    let mut cookie = session_cookie(context, value);
    cookie.set_expires(OffsetDateTime::from_unix_timestamp(expires_at.timestamp()).ok());
    cookie
}

/// The session's cookie.
pub(crate) fn session_cookie(context: &Context, value: String) -> Cookie<'static> {
    Cookie::build(context.state.cookie_name(), value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(context.state.is_secure())
        .finish()
}
