//! Webhooks: endpoints, their secrets and deliveries.

use actix_web::HttpResponse;
use serde::Deserialize;
use statuspulse_app::{
    AppError,
    views::{DeliveryPageJson, QueuedJson, SignedWebhookJson, WebhookJson, WebhookPageJson},
    webhooks::{self, EndpointChange, NewEndpoint},
};
use statuspulse_policy::DeliveryId;
use utoipa::ToSchema;

use super::{Answer, dto::Nothing};
use crate::http::{
    Context,
    body::{given, not_null},
    error::Problem,
    query,
};

/// A new webhook.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWebhook {
    /// `https`, port 443 or 1024 and up; what lies in private networks only where the service is set up for it.
    url: String,
    /// `standard` (Standard Webhooks 1.0.0) or `slack`.
    kind: String,
    /// Types of events, at least one.
    events: Vec<String>,
    /// Only events of this key; null: of the whole organization.
    key_id: Option<String>,
}

impl From<NewWebhook> for NewEndpoint {
    fn from(body: NewWebhook) -> Self {
        Self { url: body.url, kind: body.kind, events: body.events, key_id: body.key_id }
    }
}

/// A change of a webhook; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedWebhook {
    #[serde(default, deserialize_with = "not_null")]
    url: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    events: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    key_id: Option<Option<String>>,
    /// `active` or `disabled`.
    #[serde(default, deserialize_with = "not_null")]
    status: Option<String>,
}

impl From<ChangedWebhook> for EndpointChange {
    fn from(body: ChangedWebhook) -> Self {
        Self { url: body.url, events: body.events, key_id: body.key_id, status: body.status }
    }
}

/// Make a webhook.
#[utoipa::path(post, path = "/v1/orgs/{org}/webhooks", tag = "webhooks", security(("session" = [])),
    params(("org" = String, Path)), request_body = NewWebhook, responses(
    (status = 201, description = "the webhook; its signing secret is in this answer and nowhere else", body = SignedWebhookJson),
    (status = 403, body = Problem),
    (status = 422, description = "`url_not_allowed`, `unknown_event`, …", body = Problem)))]
pub(crate) async fn create(context: Context) -> Answer {
    let body: NewWebhook = context.json().await?;
    let (app, access, reach) = (context.app(), context.access()?, context.state.reach());
    let made = webhooks::create(app, &context.caller, access, reach, body.into()).await?;
    Ok(HttpResponse::Created().json(SignedWebhookJson::new(app, made)))
}

/// List webhooks, newest first.
#[utoipa::path(get, path = "/v1/orgs/{org}/webhooks", tag = "webhooks", security(("session" = [])),
    params(("org" = String, Path), ("limit" = Option<i64>, Query, minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query)), responses(
    (status = 200, description = "a page", body = WebhookPageJson), (status = 403, body = Problem),
    (status = 400, description = "a cursor of another list", body = Problem)))]
pub(crate) async fn list(context: Context) -> Answer {
    let parameters = query::list_parameters(&context.request, &["limit", "cursor"])?;
    let limit = query::limit(&parameters)?;
    let cursor = query::value(&parameters, "cursor");
    let page = webhooks::list(context.app(), context.access()?, limit, cursor).await?;
    Ok(HttpResponse::Ok().json(WebhookPageJson::new(context.app(), page)))
}

/// Show a webhook.
#[utoipa::path(get, path = "/v1/orgs/{org}/webhooks/{id}", tag = "webhooks", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)),
    responses((status = 200, description = "the webhook", body = WebhookJson), (status = 404, body = Problem)))]
pub(crate) async fn show(context: Context) -> Answer {
    let view = webhooks::show(context.app(), context.access()?, context.id("webhook")?).await?;
    Ok(HttpResponse::Ok().json(WebhookJson::new(context.app(), view)))
}

