use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde::Serialize;
use statuspulse_app::{
    accounts,
    members::{self, Member, NewMember},
    passwords::Password,
    views::MemberJson,
};
use statuspulse_policy::Role;

use super::Context;
use crate::{
    error::CliError,
    output::{details, table},
    prompt,
};

const COLUMNS: [&str; 6] = ["email", "role", "name", "created_at", "last_sign_in_at", "id"];

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Give somebody a role in an organization; who is new gets an account.
    ///
    /// Without --password-stdin a new account gets a generated password, which is shown this once.
    Create(CreateArgs),
    /// List the people of an organization, newest first.
    List(ListArgs),
    /// Give a member another role, and end what the member has authorized beyond it.
    SetRole {
        #[command(flatten)]
        member: Named,
        /// What the person may do from now on.
        #[arg(long, value_parser = role_parser())]
        role: String,
    },
    /// Set the password of a member who has lost it, and end all sessions of that person.
    ///
    /// A closed account gets none. The account may belong to other organizations too: the password is that of all of them. What the person has given apps
    /// access to stays; end that with `grant revoke --user`. Without --password-stdin the password is generated, and shown this
    /// once.
    SetPassword(SetPasswordArgs),
    /// Take somebody out of an organization, and end what the person has authorized for it. The account stays.
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Slug of the organization.
    #[arg(long)]
    org: String,
    /// E-mail address; it is the name for signing in.
    #[arg(long)]
    email: String,
    /// What the person may do.
    #[arg(long, value_parser = role_parser())]
    role: String,
    /// Read the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
    /// Read before the database is opened.
    #[arg(skip)]
    password: Option<Password>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Slug of the organization.
    #[arg(long)]
    org: String,
    /// People of one page, 1 to 200 [default: 50].
    #[arg(long)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    #[arg(long)]
    cursor: Option<String>,
}

/// A member, by address.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Slug of the organization.
    #[arg(long)]
    org: String,
    /// E-mail address of the member.
    #[arg(long)]
    email: String,
}

#[derive(Debug, Args)]
pub(crate) struct SetPasswordArgs {
    #[command(flatten)]
    member: Named,
    /// Read the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
    /// Read before the database is opened.
    #[arg(skip)]
    password: Option<Password>,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    member: Named,
    /// Only say who it would be, and how many grants would end.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Don't ask.
    #[arg(long)]
    yes: bool,
}

fn role_parser() -> PossibleValuesParser {
    PossibleValuesParser::new(Role::ALL.map(Role::as_str))
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
struct ChangedPassword<'a> {
    id: String,
    email: &'a str,
    ended_sessions: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

/// A member, with what only operators see.
#[derive(Serialize)]
struct ListedUser {
    #[serde(flatten)]
    member: MemberJson,
    disabled_at: Option<DateTime<Utc>>,
}

impl From<&Member> for ListedUser {
    fn from(member: &Member) -> Self {
        Self { member: MemberJson::from(member), disabled_at: member.user.disabled_at }
    }
}

#[derive(Serialize)]
struct UserPage {
    items: Vec<ListedUser>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct WouldRemove {
    would_remove: ListedUser,
    would_end_grants: u64,
}

#[derive(Serialize)]
struct Removed {
    removed: ListedUser,
    ended_grants: u64,
}

impl UserCommand {
    pub(crate) fn prepare(&mut self) -> Result<(), CliError> {
        match self {
            Self::Create(args) if args.password_stdin => args.password = Some(prompt::password()?),
            Self::SetPassword(args) if args.password_stdin => args.password = Some(prompt::password()?),
            Self::Remove(args) if !args.dry_run && !args.yes && !prompt::is_possible() => {
                return Err(CliError::Usage(
                    "nobody can be asked here: give --dry-run to see who it would be, or --yes to remove the person"
                        .to_owned(),
                ));
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::Create(args) => args.run(context).await,
            Self::List(args) => args.run(context).await,
            Self::SetRole { member, role } => {
                let access = context.access(&member.org).await?;
                let known = members::by_email(&context.app, &access, &member.email).await?;
                let changed = members::change(&context.app, &context.caller, &access, known.user.id, &role).await?;
                context.output.answer(&ListedUser::from(&changed), |user| details(user, &COLUMNS))
            }
            Self::SetPassword(args) => args.run(context).await,
            Self::Remove(args) => args.run(context).await,
        }
    }
}

impl CreateArgs {
    async fn run(self, context: &Context) -> Result<(), CliError> {
        let access = context.access(&self.org).await?;
        let new = NewMember { email: self.email, name: None, role: self.role, password: self.password };
        let added = members::add(&context.app, &context.caller, &access, new).await?;
        let answer = CreatedUser {
            id: added.member.user.id.to_string(),
            email: &added.member.user.email,
            role: added.member.role.as_str(),
            password: added.password.as_ref().map(Password::expose),
        };
        context.output.answer(&answer, |user| details(user, &["id", "email", "role"]))?;
        if added.password.is_some() {
            context.output.note("The password is shown this once.");
        }
        Ok(())
    }
}

impl ListArgs {
    async fn run(self, context: &Context) -> Result<(), CliError> {
        let access = context.access(&self.org).await?;
        let page = members::list(&context.app, &access, self.limit, self.cursor.as_deref()).await?;
        let items = page.items.iter().map(ListedUser::from).collect();
        let answer = UserPage { items, next_cursor: page.next_cursor };
        context.output.answer(&answer, |page| table(&page["items"], &COLUMNS))?;
        if let Some(cursor) = &answer.next_cursor {
            context.output.note(&format!("more: --cursor {cursor}"));
        }
        Ok(())
    }
}

impl SetPasswordArgs {
    async fn run(self, context: &Context) -> Result<(), CliError> {
        let access = context.access(&self.member.org).await?;
        let Member { user, .. } = members::by_email(&context.app, &access, &self.member.email).await?;
        let set = accounts::set_password(&context.app, &context.caller, &access, user.id, self.password).await?;
        let answer = ChangedPassword {
            id: user.id.to_string(),
            email: &user.email,
            ended_sessions: set.ended_sessions,
            password: set.password.as_ref().map(Password::expose),
        };
        context.output.answer(&answer, |user| details(user, &["id", "email", "ended_sessions", "password"]))?;
        if set.password.is_some() {
            context.output.note("The password is shown this once.");
        }
        Ok(())
    }
}

impl RemoveArgs {
    async fn run(self, context: &Context) -> Result<(), CliError> {
        let access = context.access(&self.member.org).await?;
        let member = members::by_email(&context.app, &access, &self.member.email).await?;
        let user = member.user.id;
        let would_end_grants = members::would_remove(&context.app, &access, user).await?;
        if self.dry_run {
            let answer = WouldRemove { would_remove: ListedUser::from(&member), would_end_grants };
            return context.output.answer(&answer, |answer| details(answer, &["would_remove", "would_end_grants"]));
        }
        let (email, org) = (&member.user.email, &self.member.org);
        let question = format!("Take {email} out of {org}, and end {would_end_grants} grants?");
        if !self.yes && !prompt::confirm(&question).await? {
            return Err(CliError::Declined);
        }
        let ended_grants = members::remove(&context.app, &context.caller, &access, user).await?;
        let answer = Removed { removed: ListedUser::from(&member), ended_grants };
        context.output.answer(&answer, |answer| details(answer, &["removed", "ended_grants"]))
    }
}
