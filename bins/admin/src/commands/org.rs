use clap::Subcommand;
use statuspulse_app::{organizations, views::OrganizationJson};

use super::{Context, Items};
use crate::{
    error::CliError,
    output::{details, table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    /// Create an organization.
    Create {
        /// Its name in URLs: 1 to 40 lower-case letters, digits and inner hyphens.
        #[arg(long)]
        slug: String,
        /// Its name for people.
        #[arg(long)]
        name: String,
    },
    /// List all organizations.
    List,
}

impl OrgCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::Create { slug, name } => {
                let created = organizations::create(&context.app, &context.caller, &slug, &name).await?;
                context.output.answer(&OrganizationJson::from(&created), |org| details(org, &["id", "slug", "name"]))
            }
            Self::List => {
                let all = organizations::list(&context.app).await?;
                let answer = Items { items: all.iter().map(OrganizationJson::from).collect() };
                context.output.answer(&answer, |list| table(&list["items"], &["slug", "name", "id", "created_at"]))
            }
        }
    }
}
