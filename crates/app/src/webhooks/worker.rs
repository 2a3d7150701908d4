//! Sends what waits in the outbox. Every instance does; a delivery is taken by one of them at a time, and by another one
//! when that has died.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{Duration as Span, SecondsFormat};
use serde_json::{Map, Value, json};
use statuspulse_audit::{Action, AlertRule, Class, DisabledReason, EndpointKind, redact::redact};
use statuspulse_delivery::{Courier, Failure, Outcome, SigningSecret, Target, next_attempt, signature_headers, slack};
use statuspulse_store::{
    AsyncConnection as _, Conn, StoreError,
    alerts::Happening,
    organizations,
    webhooks::{
        self as store, Endpoint,
        deliveries::{self, Attempt, Claimed},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{channel, unsealed};
use crate::{app::App, caller::Caller, error::AppError, recorder};

/// How often the outbox is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// Deliveries under way on an instance.
const AT_ONCE: usize = 32;
/// Deliveries that are taken in one go.
const BATCH: i64 = 8;
/// How long a delivery is taken for: an attempt, its writing, and some slack.
const HELD_FOR: Span = Span::seconds(45);
/// An endpoint that fails for so long gets nothing any more.
const PATIENCE: Span = Span::days(5);
/// What is kept of an answer, in bytes.
const KEPT: usize = 1_024;
/// The longest body (Standard Webhooks: 20 kB).
const LONGEST: usize = 20_000;

/// What this instance has sent since its start.
#[derive(Debug, Default)]
pub struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// Attempts that were answered by a 2xx, and those that weren't.
    #[must_use]
    pub fn read(&self) -> (u64, u64) {
        (self.succeeded.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

/// Sends.
pub struct Worker {
    app: Arc<App>,
    courier: Arc<Courier>,
    public_url: String,
    places: Arc<Semaphore>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Worker").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker of an instance; `public_url` is the base of links for people.
    #[must_use]
    pub fn new(app: Arc<App>, courier: Arc<Courier>, public_url: String) -> Arc<Self> {
        Arc::new(Self { app, courier, public_url, places: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// Runs for as long as the process does.
    pub async fn run(self: Arc<Self>) {
        // What an earlier life of this instance had taken goes on at once.
        let released =
            async { Ok::<_, AppError>(deliveries::release(&mut *self.app.conn().await?, self.app.instance).await?) };
        if let Err(error) = released.await {
            tracing::warn!(%error, "deliveries of before the start wait for the end of their time");
        }
        loop {
            match self.round().await {
                Ok(taken) if taken == BATCH.unsigned_abs() => {}
                Ok(_) => tokio::time::sleep(EVERY).await,
                Err(error) => {
                    tracing::warn!(%error, "webhooks wait for the database");
                    tokio::time::sleep(EVERY).await;
                }
            }
        }
    }

    /// Takes what is due, as far as there are places, and sends it in the background. Answers how many were taken.
    async fn round(self: &Arc<Self>) -> Result<u64, AppError> {
        // Waits for a place, so that nothing is taken that can't be sent.
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(AppError::internal)?;
        let mut places = vec![place];
        while places.len() < usize::try_from(BATCH).unwrap_or_default()
            && let Ok(place) = Arc::clone(&self.places).try_acquire_owned()
        {
            places.push(place);
        }
        let claimed = self.claim(i64::try_from(places.len()).unwrap_or(BATCH)).await?;
        let taken = claimed.len();
        for (delivery, place) in claimed.into_iter().zip(places) {
            tokio::spawn(Arc::clone(self).deliver_in(place, delivery));
        }
        Ok(taken as u64)
    }

    /// Sends everything that is due, one after the other, and answers how many attempts were made. For those who drive
    /// the time themselves.
    ///
    /// # Errors
    /// 503.
    pub async fn send_due(self: &Arc<Self>) -> Result<usize, AppError> {
        let mut sent = 0;
        loop {
            let claimed = self.claim(BATCH).await?;
            if claimed.is_empty() {
                return Ok(sent);
            }
            for delivery in claimed {
                self.deliver(&delivery).await?;
                sent += 1;
            }
        }
    }

    async fn claim(&self, limit: i64) -> Result<Vec<Claimed>, AppError> {
        let now = self.app.env.now();
        let mut conn = self.app.conn().await?;
        Ok(deliveries::claim(&mut conn, self.app.instance, now, now + HELD_FOR, limit).await?)
    }

    async fn deliver_in(self: Arc<Self>, place: OwnedSemaphorePermit, delivery: Claimed) {
        if let Err(error) = self.deliver(&delivery).await {
            tracing::warn!(%error, delivery = %delivery.id, "the outcome of a delivery was not written; it is sent again");
        }
        drop(place);
    }

    /// One attempt. The connection is given back while it is under way.
    async fn deliver(&self, delivery: &Claimed) -> Result<(), AppError> {
        let mut conn = self.app.conn().await?;
        let endpoint = match store::find(&mut conn, delivery.organization, delivery.endpoint).await {
            Ok(Some(endpoint)) => endpoint,
            Ok(None) => return Ok(()),
            Err(error @ StoreError::CorruptRow { .. }) => {
                // Somebody has changed the table. It is over for this delivery, or it would be taken again for ever.
                tracing::error!(%error, webhook = %delivery.endpoint, "a webhook can't be read");
                let attempt = Attempt { error: Some("endpoint_unreadable"), ..Attempt::default() };
                deliveries::finish(&mut conn, delivery, &attempt).await?;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let organization = organizations::by_id(&mut conn, delivery.organization).await?;
        let slug = organization.map(|organization| organization.slug).unwrap_or_default();
        drop(conn);
        let sent = self.attempt(&endpoint, delivery, &slug).await;
        let counter = if sent.is_success() { &self.app.deliveries.succeeded } else { &self.app.deliveries.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        self.settle(delivery, sent).await
    }

    async fn attempt(&self, endpoint: &Endpoint, delivery: &Claimed, organization: &str) -> Sent {
        let now = self.app.env.now();
        let target = match Target::from_stored(&endpoint.url, channel(endpoint.kind)) {
            Ok(target) => target,
            Err(error) => return Sent::refused("address_not_allowed", error.to_string()),
        };
        let secrets = match self.secrets(endpoint) {
            Ok(secrets) => secrets,
            Err(error) => {
                tracing::error!(%error, webhook = %endpoint.id, "a signing secret can't be opened");
                return Sent::refused("secret_unreadable", String::new());
            }
        };
        let data = self.data(delivery, organization);
        let body = match endpoint.kind {
            EndpointKind::Standard => json!({
                "type": delivery.kind.as_str(),
                "timestamp": delivery.occurred_at.to_rfc3339_opts(SecondsFormat::Micros, true),
                "data": data,
            }),
            EndpointKind::Slack => slack::render(delivery.kind.as_str(), &data, &self.public_url),
        }
        .to_string();
        if body.len() >= LONGEST {
            return Sent::refused("body_too_large", String::new());
        }
        let headers = signature_headers(delivery.event.as_uuid(), now.timestamp(), &body, &secrets);
        Sent::Answered(self.courier.send(&target, &headers, body).await)
    }

    /// Newest first.
    fn secrets(&self, endpoint: &Endpoint) -> Result<Vec<SigningSecret>, AppError> {
        let mut secrets = vec![unsealed(&self.app, endpoint.id, &endpoint.secret)?];
        if let Some((before, until)) = &endpoint.previous
            && self.app.env.now() < *until
        {
            secrets.push(unsealed(&self.app, endpoint.id, before)?);
        }
        Ok(secrets)
    }

    fn data(&self, delivery: &Claimed, organization: &str) -> Value {
        let mut data = Map::new();
        data.insert("sequence".into(), json!(delivery.sequence));
        data.insert("organization".into(), json!(organization));
        data.extend(delivery.data.as_object().cloned().unwrap_or_default());
        Value::Object(data)
    }

    /// Writes what came of it, and what follows for the endpoint.
    async fn settle(&self, delivery: &Claimed, sent: Sent) -> Result<(), AppError> {
        let (app, now) = (&self.app, self.app.env.now());
        let gone = sent.is_gone();
        let made = u32::try_from(delivery.attempts).unwrap_or(u32::MAX);
        let jitter = u16::from_be_bytes(app.env.random::<2>()?);
        let (mut attempt, retry_after) = sent.into_attempt();
        if delivery.data.get("sealed").is_some() {
            // Who echoes what he got must not make us keep it longer than we say.
            attempt.response_excerpt = None;
        }
        if attempt.error.is_some() && !gone {
            attempt.next_attempt_at = next_attempt(made, now, jitter, retry_after);
        }
        let mut conn = app.conn().await?;
        conn.transaction(async |conn| {
            // The endpoint first, as whoever changes one does, so that nobody waits for each other.
            let Some(mut endpoint) = store::lock(conn, delivery.organization, delivery.endpoint).await? else {
                return Ok(());
            };
            if !deliveries::finish(conn, delivery, &attempt).await? {
                return Ok(());
            }
            if attempt.error.is_none() {
                return Ok(store::note_success(conn, endpoint.id).await?);
            }
            if endpoint.disabled.is_some() {
                // Somebody was faster: it is over, and there is nothing to tell.
                deliveries::give_up(conn, endpoint.id).await?;
                return Ok(());
            }
            let since = *endpoint.failing_since.get_or_insert(now);
            let reason = if gone {
                Some(DisabledReason::Gone)
            } else {
                (now - since >= PATIENCE).then_some(DisabledReason::Failing)
            };
            endpoint.disabled = reason;
            store::update(conn, &endpoint).await?;
            match reason {
                Some(reason) => switched_off(app, conn, &endpoint, reason).await,
                None => Ok(()),
            }
        })
        .await
    }
}

async fn switched_off(app: &App, conn: &mut Conn, endpoint: &Endpoint, reason: DisabledReason) -> Result<(), AppError> {
    deliveries::give_up(conn, endpoint.id).await?;
    let event = Caller::system(app)
        .event(app, Class::A, Action::WebhookDisable, Some(endpoint.organization_id))?
        .with("webhook_id", endpoint.id.to_string())
        .with("cause", reason.as_str());
    app.recorder.record(conn, event).await?;
    let now = app.env.now();
    let subject = ("webhook", endpoint.id);
    let mut happening = Happening::new(AlertRule::WatchImpaired, Some(endpoint.organization_id), subject, now)
        .with("cause", format!("webhook_{}", reason.as_str()));
    happening.observed.first_at = endpoint.failing_since.unwrap_or(now);
    recorder::raise(app, conn, &happening).await?;
    Ok(())
}

/// The first KiB of an answer. Who answers may repeat a secret; it is recognised before anything is cut.
fn excerpt(answer: &str) -> String {
    let safe = redact(answer);
    let end = (0..=KEPT.min(safe.len())).rev().find(|end| safe.is_char_boundary(*end)).unwrap_or_default();
    safe.get(..end).unwrap_or_default().to_owned()
}

/// What came of an attempt.
enum Sent {
    Answered(Outcome),
    /// It never left.
    Refused(&'static str, String),
}

impl Sent {
    fn refused(word: &'static str, detail: String) -> Self {
        Self::Refused(word, detail)
    }

    fn is_success(&self) -> bool {
        matches!(self, Self::Answered(outcome) if outcome.is_delivered())
    }

    fn is_gone(&self) -> bool {
        matches!(self, Self::Answered(outcome) if outcome.failure == Some(Failure::Gone))
    }

    /// The same as it is written, and the wait that the endpoint asked for.
    fn into_attempt(self) -> (Attempt, Option<Duration>) {
        let kept = |text: String| Some(text).filter(|text| !text.is_empty());
        match self {
            Self::Answered(outcome) => {
                let attempt = Attempt {
                    response_status: outcome.status,
                    response_excerpt: kept(excerpt(&outcome.answer)),
                    error: outcome.failure.map(Failure::as_str),
                    next_attempt_at: None,
                };
                (attempt, outcome.retry_after)
            }
            Self::Refused(word, detail) => {
                (Attempt { response_excerpt: kept(detail), error: Some(word), ..Attempt::default() }, None)
            }
        }
    }
}
