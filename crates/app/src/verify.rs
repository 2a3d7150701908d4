//! The judgement of a call, in the contract's order: client address, token shape and checksum, look-up, allowlist, state,
//! secret, environment, scope. A warm call is answered from memory without a wait.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use statuspulse_audit::{Action, Actor, AlertRule, Class, Event, Outcome, event::Origin};
use statuspulse_keys::{
    Token, VersionState,
    directory::{Found, OrganizationPolicy, SecretCheck},
};
use statuspulse_policy::{
    Allowlist, Catalog, ClientAddress, Code, Denial, EventId, Grant, KeyId, OrganizationId, Reason, Request,
    Requirement, Served, State,
};
use statuspulse_store::alerts::Happening;
use uuid::Uuid;

use crate::{
    app::App,
    counters::{self, Place, Rate, Subject},
    error::AppError,
    recorder::Flood,
    replica::Asker,
};

pub mod access;
mod checks;

pub(crate) use checks::SecretChecks;

use access::AccessFound;

/// Scope of those who ask about the credentials of others.
const QUESTIONS: &str = "credentials:verify";

/// What stood where a credential belongs (keys §2.4).
#[derive(Debug, Clone, Copy)]
pub enum Presented<'a> {
    /// No `Authorization` header, or another scheme.
    Missing,
    /// More than one, or a `Bearer` with anything but one token, or not ASCII.
    Malformed,
    /// One token, unread.
    Token(&'a str),
}

/// A call to be judged.
#[derive(Debug)]
pub struct Call<'a> {
    /// The credential.
    pub presented: Presented<'a>,
    /// The client's address.
    pub client: ClientAddress,
    /// Environments that the resource server serves.
    pub served: Served,
    /// What the endpoint needs, from `catalog`.
    pub requirement: Requirement<'a>,
    /// The catalog that found it.
    pub catalog: &'a Catalog,
    /// What the event of the call carries.
    pub origin: Origin,
    /// Who asks on behalf of the call: the gateway's key, or none.
    pub via: Option<Gateway>,
    /// Leave out the event of an allowed call: the request that it opens the way for writes one of its own.
    pub quiet: bool,
    /// Let a call without any credential pass where the endpoint is public. One that is presented is judged all the same.
    pub anonymous: bool,
    /// The public URL, for which access tokens must be meant; none where only keys are credentials.
    pub audience: Option<&'a str>,
    /// What a refusal stands under in the trail, and the status that the caller is answered with.
    pub refused: fn(Code) -> (Action, u16),
}

/// The usual one: a refused call is a call, and answered as its code says.
#[must_use]
pub const fn refused_call(code: Code) -> (Action, u16) {
    (Action::ApiCall, code.http_status())
}

/// A credential that a call presented.
#[derive(Debug, Clone)]
pub enum Credential {
    /// An API key.
    Key(Found),
    /// An OAuth access token.
    AccessToken(AccessFound),
}

impl Credential {
    /// The key, if it is one.
    #[must_use]
    pub fn key(self) -> Option<Found> {
        match self {
            Self::Key(found) => Some(found),
            Self::AccessToken(_) => None,
        }
    }

