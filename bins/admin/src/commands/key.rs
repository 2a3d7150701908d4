//! API keys. Those that exist are named by their id alone, which is unique; a token is never an argument.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::Value;
use statuspulse_app::{
    keys::{self, AskInventory, ExplainCall, ListKeys, Page, RotateKey, Switch},
    views::{AllowlistJson, ExplanationJson, InventoryJson, KeyJson, KeyPageJson, ReceiptJson, RotatedJson},
};
use statuspulse_keys::Status;
use statuspulse_policy::KeyId;

use super::{Context, environments, parse_moment, parse_seconds, parse_wait};
use crate::{
    error::CliError,
    output::{details, table, tell},
};

mod bulk;
mod create;
mod ranges;
mod sources;

/// What people want to see first of a key.
const FIRST: [&str; 9] =
    ["id", "name", "organization", "environment", "status", "version", "hint", "scopes", "expires_at"];
const COLUMNS: [&str; 7] = ["id", "name", "environment", "status", "hint", "expires_at", "last_used_at"];

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Create a key; its token is in the answer and nowhere else.
    Create(create::CreateArgs),
    /// List the keys of an organization, newest first.
    List(ListArgs),
    /// Show a key.
    Show(Named),
    /// Give a key its next token; the old one ends at once, or after an overlap.
    Rotate(RotateArgs),
    /// End a key for good.
    Revoke {
        #[command(flatten)]
        key: Named,
        /// Why, for the audit trail.
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Switch a key off.
    Disable {
        #[command(flatten)]
        key: Named,
        #[command(flatten)]
        wait: Wait,
    },
    /// Switch a key on again.
    Enable {
        #[command(flatten)]
        key: Named,
        #[command(flatten)]
        wait: Wait,
    },
    /// The networks from which a key may be used.
    #[command(subcommand)]
    Allowlist(AllowlistCommand),
    /// Say step by step how a call with a key would be judged; counts nothing.
    Explain(ExplainArgs),
    /// Say what a key could do without, from its calls of 30 days; changes nothing.
    Suggest(Named),
    /// List the living keys that want a look, by reason.
    Inventory {
        /// Slug of the organization.
        #[arg(long)]
        org: String,
    },
    /// End every key of an organization that fits, for good.
    RevokeMany(bulk::RevokeManyArgs),
}

/// A key by its id.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Named {
    /// Id of the key, never its token.
    #[arg(value_name = "ID", value_parser = parse_id)]
    id: KeyId,
}

fn parse_id(text: &str) -> Result<KeyId, String> {
    text.parse().map_err(|_| "the id of a key is wanted, a UUID; `key list` shows it".to_owned())
}

/// How long to wait for all instances.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Wait {
    /// How long to wait until every instance has the change, 0s to 30s.
    #[arg(long, default_value = "5s", value_parser = parse_wait)]
    wait: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Slug of the organization.
    #[arg(long)]
    org: String,
    /// Only this environment.
    #[arg(long, value_parser = environments())]
    environment: Option<String>,
    /// Only this status.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(STATUSES))]
    status: Option<String>,
    /// Part of the name in any case, or a whole id or hint.
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Keys of one page, 1 to 200 [default: 50].
    #[arg(long)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    #[arg(long)]
    cursor: Option<String>,
    /// All pages at once.
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    all: bool,
}

