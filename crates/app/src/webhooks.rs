//! Endpoints that are told what happens (keys §9): made, changed, tried, taken away. Owner and admin do that; an auditor
//! looks. The address of a Slack endpoint is a secret of its own, so a developer doesn't.

use chrono::{DateTime, Utc};
use serde_json::json;
use statuspulse_audit::{Action, Class, DeliveryStatus, DisabledReason, EndpointKind, EventType};
use statuspulse_delivery::{AllowedNetworks, Names, SigningSecret, Target};
use statuspulse_keys::Creator;
use statuspulse_policy::{DeliveryId, EventId, KeyId, Role, UserId, WebhookId};
use statuspulse_store::{
    AsyncConnection as _, Conn, keys, organizations,
    page::Position,
    users,
    webhooks::{
        self as store, Endpoint, SealedSecret,
        deliveries::{self, Delivery},
    },
};

use crate::{
    app::App,
    caller::{Access, Caller, Right},
    cursor::{self, List},
    error::{AppError, FieldError},
    keys::refuse_secret,
    signing::{open, seal},
};

pub(crate) mod outbox;
pub mod worker;

pub(crate) use outbox::News;

/// Endpoints of an organization, at most.
pub const ENDPOINT_LIMIT: i64 = 50;
/// How long the secret before signs too.
const OVERLAP: chrono::Duration = chrono::Duration::hours(24);

/// Where endpoints may be, and how their names are looked up.
#[derive(Clone, Copy)]
pub struct Reach<'a> {
    /// Networks beside the public ones.
    pub networks: &'a AllowedNetworks,
    /// The resolver.
    pub names: &'a dyn Names,
}

/// A new endpoint, as it comes from outside.
#[derive(Debug, Clone, Default)]
pub struct NewEndpoint {
    /// Where to.
    pub url: String,
    /// `standard` or `slack`.
    pub kind: String,
    /// Types of events, at least one.
    pub events: Vec<String>,
    /// Only events of this key.
    pub key_id: Option<String>,
}

/// A change, as it comes from outside; what is left out stays.
#[derive(Debug, Clone, Default)]
pub struct EndpointChange {
    /// Where to.
    pub url: Option<String>,
    /// Types of events.
    pub events: Option<Vec<String>>,
    /// Only events of this key, or of the whole organization.
    pub key_id: Option<Option<String>>,
    /// `active` or `disabled`.
    pub status: Option<String>,
}

/// An endpoint as it is shown.
#[derive(Debug)]
pub struct EndpointView {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Address of the person who made it.
    pub created_by_email: Option<String>,
}

/// A page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// How to ask for the next page, if there is one.
    pub next_cursor: Option<String>,
}

fn require_reader(access: &Access) -> Result<(), AppError> {
    if access.right == Right::Role(Role::Developer) {
        return Err(AppError::forbidden("role_not_sufficient", "only an owner, admin or auditor sees webhooks"));
    }
    Ok(())
}

/// Makes an endpoint; its signing secret is in this answer and nowhere else.
///
/// # Errors
/// 403, 422 by field: `url_not_allowed`, `unknown_event`, `webhook_limit_reached`, …
pub async fn create(
    app: &App,
    caller: &Caller,
    access: &Access,
    reach: Reach<'_>,
    input: NewEndpoint,
) -> Result<(EndpointView, SigningSecret), AppError> {
    access.require_admin()?;
    let mut errors = Vec::new();
    let kind = EndpointKind::from_word(&input.kind);
    if kind.is_none() {
        errors.push(FieldError::new("kind", "unknown_kind", "a kind is `standard` or `slack`"));
    }
    let events = collect(&mut errors, events_for(&input.events));
    collect(&mut errors, judge_url(reach, &input.url, kind.unwrap_or(EndpointKind::Standard)).await);
    let key_id = collect(&mut errors, key_for(app, access, input.key_id.as_deref()).await?);
    let (Some(kind), Some(events), Some(key_id), true) = (kind, events, key_id, errors.is_empty()) else {
        return Err(AppError::Invalid(errors));
    };
    let secret = new_secret(app)?;
    let id = WebhookId::from_uuid(app.env.id()?);
    let endpoint = Endpoint {
        id,
        organization_id: access.organization.id,
        key_id,
        url: input.url,
        kind,
        events,
        disabled: None,
        secret: sealed(app, id, &secret)?,
        previous: None,
        failing_since: None,
        created_at: app.env.now(),
        created_by: caller.principal.creator(),
    };
    let event = caller
        .event(app, Class::A, Action::WebhookCreate, Some(access.organization.id))?
        .with("webhook_id", id.to_string())
        .with("kind", kind.as_str())
        .with("events", json!(words(&endpoint.events)));
    let mut conn = app.conn().await?;
    conn.transaction(async |conn| {
        // Creations take turns here, so that the limit is counted and not guessed.
        organizations::lock(conn, access.organization.id).await?.ok_or(AppError::NotFound("organization"))?;
        if store::count(conn, access.organization.id).await? >= ENDPOINT_LIMIT {
            let detail = format!("an organization has at most {ENDPOINT_LIMIT} webhooks; delete one that nobody uses");
            return Err(AppError::field("url", "webhook_limit_reached", detail));
        }
        app.recorder.record(conn, event).await?;
        Ok(store::insert(conn, &endpoint).await?)
    })
    .await?;
    caller.mark_recorded();
    Ok((view(&mut conn, endpoint).await?, secret))
}

