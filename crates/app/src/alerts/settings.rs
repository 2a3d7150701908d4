//! Thresholds and actions of an organization's own, and of single keys.

use statuspulse_audit::{
    Action, AlertRule, Class,
    anomaly::{AlertAction, action::LIMIT},
};
use statuspulse_policy::KeyId;
use statuspulse_store::{
    AsyncConnection as _,
    alerts::settings::{self, Setting},
    keys, organizations,
};

use super::Whose;
use crate::{
    app::App,
    caller::{Access, Caller},
    error::{AppError, FieldError},
};

/// Thresholds that can be set.
const THRESHOLD: std::ops::RangeInclusive<i64> = 1..=1_000_000_000;

/// A rule with what an organization says of it.
#[derive(Debug, Clone)]
pub struct RuleView {
    /// The rule.
    pub rule: AlertRule,
    /// The organization's own setting.
    pub own: Option<Setting>,
    /// Those of single keys.
    pub keys: Vec<Setting>,
}

/// A change of a rule for an organization or one of its keys, as it comes from outside; what is left out stays.
#[derive(Debug, Clone, Default)]
pub struct RuleChange {
    /// Opens at more (rates) or as many (happenings); the inner none is the rule's own.
    pub threshold: Option<Option<i64>>,
    /// `none`, `disable_key` or `limit_rate`; the inner none is the default.
    pub action: Option<Option<String>>,
    /// Calls a minute of `limit_rate`.
    pub action_limit: Option<i64>,
    /// For one key alone.
    pub key_id: Option<String>,
}

impl RuleChange {
    /// Both given as "the default": the setting is taken away. For a key that means: as for its organization.
    fn is_removal(&self) -> bool {
        matches!((&self.threshold, &self.action), (Some(None), Some(None)))
    }

    fn read(&self, rule: AlertRule, before: Option<&Setting>) -> Result<(Option<i64>, AlertAction), AppError> {
        let mut errors = Vec::new();
        let threshold = self.threshold.unwrap_or_else(|| before.and_then(|setting| setting.threshold));
        if let Some(Some(given)) = self.threshold {
            if !rule.has_threshold() {
                let detail = "this rule opens at the first happening; there is no threshold to set";
                errors.push(FieldError::new("threshold", "no_threshold", detail));
            } else if !THRESHOLD.contains(&given) {
                errors.push(FieldError::new("threshold", "out_of_bounds", "a threshold is 1 to 1,000,000,000"));
            }
        }
        let action = self.action(rule, before, &mut errors);
        if errors.is_empty() { Ok((threshold, action)) } else { Err(AppError::Invalid(errors)) }
    }

    fn action(&self, rule: AlertRule, before: Option<&Setting>, errors: &mut Vec<FieldError>) -> AlertAction {
        let present = before.map(|setting| setting.action).unwrap_or_default();
        let word = match &self.action {
            None if self.action_limit.is_none() => return present,
            None => present.as_str(),
            Some(given) => given.as_deref().unwrap_or(AlertAction::None.as_str()),
        };
        if !AlertAction::WORDS.contains(&word) {
            let known = AlertAction::WORDS.join("`, `");
            errors.push(FieldError::new("action", "unknown_action", format!("an action is one of `{known}`")));
            return present;
        }
        if word != AlertAction::None.as_str() && !rule.takes_action() {
            let detail = "the opening of this rule does nothing by itself";
            errors.push(FieldError::new("action", "no_action", detail));
            return present;
        }
        AlertAction::from_words(word, self.action_limit).unwrap_or_else(|| {
            let detail =
                format!("`limit_rate`, and nothing else, takes a limit of {} to {}", LIMIT.start(), LIMIT.end());
            errors.push(FieldError::new("action_limit", "out_of_bounds", detail));
            present
        })
    }
}

/// Every rule with what the organization says of it.
///
/// # Errors
/// 503.
pub async fn rules(app: &App, access: &Access) -> Result<Vec<RuleView>, AppError> {
    let all = settings::list(&mut *app.conn().await?, Some(access.organization.id)).await?;
    Ok(AlertRule::ALL.iter().map(|rule| view(*rule, &all)).collect())
}

fn view(rule: AlertRule, all: &[Setting]) -> RuleView {
    let (own, keys) =
        all.iter().filter(|held| held.rule == rule).cloned().partition::<Vec<_>, _>(|held| held.key.is_none());
    RuleView { rule, own: own.into_iter().next(), keys }
}

/// Changes a rule for an organization or one of its keys. A key's own setting takes the place of its organization's as a
/// whole, and begins as that one is.
///
/// # Errors
/// 403, 404 for an unknown rule, 422 by field.
pub async fn change(
    app: &App,
    caller: &Caller,
    access: &Access,
    rule: &str,
    change: &RuleChange,
) -> Result<RuleView, AppError> {
    Whose::Of(access).require_admin()?;
    let rule = AlertRule::from_word(rule).ok_or(AppError::NotFound("rule"))?;
    let organization = access.organization.id;
    let mut conn = app.conn().await?;
    let key = match change.key_id.as_deref() {
        None => None,
        Some(text) => {
            let unknown = || AppError::field("key_id", "unknown_key", "there is no such key in this organization");
            let id = text.parse::<KeyId>().map_err(|_| unknown())?;
            keys::find(&mut conn, Some(organization), id).await?.ok_or_else(unknown)?;
            Some(id)
        }
    };
    let event = caller.event(app, Class::A, Action::SettingsUpdate, Some(organization))?;
    let by = caller.principal.creator();
    let (view, changed) = conn
        .transaction(async |conn| {
            // Changes take turns here, so that none is made over what another has read.
            organizations::lock(conn, organization).await?.ok_or(AppError::NotFound("organization"))?;
            let all = settings::list(conn, Some(organization)).await?;
            let before = settings::in_force(&all, organization, rule, key);
            let own = before.filter(|setting| setting.key == key);
            let (threshold, action) = change.read(rule, before)?;
            let kept = (!change.is_removal()).then_some((threshold, action));
            if own.map(|setting| (setting.threshold, setting.action)) == kept {
                return Ok((view(rule, &all), false));
            }
            let mut event = event.with("alert_rule", rule.as_str());
            if let Some(key) = key {
                event = event.with("key_id", key.to_string());
            }
            match kept {
                None => {
                    app.recorder.record(conn, event.with("removed", true)).await?;
                    settings::remove(conn, organization, rule, key).await?;
                }
                Some((threshold, action)) => {
                    let event = event.with("threshold", threshold).with("action", action.as_str());
                    app.recorder.record(conn, event.with("action_limit", action.limit())).await?;
                    let updated_by = match &by {
                        statuspulse_keys::Creator::User(id) => id.to_string(),
                        statuspulse_keys::Creator::Operator(name) => name.clone(),
                    };
                    let updated_at = app.env.now();
                    let setting = Setting { organization, rule, key, threshold, action, updated_at, updated_by };
                    settings::upsert(conn, &setting).await?;
                }
            }
            Ok::<_, AppError>((view(rule, &settings::list(conn, Some(organization)).await?), true))
        })
        .await?;
    if changed {
        caller.mark_recorded();
    }
    Ok(view)
}
