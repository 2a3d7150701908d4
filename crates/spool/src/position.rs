//! Places in the spool that somebody wants to know more about.

use crate::segment::Segment;
use std::fmt;
use std::sync::Arc;

/// Where a record was appended.
#[derive(Clone)]
pub struct Mark {
    pub(crate) segment: Arc<Segment>,
    pub(crate) end: u64,
}

impl Mark {
    /// The name of the segment file.
    #[must_use]
    pub fn file(&self) -> &Arc<str> {
        &self.segment.file_name
    }

    /// The offset behind the record, in bytes from the start of the file.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether the record is known to be on the disk.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.segment.synced() >= self.end
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mark").field("file", &self.segment.file_name).field("end", &self.end).finish()
    }
}

/// Everything that had been appended at one moment.
#[derive(Clone)]
pub struct Position {
    pub(crate) ends: Vec<Mark>,
}

impl Position {
    /// Whether [`Spool::release`](crate::Spool::release) has been told that all of it is stored.
    #[must_use]
    pub fn is_committed(&self) -> bool {
        self.ends.iter().all(|mark| mark.segment.committed() >= mark.end)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.ends).finish()
    }
}
