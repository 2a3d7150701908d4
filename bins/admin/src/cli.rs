//! The arguments.

use clap::{Parser, Subcommand};
use statuspulse_app::boot::Purpose;

use crate::{
    commands::{
        Context, alert::AlertCommand, app::AppCommand, audit::AuditCommand, doctor, grant::GrantCommand,
        key::KeyCommand, leak::LeakCommand, migrate, org::OrgCommand, pepper::PepperCommand, report::ReportCommand,
        settings::SettingsCommand, signing_key::SigningKeyCommand, user::UserCommand,
    },
    config::ConfigArgs,
    error::CliError,
    output::Output,
};

const AFTER_HELP: &str = "\
The configuration is that of the server: each of its flags is an environment variable. Without DATABASE_URL it finds \
the private PostgreSQL of a running or stopped server through the data directory.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found, 4 refused by a rule; of `audit verify`, \
`audit check-proof`, `report soc2` and `report check` 10 tampered, 11 incomplete.
Secrets are written to standard output only, everything but the answer to standard error.";

/// Operates StatusPulse Auth: organizations, people, API keys, OAuth apps and grants, settings, secrets, alerts, the audit trail.
#[derive(Debug, Parser)]
#[command(name = "statuspulse-admin", version, after_help = AFTER_HELP, subcommand_required = true)]
#[command(arg_required_else_help = true, max_term_width = 120)]
pub(crate) struct Cli {
    /// Answer with one JSON document on standard output, in the form of the REST API.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Apply the migrations that are missing, and say which.
    Migrate,
    /// Organizations.
    #[command(subcommand)]
    Org(OrgCommand),
    /// People and their roles.
    #[command(subcommand)]
    User(UserCommand),
    /// API keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// OAuth apps.
    #[command(subcommand)]
    App(AppCommand),
    /// What people have authorized.
    #[command(subcommand)]
    Grant(GrantCommand),
    /// Alerts, and the rules that open them.
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Credentials that have leaked.
    #[command(subcommand)]
    Leak(LeakCommand),
    /// Settings of an organization.
    #[command(subcommand)]
    Settings(SettingsCommand),
    /// The pepper of the look-up digests.
    #[command(subcommand)]
    Pepper(PepperCommand),
    /// The key of signed access tokens.
    #[command(subcommand)]
    SigningKey(SigningKeyCommand),
    /// The audit trail.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Evidence for an audit.
    #[command(subcommand)]
    Report(ReportCommand),
    /// Say whether the installation is well. Exit code 1 when something isn't.
    Doctor,
}

impl Command {
    /// What can be found out, or has to be read, before the database is opened.
    pub(crate) fn prepare(&mut self) -> Result<(), CliError> {
        match self {
            Self::User(command) => command.prepare(),
            Self::Key(command) => command.prepare(),
            Self::App(command) => command.prepare(),
            Self::Grant(command) => command.prepare(),
            Self::Audit(command) => command.prepare(),
            Self::Report(command) => command.prepare(),
            _ => Ok(()),
        }
    }

    /// Carries out what needs no configuration, no database and no data directory; none for everything else.
    pub(crate) fn offline(&self, output: Output) -> Option<Result<(), CliError>> {
        match self {
            Self::Audit(command) => command.offline(output),
            Self::Report(command) => command.offline(output),
            _ => None,
        }
    }

    /// Whether an interruption is the way in which it ends.
    pub(crate) const fn ends_by_interruption(&self) -> bool {
        matches!(self, Self::Audit(command) if command.ends_by_interruption())
    }

    /// Only what makes something may make the installation that it goes into.
    pub(crate) const fn purpose(&self) -> Purpose {
        match self {
            Self::Migrate | Self::Org(OrgCommand::Create { .. }) | Self::User(UserCommand::Create(_)) => {
                Purpose::FirstTool
            }
            _ => Purpose::Tool,
        }
    }

    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::Migrate => migrate::run(context),
            Self::Org(command) => command.run(context).await,
            Self::User(command) => command.run(context).await,
            Self::Key(command) => command.run(context).await,
            Self::App(command) => command.run(context).await,
            Self::Grant(command) => command.run(context).await,
            Self::Alert(command) => command.run(context).await,
            Self::Leak(command) => command.run(context).await,
            Self::SigningKey(command) => command.run(context).await,
            Self::Settings(command) => command.run(context).await,
            Self::Pepper(command) => command.run(context).await,
            Self::Audit(command) => command.run(context).await,
            Self::Report(command) => command.run(context).await,
            Self::Doctor => doctor::run(context).await,
        }
    }
}
