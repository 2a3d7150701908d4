//! Bodies as they come: read once, judged by the use cases.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use statuspulse_app::{
    keys::{AddRanges, Choice, CreateKey, ExplainCall, KeyChange, RotateKey},
    settings::SettingsChange,
};
use statuspulse_policy::Environment;
use utoipa::ToSchema;

use crate::http::body::{given, not_null, not_null_object, required_nullable};

/// Sign-in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    pub(crate) email: String,
    #[schema(format = "password")]
    pub(crate) password: String,
}

/// Another password for the signed-in person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedPassword {
    #[schema(format = "password")]
    pub(crate) current_password: String,
    /// 8 to 256 characters.
    #[schema(format = "password")]
    pub(crate) new_password: String,
}

/// A new key. Give either `scopes` or `preset`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    /// 1 to 100 characters.
    name: String,
    /// `production`, `staging` or `analytics`.
    environment: String,
    scopes: Option<Vec<String>>,
    preset: Option<String>,
    /// 1 to 50 networks; null means any address.
    allowed_cidrs: Option<Vec<String>>,
    /// 1 to the environment's maximum, which is the default.
    expires_in_days: Option<i64>,
    /// Whether a successor is prepared seven days before the end.
    #[serde(default)]
    auto_rotate: bool,
    /// 1 to 1,000,000 accepted calls; null means no limit. Kept; its enforcement is to come.
    rate_limit_per_minute: Option<i64>,
    /// An age recipient (`age1…`); owner and admin only.
    successor_public_key: Option<String>,
    /// Notes by network of `allowed_cidrs`.
    #[serde(default)]
    allowlist_notes: Option<BTreeMap<String, String>>,
    /// Whether networks wider than /8 (IPv4) or /32 (IPv6) are meant; owner and admin only.
    #[serde(default)]
    allow_any: bool,
    /// Honeytoken: never accepted, its use opens a critical alert.
    #[serde(default)]
    canary: bool,
}

impl From<NewKey> for CreateKey {
    fn from(body: NewKey) -> Self {
        Self {
            name: body.name,
            environment: body.environment,
            scopes: body.scopes,
            preset: body.preset,
            allowed_cidrs: body.allowed_cidrs,
            expires_in_days: body.expires_in_days,
            auto_rotate: body.auto_rotate,
            rate_limit_per_minute: body.rate_limit_per_minute,
            successor_public_key: body.successor_public_key,
            allowlist_notes: body.allowlist_notes.unwrap_or_default(),
            allow_any: body.allow_any,
            canary: body.canary,
        }
    }
}

/// A change of a key; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedKey {
    #[serde(default, deserialize_with = "not_null")]
    name: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_cidrs: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "not_null")]
    allow_any: Option<bool>,
    #[serde(default, deserialize_with = "not_null")]
    allowlist_notes: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "not_null")]
    expires_at: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "not_null")]
    auto_rotate: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    rate_limit_per_minute: Option<Option<i64>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    successor_public_key: Option<Option<String>>,
}

impl From<ChangedKey> for KeyChange {
    fn from(body: ChangedKey) -> Self {
        Self {
            name: body.name,
            scopes: body.scopes,
            allowed_cidrs: body.allowed_cidrs,
            allow_any: body.allow_any,
            allowlist_notes: body.allowlist_notes,
            expires_at: body.expires_at,
            auto_rotate: body.auto_rotate,
            rate_limit_per_minute: body.rate_limit_per_minute,
            successor_public_key: body.successor_public_key,
        }
    }
}

/// A rotation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// How long the old token stays accepted: 0 (the default) to 604800.
    overlap_seconds: Option<i64>,
}

impl Rotation {
    /// With the version of `If-Match`.
    pub(crate) fn at(self, if_match: Option<i32>) -> RotateKey {
        RotateKey { overlap_seconds: self.overlap_seconds, if_match }
    }
}

/// A revocation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revocation {
    /// At most 500 characters.
    pub(crate) reason: Option<String>,
}

/// Nothing.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// An allowlist.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAllowlist {
    /// 1 to 50 networks; null means any address.
    #[serde(deserialize_with = "required_nullable")]
    pub(crate) allowed_cidrs: Option<Vec<String>>,
    /// Whether wide networks are meant; owner and admin only.
    #[serde(default)]
    pub(crate) allow_any: bool,
}

