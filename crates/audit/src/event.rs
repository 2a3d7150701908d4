//! One happening, one event (audit §1).

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use statuspulse_policy::{AppId, EventId, GrantId, KeyId, OrganizationId, RequestId, UserId};

use crate::fingerprint::Fingerprint;

/// How durable an event must be before the answer leaves (audit §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A change or a log-in: written in the change's own transaction.
    A,
    /// A refusal or a read.
    B,
    /// An allowed call.
    C,
}

impl Class {
    /// The number in `audit_events.class`: 1, 2 or 3.
    #[must_use]
    pub const fn number(self) -> i16 {
        match self {
            Self::A => 1,
            Self::B => 2,
            Self::C => 3,
        }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)+) => {
        /// What happened: a closed list of stable words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action { $($(#[$doc])* $variant,)+ }

        impl Action {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

actions! {
    /// A judged call.
    ApiCall = "api.call",
    /// A key was created.
    KeyCreate = "key.create",
    /// A key's name, scopes, allowlist or limits changed.
    KeyUpdate = "key.update",
    /// A key got its next version.
    KeyRotate = "key.rotate",
    /// A key was ended for good.
    KeyRevoke = "key.revoke",
    /// A key was switched off.
    KeyDisable = "key.disable",
    /// A key was switched on.
    KeyEnable = "key.enable",
    /// The holder of a key picked its successor up.
    KeyClaim = "key.claim",
    /// A key ended by a change of settings.
    KeyExpire = "key.expire",
    /// Somebody asked how a call would be judged.
    KeyExplain = "key.explain",
    /// Credentials were reported as leaked, or a live one of them was found.
    KeyLeaked = "key.leaked",
    /// A key was met in a URL.
    CredentialInUrl = "credential.in_url",
    /// An organization was created.
    OrganizationCreate = "settings.create",
    /// An organization's settings changed.
    SettingsUpdate = "settings.update",
    /// The pepper of the look-up digests was rotated.
    PepperRotate = "settings.pepper_rotate",
    /// A user was created.
    UserCreate = "user.create",
    /// A person's password was changed, or somebody tried to; by the person or by an operator.
    UserPasswordChange = "user.password_change",
    /// A user was given a role in an organization.
    MemberAdd = "member.add",
    /// A member got another role.
    MemberChange = "member.change",
    /// A member was taken out of an organization.
    MemberRemove = "member.remove",
    /// Somebody signed in, or tried to.
    SessionLogin = "session.login",
    /// Somebody signed out.
    SessionLogout = "session.logout",
    /// An app was registered.
    AppCreate = "app.create",
    /// An app's settings changed; suspending it too.
    AppUpdate = "app.update",
    /// An app was deleted.
    AppDelete = "app.delete",
    /// An app got a new secret.
    AppSecretCreate = "app.secret_create",
    /// One of an app's secrets was ended.
    AppSecretRevoke = "app.secret_revoke",
    /// A person was asked for an authorization, or an app for one.
    OauthAuthorize = "oauth.authorize",
    /// A code, or the app itself, was traded for tokens.
    OauthToken = "oauth.token",
    /// A refresh token was traded for new tokens.
    OauthRefresh = "oauth.refresh",
    /// A token or a grant was ended.
    OauthRevoke = "oauth.revoke",
    /// A resource server asked about a token.
    OauthIntrospect = "oauth.introspect",
    /// The key of signed access tokens was changed.
    SigningKeyRotate = "settings.signing_key_rotate",
    /// An endpoint was made.
    WebhookCreate = "webhook.create",
    /// An endpoint was changed; switching it on and off too.
    WebhookUpdate = "webhook.update",
    /// An endpoint was taken away.
    WebhookDelete = "webhook.delete",
    /// An endpoint got a new signing secret.
    WebhookSecretRotate = "webhook.secret_rotate",
    /// An endpoint was tried.
    WebhookTest = "webhook.test",
    /// A delivery was queued again.
    WebhookRetry = "webhook.retry",
    /// An endpoint was switched off by the service: it is gone, or has failed for too long.
    WebhookDisable = "webhook.disable",
    /// An alert was opened.
    AlertOpen = "alert.open",
    /// Somebody took an alert.
    AlertAcknowledge = "alert.acknowledge",
    /// An alert was closed.
    AlertResolve = "alert.resolve",
    /// The trail was read.
    AuditRead = "audit.read",
    /// The trail was exported.
    AuditExport = "audit.export",
    /// Events that could not be written: how many, and why.
    AuditGap = "audit.gap",
    /// Calls of one second that named nobody, as one event.
    AuditFold = "audit.fold",
    /// A start has found what the process before had left.
    AuditRecovered = "audit.recovered",
    /// An operator had the trail signed.
    AuditCheckpoint = "audit.checkpoint",
    /// Addresses were erased, of which events.
    AuditErase = "audit.erase",
    /// Days have left the table.
    AuditRetention = "audit.retention",
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done, let through.
    Allowed,
    /// Refused, for whatever reason of the caller's.
    Denied,
    /// Our own fault.
    Failed,
}

impl Outcome {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }

    /// The outcome that belongs to a status of HTTP.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            500.. => Self::Failed,
            400..=499 => Self::Denied,
            _ => Self::Allowed,
        }
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// An API key, at one of its versions.
    ApiKey {
        /// The key.
        id: KeyId,
        /// The version whose token was presented, where one was.
        version: Option<i32>,
    },
    /// An OAuth access token, by its grant.
    AccessToken(GrantId),
    /// An OAuth app.
    App(AppId),
    /// A signed-in person.
    User(UserId),
    /// An operator at the command line.
    Operator(String),
    /// The service itself.
    System,
    /// Nobody that can be named.
    Unknown,
}

