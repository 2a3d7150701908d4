//! What a credential grants, and the state it is in at an instant.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::allowlist::Allowlist;
use crate::environment::Environment;
use crate::scope::ScopeSet;

/// A credential as the decision sees it.
#[derive(Debug, Clone, Copy)]
pub struct Grant<'a> {
    /// Where it is meant to be used.
    pub environment: Environment,
    /// What it was granted. Every check cuts this to what the environment allows.
    pub scopes: ScopeSet,
    /// From where it may be used; `None` is any address.
    pub allowlist: Option<&'a Allowlist>,
    /// From where any credential of the organization may be used; `None` is any address. Both lists must allow.
    pub organization_allowlist: Option<&'a Allowlist>,
    /// Revoked from this instant on.
    pub revoked_from: Option<DateTime<Utc>>,
    /// Expired from this instant on.
    pub expires_at: DateTime<Utc>,
    /// Switched off by someone; reversible.
    pub disabled: bool,
}

impl Grant<'_> {
    /// The state at an instant. Where several hold: revoked, then expired, then disabled.
    pub fn state(&self, now: DateTime<Utc>) -> State {
        if self.revoked_from.is_some_and(|from| from <= now) {
            State::Revoked
        } else if self.expires_at <= now {
            State::Expired
        } else if self.disabled {
            State::Disabled
        } else {
            State::Active
        }
    }
}

/// The state of a credential at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It may be used.
    Active,
    /// Someone switched it off.
    Disabled,
    /// Its time is over.
    Expired,
    /// Someone ended it.
    Revoked,
}

impl State {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests;
