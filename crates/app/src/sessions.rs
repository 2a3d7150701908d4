//! Signing in and out.
//!
//! An unknown account and a wrong password are the same in every respect: answer, queries, and the cost of one hash. Each
//! try counts as failed before its password is looked at, so parallel guesses gain nothing.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use statuspulse_audit::{Action, Actor, Class, Outcome};
use statuspulse_policy::{OrganizationId, SessionId, UserId, counter_key};
use statuspulse_store::{
    AsyncConnection as _, Conn,
    page::Position,
    sessions::{self, ListedSession, NewSession, Session, Which},
    users::{self, BackOff, Credentials, Membership},
};
use uuid::Uuid;

use crate::{
    app::App,
    caller::Caller,
    cursor::{self, List},
    error::AppError,
    passwords::{self, Password},
};

/// A session ends a week after the sign-in, or after twelve hours without a request.
const LIFETIME: Duration = Duration::days(7);
const IDLE: Duration = Duration::hours(12);
const TOUCH_EVERY: Duration = Duration::minutes(1);
/// Tries in a row that cost nothing: for one account, and for one network, behind which many people may sit.
const FREE_PER_ACCOUNT: i32 = 5;
const FREE_PER_NETWORK: i32 = 30;
const LONGEST_WAIT_SECONDS: i32 = 900;
const FORGET_AFTER: Duration = Duration::minutes(15);
const DEFAULT_PAGE: i64 = 50;
const LONGEST_PAGE: i64 = 200;

/// A fresh session.
pub struct SignedIn {
    /// The cookie's value; shown to the browser and nowhere else.
    pub cookie: String,
    /// End of the session.
    pub expires_at: DateTime<Utc>,
    /// What the session says about itself.
    pub view: SessionView,
}

/// What a session says about itself.
#[derive(Debug, Clone)]
pub struct SessionView {
    /// Who is signed in.
    pub user: users::User,
    /// Where, with which role.
    pub organizations: Vec<Membership>,
    /// To be sent along with unsafe methods.
    pub csrf_token: String,
}

/// Signs in.
///
/// # Errors
/// 401 `invalid_credentials`, 429 `too_many_attempts`, 503.
pub async fn sign_in(app: &App, caller: &Caller, email: &str, password: Password) -> Result<SignedIn, AppError> {
    let now = app.env.now();
    let account = account_subject(app, email);
    let network = app.secrets.back_off_subject("network", &network_of(caller.origin.ip));
    let mut conn = app.conn().await?;
    let known = users::by_email(&mut conn, email).await?.filter(|known| known.user.disabled_at.is_none());
    let named = known.as_ref().map(|known| known.user.id);
    for (subject, free) in [(&network, FREE_PER_NETWORK), (&account, FREE_PER_ACCOUNT)] {
        if let Try::Refused(retry_after) = begin_try(app, &mut conn, subject, free).await? {
            // Who holds a connection and waits for another one can starve everybody.
            drop(conn);
            refuse(app, caller, named, "too_many_attempts", 429).await?;
            let detail = "too many failed sign-ins; wait and try again";
            return Err(AppError::TooMany { code: "too_many_attempts", detail, retry_after });
        }
    }
    drop(conn);
    let hash = known.as_ref().map(|known| known.password_hash.clone());
    let fits = passwords::verify(app, password, hash).await?;
    let Some(Credentials { user, password_hash }) = known.filter(|_| fits) else {
        return wrong(app, caller, named).await;
    };
    let cookie = new_cookie(app)?;
    let id = SessionId::from_uuid(app.env.id()?);
    let new = NewSession {
        id,
        token_digest: app.secrets.session_digest(&cookie),
        user: user.id,
        now,
        expires_at: now + LIFETIME,
        ip: caller.origin.ip,
        user_agent: caller.origin.user_agent.as_deref(),
    };
    let mut conn = app.conn().await?;
    let organizations = users::memberships_of(&mut conn, user.id).await?;
    let organization = organizations.first().map(|held| held.organization_id);
    let mut event = caller.event(app, Class::A, Action::SessionLogin, organization)?;
    event.actor = Actor::User(user.id);
    event.status = Some(200);
    let event = event.with("session_id", id.to_string());
    let signed_in = conn
        .transaction(async |conn| {
            // A new password ends the sessions of the old one: none may begin behind its back.
            if !users::holds_password(conn, user.id, &password_hash).await? {
                return Ok::<_, AppError>(false);
            }
            sessions::insert(conn, &new).await?;
            users::forget_login_failures(conn, &account).await?;
            users::uncount_login(conn, &network).await?;
            app.recorder.record(conn, event).await?;
            Ok(true)
        })
        .await?;
    drop(conn);
    if !signed_in {
        return wrong(app, caller, named).await;
    }
    caller.mark_recorded();
    let csrf_token = app.secrets.csrf_token(&form_bond(id));
    Ok(SignedIn { cookie, expires_at: now + LIFETIME, view: SessionView { user, organizations, csrf_token } })
}

