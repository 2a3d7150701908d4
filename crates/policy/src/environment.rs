//! Environments, and which of them a resource server serves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::UnknownEnvironment;

/// Where a key is meant to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Live data, every scope.
    Production,
    /// Test data, every scope.
    Staging,
    /// Live data, read-only scopes.
    Analytics,
}

impl Environment {
    /// Every environment, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Production, Self::Staging, Self::Analytics];

    /// The name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Analytics => "analytics",
        }
    }

    /// The first characters of a key of this environment.
    pub const fn token_prefix(self) -> &'static str {
        match self {
            Self::Production | Self::Analytics => "sp_live_",
            Self::Staging => "sp_test_",
        }
    }

    /// Whether a key of this environment is cut to the scopes that the catalog marks `read_only`.
    pub const fn read_only(self) -> bool {
        matches!(self, Self::Analytics)
    }

    /// The longest life of a key in days, unless the organization's settings say less or more.
    pub const fn max_lifespan_days(self) -> u32 {
        match self {
            Self::Production | Self::Analytics => 90,
            Self::Staging => 365,
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Production => 1,
            Self::Staging => 2,
            Self::Analytics => 4,
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Environment {
    type Err = UnknownEnvironment;

    fn from_str(text: &str) -> Result<Self, UnknownEnvironment> {
        Self::ALL
            .into_iter()
            .find(|environment| environment.as_str() == text)
            .ok_or_else(|| UnknownEnvironment(text.to_owned()))
    }
}

/// A set of environments.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct EnvironmentSet(u8);

impl EnvironmentSet {
    /// No environment.
    pub const EMPTY: Self = Self(0);

    /// This set and one environment more.
    #[must_use]
    pub const fn with(self, environment: Environment) -> Self {
        Self(self.0 | environment.bit())
    }

    /// Whether the set holds this environment.
    pub const fn contains(self, environment: Environment) -> bool {
        self.0 & environment.bit() != 0
    }

    /// Whether the set holds nothing.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The environments of the set in the order of [`Environment::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Environment> {
        Environment::ALL.into_iter().filter(move |environment| self.contains(*environment))
    }
}

impl FromIterator<Environment> for EnvironmentSet {
    fn from_iter<I: IntoIterator<Item = Environment>>(environments: I) -> Self {
        environments.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Debug for EnvironmentSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The environments that a resource server serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Served {
    /// It does not distinguish: keys of every environment pass this step.
    Any,
    /// These alone. The empty set refuses every key, which is what a mistyped name must do where it can't be answered with 422.
    Only(EnvironmentSet),
}

impl Served {
    /// What names in a request mean: none is [`Served::Any`], otherwise these alone.
    ///
    /// # Errors
    /// The first name that is not an environment. Where a refusal of the question is not possible (forward-auth), judge with
    /// `Served::Only(EnvironmentSet::EMPTY)` instead: a typing error must not open anything.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownEnvironment> {
        let mut set = EnvironmentSet::EMPTY;
        for name in names {
            set = set.with(name.parse()?);
        }
        Ok(if set.is_empty() { Self::Any } else { Self::Only(set) })
    }

    /// Whether a key of this environment is served.
    pub const fn serves(self, environment: Environment) -> bool {
        match self {
            Self::Any => true,
            Self::Only(set) => set.contains(environment),
        }
    }
}

#[cfg(test)]
mod tests;
