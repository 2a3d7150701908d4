//! The catalog: which scopes exist, what they are called in groups, and which endpoint needs which. Compiled once from TOML
//! and immutable; a new one replaces the old as a whole.

use crate::environment::Environment;
use crate::error::{CatalogError, ScopeError};
use crate::routes::{RefusedRoute, Requirement, Routes};
use crate::scope::{ScopeBit, ScopeSet};

mod compile;

/// A compiled catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    resources: Vec<Resource>,
    presets: Vec<Preset>,
    audiences: Vec<String>,
    by_name: Vec<(Box<str>, ScopeBit)>,
    retired: ScopeSet,
    all: ScopeSet,
    read_only: ScopeSet,
    management: ScopeSet,
    routes: Routes,
}

/// A resource and its scopes: one row of the permission matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resource {
    /// The part of its scopes before the colon.
    pub name: String,
    /// For people.
    pub description: String,
    /// In the order of the file; at least one.
    pub scopes: Vec<ScopeInfo>,
}

/// One scope of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScopeInfo {
    /// `resource:action`.
    pub name: String,
    /// The part behind the colon.
    pub action: String,
    /// For people.
    pub description: String,
    /// Its place in a [`ScopeSet`], never given to another scope.
    pub bit: ScopeBit,
    /// Whether keys of a read-only environment may have it.
    pub read_only: bool,
    /// Whether it is about the credentials service itself; by default a developer can't grant it.
    pub management: bool,
}

/// A named group of scopes, expanded when a key is made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preset {
    /// Its name on the wire.
    pub name: String,
    /// For people.
    pub title: String,
    /// At least one.
    pub scopes: ScopeSet,
}

impl Catalog {
    /// The catalog of the product itself.
    ///
    /// # Errors
    /// None in practice: the text is part of this crate and a test reads it.
    pub fn builtin() -> Result<Self, CatalogError> {
        Self::from_toml(Self::BUILTIN_TOML)
    }

    /// The text of [`Catalog::builtin`], a model for one's own.
    pub const BUILTIN_TOML: &str = include_str!("catalog.toml");

    /// Reads and compiles a catalog (see the crate's documentation for its form). Unknown fields are refused.
    ///
    /// # Errors
    /// The first [`CatalogError`], one line that says which rule, scope or preset is wrong.
    pub fn from_toml(text: &str) -> Result<Self, CatalogError> {
        compile::from_toml(text)
    }

    /// Whether this catalog may take the place of `previous` while credentials compiled with that one are in memory: every
    /// bit of `previous` must have the same scope here or be retired.
    ///
    /// # Errors
    /// [`CatalogError::BitMoved`] or [`CatalogError::BitRetired`] for the first bit that means something else.
    pub fn check_follows(&self, previous: &Self) -> Result<(), CatalogError> {
        for scope in previous.scopes() {
            let same = self.scope_info(scope.bit).is_some_and(|here| here.name == scope.name);
            if !same && !self.retired.contains(scope.bit) {
                return Err(CatalogError::BitMoved { name: scope.name.clone(), bit: scope.bit.index() });
            }
        }
        match self.scopes().find(|scope| previous.retired.contains(scope.bit)) {
            Some(scope) => Err(CatalogError::BitRetired { name: scope.name.clone(), bit: scope.bit.index() }),
            None => Ok(()),
        }
    }

    /// The resources in the order of the file.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The presets in the order of the file.
    pub fn presets(&self) -> &[Preset] {
        &self.presets
    }

    /// Absolute URIs of the resource servers for which access tokens may be issued.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Every scope in catalog order.
    pub fn scopes(&self) -> impl Iterator<Item = &ScopeInfo> {
        self.resources.iter().flat_map(|resource| &resource.scopes)
    }

    /// Every scope. Expand it when a key is made: what a later catalog adds is not granted to old keys.
    pub fn all(&self) -> ScopeSet {
        self.all
    }

    /// The scopes that a read-only environment allows.
    pub fn read_only(&self) -> ScopeSet {
        self.read_only
    }

    /// The scopes that are about the credentials service itself; by default a developer can't grant them.
    pub fn management(&self) -> ScopeSet {
        self.management
    }

    /// The scopes that a key of this environment may have. Applied at every check, so a row changed behind our back gains
    /// nothing; it also cuts bits that the catalog does not know.
    pub fn mask(&self, environment: Environment) -> ScopeSet {
        if environment.read_only() { self.read_only } else { self.all }
    }

    /// The bit of a scope, compared exactly.
    pub fn scope(&self, name: &str) -> Option<ScopeBit> {
        let at = self.by_name.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.by_name.get(at).map(|(_, bit)| *bit)
    }

    /// What is known of a scope.
    pub fn scope_info(&self, bit: ScopeBit) -> Option<&ScopeInfo> {
        self.scopes().find(|scope| scope.bit == bit)
    }

    /// The names of a set in catalog order; bits that the catalog does not know have none.
    pub fn names(&self, set: ScopeSet) -> Vec<&str> {
        self.scopes().filter(|scope| set.contains(scope.bit)).map(|scope| scope.name.as_str()).collect()
    }

    /// Reads a list of scope names. Names are compared exactly: no trimming, no change of case, no wildcard, no list inside
    /// one string. Duplicates collapse.
    ///
    /// # Errors
    /// [`ScopeError::Empty`], or [`ScopeError::Unknown`] for the first name that the catalog does not hold.
    pub fn parse_scopes<I>(&self, names: I) -> Result<ScopeSet, ScopeError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        let mut set = ScopeSet::EMPTY;
        for (index, name) in names.into_iter().enumerate() {
            let name = name.as_ref();
            let bit = self.scope(name).ok_or_else(|| ScopeError::Unknown { index, name: name.to_owned() })?;
            set = set.with(bit);
        }
        if set.is_empty() { Err(ScopeError::Empty) } else { Ok(set) }
    }

    /// A preset by its exact name.
    pub fn preset(&self, name: &str) -> Option<&Preset> {
        self.presets.iter().find(|preset| preset.name == name)
    }

    /// What a call needs. The path is brought into its one form first; no allocation where it has it already.
    ///
    /// `method` is compared exactly, `HEAD` is covered by `GET`, and a method that the winning pattern does not name takes
    /// that pattern's rule for other methods, if it has one.
    pub fn requirement(&self, method: &str, raw_path: &str) -> Requirement<'_> {
        self.routes.requirement(method, raw_path)
    }

    /// The requirement of a scope that is named outright. An unknown one refuses everybody and is not repeated, since the
    /// name may be a stranger's writing.
    pub fn requirement_for_scope(&self, name: &str) -> Requirement<'_> {
        match self.scope(name).and_then(|bit| self.scope_info(bit)) {
            Some(scope) => Requirement::Scope { bit: scope.bit, name: &scope.name, route: "" },
            None => Requirement::Refused { reason: RefusedRoute::UnknownScope, route: None, name: None },
        }
    }
}

#[cfg(test)]
mod tests;
