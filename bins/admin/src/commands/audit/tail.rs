use std::{io, time::Duration};

use clap::Args;
use serde_json::Value;
use statuspulse_app::audit::tail;
use statuspulse_audit::{Record, record::instant};

use super::{FilterArgs, drained, shown};
use crate::{
    commands::Context,
    error::CliError,
    output::{self, escaped, inert_json},
};

/// How often it is looked for new events.
const EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Events to begin with.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    limit: u32,
    /// Go on with what comes, until it is interrupted.
    #[arg(long, short)]
    follow: bool,
}

impl TailArgs {
    pub(super) const fn follows(&self) -> bool {
        self.follow
    }

    pub(super) async fn run(self, context: &Context) -> Result<(), CliError> {
        let (access, filter) = self.filter.read(context).await?;
        drained(context).await?;
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let (newest, mut tail) = tail::begin(&context.app, &context.caller, access.as_ref(), filter, limit).await?;
        let mut records = newest;
        loop {
            match show(context, &records).await {
                Ok(()) => {}
                // Whoever read has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(source) => return Err(CliError::Io { what: "events can't be shown", source }),
            }
            if !self.follow {
                return Ok(());
            }
            tokio::time::sleep(EVERY).await;
            if output::is_closed() {
                return Ok(());
            }
            records = match tail.next().await {
                Ok(records) => records,
                // It comes back; what is written meanwhile is shown then.
                Err(error) if error.status() == 503 => {
                    tracing::warn!(%error, "the database is away");
                    Vec::new()
                }
                Err(error) => return Err(error.into()),
            };
        }
    }
}

async fn show(context: &Context, records: &[Record]) -> io::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let mut text = String::new();
    for record in records {
        if context.output.json {
            text.push_str(&inert_json(&shown(record)));
        } else {
            text.push_str(&line(record));
        }
        text.push('\n');
    }
    output::write(text.into_bytes()).await
}

/// One line, in which nothing that a caller has sent does anything.
fn line(record: &Record) -> String {
    let entry = &record.entry;
    let text = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), escaped);
    let actor = match &entry.actor.id {
        Some(id) => format!("{}:{id}", entry.actor.kind),
        None => entry.actor.kind.clone(),
    };
    let route = match (&entry.method, &entry.route) {
        (None, None) => None,
        (method, route) => {
            Some([method.as_deref(), route.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" "))
        }
    };
    let status = entry.status.map(|status| Value::from(status).to_string());
    [
        instant(entry.occurred_at),
        format!("{:<22}", escaped(&entry.action)),
        format!("{:<7}", escaped(&entry.outcome)),
        text(entry.reason.as_deref()),
        escaped(&actor),
        text(entry.ip.map(|ip| ip.to_string()).as_deref()),
        text(entry.country.as_deref()),
        text(route.as_deref()),
        text(status.as_deref()),
    ]
    .join("  ")
}
