//! The judgement of a call for a gateway in front: nginx `auth_request`, Traefik, Caddy, Envoy (policy §8).

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{HeaderMap, WWW_AUTHENTICATE},
};
use statuspulse_app::{
    App,
    verify::{self, Call, Credential, Verdict},
};
use statuspulse_audit::{Action, Class, Outcome};
use statuspulse_policy::{ClientAddress, Code, EnvironmentSet, Served};

use super::Answer;
use crate::http::{
    ApiError, Context,
    context::{tell_of_end, tell_of_rate},
    credentials::{self, note_keys_in},
    error::{Problem, challenge_for, problem},
    query,
};

const PREFIX: &str = "/v1/forward-auth";
/// Route of a request that names no call.
const ROUTE: &str = PREFIX;
/// Read only where the call's own path is behind ours: its query then belongs to the call.
const SERVED: &str = "x-served-environments";
const SOURCES: [(&str, &str); 2] = [("x-original-method", "x-original-uri"), ("x-forwarded-method", "x-forwarded-uri")];

/// Judge a call in front of which this stands.
#[utoipa::path(get, path = "/v1/forward-auth", tag = "judgement", security(("key" = [])),
    params(("environment" = Option<Vec<String>>, Query, description = "environments that are served"),
        ("X-Original-Method" = Option<String>, Header), ("X-Original-URI" = Option<String>, Header)), responses(
    (status = 200, description = "the call may pass; who it is stands in X-Auth-*"),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem),
    (status = 503, body = Problem)))]
pub(crate) async fn judge(context: Context) -> Answer {
    let client = context.client;
    let Some(route) = asked(&context.request) else {
        note_ambiguous(&context, client).await?;
        let detail = "exactly one source must name method and path: see the documentation of gateways";
        return Err(ApiError::http(403, "ambiguous_route", detail));
    };
    let own = context.request.uri().path_and_query().map(|both| both.as_str()).unwrap_or_default();
    note_keys_in(&context.state, &context.request, &[own, &route.path], client).await?;
    let app = context.app();
    let catalog = app.catalog.load_full();
    let requirement = catalog.requirement(&route.method, &route.path);
    let seen_as = (route.method.as_str(), requirement.route().unwrap_or_default());
    let origin = credentials::origin(&context.state, &context.request, seen_as, client);
    let call = Call {
        presented: credentials::presented(context.request.headers()),
        client,
        served: route.served,
        requirement,
        catalog: &catalog,
        origin,
        via: None,
        quiet: false,
        anonymous: true,
        audience: Some(&context.state.public_url),
        refused: verify::refused_call,
    };
    let verdict = verify::judge(app, call).await;
    let rate = verdict.rate;
    let mut answer = answer(app, &context.request, &catalog, verdict);
    if let Some(rate) = rate {
        tell_of_rate(&mut answer, rate);
    }
    Ok(answer)
}

fn answer(app: &App, request: &HttpRequest, catalog: &statuspulse_policy::Catalog, verdict: Verdict) -> HttpResponse {
    let Verdict { code, required_scope, credential, .. } = verdict;
    if code == Code::Allowed && credential.is_none() {
        // A public endpoint, called without a credential.
        return HttpResponse::Ok().finish();
    }
    let granted = credential.as_ref().and_then(|found| Some((found, found.grant(app)?)));
    let (Code::Allowed, Some((found, grant))) = (code, granted) else {
        let mut refused = problem(request, ApiError::Judged { code, scope: required_scope.clone() });
        if let Some(Ok(challenge)) = challenge_for(request, code, required_scope.as_deref()).map(|text| text.parse()) {
            refused.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        // Its secret has been proven, so whoever holds it may know when it ends.
        if let (Code::InsufficientScope | Code::RateLimited, Some(Credential::Key(found))) = (code, credential.as_ref())
        {
            tell_of_end(&mut refused, found);
        }
        return refused;
    };
    let scopes = catalog.names(grant.scopes.intersection(catalog.mask(grant.environment))).join(" ");
    let mut answer = HttpResponse::Ok()
        .insert_header(("X-Auth-Credential-Id", found.id().to_string()))
        .insert_header(("X-Auth-Organization", found.organization().slug.clone()))
        .insert_header(("X-Auth-Environment", grant.environment.as_str()))
        .insert_header(("X-Auth-Scopes", scopes))
        .finish();
    if let Credential::Key(found) = found {
        tell_of_end(&mut answer, found);
    }
    answer
}

/// The call that is asked about.
struct Asked {
    method: String,
    path: String,
    served: Served,
}

/// Method and path from exactly one source. Clients can send these headers too and some proxies pass them on, so two
/// sources that differ, a header sent twice, and a path without its method are refused.
fn asked(request: &HttpRequest) -> Option<Asked> {
    let mut sources: Vec<(String, String)> = Vec::new();
    for (method, path) in SOURCES {
        match (only(request.headers(), method)?, only(request.headers(), path)?) {
            (None, None) => {}
            (Some(method), Some(path)) => sources.push((method, path)),
            _ => return None,
        }
    }
    let behind = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
    let own = (!behind.is_empty()).then(|| (request.method().as_str().to_owned(), behind.to_owned()));
    let behind_ours = own.is_some();
    sources.extend(own);
    let (method, path) = sources.pop()?;
    if sources.iter().any(|other| *other != (method.clone(), path.clone())) {
        return None;
    }
    let served = if behind_ours { served_by_header(request.headers())? } else { served_by_query(request) };
    Some(Asked { method, path, served })
}

/// A header's value, if it is there once: `Some(None)` when it isn't there, none when it is there twice. Bytes that aren't
/// UTF-8 become a character that no canonical path has.
fn only(headers: &HeaderMap, name: &str) -> Option<Option<String>> {
    let mut lines = headers.get_all(name);
    let Some(line) = lines.next() else { return Some(None) };
    if lines.next().is_some() {
        return None;
    }
    Some(Some(String::from_utf8_lossy(line.as_bytes()).into_owned()))
}

fn served_by_query(request: &HttpRequest) -> Served {
    let parameters = query::parameters(request);
    served(parameters.iter().filter(|(name, _)| name == "environment").map(|(_, value)| value.as_str()))
}

/// None where the header is there twice: a client's own line must not widen the gateway's.
fn served_by_header(headers: &HeaderMap) -> Option<Served> {
    Some(match only(headers, SERVED)? {
        Some(names) => served(names.split(',').map(str::trim)),
        None => Served::Any,
    })
}

/// A typing error must not open anything: under an unknown name no key fits.
fn served<'a>(names: impl IntoIterator<Item = &'a str>) -> Served {
    Served::from_names(names).unwrap_or(Served::Only(EnvironmentSet::EMPTY))
}

async fn note_ambiguous(context: &Context, client: ClientAddress) -> Result<(), ApiError> {
    let mut event = context.caller.event(context.app(), Class::B, Action::ApiCall, None)?;
    event.outcome = Outcome::Denied;
    event.reason = Some("ambiguous_route");
    event.status = Some(403);
    event.origin = credentials::origin(&context.state, &context.request, ("", ROUTE), client);
    Ok(context.app().recorder.keep(context.app(), &event).await?)
}
