//! Signed access tokens (RFC 9068): their claims, and what has to hold beside the signature.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The one algorithm; no other is ever accepted (RFC 8725 §3.1).
pub const ALGORITHM: &str = "ES256";
/// The header's type (RFC 9068 §2.1).
pub const TYPE: &str = "at+jwt";

/// For whom a token is meant: one, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Audience {
    /// As RFC 7519 §4.1.3 has it: a string where it is one.
    #[must_use]
    pub fn new(list: &[String]) -> Self {
        match list {
            [one] => Self::One(one.clone()),
            several => Self::Several(several.to_vec()),
        }
    }
}

/// The claims (RFC 9068 §2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer: the public URL.
    pub iss: String,
    /// The person, or the client itself.
    pub sub: String,
    /// For whom.
    pub aud: Audience,
    /// End, in seconds since 1970.
    pub exp: i64,
    /// Start, in seconds since 1970.
    pub iat: i64,
    /// Id of the token.
    pub jti: String,
    /// The client.
    pub client_id: String,
    /// Scopes, separated by blanks.
    pub scope: String,
}

impl Claims {
    /// Whether claims under a good signature are of a live token of this issuer; the end has no leeway. `iat` decides
    /// nothing: the signature is ours, and the instance that gave the token may be a moment ahead of this one.
    #[must_use]
    pub fn hold(&self, issuer: &str, now: DateTime<Utc>) -> bool {
        self.iss == issuer && now.timestamp() < self.exp
    }
}

/// Whether a text has the outline of a signed token: three parts of base64url. Nothing is believed of it yet.
#[must_use]
pub fn has_outline(text: &str) -> bool {
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut parts = text.split('.');
    let whole = |part: Option<&str>| part.is_some_and(|part| !part.is_empty() && part.bytes().all(alphabet));
    text.starts_with("eyJ")
        && whole(parts.next())
        && whole(parts.next())
        && whole(parts.next())
        && parts.next().is_none()
}

#[cfg(test)]
mod tests;
