use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;
use statuspulse_app::peppers;
use statuspulse_store::peppers::PepperUse;

use super::{Context, Items};
use crate::{error::CliError, output::table};

#[derive(Debug, Subcommand)]
pub(crate) enum PepperCommand {
    /// Show each pepper with the number of key versions that still need it.
    Status,
    /// Start a new pepper; versions move to it when they are next used.
    ///
    /// Two peppers are in force at a time, so the one before the current is dropped. That is refused while key versions
    /// need it.
    Rotate {
        /// Drop a pepper that versions still need: their tokens are refused from then on.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Serialize)]
struct Pepper {
    version: i16,
    master_key_version: i16,
    created_at: DateTime<Utc>,
    retired_at: Option<DateTime<Utc>>,
    live_versions: i64,
}

impl PepperCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        let all = match self {
            Self::Status => peppers::status(&context.app).await?,
            Self::Rotate { force } => peppers::rotate(&context.app, &context.caller, force).await?,
        };
        let shown = |pepper: PepperUse| Pepper {
            version: pepper.version,
            master_key_version: pepper.master_key_version,
            created_at: pepper.created_at,
            retired_at: pepper.retired_at,
            live_versions: pepper.live_versions,
        };
        let answer = Items { items: all.into_iter().map(shown).collect() };
        let columns = ["version", "master_key_version", "live_versions", "created_at", "retired_at"];
        context.output.answer(&answer, |list| table(&list["items"], &columns))
    }
}
