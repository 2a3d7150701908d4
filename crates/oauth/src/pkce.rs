//! Proof Key for Code Exchange (RFC 7636), `S256` alone.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The one method (RFC 7636 §4.2); `plain` would hand the verifier to whoever reads the request.
pub const METHOD: &str = "S256";

/// A code challenge: the base64url of a SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge(String);

impl Challenge {
    /// Reads a challenge: exactly 43 characters of `[A-Za-z0-9_-]`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (text.len() == 43 && text.bytes().all(alphabet)).then(|| Self(text.to_owned()))
    }

    /// The text to store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a verifier belongs to this challenge; compared in constant time.
    #[must_use]
    pub fn fits(&self, verifier: &Verifier) -> bool {
        let expected = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.0.as_bytes()));
        expected.as_bytes().ct_eq(self.0.as_bytes()).into()
    }
}

/// A code verifier.
pub struct Verifier(Zeroizing<String>);

impl Verifier {
    /// Reads a verifier: 43 to 128 characters of `[A-Za-z0-9._~-]` (RFC 7636 §4.1).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let fits = (43..=128).contains(&text.len()) && text.bytes().all(alphabet);
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Verifier(…)")
    }
}

#[cfg(test)]
mod tests;
