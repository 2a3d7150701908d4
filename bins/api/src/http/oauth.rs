//! OAuth on the wire: errors of RFC 6749 §5.2 instead of problem documents, and pages for people.

use std::io;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION,
            ORIGIN, PRAGMA, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
        },
    },
    web::{Bytes, Data},
};
use serde::Serialize;
use statuspulse_app::{AppError, oauth::Refusal};
use statuspulse_oauth::TokenErrorCode;

use super::{
    body::TOO_SLOW,
    error::{ApiError, request_id},
};
use crate::{pages::ErrorPage, state::State};

/// The endpoints whose errors are those of RFC 6749 §5.2.
const ENDPOINTS: [&str; 4] = ["/oauth/token", "/oauth/refresh", "/oauth/revoke", "/oauth/introspect"];
/// The endpoints that people see.
const PAGES: [&str; 4] = ["/oauth/authorize", "/login", "/logout", "/authorized-apps"];
/// What every page of ours is held to: nothing from anywhere else, no frame around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'";

#[derive(Serialize)]
struct ErrorJson {
    error: &'static str,
    error_description: &'static str,
}

/// Lets the pages of a public app read an answer, and nobody else's; never with a browser's own credentials. Introspection
/// is no business of browsers.
pub(crate) fn with_cors(request: &HttpRequest, mut answer: HttpResponse) -> HttpResponse {
    let Some(state) = request.app_data::<Data<State>>().filter(|_| request.path() != "/oauth/introspect") else {
        return answer;
    };
    let headers = answer.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = request.headers().get(ORIGIN)
        && let Ok(text) = origin.to_str()
        && state.app.replica.oauth.is_origin_of_public_app(text)
    {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    answer
}

/// An error of RFC 6749 §5.2. Equal errors are equal bytes: what tells requests apart is a header alone.
pub(crate) fn error(status: u16, code: TokenErrorCode) -> HttpResponse {
    let http = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut answer = HttpResponse::build(http);
    answer.insert_header((CACHE_CONTROL, "no-store")).insert_header((PRAGMA, "no-cache"));
    if status == 401 {
        answer.insert_header((WWW_AUTHENTICATE, r#"Basic realm="StatusPulse""#));
    }
    if status == 413 {
        // The rest of the body is on its way and nobody will read it.
        answer.force_close();
    }
    answer.json(ErrorJson { error: code.as_str(), error_description: code.description() })
}

/// The answer to an exchange that was refused.
pub(crate) fn refused(request: &HttpRequest, refusal: Refusal) -> HttpResponse {
    match refusal {
        Refusal::Error(refused) => error(refused.code.http_status(), refused.code),
        Refusal::TooMany(seconds) => later(429, seconds),
        Refusal::Failed(failed) => failure(request, &failed),
    }
}

/// Something of ours is away or broken: the cause goes to the log under the request's id.
fn failure(request: &HttpRequest, failed: &AppError) -> HttpResponse {
    let id = request_id(request).map(|id| id.to_string()).unwrap_or_default();
    match failed {
        AppError::Internal { cause } => tracing::error!(request_id = %id, %cause, "internal error"),
        AppError::Unavailable { cause } => tracing::warn!(request_id = %id, %cause, "unavailable"),
        other => tracing::warn!(request_id = %id, error = %other, "an exchange ended unexpectedly"),
    }
    let status = if failed.status() == 500 { 500 } else { 503 };
    later(status, 1)
}

/// An error that may be gone in so many seconds.
pub(crate) fn later(status: u16, seconds: u64) -> HttpResponse {
    let mut answer = error(status, TokenErrorCode::TemporarilyUnavailable);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

/// The status that a refusal has at the endpoints of OAuth, where there are fewer of them (oauth §4.3).
pub(crate) fn status_of(refused: &ApiError) -> u16 {
    match refused.status() {
        status @ (405 | 413 | 429 | 500..) => status,
        _ => 400,
    }
}

/// The form that a refusal has at the endpoints of OAuth and at its pages; none at all others.
pub(super) fn refusal(request: &HttpRequest, refused: &ApiError) -> Option<HttpResponse> {
    let path = request.path();
    if path.starts_with("/oauth/") && refused.code() == TOO_SLOW {
        return Some(hang_up());
    }
    if ENDPOINTS.contains(&path) {
        let answer = match refused {
            ApiError::App(failed) if failed.status() >= 500 => failure(request, failed),
            other => error(status_of(other), TokenErrorCode::InvalidRequest),
        };
        return Some(with_cors(request, answer));
    }
    if !PAGES.contains(&path) {
        return None;
    }
    if let ApiError::App(failed) = refused
        && failed.status() >= 500
    {
        // Logs the cause; the page says what people can do about it.
        failure(request, failed);
        let detail = "The service can't answer right now. Go back and try again in a moment.";
        return Some(page(request, failed.status(), "Something is missing on our side", detail));
    }
    let (title, detail) = match refused.status() {
        405 => ("This address takes another method", "Go back to where you came from and start again."),
        413 | 414 => ("This request is too long", "Go back to where you came from and start again."),
        _ => ("This request can't be read", "Go back to where you came from and start again."),
    };
    Some(page(request, refused.status(), title, detail))
}

/// Closes the connection without an answer (oauth §4.1): a body that fails before its first byte takes the head with it, which
/// is still in the buffer.
fn hang_up() -> HttpResponse {
    let nothing =
        futures_util::stream::once(std::future::ready(Err::<Bytes, _>(io::Error::from(io::ErrorKind::TimedOut))));
    HttpResponse::BadRequest().force_close().streaming(nothing)
}

/// An error page: no form, nowhere to go, nothing of what was sent.
pub(crate) fn page(request: &HttpRequest, status: u16, title: &str, detail: &str) -> HttpResponse {
    let id = request_id(request).map(|id| id.to_string()).unwrap_or_default();
    let base = request.app_data::<Data<State>>().map_or("", |state| &state.base);
    html(status, ErrorPage { base, title, detail, request_id: &id }.render(), None)
}

/// A page. `form_action` is where its form may lead besides ourselves: Chromium holds the redirect behind a form to it.
pub(crate) fn html(status: u16, rendered: Result<String, askama::Error>, form_action: Option<&str>) -> HttpResponse {
    let http = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = match rendered {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            return HttpResponse::InternalServerError().finish();
        }
    };
    let extra = form_action.map(|source| format!(" {source}")).unwrap_or_default();
    HttpResponse::build(http)
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CONTENT_SECURITY_POLICY, format!("{POLICY}; form-action 'self'{extra}")))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(body)
}

/// A redirect as a browser follows it from a form: with GET, and remembered by nobody (RFC 9700 §4.12).
pub(crate) fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, location)).insert_header((CACHE_CONTROL, "no-store")).finish()
}
