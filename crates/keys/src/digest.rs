//! What is stored instead of a token (keys §3): a keyed look-up digest that finds the row, and bcrypt at rest.
//!
//! bcrypt takes tens of milliseconds, so it can neither find a row nor meet a stranger's token; the keyed digest does
//! that, and 352 random bits make it as hard to reverse.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{master::MasterKey, token::Token};

const LOOKUP_LABEL: &[u8] = b"sp-lookup-v1";
const PREHASH_LABEL: &[u8] = b"sp-bcrypt-v1";
/// Name of the scheme in `key_versions.hash_scheme`.
pub const HASH_SCHEME: &str = "bcrypt-sha256-v1";
/// The highest cost that is ever verified. A row with cost 31 would hold a thread for a day.
const HIGHEST_COST: u32 = 12;
const HASH_LENGTH: usize = 60;

/// The keyed digest of a whole token, by which its row is found.
#[derive(Clone, Copy)]
pub struct LookupId([u8; 32]);

impl LookupId {
    /// From the stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The half that serves as key of the in-memory map. It is uniform and keyed, so nobody can aim at collisions.
    #[must_use]
    pub fn map_key(&self) -> u128 {
        let mut half = [0_u8; 16];
        half.copy_from_slice(self.0.split_at(16).0);
        u128::from_ne_bytes(half)
    }

    /// Compares all 32 bytes in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for LookupId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LookupId(…)")
    }
}

/// One version of the pepper: the key of the look-up digest. Two may be in force while it is rotated.
#[derive(Clone)]
pub struct Pepper {
    version: i16,
    mac: Hmac<Sha256>,
}

impl Pepper {
    /// Derives a pepper from the master key: `HKDF(master key, "pepper" || version)`.
    #[must_use]
    pub fn derive(master: &MasterKey, version: i16) -> Self {
        let key = master.derive("pepper", &version.to_be_bytes());
        // HMAC takes keys of any length; the state is keyed once, so that a call only pays for its own block.
        let mut mac = keyed_mac(&key);
        mac.update(LOOKUP_LABEL);
        Self { version, mac }
    }

    /// The version as in `key_versions.pepper_version`, from 1.
    #[must_use]
    pub const fn version(&self) -> i16 {
        self.version
    }

    /// The look-up digest of a token.
    #[must_use]
    pub fn lookup_id(&self, token: &Token) -> LookupId {
        let mut mac = self.mac.clone();
        mac.update(token.expose().as_bytes());
        LookupId(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Pepper({})", self.version)
    }
}

/// The work factor of new bcrypt hashes: 10 to 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BcryptCost(u32);

impl BcryptCost {
    /// The default of the service. The library's own default is 12.
    pub const DEFAULT: Self = Self(10);

    /// The cost as a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A cost outside the accepted range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a bcrypt cost is a number from 10 to 12")]
pub struct CostError;

impl FromStr for BcryptCost {
    type Err = CostError;

    fn from_str(text: &str) -> Result<Self, CostError> {
        match text.parse() {
            Ok(cost @ 10..=HIGHEST_COST) => Ok(Self(cost)),
            Ok(4) if cfg!(feature = "test-build") => Ok(Self(4)),
            _ => Err(CostError),
        }
    }
}

/// A stored hash that is not one of ours: wrong shape, wrong algorithm, or a cost that would hold a thread for hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored hash is broken")]
pub struct BrokenHash;

/// A stored bcrypt hash whose shape and cost have been checked, so that verifying it takes a bounded time.
#[derive(Clone)]
pub struct SecretHash(Box<str>);

impl SecretHash {
    /// Checks a stored text: 60 ASCII characters, `$2b$`, cost 4 to 12. Takes well under a microsecond (keys K15).
    ///
    /// # Errors
    /// [`BrokenHash`] when it is anything else.
    pub fn parse(stored: &str) -> Result<Self, BrokenHash> {
        let well_formed = stored.len() == HASH_LENGTH && stored.is_ascii();
        let rest = stored.strip_prefix("$2b$").filter(|_| well_formed).ok_or(BrokenHash)?;
        let (cost, rest) = rest.split_once('$').ok_or(BrokenHash)?;
        let cost_in_bounds = cost.len() == 2 && cost.parse().is_ok_and(|cost| (4..=HIGHEST_COST).contains(&cost));
        let alphabet = rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/');
        if cost_in_bounds && rest.len() == 53 && alphabet { Ok(Self(stored.into())) } else { Err(BrokenHash) }
    }

