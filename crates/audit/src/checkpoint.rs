//! Checkpoints (audit §5): from time to time the trail's state is signed, so that copies held elsewhere vouch for it.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    bytes::{Bytes, Digest},
    chain::{CanonicalError, canonical},
    record::micros,
    signing::{PublicKey, SigningKey},
};

/// Version of the form of checkpoints.
pub const VERSION: u32 = 1;
/// The `previous` of the first checkpoint.
pub const NO_PREVIOUS: Digest = Bytes([0; 32]);
/// Whole numbers beyond this one have no canonical form of their own (RFC 8785 §3.2.2.3, RFC 7493 §2.2).
pub(crate) const LARGEST: i64 = 1 << 53;

/// How far a stream has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The stream.
    pub stream: Uuid,
    /// Its newest record, from 1 on.
    pub sequence: i64,
    /// Link of that record.
    pub hash: Digest,
}

/// A day that has passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedDay {
    /// The day, UTC.
    #[serde(deserialize_with = "day")]
    pub day: NaiveDate,
    /// Its records.
    pub rows: u64,
    /// Root over their leaves, ordered by stream and sequence.
    pub root: Digest,
}

/// The key that signs from the next checkpoint on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Its id.
    pub key_id: Bytes<8>,
    /// The key.
    pub public_key: PublicKey,
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// See [`VERSION`].
    #[serde(deserialize_with = "version")]
    pub version: u32,
    /// 1, 2, 3 …
    pub number: i64,
    /// When it was made.
    #[serde(with = "micros")]
    pub at: DateTime<Utc>,
    /// [`Self::digest`] of the one before; [`NO_PREVIOUS`] in the first.
    pub previous: Digest,
    /// Streams by id, each at most once. One that has come no further since it was listed may be left out.
    pub streams: Vec<Head>,
    /// Records since the checkpoint before, over all streams.
    pub leaves: u64,
    /// Root over their leaves, ordered by stream as listed and by sequence; see [`crate::merkle`].
    pub root: Digest,
    /// Days that were sealed since the checkpoint before, in order. A day can be sealed again when a record of it came late:
    /// the newest seal counts.
    pub sealed: Vec<SealedDay>,
    /// The key that signs this one.
    pub key_id: Bytes<8>,
    /// The key that signs the next one, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
}

impl Checkpoint {
    /// SHA-256 of the canonical JSON: what the next checkpoint names as `previous`, and how two copies are compared. The
    /// canonical form begins with `{`, so this is never a leaf, link, node or beginning.
    ///
    /// # Errors
    /// When it has no canonical form.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        Ok(digest_of(&canonical(self)?))
    }

    /// Signs it; with the key that follows too when it hands over to one.
    ///
    /// # Errors
    /// When it has no canonical form.
    pub fn sign(self, key: &SigningKey, next: Option<&SigningKey>) -> Result<SignedCheckpoint, CanonicalError> {
        let message = canonical(&self)?;
        Ok(SignedCheckpoint {
            signature: key.sign(&message),
            rotation_signature: next.map(|next| next.sign(&message)),
            body: self,
        })
    }

    /// Whether order and ranges are as documented. Whoever signs makes them so; whoever reads relies on it.
    pub(crate) fn is_well_formed(&self) -> bool {
        let number = |number: i64| (1..=LARGEST).contains(&number);
        let count = |count: u64| i64::try_from(count).is_ok_and(|count| count <= LARGEST);
        number(self.number)
            && count(self.leaves)
            && self.streams.iter().all(|head| number(head.sequence))
            && self.streams.is_sorted_by(|one, next| one.stream < next.stream)
            && self.sealed.iter().all(|day| count(day.rows))
            && self.sealed.is_sorted_by(|one, next| one.day < next.day)
    }
}

/// SHA-256 of a checkpoint's canonical form.
pub(crate) fn digest_of(canonical: &[u8]) -> Digest {
    Bytes(Sha256::digest(canonical).into())
}

/// A checkpoint with its signatures: one line of `checkpoints.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignedCheckpoint {
    /// What is signed.
    #[serde(flatten)]
    pub body: Checkpoint,
    /// By the key `key_id`, over the canonical JSON of the body.
    pub signature: Bytes<64>,
    /// By the key of `rotation`, over the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_signature: Option<Bytes<64>>,
}

impl SignedCheckpoint {
    /// Whether a key has signed it: as the one in force, or as the one that follows.
    ///
    /// # Errors
    /// When the body has no canonical form.
    pub fn is_signed_by(&self, key: &PublicKey) -> Result<bool, CanonicalError> {
        let message = canonical(&self.body)?;
        let by_next = || {
            let names = self.body.rotation.as_ref().is_some_and(|rotation| rotation.public_key == *key);
            names && self.rotation_signature.is_some_and(|signature| key.has_signed(&message, &signature))
        };
        Ok(self.body.key_id == key.key_id() && key.has_signed(&message, &self.signature) || by_next())
    }

    /// The line, without its end.
    ///
    /// # Errors
    /// Never in practice: every field has a form in JSON.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads a line.
    ///
    /// # Errors
    /// When it is no checkpoint of a version that this release knows.
    pub fn from_line(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }
}

/// As read: serde can't refuse unknown fields of a flattened body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(deserialize_with = "version")]
    version: u32,
    number: i64,
    #[serde(with = "micros")]
    at: DateTime<Utc>,
    previous: Digest,
    streams: Vec<Head>,
    leaves: u64,
    root: Digest,
    sealed: Vec<SealedDay>,
    key_id: Bytes<8>,
    rotation: Option<Rotation>,
    signature: Bytes<64>,
    rotation_signature: Option<Bytes<64>>,
}

impl<'de> Deserialize<'de> for SignedCheckpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = Line::deserialize(deserializer)?;
        Ok(Self {
            body: Checkpoint {
                version: line.version,
                number: line.number,
                at: line.at,
                previous: line.previous,
                streams: line.streams,
                leaves: line.leaves,
                root: line.root,
                sealed: line.sealed,
                key_id: line.key_id,
                rotation: line.rotation,
            },
            signature: line.signature,
            rotation_signature: line.rotation_signature,
        })
    }
}

fn version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        VERSION => Ok(VERSION),
        other => Err(D::Error::custom(format!("version {other} is unknown here; this release reads {VERSION}"))),
    }
}

fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveDate, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    let day: NaiveDate = text.parse().map_err(D::Error::custom)?;
    // Another spelling of the same day would be another text behind the same checkpoint.
    if day.to_string() == text.as_ref() { Ok(day) } else { Err(D::Error::custom("a day is written YYYY-MM-DD")) }
}

#[cfg(test)]
pub(crate) mod tests;
