//! The allowlists of many keys at once: ranges are added to each list, in one transaction or not at all (policy §4).

use std::collections::{BTreeMap, HashMap};

use chrono::Duration;
use statuspulse_audit::{Action, Class};
use statuspulse_keys::{Key, Status, directory::KeySnapshot};
use statuspulse_policy::{AllowAny, Allowlist, AllowlistError, Cidr, Environment, KeyId, MAX_ENTRIES, OrganizationId};
use statuspulse_store::{
    AsyncConnection as _, Conn,
    audit::{
        trail::Filter,
        uses::{KeySource, SourceRow, sources_of_keys},
    },
    feed,
    keys::{self, KeyFilter, ListedKey},
    organizations,
};

use super::{
    KeyChange, KeyView, Preview, Warning, allowlist_warnings,
    change::{Judged, LOOK_BACK, blocked_sources, unknown_sources},
    create::Errors,
    current_of, environment_of,
    inventory::living,
    notes_for, refuse_ended,
    sources::{judge, preview_days},
    views,
};
use crate::{
    app::App,
    audit::read,
    caller::{Access, Caller},
    error::{AppError, FieldError, allowlist_errors},
};

/// Keys that may be named, at most.
const MOST_KEYS: usize = 200;
/// Sources of each key that a preview names, at most.
const SOURCES: usize = 20;

/// Which keys are meant, as it comes from outside: those that are named, or the living ones of an environment.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// 1 to 200 ids of living keys.
    pub keys: Option<Vec<String>>,
    /// An environment.
    pub environment: Option<String>,
}

enum Chosen {
    Keys(Vec<KeyId>),
    Environment(Environment),
}

impl Choice {
    fn read(&self) -> Result<Chosen, AppError> {
        match (&self.keys, &self.environment) {
            (Some(_), Some(_)) => Err(AppError::field(
                "environment",
                "keys_and_environment",
                "give either keys or an environment, not both",
            )),
            (None, None) => Err(AppError::field("keys", "required", "give keys by their ids, or an environment")),
            (None, Some(name)) => environment_of(name).map(Chosen::Environment),
            (Some(ids), None) if !(1..=MOST_KEYS).contains(&ids.len()) => {
                Err(AppError::field("keys", "out_of_bounds", "1 to 200 keys; more of them by their environment"))
            }
            (Some(ids), None) => {
                let mut errors = Errors::default();
                let read = ids.iter().enumerate().filter_map(|(index, id)| {
                    errors.check(id.parse::<KeyId>().map_err(|_| AppError::Invalid(vec![unknown_key(index)])))
                });
                let read: Vec<KeyId> = read.collect();
                errors.finish().map(|()| Chosen::Keys(read))
            }
        }
    }
}

fn unknown_key(index: usize) -> FieldError {
    FieldError::new(format!("keys[{index}]"), "unknown_key", "there is no such key in this organization")
}

/// The keys that are meant, newest first; locked in the order of their ids where they are to be changed. A named key that is
/// not there or is not alive is an error, one of an environment is left out.
async fn find(
    app: &App,
    conn: &mut Conn,
    access: &Access,
    chosen: &Chosen,
    locked: bool,
) -> Result<Vec<ListedKey>, AppError> {
    let (organization, caps) = (access.organization.id, access.organization.settings.caps);
    let ids = match chosen {
        Chosen::Keys(ids) => ids.clone(),
        Chosen::Environment(environment) => {
            let living = living(conn, access, Some(*environment), app.env.now()).await?;
            living.iter().map(|listed| listed.key.id).collect()
        }
    };
    if locked {
        keys::lock_all(conn, organization, &ids).await?;
    }
    let limit = i64::try_from(ids.len()).map_err(AppError::internal)?;
    let filter = KeyFilter { ids: Some(ids), ..KeyFilter::default() };
    // Read behind the locks: what was changed, or has ended, while they were waited for is seen.
    let now = app.env.now();
    let mut found = keys::list(conn, organization, &filter, &caps, now, None, limit).await?;
    let status = |listed: &ListedKey| listed.key.status(&listed.current, &caps, now);
    let Chosen::Keys(ids) = chosen else {
        found.retain(|listed| matches!(status(listed), Status::Active | Status::Disabled));
        return Ok(found);
    };
    let mut errors = Errors::default();
    for (index, id) in ids.iter().enumerate() {
        let judged = match found.iter().find(|listed| listed.key.id == *id) {
            None => Err(AppError::Invalid(vec![unknown_key(index)])),
            Some(listed) => refuse_ended(status(listed)).map_err(|error| {
                AppError::field(format!("keys[{index}]"), error.code(), format!("{}: {error}", listed.key.name))
            }),
        };
        errors.check(judged);
    }
    errors.finish().map(|()| found)
}