impl Actor {
    /// The contract's word for the kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ApiKey { .. } => "api_key",
            Self::AccessToken(_) => "access_token",
            Self::App(_) => "app",
            Self::User(_) => "user",
            Self::Operator(_) => "operator",
            Self::System => "system",
            Self::Unknown => "unknown",
        }
    }

    /// The id, where there is one.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        match self {
            Self::ApiKey { id, .. } => Some(id.to_string()),
            Self::AccessToken(id) => Some(id.to_string()),
            Self::App(id) => Some(id.to_string()),
            Self::User(id) => Some(id.to_string()),
            Self::Operator(name) => Some(name.clone()),
            Self::System | Self::Unknown => None,
        }
    }

    /// The version of the key, where there is one.
    #[must_use]
    pub const fn version(&self) -> Option<i32> {
        match self {
            Self::ApiKey { version, .. } => *version,
            _ => None,
        }
    }
}

/// Where a request came from and what it looked like; the same for the event of a call and that of a change.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// Method as the caller wrote it, at most 32 bytes.
    pub method: Option<String>,
    /// Pattern of the route, never the raw path.
    pub route: Option<String>,
    /// Client address, none when it can't be told.
    pub ip: Option<IpAddr>,
    /// Escaped and cut user agent (see [`crate::user_agent`]).
    pub user_agent: Option<String>,
    /// See [`Fingerprint`].
    pub fingerprint: Option<Fingerprint>,
    /// The answer's `X-Request-Id`.
    pub request_id: Option<RequestId>,
}

/// A happening.
#[derive(Debug, Clone)]
pub struct Event {
    /// UUIDv7 made when it was judged.
    pub id: EventId,
    /// When, in microseconds UTC.
    pub occurred_at: DateTime<Utc>,
    /// Durability.
    pub class: Class,
    /// What.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// The decision code or the reason of a refusal: a stable word.
    pub reason: Option<&'static str>,
    /// To whom it belongs; none when that can't be told.
    pub organization_id: Option<OrganizationId>,
    /// Who.
    pub actor: Actor,
    /// From where.
    pub origin: Origin,
    /// What was answered.
    pub status: Option<u16>,
    /// What else belongs to it. Only ids, names of fields and numbers: no address (it could not be erased), no secret.
    pub detail: Map<String, Value>,
}

impl Event {
    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_word_of_its_own() {
        let words: std::collections::HashSet<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(words.len(), Action::ALL.len());
    }

    #[test]
    fn a_refusal_is_denied_and_our_own_fault_failed() {
        let outcomes = [200, 303, 401, 429, 500, 503].map(|status| Outcome::of_status(status).as_str());
        assert_eq!(outcomes, ["allowed", "allowed", "denied", "denied", "failed", "failed"]);
    }
}
