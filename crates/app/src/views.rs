//! What is answered, as JSON: the same from the REST API and from the command line with `--json`.

use std::{collections::BTreeMap, net::IpAddr};

use chrono::{DateTime, Utc};
use serde::Serialize;
use statuspulse_keys::{Creator, Token, successor::Successor};
use statuspulse_policy::{Allowlist, Catalog, Environment, Explanation, InstanceId};
use statuspulse_store::organizations::Organization;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    app::App,
    keys::{BulkOutcome, Issued, KeyView, Page, Receipt, Rotated, Warning},
    settings::EndedKey,
};

mod alerts;
mod audit;
mod keys;
mod oauth;
mod people;
mod webhooks;

pub use alerts::{AlertJson, AlertPageJson, ResolutionJson, RuleJson, RuleOfKeyJson, RulesJson, SubjectJson};
pub use audit::{
    ActorJson, BasisJson, CheckpointKeyJson, CheckpointPageJson, EventJson, EventPageJson, PreviewJson, SourceJson,
    SuggestionsJson,
};
pub use keys::{
    AddedRangesJson, BucketJson, ChangedKeyJson, PlaceJson, PreviewedKeyJson, RangesPreviewJson, UnchangedKeyJson,
    UsageJson, VersionJson, VersionPageJson,
};
pub use oauth::{
    AddedSecretJson, AppJson, AppPageJson, AppSecretJson, ClientSecretJson, FailureJson, FailurePageJson, GrantAppJson,
    GrantJson, GrantPageJson, GrantUserJson, RegisteredJson, RevokedGrantsJson,
};
pub use people::{
    AddedMemberJson, EndedSessionsJson, MemberJson, MemberPageJson, OwnSessionJson, OwnSessionPageJson, PasswordJson,
};
pub use webhooks::{
    DeliveryJson, DeliveryPageJson, InventoryJson, QueuedJson, SignedWebhookJson, SigningSecretJson, WebhookJson,
    WebhookPageJson,
};

/// A key; never holds more of its token than the hint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyJson {
    id: Uuid,
    organization: String,
    name: String,
    environment: &'static str,
    hint: String,
    scopes: Vec<String>,
    allowed_cidrs: Option<Vec<String>>,
    allow_any: bool,
    allowlist_notes: BTreeMap<String, String>,
    status: &'static str,
    version: i32,
    /// When the current version was made: its longest life counts from here.
    version_created_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    created_by: CreatorJson,
    expires_at: DateTime<Utc>,
    disabled_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    revoke_reason: Option<String>,
    auto_rotate: bool,
    rate_limit_per_minute: Option<u32>,
    successor_public_key: Option<String>,
    canary: bool,
    last_used_at: Option<DateTime<Utc>>,
    #[schema(value_type = Vec<String>)]
    last_used_ips: Vec<IpAddr>,
    successor: Option<SuccessorJson>,
}