    /// What a call with it is judged by.
    #[must_use]
    pub fn grant(&self, app: &App) -> Option<Grant<'_>> {
        match self {
            Self::Key(found) => found.grant(),
            Self::AccessToken(found) => Some(found.grant(app)),
        }
    }

    /// Id of the key, or of the token's grant.
    #[must_use]
    pub fn id(&self) -> Uuid {
        match self {
            Self::Key(found) => found.key.key.id.as_uuid(),
            Self::AccessToken(found) => found.token.grant_id.as_uuid(),
        }
    }

    /// The organization that it acts for.
    #[must_use]
    pub fn organization(&self) -> &OrganizationPolicy {
        match self {
            Self::Key(found) => &found.organization,
            Self::AccessToken(found) => &found.organization,
        }
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Key(found) => subject_of(found),
            Self::AccessToken(found) => {
                Subject { kind: "grant", id: found.token.grant_id.as_uuid(), organization: found.organization.id }
            }
        }
    }

    fn is_canary(&self) -> bool {
        matches!(self, Self::Key(found) if found.key.key.canary)
    }

    fn allowlist(&self) -> Option<&Allowlist> {
        match self {
            Self::Key(found) => found.key.key.allowlist.as_ref(),
            Self::AccessToken(found) => found.app.allowlist.as_ref(),
        }
    }

    fn actor(&self) -> Actor {
        match self {
            Self::Key(found) => {
                Actor::ApiKey { id: found.key.key.id, version: found.version().map(|version| version.number) }
            }
            Self::AccessToken(found) => Actor::AccessToken(found.token.grant_id),
        }
    }

    fn describe(&self, detail: &mut Map<String, Value>) {
        match self {
            Self::Key(found) => {
                detail.insert("key_id".into(), json!(found.key.key.id.to_string()));
                detail.insert("environment".into(), json!(found.key.key.environment.as_str()));
            }
            Self::AccessToken(found) => {
                detail.insert("grant_id".into(), json!(found.token.grant_id.to_string()));
                detail.insert("app_id".into(), json!(found.app.id.to_string()));
                detail.insert("environment".into(), json!("production"));
            }
        }
    }
}

/// The resource server that asks.
#[derive(Debug, Clone, Copy)]
pub struct Gateway {
    /// Its key.
    pub key: KeyId,
    /// Its organization: that of calls whose own can't be told.
    pub organization: OrganizationId,
}

/// The outcome of a judgement.
#[derive(Debug)]
pub struct Verdict {
    /// What the caller is told.
    pub code: Code,
    /// The scope that is missing, or that was needed.
    pub required_scope: Option<String>,
    /// What the token named, also where the call is refused: who asks is a resource server or the holder.
    pub credential: Option<Credential>,
    /// How the key stands with its limit; none where it has none, or the call was refused for another reason.
    pub rate: Option<Rate>,
}

impl Verdict {
    /// Whether the call may pass.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.code == Code::Allowed
    }
}

/// Judges a call and puts its event into the trail.
pub async fn judge(app: &Arc<App>, call: Call<'_>) -> Verdict {
    let now = app.env.now();
    let (mut outcome, found) = decide(app, &call, now).await;
    let rate = if outcome.is_ok() { admit(app, found.as_ref()).await } else { None };
    if rate.is_some_and(|rate| rate.retry_after.is_some()) {
        outcome = Err(Code::RateLimited.into());
    }
    let denial = outcome.err();
    let code = denial.map_or(Code::Allowed, |denial| denial.code);
    let quiet = denial.is_none() && call.quiet;
    // A resource server's questions are as many as the calls that it asks about, and those count (ADR 6).
    if let Some(found) = found.as_ref().filter(|_| quiet && !is_question(&call)) {
        count(app, &call, found, None);
    }
    if !quiet && let Err(error) = note(app, &call, denial, found.as_ref(), now).await {
        tracing::error!(%error, "a call is answered by 503: its event can't be kept");
        return Verdict { code: Code::Unavailable, required_scope: None, credential: None, rate: None };
    }
    Verdict {
        code,
        required_scope: denial.and_then(|denial| denial.required_scope).map(str::to_owned),
        // A honeytoken must look like no token at all.
        // Nor is a token that is meant for another resource any business of this one.
        credential: found.filter(|found| !found.is_canary() && code != Code::Unknown),
        rate,
    }
}

/// Whether a resource server asks about somebody else's credential.
fn is_question(call: &Call<'_>) -> bool {
    matches!(call.requirement, Requirement::Scope { name: QUESTIONS, .. })
}

/// Every call that names a credential counts, whatever becomes of it.
fn count(app: &App, call: &Call<'_>, found: &Credential, event: Option<Uuid>) {
    let place = Place { route: call.requirement.route(), ip: call.client.ip(), event };
    app.counters.count(&found.subject(), &place, &app.env);
}