/// An allowlist that is thought of.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThoughtOfAllowlist {
    /// 1 to 50 networks of any width; null means any address.
    #[serde(deserialize_with = "required_nullable")]
    pub(crate) allowed_cidrs: Option<Vec<String>>,
    /// Days to look back: 1 to 30, 7 when left out.
    pub(crate) days: Option<i64>,
}

/// Ranges that are thought of for many keys. Give either `keys` or `environment`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThoughtOfRanges {
    /// At most 50 networks of any width that each list would be given as well. A key without a list is counted as if it got
    /// one of them. None or left out: the lists as they are.
    #[serde(default)]
    add: Vec<String>,
    /// 1 to 200 ids of living keys.
    keys: Option<Vec<String>>,
    /// `production`, `staging` or `analytics`: all of its living keys.
    environment: Option<String>,
    /// Days to look back: 1 to 30, 7 when left out.
    days: Option<i64>,
}

impl ThoughtOfRanges {
    /// The keys, the ranges and the days.
    pub(crate) fn read(self) -> (Choice, Vec<String>, Option<i64>) {
        (Choice { keys: self.keys, environment: self.environment }, self.add, self.days)
    }
}

/// Ranges for the lists of many keys. Give either `keys` or `environment`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRanges {
    /// 1 to 50 networks; a list holds 50 of them in all.
    add: Vec<String>,
    /// Notes by network of `add`. They go with ranges that are new to a key; what is there keeps its own.
    #[serde(default)]
    notes: Option<BTreeMap<String, String>>,
    /// 1 to 200 ids of living keys.
    keys: Option<Vec<String>>,
    /// `production`, `staging` or `analytics`: all of its living keys.
    environment: Option<String>,
    /// Whether keys without a list get one. It turns "from anywhere" into "only from here".
    #[serde(default)]
    create_lists: bool,
}

impl From<NewRanges> for AddRanges {
    fn from(body: NewRanges) -> Self {
        Self {
            add: body.add,
            notes: body.notes.unwrap_or_default(),
            choice: Choice { keys: body.keys, environment: body.environment },
            create_lists: body.create_lists,
        }
    }
}

/// A call to be explained.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallToExplain {
    method: String,
    path: String,
    client_ip: String,
    /// When; now if left out.
    at: Option<DateTime<Utc>>,
}

impl From<CallToExplain> for ExplainCall {
    fn from(body: CallToExplain) -> Self {
        Self { method: body.method, path: body.path, client_ip: body.client_ip, at: body.at }
    }
}

/// A change of settings; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedSettings {
    #[serde(default, deserialize_with = "not_null_object")]
    max_lifespan_days: Option<ChangedDays>,
    /// 30 to 365, or null. Keys that nobody uses for so long are switched off, two weeks after a warning.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    unused_key_days: Option<Option<i64>>,
    /// Scopes that developers may hand out; null means all but the management scopes.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    developer_scopes: Option<Option<Vec<String>>>,
    /// `alert` or `kill`.
    #[serde(default, deserialize_with = "not_null")]
    reuse_policy: Option<String>,
    /// Networks to which every key is held, together with its own list.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_cidrs: Option<Option<Vec<String>>>,
    /// Whether keys may end at once by it.
    #[serde(default)]
    confirm: bool,
}

/// Days by environment; null means the environment's own maximum.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedDays {
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    production: Option<Option<i64>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    staging: Option<Option<i64>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    analytics: Option<Option<i64>>,
}

impl From<ChangedSettings> for SettingsChange {
    fn from(body: ChangedSettings) -> Self {
        let days = body.max_lifespan_days.map_or_else(Vec::new, |days| {
            let pairs = [
                (Environment::Production, days.production),
                (Environment::Staging, days.staging),
                (Environment::Analytics, days.analytics),
            ];
            pairs.into_iter().filter_map(|(environment, days)| Some((environment, days?))).collect()
        });
        Self {
            max_lifespan_days: days,
            unused_key_days: body.unused_key_days,
            developer_scopes: body.developer_scopes,
            reuse_policy: body.reuse_policy,
            allowed_cidrs: body.allowed_cidrs,
            confirm: body.confirm,
        }
    }
}

/// A call to be judged. Give `method` and `path`, or `scope`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    pub(crate) token: String,
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
    /// Address of the client; left out, it is unknown.
    pub(crate) client_ip: Option<String>,
    pub(crate) user_agent: Option<String>,
    /// In place of method and path.
    pub(crate) scope: Option<String>,
    /// Environments that the resource server serves; none given, it doesn't distinguish.
    #[serde(default)]
    pub(crate) environments: Option<Vec<String>>,
}
