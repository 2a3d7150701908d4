//! What stands in a report; serialized it is `report.json`, whose shape `docs/soc2-report.md` describes.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use statuspulse_audit::{
    report::{Owner, Period, Release},
    verify,
};
use uuid::Uuid;

/// The form of `report.json`.
pub const FORMAT: &str = "statuspulse-soc2/v1";

/// A report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// See [`FORMAT`].
    pub format: &'static str,
    /// Whose it is.
    pub organization: Owner,
    /// Which time it is about.
    pub period: Period,
    /// When it was made; what is not said to be of the period is as it was then.
    pub made_at: DateTime<Utc>,
    /// Who made it.
    pub made_by: Actor,
    /// By which program.
    pub made_with: Release,
    /// Items of a list, at most.
    pub list_limit: usize,
    /// What limits the report, in sentences.
    pub notes: Vec<String>,
    /// Which part is evidence to which criterion.
    pub controls: Vec<Control>,
    /// The figures of all parts.
    pub summary: Summary,
    /// The keys.
    pub keys: Keys,
    /// New versions of keys.
    pub rotations: List<Rotation>,
    /// Versions that live too long.
    pub long_lived: LongLived,
    /// Who may do what, and what was changed.
    pub access: AccessPart,
    /// Alerts of the organization.
    pub alerts: Alerts,
    /// Alerts of the service itself.
    pub service_alerts: Alerts,
    /// What was told by webhooks.
    pub webhooks: Webhooks,
    /// What verification says of the trail.
    pub trail: Trail,
}

/// A criterion of the Trust Services Criteria.
#[derive(Debug, Serialize)]
pub struct Control {
    /// Its number.
    pub control: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Parts that are evidence to it, by their name in the report.
    pub parts: Vec<Evidence>,
}

/// A part as evidence.
#[derive(Debug, Serialize)]
pub struct Evidence {
    /// Name of the part.
    pub part: &'static str,
    /// What it shows.
    pub shows: &'static str,
}

/// The figures.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Whether nothing at all happened in the period.
    pub nothing_happened: bool,
    /// Keys that were there in the period.
    pub keys: u64,
    /// Those of them that are accepted now.
    pub keys_active: u64,
    /// Those that are accepted now from any address.
    pub keys_without_allowlist: u64,
    /// New versions.
    pub rotations: u64,
    /// Versions in production and analytics that live longer than 90 days: there must be none.
    pub keys_beyond_90_days: u64,
    /// Changes that are listed one by one.
    pub changes: u64,
    /// Sign-ins that were let in.
    pub sign_ins: u64,
    /// Sign-ins that were refused.
    pub sign_in_failures: u64,
    /// Alerts of the organization.
    pub alerts: u64,
    /// Those that are not resolved.
    pub alerts_open: u64,
    /// Alerts of the service.
    pub service_alerts: u64,
    /// Webhooks that did not arrive.
    pub deliveries_failed: u64,
    /// What verification says: `whole`, `tampered` or `incomplete`.
    pub trail: verify::Verdict,
}

/// A list that ends at the limit.
#[derive(Debug, Serialize)]
pub struct List<T> {
    /// How many there are.
    pub total: u64,
    /// How many are here.
    pub listed: usize,
    /// The first of them.
    pub items: Vec<T>,
}

/// Who did something.
#[derive(Debug, Serialize)]
pub struct Actor {
    /// The contract's word: `user`, `operator`, `system` and so on.
    pub kind: String,
    /// Whose id.
    pub id: Option<String>,
    /// The address of a person.
    pub email: Option<String>,
}

/// The inventory.
#[derive(Debug, Serialize)]
pub struct Keys {
    /// Status, scopes and allowlists are those of this moment.
    pub as_of: DateTime<Utc>,
    /// Keys that were made before the end of the period and had not ended before it, newest first.
    #[serde(flatten)]
    pub list: List<Key>,
}