/// Why a key was left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untouched {
    /// It has no list: the ranges would turn "from anywhere" into "only from here", which wants to be said.
    NoList,
    /// Its list has them all.
    AlreadyListed,
    /// Its list may hold networks of any width.
    AllowsAny,
}

impl Untouched {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoList => "no_list",
            Self::AlreadyListed => "already_listed",
            Self::AllowsAny => "allows_any",
        }
    }
}

/// The list of a key with these ranges behind those that are there, and which of them are new to it.
fn grown(key: &Key, add: &Allowlist, create_lists: bool) -> Result<(Vec<Cidr>, Vec<Cidr>), Untouched> {
    if key.allow_any {
        return Err(Untouched::AllowsAny);
    }
    let held = match &key.allowlist {
        None if !create_lists => return Err(Untouched::NoList),
        list => list.as_ref().map(Allowlist::entries).unwrap_or_default(),
    };
    let fresh: Vec<Cidr> = add.entries().iter().copied().filter(|cidr| !held.contains(cidr)).collect();
    if fresh.is_empty() {
        return Err(Untouched::AlreadyListed);
    }
    Ok(([held, &fresh].concat(), fresh))
}

/// The change that brings a key to its grown list: notes go with the ranges that are new to it.
fn change_to(key: &Key, (list, fresh): (&[Cidr], &[Cidr]), notes: &BTreeMap<String, String>) -> KeyChange {
    let named = fresh.iter().filter_map(|cidr| notes.get_key_value(&cidr.to_string()));
    let named: Vec<_> = named.map(|(network, note)| (network.clone(), note.clone())).collect();
    KeyChange {
        allowed_cidrs: Some(Some(list.iter().map(Cidr::to_string).collect())),
        allowlist_notes: (!named.is_empty()).then(|| key.allowlist_notes.clone().into_iter().chain(named).collect()),
        ..KeyChange::default()
    }
}

/// The error of one of many keys names it.
fn of_key((id, name): (KeyId, &str), error: AppError) -> AppError {
    match error {
        AppError::Invalid(fields) => {
            let named = |field: FieldError| {
                FieldError::new(format!("keys.{id}"), field.code, format!("{name}: {}", field.detail))
            };
            AppError::Invalid(fields.into_iter().map(named).collect())
        }
        AppError::Forbidden { code, detail } => {
            AppError::Forbidden { code, detail: format!("key {id} ({name}): {detail}") }
        }
        other => other,
    }
}

/// Ranges for many keys, as they come from outside.
#[derive(Debug, Clone, Default)]
pub struct AddRanges {
    /// 1 to 50 networks.
    pub add: Vec<String>,
    /// Notes by network of `add`. They go with ranges that are new to a key; what is there keeps its own.
    pub notes: BTreeMap<String, String>,
    /// The keys.
    pub choice: Choice,
    /// Whether keys without a list get one.
    pub create_lists: bool,
}

/// What became of the keys.
#[derive(Debug)]
pub struct Added {
    /// Those that were changed, with what deserves a second look.
    pub changed: Vec<(KeyView, Vec<Warning>)>,
    /// Those that were left as they are.
    pub unchanged: Vec<(KeyId, Untouched)>,
}

