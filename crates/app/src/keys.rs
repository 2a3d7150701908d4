//! Keys: create, list, show, change, rotate, revoke, switch off and on, and explain.

use std::{borrow::Cow, collections::BTreeMap};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use statuspulse_audit::redact::redact;
use statuspulse_keys::{
    Creator, Key, KeyVersion, Status, VersionState,
    directory::KeySnapshot,
    key::check_name,
    lifespan::LifespanCaps,
    successor::{self as prepared, Successor},
};
use statuspulse_policy::{AllowAny, Allowlist, Environment, KeyId, OrganizationId, ScopeSet};
use statuspulse_store::{
    Conn,
    keys::{self, KeyFilter},
    organizations,
    page::Position,
    users,
};

use crate::{
    app::App,
    caller::{Access, Right},
    cursor::{self, List},
    error::{AppError, FieldError, allowlist_errors, scope_errors},
};

mod allowlists;
mod bulk;
mod change;
mod create;
mod explain;
mod history;
pub mod idle;
mod inventory;
pub mod notices;
mod rotate;
mod sealing;
mod sources;
mod state;
pub mod successor;

pub use allowlists::{AddRanges, Added, Choice, PreviewedKey, Untouched, add_ranges, preview_ranges};
pub use bulk::{BulkFilter, BulkOutcome, revoke_many};
pub use change::{KeyChange, change, set_allowlist};
pub use create::{CreateKey, create};
pub use explain::{ExplainCall, explain};
pub use history::{Usage, VersionPage, VersionView, usage, versions};
pub use inventory::{AskInventory, Attention, Wanting, inventory};
pub use rotate::{RotateKey, Rotated, rotate};
pub use sources::{Preview, Source, Suggestions, preview, suggest};
pub use state::{Receipt, Switch, revoke_in_background, switch};
pub(crate) use state::{set as switch_in, switch_off};

/// At most this many keys of an organization are neither revoked nor expired.
pub const KEY_LIMIT: i64 = 500;
/// The longest note of a network in an allowlist.
const NOTE_LENGTH: usize = 200;

/// A key as it is shown.
#[derive(Debug, Clone)]
pub struct KeyView {
    /// The key.
    pub key: Key,
    /// Its current version.
    pub current: KeyVersion,
    /// Status at the moment of reading.
    pub status: Status,
    /// When the current version ends under today's caps.
    pub ends_at: DateTime<Utc>,
    /// Slug of its organization.
    pub organization: String,
    /// Address of the person who made it.
    pub created_by_email: Option<String>,
    /// How its successor stands.
    pub successor: Option<Successor>,
}

/// A key with the only answer that shows its token.
#[derive(Debug)]
pub struct Issued {
    /// The key.
    pub view: KeyView,
    /// The token.
    pub token: statuspulse_keys::Token,
    /// What is allowed but deserves a second look.
    pub warnings: Vec<Warning>,
}

/// Something that is allowed but deserves a second look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Stable word.
    pub code: &'static str,
    /// Path of the field.
    pub field: String,
    /// For people.
    pub detail: String,
}

/// One page of a list.
#[derive(Debug)]
pub struct Page {
    /// The keys, newest first.
    pub items: Vec<KeyView>,
    /// How to ask for the next page, if there is one.
    pub next_cursor: Option<String>,
}

/// What a list of keys is asked for, as it comes from outside.
#[derive(Debug, Clone, Default)]
pub struct ListKeys {
    /// Only this environment.
    pub environment: Option<String>,
    /// Only this status.
    pub status: Option<String>,
    /// Part of the name in any case, or a whole id or hint.
    pub text: Option<String>,
    /// Keys of one page, 1 to 200.
    pub limit: Option<i64>,
    /// From the page before.
    pub cursor: Option<String>,
}