/// A key. Nothing of its token but the hint.
#[derive(Debug, Serialize)]
pub struct Key {
    /// Identity, the same through every rotation.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// production, staging or analytics.
    pub environment: &'static str,
    /// The beginning of its token.
    pub hint: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: Actor,
    /// Whole days since it was made, at the end of the period.
    pub age_days: i64,
    /// When its current version ends or has ended by its lifespan.
    pub expires_at: DateTime<Utc>,
    /// active, disabled, expired or revoked.
    pub status: &'static str,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Number of its current version.
    pub version: i32,
    /// How often it was rotated.
    pub rotations: i32,
    /// `none`: usable from any address. `own`: only from its networks. `allow_any`: its networks may be of any width.
    pub allowlist: &'static str,
    /// Its networks.
    pub allowed_cidrs: Vec<String>,
    /// Last accepted call.
    pub last_used_at: Option<DateTime<Utc>>,
    /// A honeytoken: never accepted, its use is an alert.
    pub canary: bool,
}

/// A version that took the place of the one before.
#[derive(Debug, Serialize)]
pub struct Rotation {
    /// The key.
    pub key_id: Uuid,
    /// Its name.
    pub key_name: String,
    /// Its environment.
    pub environment: String,
    /// Number of the new version.
    pub version: i32,
    /// When it took over.
    pub at: DateTime<Utc>,
    /// `rotated` by somebody, or `picked_up` by the holder after it was prepared.
    pub how: &'static str,
    /// When the version before ends or has ended.
    pub previous_valid_until: Option<DateTime<Utc>>,
}

/// Versions in force in the period that live longer than the limit.
#[derive(Debug, Serialize)]
pub struct LongLived {
    /// The limit.
    pub limit_days: u32,
    /// How many of the list are in production or analytics, where there must be none.
    pub beyond_limit: u64,
    /// All of them, oldest first. Staging may have longer ones.
    #[serde(flatten)]
    pub list: List<Version>,
}

/// A version with its life.
#[derive(Debug, Serialize)]
pub struct Version {
    /// The key.
    pub key_id: Uuid,
    /// Its name.
    pub key_name: String,
    /// Its environment.
    pub environment: String,
    /// Its number.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends or has ended.
    pub ends_at: DateTime<Utc>,
    /// Whole days between.
    pub days: i64,
    /// Whether its environment allows it.
    pub is_allowed: bool,
}

/// Who may do what, and what was changed.
#[derive(Debug, Serialize)]
pub struct AccessPart {
    /// Members, as of the making of the report.
    pub people: Vec<Person>,
    /// Sign-ins of the period.
    pub sign_ins: SignIns,
    /// All changes and log-ins of the period, by action and outcome.
    pub counts: Vec<Count>,
    /// Changes of keys, people, apps, grants, settings and webhooks, oldest first.
    pub changes: List<Change>,
}

/// A member.
#[derive(Debug, Serialize)]
pub struct Person {
    /// Identity.
    pub id: Uuid,
    /// Address.
    pub email: String,
    /// Name.
    pub name: String,
    /// owner, admin, developer or auditor.
    pub role: &'static str,
    /// Since when the account is closed.
    pub disabled_at: Option<DateTime<Utc>>,
}

/// Sign-ins.
#[derive(Debug, Serialize)]
pub struct SignIns {
    /// Let in.
    pub succeeded: u64,
    /// Refused, for accounts of the organization.
    pub failed: u64,
    /// Refused, for accounts that belong to no organization or don't exist: of the whole service.
    pub failed_for_unknown_accounts: u64,
}

/// How often something happened.
#[derive(Debug, Serialize)]
pub struct Count {
    /// What.
    pub action: String,
    /// allowed, denied or failed.
    pub outcome: String,
    /// Whether it belongs to the service and to no organization.
    pub of_service: bool,
    /// How often.
    pub number: u64,
}

/// A change, as the trail tells it.
#[derive(Debug, Serialize)]
pub struct Change {
    /// Id of the event: `audit prove` proves it.
    pub event_id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub action: String,
    /// allowed, denied or failed.
    pub outcome: String,
    /// Why it was refused.
    pub reason: Option<String>,
    /// Who.
    pub actor: Actor,
    /// What it is about.
    pub subject: Option<Subject>,
    /// Whether it belongs to the service and to no organization.
    pub of_service: bool,
    /// What else the event says: ids, names of fields and numbers.
    pub detail: Map<String, Value>,
}

