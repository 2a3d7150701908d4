//! The chain (audit §5): a leaf for what a record says, a link that holds it to the record before.
//!
//! One byte in front keeps leaf, link, node and beginning apart; otherwise a node of a tree could be sold as a leaf.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    bytes::{Bytes, Digest},
    record::{ActorRef, Record, instant},
};

const LEAF: u8 = 0x00;
const LINK: u8 = 0x01;
const NODE: u8 = 0x02;
const BEGINNING: u8 = 0x03;

/// A record that has no canonical form: its detail holds a number that JSON can't.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record has no canonical form: {0}")]
pub struct CanonicalError(String);

/// What a leaf covers: the `jsonl` record without what can be erased, what depends on the writing, and the chain itself.
#[derive(Serialize)]
struct Covered<'a> {
    id: Uuid,
    stream: Uuid,
    sequence: i64,
    occurred_at: String,
    class: i16,
    action: &'a str,
    outcome: &'a str,
    reason: Option<&'a str>,
    organization_id: Option<Uuid>,
    actor: &'a ActorRef,
    method: Option<&'a str>,
    route: Option<&'a str>,
    status: Option<u16>,
    country: Option<&'a str>,
    fingerprint: Option<Bytes<16>>,
    request_id: Option<Uuid>,
    detail: &'a Map<String, Value>,
    ip_commit: Option<Digest>,
    user_agent_commit: Option<Digest>,
}

/// SHA-256(0x00 ‖ JCS of what the leaf covers), with the canonical JSON of RFC 8785.
///
/// # Errors
/// When the record has no canonical form.
pub fn leaf(record: &Record) -> Result<Digest, CanonicalError> {
    let entry = &record.entry;
    let covered = Covered {
        id: entry.id,
        stream: record.stream,
        sequence: record.sequence,
        occurred_at: instant(entry.occurred_at),
        class: entry.class,
        action: &entry.action,
        outcome: &entry.outcome,
        reason: entry.reason.as_deref(),
        organization_id: entry.organization_id,
        actor: &entry.actor,
        method: entry.method.as_deref(),
        route: entry.route.as_deref(),
        status: entry.status,
        country: entry.country.as_deref(),
        fingerprint: entry.fingerprint,
        request_id: entry.request_id,
        detail: &entry.detail,
        ip_commit: record.ip_commit,
        user_agent_commit: record.user_agent_commit,
    };
    Ok(hash(LEAF, &[&canonical(&covered)?]))
}

/// The canonical JSON of RFC 8785.
///
/// # Errors
/// When a number of it has no place in JSON.
pub fn canonical(value: &impl Serialize) -> Result<Vec<u8>, CanonicalError> {
    serde_jcs::to_vec(value).map_err(|error| CanonicalError(error.to_string()))
}

/// SHA-256(0x01 ‖ prev ‖ leaf).
#[must_use]
pub fn link(prev: &Digest, leaf: &Digest) -> Digest {
    hash(LINK, &[prev.as_slice(), leaf.as_slice()])
}

/// SHA-256(0x02 ‖ left ‖ right): an inner node of a checkpoint's tree.
#[must_use]
pub fn node(left: &Digest, right: &Digest) -> Digest {
    hash(NODE, &[left.as_slice(), right.as_slice()])
}

/// The `prev` of a stream's first record: SHA-256(0x03 ‖ the 16 bytes of the stream's id).
#[must_use]
pub fn beginning(stream: Uuid) -> Digest {
    hash(BEGINNING, &[stream.as_bytes()])
}

/// HMAC-SHA-256(salt, text): the chain covers this and not the text, so that the text can be erased.
#[must_use]
pub fn commit(salt: &Bytes<16>, text: &str) -> Digest {
    // RFC 2104 pads a key with zeros to the block of 64 bytes; handing the block over leaves nothing that could fail.
    let mut block = [0_u8; 64];
    block.split_at_mut(salt.0.len()).0.copy_from_slice(&salt.0);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(text.as_bytes());
    Bytes(mac.finalize().into_bytes().into())
}

pub(crate) fn hash(kind: u8, parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([kind]);
    for part in parts {
        hasher.update(part);
    }
    Bytes(hasher.finalize().into())
}
