//! The authorization endpoint: a person is asked, and the app gets a code (oauth §3).

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Duration;
use statuspulse_audit::Action;
use statuspulse_oauth::{
    App as OauthApp, AuthorizeErrorCode, Grant, GrantStatus, OpaqueToken, TokenKind,
    authorize::{
        self, Authorization, AuthorizeError, AuthorizeRequest, CODE_SECONDS, CONSENT_SECONDS, LOGIN_SECONDS,
        PageReason, Prompt,
    },
    code::CodeRecord,
    redirect_uri,
    token::TOKEN_ENTROPY,
};
use statuspulse_policy::{GrantId, ScopeSet};
use statuspulse_store::{
    AsyncConnection as _, Conn, members,
    oauth::{apps, codes, grants, requests, requests::WaitingRequest},
    organizations,
    sessions::Session,
    users::{self, Membership},
};
use zeroize::Zeroizing;

use super::{Circumstances, event, known, note, note_in, refused, surge};
use crate::{
    app::App,
    caller::{Access, Caller, Principal, Right},
    error::AppError,
};

/// What a request leads to. Without `Debug`: it holds a code or a handle.
pub enum Step {
    /// A page of ours that says what is wrong; nobody is redirected.
    Page(PageReason),
    /// The sign-in, with a one-time handle of the request.
    SignIn {
        /// The handle.
        handle: String,
    },
    /// The consent page.
    Consent(Box<ConsentView>),
    /// Back to the app, with a code or an error.
    Redirect(String),
    /// Too many requests without a sign-in from one address.
    TooMany,
    /// A request that may change nothing (`HEAD`) would have gone on.
    Nothing,
}

/// What the consent page shows. Without `Debug`: it holds a code or a handle.
pub struct ConsentView {
    /// The app.
    pub app: OauthApp,
    /// Name of its publisher.
    pub publisher: String,
    /// Where the person may give it access.
    pub organizations: Vec<Membership>,
    /// What it asks for.
    pub scopes: Vec<ScopeLine>,
    /// Where the person is sent afterwards.
    pub redirect_uri: String,
    /// One-time handle of the decision.
    pub handle: String,
}

/// A scope on the consent page.
#[derive(Debug)]
pub struct ScopeLine {
    /// Name.
    pub name: String,
    /// In words.
    pub description: String,
    /// Whether the person's role, in one organization at least, may give it.
    pub grantable: bool,
}

/// A request to the authorization endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The query as it came.
    pub query: &'a str,
    /// The signed-in session, if there is one.
    pub session: Option<&'a Session>,
    /// Whether anything may change.
    pub may_change: bool,
}

