use clap::Subcommand;
use serde::Serialize;
use statuspulse_app::signing;

use super::Context;
use crate::{error::CliError, output::details};

#[derive(Debug, Subcommand)]
pub(crate) enum SigningKeyCommand {
    /// Sign with a new key from now on; the old one stays published until its tokens have ended.
    Rotate,
}

#[derive(Serialize)]
struct Rotated {
    kid: String,
}

impl SigningKeyCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let Self::Rotate = self;
        let kid = signing::rotate(&context.app, &context.caller).await?;
        context.output.answer(&Rotated { kid }, |answer| details(answer, &["kid"]))
    }
}
