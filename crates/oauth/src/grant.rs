//! Grants: what a person, or an app for itself, has authorized. Every code and token belongs to one (oauth §1).

use std::net::IpAddr;

use chrono::{DateTime, Duration, Utc};
use statuspulse_policy::{AppId, GrantId, OrganizationId, ScopeSet, UserId};

use crate::{authorize::CODE_SECONDS, resource::Resources};

/// Days from consent to the end of a chain of refresh tokens.
pub const ABSOLUTE_DAYS: i64 = 180;
/// Days without use after which a refresh token ends.
pub const IDLE_DAYS: i64 = 30;
/// Seconds for which an access token lives.
pub const ACCESS_SECONDS: i64 = 7_200;
/// Days for which the digests of an ended grant are kept, so that a replay is still recognised.
pub const KEPT_DAYS: i64 = 30;

/// State of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantStatus {
    /// Decided; its code waits to be redeemed.
    Pending,
    /// Tokens were issued.
    Active,
    /// Ended by somebody.
    Revoked,
}

impl GrantStatus {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Revoked => "revoked",
        }
    }

    /// Reads the word in the database.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Pending, Self::Active, Self::Revoked].into_iter().find(|status| status.as_str() == word)
    }
}

/// A grant.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Identity.
    pub id: GrantId,
    /// Who decided; none for an app that acts for itself.
    pub user_id: Option<UserId>,
    /// For which organization.
    pub organization_id: OrganizationId,
    /// For which app.
    pub app_id: AppId,
    /// What was granted.
    pub scopes: ScopeSet,
    /// For which resources.
    pub resources: Resources,
    /// See [`GrantStatus`].
    pub status: GrantStatus,
    /// Why it ended.
    pub revoked_reason: Option<String>,
    /// When it ended.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Counts the rotations of the refresh token, from 0.
    pub generation: i64,
    /// When it was decided.
    pub created_at: DateTime<Utc>,
    /// Last rotation.
    pub last_refresh_at: Option<DateTime<Utc>>,
    /// End of the chain, whatever happens; none for an app that acts for itself.
    pub absolute_expires_at: Option<DateTime<Utc>>,
    /// Last use of an access token.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Where from, newest first.
    pub last_used_ips: Vec<IpAddr>,
    /// Place in the change feed, once it has ended.
    pub sequence: i64,
}

impl Grant {
    /// The end of the chain of a grant that is decided now.
    #[must_use]
    pub fn absolute_end(now: DateTime<Utc>) -> DateTime<Utc> {
        now + Duration::days(ABSOLUTE_DAYS)
    }

    /// Whether its tokens may be used and renewed.
    #[must_use]
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.status != GrantStatus::Revoked && self.absolute_expires_at.is_none_or(|end| now < end)
    }

    /// Whether the decision counts as remembered: a live grant, or one whose code may still be redeemed. One whose code was
    /// never redeemed is shown to nobody, so it must not decide anything later on.
    #[must_use]
    pub fn remembers(&self, now: DateTime<Utc>) -> bool {
        let waits = now < self.created_at + Duration::seconds(CODE_SECONDS);
        self.is_live(now) && (self.status == GrantStatus::Active || waits)
    }
}

#[cfg(test)]
mod tests;
