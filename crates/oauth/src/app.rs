//! Apps: what a developer registers (oauth §2).

use chrono::{DateTime, Duration, Utc};
use statuspulse_keys::Creator;
use statuspulse_policy::{Allowlist, AppId, AppSecretId, OrganizationId, ScopeSet};

use crate::{
    redirect_uri::{self, Mismatch, RedirectUri},
    resource::{Known, Resources},
    token::{ClientId, TokenDigest},
};

/// Live secrets of an app, at most.
pub const MOST_SECRETS: usize = 5;
/// Seconds for which an earlier secret stays valid beside a new one, unless somebody says otherwise.
pub const DEFAULT_OVERLAP: i64 = 604_800;
/// The longest overlap: 90 days.
pub const LONGEST_OVERLAP: i64 = 7_776_000;
/// The longest retry window of a refresh token, in seconds.
pub const LONGEST_RETRY: u32 = 60;
/// Characters of a name, at most.
pub const LONGEST_NAME: usize = 100;
/// Characters of a secret's label, at most.
pub const LONGEST_LABEL: usize = 100;

/// Whether an app can keep a secret (RFC 6749 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppKind {
    /// It has secrets.
    Confidential,
    /// It has none: command-line tools, browser apps.
    Public,
}

impl AppKind {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confidential => "confidential",
            Self::Public => "public",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Confidential, Self::Public].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Whether an app may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppStatus {
    /// It may.
    Active,
    /// Nothing is issued, and nothing that was issued works.
    Suspended,
}

impl AppStatus {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Suspended].into_iter().find(|status| status.as_str() == word)
    }
}

/// The form of an app's access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenFormat {
    /// Random: revocation is immediate everywhere.
    Opaque,
    /// Signed (RFC 9068): who verifies offline sees a revocation at the token's end.
    Jwt,
}

impl TokenFormat {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opaque => "opaque",
            Self::Jwt => "jwt",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Opaque, Self::Jwt].into_iter().find(|format| format.as_str() == word)
    }
}

/// One of an app's secrets: everything but the secret.
#[derive(Debug, Clone)]
pub struct AppSecret {
    /// Identity.
    pub id: AppSecretId,
    /// Keyed digest.
    pub digest: TokenDigest,
    /// Version of the master key under which the digest was made.
    pub key_version: i16,
    /// Its last four characters, for people.
    pub last4: String,
    /// A name for people.
    pub label: Option<String>,
    /// Who made it.
    pub created_by: Creator,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Ended from this instant on.
    pub expires_at: Option<DateTime<Utc>>,
    /// Ended by somebody from this instant on.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Last use, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl AppSecret {
    /// Whether it may be used.
    #[must_use]
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        // Whoever ended it may have a clock that is ahead; ended it is all the same.
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    /// The end that a new secret sets for this one: not later than the overlap, and never later than it was.
    #[must_use]
    pub fn end_beside_a_new_one(&self, now: DateTime<Utc>, overlap: Duration) -> DateTime<Utc> {
        let end = now + overlap;
        self.expires_at.map_or(end, |earlier| earlier.min(end))
    }
}

/// An app.
#[derive(Debug, Clone)]
pub struct App {
    /// Identity.
    pub id: AppId,
    /// Its public name.
    pub client_id: ClientId,
    /// Its publisher.
    pub organization_id: OrganizationId,
    /// Name for people.
    pub name: String,
    /// See [`AppKind`].
    pub kind: AppKind,
    /// Whether a request without `state` is refused.
    pub require_state: bool,
    /// Whether a request without a code challenge is refused. Always for public apps.
    pub require_pkce: bool,
    /// See [`TokenFormat`].
    pub token_format: TokenFormat,
    /// What it may ask for.
    pub scopes: ScopeSet,
    /// What it gets when it asks for nothing; empty for no default.
    pub default_scopes: ScopeSet,
    /// For how many seconds a used refresh token gives the same successor again; 0 to [`LONGEST_RETRY`].
    pub refresh_retry_seconds: u32,
    /// From where it may ask, and its tokens be used; none means anywhere.
    pub allowlist: Option<Allowlist>,
    /// Whether a registered `localhost` matches any port.
    pub any_port_on_localhost: bool,
    /// What it stands for when it asks about tokens; empty means the public URL.
    pub audiences: Vec<String>,
    /// See [`AppStatus`].
    pub status: AppStatus,
    /// Deleted from this instant on.
    pub deleted_at: Option<DateTime<Utc>>,
    /// What was issued before this instant is dead.
    pub tokens_valid_from: DateTime<Utc>,
    /// Who registered it.
    pub created_by: Creator,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Last change.
    pub updated_at: DateTime<Utc>,
    /// Last exchange, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Where people may be sent back to.
    pub redirect_uris: Vec<RedirectUri>,
    /// Its secrets, ended ones too, newest first.
    pub secrets: Vec<AppSecret>,
    /// Place in the change feed.
    pub sequence: i64,
}

impl App {
    /// Whether it may be used at all.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == AppStatus::Active && self.deleted_at.is_none()
    }

    /// Whether what was issued at an instant is still good as far as the app goes.
    #[must_use]
    pub fn accepts_issued_at(&self, issued_at: DateTime<Utc>) -> bool {
        self.is_active() && issued_at >= self.tokens_valid_from
    }

    /// Looks for a redirect URI.
    ///
    /// # Errors
    /// [`Mismatch`].
    pub fn find_redirect_uri(&self, presented: &str) -> Result<(), Mismatch> {
        redirect_uri::find(&self.redirect_uris, presented, self.any_port_on_localhost)
    }

    /// What it stands for when it asks about tokens.
    #[must_use]
    pub fn stands_for(&self, resources: &Resources, known: &Known<'_>) -> bool {
        if self.audiences.is_empty() {
            resources.contains(known.public_url, known)
        } else {
            resources.meet(&self.audiences, known)
        }
    }
}

/// Whether a text can be shown to people as one line of their own script's direction: no control characters, no line
/// breaks, none of the characters that turn the order of what follows (oauth §2.3).
#[must_use]
pub fn is_displayable(text: &str) -> bool {
    let turns = |character| {
        let marks = matches!(character, '\u{061C}' | '\u{200E}'..='\u{200F}');
        marks || matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let breaks = |character| matches!(character, '\u{2028}' | '\u{2029}');
    !text.chars().any(|character| character.is_control() || turns(character) || breaks(character))
}

#[cfg(test)]
mod tests;
