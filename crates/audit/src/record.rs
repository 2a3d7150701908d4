//! An event on its way into the trail, and in its place there (audit §4, §5).
//!
//! Words are texts here and not the enums of [`crate::event`]: whoever reads a trail, perhaps with an older or newer release
//! than the one that wrote it, must be able to check every record.

use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat, SubsecRound as _, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    bytes::{Bytes, Digest},
    chain,
    event::Event,
};

/// Version of the form in which records are exported.
pub const SCHEMA: u32 = 1;

/// Who did it, as the trail names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActorRef {
    /// The contract's word: `api_key`, `access_token`, `user`, `app`, `operator`, `system` or `unknown`.
    pub kind: String,
    /// Whose; none of the system and of those that can't be named.
    pub id: Option<String>,
    /// Version of the key whose token was presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
}

/// An event before it has its place: what the spool and the outbox hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// UUIDv7 made when it was judged.
    pub id: Uuid,
    /// When, in microseconds UTC.
    #[serde(with = "micros")]
    pub occurred_at: DateTime<Utc>,
    /// 1, 2 or 3 for A, B or C.
    pub class: i16,
    /// What, from the closed list.
    pub action: String,
    /// `allowed`, `denied` or `failed`.
    pub outcome: String,
    /// Decision code or reason of a refusal.
    pub reason: Option<String>,
    /// To whom it belongs.
    pub organization_id: Option<Uuid>,
    /// Who.
    pub actor: ActorRef,
    /// Method as the caller wrote it.
    pub method: Option<String>,
    /// Pattern of the route.
    pub route: Option<String>,
    /// What was answered.
    pub status: Option<u16>,
    /// Client address; none when unknown or erased.
    pub ip: Option<IpAddr>,
    /// Two letters, by the geo database.
    pub country: Option<String>,
    /// Escaped and cut user agent; none when there was none or it was erased.
    pub user_agent: Option<String>,
    /// Keyed digest of what the request looked like.
    pub fingerprint: Option<Bytes<16>>,
    /// The answer's `X-Request-Id`.
    pub request_id: Option<Uuid>,
    /// Ids, names of fields and numbers that belong to it.
    pub detail: Map<String, Value>,
}

impl From<&Event> for Entry {
    fn from(event: &Event) -> Self {
        let origin = &event.origin;
        Self {
            id: event.id.as_uuid(),
            // What is signed is what the table can hold.
            occurred_at: event.occurred_at.trunc_subsecs(6),
            class: event.class.number(),
            action: event.action.as_str().to_owned(),
            outcome: event.outcome.as_str().to_owned(),
            reason: event.reason.map(str::to_owned),
            organization_id: event.organization_id.map(statuspulse_policy::OrganizationId::as_uuid),
            actor: ActorRef {
                kind: event.actor.kind().to_owned(),
                id: event.actor.id(),
                version: event.actor.version(),
            },
            method: origin.method.clone(),
            route: origin.route.clone(),
            status: event.status,
            ip: origin.ip,
            country: None,
            user_agent: origin.user_agent.clone(),
            fingerprint: origin.fingerprint.map(|fingerprint| Bytes(*fingerprint.as_bytes())),
            request_id: origin.request_id.map(statuspulse_policy::RequestId::as_uuid),
            detail: event.detail.clone(),
        }
    }
}

/// An event in its place: one row of the table, one line of an export.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The event.
    pub entry: Entry,
    /// The process that gave it its place.
    pub stream: Uuid,
    /// 1, 2, 3 … within the stream.
    pub sequence: i64,
    /// When it was written to the table; not vouched for.
    pub recorded_at: DateTime<Utc>,
    /// Key of the two commitments; erased with what they commit to.
    pub salt: Option<Bytes<16>>,
    /// HMAC-SHA-256(salt, the address as text); none where no address was known.
    pub ip_commit: Option<Digest>,
    /// HMAC-SHA-256(salt, the user agent as kept); none where there was none.
    pub user_agent_commit: Option<Digest>,
    /// See [`chain::leaf`].
    pub leaf: Digest,
    /// Link of the record before.
    pub prev: Digest,
    /// See [`chain::link`].
    pub hash: Digest,
}

