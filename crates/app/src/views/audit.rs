//! The trail as JSON, and what is read out of it about keys.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::{Map, Value};
use statuspulse_audit::{Bytes, PublicKey, Record, SignedCheckpoint, record::instant};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    audit::ask::{CheckpointPage, EventPage},
    keys::{Preview, Source, Suggestions},
};

/// An event of the trail.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventJson {
    id: Uuid,
    /// The process that gave it its place.
    stream: Uuid,
    /// 1, 2, 3 … within the stream.
    sequence: i64,
    #[schema(format = DateTime)]
    occurred_at: String,
    action: String,
    /// `allowed`, `denied` or `failed`.
    outcome: String,
    /// The decision code, or why it was refused.
    reason: Option<String>,
    actor: ActorJson,
    method: Option<String>,
    /// Pattern of the route, never the raw path.
    route: Option<String>,
    status: Option<u16>,
    /// Null when unknown or erased.
    #[schema(value_type = Option<String>)]
    ip: Option<IpAddr>,
    /// Two letters.
    country: Option<String>,
    /// As it was sent but for `\xHH` in place of what is no text, at most 512 bytes.
    user_agent: Option<String>,
    /// The same for requests that look the same.
    #[schema(value_type = Option<String>)]
    fingerprint: Option<Bytes<16>>,
    /// The answer's `X-Request-Id`.
    request_id: Option<Uuid>,
    #[schema(value_type = Object)]
    detail: Map<String, Value>,
}

/// Who did it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Actor)]
pub struct ActorJson {
    /// `api_key`, `access_token`, `user`, `app`, `operator`, `system` or `unknown`.
    kind: String,
    id: Option<String>,
    /// Version of the key whose token was presented.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
}

impl From<Record> for EventJson {
    fn from(record: Record) -> Self {
        let entry = record.entry;
        Self {
            id: entry.id,
            stream: record.stream,
            sequence: record.sequence,
            occurred_at: instant(entry.occurred_at),
            action: entry.action,
            outcome: entry.outcome,
            reason: entry.reason,
            actor: ActorJson { kind: entry.actor.kind, id: entry.actor.id, version: entry.actor.version },
            method: entry.method,
            route: entry.route,
            status: entry.status,
            ip: entry.ip,
            country: entry.country,
            user_agent: entry.user_agent,
            fingerprint: entry.fingerprint,
            request_id: entry.request_id,
            detail: entry.detail,
        }
    }
}

/// Events, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventPage)]
pub struct EventPageJson {
    items: Vec<EventJson>,
    next_cursor: Option<String>,
}

impl From<EventPage> for EventPageJson {
    fn from(page: EventPage) -> Self {
        Self { items: page.items.into_iter().map(EventJson::from).collect(), next_cursor: page.next_cursor }
    }
}

/// Checkpoints, newest first, and the keys that have signed them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CheckpointPage)]
pub struct CheckpointPageJson {
    /// Each as its line in `checkpoints.jsonl`: to be kept as it is, and handed to `audit verify --checkpoints`.
    #[schema(value_type = Vec<Object>)]
    items: Vec<SignedCheckpoint>,
    next_cursor: Option<String>,
    /// Oldest first. Keep them too: a key that is only ever read here vouches for nothing.
    keys: Vec<CheckpointKeyJson>,
}

/// A key that signs checkpoints.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CheckpointKey)]
pub struct CheckpointKeyJson {
    /// The checkpoints' `key_id`.
    #[schema(value_type = String)]
    key_id: Bytes<8>,
    /// Ed25519, RFC 8410.
    public_key_pem: String,
}

impl From<&PublicKey> for CheckpointKeyJson {
    fn from(key: &PublicKey) -> Self {
        Self { key_id: key.key_id(), public_key_pem: key.to_pem() }
    }
}

impl From<CheckpointPage> for CheckpointPageJson {
    fn from(page: CheckpointPage) -> Self {
        Self {
            items: page.items,
            next_cursor: page.next_cursor,
            keys: page.keys.iter().map(CheckpointKeyJson::from).collect(),
        }
    }
}

/// What a list would have refused.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AllowlistPreview)]
pub struct PreviewJson {
    /// Calls of the key, those included that its present list refused.
    calls: i64,
    would_be_blocked: i64,
    /// Busiest first.
    sources: Vec<SourceJson>,
}

/// Calls from one network.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AllowlistSource)]
pub struct SourceJson {
    /// A /24 or a /48; null: calls from an unknown address, which every list refuses.
    network: Option<String>,
    country: Option<String>,
    calls: i64,
    blocked: i64,
}

impl From<Source> for SourceJson {
    fn from(source: Source) -> Self {
        Self {
            network: source.network.map(|network| network.to_string()),
            country: source.country,
            calls: source.calls,
            blocked: source.blocked,
        }
    }
}

impl From<Preview> for PreviewJson {
    fn from(preview: Preview) -> Self {
        Self {
            calls: preview.calls,
            would_be_blocked: preview.would_be_blocked,
            sources: preview.sources.into_iter().map(SourceJson::from).collect(),
        }
    }
}

/// What a key could do without.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Suggestions)]
pub struct SuggestionsJson {
    /// Scopes that no accepted call needed.
    unused_scopes: Vec<String>,
    /// Networks that hold every accepted call, at most 50.
    allowlist: Vec<String>,
    basis: BasisJson,
}

/// What suggestions rest on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SuggestionsBasis)]
pub struct BasisJson {
    days: i64,
    /// Accepted calls in those days.
    calls: i64,
}

impl From<Suggestions> for SuggestionsJson {
    fn from(suggestions: Suggestions) -> Self {
        Self {
            unused_scopes: suggestions.unused_scopes,
            allowlist: suggestions.allowlist.iter().map(ToString::to_string).collect(),
            basis: BasisJson { days: suggestions.days, calls: suggestions.calls },
        }
    }
}
