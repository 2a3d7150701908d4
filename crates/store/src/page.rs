//! Keyset pages: a list goes on behind the last row of the page before, so nothing is skipped or repeated while rows are
//! added.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A place in a list that is sorted by time, newest first: the last row of the page before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its time.
    pub created_at: DateTime<Utc>,
    /// Its id, for rows of the same microsecond.
    pub id: Uuid,
}
