use clap::{Args, Subcommand};
use statuspulse_app::{
    AppError,
    settings::{self, SettingsChange},
    views::SettingsJson,
};
use statuspulse_policy::Environment;

use super::Context;
use crate::{error::CliError, output::details};

#[derive(Debug, Subcommand)]
pub(crate) enum SettingsCommand {
    /// Show an organization's settings.
    Show {
        /// Slug of the organization.
        #[arg(long)]
        org: String,
    },
    /// Change an organization's settings; what is not named stays.
    Set(SetSettings),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct SetSettings {
    /// Slug of the organization.
    #[arg(long)]
    org: String,
    /// Longest lifespan of an environment's keys in days, such as `production=30`, or `production=default`.
    #[arg(long, value_name = "ENVIRONMENT=DAYS", value_parser = parse_lifespan, group = "change")]
    max_lifespan_days: Vec<(Environment, Option<i64>)>,
    /// Disable keys that are unused for this many days, 30 to 365, or `off`.
    #[arg(long, value_name = "DAYS", value_parser = parse_unused, group = "change")]
    unused_key_days: Option<UnusedDays>,
    /// Scopes that developers may hand out.
    #[arg(long, value_name = "SCOPE", num_args = 1.., value_delimiter = ',', group = "change")]
    developer_scope: Option<Vec<String>>,
    /// Let developers hand out every scope but those for management.
    #[arg(long, conflicts_with = "developer_scope", group = "change")]
    default_developer_scopes: bool,
    /// What the use of a rotated-away token leads to: an alert, or also the end of the current version.
    #[arg(long, value_name = "POLICY", value_parser = ["alert", "kill"], group = "change")]
    reuse_policy: Option<String>,
    /// Networks to which every key of the organization is held.
    #[arg(long, value_name = "CIDR", num_args = 1.., value_delimiter = ',', group = "change")]
    allow_cidr: Option<Vec<String>>,
    /// Hold keys to no networks but their own.
    #[arg(long, conflicts_with = "allow_cidr", group = "change")]
    clear_allowlist: bool,
    /// Go on even if keys end at once by it.
    #[arg(long)]
    confirm: bool,
}

/// Days, or none for never.
#[derive(Debug, Clone, Copy)]
struct UnusedDays(Option<i64>);

fn parse_unused(text: &str) -> Result<UnusedDays, String> {
    if text == "off" {
        return Ok(UnusedDays(None));
    }
    let days = text.strip_suffix('d').unwrap_or(text).parse().map_err(|_| "a number of days or `off` is wanted")?;
    Ok(UnusedDays(Some(days)))
}

fn parse_lifespan(text: &str) -> Result<(Environment, Option<i64>), String> {
    let (environment, days) = text.split_once('=').ok_or("`ENVIRONMENT=DAYS` is wanted, such as `production=30`")?;
    let environment = environment.parse::<Environment>().map_err(|error| error.to_string())?;
    if days == "default" {
        return Ok((environment, None));
    }
    let days = days.strip_suffix('d').unwrap_or(days).parse().map_err(|_| "a number of days or `default` is wanted")?;
    Ok((environment, Some(days)))
}

impl SetSettings {
    fn change(self) -> (String, SettingsChange) {
        let optional = |clear: bool, given: Option<Vec<String>>| if clear { Some(None) } else { given.map(Some) };
        let change = SettingsChange {
            max_lifespan_days: self.max_lifespan_days,
            unused_key_days: self.unused_key_days.map(|days| days.0),
            developer_scopes: optional(self.default_developer_scopes, self.developer_scope),
            reuse_policy: self.reuse_policy,
            allowed_cidrs: optional(self.clear_allowlist, self.allow_cidr),
            confirm: self.confirm,
        };
        (self.org, change)
    }
}

impl SettingsCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let answer = match self {
            Self::Show { org } => {
                let access = context.access(&org).await?;
                SettingsJson::new(&context.app, &access.organization, Vec::new())
            }
            Self::Set(set) => {
                let (org, change) = set.change();
                let access = context.access(&org).await?;
                let mut changed = settings::change(&context.app, &context.caller, &access, &change).await;
                if let Err(AppError::Conflict { code: "confirmation_required", detail, .. }) = &mut changed {
                    *detail = detail.replace("say `confirm: true`", "give --confirm");
                }
                let (organization, ended) = changed?;
                SettingsJson::new(&context.app, &organization, ended)
            }
        };
        context.output.answer(&answer, |settings| details(settings, &["max_lifespan_days"]))
    }
}
