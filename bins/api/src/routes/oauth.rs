//! The endpoints that apps call: tokens, revocation, introspection, and the well-known documents.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_MAX_AGE, AUTHORIZATION, CACHE_CONTROL, HeaderValue, PRAGMA,
    },
};
use serde::Serialize;
use serde_json::json;
use statuspulse_app::{
    oauth::{
        introspect::{self, Active, Asking},
        note_unreadable, revoke,
        tokens::{self, IssuedTokens},
    },
    verify::Presented,
};
use statuspulse_audit::Action;
use statuspulse_oauth::{
    Form, TokenErrorCode,
    jwt::Audience,
    metadata::{ResourceMetadata, ServerMetadata},
    token_request::Endpoint,
};
use statuspulse_policy::Code;
use utoipa::ToSchema;

use super::Answer;
use crate::{
    http::{ApiError, Context, credentials, oauth as wire},
    state::State,
};

/// Tokens (RFC 6749 §5.1).
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenAnswer<'a> {
    access_token: &'a str,
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
    /// Left out for a client that acts for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    scope: &'a str,
}

/// An error (RFC 6749 §5.2).
#[derive(Serialize, ToSchema)]
pub(crate) struct OauthError {
    error: &'static str,
    error_description: &'static str,
}

/// A live token (RFC 7662 §2.2); anything else is `{"active":false}` alone.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActiveToken {
    active: bool,
    scope: String,
    client_id: String,
    sub: String,
    exp: i64,
    iat: i64,
    iss: String,
    #[schema(value_type = Vec<String>)]
    aud: Audience,
    token_type: &'static str,
}

/// Trade a code, a refresh token or the client itself for tokens.
#[utoipa::path(post, path = "/oauth/token", tag = "oauth", responses(
    (status = 200, description = "tokens", body = TokenAnswer),
    (status = 400, body = OauthError), (status = 401, description = "who asks is not who it says", body = OauthError),
    (status = 429, description = "too many failed authentications", body = OauthError),
    (status = 503, description = "nothing was lost; try again", body = OauthError)))]
pub(crate) async fn token(context: Context) -> Answer {
    exchange(context, Endpoint::Token).await
}

/// The same for refresh tokens alone.
#[utoipa::path(post, path = "/oauth/refresh", tag = "oauth", responses(
    (status = 200, description = "tokens", body = TokenAnswer), (status = 400, body = OauthError),
    (status = 401, body = OauthError), (status = 429, body = OauthError), (status = 503, body = OauthError)))]
pub(crate) async fn refresh(context: Context) -> Answer {
    exchange(context, Endpoint::Refresh).await
}

async fn exchange(context: Context, endpoint: Endpoint) -> Answer {
    let action = if endpoint == Endpoint::Refresh { Action::OauthRefresh } else { Action::OauthToken };
    let form = form(&context, action).await?;
    let lines = authorization(&context.request);
    let exchanged = tokens::exchange(context.app(), &context.circumstances(), &lines, &form, endpoint).await;
    let answer = match exchanged {
        Ok(issued) => tokens_answer(&issued),
        Err(refusal) => wire::refused(&context.request, refusal),
    };
    Ok(wire::with_cors(&context.request, answer))
}

fn tokens_answer(issued: &IssuedTokens) -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).insert_header((PRAGMA, "no-cache")).json(
        TokenAnswer {
            access_token: issued.access.expose(),
            token_type: "Bearer",
            expires_in: issued.expires_in,
            refresh_token: issued.refresh.as_ref().map(|token| token.expose()),
            scope: &issued.scope,
        },
    )
}

/// End a token of the caller's.
#[utoipa::path(post, path = "/oauth/revoke", tag = "oauth", responses(
    (status = 200, description = "it is ended, or is nobody's", content_type = "application/json"),
    (status = 400, body = OauthError), (status = 401, body = OauthError), (status = 503, body = OauthError)))]
pub(crate) async fn revoke(context: Context) -> Answer {
    let form = form(&context, Action::OauthRevoke).await?;
    let lines = authorization(&context.request);
    let answer = match revoke::revoke(context.app(), &context.circumstances(), &lines, &form).await {
        Ok(()) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header((PRAGMA, "no-cache"))
            .json(json!({})),
        Err(refusal) => wire::refused(&context.request, refusal),
    };
    Ok(wire::with_cors(&context.request, answer))
}

/// Ask about a token: an app with its secret, or a key with `credentials:verify`.
#[utoipa::path(post, path = "/oauth/introspect", tag = "oauth", security(("key" = ["credentials:verify"])), responses(
    (status = 200, description = "what the caller may know of it", body = ActiveToken),
    (status = 400, body = OauthError), (status = 401, body = OauthError), (status = 503, body = OauthError)))]
