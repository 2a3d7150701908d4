//! The names of segment files.

use super::seed_of;
use std::fmt;
use uuid::Uuid;

/// The name of a segment file: `{owner}.{lane}.{number}.spool`.
///
/// No name is used twice, because its owner is one start of one process. That is what makes an offset in a file mean
/// the same for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// The process start that made the file.
    pub owner: Uuid,
    /// The lane that the file belongs to, counted from 0.
    pub lane: u32,
    /// The place of the file among those of its lane, counted from 0.
    pub number: u64,
}

/// The start value of the checksums in one file, made from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub(super) u32);

impl SegmentName {
    /// Reads the name of a file; `None` when it is not exactly the name of a segment.
    #[must_use]
    pub fn parse(text: &str) -> Option<SegmentName> {
        let mut parts = text.strip_suffix(".spool")?.split('.');
        let owner = Uuid::try_parse(parts.next()?).ok()?;
        let name = SegmentName { owner, lane: parts.next()?.parse().ok()?, number: parts.next()?.parse().ok()? };
        // One spelling, or one file could be known by two names.
        (name.to_string() == text).then_some(name)
    }

    /// The start value of the checksums in this file.
    #[must_use]
    pub fn seed(&self) -> Seed {
        seed_of(self)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.spool", self.owner, self.lane, self.number)
    }
}
