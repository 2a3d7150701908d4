//! What people, and apps for themselves, have authorized.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;
use statuspulse_app::{
    AppError,
    oauth::grants::{self, Target},
    views::{GrantPageJson, RevokedGrantsJson},
};
use statuspulse_policy::GrantId;
use statuspulse_store::oauth::grants::GrantFilter;

use super::Context;
use crate::{
    error::CliError,
    output::{details, table},
    prompt,
};

const COLUMNS: [&str; 6] = ["id", "app", "user", "scopes", "created_at", "last_used_at"];

#[derive(Debug, Subcommand)]
pub(crate) enum GrantCommand {
    /// List the live grants for an organization, newest first.
    List(ListArgs),
    /// End all grants of an app or a person, or one: their tokens are dead at once.
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Slug of the organization.
    #[arg(long)]
    org: String,
    /// Only of this app, by its id or client id.
    #[arg(long)]
    app: Option<String>,
    /// Only of this person, by id or e-mail address.
    #[arg(long)]
    user: Option<String>,
    /// Grants of one page, 1 to 200 [default: 50].
    #[arg(long)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// All of an app, by its id or client id.
    #[arg(long, group = "which")]
    app: Option<String>,
    /// All of a person, by id or e-mail address.
    #[arg(long, group = "which")]
    user: Option<String>,
    /// One, by its id.
    #[arg(long, group = "which", value_parser = parse_id)]
    id: Option<GrantId>,
    /// Only say how many it would be.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Don't ask.
    #[arg(long)]
    yes: bool,
}

fn parse_id(text: &str) -> Result<GrantId, String> {
    text.parse().map_err(|_| "the id of a grant is wanted, a UUID; `grant list` shows it".to_owned())
}

#[derive(Serialize)]
struct WouldRevoke {
    would_revoke: u64,
}

impl GrantCommand {
    pub(crate) fn prepare(&self) -> Result<(), CliError> {
        match self {
            Self::Revoke(args) if !args.dry_run && !args.yes && !prompt::is_possible() => Err(CliError::Usage(
                "nobody can be asked here: give --dry-run to see how many it would be, or --yes to end them".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::List(args) => list(context, args).await,
            Self::Revoke(args) => args.run(context).await,
        }
    }
}

async fn list(context: &Context, args: ListArgs) -> Result<(), CliError> {
    let access = context.access(&args.org).await?;
    let mut filter = GrantFilter::default();
    if let Some(app) = &args.app
        && let Target::App(id) = grants::target_app(&context.app, app).await?
    {
        filter.app = Some(id);
    }
    if let Some(user) = &args.user
        && let Target::User(id) = grants::target_user(&context.app, user).await?
    {
        filter.user = Some(id);
    }
    let page = grants::of_organization(&context.app, &access, filter, args.limit, args.cursor.as_deref()).await?;
    context.output.answer(&GrantPageJson::new(&context.app, &page), |page| table(&rows(&page["items"]), &COLUMNS))?;
    if let Some(cursor) = &page.next_cursor {
        context.output.note(&format!("more: --cursor {cursor}"));
    }
    Ok(())
}

/// Grants with app and person by the names that people know.
fn rows(items: &Value) -> Value {
    let row = |grant: &Value| {
        let user = match grant.get("user") {
            None => Value::from("(the app itself)"),
            Some(user) if user["email"].is_null() => user["id"].clone(),
            Some(user) => user["email"].clone(),
        };
        let mut row = grant.as_object().cloned().unwrap_or_default();
        row.insert("app".to_owned(), grant.pointer("/app/name").cloned().unwrap_or_default());
        row.insert("user".to_owned(), user);
        Value::from(row)
    };
    items.as_array().into_iter().flatten().map(row).collect()
}

impl RevokeArgs {
    async fn target(&self, context: &Context) -> Result<Target, CliError> {
        Ok(match (&self.app, &self.user, self.id) {
            (Some(app), ..) => grants::target_app(&context.app, app).await?,
            (None, Some(user), _) => grants::target_user(&context.app, user).await?,
            (None, None, Some(id)) => grants::target_grant(&context.app, id).await?,
            (None, None, None) => return Err(AppError::internal("no grants are named").into()),
        })
    }

    async fn run(self, context: &Context) -> Result<(), CliError> {
        let target = self.target(context).await?;
        let would_revoke = grants::count(&context.app, target).await?;
        if self.dry_run {
            let answer = WouldRevoke { would_revoke };
            return context.output.answer(&answer, |answer| details(answer, &["would_revoke"]));
        }
        let question = format!("End {would_revoke} grants and all of their tokens?");
        if would_revoke > 0 && !self.yes && !prompt::confirm(&question).await? {
            return Err(CliError::Declined);
        }
        let revoked = grants::revoke(&context.app, &context.caller, target).await?;
        context.output.answer(&RevokedGrantsJson { revoked }, |answer| details(answer, &["revoked"]))
    }
}
