//! A request on its way to its handler: who asks was judged, the body is still unread.

use std::{rc::Rc, sync::Arc, time::Duration};

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse,
    dev::Payload,
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue, ORIGIN, RETRY_AFTER},
    },
    web::{Bytes, Data},
};
use serde::de::DeserializeOwned;
use statuspulse_app::{
    App, AppError, Caller, Principal,
    caller::Access,
    counters::Rate,
    oauth::{Circumstances, introspect},
    organizations, sessions,
    verify::{self, Call, Credential, Presented, Verdict},
};
use statuspulse_audit::{Action, Class, Outcome, event::Origin};
use statuspulse_keys::{directory::Found, successor::slot};
use statuspulse_oauth::{Form, token_request::LONGEST_BODY};
use statuspulse_policy::{ClientAddress, Code, Requirement, Served};
use statuspulse_store::sessions::Session;

use super::{
    body::{self, Nul},
    credentials,
    error::{ApiError, detail_of, problem},
};
use crate::{
    routes::{Route, Who},
    state::State,
};

/// How long a request may take, a body of usual patience and the longest statements included.
const PATIENCE: Duration = Duration::from_secs(15);
const EXPIRES_AT: HeaderName = HeaderName::from_static("x-key-expires-at");
const SUCCESSOR: HeaderName = HeaderName::from_static("x-key-successor");
const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const RATE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
/// A header that scripts of other origins can't send, with the session's token.
const CSRF: &str = "x-csrf-token";

/// What a handler gets.
pub(crate) struct Context {
    /// What all requests share.
    pub(crate) state: Data<State>,
    /// The request.
    pub(crate) request: HttpRequest,
    /// Who asks.
    pub(crate) caller: Caller,
    /// The client's address.
    pub(crate) client: ClientAddress,
    entry: Entry,
    payload: Rc<std::cell::RefCell<Option<Payload>>>,
}

/// What the request was let in with.
enum Entry {
    /// Nothing.
    None,
    /// A session.
    Session { session: Box<Session>, access: Option<Box<Access>> },
    /// A key.
    Key { found: Box<Found>, access: Option<Box<Access>> },
}

impl Context {
    /// The instance.
    pub(crate) fn app(&self) -> &Arc<App> {
        &self.state.app
    }

    /// What the caller may do in the organization of the path.
    pub(crate) fn access(&self) -> Result<&Access, ApiError> {
        let access = match &self.entry {
            Entry::Session { access, .. } | Entry::Key { access, .. } => access.as_deref(),
            Entry::None => None,
        };
        access.ok_or_else(|| AppError::internal("the route names no organization").into())
    }

    /// The session.
    pub(crate) fn session(&self) -> Result<&Session, ApiError> {
        match &self.entry {
            Entry::Session { session, .. } => Ok(session),
            _ => Err(AppError::internal("the route takes no session").into()),
        }
    }

    /// The key that the request was let in with.
    pub(crate) fn key(&self) -> Result<&Found, ApiError> {
        match &self.entry {
            Entry::Key { found, .. } => Ok(found),
            _ => Err(AppError::internal("the route takes no key").into()),
        }
    }

    /// An id in the path; what is no id names nothing.
    pub(crate) fn id<T: std::str::FromStr>(&self, what: &'static str) -> Result<T, ApiError> {
        let text = self.request.match_info().get("id").unwrap_or_default();
        text.parse().map_err(|_| AppError::NotFound(what).into())
    }

    /// The body, read to its end.
    pub(crate) async fn bytes(&self) -> Result<Bytes, ApiError> {
        self.bytes_up_to(body::LONGEST).await
    }

    /// The same with another bound.
    pub(crate) async fn bytes_up_to(&self, longest: usize) -> Result<Bytes, ApiError> {
        let payload = self.payload.borrow_mut().take();
        let Some(mut payload) = payload else { return Ok(Bytes::new()) };
        let read = body::read(&self.request, &mut payload, longest).await;
        if read.is_err() {
            *self.payload.borrow_mut() = Some(payload);
        }
        read
    }

