use std::collections::BTreeMap;

use chrono::{DateTime, Duration, SubsecRound as _, Utc};
use serde_json::json;
use statuspulse_audit::{Action, Class, Event, EventType};
use statuspulse_keys::{Status, VersionState, directory::KeySnapshot};
use statuspulse_policy::{AllowAny, Allowlist, Cidr, KeyId};
use statuspulse_store::{
    AsyncConnection as _, Conn,
    audit::uses::{Calls, SourceRow, sources_of_key},
    feed, keys, organizations,
    webhooks::outbox,
};

use super::{
    KeyView, Warning, allowlist_for, allowlist_warnings, check_key_name, check_rate_limit, check_recipient,
    create::Errors, current_of, current_status, lost_race, notes_for, refuse_revoked, scopes_for, sources::network_of,
    view,
};
use crate::{
    app::App,
    caller::{Access, Caller},
    error::{AppError, allowlist_errors},
    webhooks::News,
};

/// Past calls that a new list is compared with.
pub(super) const LOOK_BACK: Duration = Duration::days(7);
/// Warnings about blocked sources, at most.
const WARNINGS: usize = 50;

/// What is to be changed, as it comes from outside. The outer option says whether, the inner one to what.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// 1 to 100 characters.
    pub name: Option<String>,
    /// Scopes by name.
    pub scopes: Option<Vec<String>>,
    /// 1 to 50 networks, or none for any address.
    pub allowed_cidrs: Option<Option<Vec<String>>>,
    /// Whether wide networks are meant.
    pub allow_any: Option<bool>,
    /// Notes by network.
    pub allowlist_notes: Option<BTreeMap<String, String>>,
    /// End of the current version.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether a successor is prepared before the end.
    pub auto_rotate: Option<bool>,
    /// Accepted calls a minute, or none for no limit.
    pub rate_limit_per_minute: Option<Option<i64>>,
    /// Recipient of sealed successors.
    pub successor_public_key: Option<Option<String>>,
}

/// Changes a key.
///
/// # Errors
/// 404, 422 by field, 403 when the caller may not hand out the key's present or new scopes, 409 `key_revoked` or
/// `key_expired`.
pub async fn change(
    app: &App,
    caller: &Caller,
    access: &Access,
    id: KeyId,
    change: KeyChange,
) -> Result<(KeyView, Vec<Warning>), AppError> {
    access.require_writer()?;
    let mut conn = app.conn().await?;
    let event = caller.event(app, Class::A, Action::KeyUpdate, Some(access.organization.id))?;
    let view = conn
        .transaction(async |conn| {
            let snapshot =
                keys::lock(conn, Some(access.organization.id), id).await?.ok_or(AppError::NotFound("key"))?;
            let organization =
                organizations::by_id(conn, access.organization.id).await?.ok_or(AppError::NotFound("organization"))?;
            let today = Access { organization, right: access.right };
            let now = app.env.now();
            let judged = Judged::of(app, &today, snapshot, &change, now)?;
            if judged.changed.is_empty() {
                return Ok((view(conn, &today, judged.snapshot, now).await?, false));
            }
            judged.record(app, conn, event).await?;
            let sequence = feed::next(conn).await?;
            let snapshot = judged.write(conn, sequence).await?;
            Ok::<_, AppError>((view(conn, &today, snapshot, now).await?, true))
        })
        .await?;
    let (view, changed) = view;
    if changed {
        caller.mark_recorded();
        app.replica.catch_up().await;
    }
    let warnings = match change.allowed_cidrs {
        Some(Some(_)) => allowlist_warnings(view.key.environment, view.key.allowlist.as_ref()),
        _ => Vec::new(),
    };
    Ok((view, warnings))
}

/// A change of a locked key that may be made: first its event, then a number of the feed, then its rows. Several in one
/// transaction take those steps together, for nobody else gets on once the number is taken.
pub(super) struct Judged {
    snapshot: KeySnapshot,
    /// The number that was read.
    seen: i64,
    /// Names of the fields that differ; none: there is nothing to write.
    changed: Vec<&'static str>,
    end: Option<DateTime<Utc>>,
    /// Whether the slot that waits ends with it.
    slot_ends: bool,
}

impl Judged {
    /// Judges a change under the organization's settings of today.
    pub(super) fn of(
        app: &App,
        today: &Access,
        mut snapshot: KeySnapshot,
        change: &KeyChange,
        now: DateTime<Utc>,
    ) -> Result<Self, AppError> {
        today.require_grantable(app, snapshot.key.scopes)?;
        refuse_revoked(&snapshot.key)?;
        let before = snapshot.key.clone();
        let end = apply(app, today, &mut snapshot, change, now)?;
        let changed = changed_fields(&before, &snapshot, end.is_some());
        // What was sealed to the recipient of before must not open anything, and a slot ends with the version that it
        // follows; the next round makes another one where one is due.
        let slot_ends = changed.contains(&"successor_public_key")
            || end.is_some()
            || !snapshot.key.auto_rotate && before.auto_rotate;
        Ok(Self { seen: before.sequence, snapshot, changed, end, slot_ends })
    }

