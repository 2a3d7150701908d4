//! Alerts: listed, taken, closed, and what opens them. One that exists is named by its id alone.

use clap::{Args, Subcommand};
use serde_json::Value;
use statuspulse_app::{
    alerts::{
        self, ListAlerts, Whose,
        settings::{self, RuleChange},
    },
    views::{AlertJson, AlertPageJson, RuleJson, RulesJson},
};
use statuspulse_audit::{AlertRule, Severity, anomaly::Status};
use statuspulse_policy::AlertId;

use super::Context;
use crate::{
    error::CliError,
    output::{details, table},
};

mod backtest;

const COLUMNS: [&str; 9] =
    ["id", "severity", "status", "rule", "subject", "count", "opened_at", "last_seen_at", "deliveries"];
const FIRST: [&str; 8] = ["id", "title", "rule", "severity", "status", "subject", "count", "advice"];
const DELIVERIES: [&str; 7] =
    ["webhook_id", "event", "status", "attempts", "last_attempt_at", "response_status", "error"];
const RULES: [&str; 6] = ["rule", "severity", "threshold", "window_seconds", "action", "title"];
const KEYS: [&str; 4] = ["key_id", "threshold", "action", "action_limit"];

#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// List alerts, newest first; those of the service itself where no organization is named.
    List(ListArgs),
    /// Show an alert, with what was sent of it.
    Show(Named),
    /// Take an alert, so that others know somebody looks after it.
    Ack(Named),
    /// Close an alert.
    Resolve {
        #[command(flatten)]
        alert: Named,
        /// What came of it, in 1 to 2,000 characters.
        #[arg(long)]
        note: String,
    },
    /// Show every rule with what is in force for an organization and its keys.
    Rules {
        /// Slug of the organization.
        #[arg(long)]
        org: String,
    },
    /// Set a rule's threshold, and what its opening does to the key by itself.
    SetRule(SetRuleArgs),
    /// Say which alerts a rule would have opened over the past, by the audit trail; nothing is opened.
    ///
    /// What the trail says is counted exactly. It does not say everything: calls that manage keys stand under the action
    /// that they carry out and not under `api.call`; of a key in a URL not whether it was live; and the token of an earlier
    /// version is refused by the same word as that of a revoked key. Alerts would resolve themselves; nobody takes them.
    Backtest(backtest::BacktestArgs),
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Id of the alert.
    #[arg(value_name = "ID", value_parser = parse_id)]
    id: AlertId,
}