/// Who made a key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Creator)]
pub struct CreatorJson {
    kind: &'static str,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

impl CreatorJson {
    /// Who made something; a person with the address, where it is known.
    pub(crate) fn new(by: Creator, email: Option<String>) -> Self {
        match by {
            Creator::User(id) => Self { kind: "user", id: id.to_string(), email },
            Creator::Operator(name) => Self { kind: "operator", id: name, email: None },
        }
    }
}

/// The next version of a key, while it waits to be picked up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Successor)]
pub struct SuccessorJson {
    status: &'static str,
    available_until: DateTime<Utc>,
}

fn entries(list: Option<&Allowlist>) -> Option<Vec<String>> {
    list.map(|list| list.entries().iter().map(ToString::to_string).collect())
}

fn names(catalog: &Catalog, scopes: statuspulse_policy::ScopeSet) -> Vec<String> {
    catalog.names(scopes).into_iter().map(str::to_owned).collect()
}

impl KeyJson {
    /// A key.
    #[must_use]
    pub fn new(app: &App, view: KeyView) -> Self {
        let KeyView { key, current, status, ends_at, organization, created_by_email, successor } = view;
        let created_by = CreatorJson::new(key.created_by, created_by_email);
        Self {
            id: key.id.as_uuid(),
            organization,
            name: key.name,
            environment: key.environment.as_str(),
            hint: current.hint,
            scopes: names(&app.catalog.load(), key.scopes),
            allowed_cidrs: entries(key.allowlist.as_ref()),
            allow_any: key.allow_any,
            allowlist_notes: key.allowlist_notes,
            status: status.as_str(),
            version: key.current_version,
            version_created_at: current.created_at,
            created_at: key.created_at,
            created_by,
            expires_at: ends_at,
            disabled_at: key.disabled_at,
            revoked_at: key.revoked_at,
            revoke_reason: key.revoke_reason,
            auto_rotate: key.auto_rotate,
            rate_limit_per_minute: key.rate_limit_per_minute,
            successor_public_key: key.successor_public_key,
            canary: key.canary,
            last_used_at: key.last_used_at,
            last_used_ips: key.last_used_ips,
            successor: successor.map(|successor| match successor {
                Successor::Pending { until } => SuccessorJson { status: "pending", available_until: until },
                Successor::Claimed { until } => SuccessorJson { status: "claimed", available_until: until },
            }),
        }
    }
}

/// A token on its way to the one who asked for it. The only place where a secret becomes text.
#[derive(ToSchema)]
#[schema(value_type = String)]
pub struct TokenJson(Token);

impl Serialize for TokenJson {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl std::fmt::Debug for TokenJson {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Something that is allowed but deserves a second look.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Warning)]
pub struct WarningJson {
    code: &'static str,
    field: String,
    detail: String,
}

impl From<Warning> for WarningJson {
    fn from(warning: Warning) -> Self {
        Self { code: warning.code, field: warning.field, detail: warning.detail }
    }
}

fn warnings(list: Vec<Warning>) -> Vec<WarningJson> {
    list.into_iter().map(WarningJson::from).collect()
}

/// A new key with its token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IssuedKey)]
pub struct IssuedJson {
    key: KeyJson,
    token: TokenJson,
    warnings: Vec<WarningJson>,
}

impl IssuedJson {
    /// A new key.
    #[must_use]
    pub fn new(app: &App, issued: Issued) -> Self {
        Self {
            key: KeyJson::new(app, issued.view),
            token: TokenJson(issued.token),
            warnings: warnings(issued.warnings),
        }
    }
}

/// A key with the token of its successor.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClaimedKey)]
pub struct ClaimedJson {
    key: KeyJson,
    token: TokenJson,
}

impl ClaimedJson {
    /// A picked-up successor.
    #[must_use]
    pub fn new(app: &App, claimed: crate::keys::successor::Claimed) -> Self {
        Self { key: KeyJson::new(app, claimed.view), token: TokenJson(claimed.token) }
    }
}

/// A rotated key with its new token.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RotatedKey)]
pub struct RotatedJson {
    key: KeyJson,
    token: TokenJson,
    previous_valid_until: DateTime<Utc>,
}

impl RotatedJson {
    /// A rotated key.
    #[must_use]
    pub fn new(app: &App, rotated: Rotated) -> Self {
        Self {
            key: KeyJson::new(app, rotated.view),
            token: TokenJson(rotated.token),
            previous_valid_until: rotated.previous_valid_until,
        }
    }
}

/// A page of keys.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyPage)]
pub struct KeyPageJson {
    items: Vec<KeyJson>,
    next_cursor: Option<String>,
}

impl KeyPageJson {
    /// A page.
    #[must_use]
    pub fn new(app: &App, page: Page) -> Self {
        let items = page.items.into_iter().map(|view| KeyJson::new(app, view)).collect();
        Self { items, next_cursor: page.next_cursor }
    }
}

/// A key with its new allowlist.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyWithWarnings)]
pub struct AllowlistJson {
    key: KeyJson,
    warnings: Vec<WarningJson>,
}

impl AllowlistJson {
    /// A changed key.
    #[must_use]
    pub fn new(app: &App, view: KeyView, list: Vec<Warning>) -> Self {
        Self { key: KeyJson::new(app, view), warnings: warnings(list) }
    }
}

/// Where a change is in force.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Receipt)]
pub struct ReceiptJson {
    key: KeyJson,
    applied: Vec<AppliedJson>,
    pending: Vec<PendingJson>,
}

/// An instance that has a change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AppliedInstance)]
pub struct AppliedJson {
    instance: Uuid,
    applied_at: DateTime<Utc>,
}

/// An instance that doesn't have a change yet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PendingInstance)]
pub struct PendingJson {
    instance: Uuid,
    last_seen_at: DateTime<Utc>,
}

impl PendingJson {
    fn new((instance, last_seen_at): (InstanceId, DateTime<Utc>)) -> Self {
        Self { instance: instance.as_uuid(), last_seen_at }
    }
}

impl ReceiptJson {
    /// A receipt.
    #[must_use]
    pub fn new(app: &App, receipt: Receipt) -> Self {
        let applied =
            |(instance, applied_at): (InstanceId, _)| AppliedJson { instance: instance.as_uuid(), applied_at };
        Self {
            key: KeyJson::new(app, receipt.view),
            applied: receipt.applied.into_iter().map(applied).collect(),
            pending: receipt.pending.into_iter().map(PendingJson::new).collect(),
        }
    }
}

/// A key in the answer of a bulk revocation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RevokedKey)]
pub struct BulkKeyJson {
    id: Uuid,
    name: String,
    environment: &'static str,
    hint: String,
}

/// The keys of a bulk revocation.
#[must_use]
pub fn bulk_keys(outcome: &BulkOutcome) -> Vec<BulkKeyJson> {
    let shown = |listed: &statuspulse_store::keys::ListedKey| BulkKeyJson {
        id: listed.key.id.as_uuid(),
        name: listed.key.name.clone(),
        environment: listed.key.environment.as_str(),
        hint: listed.current.hint.clone(),
    };
    outcome.keys.iter().map(shown).collect()
}

/// The instances that don't have a bulk revocation yet.
#[must_use]
pub fn bulk_pending(outcome: &BulkOutcome) -> Vec<PendingJson> {
    outcome.pending.iter().copied().map(PendingJson::new).collect()
}

/// How a call would be judged.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explanation)]
pub struct ExplanationJson {
    allowed: bool,
    code: &'static str,
    status: u16,
    steps: Vec<StepJson>,
}

/// One step of a judgement.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExplanationStep)]
pub struct StepJson {
    step: &'static str,
    outcome: &'static str,
    detail: String,
}

impl From<Explanation> for ExplanationJson {
    fn from(explanation: Explanation) -> Self {
        Self {
            allowed: explanation.allowed(),
            code: explanation.code.as_str(),
            status: explanation.status(),
            steps: explanation
                .steps
                .into_iter()
                .map(|step| StepJson { step: step.step.as_str(), outcome: step.outcome.as_str(), detail: step.detail })
                .collect(),
        }
    }
}

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
pub struct OrganizationJson {
    id: Uuid,
    slug: String,
    name: String,
    created_at: DateTime<Utc>,
}

impl From<&Organization> for OrganizationJson {
    fn from(organization: &Organization) -> Self {
        Self {
            id: organization.id.as_uuid(),
            slug: organization.slug.clone(),
            name: organization.name.clone(),
            created_at: organization.created_at,
        }
    }
}

/// An organization's settings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settings)]
pub struct SettingsJson {
    max_lifespan_days: DaysJson,
    unused_key_days: Option<u32>,
    developer_scopes: Vec<String>,
    reuse_policy: &'static str,
    allowed_cidrs: Option<Vec<String>>,
    /// Keys that the change ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ended_keys: Vec<EndedKeyJson>,
}

/// Days by environment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LifespanDays)]
pub struct DaysJson {
    production: u32,
    staging: u32,
    analytics: u32,
}

/// A key that a change of settings ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EndedKey)]
pub struct EndedKeyJson {
    id: Uuid,
    name: String,
    ended_at: DateTime<Utc>,
}

impl SettingsJson {
    /// Settings, with the keys that a change ended.
    #[must_use]
    pub fn new(app: &App, organization: &Organization, ended: Vec<EndedKey>) -> Self {
        let settings = &organization.settings;
        let catalog = app.catalog.load();
        let usual = catalog.all().difference(catalog.management());
        Self {
            max_lifespan_days: DaysJson {
                production: settings.caps.days(Environment::Production),
                staging: settings.caps.days(Environment::Staging),
                analytics: settings.caps.days(Environment::Analytics),
            },
            unused_key_days: settings.unused_key_days,
            developer_scopes: names(&catalog, settings.developer_scopes.unwrap_or(usual)),
            reuse_policy: settings.reuse_policy.as_str(),
            allowed_cidrs: entries(settings.allowlist.as_ref()),
            ended_keys: ended
                .into_iter()
                .map(|key| EndedKeyJson { id: key.id.as_uuid(), name: key.name, ended_at: key.ended_at })
                .collect(),
        }
    }
}

/// The permission matrix.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PermissionMatrix)]
pub struct MatrixJson {
    resources: Vec<ResourceJson>,
    presets: Vec<PresetJson>,
    environments: Vec<EnvironmentJson>,
}

/// A resource with its scopes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Resource)]
pub struct ResourceJson {
    name: String,
    description: String,
    scopes: Vec<ScopeJson>,
}

/// A scope.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Scope)]
pub struct ScopeJson {
    name: String,
    action: String,
    description: String,
    /// Whether a key of a read-only environment may hold it.
    read_only: bool,
}

/// A preset.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Preset)]
pub struct PresetJson {
    name: String,
    title: String,
    scopes: Vec<String>,
}

/// An environment.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Environment)]
pub struct EnvironmentJson {
    name: &'static str,
    prefix: &'static str,
    read_only: bool,
    max_lifespan_days: u32,
}

impl MatrixJson {
    /// The matrix of a catalog.
    #[must_use]
    pub fn new(catalog: &Catalog) -> Self {
        let scope = |scope: &statuspulse_policy::ScopeInfo| ScopeJson {
            name: scope.name.clone(),
            action: scope.action.clone(),
            description: scope.description.clone(),
            read_only: scope.read_only,
        };
        Self {
            resources: catalog
                .resources()
                .iter()
                .map(|resource| ResourceJson {
                    name: resource.name.clone(),
                    description: resource.description.clone(),
                    scopes: resource.scopes.iter().map(scope).collect(),
                })
                .collect(),
            presets: catalog
                .presets()
                .iter()
                .map(|preset| PresetJson {
                    name: preset.name.clone(),
                    title: preset.title.clone(),
                    scopes: names(catalog, preset.scopes),
                })
                .collect(),
            environments: Environment::ALL
                .iter()
                .map(|environment| EnvironmentJson {
                    name: environment.as_str(),
                    prefix: environment.token_prefix(),
                    read_only: environment.read_only(),
                    max_lifespan_days: environment.max_lifespan_days(),
                })
                .collect(),
        }
    }
}
