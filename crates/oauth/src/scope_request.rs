//! The parameter `scope` (RFC 6749 §3.3; oauth §3.9): names separated by blanks or commas.

use statuspulse_policy::{Catalog, ScopeSet};

use crate::form::Field;

/// Characters of a scope parameter, at most.
pub const LONGEST: usize = 1_024;

/// Why a scope parameter is refused; the word for the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeRefusal {
    /// Too long, or a character that RFC 6749 §3.3 doesn't allow.
    Malformed,
    /// A name outside the catalog.
    Unknown,
    /// A name outside what the app, or the grant, has.
    NotAllowed,
    /// Nothing was asked for, and there is no default.
    NoDefault,
}

impl ScopeRefusal {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "scope_malformed",
            Self::Unknown => "scope_unknown",
            Self::NotAllowed => "scope_not_allowed",
            Self::NoDefault => "scope_missing",
        }
    }
}

/// The scopes that a parameter names; none when it names nothing. A repeated name counts once; nothing is dropped.
///
/// # Errors
/// [`ScopeRefusal::Malformed`] or [`ScopeRefusal::Unknown`].
pub fn parse(scope: Option<Field<'_>>, catalog: &Catalog) -> Result<Option<ScopeSet>, ScopeRefusal> {
    let text = match scope {
        None => return Ok(None),
        Some(Field::Broken) => return Err(ScopeRefusal::Malformed),
        Some(Field::Text(text)) => text,
    };
    // scope-token = 1*( %x21 / %x23-5B / %x5D-7E ), and blanks between them; the comma is a separator of ours.
    let allowed = |byte: u8| matches!(byte, 0x20 | 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    if text.len() > LONGEST || !text.bytes().all(allowed) {
        return Err(ScopeRefusal::Malformed);
    }
    let mut asked = ScopeSet::EMPTY;
    for name in text.split([' ', ',']).filter(|name| !name.is_empty()) {
        asked = asked.with(catalog.scope(name).ok_or(ScopeRefusal::Unknown)?);
    }
    Ok(Some(asked).filter(|asked| !asked.is_empty()))
}

/// The scopes that are asked for, within what may be asked for; the default where nothing is.
///
/// # Errors
/// [`ScopeRefusal`].
pub fn requested(
    scope: Option<Field<'_>>,
    catalog: &Catalog,
    allowed: ScopeSet,
    default: ScopeSet,
) -> Result<ScopeSet, ScopeRefusal> {
    let asked = match parse(scope, catalog)? {
        Some(asked) if asked.is_subset_of(allowed) => return Ok(asked),
        Some(_) => return Err(ScopeRefusal::NotAllowed),
        None => default.intersection(allowed).intersection(catalog.all()),
    };
    if asked.is_empty() { Err(ScopeRefusal::NoDefault) } else { Ok(asked) }
}

/// A set as the wire shows it: single blanks, the catalog's order.
#[must_use]
pub fn text(catalog: &Catalog, scopes: ScopeSet) -> String {
    catalog.names(scopes).join(" ")
}

#[cfg(test)]
mod tests;
