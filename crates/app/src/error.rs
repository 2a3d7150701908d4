//! What a use case answers when it doesn't do what was asked. The wire form is the binaries' business.

use serde_json::{Map, Value};
use statuspulse_keys::rotation::RotationRefusal;
use statuspulse_policy::{AllowlistError, ScopeError};
use statuspulse_store::{StoreError, error::TransactionError};

use crate::env::NoEntropy;

/// What is wrong with one field of what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path of the field, such as `allowed_cidrs[1]`.
    pub field: String,
    /// Stable word.
    pub code: &'static str,
    /// For people: what is wrong and what to do.
    pub detail: String,
}

impl FieldError {
    /// A field's error.
    pub fn new(field: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { field: field.into(), code, detail: detail.into() }
    }
}

/// Why a use case was not carried out. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// What was asked can't be read at all.
    #[error("{detail}")]
    BadRequest {
        /// Stable word.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// Fields are missing, of the wrong type, or out of bounds.
    #[error("{}", fields_text(.0))]
    Invalid(Vec<FieldError>),
    /// No credential, or one that isn't accepted.
    #[error("{detail}")]
    Unauthorized {
        /// Stable word.
        code: &'static str,
        /// For people.
        detail: &'static str,
    },
    /// The caller may not do that.
    #[error("{detail}")]
    Forbidden {
        /// Stable word.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// There is no such thing, or it is another organization's.
    #[error("there is no such {0} here")]
    NotFound(&'static str),
    /// What is asked for isn't there, for a reason of its own.
    #[error("{detail}")]
    Missing {
        /// Stable word.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// A rule of the thing's present state stands against it.
    #[error("{detail}")]
    Conflict {
        /// Stable word.
        code: &'static str,
        /// For people.
        detail: String,
        /// What a program needs to go on: ids, versions.
        facts: Map<String, Value>,
    },
    /// It is at another version than the caller thinks.
    #[error("{detail}")]
    PreconditionFailed {
        /// Stable word.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// Too many tries.
    #[error("{detail}")]
    TooMany {
        /// Stable word.
        code: &'static str,
        /// For people.
        detail: &'static str,
        /// Seconds to wait, at least 1.
        retry_after: u64,
    },
    /// Something that is needed is away; trying again may help.
    #[error("the service can't do that right now; try again")]
    Unavailable {
        /// For the log.
        cause: String,
    },
    /// A defect.
    #[error("an internal error; the request id finds it in the log")]
    Internal {
        /// For the log.
        cause: String,
    },
}

impl AppError {
    /// One wrong field.
    pub fn field(field: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, code, detail)])
    }

    /// A rule of state, without facts.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict { code, detail: detail.into(), facts: Map::new() }
    }

    /// A missing right.
    pub fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Forbidden { code, detail: detail.into() }
    }

    /// What is for owners.
    pub(crate) fn owner_needed() -> Self {
        Self::forbidden("role_not_sufficient", "only an owner may do this")
    }

    /// A defect.
    pub fn internal(cause: impl ToString) -> Self {
        Self::Internal { cause: cause.to_string() }
    }

    /// The stable word.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadRequest { code, .. }
            | Self::Unauthorized { code, .. }
            | Self::Forbidden { code, .. }
            | Self::Missing { code, .. }
            | Self::Conflict { code, .. }
            | Self::PreconditionFailed { code, .. }
            | Self::TooMany { code, .. } => code,
            Self::Invalid(fields) => common_code(fields),
            Self::NotFound(_) => "not_found",
            Self::Unavailable { .. } => "unavailable",
            Self::Internal { .. } => "internal",
        }
    }

    /// The status of HTTP.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::BadRequest { .. } => 400,
            Self::Unauthorized { .. } => 401,
            Self::Forbidden { .. } => 403,
            Self::NotFound(_) | Self::Missing { .. } => 404,
            Self::Conflict { .. } => 409,
            Self::PreconditionFailed { .. } => 412,
            Self::Invalid(_) => 422,
            Self::TooMany { .. } => 429,
            Self::Internal { .. } => 500,
            Self::Unavailable { .. } => 503,
        }
    }
}

/// The code of the error of a field where it is the only one, otherwise `invalid`.
fn common_code(fields: &[FieldError]) -> &'static str {
    match fields {
        [only] => only.code,
        _ => "invalid",
    }
}

fn fields_text(fields: &[FieldError]) -> String {
    let texts: Vec<String> = fields.iter().map(|error| format!("{}: {}", error.field, error.detail)).collect();
    texts.join("; ")
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        let cause = error.to_string();
        if error.is_unavailable() { Self::Unavailable { cause } } else { Self::Internal { cause } }
    }
}

impl From<TransactionError> for AppError {
    fn from(error: TransactionError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<NoEntropy> for AppError {
    fn from(error: NoEntropy) -> Self {
        Self::Unavailable { cause: error.to_string() }
    }
}

impl From<RotationRefusal> for AppError {
    fn from(refusal: RotationRefusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            RotationRefusal::Revoked => Self::conflict("key_revoked", detail),
            RotationRefusal::Expired => Self::conflict("key_expired", detail),
            RotationRefusal::VersionMismatch { .. } => Self::PreconditionFailed { code: "version_mismatch", detail },
            RotationRefusal::JustRotated { current } => {
                let facts = Map::from_iter([("current_version".to_owned(), Value::from(current))]);
                Self::Conflict { code: "rotation_conflict", detail, facts }
            }
        }
    }
}

/// The errors of a list of networks, by field.
pub(crate) fn allowlist_errors(field: &str, error: &AllowlistError) -> AppError {
    match error {
        AllowlistError::Entries(entries) => AppError::Invalid(
            entries
                .iter()
                .map(|entry| {
                    let at = format!("{field}[{}]", entry.index);
                    FieldError::new(at, entry.source.code(), entry.source.to_string())
                })
                .collect(),
        ),
        other => AppError::field(field, other.code(), other.to_string()),
    }
}

/// The errors of a list of scopes, by field.
pub(crate) fn scope_errors(field: &str, error: &ScopeError) -> AppError {
    let at = error.index().map_or_else(|| field.to_owned(), |index| format!("{field}[{index}]"));
    AppError::field(at, error.code(), error.to_string())
}
