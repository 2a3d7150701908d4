//! OAuth apps. Those that exist are named by their id or their client id; a secret is never an argument.

use clap::{Args, Subcommand};
use serde_json::Value;
use statuspulse_app::{
    AppError,
    caller::Access,
    oauth::{
        apps::{self, AppView, ChangeApp, CreateApp},
        failures, secrets,
    },
    organizations,
    views::{AddedSecretJson, AppJson, AppPageJson, FailurePageJson, RegisteredJson},
};
use statuspulse_oauth::{AppKind, AppStatus};
use statuspulse_policy::{AppId, AppSecretId};
use statuspulse_store::oauth::apps::AppFilter;

use super::{Context, parse_seconds};
use crate::{
    error::CliError,
    output::{details, table},
    prompt,
};

/// What people want to see first of an app.
const FIRST: [&str; 8] = ["id", "client_id", "name", "organization", "kind", "status", "scopes", "redirect_uris"];
const COLUMNS: [&str; 6] = ["id", "client_id", "name", "kind", "status", "last_used_at"];
const SECRET_COLUMNS: [&str; 6] = ["id", "label", "last4", "created_at", "expires_at", "last_used_at"];
const FAILURE_COLUMNS: [&str; 5] = ["occurred_at", "action", "reason", "ip", "request_id"];

const SHOWN_ONCE: &str = "The client secret is shown this once.";

#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    /// Register an app; its secret is in the answer and nowhere else.
    Create(Box<CreateArgs>),
    /// List the apps of an organization, newest first.
    List(ListArgs),
    /// Show an app.
    Show(Named),
    /// Suspend an app: nothing is issued, and what was issued is dead for good.
    Suspend(Named),
    /// Let a suspended app get tokens again; those of before stay dead.
    Resume(Named),
    /// Delete an app: everything that was issued to it is dead.
    Delete {
        #[command(flatten)]
        app: Named,
        /// Don't ask.
        #[arg(long)]
        yes: bool,
    },
    /// Its secrets.
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Show why exchanges of an app were refused, newest first.
    Failures {
        #[command(flatten)]
        app: Named,
        /// Failures of one page, 1 to 200 [default: 50].
        #[arg(long)]
        limit: Option<i64>,
        /// `next_cursor` of the page before.
        #[arg(long)]
        cursor: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Add a secret; the earlier ones end after the overlap.
    Add {
        #[command(flatten)]
        app: Named,
        /// How long the earlier ones stay valid, at most 90d; 0s ends them at once [default: 7d].
        #[arg(long, value_name = "SPAN", value_parser = parse_seconds)]
        overlap: Option<i64>,
        /// A name for people.
        #[arg(long)]
        label: Option<String>,
    },
    /// End a secret at once.
    Revoke {
        #[command(flatten)]
        app: Named,
        /// Id of the secret; `app show` lists them.
        #[arg(value_name = "SECRET_ID", value_parser = parse_secret_id)]
        secret: AppSecretId,
    },
}

/// An app by its id or client id.
#[derive(Debug, Clone, Args)]
pub(crate) struct Named {
    /// Id or client id of the app.
    #[arg(value_name = "APP")]
    app: String,
}

impl Named {
    /// The app's id, and the operator's access to its organization.
    async fn find(&self, context: &Context) -> Result<(AppId, Access), CliError> {
        let found = apps::named(&context.app, &self.app).await?;
        let mut conn = context.app.conn().await?;
        Ok((found.id, organizations::operator_access(&mut conn, found.organization_id).await?))
    }
}