/// Adds ranges to the lists of many keys: all of them in one transaction, each with its event, under one number of the feed.
///
/// # Errors
/// 422 by field, those of one key under `keys.ID`, and 403 when the caller may not hand out the scopes of a key that would be
/// changed. Nothing is changed then.
pub async fn add_ranges(app: &App, caller: &Caller, access: &Access, wanted: AddRanges) -> Result<Added, AppError> {
    access.require_writer()?;
    let mut errors = Errors::default();
    let chosen = errors.check(wanted.choice.read());
    let add = Allowlist::parse(&wanted.add, AllowAny::No).map_err(|error| allowlist_errors("add", &error));
    let add = errors.check(add);
    // Where the ranges can't be read, nothing can be said of the notes on them.
    let notes = add.as_ref().and_then(|add| errors.check(notes_for("notes", Some(add), wanted.notes)));
    errors.finish()?;
    let (Some(chosen), Some(add), Some(notes)) = (chosen, add, notes) else {
        return Err(AppError::internal("what was read without an error is there"));
    };
    let mut conn = app.conn().await?;
    let (changed, unchanged) = conn
        .transaction(async |conn| {
            let (mut judged, mut unchanged, mut errors) = (Vec::new(), Vec::new(), Errors::default());
            let found = find(app, conn, access, &chosen, true).await?;
            // Behind the locks, which may have been waited for: what the organization lets people do now.
            let organization =
                organizations::by_id(conn, access.organization.id).await?.ok_or(AppError::NotFound("organization"))?;
            let today = Access { organization, right: access.right };
            let now = app.env.now();
            for ListedKey { key, current } in found {
                let (list, fresh) = match grown(&key, &add, wanted.create_lists) {
                    Ok(grown) => grown,
                    Err(reason) => {
                        unchanged.push((key.id, reason));
                        continue;
                    }
                };
                let change = change_to(&key, (&list, &fresh), &notes);
                let (id, name) = (key.id, key.name.clone());
                let snapshot = KeySnapshot { key, versions: vec![current] };
                let one = Judged::of(app, &today, snapshot, &change, now);
                judged.extend(errors.check(one.map_err(|error| of_key((id, &name), error))));
            }
            errors.finish()?;
            for one in &judged {
                let event = caller.event(app, Class::A, Action::KeyUpdate, Some(access.organization.id))?;
                one.record(app, conn, event).await?;
            }
            let mut pairs = Vec::with_capacity(judged.len());
            if !judged.is_empty() {
                // All other changes wait from here to the commit: nothing that could be done elsewhere.
                let sequence = feed::next(conn).await?;
                for one in judged {
                    let snapshot = one.write(conn, sequence).await?;
                    let current = current_of(&snapshot)?.clone();
                    pairs.push((snapshot.key, current));
                }
            }
            Ok::<_, AppError>(((today, pairs, now), unchanged))
        })
        .await?;
    let (today, pairs, now) = changed;
    if pairs.is_empty() {
        return Ok(Added { changed: Vec::new(), unchanged });
    }
    let changed = views(&mut conn, &today, pairs, now).await?;
    drop(conn);
    caller.mark_recorded();
    app.replica.catch_up().await;
    Ok(Added { changed: warned(app, access.organization.id, changed).await, unchanged })
}

/// The warnings of new lists that are in force by now; a look back that takes too long only costs its warnings.
async fn warned(app: &App, organization: OrganizationId, changed: Vec<KeyView>) -> Vec<(KeyView, Vec<Warning>)> {
    let ids: Vec<KeyId> = changed.iter().map(|view| view.key.id).collect();
    let since = app.env.now() - LOOK_BACK;
    let sources = async {
        let mut conn = app.pool.get().await?;
        sources_of_keys(&mut conn, organization, &ids, since).await
    };
    let mut sources = match sources.await {
        Ok(Some(sources)) => Ok(by_key(sources)),
        Ok(None) => Err(unknown_sources(&"too many sources")),
        Err(error) => Err(unknown_sources(&error)),
    };
    let warned = |view: KeyView| {
        let list = view.key.allowlist.as_ref();
        let mut warnings = allowlist_warnings(view.key.environment, list);
        match (&mut sources, list) {
            (Ok(sources), Some(list)) => {
                warnings.extend(blocked_sources(list, &sources.remove(&view.key.id).unwrap_or_default()));
            }
            (Ok(_), None) => {}
            (Err(unknown), _) => warnings.push(unknown.clone()),
        }
        (view, warnings)
    };
    changed.into_iter().map(warned).collect()
}