const STATUSES: [&str; 4] =
    [Status::Active.as_str(), Status::Disabled.as_str(), Status::Expired.as_str(), Status::Revoked.as_str()];

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    key: Named,
    /// How long the old token stays accepted, at most 7d; never beyond its own end.
    #[arg(long, value_name = "SPAN", value_parser = parse_seconds)]
    overlap: Option<i64>,
    /// Only if this version is the current one.
    #[arg(long, value_name = "VERSION")]
    if_match: Option<i32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AllowlistCommand {
    /// Replace a key's networks; warns of recent sources that the new list blocks.
    #[command(group = clap::ArgGroup::new("list").required(true))]
    Set {
        #[command(flatten)]
        key: Named,
        /// Networks or addresses from which the key may be used.
        #[arg(long, value_name = "CIDR", num_args = 1.., value_delimiter = ',', group = "list")]
        allow_cidr: Option<Vec<String>>,
        /// Any address.
        #[arg(long, group = "list")]
        clear: bool,
        /// Say that very wide networks are meant.
        #[arg(long)]
        allow_any: bool,
    },
    /// Add networks to the lists of many keys, to all of them or to none. Keys whose list may hold any width are left as they
    /// are, and so are keys without a list unless --create-lists is given.
    Add(ranges::AddArgs),
    /// Say which past calls other networks would have refused; changes nothing.
    Preview {
        #[command(flatten)]
        key: Named,
        /// Networks or addresses to try.
        #[arg(long, value_name = "CIDR", num_args = 1.., value_delimiter = ',', required = true)]
        allow_cidr: Vec<String>,
        /// Days to look back, 1 to 30 [default: 7].
        #[arg(long)]
        days: Option<i64>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    key: Named,
    /// Method of the call.
    #[arg(long)]
    method: String,
    /// Path of the call.
    #[arg(long)]
    path: String,
    /// Address from which it comes.
    #[arg(long, value_name = "ADDRESS")]
    client_ip: String,
    /// When, such as `2030-01-31T12:00:00Z` [default: now].
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    at: Option<DateTime<Utc>>,
}

impl KeyCommand {
    pub(crate) fn prepare(&self) -> Result<(), CliError> {
        match self {
            Self::RevokeMany(args) => args.check(),
            Self::Allowlist(AllowlistCommand::Add(args)) => args.check(),
            _ => Ok(()),
        }
    }

    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let (app, output) = (&context.app, context.output);
        match self {
            Self::Create(args) => args.run(context).await,
            Self::List(args) => list(context, args).await,
            Self::Show(Named { id }) => {
                let access = keys::operator_access(app, id).await?;
                let view = keys::show(app, &access, id).await?;
                output.answer(&KeyJson::new(app, view), |key| details(key, &FIRST))
            }
            Self::Rotate(args) => rotate(context, args).await,
            Self::Revoke { key, reason, wait } => switch(context, key, Switch::Revoke(reason), wait).await,
            Self::Disable { key, wait } => switch(context, key, Switch::Disable, wait).await,
            Self::Enable { key, wait } => switch(context, key, Switch::Enable, wait).await,
            Self::Allowlist(AllowlistCommand::Set { key: Named { id }, allow_cidr, allow_any, .. }) => {
                let access = keys::operator_access(app, id).await?;
                let set = keys::set_allowlist(app, &context.caller, &access, id, allow_cidr, allow_any).await;
                let (view, warnings) = set?;
                output.answer(&AllowlistJson::new(app, view, warnings), key_with_warnings)
            }
            Self::Allowlist(AllowlistCommand::Preview { key: Named { id }, allow_cidr, days }) => {
                sources::preview(context, id, allow_cidr, days).await
            }
            Self::Allowlist(AllowlistCommand::Add(args)) => args.run(context).await,
            Self::Explain(args) => explain(context, args).await,
            Self::Suggest(Named { id }) => sources::suggest(context, id).await,
            Self::Inventory { org } => inventory(context, &org).await,
            Self::RevokeMany(args) => args.run(context).await,
        }
    }
}

async fn list(context: &Context, args: ListArgs) -> Result<(), CliError> {
    let access = context.access(&args.org).await?;
    let mut asked = ListKeys {
        environment: args.environment,
        status: args.status,
        text: args.q,
        limit: if args.all { Some(200) } else { args.limit },
        cursor: args.cursor,
    };
    let mut page = keys::list(&context.app, &access, &asked).await?;
    while args.all
        && let Some(cursor) = page.next_cursor.take()
    {
        asked.cursor = Some(cursor);
        let Page { items, next_cursor } = keys::list(&context.app, &access, &asked).await?;
        page.items.extend(items);
        page.next_cursor = next_cursor;
    }
    let next = page.next_cursor.clone();
    context.output.answer(&KeyPageJson::new(&context.app, page), |list| table(&list["items"], &COLUMNS))?;
    if let Some(cursor) = next {
        context.output.note(&format!("There are more: --cursor {cursor}, or --all."));
    }
    Ok(())
}

