//! Apps, their secrets, and the reasons of their failures.

use actix_web::HttpResponse;
use statuspulse_app::{
    AppError,
    oauth::{apps, failures, secrets},
    views::{AddedSecretJson, AppJson, AppPageJson, FailurePageJson, RegisteredJson},
};
use statuspulse_oauth::{AppKind, AppStatus};
use statuspulse_policy::AppSecretId;
use statuspulse_store::oauth::apps::AppFilter;

use super::{
    Answer,
    dto_apps::{ChangedApp, NewApp, NewSecret},
};
use crate::http::{ApiError, Context, error::Problem, query};

/// Register an app.
#[utoipa::path(post, path = "/v1/orgs/{org}/apps", tag = "apps", security(("session" = [])),
    params(("org" = String, Path)), request_body = NewApp, responses(
    (status = 201, description = "the app; the secret is in this answer and nowhere else", body = RegisteredJson),
    (status = 403, description = "the role may not hand out a scope", body = Problem),
    (status = 422, description = "a field is out of bounds", body = Problem)))]
pub(crate) async fn create(context: Context) -> Answer {
    let body: NewApp = context.json().await?;
    let public_url = context.state.public_url.as_str();
    let registered = apps::create(context.app(), &context.caller, context.access()?, body.into(), public_url).await?;
    Ok(HttpResponse::Created().json(RegisteredJson::new(context.app(), registered, public_url)))
}

/// List apps, newest first.
#[utoipa::path(get, path = "/v1/orgs/{org}/apps", tag = "apps", security(("session" = []), ("key" = ["apps:read"])),
    params(("org" = String, Path), ("status" = Option<String>, Query), ("kind" = Option<String>, Query),
        ("q" = Option<String>, Query, description = "part of the name in any case, or a whole id or client id"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)), responses(
    (status = 200, description = "a page", body = AppPageJson),
    (status = 400, description = "a cursor of another list", body = Problem),
    (status = 422, description = "an unknown filter, or a limit out of bounds", body = Problem)))]
pub(crate) async fn list(context: Context) -> Answer {
    let parameters = query::list_parameters(&context.request, &["status", "kind", "q", "limit", "cursor"])?;
    let value = |name| query::value(&parameters, name);
    let filter = AppFilter {
        status: word("status", value("status"), AppStatus::from_word, "a status is `active` or `suspended`")?,
        kind: word("kind", value("kind"), AppKind::from_word, "a kind is `confidential` or `public`")?,
        text: value("q").map(str::to_owned),
    };
    let limit = query::limit(&parameters)?;
    let page = apps::list(context.app(), context.access()?, &filter, limit, value("cursor")).await?;
    Ok(HttpResponse::Ok().json(AppPageJson::new(context.app(), &page, &context.state.public_url)))
}

fn word<T>(
    name: &'static str,
    given: Option<&str>,
    read: fn(&str) -> Option<T>,
    detail: &'static str,
) -> Result<Option<T>, ApiError> {
    given.map(|text| read(text).ok_or_else(|| AppError::field(name, "unknown_value", detail).into())).transpose()
}

/// Show an app.
#[utoipa::path(get, path = "/v1/orgs/{org}/apps/{id}", tag = "apps",
    security(("session" = []), ("key" = ["apps:read"])), params(("org" = String, Path), ("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "the app", body = AppJson), (status = 404, body = Problem)))]
pub(crate) async fn show(context: Context) -> Answer {
    let view = apps::show(context.app(), context.access()?, context.id("app")?).await?;
    Ok(HttpResponse::Ok().json(AppJson::new(context.app(), &view, &context.state.public_url)))
}

/// Change an app, or suspend it.
#[utoipa::path(patch, path = "/v1/orgs/{org}/apps/{id}", tag = "apps", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), request_body = ChangedApp, responses(
    (status = 200, description = "the app", body = AppJson), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 422, description = "a field is out of bounds", body = Problem)))]
pub(crate) async fn change(context: Context) -> Answer {
    let id = context.id("app")?;
    let body: ChangedApp = context.json().await?;
    let public_url = context.state.public_url.as_str();
    let (app, access) = (context.app(), context.access()?);
    let view = apps::change(app, &context.caller, access, id, &body.into(), public_url).await?;
    Ok(HttpResponse::Ok().json(AppJson::new(app, &view, public_url)))
}

/// Delete an app: everything that was issued to it is dead.
#[utoipa::path(delete, path = "/v1/orgs/{org}/apps/{id}", tag = "apps", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), responses(
    (status = 204, description = "it is gone"), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn delete(context: Context) -> Answer {
    apps::delete(context.app(), &context.caller, context.access()?, context.id("app")?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Add a secret; the earlier ones end after the overlap.
#[utoipa::path(post, path = "/v1/orgs/{org}/apps/{id}/secrets", tag = "apps", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), request_body = Option<NewSecret>, responses(
    (status = 201, description = "the secret, in this answer and nowhere else", body = AddedSecretJson),
    (status = 404, body = Problem), (status = 409, description = "too many live secrets, or a public app", body = Problem),
    (status = 422, body = Problem)))]
pub(crate) async fn add_secret(context: Context) -> Answer {
    let id = context.id("app")?;
    let body: NewSecret = context.json_or_empty().await?;
    let (app, access) = (context.app(), context.access()?);
    let label = body.label.as_deref();
    let added = secrets::add(app, &context.caller, access, id, body.overlap_seconds, label).await?;
    let answer = AddedSecretJson::new(added).ok_or_else(|| AppError::internal("a new secret is gone at once"))?;
    Ok(HttpResponse::Created().json(answer))
}

/// End a secret at once.
#[utoipa::path(delete, path = "/v1/orgs/{org}/apps/{id}/secrets/{secret}", tag = "apps", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path), ("secret" = uuid::Uuid, Path)), responses(
    (status = 204, description = "it has ended"), (status = 404, body = Problem),
    (status = 409, description = "the last live one", body = Problem)))]
pub(crate) async fn revoke_secret(context: Context) -> Answer {
    let secret = context.request.match_info().get("secret").unwrap_or_default();
    let secret: AppSecretId = secret.parse().map_err(|_| AppError::NotFound("secret"))?;
    secrets::revoke(context.app(), &context.caller, context.access()?, context.id("app")?, secret).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The refused exchanges of an app with their true reasons, newest first.
#[utoipa::path(get, path = "/v1/orgs/{org}/apps/{id}/failures", tag = "apps",
    security(("session" = []), ("key" = ["apps:read"])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)), responses(
    (status = 200, description = "a page", body = FailurePageJson), (status = 404, body = Problem)))]
pub(crate) async fn failures(context: Context) -> Answer {
    let id = context.id("app")?;
    let parameters = query::list_parameters(&context.request, &["limit", "cursor"])?;
    let cursor = query::value(&parameters, "cursor");
    let page = failures::list(context.app(), context.access()?, id, query::limit(&parameters)?, cursor).await?;
    Ok(HttpResponse::Ok().json(FailurePageJson::from(page)))
}
