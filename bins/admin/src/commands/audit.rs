//! The audit trail.

use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde::Serialize;
use serde_json::Value;
use statuspulse_app::{AppError, audit, caller::Access};
use statuspulse_audit::{Action, Outcome};
use statuspulse_policy::{Cidr, EventId};
use statuspulse_store::audit::trail::Filter;

use super::{Context, parse_moment};
use crate::{
    error::CliError,
    output::{Output, details, tell},
};

mod erase;
mod export;
mod proof;
mod tail;
mod verify;

pub(super) use self::{export::Progress, verify::words};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Show the newest events, oldest first; with `--follow` what comes too, until it is interrupted.
    Tail(tail::TailArgs),
    /// Write events out, oldest first: everything that the trail holds where nothing narrows it.
    ///
    /// What was written when it began is in it, whole; what comes meanwhile is not.
    Export(export::ExportArgs),
    /// Say whether the trail is whole. Exit code 0 whole, 10 tampered, 11 incomplete.
    ///
    /// Looks at every event of the tables, at every checkpoint of the table and of the data directory, and at those of a
    /// file that was held elsewhere. With `--jsonl` it looks at an export instead and needs nothing but the files: no
    /// database, no data directory, no configuration.
    Verify(verify::VerifyArgs),
    /// Write the proof that an event is in the trail, for somebody who has only the public key.
    Prove {
        /// Id of the event.
        #[arg(value_name = "ID", value_parser = parse_event)]
        id: EventId,
        /// Write it to a file.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check a proof; needs nothing but the files. Exit code 0 proven, 10 not.
    CheckProof(proof::CheckProofArgs),
    /// Make a checkpoint now and print it: best to where nobody can change it.
    Checkpoint {
        /// Hand over to a new key, which signs from the next one on.
        #[arg(long)]
        rotate_key: bool,
    },
    /// Print the public key by which checkpoints are checked.
    PublicKey {
        /// All keys that ever signed, oldest first.
        #[arg(long)]
        all: bool,
    },
    /// Erase an address from the trail, with the user agents beside it; that is itself an event.
    Erase(erase::EraseArgs),
}

fn parse_event(text: &str) -> Result<EventId, String> {
    text.parse().map_err(|_| "the id of an event is wanted, a UUID; `audit tail --json` shows it".to_owned())
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Slug of the organization [default: all, and what belongs to none].
    #[arg(long)]
    org: Option<String>,
    /// From this moment on, such as `2030-01-31T12:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    from: Option<DateTime<Utc>>,
    /// Before this moment.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    to: Option<DateTime<Utc>>,
    /// Only of this actor, by id.
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Only this action, such as `key.create`, or a family of them, such as `key.`.
    #[arg(long, value_parser = parse_action)]
    action: Option<String>,
    /// Only this outcome.
    #[arg(long, value_parser = PossibleValuesParser::new([
        Outcome::Allowed.as_str(), Outcome::Denied.as_str(), Outcome::Failed.as_str(),
    ]))]
    outcome: Option<String>,
    /// Only from this address or network.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_network)]
    ip: Option<Cidr>,
    /// Only from this country, two letters.
    #[arg(long, value_parser = parse_country)]
    country: Option<String>,
}

/// A mistyped word must not answer with nothing.
fn parse_action(text: &str) -> Result<String, String> {
    let is_family = text.ends_with('.');
    let fits = |action: &&Action| action.as_str() == text || is_family && action.as_str().starts_with(text);
    match Action::ALL.iter().find(fits) {
        Some(_) => Ok(text.to_owned()),
        None => {
            let all: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
            Err(format!("there is no such action; there are {}, and families such as `key.`", all.join(", ")))
        }
    }
}

fn parse_network(text: &str) -> Result<Cidr, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn parse_country(text: &str) -> Result<String, String> {
    let fits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if fits { Ok(text.to_ascii_uppercase()) } else { Err("two letters such as `DE` are wanted".to_owned()) }
}

impl FilterArgs {
    /// The organization that is asked about, and the filter without it.
    async fn read(self, context: &Context) -> Result<(Option<Access>, Filter), AppError> {
        let access = match &self.org {
            Some(slug) => Some(context.access(slug).await?),
            None => None,
        };
        let filter = Filter {
            organization: None,
            from: self.from,
            to: self.to,
            actor: self.actor,
            action: self.action,
            outcome: self.outcome,
            network: self.ip,
            country: self.country,
        };
        Ok((access, filter))
    }
}

#[derive(Serialize)]
struct PublicKeyJson {
    key_id: String,
    public_key: String,
    in_force: bool,
}

impl AuditCommand {
    pub(crate) fn prepare(&self) -> Result<(), CliError> {
        match self {
            Self::Erase(args) => args.check(),
            _ => Ok(()),
        }
    }

