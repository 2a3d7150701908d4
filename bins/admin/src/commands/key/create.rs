use clap::Args;
use statuspulse_app::{
    keys::{self, CreateKey},
    views::IssuedJson,
};

use super::key_with_warnings;
use crate::{
    commands::{Context, environments, parse_days},
    error::CliError,
};

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Slug of the organization.
    #[arg(long)]
    org: String,
    /// Where the key is used.
    #[arg(long, value_parser = environments())]
    environment: String,
    /// Its name, 1 to 100 characters.
    #[arg(long)]
    name: String,
    /// What it may do; repeat it or separate scopes by commas.
    #[arg(long, num_args = 1.., value_delimiter = ',')]
    scope: Option<Vec<String>>,
    /// A named set of scopes, instead of --scope.
    #[arg(long)]
    preset: Option<String>,
    /// Networks or addresses from which it may be used [default: any].
    #[arg(long, value_name = "CIDR", num_args = 1.., value_delimiter = ',')]
    allow_cidr: Option<Vec<String>>,
    /// Say that very wide networks are meant.
    #[arg(long)]
    allow_any: bool,
    /// How long it lives, in whole days [default: as long as the organization allows].
    #[arg(long, value_name = "DAYS", value_parser = parse_days)]
    expires_in: Option<i64>,
    /// Prepare a successor before its end, which the holder picks up.
    #[arg(long)]
    auto_rotate: bool,
    /// Accepted calls a minute [default: no limit].
    #[arg(long, value_name = "CALLS")]
    rate_limit: Option<i64>,
    /// A honeytoken: never accepted, and its use opens a critical alert.
    #[arg(long)]
    canary: bool,
}

impl CreateArgs {
    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let access = context.access(&self.org).await?;
        let wanted = CreateKey {
            name: self.name,
            environment: self.environment,
            scopes: self.scope,
            preset: self.preset,
            allowed_cidrs: self.allow_cidr,
            expires_in_days: self.expires_in,
            auto_rotate: self.auto_rotate,
            rate_limit_per_minute: self.rate_limit,
            allow_any: self.allow_any,
            canary: self.canary,
            ..CreateKey::default()
        };
        let issued = keys::create(&context.app, &context.caller, &access, wanted, None).await?;
        context.output.answer(&IssuedJson::new(&context.app, issued), |answer| {
            format!("{}\n\ntoken  {}", key_with_warnings(answer), answer["token"].as_str().unwrap_or_default())
        })?;
        context.output.note("The token is shown this once.");
        Ok(())
    }
}
