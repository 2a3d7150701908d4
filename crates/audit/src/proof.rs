//! That one record is in the trail, checkable without the trail: by the record, a path, and a checkpoint (audit §5).

use serde::{Deserialize, Serialize};

use crate::{
    bytes::Digest,
    chain::{self, CanonicalError},
    checkpoint::SignedCheckpoint,
    merkle,
    record::Record,
    signing::PublicKey,
    verify::content::{self, Texts},
};

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Signed by another key, or changed since.
    #[error("the checkpoint is not signed by this key")]
    Signature,
    /// What the record says and its leaf contradict each other.
    #[error("the record was changed: its fields don't give its leaf")]
    Record,
    /// The record has an address or a user agent to which it isn't committed.
    #[error("the record's address or user agent is not the one that was written")]
    Commitment,
    /// The path doesn't lead from the leaf to the checkpoint's root.
    #[error("the path does not lead from the record to the checkpoint's root")]
    Path,
    /// The checkpoint says nothing about this record's stream, or not as far.
    #[error("the checkpoint does not reach this record")]
    Stream,
    /// A part of it has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// The proof of one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The record as it is exported.
    pub record: Record,
    /// Its place among the checkpoint's leaves, from 0.
    pub index: u64,
    /// The checkpoint's leaves.
    pub leaves: u64,
    /// Siblings from the leaf upwards.
    pub path: Vec<Digest>,
    /// The checkpoint that first covered the record.
    pub checkpoint: SignedCheckpoint,
}

impl Proof {
    /// Makes the proof of a record out of the checkpoint that first covered it and all its leaves in order. None when the
    /// record is none of them.
    #[must_use]
    pub fn new(record: Record, checkpoint: SignedCheckpoint, leaves: &[Digest]) -> Option<Self> {
        let index = leaves.iter().position(|leaf| *leaf == record.leaf)?;
        let path = merkle::path(leaves, index)?;
        Some(Self {
            record,
            index: u64::try_from(index).ok()?,
            leaves: u64::try_from(leaves.len()).ok()?,
            path,
            checkpoint,
        })
    }

    /// Checks it against a public key that was got elsewhere.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn verify(&self, key: &PublicKey) -> Result<(), ProofError> {
        if !self.checkpoint.is_signed_by(key)? {
            return Err(ProofError::Signature);
        }
        let record = &self.record;
        if chain::leaf(record)? != record.leaf || chain::link(&record.prev, &record.leaf) != record.hash {
            return Err(ProofError::Record);
        }
        if content::texts(record) == Texts::Wrong {
            return Err(ProofError::Commitment);
        }
        let body = &self.checkpoint.body;
        let led = merkle::root_from_path(&record.leaf, self.index, self.leaves, &self.path);
        if self.leaves != body.leaves || led != Some(body.root) {
            return Err(ProofError::Path);
        }
        let head = body.streams.iter().find(|head| head.stream == record.stream);
        if head.is_none_or(|head| head.sequence < record.sequence) {
            return Err(ProofError::Stream);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bytes::Bytes,
        checkpoint::{
            Checkpoint, Head,
            tests::{body, key},
        },
        record::tests::record,
    };

    fn proof() -> Proof {
        let record = record();
        let leaves = [Bytes([1; 32]), Bytes([2; 32]), record.leaf, Bytes([3; 32]), Bytes([4; 32])];
        let streams = vec![Head { stream: record.stream, sequence: 1, hash: record.hash }];
        let body = Checkpoint { streams, leaves: 5, root: merkle::root(&leaves), ..body() };
        Proof::new(record, body.sign(&key(1), None).unwrap(), &leaves).unwrap()
    }

    fn check(change: impl FnOnce(&mut Proof)) -> Result<(), ProofError> {
        let mut proof = proof();
        change(&mut proof);
        proof.verify(&key(1).public_key())
    }

    #[test]
    fn a_proof_holds_after_it_was_written_and_read() {
        let text = serde_json::to_string(&proof()).unwrap();
        let read: Proof = serde_json::from_str(&text).unwrap();
        assert_eq!(read.verify(&key(1).public_key()), Ok(()));
    }

    #[test]
    fn a_proof_holds_without_the_address() {
        let erase = |proof: &mut Proof| {
            (proof.record.entry.ip, proof.record.entry.user_agent, proof.record.salt) = (None, None, None)
        };
        assert_eq!(check(erase), Ok(()));
    }

    #[test]
    fn a_proof_of_another_key_proves_nothing() {
        assert_eq!(proof().verify(&key(2).public_key()), Err(ProofError::Signature));
    }

    #[test]
    fn each_part_of_a_proof_is_needed() {
        let broken = [
            check(|proof| proof.checkpoint.body.leaves = 6),
            check(|proof| proof.record.entry.status = Some(200)),
            check(|proof| proof.record.entry.ip = Some([203, 0, 113, 8].into())),
            check(|proof| proof.index = 1),
            check(|proof| proof.leaves = 6),
            check(|proof| proof.path.truncate(1)),
        ];
        let reasons = [
            ProofError::Signature,
            ProofError::Record,
            ProofError::Commitment,
            ProofError::Path,
            ProofError::Path,
            ProofError::Path,
        ];
        assert_eq!(broken, reasons.map(Err));
    }

    #[test]
    fn a_checkpoint_that_does_not_reach_the_record_proves_nothing() {
        let mut proof = proof();
        let body = Checkpoint { streams: Vec::new(), ..proof.checkpoint.body };
        proof.checkpoint = body.sign(&key(1), None).unwrap();
        assert_eq!(proof.verify(&key(1).public_key()), Err(ProofError::Stream));
    }
}