/// Lists the keys of an organization, newest first.
///
/// # Errors
/// 422 for an unknown filter value or a limit out of bounds, 400 for a cursor of another list.
pub async fn list(app: &App, access: &Access, asked: &ListKeys) -> Result<Page, AppError> {
    let mut errors = Vec::new();
    let environment = asked.environment.as_deref().and_then(|name| {
        let read = name.parse::<Environment>();
        read.map_err(|error| errors.push(FieldError::new("environment", "unknown_environment", error.to_string()))).ok()
    });
    let status = asked.status.as_deref().and_then(|word| {
        let read = Status::from_word(word);
        if read.is_none() {
            let detail = "a status is `active`, `disabled`, `expired` or `revoked`";
            errors.push(FieldError::new("status", "unknown_status", detail));
        }
        read
    });
    let limit = asked.limit.unwrap_or(50);
    if !(1..=200).contains(&limit) {
        errors.push(FieldError::new("limit", "out_of_bounds", "a page has 1 to 200 items"));
    }
    if asked.text.as_ref().is_some_and(|text| text.chars().count() > 200 || text.contains('\0')) {
        errors.push(FieldError::new("q", "invalid_text", "a search has at most 200 characters and no NUL"));
    }
    if !errors.is_empty() {
        return Err(AppError::Invalid(errors));
    }
    let filters = Value::from_iter([
        ("environment", Value::from(asked.environment.clone())),
        ("status", Value::from(asked.status.clone())),
        ("q", Value::from(asked.text.clone())),
    ])
    .to_string();
    let list = List { name: "keys", organization: access.organization.id, filters: &filters };
    let after = asked.cursor.as_deref().map(|cursor| cursor::read(&app.secrets, &list, cursor)).transpose()?;
    let filter = KeyFilter {
        environment,
        status,
        text: asked.text.clone().filter(|text| !text.is_empty()),
        ..KeyFilter::default()
    };
    let now = app.env.now();
    let caps = access.organization.settings.caps;
    let mut conn = app.conn().await?;
    // One more than asked for says whether there is a next page.
    let mut rows = keys::list(&mut conn, access.organization.id, &filter, &caps, now, after, limit + 1).await?;
    let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > limit;
    rows.truncate(usize::try_from(limit).unwrap_or_default());
    let next_cursor = rows.last().filter(|_| more).map(|last| {
        let position = Position { created_at: last.key.created_at, id: last.key.id.as_uuid() };
        cursor::write(&app.secrets, &list, position)
    });
    let pairs = rows.into_iter().map(|row| (row.key, row.current)).collect();
    let items = views(&mut conn, access, pairs, now).await?;
    Ok(Page { items, next_cursor })
}

/// One key.
///
/// # Errors
/// 404.
pub async fn show(app: &App, access: &Access, id: KeyId) -> Result<KeyView, AppError> {
    let mut conn = app.conn().await?;
    let snapshot = keys::find(&mut conn, Some(access.organization.id), id).await?.ok_or(AppError::NotFound("key"))?;
    view(&mut conn, access, snapshot, app.env.now()).await
}

/// A key about itself.
///
/// # Errors
/// 503.
pub async fn show_own(app: &App, organization: OrganizationId, id: KeyId) -> Result<KeyView, AppError> {
    let mut conn = app.conn().await?;
    let organization =
        organizations::by_id(&mut conn, organization).await?.ok_or(AppError::NotFound("organization"))?;
    let access = Access { organization, right: Right::Reader };
    let snapshot = keys::find(&mut conn, Some(access.organization.id), id).await?.ok_or(AppError::NotFound("key"))?;
    view(&mut conn, &access, snapshot, app.env.now()).await
}

/// The organization of a key, for operators, who name keys by their id alone.
///
/// # Errors
/// 404.
pub async fn operator_access(app: &App, id: KeyId) -> Result<Access, AppError> {
    let mut conn = app.conn().await?;
    let snapshot = keys::find(&mut conn, None, id).await?.ok_or(AppError::NotFound("key"))?;
    crate::organizations::operator_access(&mut conn, snapshot.key.organization_id).await
}

pub(crate) async fn view(
    conn: &mut Conn,
    access: &Access,
    snapshot: KeySnapshot,
    now: DateTime<Utc>,
) -> Result<KeyView, AppError> {
    let current = current_of(&snapshot)?.clone();
    let mut all = views(conn, access, vec![(snapshot.key, current)], now).await?;
    all.pop().ok_or_else(|| AppError::internal("one key makes one view"))
}

async fn views(
    conn: &mut Conn,
    access: &Access,
    pairs: Vec<(Key, KeyVersion)>,
    now: DateTime<Utc>,
) -> Result<Vec<KeyView>, AppError> {
    let makers: Vec<_> = pairs
        .iter()
        .filter_map(|(key, _)| match &key.created_by {
            Creator::User(id) => Some(id.as_uuid()),
            Creator::Operator(_) => None,
        })
        .collect();
    let people = if makers.is_empty() { Vec::new() } else { users::by_ids(conn, &makers).await? };
    let caps = access.organization.settings.caps;
    let ids: Vec<KeyId> = pairs.iter().map(|(key, _)| key.id).collect();
    let mut beside = keys::beside_current(conn, &ids, now).await?;
    Ok(pairs
        .into_iter()
        .map(|(key, current)| KeyView {
            successor: {
                let mut versions = beside.remove(&key.id).unwrap_or_default();
                versions.push(current.clone());
                prepared::standing(&KeySnapshot { key: key.clone(), versions }, &current, &caps, now)
            },
            status: key.status(&current, &caps, now),
            ends_at: caps.effective_end(key.environment, current.created_at, current.expires_at),
            organization: access.organization.slug.clone(),
            created_by_email: match &key.created_by {
                Creator::User(id) => people.iter().find(|user| user.id == *id).map(|user| user.email.clone()),
                Creator::Operator(_) => None,
            },
            key,
            current,
        })
        .collect())
}

