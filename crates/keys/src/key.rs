//! A key, its versions, and what they are worth at a moment (keys §1 and §4).

use std::{collections::BTreeMap, net::IpAddr};

use chrono::{DateTime, Duration, Utc};
use statuspulse_policy::{Allowlist, Environment, Grant, KeyId, KeyVersionId, OrganizationId, ScopeSet, UserId};

use crate::{
    digest::{LookupId, SecretHash},
    lifespan::LifespanCaps,
};

/// Who made a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creator {
    /// A person, through the dashboard or on whose behalf an operator acted.
    User(UserId),
    /// An operator at the command line, by the name of the account on that machine.
    Operator(String),
}

/// The state of one version as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// A slot for a successor: without a secret, or with one that was sealed to the key's recipient.
    Pending,
    /// The current version.
    Live,
    /// Followed by another version; accepted until its `valid_until`.
    Superseded,
    /// Ended together with its key.
    Revoked,
}

impl VersionState {
    /// The word in `key_versions.state`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Live => "live",
            Self::Superseded => "superseded",
            Self::Revoked => "revoked",
        }
    }

    /// Reads the word of the table.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Pending, Self::Live, Self::Superseded, Self::Revoked].into_iter().find(|state| state.as_str() == word)
    }
}

/// One secret of a key.
#[derive(Debug, Clone)]
pub struct KeyVersion {
    /// Identity of the version.
    pub id: KeyVersionId,
    /// Number within the key, from 1.
    pub number: i32,
    /// Stored state.
    pub state: VersionState,
    /// Look-up digest; none for a slot without a secret.
    pub lookup_id: Option<LookupId>,
    /// The pepper under which the digest was made.
    pub pepper_version: i16,
    /// bcrypt hash: `Some(Err)` when the stored text isn't one of ours, none for a slot without a secret.
    pub secret_hash: Option<Result<SecretHash, crate::digest::BrokenHash>>,
    /// What may be shown of the token.
    pub hint: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The end that people set.
    pub expires_at: DateTime<Utc>,
    /// The moment it stops: the earlier of `expires_at` and the end of its overlap.
    pub valid_until: DateTime<Utc>,
    /// When it was picked up, where it was prepared as a successor.
    pub claimed_at: Option<DateTime<Utc>>,
}

/// What a version is at a moment, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The one that is accepted, as long as its key is.
    Current,
    /// Followed by another one, and accepted until its `valid_until`.
    Overlap,
    /// A successor that waits to be picked up.
    Pending,
    /// No longer accepted: its time is up, or its key is revoked.
    Ended,
}

impl Standing {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Overlap => "overlap",
            Self::Pending => "pending",
            Self::Ended => "ended",
        }
    }
}

/// A key: what people name, scope, restrict and see in lists. Policy hangs here, secrets on the versions, so that a
/// rotation can't lose a field of policy.
#[derive(Debug, Clone)]
pub struct Key {
    /// Identity, the same through every rotation.
    pub id: KeyId,
    /// Owner.
    pub organization_id: OrganizationId,
    /// Environment; never changes.
    pub environment: Environment,
    /// 1 to 100 characters, no control characters.
    pub name: String,
    /// What it may do, before the environment's mask.
    pub scopes: ScopeSet,
    /// Where it may be used from; none means anywhere.
    pub allowlist: Option<Allowlist>,
    /// Whether its list may be wider than usual.
    pub allow_any: bool,
    /// Notes by range.
    pub allowlist_notes: BTreeMap<String, String>,
    /// Accepted calls a minute; none means no limit.
    pub rate_limit_per_minute: Option<u32>,
    /// Lifespan of a new version.
    pub lifespan: Duration,
    /// Whether a successor is prepared before the end.
    pub auto_rotate: bool,
    /// Recipient of sealed successors.
    pub successor_public_key: Option<String>,
    /// Honeytoken: never accepted, its use is an alert.
    pub canary: bool,
    /// Number of the current version.
    pub current_version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub created_by: Creator,
    /// Since when it is switched off.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Since when it is dead for good.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Why it was revoked.
    pub revoke_reason: Option<String>,
    /// Last accepted call.
    pub last_used_at: Option<DateTime<Utc>>,
    /// The last five distinct addresses of accepted calls, newest first.
    pub last_used_ips: Vec<IpAddr>,
    /// Place in the change feed.
    pub sequence: i64,
}

/// What a key is, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The current version is accepted.
    Active,
    /// Switched off, can be switched on again.
    Disabled,
    /// At or past its end.
    Expired,
    /// Dead for good.
    Revoked,
}

impl Status {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Disabled, Self::Expired, Self::Revoked].into_iter().find(|status| status.as_str() == word)
    }
}

impl Key {
    /// The status at a moment, from the current version. Precedence: revoked, expired, disabled; expired from the instant
    /// of the end on.
    #[must_use]
    pub fn status(&self, current: &KeyVersion, caps: &LifespanCaps, now: DateTime<Utc>) -> Status {
        let end = caps.effective_end(self.environment, current.created_at, current.expires_at);
        if self.revoked_at.is_some() {
            Status::Revoked
        } else if now >= end {
            Status::Expired
        } else if self.disabled_at.is_some() {
            Status::Disabled
        } else {
            Status::Active
        }
    }

    /// What one of its versions is at a moment; that the key is switched off ends none of them.
    #[must_use]
    pub fn standing(&self, version: &KeyVersion, caps: &LifespanCaps, now: DateTime<Utc>) -> Standing {
        let end = caps.effective_end(self.environment, version.created_at, version.expires_at);
        if self.revoked_at.is_some() || now >= end.min(version.valid_until) {
            return Standing::Ended;
        }
        match version.state {
            VersionState::Live => Standing::Current,
            VersionState::Superseded => Standing::Overlap,
            VersionState::Pending => Standing::Pending,
            VersionState::Revoked => Standing::Ended,
        }
    }

    /// What a call with one of the versions is judged by.
    #[must_use]
    pub fn grant<'a>(
        &'a self,
        version: &KeyVersion,
        caps: &LifespanCaps,
        organization_allowlist: Option<&'a Allowlist>,
    ) -> Grant<'a> {
        let ended = match version.state {
            VersionState::Live => None,
            VersionState::Superseded => Some(version.valid_until),
            // A sealed successor may be used from the moment it is made; its first use is its claim. It expires like the rest.
            VersionState::Pending if version.secret_hash.is_some() => None,
            // A slot without a secret can't be found; should one ever be, it is refused for good.
            VersionState::Revoked | VersionState::Pending => Some(DateTime::<Utc>::MIN_UTC),
        };
        Grant {
            environment: self.environment,
            scopes: self.scopes,
            allowlist: self.allowlist.as_ref(),
            organization_allowlist,
            revoked_from: [ended, self.revoked_at].into_iter().flatten().min(),
            expires_at: caps.effective_end(self.environment, version.created_at, version.expires_at),
            disabled: self.disabled_at.is_some(),
        }
    }
}

/// What is wrong with a key's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 100 characters and no control characters")]
pub struct NameError;

/// Checks a name of a key or an app: 1 to 100 characters, none of them a control character.
///
/// # Errors
/// [`NameError`] otherwise.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let length = name.chars().take(101).count();
    if (1..=100).contains(&length) && !name.chars().any(char::is_control) { Ok(()) } else { Err(NameError) }
}

#[cfg(test)]
pub(crate) mod tests;