/// Judges a request up to the point where a person, or the app, is next.
///
/// # Errors
/// 503.
pub async fn begin(app: &Arc<App>, circumstances: &Circumstances<'_>, asked: Asked<'_>) -> Result<Step, AppError> {
    let caller = &caller_of(circumstances.caller, asked.session);
    let request = AuthorizeRequest::parse(asked.query.as_bytes());
    let mut conn = app.conn().await?;
    let found = match request.client_id() {
        Ok(id) => apps::by_client_id(&mut conn, &id).await?,
        Err(reason) => {
            drop(conn);
            return page(app, caller, None, reason).await;
        }
    };
    let target = match request.target(found.as_ref()) {
        Ok(target) => target,
        Err(reason) => {
            drop(conn);
            return page(app, caller, found.as_ref(), reason).await;
        }
    };
    let Some(oauth_app) = found else { return Err(AppError::internal("a redirect uri of no app")) };
    let Some(session) = asked.session else {
        if !asked.may_change {
            return Ok(Step::Nothing);
        }
        // What a stranger asks for is kept until the sign-in, so there must not be too much of it.
        if !app.sign_ins.allow(circumstances.client.ip()) {
            return Ok(Step::TooMany);
        }
        // Before somebody is signed in, nothing else is judged: a stranger must not be sent anywhere (RFC 9700 §4.11.2).
        let handle = wait(app, &mut conn, &oauth_app, None, asked.query, LOGIN_SECONDS).await?;
        return Ok(Step::SignIn { handle });
    };
    let catalog = app.catalog.load_full();
    let known = known(&catalog, circumstances.public_url);
    let authorization = match request.judge(&oauth_app, target, &catalog, &known) {
        Ok(authorization) => authorization,
        Err(error) if asked.may_change => {
            drop(conn);
            return redirect_error(app, circumstances, caller, &oauth_app, error).await;
        }
        Err(_) => return Ok(Step::Nothing),
    };
    let memberships = users::memberships_of(&mut conn, session.user.id).await?;
    if let Some(access) = remembered(app, &mut conn, &authorization, &oauth_app, &memberships, session, &known).await? {
        if !asked.may_change {
            return Ok(Step::Nothing);
        }
        let location = conn
            .transaction(async |conn| {
                let scopes = authorization.scopes;
                give_code(app, circumstances, caller, conn, &oauth_app, session, &access, &authorization, scopes).await
            })
            .await?;
        caller.mark_recorded();
        circumstances.caller.mark_recorded();
        return Ok(Step::Redirect(location));
    }
    if !asked.may_change {
        return Ok(Step::Nothing);
    }
    if authorization.prompt == Prompt::None {
        let error =
            error_of(&authorization, AuthorizeErrorCode::ConsentRequired, "consent_required", "consent is required");
        drop(conn);
        return redirect_error(app, circumstances, caller, &oauth_app, error).await;
    }
    let publisher = organizations::by_id(&mut conn, oauth_app.organization_id).await?;
    let publisher = publisher.map(|organization| organization.name).unwrap_or_default();
    let grantable = grantable_anywhere(app, &mut conn, &memberships).await?;
    let handle = wait(app, &mut conn, &oauth_app, Some(session), asked.query, CONSENT_SECONDS).await?;
    let lines = authorization.scopes.iter().filter_map(|bit| {
        let info = catalog.scope_info(bit)?;
        Some(ScopeLine {
            name: info.name.to_string(),
            description: info.description.to_string(),
            grantable: grantable.contains(bit),
        })
    });
    Ok(Step::Consent(Box::new(ConsentView {
        scopes: lines.collect(),
        app: oauth_app,
        publisher,
        organizations: memberships,
        redirect_uri: authorization.redirect_uri,
        handle,
    })))
}

/// The caller of an exchange is whoever is signed in.
fn caller_of(caller: &Caller, session: Option<&Session>) -> Caller {
    let mut caller = caller.clone();
    if let Some(session) = session {
        caller.principal = Principal::User { id: session.user.id, email: session.user.email.clone() };
    }
    caller
}

async fn page(app: &App, caller: &Caller, oauth_app: Option<&OauthApp>, reason: PageReason) -> Result<Step, AppError> {
    let mut event = refused(event(app, caller, Action::OauthAuthorize, oauth_app, None)?, reason.as_str(), 400);
    if let PageReason::RedirectUriMismatch(mismatch) = reason {
        event = event.with("first_difference", mismatch.first_difference);
    }
    note(app, caller, event).await?;
    Ok(Step::Page(reason))
}

fn error_of(
    authorization: &Authorization,
    code: AuthorizeErrorCode,
    reason: &'static str,
    description: &'static str,
) -> AuthorizeError {
    AuthorizeError {
        code,
        description,
        reason,
        redirect_uri: authorization.redirect_uri.clone(),
        state: authorization.state.clone(),
    }
}

async fn redirect_error(
    app: &App,
    circumstances: &Circumstances<'_>,
    caller: &Caller,
    oauth_app: &OauthApp,
    error: AuthorizeError,
) -> Result<Step, AppError> {
    // The redirect itself is a 303; what is on record is that the request was refused.
    let mut event = refused(event(app, caller, Action::OauthAuthorize, Some(oauth_app), None)?, error.reason, 400);
    event.status = Some(303);
    note(app, caller, event).await?;
    Ok(Step::Redirect(location(circumstances, &error)))
}

fn location(circumstances: &Circumstances<'_>, error: &AuthorizeError) -> String {
    let mut parameters = vec![("error", error.code.as_str()), ("error_description", error.description)];
    if let Some(state) = &error.state {
        parameters.push(("state", state));
    }
    parameters.push(("iss", circumstances.public_url));
    redirect_uri::with_parameters(&error.redirect_uri, &parameters)
}

