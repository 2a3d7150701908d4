//! The pages that people see: sign-in, consent, and where a request ends that goes nowhere.

use actix_web::{
    HttpResponse,
    cookie::{Cookie, SameSite},
    http::{
        Method,
        header::{CONTENT_TYPE, HeaderValue, ORIGIN, RETRY_AFTER},
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use statuspulse_app::{
    AppError,
    oauth::authorize::{self, Answer as Decision, Asked, ConsentView, Decided, Step},
    passwords::Password,
    sessions,
};
use statuspulse_oauth::{
    Field, Form,
    authorize::{LONGEST_QUERY, PageReason},
    redirect_uri::{display_host, form_action},
};
use statuspulse_store::sessions::Session;

use super::{
    Answer,
    dashboard::is_own_page,
    session::{live_cookie, session_cookie},
};
use crate::{
    http::{ApiError, Context, oauth as wire},
    pages::{AppLine, ConsentPage, LoginPage, OrganizationChoice, ScopeLine, SignedInPage},
};

/// A longer handle, token or address is nobody's.
const LONGEST_FIELD: usize = 1_024;

/// Ask a person for an authorization (RFC 6749 §4.1.1).
#[utoipa::path(get, path = "/oauth/authorize", tag = "oauth",
    params(("client_id" = String, Query), ("redirect_uri" = String, Query), ("response_type" = String, Query),
        ("scope" = Option<String>, Query, description = "separated by blanks or commas"),
        ("state" = Option<String>, Query), ("code_challenge" = Option<String>, Query),
        ("code_challenge_method" = Option<String>, Query), ("resource" = Option<Vec<String>>, Query)), responses(
    (status = 200, description = "the consent page"), (status = 303, description = "the sign-in, or back to the app"),
    (status = 400, description = "app or redirect URI are wrong: a page, and no redirect")))]
pub(crate) async fn ask(context: Context) -> Answer {
    let query = context.request.query_string().to_owned();
    if query.len() > LONGEST_QUERY {
        return Err(ApiError::http(414, "query_too_long", "a query has at most 8 KiB"));
    }
    let session = context.present_session().await?;
    let asked =
        Asked { query: &query, session: session.as_ref(), may_change: context.request.method() != Method::HEAD };
    let step = authorize::begin(context.app(), &context.circumstances(), asked).await?;
    Ok(match step {
        Step::Page(reason) => refused_page(&context, reason),
        Step::SignIn { handle } => to_own(&context, &format!("/login?request={handle}")),
        Step::Redirect(location) => wire::see_other(&location),
        Step::TooMany => {
            let detail = "Many sign-ins were begun from your network and not finished. Wait a minute and try again.";
            let mut answer = wire::page(&context.request, 429, "Too many requests", detail);
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
            answer
        }
        Step::Nothing => HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/html; charset=utf-8")).finish(),
        Step::Consent(view) => match &session {
            Some(session) => consent(&context, &view, session),
            None => return Err(AppError::internal("a consent page for nobody").into()),
        },
    })
}

/// A redirect to an address of ours, under the path at which browsers see us.
pub(super) fn to_own(context: &Context, path: &str) -> HttpResponse {
    wire::see_other(&format!("{}{path}", context.state.base))
}

fn refused_page(context: &Context, reason: PageReason) -> HttpResponse {
    let detail = match reason {
        PageReason::ClientIdMalformed | PageReason::ClientUnknown | PageReason::AppSuspended => {
            "The app that sent you here is not known to us, or may not be used at the moment. \
             Tell the people who run it; they find the reason under the request id."
        }
        PageReason::RedirectUriMalformed | PageReason::RedirectUriMismatch(_) => {
            "The app that sent you here did not name one of its registered addresses, so we do not send you back to it. \
             Tell the people who run it; they find the reason under the request id."
        }
    };
    wire::page(&context.request, 400, "This request can't be answered", detail)
}

fn consent(context: &Context, view: &ConsentView, session: &Session) -> HttpResponse {
    let organizations: Vec<OrganizationChoice<'_>> =
        view.organizations.iter().map(|held| OrganizationChoice { slug: &held.slug, name: &held.name }).collect();
    let scopes: Vec<ScopeLine<'_>> = view
        .scopes
        .iter()
        .map(|line| ScopeLine { name: &line.name, description: &line.description, grantable: line.grantable })
        .collect();
    let page = ConsentPage {
        base: &context.state.base,
        app_name: &view.app.name,
        publisher: &view.publisher,
        user_email: &session.user.email,
        organizations: &organizations,
        scopes: &scopes,
        redirect_host: &display_host(&view.redirect_uri),
        handle: &view.handle,
        csrf: &context.app().secrets.csrf_token(&sessions::form_bond(session.id)),
    };
    wire::html(200, page.render(), form_action(&view.redirect_uri).as_deref())
}

