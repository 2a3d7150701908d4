use clap::Subcommand;
use serde::Serialize;
use statuspulse_app::leaks::{self, Reported};

use super::Context;
use crate::{error::CliError, output::details, prompt};

#[derive(Debug, Subcommand)]
pub(crate) enum LeakCommand {
    /// End a credential that has leaked, and alert its owner. It is read from standard input, never from an argument.
    Revoke {
        /// Read the token from standard input.
        #[arg(long, required = true)]
        token_stdin: bool,
    },
}

#[derive(Serialize)]
struct Ended {
    revoked: usize,
}

impl LeakCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let Self::Revoke { .. } = self;
        let token = prompt::secret_line("--token-stdin", "token")?;
        let ended = leaks::work(&context.app, &context.caller, &[Reported::new(token)]).await?;
        context.output.answer(&Ended { revoked: ended }, |answer| details(answer, &["revoked"]))
    }
}