/// The last step: the limit of the key's rate.
async fn admit(app: &App, found: Option<&Credential>) -> Option<Rate> {
    let Some(Credential::Key(found)) = found else { return None };
    let limit = found.key.key.rate_limit_per_minute?;
    Some(counters::admit(app, &subject_of(found), limit).await)
}

/// The key as the counters know it.
pub(crate) fn subject_of(found: &Found) -> Subject {
    Subject { kind: "key", id: found.key.key.id.as_uuid(), organization: found.organization.id }
}

async fn decide<'a>(
    app: &Arc<App>,
    call: &Call<'a>,
    now: DateTime<Utc>,
) -> (Result<(), Denial<'a>>, Option<Credential>) {
    let text = match call.presented {
        Presented::Missing => {
            let public = call.anonymous && matches!(call.requirement, Requirement::Public { .. });
            return (if public { Ok(()) } else { Err(Code::Missing.into()) }, None);
        }
        Presented::Malformed => return (Err(Code::Malformed.into()), None),
        Presented::Token(text) => text,
    };
    if let Some(audience) = call.audience
        && access::looks_like_one(text)
    {
        return decide_access(app, call, text, audience, now).await;
    }
    let Ok(token) = Token::parse(text) else {
        return (Err(Code::Malformed.into()), None);
    };
    if app.replica.is_stale(app) {
        return (Err(Code::Unavailable.into()), None);
    }
    let found = match find(app, &token, call.client).await {
        Ok(Some(found)) => found,
        Ok(None) => return (Err(Code::Unknown.into()), None),
        Err(()) => return (Err(Code::Unavailable.into()), None),
    };
    let outcome = judge_found(app, call, &found, token, now).await;
    if outcome.is_ok() {
        checks::claim_if_sealed(app, &found);
    }
    (outcome, Some(Credential::Key(found)))
}

/// An access token is judged like a key: address, state, environment, scope. There is no slow hash behind it.
async fn decide_access<'a>(
    app: &Arc<App>,
    call: &Call<'a>,
    text: &str,
    audience: &str,
    now: DateTime<Utc>,
) -> (Result<(), Denial<'a>>, Option<Credential>) {
    let asker = match call.via {
        Some(_) => Asker::ResourceServer,
        None => Asker::Stranger(call.client.ip()),
    };
    let found = match access::find(app, text, audience, asker).await {
        Ok(found) => found,
        Err(code) => return (Err(code.into()), None),
    };
    let known = crate::oauth::known(call.catalog, audience);
    if !found.token.audiences.contains(audience, &known) {
        // It is meant for another resource; here it is nobody's (RFC 8707 §2).
        return (Err(Code::Unknown.into()), Some(Credential::AccessToken(found)));
    }
    let request = Request { client: call.client, served: call.served, requirement: call.requirement };
    let outcome = statuspulse_policy::decide(&found.grant(app), &request, call.catalog, now);
    (outcome, Some(Credential::AccessToken(found)))
}

async fn find(app: &Arc<App>, token: &Token, client: ClientAddress) -> Result<Option<Found>, ()> {
    let mut lookups = Vec::new();
    let in_memory = app.secrets.lookups(token, |_, lookup| {
        let found = app.replica.directory.find(&lookup);
        if found.is_none() {
            lookups.push(lookup);
        }
        found
    });
    if let Some(found) = in_memory {
        return Ok(Some(found));
    }
    app.replica.find_by_query(app, &lookups, client.ip()).await.map_err(|error| {
        tracing::warn!(%error, "a token that isn't in memory could not be looked up");
    })
}

async fn judge_found<'a>(
    app: &Arc<App>,
    call: &Call<'a>,
    found: &Found,
    token: Token,
    now: DateTime<Utc>,
) -> Result<(), Denial<'a>> {
    if found.key.key.canary {
        return Err(Code::Unknown.into());
    }
    let grant = found.grant().ok_or(Code::Unknown)?;
    let request = Request { client: call.client, served: call.served, requirement: call.requirement };
    statuspulse_policy::admit(&grant, &request, now)?;
    if found.slot.secret_check() != SecretCheck::Passed {
        checks::check_secret(app, found, &token).await?;
    }
    checks::reindex_if_due(app, found, token);
    statuspulse_policy::authorize(&grant, &request, call.catalog)
}