/// Keeps a request under a fresh one-time handle.
async fn wait(
    app: &App,
    conn: &mut Conn,
    oauth_app: &OauthApp,
    session: Option<&Session>,
    query: &str,
    seconds: i64,
) -> Result<String, AppError> {
    let handle = URL_SAFE_NO_PAD.encode(app.env.random::<32>()?);
    let key = app.secrets.digest_key().ok_or_else(|| AppError::internal("no digest key"))?;
    let waiting = WaitingRequest {
        session: session.map(|session| session.id),
        user: session.map(|session| session.user.id),
        app: oauth_app.id,
        parameters: query.to_owned(),
        expires_at: app.env.now() + Duration::seconds(seconds),
        used_at: None,
    };
    requests::insert(conn, &key.handle(&handle), &waiting).await?;
    Ok(handle)
}

/// Where the person has decided this before, and may still. Somebody with several organizations is always asked: only the
/// page lets him choose one.
async fn remembered(
    app: &App,
    conn: &mut Conn,
    asked: &Authorization,
    oauth_app: &OauthApp,
    memberships: &[Membership],
    session: &Session,
    known: &statuspulse_oauth::resource::Known<'_>,
) -> Result<Option<Access>, AppError> {
    let [only] = memberships else { return Ok(None) };
    if asked.prompt == Prompt::Consent {
        return Ok(None);
    }
    let Some(access) = access(conn, only).await? else { return Ok(None) };
    let grants = grants::of_person(conn, session.user.id, oauth_app.id, only.organization_id).await?;
    let now = app.env.now();
    let organization = only.organization_id;
    let remembered =
        authorize::is_remembered(asked, oauth_app, organization, access.grantable(app), &grants, known, now);
    Ok(remembered.then_some(access))
}

async fn access(conn: &mut Conn, membership: &Membership) -> Result<Option<Access>, AppError> {
    let organization = organizations::by_id(conn, membership.organization_id).await?;
    Ok(organization.map(|organization| Access { organization, right: Right::Role(membership.role) }))
}

async fn grantable_anywhere(app: &App, conn: &mut Conn, memberships: &[Membership]) -> Result<ScopeSet, AppError> {
    let mut all = ScopeSet::EMPTY;
    for membership in memberships {
        if let Some(access) = access(conn, membership).await? {
            all = all.union(access.grantable(app));
        }
    }
    Ok(all)
}

/// Writes grant and code with their event; answers where the person goes.
#[expect(clippy::too_many_arguments, reason = "each is a part of the decision that is written down")]
async fn give_code(
    app: &App,
    circumstances: &Circumstances<'_>,
    caller: &Caller,
    conn: &mut Conn,
    oauth_app: &OauthApp,
    session: &Session,
    access: &Access,
    asked: &Authorization,
    scopes: ScopeSet,
) -> Result<String, AppError> {
    let now = app.env.now();
    // The role was read before this transaction: one that changes meanwhile must not leave a grant behind.
    if let Right::Role(role) = access.right
        && !members::holds(conn, access.organization.id, session.user.id, role).await?
    {
        return Err(AppError::Unavailable { cause: "the person's role has changed meanwhile".into() });
    }
    let grant = Grant {
        id: GrantId::from_uuid(app.env.id()?),
        user_id: Some(session.user.id),
        organization_id: access.organization.id,
        app_id: oauth_app.id,
        scopes,
        resources: asked.resources.clone(),
        status: GrantStatus::Pending,
        revoked_reason: None,
        revoked_at: None,
        generation: 0,
        created_at: now,
        last_refresh_at: None,
        absolute_expires_at: Some(Grant::absolute_end(now)),
        last_used_at: None,
        last_used_ips: Vec::new(),
        sequence: 0,
    };
    let code = OpaqueToken::from_entropy(TokenKind::Code, &Zeroizing::new(app.env.random::<TOKEN_ENTROPY>()?));
    let record = CodeRecord {
        grant_id: grant.id,
        app_id: oauth_app.id,
        redirect_uri: asked.redirect_uri.clone(),
        challenge: asked.challenge.clone(),
        scopes,
        resources: asked.resources.clone(),
        expires_at: now + Duration::seconds(CODE_SECONDS),
        redeemed_at: None,
    };
    let key = app.secrets.digest_key().ok_or_else(|| AppError::internal("no digest key"))?;
    let mut event = event(app, caller, Action::OauthAuthorize, Some(oauth_app), Some(&grant))?
        .with("scopes", super::scope_names(app, scopes));
    event.status = Some(303);
    if !grants::insert(conn, &grant).await? {
        return Err(AppError::internal("a fresh grant exists already"));
    }
    codes::insert(conn, &key.token(&code), &record).await?;
    note_in(app, caller, conn, event).await?;
    surge::watch(app, conn, oauth_app, now).await?;
    let mut parameters = vec![("code", code.expose())];
    if let Some(state) = &asked.state {
        parameters.push(("state", state));
    }
    parameters.push(("iss", circumstances.public_url));
    Ok(redirect_uri::with_parameters(&asked.redirect_uri, &parameters))
}

