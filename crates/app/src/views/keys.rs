//! What is answered about a key's past, and of many keys at once.

use chrono::{DateTime, Utc};
use serde::Serialize;
use statuspulse_policy::KeyId;
use statuspulse_store::habits::{Hour, Stay};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{KeyJson, SourceJson, WarningJson, entries, warnings};
use crate::{
    app::App,
    keys::{Added, KeyView, PreviewedKey, Untouched, Usage, VersionPage, VersionView, Warning},
};

/// A version of a key; never holds more of its token than the hint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyVersion)]
pub struct VersionJson {
    /// 1, 2, 3 … within the key.
    version: i32,
    /// Null for a successor that waits to be picked up.
    hint: Option<String>,
    /// `current`: the one that is accepted (as long as the key isn't switched off); `overlap`: followed by another one, and
    /// accepted until its `valid_until`; `pending`: a successor that waits to be picked up; `ended`: no longer accepted.
    state: &'static str,
    created_at: DateTime<Utc>,
    /// Its end under the organization's present maximum.
    expires_at: DateTime<Utc>,
    /// When it stops: the earlier of `expires_at` and the end of its overlap or its revocation.
    valid_until: DateTime<Utc>,
    /// When it was picked up, where it was prepared as a successor.
    claimed_at: Option<DateTime<Utc>>,
}

impl From<VersionView> for VersionJson {
    fn from(view: VersionView) -> Self {
        Self {
            version: view.number,
            hint: view.hint,
            state: view.standing.as_str(),
            created_at: view.created_at,
            expires_at: view.expires_at,
            valid_until: view.valid_until,
            claimed_at: view.claimed_at,
        }
    }
}

/// A page of versions, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyVersionPage)]
pub struct VersionPageJson {
    items: Vec<VersionJson>,
    next_cursor: Option<String>,
}

impl From<VersionPage> for VersionPageJson {
    fn from(page: VersionPage) -> Self {
        Self { items: page.items.into_iter().map(VersionJson::from).collect(), next_cursor: page.next_cursor }
    }
}

/// What a key did by the hour. Each instance writes it every ten seconds, once the calls are in the audit trail; later where
/// the database was away.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyUsage)]
pub struct UsageJson {
    /// Begin of the first bucket.
    from: DateTime<Utc>,
    /// End of the last bucket, which is the present hour and not over yet.
    to: DateTime<Utc>,
    /// 3600.
    bucket_seconds: u32,
    /// Every hour from `from` to `to`, oldest first, also those without a call.
    buckets: Vec<BucketJson>,
    /// Countries from which calls were ever accepted, the last one first; none without a geo database.
    places: Vec<PlaceJson>,
}

/// What a key did in an hour.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyUsageBucket)]
pub struct BucketJson {
    /// Begin of the hour.
    at: DateTime<Utc>,
    /// Calls that named the key, the refused ones among them; readings of the audit trail are not counted.
    calls: i64,
    refused: i64,
    /// The most calls within one minute that one instance has counted.
    busiest_minute: i64,
}

/// A country from which a key was used.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyPlace)]
pub struct PlaceJson {
    /// Two letters.
    country: String,
    /// First accepted call from there.
    first_seen_at: DateTime<Utc>,
    /// Last accepted call from there, to the minute.
    last_seen_at: DateTime<Utc>,
}

impl From<Usage> for UsageJson {
    fn from(usage: Usage) -> Self {
        let bucket = |hour: Hour| BucketJson {
            at: hour.hour,
            calls: hour.calls,
            refused: hour.refused,
            busiest_minute: hour.busiest_minute,
        };
        let place = |stay: Stay| PlaceJson {
            country: stay.country,
            first_seen_at: stay.first_seen_at,
            last_seen_at: stay.last_seen_at,
        };
        Self {
            from: usage.from,
            to: usage.to,
            bucket_seconds: 3_600,
            buckets: usage.hours.into_iter().map(bucket).collect(),
            places: usage.places.into_iter().map(place).collect(),
        }
    }
}

/// What ranges would do to the lists of many keys.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AllowlistsPreview)]
pub struct RangesPreviewJson {
    /// Each of the chosen keys, newest first. Those without a list are counted as if they got one (`create_lists`).
    keys: Vec<PreviewedKeyJson>,
    /// Calls of all of them.
    calls: i64,
    would_be_blocked: i64,
}

/// What ranges would do to the list of a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AllowlistsPreviewKey)]
pub struct PreviewedKeyJson {
    id: Uuid,
    name: String,
    environment: &'static str,
    /// Whether the key has a list now. One that has none is only changed with `create_lists`.
    had_list: bool,
    /// The list that it would have, as if `create_lists` were true; null: any address.
    allowed_cidrs: Option<Vec<String>>,
    /// Calls of the key, those included that its present list refused.
    calls: i64,
    would_be_blocked: i64,
    /// Busiest first, at most 20.
    sources: Vec<SourceJson>,
}

impl From<PreviewedKey> for PreviewedKeyJson {
    fn from(previewed: PreviewedKey) -> Self {
        let PreviewedKey { key, list, preview } = previewed;
        Self {
            id: key.id.as_uuid(),
            name: key.name,
            environment: key.environment.as_str(),
            had_list: key.allowlist.is_some(),
            allowed_cidrs: entries(list.as_ref()),
            calls: preview.calls,
            would_be_blocked: preview.would_be_blocked,
            sources: preview.sources.into_iter().map(SourceJson::from).collect(),
        }
    }
}

impl From<Vec<PreviewedKey>> for RangesPreviewJson {
    fn from(previewed: Vec<PreviewedKey>) -> Self {
        let keys: Vec<PreviewedKeyJson> = previewed.into_iter().map(PreviewedKeyJson::from).collect();
        Self {
            calls: keys.iter().map(|key| key.calls).sum(),
            would_be_blocked: keys.iter().map(|key| key.would_be_blocked).sum(),
            keys,
        }
    }
}

/// What became of many keys to whose lists ranges were added.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedAllowlists)]
pub struct AddedRangesJson {
    changed: Vec<ChangedKeyJson>,
    unchanged: Vec<UnchangedKeyJson>,
}

/// A key as it is now, with what deserves a second look.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedAllowlistKey)]
pub struct ChangedKeyJson {
    #[serde(flatten)]
    key: KeyJson,
    warnings: Vec<WarningJson>,
}

/// A key that was left as it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnchangedAllowlistKey)]
pub struct UnchangedKeyJson {
    id: Uuid,
    /// `no_list`: it may be used from anywhere, and lists were not to be created; `already_listed`: its list has all of the
    /// ranges; `allows_any`: its list may hold networks of any width.
    reason: &'static str,
}

impl AddedRangesJson {
    /// What became of the keys.
    #[must_use]
    pub fn new(app: &App, added: Added) -> Self {
        let changed = |(view, list): (KeyView, Vec<Warning>)| ChangedKeyJson {
            key: KeyJson::new(app, view),
            warnings: warnings(list),
        };
        let unchanged =
            |(id, reason): (KeyId, Untouched)| UnchangedKeyJson { id: id.as_uuid(), reason: reason.as_str() };
        Self {
            changed: added.changed.into_iter().map(changed).collect(),
            unchanged: added.unchanged.into_iter().map(unchanged).collect(),
        }
    }
}