/// Collects a field's errors, so that a caller sees them all at once.
fn collect<T>(errors: &mut Vec<FieldError>, judged: Result<T, FieldError>) -> Option<T> {
    judged.map_err(|error| errors.push(error)).ok()
}

fn events_for(names: &[String]) -> Result<Vec<EventType>, FieldError> {
    let mut events = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let Some(kind) = EventType::from_word(name) else {
            let known = words(EventType::ALL).join("`, `");
            return Err(FieldError::new(format!("events[{index}]"), "unknown_event", format!("one of `{known}`")));
        };
        if !events.contains(&kind) {
            events.push(kind);
        }
    }
    if events.is_empty() {
        return Err(FieldError::new(
            "events",
            "required",
            "name at least one type of event; an empty list means nothing",
        ));
    }
    Ok(events)
}

fn words(events: &[EventType]) -> Vec<&'static str> {
    events.iter().map(|kind| kind.as_str()).collect()
}

async fn judge_url(reach: Reach<'_>, url: &str, kind: EndpointKind) -> Result<(), FieldError> {
    if refuse_secret("url", url).is_err() {
        return Err(FieldError::new(
            "url",
            "holds_secret",
            "this address holds a token or another secret; take it out",
        ));
    }
    let accepted = Target::accept(url, channel(kind), reach.networks, reach.names).await;
    accepted.map(drop).map_err(|error| FieldError::new("url", "url_not_allowed", error.to_string()))
}

/// The adapter's word for a kind.
pub(crate) const fn channel(kind: EndpointKind) -> statuspulse_delivery::Kind {
    match kind {
        EndpointKind::Standard => statuspulse_delivery::Kind::Standard,
        EndpointKind::Slack => statuspulse_delivery::Kind::Slack,
    }
}

/// A key of the same organization.
async fn key_for(app: &App, access: &Access, id: Option<&str>) -> Result<Result<Option<KeyId>, FieldError>, AppError> {
    let Some(text) = id else { return Ok(Ok(None)) };
    let unknown = || FieldError::new("key_id", "unknown_key", "there is no such key in this organization");
    let Ok(id) = text.parse::<KeyId>() else { return Ok(Err(unknown())) };
    let found = keys::find(&mut *app.conn().await?, Some(access.organization.id), id).await?;
    Ok(found.map(|_| Some(id)).ok_or_else(unknown))
}

fn new_secret(app: &App) -> Result<SigningSecret, AppError> {
    Ok(SigningSecret::from_entropy(app.env.random::<32>()?))
}

/// What a secret is bound to, so that a row can't lend its secret to another one.
fn context(id: WebhookId) -> String {
    format!("webhook-secret:{id}")
}

fn sealed(app: &App, id: WebhookId, secret: &SigningSecret) -> Result<SealedSecret, AppError> {
    let master = app.secrets.settled_master().ok_or_else(|| AppError::internal("no master key"))?;
    let key = master.derive("webhook-secret", id.as_uuid().as_bytes());
    let bytes = seal(app, &key, context(id).as_bytes(), secret.expose().as_bytes())?;
    Ok(SealedSecret { bytes, key_version: master.version() })
}