pub(crate) fn current_of(snapshot: &KeySnapshot) -> Result<&KeyVersion, AppError> {
    let number = snapshot.key.current_version;
    let current = snapshot.versions.iter().find(|version| version.number == number);
    current.ok_or_else(|| AppError::internal(format!("key {} has no version {number}", snapshot.key.id)))
}

pub(crate) fn current_status(
    snapshot: &KeySnapshot,
    caps: &LifespanCaps,
    now: DateTime<Utc>,
) -> Result<Status, AppError> {
    Ok(snapshot.key.status(current_of(snapshot)?, caps, now))
}

/// Reads scopes or a preset, and judges them against the environment, where there is one.
fn scopes_for(
    app: &App,
    environment: Option<Environment>,
    scopes: Option<&[String]>,
    preset: Option<&str>,
) -> Result<ScopeSet, AppError> {
    let catalog = app.catalog.load();
    let (set, field) = match (scopes, preset) {
        (Some(_), Some(_)) => {
            return Err(AppError::field("preset", "scopes_and_preset", "give either scopes or a preset, not both"));
        }
        (None, None) => {
            return Err(AppError::field("scopes", "required", "give scopes or a preset; an empty list means nothing"));
        }
        (Some(names), None) => (catalog.parse_scopes(names).map_err(|error| scope_errors("scopes", &error))?, "scopes"),
        (None, Some(name)) => {
            let preset = catalog.preset(name);
            let known = || catalog.presets().iter().map(|preset| preset.name.as_str()).collect::<Vec<_>>().join("`, `");
            let unknown = || AppError::field("preset", "unknown_preset", format!("a preset is one of `{}`", known()));
            (preset.ok_or_else(unknown)?.scopes, "preset")
        }
    };
    let Some(environment) = environment else { return Ok(set) };
    let forbidden = set.difference(catalog.mask(environment));
    if forbidden.is_empty() {
        return Ok(set);
    }
    let error = |field: String, name: &str| {
        let detail = format!("a key for {environment} can't hold `{name}`");
        FieldError::new(field, "scope_not_allowed_in_environment", detail)
    };
    let names = catalog.names(forbidden);
    Err(AppError::Invalid(match scopes {
        // Each at its first place: a scope may be named twice.
        Some(given) => {
            let mut at: Vec<_> =
                names.iter().filter_map(|name| Some((given.iter().position(|scope| scope == name)?, *name))).collect();
            at.sort_unstable();
            at.into_iter().map(|(index, name)| error(format!("{field}[{index}]"), name)).collect()
        }
        None => vec![error(field.to_owned(), &names.join("`, `"))],
    }))
}

/// Reads an allowlist. Wide networks take an owner or admin who says so.
fn allowlist_for(access: &Access, entries: Option<&[String]>, allow_any: bool) -> Result<Option<Allowlist>, AppError> {
    if allow_any && !access.administers() {
        return Err(AppError::forbidden("role_not_sufficient", "only an owner or admin may allow any address"));
    }
    let width = if allow_any { AllowAny::Yes } else { AllowAny::No };
    entries
        .map(|entries| Allowlist::parse(entries, width))
        .transpose()
        .map_err(|error| allowlist_errors("allowed_cidrs", &error))
}

fn allowlist_warnings(environment: Environment, allowlist: Option<&Allowlist>) -> Vec<Warning> {
    let Some(list) = allowlist else { return Vec::new() };
    let mut warnings = Vec::new();
    for (index, cidr) in list.entries().iter().enumerate() {
        let field = format!("allowed_cidrs[{index}]");
        if cidr.is_everything() {
            let detail = format!("`{cidr}` lets the key be used from any address of its family");
            warnings.push(Warning { code: "allows_everything", field, detail });
        } else if cidr.length() < cidr.shortest_length() {
            let detail = format!("`{cidr}` is a very wide network");
            warnings.push(Warning { code: "wide_network", field, detail });
        } else if cidr.is_private() && environment == Environment::Production {
            let detail = format!("`{cidr}` is a private network; it only helps where networks are peered");
            warnings.push(Warning { code: "private_network", field, detail });
        }
    }
    warnings
}