    /// Puts the change into the trail, and tells those who want to know.
    pub(super) async fn record(&self, app: &App, conn: &mut Conn, event: Event) -> Result<(), AppError> {
        let (key, changed) = (&self.snapshot.key, &self.changed);
        let mut event = event.with("key_id", key.id.to_string()).with("changed", json!(changed));
        if changed.contains(&"scopes") {
            let catalog = app.catalog.load();
            event = event.with("scopes", json!(catalog.names(key.scopes)));
        }
        app.recorder.record(conn, event).await?;
        if changed.contains(&"successor_public_key") {
            let current = current_of(&self.snapshot)?;
            News::of_key(EventType::KeyRecipientChanged, key, current, current.expires_at)
                .with("sealed", json!(key.successor_public_key.is_some()))
                .tell(app, conn)
                .await?;
        }
        if self.slot_ends {
            outbox::forget_sealed_of(conn, key.id).await?;
        }
        Ok(())
    }

    /// Writes the change under a number of the feed.
    pub(super) async fn write(self, conn: &mut Conn, sequence: i64) -> Result<KeySnapshot, AppError> {
        let mut snapshot = self.snapshot;
        snapshot.key.sequence = sequence;
        if !keys::update(conn, &snapshot.key, self.seen).await? {
            return Err(lost_race());
        }
        if self.slot_ends {
            keys::remove_slot(conn, snapshot.key.id).await?;
            snapshot.versions.retain(|held| held.state != VersionState::Pending);
        }
        if let Some(end) = self.end {
            let mut version = current_of(&snapshot)?.clone();
            version.expires_at = end;
            version.valid_until = end;
            if !keys::end_version(conn, &version, version.state, sequence).await? {
                return Err(lost_race());
            }
            for held in snapshot.versions.iter_mut().filter(|held| held.number == version.number) {
                *held = version.clone();
            }
        }
        Ok(snapshot)
    }
}