    /// Carries out what needs nothing but files; none for everything else.
    pub(crate) fn offline(&self, output: Output) -> Option<Result<(), CliError>> {
        match self {
            Self::Verify(args) => args.offline(output),
            Self::CheckProof(args) => Some(args.run(output)),
            _ => None,
        }
    }

    /// Whether an interruption is the way in which it ends.
    pub(crate) const fn ends_by_interruption(&self) -> bool {
        matches!(self, Self::Tail(args) if args.follows())
    }

    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::Tail(args) => args.run(context).await,
            Self::Export(args) => args.run(context).await,
            Self::Verify(args) => args.run(context).await,
            Self::Prove { id, output } => proof::prove(context, id, output).await,
            Self::CheckProof(args) => args.run(context.output),
            Self::Checkpoint { rotate_key } => {
                drained(context).await?;
                let signed = audit::checkpoint::now(&context.app, &context.caller, rotate_key).await?;
                context.output.answer(&signed, |checkpoint| details(checkpoint, &CHECKPOINT))
            }
            Self::PublicKey { all } => public_key(context, all).await,
            Self::Erase(args) => args.run(context).await,
        }
    }
}

/// What people want to see first of a checkpoint.
const CHECKPOINT: [&str; 9] =
    ["number", "at", "key_id", "signature", "root", "leaves", "previous", "streams", "sealed"];

/// Brings what waits into the table; says so where something goes on waiting.
pub(super) async fn drained(context: &Context) -> Result<bool, CliError> {
    let drained = audit::drain(&context.app).await?;
    if !drained {
        tell(&format!(
            "warning[not_drained]: events still wait for the table after {} s; what follows is without them",
            Duration::as_secs(&audit::DRAIN)
        ));
    }
    Ok(drained)
}

async fn public_key(context: &Context, all: bool) -> Result<(), CliError> {
    let mut conn = context.app.conn().await?;
    let keys = audit::keys::all(&context.app, &mut conn).await?;
    let wanted = keys.iter().filter(|key| all || key.in_force).map(|key| PublicKeyJson {
        key_id: key.public.key_id().to_string(),
        public_key: key.public.to_pem(),
        in_force: key.in_force,
    });
    let items: Vec<_> = wanted.collect();
    if items.is_empty() {
        let detail = "no key signs yet; `audit checkpoint` makes the first one".to_owned();
        return Err(AppError::Missing { code: "no_key", detail }.into());
    }
    context.output.answer(&super::Items { items }, |list| {
        let keys = list["items"].as_array().into_iter().flatten();
        let pems: Vec<&str> = keys.filter_map(|key| key["public_key"].as_str().map(str::trim_end)).collect();
        pems.join("\n")
    })
}

/// Reads public keys out of a file: one PEM block, or several as `audit public-key --all` prints them, oldest first.
pub(super) fn read_public_keys(path: &std::path::Path) -> Result<Vec<statuspulse_audit::PublicKey>, CliError> {
    const END: &str = "-----END PUBLIC KEY-----";
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::Usage(format!("`{}` can't be read: {error}", path.display())))?;
    let blocks = text.split_inclusive(END).filter(|block| !block.trim().is_empty());
    let keys: Result<Vec<_>, _> = blocks.map(statuspulse_audit::PublicKey::from_pem).collect();
    let keys = keys.map_err(|error| CliError::Usage(format!("`{}`: {error}", path.display())))?;
    if keys.is_empty() { Err(CliError::Usage(format!("`{}` holds no public key", path.display()))) } else { Ok(keys) }
}

/// An event as the REST API shows it, and whose it is.
fn shown(record: &statuspulse_audit::Record) -> Value {
    const FIELDS: [&str; 18] = [
        "id",
        "stream",
        "sequence",
        "occurred_at",
        "action",
        "outcome",
        "reason",
        "organization_id",
        "actor",
        "method",
        "route",
        "status",
        "ip",
        "country",
        "user_agent",
        "fingerprint",
        "request_id",
        "detail",
    ];
    let mut event = serde_json::to_value(record).unwrap_or_default();
    if let Some(fields) = event.as_object_mut() {
        fields.retain(|name, _| FIELDS.contains(&name.as_str()));
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_one_of_the_list_or_a_family_of_it() {
        let read = ["key.create", "key.", "key", "kee.", "nonsense", "."].map(|text| parse_action(text).is_ok());
        assert_eq!(read, [true, true, false, false, false, false]);
    }

    #[test]
    fn a_country_is_two_letters() {
        let read = ["de", "DE", "D1", "DEU", "é"].map(|text| parse_country(text).ok());
        assert_eq!(read, [Some("DE".to_owned()), Some("DE".to_owned()), None, None, None]);
    }
}