/// What was answered on the consent page. Without `Debug`: it holds a handle.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The handle of the page.
    pub handle: &'a str,
    /// Whether Allow was pressed.
    pub allow: bool,
    /// Slug of the chosen organization.
    pub organization: Option<&'a str>,
    /// Names of the ticked scopes.
    pub ticked: &'a [&'a str],
}

/// What an answer leads to. Without `Debug`: it holds a code or a handle.
pub enum Decided {
    /// Back to the app.
    Redirect(String),
    /// The handle is missing, foreign or too old; nothing is changed and nobody is redirected.
    Invalid,
    /// The handle has served.
    Used,
    /// App or redirect URI are no longer good.
    Page(PageReason),
}

/// Carries a person's decision out. The same parameters are judged again: app and catalog may have changed meanwhile.
///
/// # Errors
/// 503.
pub async fn decide(
    app: &Arc<App>,
    circumstances: &Circumstances<'_>,
    session: &Session,
    answer: Answer<'_>,
) -> Result<Decided, AppError> {
    let caller = &caller_of(circumstances.caller, Some(session));
    let digests = app.secrets.handle_digests(answer.handle);
    let now = app.env.now();
    let mut conn = app.conn().await?;
    let waiting = requests::find(&mut conn, &digests).await?;
    // Bound to session and person: with another's handle nothing can be decided (RFC 9700 §4.7).
    let own = waiting.filter(|waiting| waiting.session == Some(session.id) && waiting.user == Some(session.user.id));
    let Some(waiting) = own else {
        drop(conn);
        return invalid(app, caller, None, "handle_unknown").await;
    };
    let found = apps::find(&mut conn, None, waiting.app).await?;
    if waiting.used_at.is_some() || now >= waiting.expires_at {
        drop(conn);
        let used = waiting.used_at.is_some();
        let reason = if used { "handle_used" } else { "handle_expired" };
        invalid(app, caller, found.as_ref(), reason).await?;
        return Ok(if used { Decided::Used } else { Decided::Invalid });
    }
    let request = AuthorizeRequest::parse(waiting.parameters.as_bytes());
    let target = match request.target(found.as_ref()) {
        Ok(target) => target,
        Err(reason) => {
            drop(conn);
            page(app, caller, found.as_ref(), reason).await?;
            return Ok(Decided::Page(reason));
        }
    };
    let Some(oauth_app) = found else { return Err(AppError::internal("a redirect uri of no app")) };
    let catalog = app.catalog.load_full();
    let judged = request.judge_again(&oauth_app, target, &catalog, &known(&catalog, circumstances.public_url));
    let memberships = users::memberships_of(&mut conn, session.user.id).await?;
    let decision = match judged {
        Err(error) => Err(error),
        Ok(asked) => judge_answer(app, &mut conn, &oauth_app, &memberships, asked, answer).await?,
    };
    let taken = conn
        .transaction(async |conn| {
            if !requests::take(conn, &digests, now).await? {
                return Ok(None);
            }
            match decision {
                Ok((asked, access, scopes)) => {
                    give_code(app, circumstances, caller, conn, &oauth_app, session, &access, &asked, scopes)
                        .await
                        .map(Some)
                }
                Err(error) => {
                    let event = event(app, caller, Action::OauthAuthorize, Some(&oauth_app), None)?;
                    let mut event = refused(event, error.reason, 400);
                    event.status = Some(303);
                    note_in(app, caller, conn, event).await?;
                    Ok(Some(location(circumstances, &error)))
                }
            }
        })
        .await?;
    match taken {
        Some(location) => {
            circumstances.caller.mark_recorded();
            Ok(Decided::Redirect(location))
        }
        // Two answers at once: the database has decided which one counts.
        None => {
            drop(conn);
            invalid(app, caller, Some(&oauth_app), "handle_used").await?;
            Ok(Decided::Used)
        }
    }
}