/// What back-off counts an account's failed tries under.
pub(crate) fn account_subject(app: &App, email: &str) -> [u8; 32] {
    app.secrets.back_off_subject("account", &email.to_lowercase())
}

/// Whether a password may be looked at.
pub(crate) enum Try {
    /// It may; the try counts as failed until it is forgotten.
    Counted,
    /// There were too many: the seconds to wait.
    Refused(u64),
}

/// What the CSRF token of a session is bound to: the session itself, so that pages which are open go on when its cookie becomes
/// another one. The id is no secret; the key of the tokens is.
#[must_use]
pub fn form_bond(session: SessionId) -> String {
    format!("session {session}")
}

/// The value of a cookie that nobody has yet.
pub(crate) fn new_cookie(app: &App) -> Result<String, AppError> {
    Ok(URL_SAFE_NO_PAD.encode(app.env.random::<32>()?))
}

/// Gives a session another cookie; false when it has ended.
pub(crate) async fn renew(app: &App, conn: &mut Conn, session: &Session, cookie: &str) -> Result<bool, AppError> {
    Ok(sessions::renew(conn, session.id, &app.secrets.session_digest(cookie)).await?)
}

/// The refusal of a session that has ended.
#[must_use]
pub fn ended() -> AppError {
    AppError::Unauthorized { code: "session_ended", detail: "the session has ended; sign in again" }
}

/// Counts a try for an account before its password is looked at.
pub(crate) async fn begin_account_try(app: &App, conn: &mut Conn, account: &[u8; 32]) -> Result<Try, AppError> {
    begin_try(app, conn, account, FREE_PER_ACCOUNT).await
}

async fn begin_try(app: &App, conn: &mut Conn, subject: &[u8; 32], free: i32) -> Result<Try, AppError> {
    let now = app.env.now();
    let back_off = BackOff { free, longest_seconds: LONGEST_WAIT_SECONDS, forget_before: now - FORGET_AFTER };
    let Some(until) = users::begin_login(conn, subject, now, back_off).await? else { return Ok(Try::Counted) };
    Ok(Try::Refused((until - now).num_milliseconds().max(0).unsigned_abs().div_ceil(1_000).max(1)))
}

async fn wrong(app: &App, caller: &Caller, named: Option<UserId>) -> Result<SignedIn, AppError> {
    refuse(app, caller, named, "invalid_credentials", 401).await?;
    Err(AppError::Unauthorized { code: "invalid_credentials", detail: "the e-mail address or the password is wrong" })
}

/// The event of a refused sign-in. It belongs to the organization of the account that was named, if there is one; the
/// same queries run when there is none.
async fn refuse(
    app: &App,
    caller: &Caller,
    named: Option<UserId>,
    reason: &'static str,
    status: u16,
) -> Result<(), AppError> {
    let mut conn = app.conn().await?;
    let user = named.unwrap_or(UserId::from_uuid(Uuid::nil()));
    let organization = first_organization(&mut conn, user).await?;
    let mut event = caller.event(app, Class::A, Action::SessionLogin, organization)?;
    event.outcome = Outcome::Denied;
    event.reason = Some(reason);
    event.status = Some(status);
    if let Some(user) = named {
        event = event.with("user_id", user.to_string());
    }
    app.recorder.record(&mut conn, event).await?;
    caller.mark_recorded();
    Ok(())
}

/// Whose trail the events of a person's account belong to.
pub(crate) async fn first_organization(conn: &mut Conn, user: UserId) -> Result<Option<OrganizationId>, AppError> {
    Ok(users::memberships_of(conn, user).await?.first().map(|held| held.organization_id))
}

fn network_of(ip: Option<IpAddr>) -> String {
    ip.map_or_else(|| "unknown".to_owned(), |ip| counter_key(ip).to_string())
}

