//! Organizations, and what a caller may do in one.

use statuspulse_audit::{Action, Class};
use statuspulse_policy::OrganizationId;
use statuspulse_store::{
    AsyncConnection as _, Conn, StoreError, feed,
    organizations::{self, Organization},
    users,
};

use crate::{
    app::App,
    caller::{Access, Caller, Principal, Right},
    error::{AppError, FieldError},
};

/// What a caller may do in an organization. One that the caller has nothing to do with is not there at all.
///
/// # Errors
/// 404.
pub async fn access(conn: &mut Conn, caller: &Caller, slug: &str) -> Result<Access, AppError> {
    let missing = || AppError::NotFound("organization");
    if !is_slug(slug) {
        return Err(missing());
    }
    let organization = organizations::by_slug(conn, slug).await?.ok_or_else(missing)?;
    let right = match &caller.principal {
        Principal::Operator(_) => Right::Operator,
        Principal::User { id, .. } => {
            let memberships = users::memberships_of(conn, *id).await?;
            let role = memberships.iter().find(|held| held.organization_id == organization.id).map(|held| held.role);
            Right::Role(role.ok_or_else(missing)?)
        }
        Principal::Key { organization: own, .. } if *own == organization.id => Right::Reader,
        Principal::Key { .. } | Principal::System | Principal::Anonymous => return Err(missing()),
    };
    Ok(Access { organization, right })
}

/// An operator's access to the organization of something that was named by its id alone.
///
/// # Errors
/// 404.
pub async fn operator_access(conn: &mut Conn, id: OrganizationId) -> Result<Access, AppError> {
    let organization = organizations::by_id(conn, id).await?.ok_or(AppError::NotFound("organization"))?;
    Ok(Access { organization, right: Right::Operator })
}

fn is_slug(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=40).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Creates an organization.
///
/// # Errors
/// 422 for a bad slug or name, 409 `slug_taken`.
pub async fn create(app: &App, caller: &Caller, slug: &str, name: &str) -> Result<Organization, AppError> {
    let mut errors = Vec::new();
    if !is_slug(slug) {
        let detail = "a slug has 1 to 40 lower-case letters, digits and inner hyphens";
        errors.push(FieldError::new("slug", "invalid_slug", detail));
    }
    if let Err(error) = statuspulse_keys::key::check_name(name) {
        errors.push(FieldError::new("name", "invalid_name", error.to_string()));
    }
    if let Err(AppError::Invalid(secret)) = crate::keys::refuse_secret("name", name) {
        errors.extend(secret);
    }
    if !errors.is_empty() {
        return Err(AppError::Invalid(errors));
    }
    let id = OrganizationId::from_uuid(app.env.id()?);
    let now = app.env.now();
    let mut conn = app.conn().await?;
    let event = caller.event(app, Class::A, Action::OrganizationCreate, Some(id))?.with("slug", slug);
    let created = conn
        .transaction(async |conn| {
            app.recorder.record(conn, event).await?;
            let sequence = feed::next(conn).await?;
            organizations::insert(conn, id, slug, name, now, sequence).await?;
            organizations::by_id(conn, id).await
        })
        .await;
    match created {
        Ok(Some(organization)) => {
            caller.mark_recorded();
            Ok(organization)
        }
        Ok(None) => Err(AppError::internal("the organization is gone at once")),
        Err(error) if error.is_duplicate_of("organizations_slug_key") => {
            Err(AppError::conflict("slug_taken", format!("the slug `{slug}` is taken; choose another one")))
        }
        Err(error) => Err(error.into()),
    }
}

/// All organizations, for operators.
///
/// # Errors
/// 503.
pub async fn list(app: &App) -> Result<Vec<Organization>, AppError> {
    let mut conn = app.conn().await?;
    let all: Result<_, StoreError> = organizations::list(&mut conn).await;
    Ok(all?)
}