/// Change a webhook, or switch it off and on.
#[utoipa::path(patch, path = "/v1/orgs/{org}/webhooks/{id}", tag = "webhooks", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), request_body = ChangedWebhook, responses(
    (status = 200, description = "the webhook", body = WebhookJson), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn change(context: Context) -> Answer {
    let id = context.id("webhook")?;
    let body: ChangedWebhook = context.json().await?;
    let (app, access, reach) = (context.app(), context.access()?, context.state.reach());
    let view = webhooks::change(app, &context.caller, access, reach, id, body.into()).await?;
    Ok(HttpResponse::Ok().json(WebhookJson::new(app, view)))
}

/// Delete a webhook, with what is on its way to it.
#[utoipa::path(delete, path = "/v1/orgs/{org}/webhooks/{id}", tag = "webhooks", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), responses(
    (status = 204, description = "it is gone"), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn delete(context: Context) -> Answer {
    webhooks::delete(context.app(), &context.caller, context.access()?, context.id("webhook")?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Send the event `webhook.test`.
#[utoipa::path(post, path = "/v1/orgs/{org}/webhooks/{id}/test", tag = "webhooks", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), responses(
    (status = 202, description = "it is on its way", body = QueuedJson), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, description = "the webhook is disabled", body = Problem)))]
pub(crate) async fn test(context: Context) -> Answer {
    let _: Nothing = context.json_or_empty().await?;
    let queued = webhooks::test(context.app(), &context.caller, context.access()?, context.id("webhook")?).await?;
    Ok(HttpResponse::Accepted().json(QueuedJson::from(queued)))
}

/// Give a webhook a new signing secret; the one before signs too for 24 h.
#[utoipa::path(post, path = "/v1/orgs/{org}/webhooks/{id}/rotate-secret", tag = "webhooks", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path)), responses(
    (status = 200, description = "the new secret, in this answer and nowhere else", body = SignedWebhookJson),
    (status = 403, body = Problem), (status = 404, body = Problem)))]
pub(crate) async fn rotate_secret(context: Context) -> Answer {
    let _: Nothing = context.json_or_empty().await?;
    let (app, access) = (context.app(), context.access()?);
    let rotated = webhooks::rotate_secret(app, &context.caller, access, context.id("webhook")?).await?;
    Ok(HttpResponse::Ok().json(SignedWebhookJson::new(app, rotated)))
}

/// List deliveries, newest first.
#[utoipa::path(get, path = "/v1/orgs/{org}/webhooks/{id}/deliveries", tag = "webhooks", security(("session" = [])),
    params(("org" = String, Path), ("id" = uuid::Uuid, Path), ("status" = Option<String>, Query),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 200), ("cursor" = Option<String>, Query)), responses(
    (status = 200, description = "a page", body = DeliveryPageJson), (status = 404, body = Problem)))]
pub(crate) async fn deliveries(context: Context) -> Answer {
    let parameters = query::list_parameters(&context.request, &["status", "limit", "cursor"])?;
    let value = |name| query::value(&parameters, name);
    let limit = query::limit(&parameters)?;
    let (app, access, id) = (context.app(), context.access()?, context.id("webhook")?);
    let page = webhooks::list_deliveries(app, access, id, value("status"), limit, value("cursor")).await?;
    Ok(HttpResponse::Ok().json(DeliveryPageJson::new(page)))
}

/// Queue a delivery again, with the same `webhook-id`.
#[utoipa::path(post, path = "/v1/orgs/{org}/webhooks/{id}/deliveries/{delivery}/retry", tag = "webhooks",
    security(("session" = [])), params(("org" = String, Path), ("id" = uuid::Uuid, Path), ("delivery" = uuid::Uuid, Path)),
    responses((status = 202, description = "it is on its way", body = QueuedJson), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, description = "the webhook is disabled", body = Problem)))]
pub(crate) async fn retry(context: Context) -> Answer {
    let delivery = context.request.match_info().get("delivery").unwrap_or_default();
    let delivery: DeliveryId = delivery.parse().map_err(|_| AppError::NotFound("delivery"))?;
    let _: Nothing = context.json_or_empty().await?;
    let (app, access) = (context.app(), context.access()?);
    let queued = webhooks::retry(app, &context.caller, access, context.id("webhook")?, delivery).await?;
    Ok(HttpResponse::Accepted().json(QueuedJson::from(queued)))
}
