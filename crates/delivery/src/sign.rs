//! Signatures of Standard Webhooks 1.0.0 (keys §9.2).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Length of a signing secret in bytes.
pub const SECRET_BYTES: usize = 32;

const PREFIX: &str = "whsec_";

/// Why a text is no signing secret. Never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not `whsec_` with base64 of 32 bytes behind it.
    #[error("a signing secret is `whsec_` with 32 bytes in base64 behind it")]
    NotASecret,
}

/// The secret that an endpoint's owner checks signatures with. It has no `Display`, no `Serialize` and no `==`: it leaves
/// only through [`SigningSecret::expose`] and is wiped when dropped.
pub struct SigningSecret(Zeroizing<[u8; SECRET_BYTES]>);

impl SigningSecret {
    /// A secret from random bytes.
    #[must_use]
    pub fn from_entropy(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads `whsec_…`.
    ///
    /// # Errors
    /// [`SecretError::NotASecret`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError::NotASecret)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| SecretError::NotASecret)?);
        let bytes = <[u8; SECRET_BYTES]>::try_from(bytes.as_slice()).map_err(|_| SecretError::NotASecret)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// The text `whsec_…`, for the one answer that shows it and for sealing it.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let encoded = Zeroizing::new(STANDARD.encode(self.0.as_slice()));
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + encoded.len()));
        text.push_str(PREFIX);
        text.push_str(&encoded);
        text
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whsec_…")
    }
}

/// The three headers of a delivery. `timestamp` is the moment of this attempt in seconds since 1970: receivers refuse what
/// is five minutes old, so a repetition is signed anew under the same `id`. `secrets` is newest first; the previous one stays
/// in the list for a day after a rotation, so that an owner can change over without losing an event.
#[must_use]
pub fn signature_headers(
    id: Uuid,
    timestamp: i64,
    body: &str,
    secrets: &[SigningSecret],
) -> [(&'static str, String); 3] {
    let id = id.hyphenated().to_string();
    // The library fails for a body that is no UTF-8 only. Its copy of the key lives as long as this call and is not wiped.
    let signatures: Vec<String> = secrets
        .iter()
        .filter_map(|secret| Webhook::from_bytes(secret.0.to_vec()).ok()?.sign(&id, timestamp, body.as_bytes()).ok())
        .collect();
    [
        (HEADER_WEBHOOK_ID, id),
        (HEADER_WEBHOOK_TIMESTAMP, timestamp.to_string()),
        (HEADER_WEBHOOK_SIGNATURE, signatures.join(" ")),
    ]
}

#[cfg(test)]
mod tests;
