use std::net::IpAddr;

use clap::Args;
use serde::Serialize;
use statuspulse_app::audit;
use statuspulse_policy::canonical_ip;

use super::drained;
use crate::{commands::Context, error::CliError, output::details, prompt};

#[derive(Debug, Args)]
pub(crate) struct EraseArgs {
    /// The address.
    #[arg(long, value_name = "ADDRESS")]
    ip: IpAddr,
    /// Slug of the organization [default: all, and what belongs to none].
    #[arg(long)]
    org: Option<String>,
    /// Only say how many events it would be.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Don't ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct WouldErase {
    would_erase: u64,
}

#[derive(Serialize)]
struct Erased {
    erased: u64,
}

impl EraseArgs {
    pub(super) fn check(&self) -> Result<(), CliError> {
        if self.dry_run || self.yes || prompt::is_possible() {
            return Ok(());
        }
        let text = "nobody can be asked here: give --dry-run to see how many events it would be, or --yes to erase";
        Err(CliError::Usage(text.to_owned()))
    }

    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let organization = match &self.org {
            Some(slug) => Some(context.access(slug).await?.organization.id),
            None => None,
        };
        let ip = canonical_ip(self.ip);
        // What waits in the spool or the outbox has the address too.
        drained(context).await?;
        if self.dry_run {
            let would_erase = audit::erase::count(&context.app, ip, organization).await?;
            return context.output.answer(&WouldErase { would_erase }, |answer| details(answer, &[]));
        }
        if !self.yes {
            let events = audit::erase::count(&context.app, ip, organization).await?;
            let whose = self.org.as_deref().map_or_else(|| "every organization".to_owned(), |slug| format!("`{slug}`"));
            let question =
                format!("Erase {ip} and the user agents beside it from {events} events of {whose} for good?");
            if events > 0 && !prompt::confirm(&question).await? {
                return Err(CliError::Declined);
            }
        }
        let erased = audit::erase::erase(&context.app, &context.caller, ip, organization).await?;
        context.output.answer(&Erased { erased }, |answer| details(answer, &[]))?;
        context.output.note("Archives, exports and backups that were made before still have it.");
        Ok(())
    }
}