/// The session of a cookie, if it is a live one.
///
/// # Errors
/// 503.
pub async fn find(app: &App, cookie: &str) -> Result<Option<Session>, AppError> {
    let now = app.env.now();
    let digest = app.secrets.session_digest(cookie);
    let mut conn = app.conn().await?;
    let session = sessions::find(&mut conn, &digest, now, now - IDLE).await?;
    if let Some(session) = &session
        && now - session.last_seen_at >= TOUCH_EVERY
    {
        sessions::touch(&mut conn, session.id, now).await?;
    }
    Ok(session)
}

/// What a session says about itself.
///
/// # Errors
/// 503.
pub async fn view(app: &App, session: &Session) -> Result<SessionView, AppError> {
    let mut conn = app.conn().await?;
    let organizations = users::memberships_of(&mut conn, session.user.id).await?;
    Ok(SessionView {
        user: session.user.clone(),
        organizations,
        csrf_token: app.secrets.csrf_token(&form_bond(session.id)),
    })
}

/// A page of a person's sessions.
#[derive(Debug)]
pub struct Page {
    /// Newest first.
    pub items: Vec<ListedSession>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// The live sessions of the signed-in person, newest first.
///
/// # Errors
/// 400 `invalid_cursor`, 422 for a page out of bounds, 503.
pub async fn list(app: &App, session: &Session, limit: Option<i64>, after: Option<&str>) -> Result<Page, AppError> {
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(AppError::field("limit", "out_of_bounds", "a page has 1 to 200 items"));
    }
    let user = session.user.id;
    // A cursor belongs to somebody: here to the person instead of an organization.
    let list = List { name: "sessions", organization: OrganizationId::from_uuid(user.as_uuid()), filters: "" };
    let after = after.map(|text| cursor::read(&app.secrets, &list, text)).transpose()?;
    let now = app.env.now();
    let mut conn = app.conn().await?;
    let mut items = sessions::of_user(&mut conn, user, now, now - IDLE, after, limit + 1).await?;
    let length = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > length;
    items.truncate(length);
    let next_cursor = items.last().filter(|_| more).map(|last| {
        cursor::write(&app.secrets, &list, Position { created_at: last.created_at, id: last.id.as_uuid() })
    });
    Ok(Page { items, next_cursor })
}

/// Ends one of the signed-in person's live sessions; the own one is a sign-out.
///
/// # Errors
/// 404 for another's, an unknown one and one that has ended, 503.
pub async fn end_one(app: &App, caller: &Caller, session: &Session, id: SessionId) -> Result<(), AppError> {
    match end(app, caller, session, Which::One(id)).await? {
        0 => Err(AppError::NotFound("session")),
        _ => Ok(()),
    }
}

/// Ends all live sessions of the signed-in person but the own one; answers how many it were.
///
/// # Errors
/// 503.
pub async fn end_others(app: &App, caller: &Caller, session: &Session) -> Result<usize, AppError> {
    end(app, caller, session, Which::AllBut(session.id)).await
}

/// Signs out. Signing out twice is no error.
///
/// # Errors
/// 503.
pub async fn sign_out(app: &App, caller: &Caller, session: &Session) -> Result<(), AppError> {
    end(app, caller, session, Which::One(session.id)).await?;
    Ok(())
}

async fn end(app: &App, caller: &Caller, session: &Session, which: Which) -> Result<usize, AppError> {
    let mut conn = app.conn().await?;
    let ended = conn.transaction(async |conn| end_in(app, caller, conn, session.user.id, which).await).await?;
    if ended > 0 {
        caller.mark_recorded();
    }
    Ok(ended)
}

/// Ends live sessions of a person within a transaction, with one event each; answers how many it were. Nothing holds sessions in
/// memory, so they are dead from the commit on.
pub(crate) async fn end_in(
    app: &App,
    caller: &Caller,
    conn: &mut Conn,
    user: UserId,
    which: Which,
) -> Result<usize, AppError> {
    // Those who end sessions of one person take turns: each would wait for what the other holds.
    users::lock(conn, user).await?;
    let now = app.env.now();
    let organization = first_organization(conn, user).await?;
    let ended = sessions::end(conn, user, which, now, now - IDLE).await?;
    let event = |id: &SessionId| {
        let event = caller.event(app, Class::A, Action::SessionLogout, organization)?;
        Ok::<_, AppError>(event.with("session_id", id.to_string()).with("user_id", user.to_string()))
    };
    let events: Result<Vec<_>, _> = ended.iter().map(event).collect();
    app.recorder.record_all(conn, events?).await?;
    Ok(ended.len())
}