fn parse_id(text: &str) -> Result<AlertId, String> {
    text.parse().map_err(|_| "the id of an alert is wanted, a UUID; `alert list` shows it".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Slug of the organization.
    #[arg(long)]
    org: Option<String>,
    /// Only those that stand so.
    #[arg(long, value_parser = Status::ALL.map(Status::as_str))]
    status: Option<String>,
    /// Only of this rule, such as `call_rate`.
    #[arg(long, value_parser = parse_rule)]
    rule: Option<AlertRule>,
    /// Only of this severity.
    #[arg(long, value_parser = Severity::ALL.map(Severity::as_str))]
    severity: Option<String>,
    /// Only about this subject, by its id.
    #[arg(long)]
    subject: Option<String>,
    /// Alerts of one page, 1 to 200 [default: 50].
    #[arg(long)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    #[arg(long)]
    cursor: Option<String>,
}

fn parse_rule(text: &str) -> Result<AlertRule, String> {
    AlertRule::from_word(text).ok_or_else(|| {
        let known: Vec<&str> = AlertRule::ALL.iter().map(|rule| rule.as_str()).collect();
        format!("a rule is one of {}", known.join(", "))
    })
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct SetRuleArgs {
    /// Slug of the organization.
    #[arg(long)]
    org: String,
    /// The rule, such as `call_rate`.
    #[arg(long, value_parser = parse_rule)]
    rule: AlertRule,
    /// A rate opens at more, happenings at as many.
    #[arg(long, value_name = "NUMBER", group = "change")]
    threshold: Option<i64>,
    /// Go back to the rule's own threshold.
    #[arg(long, conflicts_with = "threshold", group = "change")]
    default_threshold: bool,
    /// What the opening does to the key by itself.
    #[arg(long, value_parser = ["none", "disable_key", "limit_rate"], group = "change")]
    action: Option<String>,
    /// Calls a minute to which `limit_rate` narrows the key.
    #[arg(long, value_name = "NUMBER", group = "change")]
    limit: Option<i64>,
    /// Take the setting away: the rule's own holds, and for a key that of its organization.
    #[arg(long, conflicts_with_all = ["threshold", "default_threshold", "action", "limit"], group = "change")]
    reset: bool,
    /// For one key alone, by its id; its setting takes the place of the organization's.
    #[arg(long)]
    key: Option<String>,
}

impl AlertCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::List(args) => args.run(context).await,
            Self::Show(alert) => {
                let access = alerts::operator_access(&context.app, alert.id).await?;
                let view = alerts::show(&context.app, Whose::from(access.as_ref()), alert.id).await?;
                context.output.answer(&AlertJson::new(view), shown)
            }
            Self::Ack(alert) => {
                let access = alerts::operator_access(&context.app, alert.id).await?;
                let whose = Whose::from(access.as_ref());
                let view = alerts::acknowledge(&context.app, &context.caller, whose, alert.id).await?;
                context.output.answer(&AlertJson::new(view), shown)
            }
            Self::Resolve { alert, note } => {
                let access = alerts::operator_access(&context.app, alert.id).await?;
                let whose = Whose::from(access.as_ref());
                let view = alerts::resolve(&context.app, &context.caller, whose, alert.id, Some(&note)).await?;
                context.output.answer(&AlertJson::new(view), shown)
            }
            Self::Rules { org } => {
                let access = context.access(&org).await?;
                let rules = settings::rules(&context.app, &access).await?;
                context.output.answer(&RulesJson::from(rules), |rules| table(&rule_rows(rules), &RULES))
            }
            Self::SetRule(args) => args.run(context).await,
            Self::Backtest(args) => args.run(context).await,
        }
    }
}

impl ListArgs {
    async fn run(self, context: &Context) -> Result<(), CliError> {
        let access = match &self.org {
            Some(org) => Some(context.access(org).await?),
            None => None,
        };
        let asked = ListAlerts {
            status: self.status,
            rule: self.rule.map(|rule| rule.as_str().to_owned()),
            severity: self.severity,
            subject: self.subject,
            limit: self.limit,
            cursor: self.cursor,
        };
        let page = alerts::list(&context.app, Whose::from(access.as_ref()), &asked).await?;
        let next = page.next_cursor.clone();
        context.output.answer(&AlertPageJson::from(page), |page| {
            let items = page.get("items").and_then(Value::as_array).into_iter().flatten();
            table(&items.map(row).collect(), &COLUMNS)
        })?;
        if let Some(cursor) = next {
            context.output.note(&format!("more: --cursor {cursor}"));
        }
        Ok(())
    }
}

impl SetRuleArgs {
    async fn run(self, context: &Context) -> Result<(), CliError> {
        let access = context.access(&self.org).await?;
        let default = self.default_threshold || self.reset;
        let change = RuleChange {
            threshold: if default { Some(None) } else { self.threshold.map(Some) },
            action: if self.reset { Some(None) } else { self.action.map(Some) },
            action_limit: self.limit,
            key_id: self.key,
        };
        let view = settings::change(&context.app, &context.caller, &access, self.rule.as_str(), &change).await?;
        context.output.answer(&RuleJson::from(view), |rule| {
            let (mut rule, keys) = parted(rule, "keys");
            let keys = keys.filter(|keys| keys.as_array().is_some_and(|keys| !keys.is_empty()));
            if let Some(fields) = rule.as_object_mut() {
                fields.remove("advice");
            }
            let own = details(&rule, &RULES);
            keys.map_or(own.clone(), |keys| format!("{own}\n\n{}", table(&keys, &KEYS)))
        })
    }
}