type Judged = Result<(Authorization, Access, ScopeSet), AuthorizeError>;

async fn judge_answer(
    app: &App,
    conn: &mut Conn,
    oauth_app: &OauthApp,
    memberships: &[Membership],
    asked: Authorization,
    answer: Answer<'_>,
) -> Result<Judged, AppError> {
    let denied = |asked: &Authorization, reason| {
        Err(error_of(asked, AuthorizeErrorCode::AccessDenied, reason, "access was denied"))
    };
    if !answer.allow {
        return Ok(denied(&asked, "denied_by_user"));
    }
    let chosen = match (answer.organization, memberships) {
        (Some(slug), _) => memberships.iter().find(|held| held.slug == slug),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let access = match chosen {
        Some(membership) => access(conn, membership).await?,
        None => None,
    };
    let Some(access) = access else { return Ok(denied(&asked, "organization_not_chosen")) };
    let catalog = app.catalog.load();
    let ticked = answer.ticked.iter().copied();
    match authorize::granted(asked.scopes, ticked, oauth_app, access.grantable(app), &catalog) {
        Some(scopes) => Ok(Ok((asked, access, scopes))),
        None => Ok(denied(&asked, "nothing_granted")),
    }
}

async fn invalid(
    app: &App,
    caller: &Caller,
    oauth_app: Option<&OauthApp>,
    reason: &'static str,
) -> Result<Decided, AppError> {
    let status = if reason == "handle_used" { 409 } else { 403 };
    let event = refused(event(app, caller, Action::OauthAuthorize, oauth_app, None)?, reason, status);
    note(app, caller, event).await?;
    Ok(Decided::Invalid)
}

/// The event of an answer that was refused before its handle was looked at: a foreign origin, a wrong token, no session.
///
/// # Errors
/// 503.
pub async fn note_forgery(app: &App, caller: &Caller, reason: &'static str) -> Result<(), AppError> {
    let event = refused(event(app, caller, Action::OauthAuthorize, None, None)?, reason, 403);
    note(app, caller, event).await
}

/// What a request that waits for its sign-in is about, for the sign-in page.
#[derive(Debug)]
pub struct Waiting {
    /// Name of the app.
    pub name: String,
    /// Name of its publisher.
    pub publisher: String,
    /// Where the sign-in may lead in the end.
    pub redirect_uri: Option<String>,
}

/// The request of a handle, if it still waits.
///
/// # Errors
/// 503.
pub async fn waiting_app(app: &App, handle: &str) -> Result<Option<Waiting>, AppError> {
    let mut conn = app.conn().await?;
    let waiting = requests::find(&mut conn, &app.secrets.handle_digests(handle)).await?;
    let now = app.env.now();
    let Some(waiting) = waiting.filter(|it| it.session.is_none() && it.used_at.is_none() && now < it.expires_at) else {
        return Ok(None);
    };
    let Some(found) = apps::find(&mut conn, None, waiting.app).await? else { return Ok(None) };
    let publisher = organizations::by_id(&mut conn, found.organization_id).await?;
    Ok(Some(Waiting {
        redirect_uri: AuthorizeRequest::parse(waiting.parameters.as_bytes()).target(Some(&found)).ok(),
        name: found.name,
        publisher: publisher.map(|organization| organization.name).unwrap_or_default(),
    }))
}

/// Takes a request that waited for its sign-in; answers its query. Once, and only before its end.
///
/// # Errors
/// 503.
pub async fn resume(app: &App, handle: &str) -> Result<Option<String>, AppError> {
    let digests = app.secrets.handle_digests(handle);
    let mut conn = app.conn().await?;
    let waiting = requests::find(&mut conn, &digests).await?.filter(|waiting| waiting.session.is_none());
    match waiting {
        Some(waiting) if requests::take(&mut conn, &digests, app.env.now()).await? => Ok(Some(waiting.parameters)),
        _ => Ok(None),
    }
}
