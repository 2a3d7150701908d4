//! The networks from which a credential may be used.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::cidr::Cidr;
use crate::error::{AllowlistError, CidrError, EntryError};
use crate::ranges::Ranges;

/// The most entries that a list may be given, counted before duplicates collapse.
pub const MAX_ENTRIES: usize = 50;

/// Whether networks of any width are accepted, which an owner or admin may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowAny {
    /// Nothing shorter than /8 (IPv4) or /32 (IPv6).
    No,
    /// Any width, `0.0.0.0/0` and `::/0` included.
    Yes,
}

/// A list of networks, compiled. "Any address" is the absence of a list, never an empty one: an empty list contains nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowlist {
    entries: Box<[Cidr]>,
    ranges: Ranges,
}

impl Allowlist {
    /// Reads 1 to [`MAX_ENTRIES`] entries, each `address` or `address/length`. Duplicates collapse after canonicalisation;
    /// the order is kept; nothing is trimmed or repaired.
    ///
    /// # Errors
    /// [`AllowlistError::Empty`], [`AllowlistError::TooMany`], or all entries that are refused.
    pub fn parse<I: AsRef<str>>(entries: &[I], allow_any: AllowAny) -> Result<Self, AllowlistError> {
        if entries.is_empty() {
            return Err(AllowlistError::Empty);
        }
        if entries.len() > MAX_ENTRIES {
            return Err(AllowlistError::TooMany { given: entries.len() });
        }
        let mut cidrs = Vec::with_capacity(entries.len());
        let mut errors = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let cidr = Cidr::parse(entry.as_ref()).and_then(|cidr| match allow_any {
                AllowAny::Yes => Ok(cidr),
                AllowAny::No => judge_width(cidr),
            });
            match cidr {
                Ok(cidr) => cidrs.push(cidr),
                Err(source) => errors.push(EntryError { index, source }),
            }
        }
        if errors.is_empty() { Ok(Self::from_cidrs(cidrs)) } else { Err(AllowlistError::Entries(errors)) }
    }

    /// Compiles networks that are already judged, such as those of a row. Of any number; none of them contains nothing.
    pub fn from_cidrs(cidrs: Vec<Cidr>) -> Self {
        let mut seen = BTreeSet::new();
        let entries: Vec<Cidr> = cidrs.into_iter().filter(|cidr| seen.insert(*cidr)).collect();
        Self { ranges: Ranges::compile(&entries), entries: entries.into_boxed_slice() }
    }

    /// The networks in the order given, each once.
    pub fn entries(&self) -> &[Cidr] {
        &self.entries
    }

    /// Whether a call from this address may pass. An IPv4-mapped address counts as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.ranges.contains(ip)
    }

    /// Whether an entry is shorter than /8 (IPv4) or /32 (IPv6), which only [`AllowAny::Yes`] lets in.
    pub fn is_wide(&self) -> bool {
        self.entries.iter().any(|cidr| cidr.length() < cidr.shortest_length())
    }

    /// Whether the list covers all of IPv4 or all of IPv6, in one entry or in parts.
    pub fn allows_everything(&self) -> bool {
        self.ranges.covers_a_family()
    }

    /// Whether an entry lies in a private range (see [`Cidr::is_private`]).
    pub fn has_private(&self) -> bool {
        self.entries.iter().any(|cidr| cidr.is_private())
    }
}

fn judge_width(cidr: Cidr) -> Result<Cidr, CidrError> {
    let minimum = cidr.shortest_length();
    if cidr.is_everything() {
        Err(CidrError::AllowsEverything { cidr })
    } else if cidr.length() < minimum {
        Err(CidrError::TooWide { cidr, minimum })
    } else {
        Ok(cidr)
    }
}

#[cfg(test)]
mod tests;