pub(crate) async fn introspect(context: Context) -> Answer {
    let form = form(&context, Action::OauthIntrospect).await?;
    let lines = authorization(&context.request);
    let mut caller = context.caller.clone();
    let asking = match credentials::presented(context.request.headers()) {
        Presented::Missing | Presented::Malformed => Asking::Client(&lines),
        Presented::Token(_) => {
            let circumstances = context.circumstances();
            if let Err(refusal) = introspect::check_question_of_key(context.app(), &circumstances, &lines, &form).await
            {
                return Ok(wire::refused(&context.request, refusal));
            }
            match context.verifying_key().await {
                Ok(found) => {
                    caller.principal = crate::http::context::principal_of(&found);
                    Asking::Key { id: found.key.key.id, organization: found.organization.id }
                }
                // The judgement of the key has written the event.
                Err(ApiError::Judged { code, .. }) => return Ok(refused_key(&context.state, code)),
                Err(error) => return Err(error),
            }
        }
    };
    let circumstances = statuspulse_app::oauth::Circumstances { caller: &caller, ..context.circumstances() };
    let answer = match introspect::introspect(context.app(), &circumstances, asking, &form).await {
        Ok(active) => described(&context.state, active),
        Err(refusal) => wire::refused(&context.request, refusal),
    };
    Ok(answer)
}

/// The answer to a question whose key was refused.
fn refused_key(state: &State, code: Code) -> HttpResponse {
    match introspect::status_of_refused_key(code) {
        200 => described(state, None),
        401 => wire::error(401, TokenErrorCode::InvalidClient),
        later => wire::later(later, 1),
    }
}

fn described(state: &State, active: Option<Active>) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CACHE_CONTROL, "no-store")).insert_header((PRAGMA, "no-cache"));
    match active {
        None => answer.json(json!({"active": false})),
        Some(active) => answer.json(ActiveToken {
            active: true,
            scope: active.scope,
            client_id: active.client_id,
            sub: active.sub,
            exp: active.exp,
            iat: active.iat,
            iss: state.public_url.clone(),
            aud: Audience::new(active.aud.as_slice()),
            token_type: active.token_type,
        }),
    }
}

/// The body. One that can't be read is an exchange that was refused, and has its event too.
async fn form(context: &Context, action: Action) -> Result<Form, ApiError> {
    match context.form().await {
        Ok(form) => Ok(form),
        Err(error) => {
            let (lines, status) = (authorization(&context.request), wire::status_of(&error));
            note_unreadable(context.app(), &context.caller, action, &lines, error.code(), status).await?;
            Err(error)
        }
    }
}

/// Every line of the `Authorization` header.
fn authorization(request: &HttpRequest) -> Vec<&[u8]> {
    request.headers().get_all(AUTHORIZATION).map(HeaderValue::as_bytes).collect()
}

/// The answer to a browser that asks whether it may call.
pub(crate) async fn preflight(context: Context) -> Answer {
    let mut answer = wire::with_cors(&context.request, HttpResponse::NoContent().finish());
    if answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        let headers = answer.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    Ok(answer)
}

/// The answer to a browser that asks whether it may read a document: everybody may.
pub(crate) async fn open_preflight(_context: Context) -> Answer {
    Ok(HttpResponse::NoContent()
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"))
        .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, "*"))
        .insert_header((ACCESS_CONTROL_MAX_AGE, "600"))
        .finish())
}

fn scope_names(context: &Context) -> Vec<String> {
    let catalog = context.app().catalog.load();
    catalog.names(catalog.all()).into_iter().map(str::to_owned).collect()
}

fn document(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .json(body)
}

/// The authorization server's metadata (RFC 8414).
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "oauth",
    responses((status = 200, description = "RFC 8414", content_type = "application/json")))]
pub(crate) async fn server_metadata(context: Context) -> Answer {
    Ok(document(&ServerMetadata::new(&context.state.public_url, scope_names(&context))))
}

/// The same, where a public URL with a path has it (RFC 8414 §3.1).
pub(crate) async fn server_metadata_of_path(context: Context) -> Answer {
    check_path(&context)?;
    server_metadata(context).await
}

/// Whether what stands behind a well-known name is the public URL's own path.
fn check_path(context: &Context) -> Result<(), ApiError> {
    let asked = format!("/{}", context.request.match_info().get("path").unwrap_or_default());
    let own = url::Url::parse(&context.state.public_url).map(|url| url.path().to_owned()).unwrap_or_default();
    if own == "/" || own != asked {
        return Err(ApiError::http(404, "not_found", "there is no document of this public URL here"));
    }
    Ok(())
}

/// The protected resource's metadata (RFC 9728).
#[utoipa::path(get, path = "/.well-known/oauth-protected-resource", tag = "oauth",
    responses((status = 200, description = "RFC 9728", content_type = "application/json")))]
pub(crate) async fn resource_metadata(context: Context) -> Answer {
    Ok(document(&ResourceMetadata::new(&context.state.public_url, scope_names(&context))))
}

/// The same, where a public URL with a path has it (RFC 9728 §3.1).
pub(crate) async fn resource_metadata_of_path(context: Context) -> Answer {
    check_path(&context)?;
    resource_metadata(context).await
}

/// The public keys of signed access tokens (RFC 7517).
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "oauth",
    responses((status = 200, description = "RFC 7517", content_type = "application/json")))]
pub(crate) async fn jwks(context: Context) -> Answer {
    let app = context.app();
    Ok(document(&json!({"keys": app.signing.published(app.env.now())})))
}