impl Record {
    /// Gives an event its place behind the record whose link is `prev`. The salt is 16 fresh random bytes.
    ///
    /// # Errors
    /// When the event can't be written in canonical form.
    pub fn place(
        entry: Entry,
        (stream, sequence): (Uuid, i64),
        prev: Digest,
        salt: [u8; 16],
        recorded_at: DateTime<Utc>,
    ) -> Result<Self, chain::CanonicalError> {
        let salt = Bytes(salt);
        let mut record = Self {
            ip_commit: entry.ip.map(|ip| chain::commit(&salt, &ip.to_string())),
            user_agent_commit: entry.user_agent.as_deref().map(|text| chain::commit(&salt, text)),
            salt: (entry.ip.is_some() || entry.user_agent.is_some()).then_some(salt),
            entry,
            stream,
            sequence,
            recorded_at,
            leaf: Bytes([0; 32]),
            prev,
            hash: Bytes([0; 32]),
        };
        record.leaf = chain::leaf(&record)?;
        record.hash = chain::link(&record.prev, &record.leaf);
        Ok(record)
    }
}

/// One line of the `jsonl` form, field by field in the order in which people read it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    schema: u32,
    id: Uuid,
    stream: Uuid,
    sequence: i64,
    #[serde(with = "micros")]
    occurred_at: DateTime<Utc>,
    #[serde(with = "micros")]
    recorded_at: DateTime<Utc>,
    class: i16,
    action: String,
    outcome: String,
    reason: Option<String>,
    organization_id: Option<Uuid>,
    actor: ActorRef,
    method: Option<String>,
    route: Option<String>,
    status: Option<u16>,
    ip: Option<IpAddr>,
    country: Option<String>,
    user_agent: Option<String>,
    fingerprint: Option<Bytes<16>>,
    request_id: Option<Uuid>,
    detail: Map<String, Value>,
    ip_commit: Option<Digest>,
    user_agent_commit: Option<Digest>,
    salt: Option<Bytes<16>>,
    leaf: Digest,
    prev: Digest,
    hash: Digest,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = self.entry.clone();
        let line = Line {
            schema: SCHEMA,
            id: entry.id,
            stream: self.stream,
            sequence: self.sequence,
            occurred_at: entry.occurred_at,
            recorded_at: self.recorded_at,
            class: entry.class,
            action: entry.action,
            outcome: entry.outcome,
            reason: entry.reason,
            organization_id: entry.organization_id,
            actor: entry.actor,
            method: entry.method,
            route: entry.route,
            status: entry.status,
            ip: entry.ip,
            country: entry.country,
            user_agent: entry.user_agent,
            fingerprint: entry.fingerprint,
            request_id: entry.request_id,
            detail: entry.detail,
            ip_commit: self.ip_commit,
            user_agent_commit: self.user_agent_commit,
            salt: self.salt,
            leaf: self.leaf,
            prev: self.prev,
            hash: self.hash,
        };
        line.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = Line::deserialize(deserializer)?;
        if line.schema != SCHEMA {
            return Err(D::Error::custom(format!(
                "schema {} is unknown here; this release reads {SCHEMA}",
                line.schema
            )));
        }
        Ok(Self {
            entry: Entry {
                id: line.id,
                occurred_at: line.occurred_at,
                class: line.class,
                action: line.action,
                outcome: line.outcome,
                reason: line.reason,
                organization_id: line.organization_id,
                actor: line.actor,
                method: line.method,
                route: line.route,
                status: line.status,
                ip: line.ip,
                country: line.country,
                user_agent: line.user_agent,
                fingerprint: line.fingerprint,
                request_id: line.request_id,
                detail: line.detail,
            },
            stream: line.stream,
            sequence: line.sequence,
            recorded_at: line.recorded_at,
            salt: line.salt,
            ip_commit: line.ip_commit,
            user_agent_commit: line.user_agent_commit,
            leaf: line.leaf,
            prev: line.prev,
            hash: line.hash,
        })
    }
}

/// A time as the trail writes it: RFC 3339, UTC, always six digits behind the point.
#[must_use]
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

pub(crate) mod micros {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&instant(*at))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let at = DateTime::parse_from_rfc3339(&text).map_err(D::Error::custom)?.to_utc();
        // Another spelling of the same instant would be another text behind the same record.
        if instant(at) == text.as_ref() {
            Ok(at)
        } else {
            Err(D::Error::custom("a time has six digits behind the point, and Z"))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