    /// The body as a form, with its bound of 16 KiB (RFC 6749 §4.1.3; oauth §4.1).
    pub(crate) async fn form(&self) -> Result<Form, ApiError> {
        let media_type = self.header("content-type")?.unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(ApiError::http(400, "not_a_form", "send application/x-www-form-urlencoded"));
        }
        Ok(Form::parse(&self.bytes_up_to(LONGEST_BODY).await?))
    }

    /// The session of the request's cookie, if there is a live one. For routes that judge for themselves.
    pub(crate) async fn present_session(&self) -> Result<Option<Session>, ApiError> {
        let cookie = self.request.cookie(self.state.cookie_name()).map(|cookie| cookie.value().to_owned());
        let Some(cookie) = cookie.filter(|value| value.len() <= 256) else { return Ok(None) };
        Ok(sessions::find(self.app(), &cookie).await?)
    }

    /// The key of the `Authorization` header, if it is one that may verify credentials. For the route that takes apps too.
    pub(crate) async fn verifying_key(&self) -> Result<Found, ApiError> {
        const ROUTE: &str = "/oauth/introspect";
        let presented = credentials::presented(self.request.headers());
        let refused = |code| (Action::OauthIntrospect, introspect::status_of_refused_key(code));
        let verdict = judge_as(self, presented, Some("credentials:verify"), ROUTE, refused).await;
        let code = verdict.code;
        let found = verdict.credential.filter(|_| code == Code::Allowed).and_then(Credential::key);
        found.ok_or(ApiError::Judged { code, scope: verdict.required_scope })
    }

    /// What an OAuth exchange is judged with.
    pub(crate) fn circumstances(&self) -> Circumstances<'_> {
        Circumstances { caller: &self.caller, client: self.client, public_url: &self.state.public_url }
    }

    /// The body as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        body::parse(&self.bytes().await?, Nul::Refused)
    }

    /// The body as JSON; one that is left out is an empty object.
    pub(crate) async fn json_or_empty<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let bytes = self.bytes().await?;
        body::parse(if bytes.is_empty() { b"{}" } else { &bytes }, Nul::Refused)
    }

    /// A header's text, where it is given once.
    pub(crate) fn header(&self, name: &'static str) -> Result<Option<String>, ApiError> {
        let mut lines = self.request.headers().get_all(name);
        let Some(line) = lines.next() else { return Ok(None) };
        let text = line.to_str().ok().filter(|_| lines.next().is_none()).map(str::to_owned);
        text.map(Some).ok_or_else(|| AppError::field(name, "invalid_header", "give this header once, in ASCII").into())
    }
}