    /// Hashes a token with a random salt. Takes tens of milliseconds: only behind the hashing gate.
    ///
    /// # Errors
    /// [`BrokenHash`] if the library refuses, which it does for no input that can get here.
    pub fn make(token: &Token, cost: BcryptCost, salt: [u8; 16]) -> Result<Self, BrokenHash> {
        let hashed = bcrypt::non_truncating_hash_with_salt(prehash(token).as_bytes(), cost.get(), salt);
        Self::parse(&hashed.map_err(|_| BrokenHash)?.to_string())
    }

    /// Whether this is the hash of that token. Takes tens of milliseconds: only behind the hashing gate.
    ///
    /// # Errors
    /// [`BrokenHash`] when salt or hash don't decode.
    pub fn verify(&self, token: &Token) -> Result<bool, BrokenHash> {
        bcrypt::non_truncating_verify(prehash(token).as_bytes(), &self.0).map_err(|_| BrokenHash)
    }

    /// The text to store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretHash(…)")
    }
}

/// HMAC-SHA-256 under a 32-byte key. RFC 2104 pads a key with zeros to the block of 64 bytes; handing the block over
/// leaves nothing that could fail.
#[must_use]
pub fn keyed_mac(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0_u8; 64]);
    block.split_at_mut(key.len()).0.copy_from_slice(key);
    Hmac::new(&(*block).into())
}

/// bcrypt reads 72 bytes and repeats its input around a NUL, so a token and a longer one, or `abc` and `abc\0abc`, would
/// be the same to it. 43 ASCII characters of a SHA-256 are neither long nor hold a NUL.
fn prehash(token: &Token) -> Zeroizing<String> {
    let mut sha = Sha256::new();
    sha.update(PREHASH_LABEL);
    sha.update(token.expose().as_bytes());
    Zeroizing::new(URL_SAFE_NO_PAD.encode(sha.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{ENTROPY_BYTES, Prefix};

    fn token(byte: u8) -> Token {
        Token::from_entropy(Prefix::Live, &[byte; ENTROPY_BYTES])
    }

    fn pepper(version: i16) -> Pepper {
        Pepper::derive(&MasterKey::new(1, [9; 32]), version)
    }

    fn hash_of(token: &Token) -> SecretHash {
        SecretHash::make(token, BcryptCost(4), [1; 16]).unwrap()
    }

    #[test]
    fn the_digest_differs_by_token_and_by_pepper() {
        let same = pepper(1).lookup_id(&token(1)).matches(&pepper(1).lookup_id(&token(1)));
        let other_token = pepper(1).lookup_id(&token(1)).matches(&pepper(1).lookup_id(&token(2)));
        let other_pepper = pepper(1).lookup_id(&token(1)).matches(&pepper(2).lookup_id(&token(1)));
        assert_eq!([same, other_token, other_pepper], [true, false, false]);
    }

    #[test]
    fn a_hash_fits_its_own_token_only() {
        let hash = hash_of(&token(1));
        assert_eq!([hash.verify(&token(1)), hash.verify(&token(2))], [Ok(true), Ok(false)]);
    }

    /// spec: keys K14
    #[test]
    fn the_stored_form_is_sixty_characters_of_2b() {
        let stored = SecretHash::make(&token(1), BcryptCost::DEFAULT, [1; 16]).unwrap();
        assert!(stored.as_str().len() == 60 && stored.as_str().starts_with("$2b$10$"));
    }

    /// spec: keys K15
    #[test]
    fn a_hash_with_an_absurd_cost_or_shape_is_refused_before_bcrypt() {
        let good = hash_of(&token(1)).as_str().to_owned();
        let costly = good.replacen("$04$", "$31$", 1);
        let short = &good[..59];
        let foreign = format!("{}é", &good[..58]);
        let other_algorithm = good.replacen("$2b$", "$2y$", 1);
        let refused = [costly.as_str(), short, foreign.as_str(), other_algorithm.as_str(), ""]
            .map(|stored| SecretHash::parse(stored).is_err());
        assert_eq!(refused, [true; 5]);
    }

    #[test]
    fn costs_outside_ten_to_twelve_are_refused() {
        let refused = ["9", "13", "31", "", "ten", "-10"].map(|text| text.parse::<BcryptCost>().is_err());
        assert_eq!(refused, [true; 6]);
    }

    #[test]
    fn debug_shows_no_digest() {
        let shown = format!("{:?} {:?} {:?}", pepper(1).lookup_id(&token(1)), hash_of(&token(1)), pepper(3));
        assert_eq!(shown, "LookupId(…) SecretHash(…) Pepper(3)");
    }
}
