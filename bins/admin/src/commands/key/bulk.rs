use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use statuspulse_app::{
    caller::Access,
    keys::{self, BulkFilter, BulkOutcome},
    views::{BulkKeyJson, PendingJson, bulk_keys, bulk_pending},
};
use statuspulse_policy::Environment;

use super::Wait;
use crate::{
    commands::{Context, environments, parse_moment},
    error::CliError,
    output::{table, tell},
    prompt,
};

const COLUMNS: [&str; 4] = ["id", "name", "environment", "hint"];

#[derive(Debug, Args)]
pub(crate) struct RevokeManyArgs {
    /// Slug of the organization.
    #[arg(long)]
    org: String,
    /// Only keys of this maker: a person's e-mail address or an operator's account name.
    #[arg(long, value_name = "WHO")]
    created_by: Option<String>,
    /// Only keys made after this moment, such as `2030-01-31T12:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    created_after: Option<DateTime<Utc>>,
    /// Only this environment.
    #[arg(long, value_parser = environments())]
    environment: Option<String>,
    #[command(flatten)]
    wait: Wait,
    /// Only say which keys it would be.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Don't ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct WouldRevoke {
    would_revoke: Vec<BulkKeyJson>,
}

#[derive(Serialize)]
struct Revoked {
    revoked: Vec<BulkKeyJson>,
    pending: Vec<PendingJson>,
}

impl RevokeManyArgs {
    pub(super) fn check(&self) -> Result<(), CliError> {
        if self.dry_run || self.yes || prompt::is_possible() {
            return Ok(());
        }
        let text = "nobody can be asked here: give --dry-run to see which keys it would be, or --yes to revoke them";
        Err(CliError::Usage(text.to_owned()))
    }

    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let access = context.access(&self.org).await?;
        let environment = self.environment.as_deref().map(str::parse::<Environment>).transpose();
        let filter = BulkFilter {
            created_by: self.created_by.clone(),
            created_after: self.created_after,
            environment: environment.map_err(|error| CliError::Usage(error.to_string()))?,
        };
        if self.dry_run {
            let outcome = self.revoke(context, &access, &filter, true).await?;
            let answer = WouldRevoke { would_revoke: bulk_keys(&outcome) };
            return context
                .output
                .answer(&answer, |answer| keys_or(&answer["would_revoke"], "no key fits; nothing would be revoked"));
        }
        if !self.yes && !self.is_wanted(context, &access, &filter).await? {
            return Err(CliError::Declined);
        }
        let outcome = self.revoke(context, &access, &filter, false).await?;
        let answer = Revoked { revoked: bulk_keys(&outcome), pending: bulk_pending(&outcome) };
        context.output.answer(&answer, |answer| keys_or(&answer["revoked"], "no key fits; nothing was revoked"))?;
        context.output.note(&format!("revoked: {}", outcome.keys.len()));
        if outcome.pending.is_empty() { Ok(()) } else { Err(CliError::Pending(outcome.pending.len())) }
    }

    async fn revoke(
        &self,
        context: &Context,
        access: &Access,
        filter: &BulkFilter,
        dry_run: bool,
    ) -> Result<BulkOutcome, CliError> {
        Ok(keys::revoke_many(&context.app, &context.caller, access, filter, dry_run, self.wait.wait).await?)
    }

    /// Shows the keys and asks. Where there are none, there is nothing to ask.
    async fn is_wanted(&self, context: &Context, access: &Access, filter: &BulkFilter) -> Result<bool, CliError> {
        let outcome = self.revoke(context, access, filter, true).await?;
        if outcome.keys.is_empty() {
            return Ok(true);
        }
        let shown = serde_json::to_value(bulk_keys(&outcome)).unwrap_or_default();
        tell(&table(&shown, &COLUMNS));
        prompt::confirm(&format!("Revoke {} of `{}` for good?", counted(outcome.keys.len()), self.org)).await
    }
}

fn counted(number: usize) -> String {
    if number == 1 { "this key".to_owned() } else { format!("these {number} keys") }
}

fn keys_or(list: &Value, none: &str) -> String {
    if list.as_array().is_some_and(|keys| !keys.is_empty()) { table(list, &COLUMNS) } else { none.to_owned() }
}