/// Opens a secret for signing.
pub(crate) fn unsealed(app: &App, id: WebhookId, sealed: &SealedSecret) -> Result<SigningSecret, AppError> {
    let master = app.secrets.masters().version(sealed.key_version);
    let master =
        master.ok_or_else(|| AppError::internal("a webhook's secret is sealed under a master key that isn't here"))?;
    let key = master.derive("webhook-secret", id.as_uuid().as_bytes());
    let bytes = open(&key, context(id).as_bytes(), &sealed.bytes)?;
    let text = std::str::from_utf8(&bytes).map_err(AppError::internal)?;
    SigningSecret::parse(text).map_err(AppError::internal)
}

async fn view(conn: &mut Conn, endpoint: Endpoint) -> Result<EndpointView, AppError> {
    let mut all = views(conn, vec![endpoint]).await?;
    all.pop().ok_or_else(|| AppError::internal("one endpoint makes one view"))
}

async fn views(conn: &mut Conn, endpoints: Vec<Endpoint>) -> Result<Vec<EndpointView>, AppError> {
    let maker = |endpoint: &Endpoint| match &endpoint.created_by {
        Creator::User(id) => Some(*id),
        Creator::Operator(_) => None,
    };
    let ids: Vec<_> = endpoints.iter().filter_map(maker).map(UserId::as_uuid).collect();
    let people = if ids.is_empty() { Vec::new() } else { users::by_ids(conn, &ids).await? };
    Ok(endpoints
        .into_iter()
        .map(|endpoint| {
            let id = maker(&endpoint);
            let email = people.iter().find(|user| Some(user.id) == id).map(|user| user.email.clone());
            EndpointView { endpoint, created_by_email: email }
        })
        .collect())
}

/// The rest of a page that was read with one row more than asked for.
fn page<T>(app: &App, list: &List<'_>, mut rows: Vec<T>, limit: i64, place: impl Fn(&T) -> Position) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or_default();
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| more).map(|last| cursor::write(&app.secrets, list, place(last)));
    Page { items: rows, next_cursor }
}

fn limit_of(limit: Option<i64>) -> Result<i64, AppError> {
    let limit = limit.unwrap_or(50);
    if (1..=200).contains(&limit) {
        return Ok(limit);
    }
    Err(AppError::field("limit", "out_of_bounds", "a page has 1 to 200 items"))
}

/// Lists endpoints, newest first.
///
/// # Errors
/// 403 for a developer, 422, 400 for a cursor of another list.
pub async fn list(
    app: &App,
    access: &Access,
    limit: Option<i64>,
    cursor: Option<&str>,
) -> Result<Page<EndpointView>, AppError> {
    require_reader(access)?;
    let limit = limit_of(limit)?;
    let list = List { name: "webhooks", organization: access.organization.id, filters: "" };
    let after = cursor.map(|cursor| cursor::read(&app.secrets, &list, cursor)).transpose()?;
    let mut conn = app.conn().await?;
    let rows = store::list(&mut conn, access.organization.id, after, limit + 1).await?;
    let place = |row: &Endpoint| Position { created_at: row.created_at, id: row.id.as_uuid() };
    let Page { items, next_cursor } = page(app, &list, rows, limit, place);
    Ok(Page { items: views(&mut conn, items).await?, next_cursor })
}

/// One endpoint.
///
/// # Errors
/// 403 for a developer, 404.
pub async fn show(app: &App, access: &Access, id: WebhookId) -> Result<EndpointView, AppError> {
    require_reader(access)?;
    let mut conn = app.conn().await?;
    let found = store::find(&mut conn, access.organization.id, id).await?.ok_or(AppError::NotFound("webhook"))?;
    view(&mut conn, found).await
}

