//! Which signing key is used and which are published at a time (RFC 7517; oauth §6.2): one signs for 30 days, the next is
//! published a day before it signs, the last stays until its tokens have ended.

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use crate::grant::ACCESS_SECONDS;

/// How long a key signs.
pub const SIGNS_FOR: Duration = Duration::days(30);
/// How long it is published before it signs, so that whoever keeps the set for an hour has it in time.
pub const PUBLISHED_BEFORE: Duration = Duration::hours(24);
/// How long it is made before it is published, so that a process that looks now and then is not late.
pub const MADE_BEFORE: Duration = Duration::hours(24);
/// How long it stays published after its last token has ended.
pub const PUBLISHED_AFTER: Duration = Duration::hours(1);

/// The times of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Published from this instant on.
    pub publish_at: DateTime<Utc>,
    /// Signs from this instant on.
    pub sign_from: DateTime<Utc>,
    /// Signs no more from this instant on.
    pub sign_until: DateTime<Utc>,
    /// Published no more from this instant on.
    pub publish_until: DateTime<Utc>,
}

impl Times {
    /// A key that is published at one instant and signs from another.
    #[must_use]
    pub fn starting(publish_at: DateTime<Utc>, sign_from: DateTime<Utc>) -> Self {
        Self { publish_at, sign_from, sign_until: sign_from, publish_until: sign_from }.ending(sign_from + SIGNS_FOR)
    }

    /// The same key with another end.
    #[must_use]
    pub fn ending(self, sign_until: DateTime<Utc>) -> Self {
        let publish_until = sign_until + Duration::seconds(ACCESS_SECONDS) + PUBLISHED_AFTER;
        Self { sign_until, publish_until, ..self }
    }

    /// Whether it signs.
    #[must_use]
    pub fn signs(&self, now: DateTime<Utc>) -> bool {
        self.sign_from <= now && now < self.sign_until
    }

    /// Whether it is published, and so accepted.
    #[must_use]
    pub fn is_published(&self, now: DateTime<Utc>) -> bool {
        self.publish_at <= now && now < self.publish_until
    }
}

/// The key that has to be made now, if one has to: the first, or the successor of one that ends within two days.
#[must_use]
pub fn due(held: &[Times], now: DateTime<Utc>) -> Option<Times> {
    // After an outage, or at the very start, there is no day to wait for: tokens are asked for now.
    if signer(held, now).is_none() {
        return Some(Times::starting(now, now));
    }
    let last = held.iter().map(|times| times.sign_until).max()?;
    let publish_at = last - PUBLISHED_BEFORE;
    (publish_at - MADE_BEFORE <= now).then(|| Times::starting(publish_at.max(now), last))
}

/// The key that signs, by its place in the list: of two, the one that began later.
#[must_use]
pub fn signer(held: &[Times], now: DateTime<Utc>) -> Option<usize> {
    let signing = held.iter().enumerate().filter(|(_, times)| times.signs(now));
    signing.max_by_key(|(_, times)| times.sign_from).map(|(place, _)| place)
}

/// One public key of the set: what the key's own members are, and what it is for.
#[must_use]
pub fn public_member(kid: &str, x: &str, y: &str) -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": crate::jwt::ALGORITHM, "use": "sig"})
}

#[cfg(test)]
mod tests;
