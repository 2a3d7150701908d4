//! Codes, access and refresh tokens, client ids and secrets: their forms (contract §7) and what is kept of them.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use statuspulse_keys::{MasterKey, digest::keyed_mac, token::checksum};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Random bytes in a code or token: 352 bits.
pub const TOKEN_ENTROPY: usize = 44;
/// Random bytes in a client secret: 256 bits.
pub const SECRET_ENTROPY: usize = 32;
/// Random bytes in a client id: 128 bits.
pub const CLIENT_ID_ENTROPY: usize = 16;
/// Characters of a code or token.
pub const TOKEN_LENGTH: usize = PREFIX + BODY;
/// Characters of a client secret.
pub const SECRET_LENGTH: usize = PREFIX + 43 + 6;
/// Characters of a client id.
pub const CLIENT_ID_LENGTH: usize = CLIENT_ID_PREFIX.len() + 22;

const PREFIX: usize = 6;
const BODY: usize = 64;
const CHECKSUM: usize = 4;
const SECRET_PREFIX: &str = "sp_cs_";
const CLIENT_ID_PREFIX: &str = "sp_app_";

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// An authorization code.
    Code,
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
}

impl TokenKind {
    const ALL: [Self; 3] = [Self::Code, Self::Access, Self::Refresh];

    /// The characters in front; always six.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Code => "sp_ac_",
            Self::Access => "sp_at_",
            Self::Refresh => "sp_rt_",
        }
    }
}

/// A well-formed code or token, wiped when dropped. Neither `Display` nor `Serialize` nor `PartialEq` exist for it, so that
/// it can't be logged or compared by accident.
pub struct OpaqueToken {
    text: Zeroizing<String>,
    kind: TokenKind,
}

impl OpaqueToken {
    /// Makes a token from random bytes of the operating system's generator.
    #[must_use]
    pub fn from_entropy(kind: TokenKind, entropy: &[u8; TOKEN_ENTROPY]) -> Self {
        let mut raw = Zeroizing::new([0_u8; TOKEN_ENTROPY + CHECKSUM]);
        let (random, check) = raw.split_at_mut(TOKEN_ENTROPY);
        random.copy_from_slice(entropy);
        check.copy_from_slice(&checksum(kind.prefix(), entropy).to_be_bytes());
        let body = Zeroizing::new(URL_SAFE_NO_PAD.encode(raw.as_slice()));
        Self { text: Zeroizing::new([kind.prefix(), &body].concat()), kind }
    }

    /// Reads a token: prefix, length, alphabet, checksum. Never trims and never folds case. A wrong checksum is found here,
    /// before anything is looked up.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let kind = TokenKind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()))?;
        let body = text.get(PREFIX..).filter(|_| text.len() == TOKEN_LENGTH)?;
        let mut raw = Zeroizing::new([0_u8; TOKEN_ENTROPY + CHECKSUM]);
        URL_SAFE_NO_PAD.decode_slice(body, raw.as_mut_slice()).ok()?;
        let (random, check) = raw.split_at(TOKEN_ENTROPY);
        let fits = checksum(kind.prefix(), random).to_be_bytes() == *check;
        fits.then(|| Self { text: Zeroizing::new(text.to_owned()), kind })
    }

    /// The same, of one kind: another kind of token in its place is no token at all.
    #[must_use]
    pub fn parse_as(kind: TokenKind, text: &str) -> Option<Self> {
        Self::parse(text).filter(|token| token.kind == kind)
    }

    /// What it is for.
    #[must_use]
    pub const fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The whole secret, for the one answer that shows it and for the digest.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for OpaqueToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OpaqueToken({}…)", self.kind.prefix())
    }
}

