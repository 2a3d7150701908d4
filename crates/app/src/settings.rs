//! An organization's settings.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use statuspulse_audit::{Action, Class};
use statuspulse_keys::directory::ReusePolicy;
use statuspulse_policy::{AllowAny, Allowlist, Environment, KeyId, Role};
use statuspulse_store::{
    AsyncConnection as _, Conn, feed,
    keys::{self, KeyFilter, ListedKey},
    organizations::{self, Organization, Settings},
    page::Position,
};

use crate::{
    app::App,
    caller::{Access, Caller, Right},
    error::{AppError, FieldError, allowlist_errors, scope_errors},
};

const PAGE: i64 = 200;

/// What is to be changed, as it comes from outside. The outer option says whether, the inner one to what.
#[derive(Debug, Clone, Default)]
pub struct SettingsChange {
    /// Longest lifespan by environment; none means the environment's own.
    pub max_lifespan_days: Vec<(Environment, Option<i64>)>,
    /// 30 to 365, or none.
    pub unused_key_days: Option<Option<i64>>,
    /// Scopes by name, or none for the default.
    pub developer_scopes: Option<Option<Vec<String>>>,
    /// `alert` or `kill`.
    pub reuse_policy: Option<String>,
    /// 1 to 50 networks, or none for no rule.
    pub allowed_cidrs: Option<Option<Vec<String>>>,
    /// Whether keys may end at once by it.
    pub confirm: bool,
}

/// A key that a change of settings ends at once.
#[derive(Debug, Clone)]
pub struct EndedKey {
    /// The key.
    pub id: KeyId,
    /// Its name.
    pub name: String,
    /// When it ended under the new settings.
    pub ended_at: DateTime<Utc>,
}

/// The settings, for those who look after the organization: owner, admin, auditor.
///
/// # Errors
/// 403 for a developer.
pub fn show(access: &Access) -> Result<&Organization, AppError> {
    if access.right == Right::Role(Role::Developer) {
        return Err(AppError::forbidden("role_not_sufficient", "a developer has nothing to do with the settings"));
    }
    Ok(&access.organization)
}

/// Changes settings.
///
/// # Errors
/// 403 but for owner and admin, 422 by field, 409 `confirmation_required` listing the keys that would end at once.
pub async fn change(
    app: &App,
    caller: &Caller,
    access: &Access,
    change: &SettingsChange,
) -> Result<(Organization, Vec<EndedKey>), AppError> {
    access.require_admin()?;
    let mut conn = app.conn().await?;
    let event = caller.event(app, Class::A, Action::SettingsUpdate, Some(access.organization.id))?;
    let outcome = conn
        .transaction(async |conn| {
            let mut organization =
                organizations::lock(conn, access.organization.id).await?.ok_or(AppError::NotFound("organization"))?;
            let before = organization.settings.clone();
            organization.settings = judge(app, before.clone(), change)?;
            let changed = changed_fields(&before, &organization.settings);
            if changed.is_empty() {
                return Ok((organization, Vec::new(), false));
            }
            let ended = ended_keys(app, conn, access, &before, &organization.settings).await?;
            if !ended.is_empty() && !change.confirm {
                let keys: Vec<Value> =
                    ended.iter().map(|key| json!({"id": key.id.to_string(), "name": key.name})).collect();
                return Err(AppError::Conflict {
                    code: "confirmation_required",
                    detail: format!("{} keys would end at once; say `confirm: true` to go on", ended.len()),
                    facts: [("keys".to_owned(), Value::Array(keys))].into_iter().collect(),
                });
            }
            let event = event.with("changed", json!(changed)).with("ended_keys", ended.len());
            app.recorder.record(conn, event).await?;
            for key in &ended {
                let event = caller
                    .event(app, Class::A, Action::KeyExpire, Some(organization.id))?
                    .with("key_id", key.id.to_string())
                    .with("cause", "settings");
                app.recorder.record(conn, event).await?;
            }
            let seen = organization.sequence;
            organization.sequence = feed::next(conn).await?;
            let written = organizations::update_settings(
                conn,
                organization.id,
                &organization.settings,
                seen,
                organization.sequence,
            );
            if !written.await? {
                return Err(AppError::Unavailable { cause: "a locked organization changed under the lock".into() });
            }
            Ok((organization, ended, true))
        })
        .await?;
    let (organization, ended, changed) = outcome;
    if changed {
        caller.mark_recorded();
        app.replica.catch_up().await;
    }
    Ok((organization, ended))
}

