//! Scopes as bits. A set of scopes is one `u64`, so the check of a call is one `and`.

use std::fmt;

/// The place of a scope in a [`ScopeSet`], 0 to 63. Given by the catalog once and never given to another scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeBit(u8);

impl ScopeBit {
    /// How many bits there are.
    pub const COUNT: u8 = 64;

    /// The bit with this number; none from 64 on.
    pub const fn new(index: u8) -> Option<Self> {
        if index < Self::COUNT { Some(Self(index)) } else { None }
    }

    /// Its number, 0 to 63.
    pub const fn index(self) -> u8 {
        self.0
    }

    const fn mask(self) -> u64 {
        1 << self.0
    }
}

/// A set of scopes. The empty set holds nothing and allows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ScopeSet(u64);

impl ScopeSet {
    /// No scope.
    pub const EMPTY: Self = Self(0);

    /// The set of the bits that are set in `bits`. Bits that the catalog does not know do no harm: every check masks them.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The set as bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether the set holds this scope.
    pub const fn contains(self, bit: ScopeBit) -> bool {
        self.0 & bit.mask() != 0
    }

    /// Whether the set holds nothing.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every scope of this set is in `other`.
    pub const fn is_subset_of(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// This set and one scope more.
    #[must_use]
    pub const fn with(self, bit: ScopeBit) -> Self {
        Self(self.0 | bit.mask())
    }

    /// How many scopes the set holds.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The bits of the set, the lowest first.
    pub fn iter(self) -> impl Iterator<Item = ScopeBit> {
        (0..ScopeBit::COUNT).map(ScopeBit).filter(move |bit| self.contains(*bit))
    }
}

impl FromIterator<ScopeBit> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = ScopeBit>>(bits: I) -> Self {
        bits.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(ScopeBit::index)).finish()
    }
}

/// A well-formed scope name, `resource:action`: each part begins with a lower-case letter and goes on with lower-case letters,
/// digits, `_` or `-`, at most 32 bytes. Well-formed does not mean that a catalog knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeName(Box<str>);

impl ScopeName {
    /// Reads a name exactly: no trimming, no change of case, no wildcard. `None` where it is not well-formed.
    pub fn parse(text: &str) -> Option<Self> {
        let (resource, action) = text.split_once(':')?;
        (is_name(resource) && is_name(action)).then(|| Self(text.into()))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the colon.
    pub fn resource(&self) -> &str {
        self.0.split_once(':').map_or("", |(resource, _)| resource)
    }

    /// The part behind the colon.
    pub fn action(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, action)| action)
    }
}

impl fmt::Display for ScopeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether a resource, action or preset may be called so.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= 32
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

#[cfg(test)]
mod tests;