/// The person's decision.
pub(crate) async fn decide(context: Context) -> Answer {
    let form = context.form().await?;
    let text = |name| field(&form, name);
    let Some(session) = context.present_session().await? else {
        return forged(&context, "session_missing").await;
    };
    if let Err(reason) = judge_form(&context, &sessions::form_bond(session.id), text("csrf_token").unwrap_or_default())
    {
        return forged(&context, reason).await;
    }
    let ticked: Vec<&str> = form.all("scope").filter_map(Field::text).collect();
    let answer = Decision {
        handle: text("request").unwrap_or_default(),
        allow: text("decision") == Some("allow"),
        organization: text("organization"),
        ticked: &ticked,
    };
    if !matches!(text("decision"), Some("allow" | "deny")) {
        return forged(&context, "decision_missing").await;
    }
    Ok(match authorize::decide(context.app(), &context.circumstances(), &session, answer).await? {
        Decided::Redirect(location) => wire::see_other(&location),
        Decided::Page(reason) => refused_page(&context, reason),
        Decided::Used => {
            let detail = "This page has been answered already. If you are not back at the app, start there again.";
            wire::page(&context.request, 409, "Already answered", detail)
        }
        Decided::Invalid => expired_page(&context),
    })
}

pub(super) fn field<'f>(form: &'f Form, name: &str) -> Option<&'f str> {
    form.one(name).ok().flatten().and_then(Field::text).filter(|text| text.len() <= LONGEST_FIELD)
}

fn expired_page(context: &Context) -> HttpResponse {
    let detail = "The page was open for too long, or was not meant for this browser. Start again from the app.";
    wire::page(&context.request, 403, "This page is no longer valid", detail)
}

async fn forged(context: &Context, reason: &'static str) -> Answer {
    authorize::note_forgery(context.app(), &context.caller, reason).await?;
    Ok(expired_page(context))
}

/// Whether a form was sent by a page of ours, in this browser. Under `Referrer-Policy: no-referrer` browsers send
/// `Origin: null` with their forms, so that counts where they say themselves that it is the same origin.
pub(super) fn judge_form(context: &Context, bond: &str, presented: &str) -> Result<(), &'static str> {
    let headers = context.request.headers();
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
    if !matches!(site, None | Some(b"same-origin" | b"none")) {
        return Err("cross_site");
    }
    let mut origins = headers.get_all(ORIGIN);
    match (origins.next(), origins.next()) {
        (None, _) => {}
        (Some(origin), None) if origin.as_bytes() == context.state.origin.as_bytes() => {}
        (Some(origin), None) if origin.as_bytes() == b"null" && site == Some(b"same-origin") => {}
        _ => return Err("origin_foreign"),
    }
    if context.app().secrets.csrf_matches(bond, presented) { Ok(()) } else { Err("csrf_token_invalid") }
}

/// The sign-in page.
pub(crate) async fn login(context: Context) -> Answer {
    let query = Form::parse(context.request.query_string().as_bytes());
    let handle = field(&query, "request");
    if let Some(session) = context.present_session().await? {
        if context.request.method() != Method::HEAD
            && let Some(handle) = handle
            && let Some(query) = authorize::resume(context.app(), handle).await?
        {
            return Ok(to_own(&context, &format!("/oauth/authorize?{query}")));
        }
        if let Some(page) = own_page(&query) {
            return Ok(to_own(&context, page));
        }
        let csrf = context.app().secrets.csrf_token(&sessions::form_bond(session.id));
        let page = SignedInPage { base: &context.state.base, email: &session.user.email, csrf: &csrf };
        return Ok(wire::html(200, page.render(), None));
    }
    login_page(&context, &Goal { handle, page: own_page(&query) }, "", None, 200).await
}

/// What goes on after sign-in.
#[derive(Clone, Copy)]
struct Goal<'a> {
    /// A request for authorization that waits under this handle.
    handle: Option<&'a str>,
    /// A page of the dashboard.
    page: Option<&'a str>,
}

/// The page of ours that sent the person to sign-in. No other address is followed.
fn own_page(form: &Form) -> Option<&str> {
    field(form, "page").filter(|address| is_own_page(address))
}

