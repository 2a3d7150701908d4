use std::{fs, path::PathBuf};

use clap::Args;
use serde::Serialize;
use statuspulse_app::audit;
use statuspulse_audit::{Proof, proof::ProofError, record::instant};
use statuspulse_policy::EventId;

use super::read_public_keys;
use crate::{
    commands::Context,
    error::CliError,
    file::Draft,
    output::{Output, escaped, inert_json},
};

/// A proof is some kilobytes: a path of some twenty digests, a record, the heads of a checkpoint.
const LARGEST: u64 = 16 << 20;

pub(super) async fn prove(context: &Context, id: EventId, output: Option<PathBuf>) -> Result<(), CliError> {
    let proof = audit::prove::prove(&context.app, id).await?;
    let failed = |source| CliError::Io { what: "the proof can't be written", source };
    let text = inert_json(&serde_json::to_value(&proof).map_err(|error| failed(error.into()))?);
    let Some(path) = output else {
        return crate::output::print(&text);
    };
    let mut draft = Draft::create(path).map_err(failed)?;
    draft.write(format!("{text}\n").as_bytes()).map_err(failed)?;
    let path = draft.finish().map_err(failed)?;
    context.output.note(&format!("the proof is in `{}`", path.display()));
    Ok(())
}

#[derive(Debug, Args)]
pub(crate) struct CheckProofArgs {
    /// The proof, as `audit prove` writes it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The public key, got from elsewhere than the proof.
    #[arg(long, value_name = "FILE")]
    public_key: PathBuf,
}

#[derive(Serialize)]
struct Checked {
    ok: bool,
    event: String,
    checkpoint: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl CheckProofArgs {
    pub(super) fn run(&self, output: Output) -> Result<(), CliError> {
        let keys = read_public_keys(&self.public_key)?;
        let shown = self.file.display();
        let usage = |error: &dyn std::fmt::Display| CliError::Usage(format!("`{shown}` can't be read: {error}"));
        let size = fs::metadata(&self.file).map_err(|error| usage(&error))?.len();
        if size > LARGEST {
            return Err(CliError::Usage(format!("`{shown}` has {size} bytes, which no proof has")));
        }
        let text = fs::read_to_string(&self.file).map_err(|error| usage(&error))?;
        let proof: Proof =
            serde_json::from_str(&text).map_err(|error| CliError::Usage(format!("`{shown}` is no proof: {error}")))?;
        let judged = judge(&proof, &keys);
        let answer = Checked {
            ok: judged.is_ok(),
            event: proof.record.entry.id.to_string(),
            checkpoint: proof.checkpoint.body.number,
            reason: judged.as_ref().err().map(ToString::to_string),
        };
        output.answer(&answer, |_| if answer.ok { proven(&proof) } else { String::new() })?;
        judged.map_err(|error| CliError::Unproven(error.to_string()))
    }
}

/// By any of the keys: one of them has signed the checkpoint.
fn judge(proof: &Proof, keys: &[statuspulse_audit::PublicKey]) -> Result<(), ProofError> {
    let mut first = Err(ProofError::Signature);
    for key in keys {
        match proof.verify(key) {
            Ok(()) => return Ok(()),
            Err(ProofError::Signature) => {}
            other => first = other,
        }
    }
    first
}

fn proven(proof: &Proof) -> String {
    let (record, checkpoint) = (&proof.record, &proof.checkpoint.body);
    format!(
        "proven: the event {} ({} at {}) is in the trail;\ncheckpoint {} of {} vouches for it, signed by the key {}",
        record.entry.id,
        escaped(&record.entry.action),
        instant(record.entry.occurred_at),
        checkpoint.number,
        instant(checkpoint.at),
        checkpoint.key_id
    )
}