fn by_key(sources: Vec<KeySource>) -> HashMap<KeyId, Vec<SourceRow>> {
    let mut by_key: HashMap<KeyId, Vec<SourceRow>> = HashMap::new();
    for found in sources {
        by_key.entry(found.key).or_default().push(found.source);
    }
    by_key
}

/// What ranges would do to one key.
#[derive(Debug)]
pub struct PreviewedKey {
    /// The key as it is.
    pub key: Key,
    /// The list that it would have; none: any address.
    pub list: Option<Allowlist>,
    /// Its past calls under that list, with 20 sources at most.
    pub preview: Preview,
}

/// Which past calls of many keys their grown lists would have refused, as if lists were created where there are none. No
/// ranges: the lists as they are. Networks may have any width here. Changes nothing.
///
/// # Errors
/// 422 by field, those of one key under `keys.ID`, 503 when the look back takes too long.
pub async fn preview_ranges(
    app: &App,
    caller: &Caller,
    access: &Access,
    choice: &Choice,
    add: &[String],
    days: Option<i64>,
) -> Result<Vec<PreviewedKey>, AppError> {
    let mut errors = Errors::default();
    let days = errors.check(preview_days(days));
    let chosen = errors.check(choice.read());
    let add = (!add.is_empty())
        .then(|| Allowlist::parse(add, AllowAny::Yes).map_err(|error| allowlist_errors("add", &error)));
    let add = errors.check(add.transpose()).flatten();
    errors.finish()?;
    let (Some(days), Some(chosen)) = (days, chosen) else {
        return Err(AppError::internal("what was read without an error is there"));
    };
    app.recorder.settle().await;
    let mut conn = app.conn().await?;
    let (mut wanted, mut errors) = (Vec::new(), Errors::default());
    for ListedKey { key, .. } in find(app, &mut conn, access, &chosen, false).await? {
        let list = errors.check(would_have(&key, add.as_ref()));
        wanted.extend(list.map(|list| (key, list)));
    }
    errors.finish()?;
    let ids: Vec<KeyId> = wanted.iter().map(|(key, _)| key.id).collect();
    let since = app.env.now() - Duration::days(days);
    let rows = sources_of_keys(&mut conn, access.organization.id, &ids, since).await?;
    drop(conn);
    let too_many =
        || AppError::Unavailable { cause: "the keys were used from too many addresses for a preview".into() };
    let mut rows = by_key(rows.ok_or_else(too_many)?);
    read::note(app, caller, Action::AuditRead, Some(access.organization.id), &Filter::default(), |event| {
        let named: Vec<String> = ids.iter().take(MOST_KEYS).map(KeyId::to_string).collect();
        event.with("keys", ids.len()).with("key_ids", named).with("days", days)
    })
    .await?;
    let previewed = |(key, list): (Key, Option<Allowlist>)| {
        let mut preview = judge(&rows.remove(&key.id).unwrap_or_default(), list.as_ref());
        preview.sources.truncate(SOURCES);
        PreviewedKey { key, list, preview }
    };
    Ok(wanted.into_iter().map(previewed).collect())
}

/// The list that a key would have.
fn would_have(key: &Key, add: Option<&Allowlist>) -> Result<Option<Allowlist>, AppError> {
    match add.map(|add| grown(key, add, true)) {
        None | Some(Err(_)) => Ok(key.allowlist.clone()),
        Some(Ok((list, _))) if list.len() > MAX_ENTRIES => {
            let error = allowlist_errors("allowed_cidrs", &AllowlistError::TooMany { given: list.len() });
            Err(of_key((key.id, &key.name), error))
        }
        Some(Ok((list, _))) => Ok(Some(Allowlist::from_cidrs(list))),
    }
}

#[cfg(test)]
mod tests;