/// Runs a route: who asks, then the handler, then the event of the request.
pub(crate) async fn run(route: &'static Route, request: HttpRequest, payload: Payload) -> HttpResponse {
    let Some(state) = request.app_data::<Data<State>>().cloned() else {
        return HttpResponse::InternalServerError().finish();
    };
    let (client, origin) = match route.who {
        // A gateway speaks for a client: the handler finds out what the call looks like.
        Who::TrustedProxy => (credentials::address(&state.forward_ip, &request), Origin::default()),
        _ => {
            let client = credentials::client_address(&state, &request);
            (client, credentials::origin(&state, &request, (request.method().as_str(), route.path), client))
        }
    };
    let arrived_at = state.app.env.now();
    let mut context = Context {
        caller: Caller::new(Principal::Anonymous, origin, arrived_at),
        state,
        request,
        client,
        entry: Entry::None,
        payload: Rc::new(std::cell::RefCell::new(Some(payload))),
    };
    let request = context.request.clone();
    let (state, mut caller) = (context.state.clone(), context.caller.clone());
    let payload = Rc::clone(&context.payload);
    let admitted = within(PATIENCE, admit(route, &mut context)).await;
    let organization = context
        .access()
        .ok()
        .map(|access| access.organization.id)
        .or_else(|| context.key().ok().map(|found| found.organization.id));
    let called_with = context.key().ok().cloned();
    let result = match admitted {
        Ok(()) => {
            caller = context.caller.clone();
            // A database that hangs must not hold its callers for ever; whoever asked to wait may.
            let patience = PATIENCE + super::query::wait(&request).unwrap_or_default().min(PATIENCE * 2);
            // Nor may this bound cut off a body that is still in its own.
            let patience = patience.max(body::patience(&request) + PATIENCE / 2);
            within(patience, (route.handler)(context)).await
        }
        Err(error) => {
            caller.principal = context.caller.principal;
            Err(error)
        }
    };
    let result = match note(&state, &caller, route, organization, &result).await {
        Ok(()) => result,
        Err(error) => Err(error.into()),
    };
    let mut answer = result.unwrap_or_else(|error| problem(&request, error));
    if let Some(found) = called_with {
        tell_of_end(&mut answer, &found);
    }
    if let Some(rate) = request.extensions().get::<Rate>() {
        tell_of_rate(&mut answer, *rate);
    }
    if answer.status() == StatusCode::CREATED {
        // What was just picked up waits no more.
        answer.headers_mut().remove(SUCCESSOR);
    }
    if answer.status() == StatusCode::PAYLOAD_TOO_LARGE
        && let Some(unread) = payload.borrow_mut().take()
    {
        return body::closing(answer, unread);
    }
    answer
}

/// Tells the holder of a key how it stands with its limit.
pub(crate) fn tell_of_rate(answer: &mut HttpResponse, rate: Rate) {
    let headers = answer.headers_mut();
    headers.insert(RATE_LIMIT, rate.limit.into());
    headers.insert(RATE_REMAINING, rate.remaining.into());
    if let Some(seconds) = rate.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
}

/// Tells the holder of a key when it ends, and that a successor waits: programs renew themselves by it (keys §6.5).
pub(crate) fn tell_of_end(answer: &mut HttpResponse, found: &Found) {
    let Some(grant) = found.grant() else { return };
    let headers = answer.headers_mut();
    let end = grant.revoked_from.map_or(grant.expires_at, |from| from.min(grant.expires_at));
    if let Ok(value) = end.to_rfc3339_opts(chrono::SecondsFormat::Secs, true).parse() {
        headers.insert(EXPIRES_AT, value);
    }
    let current = found.version().is_some_and(|version| version.number == found.key.key.current_version);
    if current && slot(&found.key).is_some() {
        headers.insert(SUCCESSOR, HeaderValue::from_static("pending"));
    }
}

async fn within<T>(patience: Duration, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let late = |_| AppError::Unavailable { cause: "the request took too long".into() }.into();
    tokio::time::timeout(patience, work).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}

async fn admit(route: &Route, context: &mut Context) -> Result<(), ApiError> {
    match route.who {
        Who::Anyone => Ok(()),
        Who::TrustedProxy => trusted_proxy(context),
        Who::Session => session_without_key(context, route, false).await,
        Who::Member => session_without_key(context, route, true).await,
        Who::Writer => {
            session_without_key(context, route, true).await?;
            Ok(context.access()?.require_writer()?)
        }
        Who::Admin => {
            session_without_key(context, route, true).await?;
            Ok(context.access()?.require_admin()?)
        }
        Who::Owner => {
            session_without_key(context, route, true).await?;
            Ok(context.access()?.require_owner()?)
        }
        Who::MemberOrKey(scope) => match presented_key(context, Some(scope), route).await? {
            Some(found) => {
                context.caller.scope = Some(scope);
                admit_key(context, found, true).await
            }
            None => session(context, route, true).await,
        },
        Who::OwnKey => match presented_key(context, None, route).await? {
            Some(found) => admit_key(context, found, false).await,
            None => Err(missing(context, route).await),
        },
        Who::Gateway(scope) => match presented_key(context, Some(scope), route).await? {
            Some(found) => admit_key(context, found, false).await,
            None => Err(missing(context, route).await),
        },
    }
}