fn check_key_name(name: &str) -> Result<(), AppError> {
    check_name(name).map_err(|error| AppError::field("name", "invalid_name", error.to_string()))?;
    refuse_secret("name", name)
}

/// People paste the wrong thing into the wrong box; a secret must not end up in a table that many can read.
pub(crate) fn refuse_secret(field: &str, text: &str) -> Result<(), AppError> {
    if matches!(redact(text), Cow::Borrowed(_)) {
        return Ok(());
    }
    Err(AppError::field(field, "holds_secret", "this text holds a token or another secret; take it out"))
}

fn check_rate_limit(limit: Option<i64>) -> Result<Option<u32>, AppError> {
    let Some(limit) = limit else { return Ok(None) };
    u32::try_from(limit).ok().filter(|limit| (1..=1_000_000).contains(limit)).map(Some).ok_or_else(|| {
        AppError::field("rate_limit_per_minute", "out_of_bounds", "a limit is 1 to 1,000,000 calls, or null for none")
    })
}

/// An age recipient (X25519). Whoever sets it decides who gets the next token, so owner and admin do.
fn check_recipient(access: &Access, recipient: Option<&str>) -> Result<(), AppError> {
    let Some(recipient) = recipient else { return Ok(()) };
    if !access.administers() {
        return Err(AppError::forbidden("role_not_sufficient", "only an owner or admin may set a recipient"));
    }
    if sealing::recipient(recipient).is_some() {
        Ok(())
    } else {
        Err(AppError::field("successor_public_key", "invalid_recipient", "this is not an age recipient (`age1…`)"))
    }
}

fn environment_of(name: &str) -> Result<Environment, AppError> {
    let read = name.parse::<Environment>();
    read.map_err(|error| AppError::field("environment", "unknown_environment", error.to_string()))
}

/// Notes belong to networks of the list, in their canonical form.
fn notes_for(
    field: &str,
    allowlist: Option<&Allowlist>,
    notes: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, AppError> {
    let mut kept = BTreeMap::new();
    let mut errors = Vec::new();
    for (network, note) in notes {
        let field = format!("{field}.{network}");
        let listed = network
            .parse::<statuspulse_policy::Cidr>()
            .ok()
            .filter(|cidr| allowlist.is_some_and(|list| list.entries().contains(cidr)));
        if note.chars().count() > NOTE_LENGTH || note.chars().any(char::is_control) {
            errors.push(FieldError::new(
                field,
                "invalid_note",
                "a note has at most 200 characters, no control characters",
            ));
        } else if let Err(AppError::Invalid(secret)) = refuse_secret(&field, &note) {
            errors.extend(secret);
        } else if let Some(cidr) = listed {
            kept.insert(cidr.to_string(), note);
        } else {
            errors.push(FieldError::new(field, "not_in_allowlist", "a note belongs to a network of the allowlist"));
        }
    }
    if errors.is_empty() { Ok(kept) } else { Err(AppError::Invalid(errors)) }
}

/// Refuses a change of a key that is dead for good.
fn refuse_revoked(key: &Key) -> Result<(), AppError> {
    if key.revoked_at.is_some() {
        Err(AppError::conflict("key_revoked", "the key is revoked; a revoked key never comes back"))
    } else {
        Ok(())
    }
}

fn facts<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A row that changed between reading it under a lock and writing it can only have been written around the lock.
pub(crate) fn lost_race() -> AppError {
    AppError::Unavailable { cause: "a locked key changed under the lock".into() }
}

/// What came of one key in a round of many: one that can't be looked after must not keep the others from it. An outage ends
/// the round; the next one goes on.
fn one_of_many(id: KeyId, outcome: Result<bool, AppError>) -> Result<bool, AppError> {
    match outcome {
        Err(error @ AppError::Unavailable { .. }) => Err(error),
        Err(error) => {
            tracing::error!(key = %id, %error, "a key could not be looked after");
            Ok(false)
        }
        done => done,
    }
}

/// Refuses what only a key that has not ended may do.
fn refuse_ended(status: Status) -> Result<(), AppError> {
    match status {
        Status::Active | Status::Disabled => Ok(()),
        Status::Revoked => Err(AppError::conflict("key_revoked", "the key is revoked; create a new one")),
        Status::Expired => Err(AppError::conflict("key_expired", "the key has expired; create a new one")),
    }
}

fn is_running(state: VersionState) -> bool {
    matches!(state, VersionState::Live | VersionState::Superseded)
}
