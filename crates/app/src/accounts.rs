//! The password of a person: changed by the person who knows the old one, or set by an operator.
//!
//! A new password ends sessions, so that whoever had the old one is out, and so is who has copied the cookie of the browser that
//! sets it: that one gets another. A sign-in with the old password that is under way at that moment is refused: both take turns on
//! the person's row.
//!
//! Each organization of the person has the change in its trail, for the password opens all of them.

use statuspulse_audit::{Action, Class, Event, Outcome, event::Origin};
use statuspulse_policy::{OrganizationId, UserId};
use statuspulse_store::{
    AsyncConnection as _, Conn, members,
    sessions::{Session, Which},
    users,
};

use crate::{
    app::App,
    caller::{Access, Caller, Right},
    error::AppError,
    passwords::{self, Password},
    sessions::{self, Try},
};

/// What a change of the own password leads to. Without `Debug`: it holds a cookie.
pub struct Changed {
    /// The value of the session's cookie from now on, until the end that it has; the one before is worth nothing any more. None
    /// where somebody has ended the session meanwhile: then the person signs in with the new password.
    pub cookie: Option<String>,
    /// Other sessions of the person that have ended.
    pub ended: usize,
}

/// Changes the password of the signed-in person, and ends all sessions of the person but the own one, which gets another cookie.
/// What the person has authorized stays.
///
/// # Errors
/// 422 `password_length` or `password_unchanged` on `new_password`, `wrong_password` on `current_password`, 429
/// `too_many_attempts` after several of those, 409 `password_changed` when the password is another one by now, 503.
pub async fn change_password(
    app: &App,
    caller: &Caller,
    session: &Session,
    current: Password,
    new: Password,
) -> Result<Changed, AppError> {
    new.check_strength("new_password")?;
    if new.expose() == current.expose() {
        return Err(AppError::field(
            "new_password",
            "password_unchanged",
            "the new password is the same as the current one",
        ));
    }
    let user = session.user.id;
    // A count of this session: neither a stranger who guesses at the sign-in nor somebody with another session must keep the person
    // from this. A session takes the password, so more of them give no more guesses.
    let subject = app.secrets.back_off_subject("password-change", &session.id.to_string());
    let mut conn = app.conn().await?;
    let stored = users::password_hash(&mut conn, user).await?.ok_or(AppError::NotFound("user"))?;
    if let Try::Refused(retry_after) = sessions::begin_account_try(app, &mut conn, &subject).await? {
        let detail = "too many wrong passwords; wait and try again, or sign out and in again";
        return Err(AppError::TooMany { code: "too_many_attempts", detail, retry_after });
    }
    // Who holds a connection and waits for a hash can starve everybody.
    drop(conn);
    if !passwords::verify(app, current, Some(stored.clone())).await? {
        let mut conn = app.conn().await?;
        let mut event = event(app, caller, sessions::first_organization(&mut conn, user).await?, user)?;
        event.outcome = Outcome::Denied;
        event.reason = Some("wrong_password");
        event.status = Some(422);
        app.recorder.record(&mut conn, event).await?;
        caller.mark_recorded();
        return Err(AppError::field("current_password", "wrong_password", "this is not your password"));
    }
    let hash = passwords::hash(app, new).await?;
    let cookie = sessions::new_cookie(app)?;
    let mut conn = app.conn().await?;
    // The password was right, whatever becomes of the rest.
    users::forget_login_failures(&mut conn, &subject).await?;
    let (renewed, ended) = conn
        .transaction(async |conn| {
            if !users::change_password(conn, user, &hash, &stored).await? {
                let detail = "your password was changed meanwhile; sign in with the new one";
                return Err(AppError::conflict("password_changed", detail));
            }
            // Whoever has ended this session meanwhile must not keep the person from locking others out.
            let renewed = sessions::renew(app, conn, session, &cookie).await?;
            let ended = end_sessions(app, caller, conn, user, Which::AllBut(session.id)).await?;
            Ok::<_, AppError>((renewed, ended))
        })
        .await?;
    caller.mark_recorded();
    Ok(Changed { cookie: Some(cookie).filter(|_| renewed), ended })
}

/// What became of a password that was set.
#[derive(Debug)]
pub struct SetPassword {
    /// The generated password, where none was given. Shown once.
    pub password: Option<Password>,
    /// Sessions of the person that have ended.
    pub ended_sessions: usize,
}

/// Sets the password of a member who has lost it, and ends all sessions of that person. For operators alone: an account reaches
/// into every organization of the person, which no owner of one may.
///
/// # Errors
/// 403 but for an operator, 422 `password_length`, 404 for who is no member, 409 `account_closed`, 503.
pub async fn set_password(
    app: &App,
    caller: &Caller,
    access: &Access,
    user: UserId,
    given: Option<Password>,
) -> Result<SetPassword, AppError> {
    if access.right != Right::Operator {
        return Err(AppError::forbidden("role_not_sufficient", "only an operator sets the password of somebody else"));
    }
    if let Some(password) = &given {
        password.check_strength("password")?;
    }
    let (password, shown) = passwords::given_or_generated(app, given)?;
    let hash = passwords::hash(app, password).await?;
    let mut conn = app.conn().await?;
    let ended_sessions = conn
        .transaction(async |conn| {
            let member =
                members::lock(conn, access.organization.id, user).await?.ok_or(AppError::NotFound("member"))?;
            if !users::set_password(conn, user, &hash).await? {
                return Err(AppError::conflict("account_closed", "the account is closed: nobody signs in with it"));
            }
            users::forget_login_failures(conn, &sessions::account_subject(app, &member.user.email)).await?;
            end_sessions(app, caller, conn, user, Which::All).await
        })
        .await?;
    caller.mark_recorded();
    Ok(SetPassword { password: shown, ended_sessions })
}

/// Ends sessions for a new password, and puts that into the trail of each organization of the person; answers how many it were. Only
/// the first, whose trail has the sign-ins, reads from where it was done and how many sessions there were.
async fn end_sessions(
    app: &App,
    caller: &Caller,
    conn: &mut Conn,
    user: UserId,
    which: Which,
) -> Result<usize, AppError> {
    let ended = sessions::end_in(app, caller, conn, user, which).await?;
    let mut organizations = users::memberships_of(conn, user).await?.into_iter().map(|held| held.organization_id);
    let first = event(app, caller, organizations.next(), user)?.with("ended_sessions", ended);
    let mut events = vec![first];
    for organization in organizations {
        events.push(Event { origin: Origin::default(), ..event(app, caller, Some(organization), user)? });
    }
    app.recorder.record_all(conn, events).await?;
    Ok(ended)
}

fn event(app: &App, caller: &Caller, organization: Option<OrganizationId>, user: UserId) -> Result<Event, AppError> {
    Ok(caller.event(app, Class::A, Action::UserPasswordChange, organization)?.with("user_id", user.to_string()))
}
