//! The in-memory replica of all keys, from which every call is answered (policy §7).
//!
//! The whole key set is held, not a cache: nothing is evicted, and reading takes no lock. Every entry carries the number
//! of the change that made it and only ever moves to a higher one, so a slow miss-fill can't overwrite a revocation.

use std::{
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use arc_swap::ArcSwap;
use papaya::HashMap;
use statuspulse_policy::{Allowlist, Grant, KeyId, OrganizationId};

use crate::{
    digest::LookupId,
    key::{Key, KeyVersion, VersionState},
    lifespan::LifespanCaps,
};

/// What the use of a superseded token after its end leads to, besides the refusal and the alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReusePolicy {
    /// Nothing more.
    #[default]
    Alert,
    /// The current version is revoked as well: somebody holds an old secret, and perhaps the new one.
    Kill,
}

impl ReusePolicy {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Kill => "kill",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Alert, Self::Kill].into_iter().find(|policy| policy.as_str() == word)
    }
}

/// What of an organization bears on a call.
#[derive(Debug, Clone)]
pub struct OrganizationPolicy {
    /// Identity.
    pub id: OrganizationId,
    /// Name in URLs and in `X-Auth-Organization`.
    pub slug: String,
    /// Judged together with a key's own list: both must allow.
    pub allowlist: Option<Allowlist>,
    /// Longest lifespans.
    pub caps: LifespanCaps,
    /// See [`ReusePolicy`].
    pub reuse_policy: ReusePolicy,
    /// Place in the change feed.
    pub sequence: i64,
}

/// A key with those of its versions that have a secret, as of one change.
#[derive(Debug, Clone)]
pub struct KeySnapshot {
    /// The key; its `sequence` is the number of that change.
    pub key: Key,
    /// Its versions.
    pub versions: Vec<KeyVersion>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is in force.
    Newer,
    /// Something at least as new was there already.
    Stale,
    /// The organization isn't known here yet: load it first.
    UnknownOrganization,
}

/// Whether the bcrypt check of a version has been done in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretCheck {
    /// Not yet.
    Due,
    /// It fits.
    Passed,
    /// It does not fit: somebody has tampered with the row. The version is refused.
    Failed,
}

/// A version of a key in the replica. Lives as long as its look-up digest does.
#[derive(Debug)]
pub struct VersionSlot {
    lookup_id: LookupId,
    number: i32,
    key: Arc<ArcSwap<KeySnapshot>>,
    organization: Arc<ArcSwap<OrganizationPolicy>>,
    check: AtomicU8,
}

impl VersionSlot {
    /// The state of the bcrypt check.
    #[must_use]
    pub fn secret_check(&self) -> SecretCheck {
        match self.check.load(Ordering::Acquire) {
            0 => SecretCheck::Due,
            1 => SecretCheck::Passed,
            _ => SecretCheck::Failed,
        }
    }

    /// Records the outcome of the bcrypt check. A failure is final.
    pub fn record_check(&self, passed: bool) {
        let next = if passed { 1 } else { 2 };
        self.check.fetch_max(next, Ordering::AcqRel);
    }
}

/// A token's key, as of one moment.
#[derive(Debug, Clone)]
pub struct Found {
    /// The key and its versions.
    pub key: Arc<KeySnapshot>,
    /// Its organization.
    pub organization: Arc<OrganizationPolicy>,
    /// The place of the version, for the bcrypt check.
    pub slot: Arc<VersionSlot>,
}

impl Found {
    /// The version whose token was presented.
    #[must_use]
    pub fn version(&self) -> Option<&KeyVersion> {
        self.key.versions.iter().find(|version| version.number == self.slot.number)
    }

    /// What a call with this token is judged by.
    #[must_use]
    pub fn grant(&self) -> Option<Grant<'_>> {
        let (key, version, caps) = (&self.key.key, self.version()?, &self.organization.caps);
        let mut grant = key.grant(version, caps, self.organization.allowlist.as_ref());
        if version.state == VersionState::Pending {
            // A sealed successor that nobody has used has no life of its own: it ends with the version that it follows.
            let current = self.key.versions.iter().find(|held| held.number == key.current_version)?;
            let end = caps.effective_end(key.environment, current.created_at, current.expires_at);
            grant.expires_at = grant.expires_at.min(end);
        }
        Some(grant)
    }
}

/// The digests are uniform and keyed, so hashing them again would only cost time.
#[derive(Debug, Default, Clone, Copy)]
pub struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0_u8; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.0 = self.0.rotate_left(5) ^ u64::from_ne_bytes(word);
        }
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

type Slots = HashMap<u128, Arc<VersionSlot>, BuildHasherDefault<IdentityHasher>>;

/// The replica. Reads are lock-free; writers (the feed's task and miss-fills) take turns.
#[derive(Debug, Default)]
pub struct Directory {
    slots: Slots,
    keys: HashMap<KeyId, Arc<ArcSwap<KeySnapshot>>>,
    organizations: HashMap<OrganizationId, Arc<ArcSwap<OrganizationPolicy>>>,
    writer: Mutex<()>,
}

impl Directory {
    /// An empty replica.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The key to which a token's digest belongs. Lock-free; about a quarter of a microsecond.
    #[must_use]
    pub fn find(&self, lookup_id: &LookupId) -> Option<Found> {
        let slots = self.slots.pin();
        let slot = slots.get(&lookup_id.map_key()).filter(|slot| slot.lookup_id.matches(lookup_id))?;
        let found =
            Found { key: slot.key.load_full(), organization: slot.organization.load_full(), slot: Arc::clone(slot) };
        // Between the two loads the key may have moved on to a state without this digest.
        found.version().and_then(|version| version.lookup_id).filter(|held| held.matches(lookup_id))?;
        Some(found)
    }

