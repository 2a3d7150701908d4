//! The keys that sign checkpoints: Ed25519 (RFC 8032), and the form in which the public half is handed out (RFC 8410).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::bytes::Bytes;

/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410 §4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// A text or bytes that are no public key of Ed25519.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not one PEM block `PUBLIC KEY`.
    #[error("the file is no public key; give one PEM block that begins with `-----BEGIN PUBLIC KEY-----`")]
    Pem,
    /// A key of another kind.
    #[error("the public key is of another kind; checkpoints are signed with Ed25519")]
    Kind,
    /// The 32 bytes are no point of the curve, or one with which anything can be signed.
    #[error("the public key is no usable point of Ed25519")]
    Point,
}

/// The public half of a key that signs checkpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// From its 32 bytes.
    ///
    /// # Errors
    /// When they are no point, or a weak one: a signature of such a key fits several texts.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Point)?;
        if key.is_weak() { Err(KeyError::Point) } else { Ok(Self(key)) }
    }

    /// From a PEM file.
    ///
    /// # Errors
    /// When the text isn't just one key of Ed25519.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let body = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or(KeyError::Pem)?;
        let body: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| KeyError::Pem)?;
        let key = der.strip_prefix(&SPKI).and_then(|key| <&[u8; 32]>::try_from(key).ok()).ok_or(KeyError::Kind)?;
        Self::from_bytes(key)
    }

    /// As a PEM file.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let body = STANDARD.encode([SPKI.as_slice(), self.0.as_bytes()].concat());
        format!("{BEGIN}\n{body}\n{END}\n")
    }

    /// The 32 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// What checkpoints call it: the first 8 bytes of SHA-256 of the key.
    #[must_use]
    pub fn key_id(&self) -> Bytes<8> {
        let digest: [u8; 32] = Sha256::digest(self.0.as_bytes()).into();
        let mut id = [0; 8];
        id.copy_from_slice(digest.split_at(8).0);
        Bytes(id)
    }

    /// Whether this key has signed a message. Strict: of the several readings of RFC 8032 the one in which no signature has
    /// a second form.
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &Bytes<64>) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(&signature.0)).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.key_id())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes(self.to_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Bytes::<32>::deserialize(deserializer)?;
        Self::from_bytes(&bytes.0).map_err(D::Error::custom)
    }
}

/// The secret half; wiped when it is dropped, and never printed.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// From its seed: 32 fresh random bytes, or the ones that were kept.
    #[must_use]
    pub fn from_seed(seed: &Zeroizing<[u8; 32]>) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a message. The same message has always the same signature.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Bytes<64> {
        Bytes(self.0.sign(message).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed(&Zeroizing::new([7; 32]))
    }

    /// Test 1 of RFC 8032 §7.1.
    #[test]
    fn the_example_of_the_standard_is_signed_as_it_says() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(seed, bytes.as_mut_slice()).unwrap();
        let signature = SigningKey::from_seed(&bytes).sign(b"").to_string();
        assert!(
            signature.starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac")
        );
    }

    #[test]
    fn a_key_is_read_back_from_its_file() {
        let key = key().public_key();
        assert_eq!(PublicKey::from_pem(&key.to_pem()), Ok(key));
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        let pem = key().public_key().to_pem();
        let x25519 = STANDARD
            .encode([&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00][..], &[9; 32]].concat());
        let files =
            [pem.replace("PUBLIC", "PRIVATE"), pem.repeat(2), format!("{BEGIN}\n{x25519}\n{END}\n"), String::new()];
        assert_eq!(
            files.map(|file| PublicKey::from_pem(&file).unwrap_err()),
            [KeyError::Pem, KeyError::Pem, KeyError::Kind, KeyError::Pem]
        );
    }

    #[test]
    fn a_key_that_signs_anything_is_refused() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        assert_eq!(PublicKey::from_bytes(&neutral), Err(KeyError::Point));
    }

    #[test]
    fn a_signature_fits_one_message_and_one_key() {
        let signature = key().sign(b"a");
        let other = SigningKey::from_seed(&Zeroizing::new([8; 32])).public_key();
        let fits = [
            key().public_key().has_signed(b"a", &signature),
            key().public_key().has_signed(b"b", &signature),
            other.has_signed(b"a", &signature),
        ];
        assert_eq!(fits, [true, false, false]);
    }
}