/// Changes an endpoint. One that is switched off gives up what is on its way; one that is switched on starts afresh.
///
/// # Errors
/// 403, 404, 422 by field.
pub async fn change(
    app: &App,
    caller: &Caller,
    access: &Access,
    reach: Reach<'_>,
    id: WebhookId,
    change: EndpointChange,
) -> Result<EndpointView, AppError> {
    access.require_admin()?;
    let mut conn = app.conn().await?;
    let known = store::find(&mut conn, access.organization.id, id).await?.ok_or(AppError::NotFound("webhook"))?;
    drop(conn);
    let mut errors = Vec::new();
    if let Some(url) = &change.url {
        collect(&mut errors, judge_url(reach, url, known.kind).await);
    }
    let events = change.events.as_deref().and_then(|names| collect(&mut errors, events_for(names)));
    let key_id = match &change.key_id {
        Some(id) => collect(&mut errors, key_for(app, access, id.as_deref()).await?),
        None => None,
    };
    let active = match change.status.as_deref() {
        None => None,
        Some("active") => Some(true),
        Some("disabled") => Some(false),
        Some(_) => {
            errors.push(FieldError::new("status", "unknown_status", "a status is `active` or `disabled`"));
            None
        }
    };
    if !errors.is_empty() {
        return Err(AppError::Invalid(errors));
    }
    let event = caller.event(app, Class::A, Action::WebhookUpdate, Some(access.organization.id))?;
    let mut conn = app.conn().await?;
    let (endpoint, changed) = conn
        .transaction(async |conn| {
            let found = store::lock(conn, access.organization.id, id).await?;
            let mut endpoint = found.ok_or(AppError::NotFound("webhook"))?;
            let mut changed = Vec::new();
            let mut put = |name: &'static str, differs: bool| {
                if differs {
                    changed.push(name);
                }
            };
            if let Some(url) = change.url {
                put("url", endpoint.url != url);
                if endpoint.url != url {
                    // Another address has failed at nothing yet.
                    endpoint.failing_since = None;
                }
                endpoint.url = url;
            }
            if let Some(events) = events {
                put("events", endpoint.events != events);
                endpoint.events = events;
            }
            if let Some(key_id) = key_id {
                put("key_id", endpoint.key_id != key_id);
                endpoint.key_id = key_id;
            }
            if let Some(active) = active
                && active != endpoint.disabled.is_none()
            {
                put("status", true);
                endpoint.disabled = (!active).then_some(DisabledReason::Person);
                endpoint.failing_since = None;
                // Switched on again, too: what was on its way when it was switched off is no news any more.
                deliveries::give_up(conn, id).await?;
            }
            if changed.is_empty() {
                return Ok((endpoint, false));
            }
            app.recorder.record(conn, event.with("webhook_id", id.to_string()).with("changed", json!(changed))).await?;
            store::update(conn, &endpoint).await?;
            Ok::<_, AppError>((endpoint, true))
        })
        .await?;
    if changed {
        caller.mark_recorded();
    }
    view(&mut conn, endpoint).await
}

/// Takes an endpoint away, with everything that is on its way to it.
///
/// # Errors
/// 403, 404.
pub async fn delete(app: &App, caller: &Caller, access: &Access, id: WebhookId) -> Result<(), AppError> {
    access.require_admin()?;
    let event = caller.event(app, Class::A, Action::WebhookDelete, Some(access.organization.id))?;
    let mut conn = app.conn().await?;
    conn.transaction(async |conn| {
        if !store::delete(conn, access.organization.id, id).await? {
            return Err(AppError::NotFound("webhook"));
        }
        Ok(app.recorder.record(conn, event.with("webhook_id", id.to_string())).await?)
    })
    .await?;
    caller.mark_recorded();
    Ok(())
}

/// Gives an endpoint a new signing secret; the one before signs too for 24 h.
///
/// # Errors
/// 403, 404.
pub async fn rotate_secret(
    app: &App,
    caller: &Caller,
    access: &Access,
    id: WebhookId,
) -> Result<(EndpointView, SigningSecret), AppError> {
    access.require_admin()?;
    let secret = new_secret(app)?;
    let fresh = sealed(app, id, &secret)?;
    let event = caller.event(app, Class::A, Action::WebhookSecretRotate, Some(access.organization.id))?;
    let mut conn = app.conn().await?;
    let endpoint = conn
        .transaction(async |conn| {
            let found = store::lock(conn, access.organization.id, id).await?;
            let mut endpoint = found.ok_or(AppError::NotFound("webhook"))?;
            let before = std::mem::replace(&mut endpoint.secret, fresh);
            endpoint.previous = Some((before, app.env.now() + OVERLAP));
            app.recorder.record(conn, event.with("webhook_id", id.to_string())).await?;
            store::update(conn, &endpoint).await?;
            Ok::<_, AppError>(endpoint)
        })
        .await?;
    caller.mark_recorded();
    Ok((view(&mut conn, endpoint).await?, secret))
}