/// Puts what was asked into the key; answers the new end, if one was asked for.
fn apply(
    app: &App,
    access: &Access,
    snapshot: &mut KeySnapshot,
    change: &KeyChange,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, AppError> {
    let mut errors = Errors::default();
    let end = match change.expires_at {
        None => None,
        Some(end) => errors.check(judge_end(access, snapshot, end, now)),
    };
    let key = &mut snapshot.key;
    if let Some(name) = &change.name
        && errors.check(check_key_name(name)).is_some()
    {
        key.name.clone_from(name);
    }
    if let Some(names) = &change.scopes
        && let Some(scopes) = errors.check(scopes_for(app, Some(key.environment), Some(names), None))
        && errors.check(access.require_grantable(app, scopes)).is_some()
    {
        key.scopes = scopes;
    }
    let allow_any = change.allow_any.unwrap_or(key.allow_any && access.administers());
    match (&change.allowed_cidrs, change.allow_any) {
        (Some(entries), _) => {
            if let Some(list) = errors.check(allowlist_for(access, entries.as_deref(), allow_any)) {
                key.allowlist = list;
                key.allow_any = allow_any;
                let kept = key.allowlist.as_ref().map(Allowlist::entries).unwrap_or_default();
                key.allowlist_notes.retain(|network, _| kept.iter().any(|cidr| cidr.to_string() == *network));
            }
        }
        (None, Some(wanted)) => {
            // The list that is there must be one that may stand under the new word.
            let entries: Option<Vec<String>> =
                key.allowlist.as_ref().map(|list| list.entries().iter().map(Cidr::to_string).collect());
            if errors.check(allowlist_for(access, entries.as_deref(), wanted)).is_some() {
                key.allow_any = wanted;
            }
        }
        (None, None) => {}
    }
    if let Some(notes) = &change.allowlist_notes
        && let Some(notes) = errors.check(notes_for("allowlist_notes", key.allowlist.as_ref(), notes.clone()))
    {
        key.allowlist_notes = notes;
    }
    if let Some(auto_rotate) = change.auto_rotate {
        key.auto_rotate = auto_rotate;
    }
    if let Some(limit) = change.rate_limit_per_minute
        && let Some(limit) = errors.check(check_rate_limit(limit))
    {
        key.rate_limit_per_minute = limit;
    }
    if let Some(recipient) = &change.successor_public_key {
        if recipient.is_none() && !access.administers() && key.successor_public_key.is_some() {
            errors.check::<()>(access.require_admin());
        }
        if errors.check(check_recipient(access, recipient.as_deref())).is_some() {
            key.successor_public_key.clone_from(recipient);
        }
    }
    errors.finish()?;
    Ok(end)
}

/// An end may come earlier as one likes, but in the future, and later only up to the maximum from the version's creation.
fn judge_end(
    access: &Access,
    snapshot: &KeySnapshot,
    end: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, AppError> {
    let caps = access.organization.settings.caps;
    let current = current_of(snapshot)?;
    if current_status(snapshot, &caps, now)? == Status::Expired {
        return Err(AppError::conflict("key_expired", "the key has expired and can't be revived; create a new one"));
    }
    let end = end.trunc_subsecs(6);
    let latest = current.created_at + caps.lifespan(snapshot.key.environment);
    if end <= now {
        return Err(AppError::field(
            "expires_at",
            "in_the_past",
            "the end must lie ahead; revoke the key to end it now",
        ));
    }
    if end > latest {
        let detail = format!("this version can live until {} at most; rotate the key for more", latest.to_rfc3339());
        return Err(AppError::field("expires_at", "out_of_bounds", detail));
    }
    Ok(end)
}

fn changed_fields(before: &statuspulse_keys::Key, after: &KeySnapshot, end: bool) -> Vec<&'static str> {
    let key = &after.key;
    let entries = |list: &Option<Allowlist>| list.as_ref().map(|list| list.entries().to_vec());
    let pairs = [
        ("name", before.name != key.name),
        ("scopes", before.scopes != key.scopes),
        ("allowed_cidrs", entries(&before.allowlist) != entries(&key.allowlist)),
        ("allow_any", before.allow_any != key.allow_any),
        ("allowlist_notes", before.allowlist_notes != key.allowlist_notes),
        ("expires_at", end),
        ("auto_rotate", before.auto_rotate != key.auto_rotate),
        ("rate_limit_per_minute", before.rate_limit_per_minute != key.rate_limit_per_minute),
        ("successor_public_key", before.successor_public_key != key.successor_public_key),
    ];
    pairs.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
}

/// Replaces a key's allowlist and warns of each source of the last seven days that the new list blocks.
///
/// # Errors
/// As [`change`].
pub async fn set_allowlist(
    app: &App,
    caller: &Caller,
    access: &Access,
    id: KeyId,
    entries: Option<Vec<String>>,
    allow_any: bool,
) -> Result<(KeyView, Vec<Warning>), AppError> {
    // Read first, so that a list that can't be read is refused before anything is looked up.
    let width = if allow_any { AllowAny::Yes } else { AllowAny::No };
    if let Some(entries) = &entries {
        Allowlist::parse(entries, width).map_err(|error| allowlist_errors("allowed_cidrs", &error))?;
    }
    let wanted = KeyChange { allowed_cidrs: Some(entries), allow_any: Some(allow_any), ..KeyChange::default() };
    let (view, mut warnings) = change(app, caller, access, id, wanted).await?;
    if let Some(list) = &view.key.allowlist {
        // The list is in force by now; a look back that takes too long only costs its warnings.
        let since = app.env.now() - LOOK_BACK;
        let read = async {
            let mut conn = app.pool.get().await?;
            sources_of_key(&mut conn, access.organization.id, id, since, Calls::All).await
        };
        match read.await {
            Ok(sources) => warnings.extend(blocked_sources(list, &sources)),
            Err(error) => warnings.push(unknown_sources(&error)),
        }
    }
    Ok((view, warnings))
}

/// A warning for each of the recent sources that a list blocks, at most 50.
pub(super) fn blocked_sources(list: &Allowlist, sources: &[SourceRow]) -> Vec<Warning> {
    let mut blocked: BTreeMap<Option<Cidr>, i64> = BTreeMap::new();
    for source in sources {
        let ip = source.ip.map(|network| network.ip());
        if !ip.is_some_and(|ip| list.contains(ip)) {
            *blocked.entry(ip.and_then(network_of)).or_default() += source.calls;
        }
    }
    let warning = |(network, calls): (Option<Cidr>, i64)| Warning {
        code: "blocks_recent_source",
        field: "allowed_cidrs".into(),
        detail: match network {
            Some(network) => {
                format!("the new list blocks {network}, from which {calls} calls came in the last 7 days")
            }
            None => format!("the new list blocks {calls} calls of the last 7 days whose address was unknown"),
        },
    };
    blocked.into_iter().take(WARNINGS).map(warning).collect()
}

/// What is said in place of warnings where the look back took too long.
pub(super) fn unknown_sources(error: &dyn std::fmt::Display) -> Warning {
    tracing::warn!(%error, "recent sources could not be compared with a new allowlist");
    Warning {
        code: "recent_sources_unknown",
        field: "allowed_cidrs".into(),
        detail: "the last 7 days could not be looked through; explain shows how a call would be judged".into(),
    }
}
