//! Alerts and their rules as JSON.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use statuspulse_keys::Creator;
use statuspulse_policy::UserId;
use statuspulse_store::alerts::{
    read::{Ending, Told},
    settings::Setting,
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::CreatorJson;
use crate::alerts::{AlertPage, AlertView, settings::RuleView, with_deliveries};

/// What an alert is about.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertSubject)]
pub struct SubjectJson {
    /// `key`, `app`, `grant`, `webhook`, `network`, `instance`, `trail`.
    kind: String,
    id: String,
    /// The name of a key or app, as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// How an alert ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertResolution)]
pub struct ResolutionJson {
    /// `manual` or `automatic`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<CreatorJson>,
    at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// An alert.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertJson {
    id: Uuid,
    rule: &'static str,
    /// What the rule tells of, for people.
    title: &'static str,
    /// `low`, `medium`, `high` or `critical`.
    severity: &'static str,
    /// `open`, `acknowledged` or `resolved`.
    status: &'static str,
    subject: SubjectJson,
    opened_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    count: i64,
    /// What was observed: threshold, window, peak, routes, sources, events; `deliveries` says what was sent of it.
    #[schema(value_type = Object)]
    evidence: Value,
    /// Criteria of SOC 2 to which it is evidence.
    control: &'static [&'static str],
    /// What to do, for people.
    advice: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_by: Option<CreatorJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<ResolutionJson>,
    /// What its opening has done to the key by itself: `disable_key` or `limit_rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    action_taken: Option<String>,
    /// In what is told: for which time people are told again, since nobody took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    escalation: Option<i16>,
}

impl AlertJson {
    /// From a view.
    #[must_use]
    pub fn new(view: AlertView) -> Self {
        let AlertView { alert, emails, deliveries, escalation } = view;
        let rule = alert.rule.rule();
        let deliveries = deliveries.map(|told| told.iter().map(delivery).collect());
        let (by, at) = alert.acknowledged.unzip();
        Self {
            id: alert.id.as_uuid(),
            rule: rule.word,
            title: rule.title,
            severity: alert.severity.as_str(),
            status: alert.status.as_str(),
            subject: SubjectJson { kind: alert.subject_kind, id: alert.subject, name: alert.subject_name },
            opened_at: alert.opened_at,
            last_seen_at: alert.last_seen_at,
            count: alert.count,
            evidence: with_deliveries(alert.evidence, deliveries),
            control: rule.controls,
            advice: rule.advice,
            acknowledged_by: by.map(|by| somebody(by, &emails)),
            acknowledged_at: at,
            resolution: alert.ending.map(|ending| resolution(ending, &emails)),
            action_taken: alert.action_taken,
            escalation,
        }
    }
}

fn resolution(ending: Ending, emails: &[(UserId, String)]) -> ResolutionJson {
    let by = ending.by.map(|by| somebody(by, emails));
    ResolutionJson { kind: ending.kind.as_str(), by, at: ending.at, note: ending.note }
}

fn somebody(by: Creator, emails: &[(UserId, String)]) -> CreatorJson {
    let email = match &by {
        Creator::User(id) => emails.iter().find(|(known, _)| known == id).map(|(_, email)| email.clone()),
        Creator::Operator(_) => None,
    };
    CreatorJson::new(by, email)
}

fn delivery(told: &Told) -> Value {
    json!({
        "webhook_id": told.webhook.to_string(),
        "event": told.kind.as_str(),
        "status": told.status.as_str(),
        "attempts": told.attempts,
        "last_attempt_at": told.last_attempt_at,
        "response_status": told.response_status,
        "error": told.error,
    })
}

/// Alerts, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertPage)]
pub struct AlertPageJson {
    items: Vec<AlertJson>,
    next_cursor: Option<String>,
}

impl From<AlertPage> for AlertPageJson {
    fn from(page: AlertPage) -> Self {
        Self { items: page.items.into_iter().map(AlertJson::new).collect(), next_cursor: page.next_cursor }
    }
}

/// Where one key departs from what its organization says of a rule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertRuleOfKey)]
pub struct RuleOfKeyJson {
    key_id: Uuid,
    /// In force for this key.
    threshold: i64,
    action: &'static str,
    action_limit: Option<u32>,
    updated_at: DateTime<Utc>,
    updated_by: String,
}

/// A rule that opens alerts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertRule)]
pub struct RuleJson {
    rule: &'static str,
    /// Of wording and threshold; the evidence of an alert names it.
    version: u32,
    title: &'static str,
    severity: &'static str,
    /// The rule's own.
    default_threshold: i64,
    /// In force for the organization: a rate opens at more, happenings at as many.
    threshold: i64,
    /// Within how many seconds; 0 where the first happening opens.
    window_seconds: u32,
    /// Whether a threshold can be set.
    takes_threshold: bool,
    /// Whether an action can be set.
    takes_action: bool,
    /// What the opening does to the key by itself: `none`, `disable_key` or `limit_rate`.
    action: &'static str,
    /// Calls a minute to which `limit_rate` narrows the key.
    action_limit: Option<u32>,
    control: &'static [&'static str],
    advice: &'static str,
    /// Keys for which something else is in force.
    keys: Vec<RuleOfKeyJson>,
}

impl From<RuleView> for RuleJson {
    fn from(view: RuleView) -> Self {
        let rule = view.rule.rule();
        let default_threshold = i64::try_from(rule.threshold).unwrap_or(i64::MAX);
        let threshold = |setting: &Setting| setting.threshold.unwrap_or(default_threshold);
        let of_key = |setting: Setting| {
            Some(RuleOfKeyJson {
                key_id: setting.key?.as_uuid(),
                threshold: threshold(&setting),
                action: setting.action.as_str(),
                action_limit: setting.action.limit(),
                updated_at: setting.updated_at,
                updated_by: setting.updated_by,
            })
        };
        let action = view.own.as_ref().map(|own| own.action).unwrap_or_default();
        Self {
            rule: rule.word,
            version: rule.version,
            title: rule.title,
            severity: rule.severity.0.as_str(),
            default_threshold,
            threshold: view.own.as_ref().map_or(default_threshold, threshold),
            window_seconds: rule.window_seconds,
            takes_threshold: view.rule.has_threshold(),
            takes_action: view.rule.takes_action(),
            action: action.as_str(),
            action_limit: action.limit(),
            control: rule.controls,
            advice: rule.advice,
            keys: view.keys.into_iter().filter_map(of_key).collect(),
        }
    }
}

/// Every rule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AlertRules)]
pub struct RulesJson {
    items: Vec<RuleJson>,
}

impl From<Vec<RuleView>> for RulesJson {
    fn from(views: Vec<RuleView>) -> Self {
        Self { items: views.into_iter().map(RuleJson::from).collect() }
    }
}