/// What was queued, to be found again in the list of deliveries.
#[derive(Debug, Clone, Copy)]
pub struct Queued {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The header `webhook-id`, where it is known.
    pub event: Option<EventId>,
}

/// Sends an event to try the endpoint, whatever it has subscribed to.
///
/// # Errors
/// 403, 404, 409 `webhook_disabled`.
pub async fn test(app: &App, caller: &Caller, access: &Access, id: WebhookId) -> Result<Queued, AppError> {
    access.require_admin()?;
    let event = caller.event(app, Class::A, Action::WebhookTest, Some(access.organization.id))?;
    let mut conn = app.conn().await?;
    let queued = conn
        .transaction(async |conn| {
            active(conn, access, id).await?;
            app.recorder.record(conn, event.with("webhook_id", id.to_string())).await?;
            let news =
                News::new(EventType::WebhookTest, access.organization.id).with("webhook_id", json!(id.to_string()));
            let (event, delivery) = news.tell_one(app, conn, id).await?;
            Ok::<_, AppError>(Queued { delivery, event: Some(event) })
        })
        .await?;
    caller.mark_recorded();
    Ok(queued)
}

async fn active(conn: &mut Conn, access: &Access, id: WebhookId) -> Result<Endpoint, AppError> {
    let endpoint = store::lock(conn, access.organization.id, id).await?.ok_or(AppError::NotFound("webhook"))?;
    if endpoint.disabled.is_some() {
        let detail = "the webhook is disabled and gets nothing; switch it on by `status: active` first";
        return Err(AppError::conflict("webhook_disabled", detail));
    }
    Ok(endpoint)
}

/// Queues a delivery again, with the same `webhook-id`.
///
/// # Errors
/// 403, 404, 409 `webhook_disabled`.
pub async fn retry(
    app: &App,
    caller: &Caller,
    access: &Access,
    id: WebhookId,
    delivery: DeliveryId,
) -> Result<Queued, AppError> {
    access.require_admin()?;
    let event = caller.event(app, Class::A, Action::WebhookRetry, Some(access.organization.id))?;
    let mut conn = app.conn().await?;
    conn.transaction(async |conn| {
        active(conn, access, id).await?;
        if !deliveries::retry(conn, id, delivery, app.env.now()).await? {
            return Err(AppError::NotFound("delivery"));
        }
        let event = event.with("webhook_id", id.to_string()).with("delivery_id", delivery.to_string());
        Ok(app.recorder.record(conn, event).await?)
    })
    .await?;
    caller.mark_recorded();
    Ok(Queued { delivery, event: None })
}

/// Lists the deliveries of an endpoint, newest first.
///
/// # Errors
/// 403 for a developer, 404, 422, 400 for a cursor of another list.
pub async fn list_deliveries(
    app: &App,
    access: &Access,
    id: WebhookId,
    status: Option<&str>,
    limit: Option<i64>,
    cursor: Option<&str>,
) -> Result<Page<Delivery>, AppError> {
    require_reader(access)?;
    let wanted = status.map(|word| {
        let detail = "a status is `pending`, `succeeded` or `failed`";
        DeliveryStatus::from_word(word).ok_or_else(|| AppError::field("status", "unknown_status", detail))
    });
    let wanted = wanted.transpose()?;
    let limit = limit_of(limit)?;
    let filters = json!({"webhook": id.to_string(), "status": status}).to_string();
    let list = List { name: "deliveries", organization: access.organization.id, filters: &filters };
    let after = cursor.map(|cursor| cursor::read(&app.secrets, &list, cursor)).transpose()?;
    let mut conn = app.conn().await?;
    store::find(&mut conn, access.organization.id, id).await?.ok_or(AppError::NotFound("webhook"))?;
    let rows = deliveries::list(&mut conn, id, wanted, after, limit + 1).await?;
    Ok(page(app, &list, rows, limit, |row| Position { created_at: row.created_at, id: row.id.as_uuid() }))
}

/// When the secret before stops signing; none where there is none.
#[must_use]
pub fn overlap_until(endpoint: &Endpoint, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    endpoint.previous.as_ref().map(|(_, until)| *until).filter(|until| now < *until)
}
