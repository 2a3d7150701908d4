//! Reading the trail: who may see which events, in pages. Each reading is itself an event.

use statuspulse_audit::{Action, Class, Record};
use statuspulse_policy::{EventId, KeyId, OrganizationId, Role};
use statuspulse_store::{
    Conn,
    audit::trail::{self, Filter, Order, Place},
    keys,
};

use crate::{
    app::App,
    caller::{Access, Caller, Right},
    error::AppError,
};

/// A page of events, newest first.
#[derive(Debug)]
pub struct Page {
    /// The events.
    pub items: Vec<Record>,
    /// Where the next page begins; none on the last one.
    pub next: Option<Place>,
}

/// Whether a caller may ask for these events. A developer sees those of own keys, and must name one.
///
/// # Errors
/// 403.
pub async fn may_read(conn: &mut Conn, caller: &Caller, access: &Access, filter: &Filter) -> Result<(), AppError> {
    if access.right != Right::Role(Role::Developer) {
        return Ok(());
    }
    let named = filter.actor.as_deref().and_then(|actor| actor.parse::<KeyId>().ok());
    let own = match named {
        Some(key) => keys::find(conn, Some(access.organization.id), key)
            .await?
            .is_some_and(|found| found.key.created_by == caller.principal.creator()),
        None => false,
    };
    if own {
        return Ok(());
    }
    Err(AppError::forbidden(
        "role_not_sufficient",
        "a developer reads the events of own keys: name one of them as `actor`, or ask an auditor",
    ))
}

/// A page of an organization's events.
///
/// # Errors
/// 403, 503.
pub async fn list(
    app: &App,
    caller: &Caller,
    access: &Access,
    filter: Filter,
    after: Option<Place>,
    limit: i64,
) -> Result<Page, AppError> {
    let filter = Filter { organization: Some(access.organization.id), ..filter };
    app.recorder.settle().await;
    let mut conn = app.conn().await?;
    may_read(&mut conn, caller, access, &filter).await?;
    let mut items = trail::page(&mut conn, &filter, Order::NewestFirst, after, limit + 1).await?;
    drop(conn);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(Place::from);
    note(app, caller, Action::AuditRead, Some(access.organization.id), &filter, |event| {
        event.with("events", items.len())
    })
    .await?;
    Ok(Page { items, next })
}

/// One event.
///
/// # Errors
/// 404 also where it is another organization's, 403, 503.
pub async fn show(app: &App, caller: &Caller, access: &Access, id: EventId) -> Result<Record, AppError> {
    app.recorder.settle().await;
    let mut conn = app.conn().await?;
    let found = trail::find(&mut conn, Some(access.organization.id), id).await?;
    let found = found.ok_or(AppError::NotFound("event"))?;
    let of_actor = Filter { actor: found.entry.actor.id.clone(), ..Filter::default() };
    may_read(&mut conn, caller, access, &of_actor).await?;
    drop(conn);
    note(app, caller, Action::AuditRead, Some(access.organization.id), &of_actor, |event| {
        event.with("event_id", id.to_string())
    })
    .await?;
    Ok(found)
}

/// The event of a reading, before its answer. What was asked for stands in it, but for an address, which could not be erased,
/// and an actor that is no id: whatever somebody has typed there, an address or a secret among it, is nobody's actor.
pub(crate) async fn note(
    app: &App,
    caller: &Caller,
    action: Action,
    organization: Option<OrganizationId>,
    filter: &Filter,
    more: impl FnOnce(statuspulse_audit::Event) -> statuspulse_audit::Event,
) -> Result<(), AppError> {
    let class = if action == Action::AuditExport { Class::A } else { Class::B };
    let mut event = caller.event(app, class, action, organization)?;
    event.status = event.origin.request_id.map(|_| 200);
    let actor = filter.actor.as_deref().filter(|actor| uuid::Uuid::parse_str(actor).is_ok());
    let texts = [
        ("actor", actor.map(str::to_owned)),
        ("action", filter.action.clone()),
        ("outcome", filter.outcome.clone()),
        ("country", filter.country.clone()),
        ("from", filter.from.map(statuspulse_audit::record::instant)),
        ("to", filter.to.map(statuspulse_audit::record::instant)),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            event = event.with(name, text);
        }
    }
    if filter.actor.is_some() && actor.is_none() {
        event = event.with("by_actor", true);
    }
    if filter.network.is_some() {
        event = event.with("by_address", true);
    }
    let event = more(event);
    if class == Class::A {
        app.recorder.record(&mut *app.conn().await?, event).await?;
    } else {
        app.recorder.keep(app, &event).await?;
    }
    caller.mark_recorded();
    Ok(())
}