/// What something is about.
#[derive(Debug, Serialize)]
pub struct Subject {
    /// key, user, app, grant, webhook and so on.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its name now, where it has one.
    pub name: Option<String>,
}

/// Alerts that were opened in the period, as they stand when the report is made.
#[derive(Debug, Serialize)]
pub struct Alerts {
    /// Those that are not resolved.
    pub open: u64,
    /// Those that somebody has taken.
    pub acknowledged: u64,
    /// Those that are closed.
    pub resolved: u64,
    /// Half of those that were taken were taken within so many minutes.
    pub median_minutes_to_acknowledge: Option<f64>,
    /// Half of those that are closed were closed within so many minutes.
    pub median_minutes_to_resolve: Option<f64>,
    /// Oldest first.
    #[serde(flatten)]
    pub list: List<Alert>,
}

/// An alert.
#[derive(Debug, Serialize)]
pub struct Alert {
    /// Identity.
    pub id: Uuid,
    /// The rule that opened it.
    pub rule: String,
    /// low, medium, high or critical.
    pub severity: String,
    /// What it is about.
    pub subject: Subject,
    /// Criteria to which it is evidence.
    pub controls: Vec<String>,
    /// open, acknowledged or resolved.
    pub status: String,
    /// Happenings.
    pub count: i64,
    /// First happening.
    pub opened_at: DateTime<Utc>,
    /// Last happening.
    pub last_seen_at: DateTime<Utc>,
    /// Who took it, and when.
    pub acknowledged: Option<Acknowledged>,
    /// How it was closed.
    pub resolved: Option<Resolved>,
}

/// Somebody has taken an alert.
#[derive(Debug, Serialize)]
pub struct Acknowledged {
    /// Who, where the table says so.
    pub by: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// Minutes since it was opened.
    pub minutes: f64,
}

/// An alert is closed.
#[derive(Debug, Serialize)]
pub struct Resolved {
    /// manual or automatic.
    pub how: Option<String>,
    /// Who.
    pub by: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// Minutes since it was opened.
    pub minutes: f64,
    /// What was written about it.
    pub note: Option<String>,
}

/// What was told by webhooks.
#[derive(Debug, Serialize)]
pub struct Webhooks {
    /// Deliveries of events before this moment have left the tables.
    pub complete_from: DateTime<Utc>,
    /// Each endpoint that is there still, with its totals of the period.
    pub endpoints: Vec<Endpoint>,
    /// Deliveries that were given up, oldest first.
    pub failed: List<Failed>,
}

/// An endpoint.
#[derive(Debug, Serialize)]
pub struct Endpoint {
    /// Identity.
    pub id: Uuid,
    /// Scheme and host of its address; the rest may be a secret.
    pub origin: String,
    /// standard or slack.
    pub kind: String,
    /// active or disabled, now.
    pub status: String,
    /// Why it is disabled.
    pub disabled_reason: Option<String>,
    /// Deliveries that arrived.
    pub succeeded: u64,
    /// Deliveries that were given up.
    pub failed: u64,
    /// Deliveries that are still tried.
    pub pending: u64,
}

/// A delivery that was given up.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// Identity.
    pub id: Uuid,
    /// The endpoint.
    pub endpoint_id: Uuid,
    /// Scheme and host of its address.
    pub origin: Option<String>,
    /// What it told.
    pub event_type: String,
    /// When that happened.
    pub at: DateTime<Utc>,
    /// Attempts.
    pub attempts: i32,
    /// When the last attempt began.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// Status that was answered.
    pub response_status: Option<i16>,
    /// Why it failed, as a stable word.
    pub error: Option<String>,
}

/// What verification says of the trail of the period: of the whole service, since its chains are.
#[derive(Debug, Serialize)]
pub struct Trail {
    /// As `audit verify` says it.
    #[serde(flatten)]
    pub report: verify::Report,
    /// Whether nothing waited for the table when it was looked at.
    pub drained: bool,
}