fn parse_secret_id(text: &str) -> Result<AppSecretId, String> {
    text.parse().map_err(|_| "the id of a secret is wanted, a UUID; `app show` lists them".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Slug of the publisher's organization.
    #[arg(long)]
    org: String,
    /// Its name, 1 to 100 characters; shown to people.
    #[arg(long)]
    name: String,
    /// Where people may be sent back to; compared byte for byte.
    #[arg(long, value_name = "URI", num_args = 1.., required = true)]
    redirect_uri: Vec<String>,
    /// An app that can't keep a secret: a command-line tool or a page in a browser.
    #[arg(long)]
    public: bool,
    /// What it may ask for; repeat it or separate scopes by commas [default: every read-only scope of the catalog but
    /// those for management].
    #[arg(long, num_args = 1.., value_delimiter = ',')]
    scope: Option<Vec<String>>,
    /// What it gets when it asks for nothing [default: no default].
    #[arg(long, value_name = "SCOPE", num_args = 1.., value_delimiter = ',')]
    default_scope: Option<Vec<String>>,
    /// Accept requests without `state`.
    #[arg(long)]
    no_require_state: bool,
    /// Accept requests without PKCE; confidential apps only.
    #[arg(long)]
    no_require_pkce: bool,
    /// Form of its access tokens.
    #[arg(long, value_name = "FORM", default_value = "opaque", value_parser = ["opaque", "jwt"])]
    format: String,
    /// For how many seconds a used refresh token gives the same successor again, 0 to 60.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    retry_seconds: i64,
    /// Networks or addresses from which it and its tokens may be used [default: any].
    #[arg(long, value_name = "CIDR", num_args = 1.., value_delimiter = ',')]
    allow_cidr: Option<Vec<String>>,
    /// Let a registered `localhost` match any port.
    #[arg(long)]
    any_port_on_localhost: bool,
    /// A name for its first secret.
    #[arg(long)]
    label: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Slug of the organization.
    #[arg(long)]
    org: String,
    /// Only this status.
    #[arg(long, value_parser = [AppStatus::Active.as_str(), AppStatus::Suspended.as_str()])]
    status: Option<String>,
    /// Only this kind.
    #[arg(long, value_parser = [AppKind::Confidential.as_str(), AppKind::Public.as_str()])]
    kind: Option<String>,
    /// Part of the name in any case, or a whole id or client id.
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Apps of one page, 1 to 200 [default: 50].
    #[arg(long)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    #[arg(long)]
    cursor: Option<String>,
}

/// An app, in the same form from every command that is about one.
#[derive(serde::Serialize)]
struct Shown {
    app: AppJson,
    client_id: String,
}

/// An app with its new secret.
#[derive(serde::Serialize)]
struct Added {
    #[serde(flatten)]
    shown: Shown,
    #[serde(flatten)]
    added: AddedSecretJson,
}

impl Shown {
    fn new(context: &Context, view: &AppView) -> Self {
        Self { app: AppJson::new(&context.app, view, &context.public_url), client_id: view.app.client_id.to_string() }
    }
}

impl AppCommand {
    pub(crate) fn prepare(&self) -> Result<(), CliError> {
        match self {
            Self::Delete { yes: false, .. } if !prompt::is_possible() => {
                Err(CliError::Usage("nobody can be asked here: give --yes to delete the app".to_owned()))
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::Create(args) => create(context, *args).await,
            Self::List(args) => list(context, args).await,
            Self::Show(app) => {
                let (id, access) = app.find(context).await?;
                let view = apps::show(&context.app, &access, id).await?;
                context.output.answer(&Shown::new(context, &view), |shown| app_text(&shown["app"]))
            }
            Self::Suspend(app) => set_status(context, &app, AppStatus::Suspended).await,
            Self::Resume(app) => set_status(context, &app, AppStatus::Active).await,
            Self::Delete { app, yes } => delete(context, &app, yes).await,
            Self::Secret(command) => command.run(context).await,
            Self::Failures { app, limit, cursor } => {
                let (id, access) = app.find(context).await?;
                let page = failures::list(&context.app, &access, id, limit, cursor.as_deref()).await?;
                let next = page.next_cursor.clone();
                let answer = FailurePageJson::from(page);
                context.output.answer(&answer, |page| table(&page["items"], &FAILURE_COLUMNS))?;
                if let Some(cursor) = next {
                    context.output.note(&format!("more: --cursor {cursor}"));
                }
                Ok(())
            }
        }
    }
}

impl SecretCommand {
    async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::Add { app, overlap, label } => {
                let (id, access) = app.find(context).await?;
                let caller = &context.caller;
                let added = secrets::add(&context.app, caller, &access, id, overlap, label.as_deref()).await?;
                let shown = Shown::new(context, &added.view);
                let added = AddedSecretJson::new(added);
                let added = added.ok_or_else(|| AppError::internal("a new secret is gone at once"))?;
                let answer = Added { shown, added };
                context.output.answer(&answer, |added| {
                    let secret =
                        serde_json::json!({"client_secret": added["client_secret"], "secret": added["secret"]});
                    details(&secret, &["client_secret", "secret"])
                })?;
                context.output.note(SHOWN_ONCE);
                Ok(())
            }
            Self::Revoke { app, secret } => {
                let (id, access) = app.find(context).await?;
                let view = secrets::revoke(&context.app, &context.caller, &access, id, secret).await?;
                context.output.answer(&Shown::new(context, &view), |shown| app_text(&shown["app"]))
            }
        }
    }
}