/// A client secret, wiped when dropped.
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// Makes a secret from random bytes of the operating system's generator.
    #[must_use]
    pub fn from_entropy(entropy: &[u8; SECRET_ENTROPY]) -> Self {
        let random = Zeroizing::new(URL_SAFE_NO_PAD.encode(entropy));
        let check = URL_SAFE_NO_PAD.encode(checksum(SECRET_PREFIX, entropy).to_be_bytes());
        Self(Zeroizing::new([SECRET_PREFIX, &random, &check].concat()))
    }

    /// Whether a text has the form and the checksum of a secret.
    #[must_use]
    pub fn is_well_formed(text: &str) -> bool {
        let read = || {
            let body = text.strip_prefix(SECRET_PREFIX).filter(|_| text.len() == SECRET_LENGTH)?;
            let (random, check) = body.split_at_checked(43)?;
            let random = Zeroizing::new(URL_SAFE_NO_PAD.decode(random).ok()?);
            Some(URL_SAFE_NO_PAD.decode(check).ok()? == checksum(SECRET_PREFIX, &random).to_be_bytes())
        };
        read().unwrap_or(false)
    }

    /// The whole secret, for the one answer that shows it and for the digest.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What may be kept and shown, so that people can tell their secrets apart. The end is part of the checksum: it gives
    /// away 20 of the 256 bits.
    #[must_use]
    pub fn last4(&self) -> &str {
        self.0.get(SECRET_LENGTH - 4..).unwrap_or_default()
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ClientSecret({SECRET_PREFIX}…)")
    }
}

/// The public name of an app.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientId(String);

impl ClientId {
    /// Makes an id from random bytes.
    #[must_use]
    pub fn from_entropy(entropy: &[u8; CLIENT_ID_ENTROPY]) -> Self {
        Self([CLIENT_ID_PREFIX, &URL_SAFE_NO_PAD.encode(entropy)].concat())
    }

    /// Reads an id; what has another form is nobody's.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(CLIENT_ID_PREFIX).filter(|_| text.len() == CLIENT_ID_LENGTH)?;
        URL_SAFE_NO_PAD.decode(body).ok()?;
        Some(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What is kept of a code, a token or a client secret. 352 or 256 random bits leave nothing to guess, so a slow hash would
/// only limit throughput; the key makes a stolen database worthless by itself (oauth §2.5, §6.1).
#[derive(Clone, Copy)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
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

    /// Compares all 32 bytes in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenDigest(…)")
    }
}

/// The keys of the digests that belong to one version of the master key.
#[derive(Clone)]
pub struct DigestKey {
    version: i16,
    tokens: Hmac<Sha256>,
    jwts: Hmac<Sha256>,
    secrets: Hmac<Sha256>,
    handles: Hmac<Sha256>,
}

impl DigestKey {
    /// Derives them from a master key.
    #[must_use]
    pub fn derive(master: &MasterKey) -> Self {
        let derived = |label: &str| keyed_mac(&master.derive(label, &[]));
        Self {
            version: master.version(),
            tokens: derived("oauth-token"),
            jwts: derived("oauth-jwt-id"),
            secrets: derived("oauth-client-secret"),
            handles: derived("oauth-handle"),
        }
    }

    /// Version of the master key.
    #[must_use]
    pub const fn version(&self) -> i16 {
        self.version
    }

    /// Digest of a code or an opaque token.
    #[must_use]
    pub fn token(&self, token: &OpaqueToken) -> TokenDigest {
        digest(&self.tokens, token.expose())
    }

    /// Digest of the id of a signed access token.
    #[must_use]
    pub fn jwt(&self, id: &str) -> TokenDigest {
        digest(&self.jwts, id)
    }

    /// Digest of a client secret as it was presented, whatever it is.
    #[must_use]
    pub fn secret(&self, presented: &str) -> TokenDigest {
        digest(&self.secrets, presented)
    }

    /// Digest of a one-time handle of a page.
    #[must_use]
    pub fn handle(&self, handle: &str) -> TokenDigest {
        digest(&self.handles, handle)
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DigestKey({})", self.version)
    }
}

fn digest(mac: &Hmac<Sha256>, text: &str) -> TokenDigest {
    let mut mac = mac.clone();
    mac.update(text.as_bytes());
    TokenDigest(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests;
