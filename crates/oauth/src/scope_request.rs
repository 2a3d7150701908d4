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
    let Some(text) = names(scope)? else { return Ok(None) };
    let mut asked = ScopeSet::EMPTY;
    for name in split(text) {
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

/// What is left of a parameter that was judged before: a name that has left the catalog or the app since is dropped. The
/// same shape as [`requested`]; nothing being left is no refusal here.
///
/// # Errors
/// [`ScopeRefusal::Malformed`].
pub fn remaining(
    scope: Option<Field<'_>>,
    catalog: &Catalog,
    allowed: ScopeSet,
    default: ScopeSet,
) -> Result<ScopeSet, ScopeRefusal> {
    let names = names(scope)?.unwrap_or_default();
    let mut names = split(names).peekable();
    let asked = if names.peek().is_none() {
        default
    } else {
        names.filter_map(|name| catalog.scope(name)).fold(ScopeSet::EMPTY, ScopeSet::with)
    };
    Ok(asked.intersection(allowed).intersection(catalog.all()))
}

/// A set as the wire shows it: single blanks, the catalog's order.
#[must_use]
pub fn text(catalog: &Catalog, scopes: ScopeSet) -> String {
    catalog.names(scopes).join(" ")
}

/// The text of a parameter, if there is one.
fn names(scope: Option<Field<'_>>) -> Result<Option<&str>, ScopeRefusal> {
    let text = match scope {
        None => return Ok(None),
        Some(Field::Broken) => return Err(ScopeRefusal::Malformed),
        Some(Field::Text(text)) => text,
    };
    // scope-token = 1*( %x21 / %x23-5B / %x5D-7E ), and blanks between them; the comma is a separator of ours.
    let allowed = |byte: u8| matches!(byte, 0x20 | 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    let whole = text.len() <= LONGEST && text.bytes().all(allowed);
    Some(text).filter(|_| whole).map(Some).ok_or(ScopeRefusal::Malformed)
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',']).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests;