/// An alert as a row: its subject by name, and how many of its deliveries fail.
fn row(alert: &Value) -> Value {
    let mut row = alert.as_object().cloned().unwrap_or_default();
    row.insert("subject".to_owned(), Value::from(subject(alert)));
    row.insert("deliveries".to_owned(), Value::from(deliveries(alert)));
    Value::from(row)
}

fn subject(alert: &Value) -> String {
    let text = |pointer: &str| alert.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match text("/subject/name") {
        "" => format!("{} {}", text("/subject/kind"), text("/subject/id")),
        name => format!("{} {name}", text("/subject/kind")),
    }
}

fn deliveries(alert: &Value) -> String {
    let all = alert.pointer("/evidence/deliveries").and_then(Value::as_array);
    let all = all.map(Vec::as_slice).unwrap_or_default();
    let failing = all.iter().filter(|delivery| is_failing(delivery)).count();
    match (failing, all.len()) {
        (0, 0) => "-".to_owned(),
        (0, sent) => format!("{sent}"),
        (failing, sent) => format!("{failing} of {sent} FAIL"),
    }
}

fn is_failing(delivery: &Value) -> bool {
    let status = delivery.get("status").and_then(Value::as_str);
    status == Some("failed") || status == Some("pending") && !delivery["error"].is_null()
}

/// An alert in full: its fields, then its deliveries, those that fail marked.
fn shown(alert: &Value) -> String {
    let (mut alert, evidence) = parted(alert, "evidence");
    let mut evidence = evidence.unwrap_or_default();
    let sent = evidence.as_object_mut().and_then(|fields| fields.remove("deliveries")).unwrap_or_default();
    let subject = Value::from(format!(
        "{} ({})",
        subject(&alert),
        alert.pointer("/subject/id").and_then(Value::as_str).unwrap_or_default()
    ));
    if let Some(fields) = alert.as_object_mut() {
        fields.insert("subject".to_owned(), subject);
    }
    let mut text = format!("{}\n\nEVIDENCE\n{}", details(&alert, &FIRST), details(&evidence, &[]));
    let marked = |delivery: &Value| {
        let mut row = delivery.clone();
        if is_failing(delivery)
            && let Some(status) = row.get_mut("status")
        {
            *status = Value::from(format!("{} FAILS", status.as_str().unwrap_or_default()));
        }
        row
    };
    if let Some(sent) = sent.as_array().filter(|sent| !sent.is_empty()) {
        text.push_str(&format!("\n\n{}", table(&sent.iter().map(marked).collect(), &DELIVERIES)));
    }
    text
}

/// A rule's row, and one for each key for which something else is in force.
fn rule_rows(rules: &Value) -> Value {
    let items = rules.get("items").and_then(Value::as_array).into_iter().flatten();
    let mut rows = Vec::new();
    for rule in items {
        rows.push(action_told(rule));
        for key in rule.get("keys").and_then(Value::as_array).into_iter().flatten() {
            let mut row = action_told(key);
            let id = key.get("key_id").and_then(Value::as_str).unwrap_or_default();
            if let Some(fields) = row.as_object_mut() {
                fields.insert("rule".to_owned(), Value::from(format!("  key {id}")));
                fields.insert("title".to_owned(), Value::from(""));
                fields.insert("severity".to_owned(), Value::from(""));
                fields.insert("window_seconds".to_owned(), Value::from(""));
            }
            rows.push(row);
        }
    }
    Value::from(rows)
}

fn action_told(rule: &Value) -> Value {
    let mut row = rule.clone();
    if let Some(limit) = rule.get("action_limit").and_then(Value::as_i64)
        && let Some(action) = row.get_mut("action")
    {
        *action = Value::from(format!("{} {limit}", action.as_str().unwrap_or_default()));
    }
    row
}

/// An object without a field, and the field.
fn parted(object: &Value, name: &str) -> (Value, Option<Value>) {
    let mut rest = object.clone();
    let taken = rest.as_object_mut().and_then(|fields| fields.remove(name));
    (rest, taken)
}