async fn rotate(context: &Context, args: RotateArgs) -> Result<(), CliError> {
    let (app, id) = (&context.app, args.key.id);
    let access = keys::operator_access(app, id).await?;
    let input = RotateKey { overlap_seconds: args.overlap, if_match: args.if_match };
    let rotated = keys::rotate(app, &context.caller, &access, id, input, None).await?;
    context.output.answer(&RotatedJson::new(app, rotated), |answer| {
        let until = &answer["previous_valid_until"];
        format!(
            "{}\n\nprevious token valid until {}\ntoken  {}",
            details(&answer["key"], &FIRST),
            until.as_str().unwrap_or_default(),
            answer["token"].as_str().unwrap_or_default()
        )
    })?;
    context.output.note("The token is shown this once.");
    Ok(())
}

async fn switch(context: &Context, Named { id }: Named, switch: Switch, wait: Wait) -> Result<(), CliError> {
    let app = &context.app;
    let access = keys::operator_access(app, id).await?;
    let receipt = keys::switch(app, &context.caller, &access, id, &switch, wait.wait).await?;
    let pending = receipt.pending.len();
    context.output.answer(&ReceiptJson::new(app, receipt), |receipt| {
        let mut text = details(&receipt["key"], &FIRST);
        for (title, field, columns) in [
            ("In force on", "applied", ["instance", "applied_at"]),
            ("Not yet on", "pending", ["instance", "last_seen_at"]),
        ] {
            if receipt[field].as_array().is_some_and(|list| !list.is_empty()) {
                text.push_str(&format!("\n\n{title}:\n{}", table(&receipt[field], &columns)));
            }
        }
        text
    })?;
    if pending > 0 {
        tell(&format!("warning: {}", CliError::Pending(pending)));
    }
    Ok(())
}

async fn explain(context: &Context, args: ExplainArgs) -> Result<(), CliError> {
    let (app, id) = (&context.app, args.key.id);
    let access = keys::operator_access(app, id).await?;
    let call = ExplainCall { method: args.method, path: args.path, client_ip: args.client_ip, at: args.at };
    let explanation = keys::explain(app, &context.caller, &access, id, &call).await?;
    context.output.answer(&ExplanationJson::from(explanation), |answer| {
        let verdict = if answer["allowed"] == Value::Bool(true) { "allowed" } else { "refused" };
        let steps = table(&answer["steps"], &["step", "outcome", "detail"]);
        format!("{steps}\n\n{verdict}: {} ({})", answer["code"].as_str().unwrap_or_default(), answer["status"])
    })
}

async fn inventory(context: &Context, org: &str) -> Result<(), CliError> {
    let access = context.access(org).await?;
    let lists = keys::inventory(&context.app, &access, &AskInventory::default()).await?;
    context.output.answer(&InventoryJson::new(&context.app, lists), |answer| {
        let reasons = answer["reasons"].as_object().into_iter().flatten();
        let wanted = reasons.filter(|(_, keys)| keys.as_array().is_some_and(|keys| !keys.is_empty()));
        let parts: Vec<String> = wanted.map(|(reason, keys)| format!("{reason}:\n{}", table(keys, &COLUMNS))).collect();
        if parts.is_empty() { "no key wants a look".to_owned() } else { parts.join("\n\n") }
    })
}

/// A key for people; what deserves a second look goes to standard error.
fn key_with_warnings(answer: &Value) -> String {
    warn(&answer["warnings"], None);
    details(&answer["key"], &FIRST)
}

/// Warnings on standard error; of one of many keys with its name.
fn warn(warnings: &Value, key: Option<&str>) {
    let of = key.map(|name| format!("{}: ", crate::output::escaped(name))).unwrap_or_default();
    for warning in warnings.as_array().into_iter().flatten() {
        let text = |name: &str| crate::output::escaped(warning[name].as_str().unwrap_or_default());
        tell(&format!("warning[{}]: {of}{}: {}", text("code"), text("field"), text("detail")));
    }
}