/// The event of the call, kept before the answer, and what it opens.
async fn note(
    app: &Arc<App>,
    call: &Call<'_>,
    denial: Option<Denial<'_>>,
    found: Option<&Credential>,
    now: DateTime<Utc>,
) -> Result<(), AppError> {
    let id = app.env.id()?;
    let code = denial.map_or(Code::Allowed, |denial| denial.code);
    let mut detail = Map::new();
    if let Some(gateway) = call.via {
        detail.insert("via".into(), json!(gateway.key.to_string()));
    }
    if let Some(found) = found {
        found.describe(&mut detail);
    }
    // Of an accepted call too: which scopes a key can do without is read out of the trail.
    let needed = match (denial, call.requirement) {
        (Some(denial), _) => denial.required_scope,
        (None, Requirement::Scope { name, .. }) => Some(name),
        (None, _) => None,
    };
    if let Some(name) = needed {
        detail.insert("required_scope".into(), json!(name));
    }
    let list = denial.and_then(|denial| denial.reason.list());
    if let (Some(list), Some(found)) = (list, found) {
        let ranges = match list {
            "organization" => found.organization().allowlist.as_ref(),
            _ => found.allowlist(),
        };
        let ranges: Vec<Value> = ranges
            .map(|ranges| ranges.entries().iter().map(|cidr| json!(cidr.to_string())).collect())
            .unwrap_or_default();
        detail.insert("list".into(), json!(list));
        detail.insert("allowed_cidrs".into(), Value::Array(ranges));
    }
    if found.is_some_and(Credential::is_canary) {
        detail.insert("canary".into(), json!(true));
    }
    let latency = app.env.now().signed_duration_since(now).num_microseconds().unwrap_or_default();
    detail.insert("latency_us".into(), json!(latency.max(0)));
    let (action, status) = if denial.is_some() { (call.refused)(code) } else { refused_call(code) };
    let event = Event {
        id: EventId::from_uuid(id),
        occurred_at: now,
        class: if code == Code::Allowed { Class::C } else { Class::B },
        action,
        outcome: Outcome::of_status(code.http_status()),
        reason: denial.map(|denial| denial.reason.as_str()),
        organization_id: found
            .map(|found| found.organization().id)
            .or_else(|| call.via.map(|gateway| gateway.organization)),
        actor: found.map_or(Actor::Unknown, Credential::actor),
        origin: Origin {
            route: call.requirement.route().map(str::to_owned),
            ip: call.client.ip(),
            ..call.origin.clone()
        },
        status: Some(status),
        detail,
    };
    if let Some(found) = found {
        count(app, call, found, Some(event.id.as_uuid()));
    }
    match found {
        Some(Credential::Key(found)) => raise_alerts(app, call, denial, found, &event),
        Some(Credential::AccessToken(found)) => raise_access_alerts(app, call, denial, found, &event),
        None => {}
    }
    match (found, event.reason) {
        (None, Some(reason)) if matches!(code, Code::Unknown | Code::Malformed) => {
            app.recorder.keep_of_stranger(app, &event, Flood::new(event.origin.ip, reason)).await
        }
        _ => app.recorder.keep(app, &event).await,
    }
}

/// A token that reaches beyond its scopes is looked at; a dead one is not: apps learn of a revocation by its refusal.
fn raise_access_alerts(
    app: &Arc<App>,
    call: &Call<'_>,
    denial: Option<Denial<'_>>,
    found: &AccessFound,
    event: &Event,
) {
    let Some(denial) = denial.filter(|denial| denial.code == Code::InsufficientScope) else { return };
    let subject = ("grant", found.token.grant_id);
    let mut happening = happening(AlertRule::OutOfScope, found.organization.id, subject, call, event)
        .with("app_id", found.app.id.to_string());
    if let Some(scope) = denial.required_scope {
        happening = happening.with("required_scope", scope);
    }
    app.recorder.alert(happening);
}