/// The page, under a cookie that binds its form to this browser: nobody can be signed in to another's account.
async fn login_page(context: &Context, goal: &Goal<'_>, email: &str, problem: Option<&str>, status: u16) -> Answer {
    let app = context.app();
    let handle = goal.handle;
    let waiting = match handle {
        Some(handle) => authorize::waiting_app(app, handle).await?,
        None => None,
    };
    let known = login_cookie(context);
    let value = match &known {
        Some(value) => value.clone(),
        None => URL_SAFE_NO_PAD.encode(app.env.random::<32>()?),
    };
    let page = LoginPage {
        base: &context.state.base,
        app: waiting.as_ref().map(|waiting| AppLine { name: &waiting.name, publisher: &waiting.publisher }),
        handle: handle.filter(|_| waiting.is_some()),
        page: goal.page,
        csrf: &app.secrets.csrf_token(&form_bond(&value)),
        email,
        problem,
    };
    // Chromium holds every redirect behind the form to the policy, and this one may end at the app.
    let leads_to = waiting.as_ref().and_then(|waiting| form_action(waiting.redirect_uri.as_deref()?));
    let mut answer = wire::html(status, page.render(), leads_to.as_deref());
    if known.is_none() {
        let cookie = Cookie::build(login_cookie_name(context), value)
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(context.state.is_secure())
            .finish();
        answer.add_cookie(&cookie).map_err(AppError::internal)?;
    }
    Ok(answer)
}

/// A token for the sign-in's form must not be one for a session's.
fn form_bond(cookie: &str) -> String {
    format!("login {cookie}")
}

fn login_cookie_name(context: &Context) -> &'static str {
    if context.state.is_secure() { "__Host-statuspulse_login" } else { "statuspulse_login" }
}

fn login_cookie(context: &Context) -> Option<String> {
    let cookie = context.request.cookie(login_cookie_name(context))?;
    Some(cookie.value().to_owned()).filter(|value| value.len() == 43)
}

/// Signs in, and goes on with the request that waits, or with a page of ours: no other address is taken from outside.
pub(crate) async fn sign_in(context: Context) -> Answer {
    let form = context.form().await?;
    let text = |name| field(&form, name);
    let bound = login_cookie(&context).map(|value| form_bond(&value));
    let presented = text("csrf_token").unwrap_or_default();
    let judged = bound.ok_or("login_cookie_missing").and_then(|bond| judge_form(&context, &bond, presented));
    if judged.is_err() {
        let detail = "The sign-in page was open for too long, or was not meant for this browser. Start again.";
        return Ok(wire::page(&context.request, 403, "This page is no longer valid", detail));
    }
    let goal = Goal { handle: text("request"), page: own_page(&form) };
    let email = text("email").unwrap_or_default();
    let password = Password::new(text("password").unwrap_or_default().to_owned());
    let signed_in = match sessions::sign_in(context.app(), &context.caller, email, password).await {
        Ok(signed_in) => signed_in,
        Err(AppError::Unauthorized { .. }) => {
            let problem = "The e-mail address or the password is wrong.";
            return login_page(&context, &goal, email, Some(problem), 401).await;
        }
        Err(AppError::TooMany { retry_after, .. }) => {
            let problem = format!("Too many failed sign-ins. Wait {retry_after} seconds and try again.");
            let mut answer = login_page(&context, &goal, email, Some(&problem), 429).await?;
            if let Ok(value) = retry_after.to_string().parse() {
                answer.headers_mut().insert(RETRY_AFTER, value);
            }
            return Ok(answer);
        }
        Err(other) => return Err(other.into()),
    };
    let query = match goal.handle {
        Some(handle) => authorize::resume(context.app(), handle).await?,
        None => None,
    };
    let next = match query {
        Some(query) => format!("/oauth/authorize?{query}"),
        None => goal.page.unwrap_or("/").to_owned(),
    };
    let mut answer = to_own(&context, &next);
    let cookie = live_cookie(&context, signed_in.cookie, signed_in.expires_at);
    let mut used = Cookie::build(login_cookie_name(&context), "").path("/").secure(context.state.is_secure()).finish();
    used.make_removal();
    for cookie in [&cookie, &used] {
        answer.add_cookie(cookie).map_err(AppError::internal)?;
    }
    Ok(answer)
}

/// Signs out.
pub(crate) async fn sign_out(context: Context) -> Answer {
    let form = context.form().await?;
    let Some(session) = context.present_session().await? else { return Ok(to_own(&context, "/login")) };
    let presented = field(&form, "csrf_token").unwrap_or_default();
    if judge_form(&context, &sessions::form_bond(session.id), presented).is_err() {
        return Ok(expired_page(&context));
    }
    let mut caller = context.caller.clone();
    caller.principal = statuspulse_app::Principal::User { id: session.user.id, email: session.user.email.clone() };
    sessions::sign_out(context.app(), &caller, &session).await?;
    let mut removed = session_cookie(&context, String::new());
    removed.make_removal();
    let mut answer = to_own(&context, "/login");
    answer.add_cookie(&removed).map_err(AppError::internal)?;
    Ok(answer)
}
