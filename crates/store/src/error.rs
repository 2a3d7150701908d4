//! What can go wrong between the service and its database.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// What opening and closing a transaction can give; so that callers need not know the database library.
pub type TransactionError = DieselError;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be reached, is starting or stopping, or a statement took too long. Trying again may help.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A unique index refused a row.
    #[error("`{constraint}` refuses the row")]
    Duplicate {
        /// Name of the index.
        constraint: String,
    },
    /// A stored row that the service can't have written.
    #[error("the row `{id}` of `{table}` is corrupt in `{column}`")]
    CorruptRow {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Id of the row.
        id: String,
    },
    /// Migrations that can't be applied.
    #[error("the migration failed: {0}")]
    Migration(String),
    /// Anything else that the database refused.
    #[error("the database refused a statement: {0}")]
    Database(#[source] DieselError),
}

impl StoreError {
    /// Whether the same call may work later without a change.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether a unique index of that name refused the row.
    #[must_use]
    pub fn is_duplicate_of(&self, index: &str) -> bool {
        matches!(self, Self::Duplicate { constraint } if constraint == index)
    }

    /// Whether a unique index over these columns refused the row; partitions have indexes of their own names.
    #[must_use]
    pub fn is_duplicate_of_column(&self, columns: &str) -> bool {
        matches!(self, Self::Duplicate { constraint } if constraint.contains(columns))
    }

    /// A short constructor for rows that can't be read.
    pub(crate) fn corrupt(table: &'static str, column: &'static str, id: impl ToString) -> Self {
        Self::CorruptRow { table, column, id: id.to_string() }
    }
}

/// Beginnings of the server's messages when it is going away, coming up, cutting a statement short or no longer the
/// primary. The driver hands the code of these errors on as "unknown", so the text is all there is; connections ask
/// for untranslated messages where they may.
const PASSING: [&str; 9] = [
    "terminating connection",
    "the database system is",
    "canceling statement due to",
    "canceling authentication",
    "sorry, too many clients",
    "remaining connection slots",
    "could not serialize access",
    "deadlock detected",
    "could not extend file",
];

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match &error {
            DieselError::DatabaseError(kind, information) => match kind {
                DatabaseErrorKind::UniqueViolation => {
                    Self::Duplicate { constraint: information.constraint_name().unwrap_or("unknown").to_owned() }
                }
                DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ReadOnlyTransaction => Self::Unavailable(information.message().to_owned()),
                _ if PASSING.iter().any(|text| information.message().starts_with(text)) => {
                    Self::Unavailable(information.message().to_owned())
                }
                _ => Self::Database(error),
            },
            DieselError::BrokenTransactionManager => Self::Unavailable("the connection broke in a transaction".into()),
            _ => Self::Database(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database_error(kind: DatabaseErrorKind, message: &str) -> StoreError {
        DieselError::DatabaseError(kind, Box::new(message.to_owned())).into()
    }

    #[test]
    fn a_server_that_goes_away_is_unavailable_and_not_a_refusal() {
        let messages = [
            "terminating connection due to administrator command",
            "the database system is starting up",
            "canceling statement due to statement timeout",
        ];
        let judged = messages.map(|message| database_error(DatabaseErrorKind::Unknown, message).is_unavailable());
        assert_eq!(judged, [true; 3]);
    }

    #[test]
    fn a_refused_statement_is_no_outage() {
        assert!(!database_error(DatabaseErrorKind::Unknown, "relation \"keys\" does not exist").is_unavailable());
    }
}