fn raise_alerts(app: &Arc<App>, call: &Call<'_>, denial: Option<Denial<'_>>, found: &Found, event: &Event) {
    let Some(denial) = denial else { return };
    let key = &found.key.key;
    let superseded = found.version().is_some_and(|version| version.state == VersionState::Superseded);
    let rule = match denial.code {
        Code::Unknown if key.canary => AlertRule::CanaryUsed,
        Code::InsufficientScope => AlertRule::OutOfScope,
        Code::Revoked if superseded && key.revoked_at.is_none() => AlertRule::RotatedKeyUsed,
        Code::Revoked => AlertRule::RevokedKeyUsed,
        _ => return,
    };
    let mut happening = happening(rule, found.organization.id, ("key", key.id), call, event);
    if let Some(scope) = denial.required_scope {
        happening = happening.with("required_scope", scope);
    }
    if let (AlertRule::RotatedKeyUsed, Some(version)) = (rule, found.version()) {
        happening = happening.with("used_version", version.number).with("current_version", key.current_version);
        checks::apply_reuse_policy(app, found);
    }
    app.recorder.alert(happening);
}

fn happening(
    rule: AlertRule,
    organization: OrganizationId,
    subject: (&'static str, impl ToString),
    call: &Call<'_>,
    event: &Event,
) -> Happening {
    Happening::new(rule, Some(organization), subject, event.occurred_at)
        .with("request_id", json!(event.origin.request_id.map(|id| id.to_string())))
        .at_place(call.requirement.route(), call.client.ip().and_then(network_of))
        .of_event(event.id.as_uuid())
}

/// Puts into the trail that a key stood in a URL, and tells its owner when it is a live one. Looks in memory only: a
/// stranger's text must not cost a query.
///
/// # Errors
/// 503 when the event can't be kept.
pub async fn note_in_url(app: &Arc<App>, text: &str, origin: Origin) -> Result<(), AppError> {
    let now = app.env.now();
    let Ok(token) = Token::parse(text) else { return Ok(()) };
    let id = app.env.id()?;
    let found = app.secrets.lookups(&token, |_, lookup| app.replica.directory.find(&lookup));
    let live = found
        .as_ref()
        .filter(|found| found.grant().is_some_and(|grant| matches!(grant.state(now), State::Active | State::Disabled)));
    let mut detail = Map::new();
    if let Some(found) = &found {
        detail.insert("key_id".into(), json!(found.key.key.id.to_string()));
    }
    if let Some(found) = live {
        let subject = ("key", found.key.key.id);
        let happening = Happening::new(AlertRule::CredentialInUrl, Some(found.organization.id), subject, now)
            .with("request_id", json!(origin.request_id.map(|id| id.to_string())))
            .at_place(None, origin.ip.and_then(network_of))
            .of_event(id);
        app.recorder.alert(happening);
    }
    let event = Event {
        id: EventId::from_uuid(id),
        occurred_at: now,
        class: Class::B,
        action: Action::CredentialInUrl,
        outcome: Outcome::Denied,
        reason: Some("credential_in_url"),
        organization_id: found.as_ref().map(|found| found.organization.id),
        actor: found.as_ref().map_or(Actor::Unknown, |found| Actor::ApiKey { id: found.key.key.id, version: None }),
        origin,
        status: None,
        detail,
    };
    match (found, event.origin.ip) {
        // A flood of made-up keys in URLs is one of unknown tokens.
        (None, ip) => app.recorder.keep_of_stranger(app, &event, Flood::new(ip, "credential_in_url")).await,
        (Some(_), _) => app.recorder.keep(app, &event).await,
    }
}

/// The network of an address that an alert's evidence names: a /24 or a /48.
pub(crate) fn network_of(ip: std::net::IpAddr) -> Option<String> {
    let length = if ip.is_ipv4() { 24 } else { 48 };
    statuspulse_policy::Cidr::enclosing(ip, length).map(|network| network.to_string())
}

/// The reason word of a refusal without more to say, for events that are written elsewhere.
#[must_use]
pub fn reason_of(code: Code) -> &'static str {
    Reason::Code(code).as_str()
}
