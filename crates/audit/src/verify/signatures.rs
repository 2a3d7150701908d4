//! The chain of checkpoints itself: numbers, predecessors, keys and copies held elsewhere.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::report::Reason;
use crate::{
    bytes::{Bytes, Digest},
    chain::canonical,
    checkpoint::{NO_PREVIOUS, SignedCheckpoint, VERSION, digest_of},
    signing::PublicKey,
};

/// Checkpoints as they are read one after the other.
#[derive(Debug)]
pub(super) struct Signatures {
    /// Those that were given, and those that were handed over to.
    keys: HashMap<Bytes<8>, PublicKey>,
    /// Signs the next one; none before the first.
    in_force: Option<Bytes<8>>,
    /// Keys that have been in force.
    used: HashSet<Bytes<8>>,
    /// A span may begin with any number.
    partial: bool,
    /// Digests by number. 40 bytes each: a year of minutes takes some twenty megabytes.
    digests: BTreeMap<i64, Digest>,
    /// Copies from elsewhere that are not compared yet.
    copies: BTreeMap<i64, SignedCheckpoint>,
}

/// What came of one checkpoint.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) wrong: Vec<Reason>,
    /// Whether what it says can be relied on: it is signed, and none with this number came before.
    pub(super) counts: bool,
}

impl Signatures {
    pub(super) fn new(keys: impl IntoIterator<Item = PublicKey>, partial: bool) -> Self {
        Self {
            keys: keys.into_iter().map(|key| (key.key_id(), key)).collect(),
            in_force: None,
            used: HashSet::new(),
            partial,
            digests: BTreeMap::new(),
            copies: BTreeMap::new(),
        }
    }

    pub(super) fn was_in_force(&self, key: &PublicKey) -> bool {
        self.used.contains(&key.key_id())
    }

    pub(super) fn next(&mut self, signed: &SignedCheckpoint) -> Judged {
        let body = &signed.body;
        let nothing = |reason| Judged { wrong: vec![reason], counts: false };
        let Some(message) = message(signed) else {
            return nothing(Reason::CheckpointMalformed);
        };
        let digest = digest_of(&message);
        let mut wrong = Vec::new();
        if let Err(reason) = self.check_signatures(signed, &message) {
            wrong.push(reason);
        }
        let signed_well = wrong.is_empty();

        let last = self.digests.last_key_value().map(|(number, digest)| (*number, *digest));
        let (number, previous) = match last {
            Some((number, digest)) => (number + 1, Some(digest)),
            None if self.partial => (body.number, (body.number == 1).then_some(NO_PREVIOUS)),
            None => (1, Some(NO_PREVIOUS)),
        };
        if body.number != number {
            wrong.push(Reason::CheckpointNumber);
        } else if previous.is_some_and(|previous| previous != body.previous) {
            wrong.push(Reason::CheckpointPrevious);
        }
        if last.is_some_and(|(last, _)| body.number <= last) {
            return Judged { wrong, counts: false };
        }
        if signed_well {
            self.used.insert(body.key_id);
            // It has signed this one too.
            self.used.extend(body.rotation.as_ref().map(|rotation| rotation.key_id));
            self.in_force = Some(body.rotation.as_ref().map_or(body.key_id, |rotation| rotation.key_id));
        }
        self.digests.insert(body.number, digest);
        if let Some(copy) = self.copies.remove(&body.number)
            && let Some(reason) = self.contradiction(&copy)
        {
            wrong.push(reason);
        }
        Judged { wrong, counts: signed_well }
    }

    fn check_signatures(&mut self, signed: &SignedCheckpoint, message: &[u8]) -> Result<(), Reason> {
        let body = &signed.body;
        if self.in_force.is_some_and(|key| key != body.key_id) {
            return Err(Reason::CheckpointKey);
        }
        self.check_by_known_key(signed, message)
    }

    /// Without regard to which key is in force. A key that a well signed checkpoint hands over to is known from then on.
    fn check_by_known_key(&mut self, signed: &SignedCheckpoint, message: &[u8]) -> Result<(), Reason> {
        let key = self.keys.get(&signed.body.key_id).ok_or(Reason::CheckpointKey)?;
        if !key.has_signed(message, &signed.signature) {
            return Err(Reason::CheckpointSignature);
        }
        match (&signed.body.rotation, &signed.rotation_signature) {
            (None, None) => {}
            (Some(rotation), Some(signature))
                if rotation.key_id == rotation.public_key.key_id()
                    && rotation.public_key.has_signed(message, signature) =>
            {
                self.keys.insert(rotation.key_id, rotation.public_key);
            }
            _ => return Err(Reason::CheckpointRotation),
        }
        Ok(())
    }

    /// Takes a copy that was held elsewhere. When it contradicts: how.
    pub(super) fn compare(&mut self, copy: SignedCheckpoint) -> Option<Reason> {
        let number = copy.body.number;
        if self.digests.contains_key(&number) {
            return self.contradiction(&copy);
        }
        match self.copies.get(&number) {
            Some(other) if other.body != copy.body => Some(Reason::CheckpointExchanged),
            Some(_) => None,
            None => {
                self.copies.insert(number, copy);
                None
            }
        }
    }

    fn contradiction(&mut self, copy: &SignedCheckpoint) -> Option<Reason> {
        let Some(message) = message(copy) else {
            return Some(Reason::CheckpointMalformed);
        };
        if self.digests.get(&copy.body.number) == Some(&digest_of(&message)) {
            return None;
        }
        // Without a signature it is no copy of a checkpoint but some text; it is wrong either way.
        Some(self.check_by_known_key(copy, &message).err().unwrap_or(Reason::CheckpointExchanged))
    }

    /// The copies to which no checkpoint came, in order: those behind the last one, unless checkpoints are missing in the
    /// middle. Each with what is wrong with it.
    pub(super) fn beyond(&mut self) -> Vec<(SignedCheckpoint, Option<Reason>)> {
        let copies = std::mem::take(&mut self.copies);
        let mut last = self.digests.last_key_value().map(|(number, digest)| (*number, *digest));
        let mut beyond = Vec::new();
        for (number, copy) in copies {
            // A span of checkpoints says nothing about those before it.
            if self.partial && self.digests.first_key_value().is_some_and(|(first, _)| number < *first) {
                continue;
            }
            let Some(message) = message(&copy) else {
                beyond.push((copy, Some(Reason::CheckpointMalformed)));
                continue;
            };
            let mut wrong = self.check_by_known_key(&copy, &message).err();
            let previous = last.filter(|(last, _)| last + 1 == number).map(|(_, digest)| digest);
            // It follows ours, but not ours as it is: the last one here has taken the place of another.
            if previous.is_some_and(|previous| previous != copy.body.previous) {
                wrong = wrong.or(Some(Reason::CheckpointExchanged));
            }
            if wrong.is_none() && previous.is_some() {
                self.used.insert(copy.body.key_id);
                last = Some((number, digest_of(&message)));
            }
            beyond.push((copy, wrong));
        }
        beyond
    }
}

fn message(signed: &SignedCheckpoint) -> Option<Vec<u8>> {
    let body = &signed.body;
    (body.version == VERSION && body.is_well_formed()).then(|| canonical(body).ok()).flatten()
}