fn judge(app: &App, mut settings: Settings, change: &SettingsChange) -> Result<Settings, AppError> {
    let mut errors = Vec::new();
    for (environment, wanted) in &change.max_lifespan_days {
        let maximum = environment.max_lifespan_days();
        let days =
            wanted.map_or(Some(maximum), |days| u32::try_from(days).ok().filter(|days| (1..=maximum).contains(days)));
        let Some(days) = days else {
            let field = format!("max_lifespan_days.{}", environment.as_str());
            errors.push(FieldError::new(field, "out_of_bounds", format!("1 to {maximum} days, or null for {maximum}")));
            continue;
        };
        match environment {
            Environment::Production => settings.caps.production = days,
            Environment::Staging => settings.caps.staging = days,
            Environment::Analytics => settings.caps.analytics = days,
        }
    }
    if let Some(wanted) = change.unused_key_days {
        match wanted.map(|days| u32::try_from(days).ok().filter(|days| (30..=365).contains(days))) {
            None => settings.unused_key_days = None,
            Some(Some(days)) => settings.unused_key_days = Some(days),
            Some(None) => errors.push(FieldError::new("unused_key_days", "out_of_bounds", "30 to 365 days, or null")),
        }
    }
    if let Some(wanted) = &change.developer_scopes {
        let read = wanted.as_ref().map(|names| app.catalog.load().parse_scopes(names)).transpose();
        match read {
            Ok(scopes) => settings.developer_scopes = scopes,
            Err(error) => collect(&mut errors, scope_errors("developer_scopes", &error)),
        }
    }
    if let Some(word) = &change.reuse_policy {
        match ReusePolicy::from_word(word) {
            Some(policy) => settings.reuse_policy = policy,
            None => errors.push(FieldError::new("reuse_policy", "unknown_policy", "`alert` or `kill`")),
        }
    }
    if let Some(wanted) = &change.allowed_cidrs {
        match wanted.as_ref().map(|entries| Allowlist::parse(entries, AllowAny::No)).transpose() {
            Ok(list) => settings.allowlist = list,
            Err(error) => collect(&mut errors, allowlist_errors("allowed_cidrs", &error)),
        }
    }
    if errors.is_empty() { Ok(settings) } else { Err(AppError::Invalid(errors)) }
}

fn collect(errors: &mut Vec<FieldError>, error: AppError) {
    if let AppError::Invalid(fields) = error {
        errors.extend(fields);
    }
}

fn changed_fields(before: &Settings, after: &Settings) -> Vec<&'static str> {
    let entries = |list: &Option<Allowlist>| list.as_ref().map(|list| list.entries().to_vec());
    let pairs = [
        ("max_lifespan_days", before.caps != after.caps),
        ("unused_key_days", before.unused_key_days != after.unused_key_days),
        ("developer_scopes", before.developer_scopes != after.developer_scopes),
        ("reuse_policy", before.reuse_policy != after.reuse_policy),
        ("allowed_cidrs", entries(&before.allowlist) != entries(&after.allowlist)),
    ];
    pairs.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
}

/// The keys that are alive under the old settings and ended under the new ones.
async fn ended_keys(
    app: &App,
    conn: &mut Conn,
    access: &Access,
    before: &Settings,
    after: &Settings,
) -> Result<Vec<EndedKey>, AppError> {
    let now = app.env.now();
    let mut ended = Vec::new();
    let mut position = None;
    loop {
        let page: Vec<ListedKey> =
            keys::list(conn, access.organization.id, &KeyFilter::default(), &before.caps, now, position, PAGE).await?;
        let Some(last) = page.last() else { return Ok(ended) };
        position = Some(Position { created_at: last.key.created_at, id: last.key.id.as_uuid() });
        for ListedKey { key, current } in page {
            let end = |settings: &Settings| {
                settings.caps.effective_end(key.environment, current.created_at, current.expires_at)
            };
            if key.revoked_at.is_none() && end(before) > now && end(after) <= now {
                ended.push(EndedKey { id: key.id, ended_at: end(after), name: key.name });
            }
        }
    }
}
