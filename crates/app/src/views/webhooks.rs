//! Webhooks, their deliveries, and the inventory as JSON.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use statuspulse_audit::DisabledReason;
use statuspulse_delivery::SigningSecret;
use statuspulse_store::webhooks::deliveries::Delivery;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{CreatorJson, KeyJson};
use crate::{
    app::App,
    keys::Wanting,
    webhooks::{EndpointView, Page, Queued, overlap_until},
};

/// An endpoint; nothing of its signing secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookJson {
    id: Uuid,
    url: String,
    kind: &'static str,
    events: Vec<&'static str>,
    /// Only events of this key; null: of the whole organization.
    key_id: Option<Uuid>,
    status: &'static str,
    /// Why it gets nothing: `person`, `gone` (it answered 410) or `failing` (for five days).
    disabled_reason: Option<&'static str>,
    /// First failure since the last success.
    failing_since: Option<DateTime<Utc>>,
    /// Until when the signing secret of before signs too.
    previous_secret_until: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    created_by: CreatorJson,
}

impl WebhookJson {
    /// From a view.
    #[must_use]
    pub fn new(app: &App, view: EndpointView) -> Self {
        let endpoint = view.endpoint;
        Self {
            id: endpoint.id.as_uuid(),
            kind: endpoint.kind.as_str(),
            events: endpoint.events.iter().map(|kind| kind.as_str()).collect(),
            key_id: endpoint.key_id.map(|id| id.as_uuid()),
            status: if endpoint.disabled.is_some() { "disabled" } else { "active" },
            disabled_reason: endpoint.disabled.map(DisabledReason::as_str),
            failing_since: endpoint.failing_since,
            previous_secret_until: overlap_until(&endpoint, app.env.now()),
            created_at: endpoint.created_at,
            created_by: CreatorJson::new(endpoint.created_by, view.created_by_email),
            url: endpoint.url,
        }
    }
}

/// An endpoint with its signing secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignedWebhook)]
pub struct SignedWebhookJson {
    webhook: WebhookJson,
    /// `whsec_…`; in this answer and nowhere else.
    signing_secret: SigningSecretJson,
}

impl SignedWebhookJson {
    /// From a view and the secret.
    #[must_use]
    pub fn new(app: &App, (view, secret): (EndpointView, SigningSecret)) -> Self {
        Self { webhook: WebhookJson::new(app, view), signing_secret: SigningSecretJson(secret) }
    }
}

/// A signing secret on its way to the one who asked for it.
#[derive(Debug, ToSchema)]
#[schema(value_type = String)]
pub struct SigningSecretJson(SigningSecret);

impl Serialize for SigningSecretJson {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.expose())
    }
}

/// Endpoints, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookPage)]
pub struct WebhookPageJson {
    items: Vec<WebhookJson>,
    next_cursor: Option<String>,
}

impl WebhookPageJson {
    /// From a page.
    #[must_use]
    pub fn new(app: &App, page: Page<EndpointView>) -> Self {
        let items = page.items.into_iter().map(|view| WebhookJson::new(app, view)).collect();
        Self { items, next_cursor: page.next_cursor }
    }
}

/// One event on its way to one endpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryJson {
    id: Uuid,
    /// The header `webhook-id`, the same at every attempt.
    webhook_id: Uuid,
    #[serde(rename = "type")]
    kind: &'static str,
    /// `pending`, `succeeded` or `failed`.
    status: &'static str,
    /// Attempts that were begun since it was queued.
    attempts: i32,
    next_attempt_at: Option<DateTime<Utc>>,
    last_attempt_at: Option<DateTime<Utc>>,
    /// What the endpoint answered last.
    response_status: Option<i16>,
    /// The first KiB of it.
    response_excerpt: Option<String>,
    /// Why the last attempt failed: `timeout`, `bad_status`, `address_not_allowed`, …
    error: Option<String>,
    created_at: DateTime<Utc>,
}

/// Deliveries, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryPage)]
pub struct DeliveryPageJson {
    items: Vec<DeliveryJson>,
    next_cursor: Option<String>,
}

impl DeliveryPageJson {
    /// From a page.
    #[must_use]
    pub fn new(page: Page<Delivery>) -> Self {
        let items = page.items.into_iter().map(|delivery| DeliveryJson {
            id: delivery.id.as_uuid(),
            webhook_id: delivery.event.as_uuid(),
            kind: delivery.kind.as_str(),
            status: delivery.status.as_str(),
            attempts: delivery.attempts,
            next_attempt_at: delivery.next_attempt_at,
            last_attempt_at: delivery.last_attempt_at,
            response_status: delivery.response_status,
            response_excerpt: delivery.response_excerpt,
            error: delivery.error,
            created_at: delivery.created_at,
        });
        Self { items: items.collect(), next_cursor: page.next_cursor }
    }
}

/// A delivery that was queued.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueuedDelivery)]
pub struct QueuedJson {
    delivery_id: Uuid,
}

impl From<Queued> for QueuedJson {
    fn from(queued: Queued) -> Self {
        Self { delivery_id: queued.delivery.as_uuid() }
    }
}

/// Living keys that want a look, by reason; a key stands under each of its reasons.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Inventory)]
pub struct InventoryJson {
    /// `no_allowlist`, `allow_any`, `wide_allowlist`, `all_scopes`, `unused_30_days`, `ends_within_14_days`,
    /// `never_rotated`: each with its keys, newest first, perhaps none; no more than `limit`.
    reasons: BTreeMap<&'static str, Vec<KeyJson>>,
    /// How many keys each reason has.
    counts: BTreeMap<&'static str, usize>,
}

impl InventoryJson {
    /// From the lists.
    #[must_use]
    pub fn new(app: &App, lists: Vec<Wanting>) -> Self {
        let counts = lists.iter().map(|list| (list.reason.as_str(), list.count)).collect();
        let keys = |list: Wanting| list.keys.into_iter().map(|view| KeyJson::new(app, view)).collect();
        Self { reasons: lists.into_iter().map(|list| (list.reason.as_str(), keys(list))).collect(), counts }
    }
}
