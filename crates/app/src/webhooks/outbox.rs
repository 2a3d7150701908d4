//! What is told to the outside leaves from rows that the change's own transaction wrote: rolled back means never sent,
//! committed means sent at least once.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use statuspulse_audit::EventType;
use statuspulse_keys::{Key, KeyVersion};
use statuspulse_policy::{AlertId, DeliveryId, EventId, KeyId, OrganizationId, WebhookId};
use statuspulse_store::{
    Conn, StoreError,
    webhooks::{
        outbox::{self, OutboxEvent},
        subscribed,
    },
};

use uuid::Uuid;

use crate::app::App;

/// An event that is about to be told.
#[derive(Debug)]
pub(crate) struct News {
    kind: EventType,
    organization: OrganizationId,
    key: Option<KeyId>,
    alert: Option<AlertId>,
    data: Map<String, Value>,
    sealed_until: Option<DateTime<Utc>>,
}

impl News {
    /// About something of an organization.
    pub(crate) fn new(kind: EventType, organization: OrganizationId) -> Self {
        Self { kind, organization, key: None, alert: None, data: Map::new(), sealed_until: None }
    }

    /// About a key, as one of its versions has it, which ends at `ends_at`.
    pub(crate) fn of_key(kind: EventType, key: &Key, version: &KeyVersion, ends_at: DateTime<Utc>) -> Self {
        let mut news = Self::new(kind, key.organization_id);
        news.key = Some(key.id);
        news.with(
            "key",
            json!({
                "id": key.id.to_string(),
                "name": key.name,
                "environment": key.environment.as_str(),
                "hint": version.hint,
                "version": version.number,
                "expires_at": ends_at,
            }),
        )
    }

    /// About an alert, and perhaps its key: its deliveries are found by the alert, and who listens to the key hears of it.
    pub(crate) fn of_alert(kind: EventType, organization: OrganizationId, alert: AlertId, key: Option<KeyId>) -> Self {
        Self { key, alert: Some(alert), ..Self::new(kind, organization) }
    }

    /// The same with a fact more.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.data.insert(name.to_owned(), value);
        self
    }

    /// The same with a sealed successor, which is deleted at an instant.
    pub(crate) fn with_sealed(self, armoured: String, until: DateTime<Utc>) -> Self {
        Self { sealed_until: Some(until), ..self.with("sealed", Value::String(armoured)) }
    }

    /// Puts it on its way to everyone who gets it, in the caller's transaction; before that takes a number of the feed, since
    /// from there on every other change waits.
    ///
    /// # Errors
    /// When it can't be written: then the change must fail too.
    pub(crate) async fn tell(self, app: &App, conn: &mut Conn) -> Result<(), StoreError> {
        let event = self.write(app, conn).await?;
        let mut deliveries = Vec::new();
        for endpoint in subscribed(conn, event.organization_id, event.key_id, event.kind).await? {
            deliveries.push((DeliveryId::from_uuid(id(app)?), endpoint));
        }
        if deliveries.is_empty() { Ok(()) } else { outbox::insert_deliveries(conn, &event, &deliveries).await }
    }

    /// The same to one endpoint, whatever it gets otherwise.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) async fn tell_one(
        self,
        app: &App,
        conn: &mut Conn,
        endpoint: WebhookId,
    ) -> Result<(EventId, DeliveryId), StoreError> {
        let event = self.write(app, conn).await?;
        let delivery = DeliveryId::from_uuid(id(app)?);
        outbox::insert_deliveries(conn, &event, &[(delivery, endpoint)]).await?;
        Ok((event.id, delivery))
    }

    async fn write(self, app: &App, conn: &mut Conn) -> Result<OutboxEvent, StoreError> {
        let event = OutboxEvent {
            id: EventId::from_uuid(id(app)?),
            organization_id: self.organization,
            key_id: self.key,
            alert_id: self.alert,
            kind: self.kind,
            occurred_at: app.env.now(),
            data: Value::Object(self.data),
            sealed_until: self.sealed_until,
        };
        outbox::insert(conn, &event).await?;
        Ok(event)
    }
}

fn id(app: &App) -> Result<Uuid, StoreError> {
    app.env.id().map_err(|error| StoreError::Unavailable(error.to_string()))
}