/// Where people act, a key that would be accepted elsewhere is told that it is the wrong kind of credential.
async fn session_without_key(context: &mut Context, route: &Route, in_organization: bool) -> Result<(), ApiError> {
    if let Some(found) = presented_key(context, None, route).await? {
        note_refused_key(context, &found);
        let detail = "a key reads what its scopes open and never changes; sign in to do this";
        return Err(ApiError::http(403, "credential_not_allowed", detail));
    }
    session(context, route, in_organization).await
}

/// Without a look at the token: who is not a gateway learns nothing about it.
fn trusted_proxy(context: &Context) -> Result<(), ApiError> {
    let peer = context.request.peer_addr();
    if peer.is_some_and(|peer| context.state.forward_ip.is_trusted(peer.ip())) {
        return Ok(());
    }
    let detail = "only trusted proxies may ask; see STATUSPULSE_TRUSTED_PROXIES";
    Err(ApiError::http(403, "untrusted_caller", detail))
}

/// Judges the key of a request, if one was presented. What is allowed gets its event when the request is done.
async fn presented_key(
    context: &Context,
    scope: Option<&'static str>,
    route: &Route,
) -> Result<Option<Found>, ApiError> {
    let presented = credentials::presented(context.request.headers());
    if matches!(presented, Presented::Missing) {
        return Ok(None);
    }
    let verdict = judge(context, presented, scope, route.path).await;
    match verdict {
        Verdict { code: Code::Allowed, credential: Some(credential), .. } => {
            let found = credential.key();
            found.map(Some).ok_or(ApiError::Judged { code: Code::Malformed, scope: None })
        }
        Verdict { code, required_scope, .. } => Err(ApiError::Judged { code, scope: required_scope }),
    }
}

async fn judge(
    context: &Context,
    presented: Presented<'_>,
    scope: Option<&'static str>,
    route: &'static str,
) -> Verdict {
    judge_as(context, presented, scope, route, verify::refused_call).await
}

async fn judge_as(
    context: &Context,
    presented: Presented<'_>,
    scope: Option<&'static str>,
    route: &'static str,
    refused: fn(Code) -> (Action, u16),
) -> Verdict {
    let catalog = context.app().catalog.load_full();
    let requirement = match scope {
        Some(scope) => catalog.requirement_for_scope(scope).with_route(route),
        None => Requirement::Public { route },
    };
    let call = Call {
        presented,
        client: context.client,
        served: Served::Any,
        requirement,
        catalog: &catalog,
        origin: context.caller.origin.clone(),
        via: None,
        quiet: true,
        anonymous: false,
        // A third party's app can't manage anything: here only keys are credentials.
        audience: None,
        refused,
    };
    let verdict = verify::judge(context.app(), call).await;
    if let Some(rate) = verdict.rate {
        // For the answer, whatever it will be.
        context.request.extensions_mut().insert(rate);
    }
    verdict
}

/// The refusal of a request without a credential, with its event. It says what to bring.
async fn missing(context: &Context, route: &Route) -> ApiError {
    let verdict = judge(context, Presented::Missing, None, route.path).await;
    let detail = match route.who {
        Who::Session | Who::Member | Who::Writer | Who::Admin | Who::Owner => "sign in by `POST /v1/session`",
        Who::MemberOrKey(_) => "sign in by `POST /v1/session`, or send a key as `Authorization: Bearer …`",
        _ => detail_of(verdict.code),
    };
    match verdict.code {
        Code::Missing => AppError::Unauthorized { code: Code::Missing.as_str(), detail }.into(),
        code => ApiError::Judged { code, scope: None },
    }
}

/// A key as the caller of a request.
pub(crate) fn principal_of(found: &Found) -> Principal {
    Principal::Key {
        id: found.key.key.id,
        version: found.version().map_or(0, |version| version.number),
        organization: found.organization.id,
    }
}

