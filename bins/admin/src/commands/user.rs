use chrono::{DateTime, Utc};
use clap::{Subcommand, builder::PossibleValuesParser};
use serde::Serialize;
use statuspulse_app::{passwords::Password, users};
use statuspulse_policy::Role;

use super::{Context, Items};
use crate::{
    error::CliError,
    output::{details, table},
    prompt,
};

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Give somebody a role in an organization; who is new gets an account.
    ///
    /// Without --password-stdin a new account gets a generated password, which is shown this once.
    Create {
        /// Slug of the organization.
        #[arg(long)]
        org: String,
        /// E-mail address; it is the name for signing in.
        #[arg(long)]
        email: String,
        /// What the person may do.
        #[arg(long, value_parser = PossibleValuesParser::new(Role::ALL.map(Role::as_str)))]
        role: String,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
        /// Read before the database is opened.
        #[arg(skip)]
        password: Option<Password>,
    },
    /// List the people of an organization.
    List {
        /// Slug of the organization.
        #[arg(long)]
        org: String,
    },
}

#[derive(Serialize)]
struct CreatedUser<'a> {
    id: String,
    email: &'a str,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

#[derive(Serialize)]
struct ListedUser {
    id: String,
    email: String,
    name: String,
    role: &'static str,
    disabled_at: Option<DateTime<Utc>>,
}

impl UserCommand {
    pub(crate) fn prepare(&mut self) -> Result<(), CliError> {
        if let Self::Create { password_stdin: true, password, .. } = self {
            *password = Some(prompt::password()?);
        }
        Ok(())
    }

    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::Create { org, email, role, password, .. } => {
                let role: Role = role.parse().map_err(|error| CliError::Usage(format!("{error}")))?;
                let access = context.access(&org).await?;
                let created = users::create(&context.app, &context.caller, &access, &email, role, password).await?;
                let answer = CreatedUser {
                    id: created.id.to_string(),
                    email: &created.email,
                    role: created.role.as_str(),
                    password: created.password.as_ref().map(Password::expose),
                };
                context.output.answer(&answer, |user| details(user, &["id", "email", "role"]))?;
                if created.password.is_some() {
                    context.output.note("The password is shown this once.");
                }
                Ok(())
            }
            Self::List { org } => {
                let access = context.access(&org).await?;
                let people = users::list(&context.app, &access).await?;
                let listed = |(user, role): (statuspulse_store::users::User, Role)| ListedUser {
                    id: user.id.to_string(),
                    email: user.email,
                    name: user.name,
                    role: role.as_str(),
                    disabled_at: user.disabled_at,
                };
                let answer = Items { items: people.into_iter().map(listed).collect() };
                context.output.answer(&answer, |list| table(&list["items"], &["email", "role", "name", "id"]))
            }
        }
    }
}
