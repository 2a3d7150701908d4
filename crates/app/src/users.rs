//! People and their roles.

use statuspulse_audit::{Action, Class};
use statuspulse_policy::{Role, UserId};
use statuspulse_store::{AsyncConnection as _, StoreError, users};

use crate::{
    app::App,
    caller::{Access, Caller},
    error::AppError,
    passwords::{self, Password},
};

/// A person that was given a role.
#[derive(Debug)]
pub struct Created {
    /// Identity.
    pub id: UserId,
    /// Address.
    pub email: String,
    /// The role.
    pub role: Role,
    /// The generated password, where none was given and the person is new. Shown once.
    pub password: Option<Password>,
}

/// Creates a person with a role in an organization; somebody who exists already only gets the role.
///
/// # Errors
/// 422 for a bad address or password, 409 `member_exists` or `user_exists` (a password was given for somebody who has
/// one), 503 when the hashing queue is full.
pub async fn create(
    app: &App,
    caller: &Caller,
    access: &Access,
    email: &str,
    role: Role,
    password: Option<Password>,
) -> Result<Created, AppError> {
    access.require_admin()?;
    check_email(email)?;
    let mut conn = app.conn().await?;
    let known = users::by_email(&mut conn, email).await?;
    drop(conn);
    let now = app.env.now();
    let organization = access.organization.id;
    let (id, hash, generated) = match &known {
        Some(_) if password.is_some() => {
            return Err(AppError::conflict("user_exists", "somebody with this address exists and has a password"));
        }
        Some(known) => (known.user.id, None, None),
        None => {
            let (password, generated) = match password {
                Some(password) => {
                    password.check_strength()?;
                    (password, None)
                }
                None => {
                    let password = Password::generate(app)?;
                    let shown = Password::new(password.expose().to_owned());
                    (password, Some(shown))
                }
            };
            (UserId::from_uuid(app.env.id()?), Some(passwords::hash(app, password).await?), generated)
        }
    };
    let event = caller
        .event(app, Class::A, Action::UserCreate, Some(organization))?
        .with("user_id", id.to_string())
        .with("role", role.as_str());
    let mut conn = app.conn().await?;
    let written = conn
        .transaction(async |conn| {
            if let Some(hash) = &hash {
                let name = email.split('@').next().unwrap_or_default();
                users::insert(conn, id, email, name, hash, now).await?;
            }
            users::insert_membership(conn, organization, id, role, now).await?;
            app.recorder.record(conn, event).await
        })
        .await;
    match written {
        Ok(()) => {
            caller.mark_recorded();
            let email = known.map_or_else(|| email.to_owned(), |known| known.user.email);
            Ok(Created { id, email, role, password: generated })
        }
        Err(StoreError::Duplicate { constraint }) if constraint == "memberships_pkey" => {
            Err(AppError::conflict("member_exists", "this person is a member of the organization already"))
        }
        Err(StoreError::Duplicate { .. }) => {
            Err(AppError::conflict("user_exists", "somebody with this address was created at the same moment"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The people of an organization with their roles.
///
/// # Errors
/// 503.
pub async fn list(app: &App, access: &Access) -> Result<Vec<(users::User, Role)>, AppError> {
    let mut conn = app.conn().await?;
    Ok(users::of_organization(&mut conn, access.organization.id).await?)
}

fn check_email(email: &str) -> Result<(), AppError> {
    let parts = email.split_once('@');
    let plausible = (3..=254).contains(&email.len())
        && email.chars().all(|character| !character.is_control() && !character.is_whitespace())
        && parts.is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'));
    if plausible { Ok(()) } else { Err(AppError::field("email", "invalid_email", "this is not an e-mail address")) }
}