async fn admit_key(context: &mut Context, found: Found, in_organization: bool) -> Result<(), ApiError> {
    context.caller.principal = principal_of(&found);
    let access = if in_organization { Some(Box::new(organization_of(context).await?)) } else { None };
    context.entry = Entry::Key { found: Box::new(found), access };
    Ok(())
}

fn note_refused_key(context: &mut Context, found: &Found) {
    context.caller.principal = principal_of(found);
}

async fn organization_of(context: &Context) -> Result<Access, ApiError> {
    let slug = context.request.match_info().get("org").unwrap_or_default();
    let mut conn = context.app().conn().await?;
    Ok(organizations::access(&mut conn, &context.caller, slug).await?)
}

async fn session(context: &mut Context, route: &Route, in_organization: bool) -> Result<(), ApiError> {
    let cookie = context.request.cookie(context.state.cookie_name()).map(|cookie| cookie.value().to_owned());
    let Some(cookie) = cookie.filter(|value| value.len() <= 256) else {
        return Err(missing(context, route).await);
    };
    let Some(found) = sessions::find(context.app(), &cookie).await? else {
        return Err(sessions::ended().into());
    };
    context.caller.principal = Principal::User { id: found.user.id, email: found.user.email.clone() };
    if !context.request.method().is_safe() {
        check_forgery(context, &found)?;
    }
    let access = if in_organization { Some(Box::new(organization_of(context).await?)) } else { None };
    context.entry = Entry::Session { session: Box::new(found), access };
    Ok(())
}

/// Another site can make a browser send the cookie, but neither this header nor our origin.
fn check_forgery(context: &Context, session: &Session) -> Result<(), ApiError> {
    check_origin(context, true)?;
    let token = context.request.headers().get(CSRF).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if context.app().secrets.csrf_matches(&sessions::form_bond(session.id), token) {
        Ok(())
    } else {
        let detail = "send the session's csrf_token as X-CSRF-Token";
        Err(ApiError::http(403, "csrf_token_invalid", detail))
    }
}

/// Whether the request comes from the public URL's own pages. A browser always says where a request comes from that
/// crosses origins, so at the sign-in, which other programs use too, silence is accepted.
pub(crate) fn check_origin(context: &Context, needed: bool) -> Result<(), ApiError> {
    let mut lines = context.request.headers().get_all(ORIGIN);
    let ours = match (lines.next(), lines.next()) {
        (None, _) => !needed,
        (Some(line), None) => line.as_bytes() == context.state.origin.as_bytes(),
        (Some(_), Some(_)) => false,
    };
    if ours { Ok(()) } else { Err(ApiError::http(403, "origin_not_allowed", "send the public URL's origin as Origin")) }
}

/// One request, one event: what was judged or changed has its own; every other request of a key or a session gets one.
async fn note(
    state: &State,
    caller: &Caller,
    route: &Route,
    organization: Option<statuspulse_policy::OrganizationId>,
    result: &Result<HttpResponse, ApiError>,
) -> Result<(), AppError> {
    let judged = matches!(result, Err(ApiError::Judged { .. }));
    let done = result.is_ok() && caller.has_recorded();
    let named = matches!(caller.principal, Principal::User { .. } | Principal::Key { .. });
    let own_event = matches!(route.who, Who::Gateway(_)) && result.is_ok();
    if let (Principal::Key { id, .. }, Ok(_)) = (&caller.principal, result) {
        state.app.recorder.used(*id, state.app.env.now(), caller.origin.ip);
    }
    if judged || done || !named || own_event || result.is_err() && caller.has_recorded() {
        return Ok(());
    }
    let status = match result {
        Ok(response) => response.status().as_u16(),
        Err(error) => error.status(),
    };
    let mut event = caller.event(&state.app, Class::B, Action::ApiCall, organization)?;
    event.outcome = Outcome::of_status(status);
    event.reason = result.as_ref().err().map(ApiError::code);
    event.status = Some(status);
    state.app.recorder.keep(&state.app, &event).await
}