async fn create(context: &Context, args: CreateArgs) -> Result<(), CliError> {
    let access = context.access(&args.org).await?;
    let kind = if args.public { AppKind::Public } else { AppKind::Confidential };
    let wanted = CreateApp {
        name: args.name,
        kind: kind.as_str().to_owned(),
        redirect_uris: args.redirect_uri,
        scopes: args.scope.unwrap_or_else(|| apps::scopes_unless_told(&context.app)),
        default_scopes: args.default_scope,
        require_state: Some(!args.no_require_state),
        require_pkce: Some(!args.no_require_pkce),
        access_token_format: Some(args.format),
        refresh_retry_seconds: Some(args.retry_seconds),
        allowed_cidrs: args.allow_cidr,
        any_port_on_localhost: Some(args.any_port_on_localhost),
        audiences: None,
        secret_label: args.label,
    };
    let registered = apps::create(&context.app, &context.caller, &access, wanted, &context.public_url).await?;
    let has_secret = registered.secret.is_some();
    let answer = RegisteredJson::new(&context.app, registered, &context.public_url);
    context.output.answer(&answer, |registered| {
        let mut text = app_text(&registered["app"]);
        if let Some(secret) = registered["client_secret"].as_str() {
            text.push_str("\n\nclient_secret  ");
            text.push_str(secret);
        }
        text
    })?;
    if has_secret {
        context.output.note(SHOWN_ONCE);
    }
    Ok(())
}

/// An app for people: its fields, then its secrets.
fn app_text(app: &Value) -> String {
    let mut fields = app.as_object().cloned().unwrap_or_default();
    let secrets = fields.remove("secrets").unwrap_or_default();
    let text = details(&Value::from(fields), &FIRST);
    if secrets.as_array().is_some_and(|secrets| !secrets.is_empty()) {
        format!("{text}\n\nSecrets:\n{}", table(&secrets, &SECRET_COLUMNS))
    } else {
        text
    }
}

async fn list(context: &Context, args: ListArgs) -> Result<(), CliError> {
    let access = context.access(&args.org).await?;
    let filter = AppFilter {
        status: args.status.as_deref().and_then(AppStatus::from_word),
        kind: args.kind.as_deref().and_then(AppKind::from_word),
        text: args.q,
    };
    let page = apps::list(&context.app, &access, &filter, args.limit, args.cursor.as_deref()).await?;
    context
        .output
        .answer(&AppPageJson::new(&context.app, &page, &context.public_url), |page| table(&page["items"], &COLUMNS))?;
    if let Some(cursor) = &page.next_cursor {
        context.output.note(&format!("more: --cursor {cursor}"));
    }
    Ok(())
}

async fn set_status(context: &Context, app: &Named, status: AppStatus) -> Result<(), CliError> {
    let (id, access) = app.find(context).await?;
    let change = ChangeApp { status: Some(status.as_str().to_owned()), ..ChangeApp::default() };
    let view = apps::change(&context.app, &context.caller, &access, id, &change, &context.public_url).await?;
    context.output.answer(&Shown::new(context, &view), |shown| app_text(&shown["app"]))
}

#[derive(serde::Serialize)]
struct Deleted {
    deleted: uuid::Uuid,
}

async fn delete(context: &Context, app: &Named, yes: bool) -> Result<(), CliError> {
    let (id, access) = app.find(context).await?;
    let name = apps::show(&context.app, &access, id).await?.app.name;
    let question = format!("Delete the app `{}` for good?", crate::output::escaped(&name));
    if !yes && !prompt::confirm(&question).await? {
        return Err(CliError::Declined);
    }
    apps::delete(&context.app, &context.caller, &access, id).await?;
    context.output.answer(&Deleted { deleted: id.as_uuid() }, |answer| details(answer, &["deleted"]))
}
