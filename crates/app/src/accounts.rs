//! The password of a person: changed by the person who knows the old one, or set by an operator.
//!
//! A new password ends sessions, so that whoever had the old one is out. A sign-in with the old one that is under way at that
//! moment is refused: both take turns on the person's row.

use statuspulse_audit::{Action, Class, Event, Outcome};
use statuspulse_policy::{OrganizationId, UserId};
use statuspulse_store::{
    AsyncConnection as _, Conn,
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

/// Changes the password of the signed-in person, and ends all sessions of the person but the own one; answers how many it were.
/// What the person has authorized stays.
///
/// # Errors
/// 422 `password_length` or `password_unchanged` on `new_password`, `wrong_password` on `current_password` (a failed try, as at
/// the sign-in), 429 `too_many_attempts`, 409 `password_changed` when the password is another one by now, 503.
pub async fn change_password(
    app: &App,
    caller: &Caller,
    session: &Session,
    current: Password,
    new: Password,
) -> Result<usize, AppError> {
    new.check_strength("new_password")?;
    if new.expose() == current.expose() {
        return Err(AppError::field("new_password", "password_unchanged", "this is the password that you have"));
    }
    let user = session.user.id;
    let account = sessions::account_subject(app, &session.user.email);
    let mut conn = app.conn().await?;
    let organization = sessions::first_organization(&mut conn, user).await?;
    if let Try::Refused(error) = sessions::begin_account_try(app, &mut conn, &account).await? {
        refuse(app, caller, &mut conn, organization, "too_many_attempts", 429).await?;
        return Err(error);
    }
    let stored = users::password_hash(&mut conn, user).await?.ok_or(AppError::NotFound("user"))?;
    // Who holds a connection and waits for a hash can starve everybody.
    drop(conn);
    if !passwords::verify(app, current, Some(stored.clone())).await? {
        let mut conn = app.conn().await?;
        refuse(app, caller, &mut conn, organization, "wrong_password", 422).await?;
        return Err(AppError::field("current_password", "wrong_password", "this is not your password"));
    }
    let hash = passwords::hash(app, new).await?;
    let event = event(app, caller, organization, user)?;
    let mut conn = app.conn().await?;
    let ended = conn
        .transaction(async |conn| {
            if !users::change_password(conn, user, &hash, &stored).await? {
                return Err(AppError::conflict(
                    "password_changed",
                    "your password was changed meanwhile; sign in with the new one",
                ));
            }
            users::forget_login_failures(conn, &account).await?;
            let ended = sessions::end_in(app, caller, conn, user, Which::AllBut(session.id), organization).await?;
            app.recorder.record(conn, event.with("ended_sessions", ended)).await?;
            Ok::<_, AppError>(ended)
        })
        .await?;
    caller.mark_recorded();
    Ok(ended)
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
/// 403 but for an operator, 422 `password_length`, 404, 503.
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
    let organization = Some(access.organization.id);
    let event = event(app, caller, organization, user)?;
    let mut conn = app.conn().await?;
    let ended_sessions = conn
        .transaction(async |conn| {
            let email = users::set_password(conn, user, &hash).await?.ok_or(AppError::NotFound("user"))?;
            users::forget_login_failures(conn, &sessions::account_subject(app, &email)).await?;
            let ended = sessions::end_in(app, caller, conn, user, Which::All, organization).await?;
            app.recorder.record(conn, event.with("ended_sessions", ended)).await?;
            Ok::<_, AppError>(ended)
        })
        .await?;
    caller.mark_recorded();
    Ok(SetPassword { password: shown, ended_sessions })
}

fn event(app: &App, caller: &Caller, organization: Option<OrganizationId>, user: UserId) -> Result<Event, AppError> {
    Ok(caller.event(app, Class::A, Action::UserPasswordChange, organization)?.with("user_id", user.to_string()))
}

async fn refuse(
    app: &App,
    caller: &Caller,
    conn: &mut Conn,
    organization: Option<OrganizationId>,
    reason: &'static str,
    status: u16,
) -> Result<(), AppError> {
    let mut event = caller.event(app, Class::A, Action::UserPasswordChange, organization)?;
    event.outcome = Outcome::Denied;
    event.reason = Some(reason);
    event.status = Some(status);
    app.recorder.record(conn, event).await?;
    caller.mark_recorded();
    Ok(())
}
