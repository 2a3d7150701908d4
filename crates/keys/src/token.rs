//! The token: `prefix || base64url_nopad(r[44] || crc32_be(prefix || r))` (keys §2, contract §7).
//!
//! 48 bytes are exactly 64 characters of base64 without padding and without spare bits, so every token has one spelling.
//! The checksum lets a mistyped or invented token be refused before any hash and any query.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::{Zeroize as _, Zeroizing};

/// Random bytes in a token: 352 bits.
pub const ENTROPY_BYTES: usize = 44;
/// Length of a whole token in characters.
pub const TOKEN_LENGTH: usize = PREFIX_LENGTH + BODY_LENGTH;

const PREFIX_LENGTH: usize = 8;
const BODY_LENGTH: usize = 64;
const RAW_LENGTH: usize = 48;
const HINT_CHARACTERS: usize = 4;

/// What stands before the random part and tells people and scanners which kind of credential this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prefix {
    /// `sp_live_`: production and analytics keys.
    Live,
    /// `sp_test_`: staging keys.
    Test,
}

impl Prefix {
    /// The characters of the prefix; always eight.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "sp_live_",
            Self::Test => "sp_test_",
        }
    }

    fn of(text: &str) -> Option<Self> {
        [Self::Live, Self::Test].into_iter().find(|prefix| text.starts_with(prefix.as_str()))
    }

    /// The prefix of the tokens of an environment's keys.
    #[must_use]
    pub fn for_environment(environment: statuspulse_policy::Environment) -> Self {
        if environment.token_prefix() == Self::Test.as_str() { Self::Test } else { Self::Live }
    }
}

/// Why a text is not a token. The variants tell a caller's developer what to look at; none of them repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not exactly [`TOKEN_LENGTH`] bytes.
    #[error("a token has exactly 72 characters")]
    Length,
    /// Neither `sp_live_` nor `sp_test_`, in this exact case.
    #[error("a token begins with `sp_live_` or `sp_test_`")]
    Prefix,
    /// A character outside `[A-Za-z0-9_-]`.
    #[error("a token consists of letters, digits, `-` and `_`")]
    Alphabet,
    /// The checksum does not fit prefix and body: mistyped, cut and pasted together, or invented.
    #[error("the token's checksum is wrong")]
    Checksum,
}

/// A well-formed token. Only [`Token::parse`] and [`Token::from_entropy`] make one; it is wiped when dropped, and neither
/// `Display` nor `Serialize` nor `PartialEq` exist for it, so that it can't be logged or compared by accident.
pub struct Token {
    text: Zeroizing<[u8; TOKEN_LENGTH]>,
    prefix: Prefix,
}

impl Token {
    /// Makes a token from random bytes of the operating system's generator.
    #[must_use]
    pub fn from_entropy(prefix: Prefix, entropy: &[u8; ENTROPY_BYTES]) -> Self {
        let mut raw = Zeroizing::new([0_u8; RAW_LENGTH]);
        let (random, checksum) = raw.split_at_mut(ENTROPY_BYTES);
        random.copy_from_slice(entropy);
        checksum.copy_from_slice(&checksum_of(prefix, entropy).to_be_bytes());

        let mut text = Zeroizing::new([0_u8; TOKEN_LENGTH]);
        let (head, body) = text.split_at_mut(PREFIX_LENGTH);
        head.copy_from_slice(prefix.as_str().as_bytes());
        // 48 bytes always fill 64 characters exactly, so this can't fail; a body left zero would be no token anywhere.
        let written = URL_SAFE_NO_PAD.encode_slice(raw.as_slice(), body);
        debug_assert_eq!(written.ok(), Some(BODY_LENGTH));
        Self { text, prefix }
    }

