//! What people have authorized, and how it ends.

use actix_web::HttpResponse;
use statuspulse_app::{
    AppError,
    oauth::grants::{self, Target},
    views::{GrantPageJson, RevokedGrantsJson},
};

use super::{Answer, dto_apps::GrantsToEnd};
use crate::http::{Context, error::Problem, query};

/// What the signed-in person has authorized, newest first.
#[utoipa::path(get, path = "/v1/me/grants", tag = "grants", security(("session" = [])),
    params(("limit" = Option<i64>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)), responses(
    (status = 200, description = "a page", body = GrantPageJson), (status = 401, body = Problem)))]
pub(crate) async fn own(context: Context) -> Answer {
    let parameters = query::list_parameters(&context.request, &["limit", "cursor"])?;
    let session = context.session()?;
    let (limit, cursor) = (query::limit(&parameters)?, query::value(&parameters, "cursor"));
    let page = grants::of_person(context.app(), session.user.id, limit, cursor).await?;
    Ok(HttpResponse::Ok().json(GrantPageJson::new(context.app(), &page)))
}

/// End one of them: its tokens are dead at once.
#[utoipa::path(delete, path = "/v1/me/grants/{id}", tag = "grants", security(("session" = [])),
    params(("id" = uuid::Uuid, Path)), responses(
    (status = 204, description = "it has ended"), (status = 404, body = Problem)))]
pub(crate) async fn revoke_own(context: Context) -> Answer {
    let session = context.session()?;
    grants::revoke_own(context.app(), &context.caller, session.user.id, context.id("grant")?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// End all grants of an app or a person, or one.
#[utoipa::path(post, path = "/v1/orgs/{org}/grants/revoke", tag = "grants", security(("session" = [])),
    params(("org" = String, Path)), request_body = GrantsToEnd, responses(
    (status = 200, description = "how many were ended", body = RevokedGrantsJson),
    (status = 403, description = "only owner and admin may", body = Problem), (status = 404, body = Problem),
    (status = 422, description = "not exactly one of app, user and grant", body = Problem)))]
pub(crate) async fn revoke(context: Context) -> Answer {
    let body: GrantsToEnd = context.json().await?;
    let access = context.access()?;
    let target = target(&context, &body).await?;
    let revoked = grants::revoke_in(context.app(), &context.caller, access, target).await?;
    Ok(HttpResponse::Ok().json(RevokedGrantsJson { revoked }))
}

async fn target(context: &Context, body: &GrantsToEnd) -> Result<Target, AppError> {
    match (&body.app, &body.user, &body.grant) {
        (Some(app), None, None) => grants::target_app(context.app(), app).await,
        (None, Some(user), None) => grants::target_user(context.app(), user).await,
        (None, None, Some(grant)) => grant.parse().map(Target::Grant).map_err(|_| AppError::NotFound("grant")),
        _ => Err(AppError::field("", "exactly_one", "give exactly one of app, user and grant")),
    }
}
