//! What is derived from the master key, once at start.

use std::{
    fmt,
    sync::atomic::{AtomicI16, Ordering},
};

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use statuspulse_audit::FingerprintKey;
use statuspulse_keys::{LookupId, MasterKey, MasterKeys, Pepper, Token, digest::keyed_mac};
use statuspulse_oauth::{DigestKey, OpaqueToken, TokenDigest};
use statuspulse_store::peppers::PepperVersion;
use subtle::ConstantTimeEq as _;

/// Derived keys, each for one purpose.
pub struct Secrets {
    masters: MasterKeys,
    session: Hmac<Sha256>,
    csrf: Hmac<Sha256>,
    cursor: Hmac<Sha256>,
    back_off: Hmac<Sha256>,
    fingerprint: FingerprintKey,
    peppers: ArcSwap<Vec<Pepper>>,
    /// Keys of OAuth digests, newest first like the master keys.
    digests: Vec<DigestKey>,
    /// Version of the master key that all instances are known to have.
    settled_master: AtomicI16,
}

impl Secrets {
    /// Derives everything. `None` when there is no master key.
    #[must_use]
    pub fn new(masters: MasterKeys) -> Option<Self> {
        // Sessions, cursors and the like are derived from the oldest key that is given: they must look the same on every
        // instance while a new master key is being rolled out.
        let oldest = masters.iter().last()?;
        let derived = |label: &str| keyed_mac(&oldest.derive(label, &[]));
        Some(Self {
            session: derived("session"),
            csrf: derived("csrf"),
            cursor: derived("cursor"),
            back_off: derived("back-off"),
            fingerprint: FingerprintKey::new(&oldest.derive("fingerprint", &[])),
            peppers: ArcSwap::from_pointee(Vec::new()),
            digests: masters.iter().map(DigestKey::derive).collect(),
            settled_master: AtomicI16::new(oldest.version()),
            masters,
        })
    }

    /// The master keys.
    #[must_use]
    pub const fn masters(&self) -> &MasterKeys {
        &self.masters
    }

    /// The newest master key.
    #[must_use]
    pub fn newest_master(&self) -> Option<&MasterKey> {
        self.masters.newest()
    }

    /// Puts peppers in force, newest first. Answers a version whose master key isn't known here.
    pub fn set_peppers(&self, versions: &[PepperVersion]) -> Option<PepperVersion> {
        let mut missing = None;
        let mut peppers = Vec::with_capacity(versions.len());
        for version in versions {
            match self.masters.version(version.master_key_version) {
                Some(master) => peppers.push(Pepper::derive(master, version.version)),
                None => missing = missing.or(Some(*version)),
            }
        }
        self.peppers.store(std::sync::Arc::new(peppers));
        if let Some(current) = versions.first()
            && self.masters.version(current.master_key_version).is_some()
        {
            self.settled_master.store(current.master_key_version, Ordering::Release);
        }
        missing
    }

    /// The master key for what has to be readable on every instance: that of the current pepper, which an operator starts
    /// when all instances have the newer master key.
    #[must_use]
    pub fn settled_master(&self) -> Option<&MasterKey> {
        self.masters.version(self.settled_master.load(Ordering::Acquire))
    }

    /// The key of new OAuth digests.
    #[must_use]
    pub fn digest_key(&self) -> Option<&DigestKey> {
        let settled = self.settled_master.load(Ordering::Acquire);
        self.digests.iter().find(|key| key.version() == settled)
    }

    /// Keys of OAuth digests, of every master key.
    #[must_use]
    pub fn digest_keys(&self) -> &[DigestKey] {
        &self.digests
    }

    /// The digests that a code or an opaque token may be kept under.
    #[must_use]
    pub fn token_digests(&self, token: &OpaqueToken) -> Vec<TokenDigest> {
        self.digests.iter().map(|key| key.token(token)).collect()
    }

    /// The digests that a signed access token may be kept under, by its id.
    #[must_use]
    pub fn jwt_digests(&self, id: &str) -> Vec<TokenDigest> {
        self.digests.iter().map(|key| key.jwt(id)).collect()
    }

    /// The digests that a one-time handle may be kept under.
    #[must_use]
    pub fn handle_digests(&self, handle: &str) -> Vec<TokenDigest> {
        self.digests.iter().map(|key| key.handle(handle)).collect()
    }

    /// The pepper for new digests.
    #[must_use]
    pub fn current_pepper(&self) -> Option<Pepper> {
        self.peppers.load().first().cloned()
    }

    /// The look-up digests of a token under every pepper in force, newest first, with the pepper's version.
    pub fn lookups<T>(&self, token: &Token, mut found: impl FnMut(i16, LookupId) -> Option<T>) -> Option<T> {
        self.peppers.load().iter().find_map(|pepper| found(pepper.version(), pepper.lookup_id(token)))
    }

    /// Digest under which a session's cookie is stored.
    #[must_use]
    pub fn session_digest(&self, cookie: &str) -> [u8; 32] {
        digest(&self.session, &[cookie.as_bytes()])
    }

    /// The token that a page sends along with unsafe methods; bound to a session or to the browser of a sign-in
    /// (see [`crate::sessions::form_bond`]).
    #[must_use]
    pub fn csrf_token(&self, bond: &str) -> String {
        URL_SAFE_NO_PAD.encode(digest(&self.csrf, &[bond.as_bytes()]))
    }

    /// Whether a CSRF token belongs to what it was bound to; compared in constant time.
    #[must_use]
    pub fn csrf_matches(&self, bond: &str, presented: &str) -> bool {
        self.csrf_token(bond).as_bytes().ct_eq(presented.as_bytes()).into()
    }

    /// Seal of a list's cursor.
    #[must_use]
    pub fn cursor_seal(&self, parts: &[&[u8]]) -> [u8; 32] {
        digest(&self.cursor, parts)
    }

    /// Digest under which failed sign-ins of an account or network are counted; keyed, so that the table names nobody.
    #[must_use]
    pub fn back_off_subject(&self, kind: &str, subject: &str) -> [u8; 32] {
        digest(&self.back_off, &[kind.as_bytes(), subject.as_bytes()])
    }

    /// The key of request fingerprints.
    #[must_use]
    pub const fn fingerprint(&self) -> &FingerprintKey {
        &self.fingerprint
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secrets(…)")
    }
}

fn digest(mac: &Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = mac.clone();
    for part in parts {
        // The length in front keeps parts from running into each other.
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
