//! What parsing can refuse. Each text is one line, names the input in backticks and says what to do; each `code()` is a stable
//! word for the wire.

use crate::allowlist::MAX_ENTRIES;
use crate::cidr::Cidr;

/// How much of a refused input an error repeats, in characters.
const SHOWN: usize = 80;

/// The input as it may stand in a log line or an answer: control characters escaped, at most [`SHOWN`] characters.
pub(crate) fn shown(input: &str) -> String {
    let mut text: String = input.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if input.chars().nth(SHOWN).is_some() {
        text.push('…');
    }
    text
}

/// An id that is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not an id; give a UUID", shown(.0))]
pub struct IdError(pub String);

/// A role that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown role `{}`; use `owner`, `admin`, `developer` or `auditor`", shown(.0))]
pub struct UnknownRole(pub String);

/// An environment that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown environment `{}`; use `production`, `staging` or `analytics`", shown(.0))]
pub struct UnknownEnvironment(pub String);

/// A list of scopes that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// The list is empty. Nothing never means everything.
    #[error("no scope is given; name at least one")]
    Empty,
    /// A name that the catalog does not hold: names are compared exactly, and there are no wildcards.
    #[error("unknown scope `{}`; scopes are exact names such as `checks:read`", shown(.name))]
    Unknown {
        /// The place in the list, from 0.
        index: usize,
        /// The name as it was given.
        name: String,
    },
}

impl ScopeError {
    /// The stable word of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty_scopes",
            Self::Unknown { .. } => "unknown_scope",
        }
    }

    /// The place in the list from 0, where the error is about one name.
    pub fn index(&self) -> Option<usize> {
        match self {
            Self::Empty => None,
            Self::Unknown { index, .. } => Some(*index),
        }
    }
}

/// A catalog that can't be used. The text is one line that says which rule, scope or preset is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Not TOML, or not of this shape.
    #[error("catalog, line {line}: {message}")]
    Syntax {
        /// From 1; 0 where the parser does not say.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A resource, action or preset name outside `[a-z][a-z0-9_-]{0,31}`.
    #[error(
        "catalog: the {kind} name `{}` is not usable; use lower-case letters, digits, `_` and `-`, at most 32",
        shown(.name)
    )]
    Name {
        /// `resource`, `action` or `preset`.
        kind: &'static str,
        /// The name as it was given.
        name: String,
    },
    /// The same resource, scope or preset twice.
    #[error("catalog: the {kind} `{name}` stands twice")]
    Duplicate {
        /// `resource`, `scope` or `preset`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A resource without any scope, or a catalog without any resource.
    #[error("catalog: {what} has no scope; name at least one")]
    NoScopes {
        /// Which part is empty.
        what: String,
    },
    /// A bit over 63.
    #[error("catalog: bit {bit} of {of} is out of range; use 0 to 63")]
    BitRange {
        /// What the bit is given to.
        of: String,
        /// The bit.
        bit: u64,
    },
    /// Two scopes with one bit.
    #[error("catalog: bit {bit} of scope `{name}` is already given to `{other}`")]
    BitTaken {
        /// The later scope.
        name: String,
        /// The earlier scope.
        other: String,
        /// The bit.
        bit: u8,
    },
    /// A bit that an earlier scope had: stored keys would silently gain the new one.
    #[error("catalog: bit {bit} of scope `{name}` is retired; take one that was never used")]
    BitRetired {
        /// The scope.
        name: String,
        /// The bit.
        bit: u8,
    },
    /// A preset or the like that names a scope which does not exist.
    #[error("catalog: preset `{preset}` names the unknown scope `{}`", shown(.scope))]
    PresetScope {
        /// The preset.
        preset: String,
        /// The scope.
        scope: String,
    },
    /// A rule that says neither what it needs nor that it is public, says both, or can't be read.
    #[error("catalog: rule `{}` {problem}", shown(.rule))]
    Rule {
        /// Methods and path as they stand in the file.
        rule: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Two rules that would win equally for one method.
    #[error("catalog: rules `{first}` and `{second}` are equally specific for `{method}`; keep one")]
    EqualRules {
        /// The path pattern of the earlier rule.
        first: String,
        /// The path pattern of the later rule.
        second: String,
        /// The method, `*` for "other methods".
        method: String,
    },
    /// An audience that is not an absolute URI without a fragment.
    #[error("catalog: audience `{}` is not an absolute URI without a fragment", shown(.0))]
    Audience(String),
    /// A new catalog that takes a bit away from the one in force (see [`Catalog::check_follows`](crate::Catalog::check_follows)).
    #[error("catalog: bit {bit} belongs to `{name}` in the catalog in force; keep it there or list it under `retired`")]
    BitMoved {
        /// The scope that has the bit now.
        name: String,
        /// The bit.
        bit: u8,
    },
}

/// A path that has more than one reading, and so none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `/`, also not behind a scheme and a host.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// More than [`MAX_PATH_BYTES`](crate::MAX_PATH_BYTES).
    #[error("the path is longer than 8 KiB")]
    TooLong,
    /// A control character, a space, a backslash or a byte outside ASCII.
    #[error("the path holds a control character, a space, a backslash or a byte outside ASCII")]
    Character,
    /// A `%` without two hexadecimal digits behind it.
    #[error("the path holds a broken escape")]
    BrokenEscape,
    /// An escaped `/`, `\`, `%` or control character.
    #[error("the path holds an escaped `/`, `\\`, `%` or control character")]
    ForbiddenEscape,
    /// `//`.
    #[error("the path holds an empty segment")]
    EmptySegment,
    /// `.` or `..`, also escaped or with `;` behind it.
    #[error("the path holds a `.` or `..` segment")]
    DotSegment,
}