    /// Reads a token. Never trims, never folds case, never maps another alphabet: a text that needs repairing is another
    /// text. Touches neither heap nor hash, so that a flood of garbage costs next to nothing.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let bytes: &[u8; TOKEN_LENGTH] = text.as_bytes().try_into().map_err(|_| TokenError::Length)?;
        let prefix = Prefix::of(text).ok_or(TokenError::Prefix)?;
        let (_, body) = bytes.split_at(PREFIX_LENGTH);
        let mut raw = Zeroizing::new([0_u8; RAW_LENGTH]);
        URL_SAFE_NO_PAD.decode_slice(body, raw.as_mut_slice()).map_err(|_| TokenError::Alphabet)?;
        let (random, checksum) = raw.split_at(ENTROPY_BYTES);
        if checksum_of(prefix, random).to_be_bytes() != *checksum {
            return Err(TokenError::Checksum);
        }
        Ok(Self { text: Zeroizing::new(*bytes), prefix })
    }

    /// The prefix.
    #[must_use]
    pub const fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// The whole secret, for the one answer that shows it and for the digests.
    #[must_use]
    pub fn expose(&self) -> &str {
        // Both constructors write ASCII only.
        std::str::from_utf8(self.text.as_slice()).unwrap_or_default()
    }

    /// What may be kept and shown: the prefix, the first four characters and an ellipsis (keys §2.6).
    #[must_use]
    pub fn hint(&self) -> String {
        let shown = self.expose().get(..PREFIX_LENGTH + HINT_CHARACTERS).unwrap_or_default();
        format!("{shown}…")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Token({}…)", self.prefix.as_str())
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

fn checksum_of(prefix: Prefix, random: &[u8]) -> u32 {
    checksum(prefix.as_str(), random)
}

/// The checksum of every secret that we hand out: CRC-32 of the prefix and the random bytes. It finds typing errors and
/// lets scanners and floods be told from real tokens without a look-up; it protects nothing.
#[must_use]
pub fn checksum(prefix: &str, random: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(prefix.as_bytes());
    hasher.update(random);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entropy() -> impl Strategy<Value = [u8; ENTROPY_BYTES]> {
        proptest::collection::vec(any::<u8>(), ENTROPY_BYTES).prop_map(|bytes| bytes.try_into().unwrap())
    }

    fn prefix() -> impl Strategy<Value = Prefix> {
        prop_oneof![Just(Prefix::Live), Just(Prefix::Test)]
    }

    proptest! {
        #[test]
        fn every_token_reads_back_as_itself(prefix in prefix(), entropy in entropy()) {
            let token = Token::from_entropy(prefix, &entropy);
            let read = Token::parse(token.expose()).unwrap();
            prop_assert_eq!((read.expose(), read.prefix()), (token.expose(), prefix));
        }

        /// spec: keys K5
        #[test]
        fn every_change_of_one_character_is_refused(
            prefix in prefix(), entropy in entropy(), at in 0..TOKEN_LENGTH, put in any::<char>(),
        ) {
            let token = Token::from_entropy(prefix, &entropy);
            let mut characters: Vec<char> = token.expose().chars().collect();
            prop_assume!(characters[at] != put);
            characters[at] = put;
            prop_assert!(Token::parse(&characters.into_iter().collect::<String>()).is_err());
        }

        #[test]
        fn any_text_is_judged_without_a_panic(text in ".*") {
            prop_assert!(Token::parse(&text).is_err());
        }
    }

    /// spec: keys K4
    #[test]
    fn a_token_with_a_character_more_or_less_is_refused() {
        let token = Token::from_entropy(Prefix::Live, &[7; ENTROPY_BYTES]);
        let longer = format!("{}X", token.expose());
        let shorter = &token.expose()[..TOKEN_LENGTH - 1];
        assert_eq!([Token::parse(&longer).err(), Token::parse(shorter).err()], [Some(TokenError::Length); 2]);
    }

    /// spec: keys K6
    #[test]
    fn a_test_body_behind_the_live_prefix_breaks_the_checksum() {
        let token = Token::from_entropy(Prefix::Test, &[7; ENTROPY_BYTES]);
        let swapped = token.expose().replace("sp_test_", "sp_live_");
        assert_eq!(Token::parse(&swapped).err(), Some(TokenError::Checksum));
    }

    #[test]
    fn the_format_is_that_of_the_contract() {
        let token = Token::from_entropy(Prefix::Live, &[0; ENTROPY_BYTES]);
        // 44 zero bytes, then the CRC-32 of "sp_live_" and those bytes.
        let mut raw = [0_u8; RAW_LENGTH];
        let mut covered = b"sp_live_".to_vec();
        covered.extend([0; ENTROPY_BYTES]);
        raw[ENTROPY_BYTES..].copy_from_slice(&crc32fast::hash(&covered).to_be_bytes());
        assert_eq!(token.expose(), format!("sp_live_{}", URL_SAFE_NO_PAD.encode(raw)));
    }

    #[test]
    fn debug_shows_no_more_than_the_prefix() {
        let token = Token::from_entropy(Prefix::Live, &[7; ENTROPY_BYTES]);
        assert_eq!(format!("{token:?}"), "Token(sp_live_…)");
    }

    #[test]
    fn the_hint_is_the_prefix_and_four_characters() {
        let token = Token::from_entropy(Prefix::Live, &[0; ENTROPY_BYTES]);
        assert_eq!(token.hint(), "sp_live_AAAA…");
    }
}