    /// A key by its id.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<Arc<KeySnapshot>> {
        self.keys.pin().get(&id).map(|slot| slot.load_full())
    }

    /// An organization by its id.
    #[must_use]
    pub fn organization(&self, id: OrganizationId) -> Option<Arc<OrganizationPolicy>> {
        self.organizations.pin().get(&id).map(|slot| slot.load_full())
    }

    /// Number of keys held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a key out, if nothing newer is known of it: its row can't be read, so its tokens are not to be found.
    pub fn forget_key(&self, id: KeyId, sequence: i64) -> Applied {
        let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.keys.pin();
        let Some(held) = keys.get(&id) else { return Applied::Stale };
        let snapshot = held.load();
        if snapshot.key.sequence >= sequence {
            return Applied::Stale;
        }
        let slots = self.slots.pin();
        for lookup_id in snapshot.versions.iter().filter_map(|version| version.lookup_id) {
            if slots.get(&lookup_id.map_key()).is_some_and(|slot| Arc::ptr_eq(&slot.key, held)) {
                slots.remove(&lookup_id.map_key());
            }
        }
        keys.remove(&id);
        Applied::Newer
    }

    /// Forgets everything: the feed has gone back, so no number that is held means anything any more.
    pub fn clear(&self) {
        let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.slots.pin().clear();
        self.keys.pin().clear();
        self.organizations.pin().clear();
    }

    /// A token's key from a snapshot that is not held: that of a version which ended too long ago to be kept in memory.
    #[must_use]
    pub fn find_in(&self, snapshot: KeySnapshot, lookup_id: &LookupId) -> Option<Found> {
        let organizations = self.organizations.pin();
        let organization = organizations.get(&snapshot.key.organization_id)?;
        let fits = |version: &&KeyVersion| version.lookup_id.is_some_and(|held| held.matches(lookup_id));
        let number = snapshot.versions.iter().find(fits)?.number;
        let key = Arc::new(ArcSwap::from_pointee(snapshot));
        Some(Found {
            key: key.load_full(),
            organization: organization.load_full(),
            slot: Arc::new(VersionSlot {
                lookup_id: *lookup_id,
                number,
                key,
                organization: Arc::clone(organization),
                check: AtomicU8::new(0),
            }),
        })
    }

    /// Puts an organization's policy in force, for all of its keys at once.
    pub fn apply_organization(&self, policy: OrganizationPolicy) -> Applied {
        let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let organizations = self.organizations.pin();
        match organizations.get(&policy.id) {
            Some(slot) if slot.load().sequence >= policy.sequence => Applied::Stale,
            Some(slot) => {
                slot.store(Arc::new(policy));
                Applied::Newer
            }
            None => {
                organizations.insert(policy.id, Arc::new(ArcSwap::from_pointee(policy)));
                Applied::Newer
            }
        }
    }

    /// Puts a key's state in force. A rotation changes the old and the new version in one step: both hang on the same
    /// snapshot.
    pub fn apply_key(&self, snapshot: KeySnapshot) -> Applied {
        let _turn = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let organizations = self.organizations.pin();
        let Some(organization) = organizations.get(&snapshot.key.organization_id) else {
            return Applied::UnknownOrganization;
        };
        let keys = self.keys.pin();
        let known = keys.get(&snapshot.key.id);
        if known.is_some_and(|slot| slot.load().key.sequence >= snapshot.key.sequence) {
            return Applied::Stale;
        }
        let snapshot = Arc::new(snapshot);
        let (slot, before) = match known {
            Some(slot) => (Arc::clone(slot), Some(slot.swap(Arc::clone(&snapshot)))),
            None => (Arc::new(ArcSwap::new(Arc::clone(&snapshot))), None),
        };
        let slots = self.slots.pin();
        for version in &snapshot.versions {
            let Some(lookup_id) = version.lookup_id else { continue };
            let same = slots.get(&lookup_id.map_key()).is_some_and(|held| {
                held.number == version.number
                    && Arc::ptr_eq(&held.key, &slot)
                    && !secret_changed(before.as_deref(), version)
            });
            if !same {
                let fresh = VersionSlot {
                    lookup_id,
                    number: version.number,
                    key: Arc::clone(&slot),
                    organization: Arc::clone(organization),
                    check: AtomicU8::new(0),
                };
                slots.insert(lookup_id.map_key(), Arc::new(fresh));
            }
        }
        for gone in before.iter().flat_map(|before| &before.versions).filter_map(|version| version.lookup_id) {
            let kept = snapshot.versions.iter().any(|v| v.lookup_id.is_some_and(|held| held.matches(&gone)));
            let ours = slots.get(&gone.map_key()).is_some_and(|held| Arc::ptr_eq(&held.key, &slot));
            if ours && !kept {
                slots.remove(&gone.map_key());
            }
        }
        keys.insert(snapshot.key.id, slot);
        Applied::Newer
    }
}

/// A version whose stored hash is another one now has to be checked again.
fn secret_changed(before: Option<&KeySnapshot>, version: &KeyVersion) -> bool {
    let hash = |held: &KeyVersion| held.secret_hash.clone().and_then(Result::ok).map(|hash| hash.as_str().to_owned());
    before
        .and_then(|before| before.versions.iter().find(|held| held.number == version.number))
        .is_some_and(|held| hash(held) != hash(version))
}

#[cfg(test)]
mod tests;