/// A network that can't be read, or that is not accepted in a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// Not `address` or `address/length`.
    #[error("`{}` is not a network: {why}", shown(.entry))]
    Invalid {
        /// The entry as it was given.
        entry: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Bits behind the length are set: whoever wrote it meant something else.
    #[error("`{}` has bits set behind its length; write `{suggestion}`", shown(.entry))]
    HostBitsSet {
        /// The entry as it was given.
        entry: String,
        /// The network that the entry's length makes of it.
        suggestion: Cidr,
    },
    /// An IPv4-mapped IPv6 network that is wider than the mapped range.
    #[error("`{}` is wider than the IPv4-mapped range; write the IPv4 network itself", shown(.entry))]
    MappedTooWide {
        /// The entry as it was given.
        entry: String,
    },
    /// Shorter than /8 (IPv4) or /32 (IPv6).
    #[error("`{cidr}` is too wide; use /{minimum} or longer, or have an owner or admin allow any width")]
    TooWide {
        /// The network.
        cidr: Cidr,
        /// The shortest length that is accepted.
        minimum: u8,
    },
    /// `0.0.0.0/0` or `::/0`, in whatever spelling.
    #[error("`{cidr}` allows everything; leave the list out, or have an owner or admin allow any width")]
    AllowsEverything {
        /// The network.
        cidr: Cidr,
    },
}

impl CidrError {
    /// The stable word of this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid_cidr",
            Self::HostBitsSet { .. } => "host_bits_set",
            Self::MappedTooWide { .. } => "mapped_too_wide",
            Self::TooWide { .. } => "too_wide",
            Self::AllowsEverything { .. } => "allows_everything",
        }
    }
}

/// One entry of a list that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {index}: {source}")]
pub struct EntryError {
    /// The place in the list, from 0.
    pub index: usize,
    /// Why it is refused.
    pub source: CidrError,
}

/// An allowlist that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowlistError {
    /// No entry. "Any address" is said with `null`.
    #[error("the list is empty; use null for any address")]
    Empty,
    /// More than [`MAX_ENTRIES`](crate::MAX_ENTRIES) entries were given.
    #[error("the list has {given} entries; give at most {max}", max = MAX_ENTRIES)]
    TooMany {
        /// How many were given, before duplicates collapse.
        given: usize,
    },
    /// Every entry that is refused, in the order given; never empty.
    #[error("{}", entries_text(.0))]
    Entries(Vec<EntryError>),
}

impl AllowlistError {
    /// The stable word of this error; for entries that of the first one.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty_allowlist",
            Self::TooMany { .. } => "too_many_entries",
            Self::Entries(entries) => entries.first().map_or("invalid_cidr", |entry| entry.source.code()),
        }
    }
}

fn entries_text(entries: &[EntryError]) -> String {
    let texts: Vec<String> = entries.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// A list of trusted proxies that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("trusted proxy {}: {source}", .index + 1)]
pub struct TrustedProxiesError {
    /// The place in the list, from 0.
    pub index: usize,
    /// Why it is refused.
    pub source: CidrError,
}

/// A header name that no HTTP message can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a header name; use one such as `x-forwarded-for`", shown(.0))]
pub struct HeaderNameError(pub String);
