//! The master key and what is derived from it (contract §2: every other secret is derived or sealed from it).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Length of a master key in bytes.
pub const MASTER_KEY_BYTES: usize = 32;

/// Why a text is no list of master keys. Never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// Not base64 of 32 bytes.
    #[error("a master key is 32 bytes in base64")]
    NotAKey,
    /// The number before the colon isn't one from 1 to 32767.
    #[error("a master key's version is a number from 1 to 32767")]
    Version,
    /// The same version twice, or none at all.
    #[error("each version of the master key is given once, newest first")]
    Order,
}

/// One version of the master key.
pub struct MasterKey {
    version: i16,
    secret: Zeroizing<[u8; MASTER_KEY_BYTES]>,
}

impl MasterKey {
    /// A master key from its bytes; `version` counts from 1.
    #[must_use]
    pub fn new(version: i16, secret: [u8; MASTER_KEY_BYTES]) -> Self {
        Self { version, secret: Zeroizing::new(secret) }
    }

    /// The version, from 1.
    #[must_use]
    pub const fn version(&self) -> i16 {
        self.version
    }

    /// Derives 32 bytes for one purpose (HKDF-SHA-256, RFC 5869): `label` keeps purposes apart, `context` its instances.
    #[must_use]
    pub fn derive(&self, label: &str, context: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0_u8; 32]);
        let kdf = Hkdf::<Sha256>::new(None, self.secret.as_slice());
        // 32 bytes are one block, far below HKDF's limit of 255, the only way for this to fail.
        let expanded = kdf.expand_multi_info(&[label.as_bytes(), context], out.as_mut_slice());
        debug_assert!(expanded.is_ok());
        out
    }

    /// A value that tells two master keys apart and gives neither away; kept in the database, so that an instance with
    /// another key notices at start instead of refusing every token.
    #[must_use]
    pub fn check_value(&self) -> [u8; 16] {
        let mut value = [0_u8; 16];
        let derived = self.derive("check-value", &self.version.to_be_bytes());
        value.copy_from_slice(derived.split_at(16).0);
        value
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MasterKey({})", self.version)
    }
}

/// All master keys that are in force, newest first; several while one is being replaced.
#[derive(Debug)]
pub struct MasterKeys {
    newest_first: Vec<MasterKey>,
}

impl MasterKeys {
    /// One key alone.
    #[must_use]
    pub fn single(key: MasterKey) -> Self {
        Self { newest_first: vec![key] }
    }

    /// Reads `2:BASE64,1:BASE64`, newest first; a key without a number is version 1.
    ///
    /// # Errors
    /// When an entry isn't 32 bytes in base64, or the versions don't fall.
    pub fn parse(text: &str) -> Result<Self, MasterKeyError> {
        let mut newest_first: Vec<MasterKey> = Vec::new();
        for entry in text.trim().split(',') {
            let (version, encoded) = match entry.trim().split_once(':') {
                Some((number, rest)) => (number.parse().ok().filter(|n| *n >= 1).ok_or(MasterKeyError::Version)?, rest),
                None => (1, entry.trim()),
            };
            let decoded = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| MasterKeyError::NotAKey)?);
            let secret = decoded.as_slice().try_into().map_err(|_| MasterKeyError::NotAKey)?;
            if newest_first.last().is_some_and(|previous| previous.version <= version) {
                return Err(MasterKeyError::Order);
            }
            newest_first.push(MasterKey::new(version, secret));
        }
        if newest_first.is_empty() { Err(MasterKeyError::Order) } else { Ok(Self { newest_first }) }
    }

    /// The newest key, under which new secrets are made.
    #[must_use]
    pub fn newest(&self) -> Option<&MasterKey> {
        self.newest_first.first()
    }

    /// The key of a version.
    #[must_use]
    pub fn version(&self, version: i16) -> Option<&MasterKey> {
        self.newest_first.iter().find(|key| key.version == version)
    }

    /// All, newest first.
    pub fn iter(&self) -> impl Iterator<Item = &MasterKey> {
        self.newest_first.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    #[test]
    fn a_key_without_a_number_is_version_one() {
        assert_eq!(MasterKeys::parse(&encoded(1)).unwrap().newest().unwrap().version(), 1);
    }

    #[test]
    fn several_keys_are_read_newest_first() {
        let keys = MasterKeys::parse(&format!("2:{},1:{}", encoded(2), encoded(1))).unwrap();
        assert_eq!(keys.iter().map(MasterKey::version).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn keys_in_the_wrong_order_or_twice_are_refused() {
        let rising = MasterKeys::parse(&format!("1:{},2:{}", encoded(1), encoded(2))).err();
        let twice = MasterKeys::parse(&format!("1:{},1:{}", encoded(1), encoded(2))).err();
        assert_eq!([rising, twice], [Some(MasterKeyError::Order); 2]);
    }

    #[test]
    fn a_short_or_broken_key_is_refused() {
        let short = MasterKeys::parse(&STANDARD.encode([1; 31])).err();
        let broken = MasterKeys::parse("not base64!").err();
        assert_eq!([short, broken], [Some(MasterKeyError::NotAKey); 2]);
    }

    #[test]
    fn derived_secrets_differ_by_label_context_and_key() {
        let (a, b) = (MasterKey::new(1, [1; 32]), MasterKey::new(1, [2; 32]));
        let derived = [a.derive("x", &[1]), a.derive("x", &[2]), a.derive("y", &[1]), b.derive("x", &[1])];
        let distinct: std::collections::HashSet<_> = derived.iter().map(|d| d.to_vec()).collect();
        assert_eq!(distinct.len(), 4);
    }
}
