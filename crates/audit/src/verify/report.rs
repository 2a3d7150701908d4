//! What verification says.

use chrono::NaiveDate;
use serde::{Serialize, Serializer};
use uuid::Uuid;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)+) => {
        /// What is wrong: a closed list of stable words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)+ }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

reasons! {
    /// The fields of a record don't give its leaf, or leaf and predecessor don't give its link.
    Changed = "changed",
    /// A record doesn't follow the one before it, or the one behind doesn't follow it.
    Unlinked = "unlinked",
    /// A second record with a sequence that was there already.
    Repeated = "repeated",
    /// A record in the middle is gone.
    Missing = "missing",
    /// Address or user agent are not those that were written.
    Commitment = "commitment",
    /// Address or user agent are gone, and no event of the trail says so.
    ErasedWithoutEvent = "erased_without_event",
    /// A stream that no checkpoint knows, though there was time.
    UnknownStream = "unknown_stream",
    /// A record that nobody has written: beyond its stream's end, or behind a checkpoint that should have covered it.
    Forged = "forged",
    /// A stream is not at the link which a checkpoint names.
    HeadDiffers = "head_differs",
    /// The records since the last checkpoint are not the ones of which a checkpoint names number and root.
    RootDiffers = "root_differs",
    /// A day's records are not those which were sealed.
    SealDiffers = "seal_differs",
    /// A checkpoint is signed by a key that is unknown or not in force.
    CheckpointKey = "checkpoint_key",
    /// A checkpoint was changed, or its signature.
    CheckpointSignature = "checkpoint_signature",
    /// A checkpoint names a new key that hasn't signed it too.
    CheckpointRotation = "checkpoint_rotation",
    /// A checkpoint is gone in the middle, or there twice.
    CheckpointNumber = "checkpoint_number",
    /// A checkpoint doesn't follow the one before it.
    CheckpointPrevious = "checkpoint_previous",
    /// A copy held elsewhere says something else than the checkpoint of its number.
    CheckpointExchanged = "checkpoint_exchanged",
    /// A checkpoint whose parts are out of order or out of range.
    CheckpointMalformed = "checkpoint_malformed",
    /// A checkpoint vouches for records behind the last one that is there.
    Truncated = "truncated",
    /// A copy held elsewhere is newer than every checkpoint that is there.
    CheckpointsEnd = "checkpoints_end",
    /// A day is gone that no checkpoint seals.
    DayUnsealed = "day_unsealed",
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One contradiction, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stream, where it is about one.
    pub stream: Option<Uuid>,
    /// The record, where it is about one.
    pub sequence: Option<i64>,
    /// What is wrong.
    pub reason: Reason,
    /// Number of the checkpoint, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<i64>,
    /// The day, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<NaiveDate>,
}

impl Finding {
    /// About nothing that can be named.
    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        Self { stream: None, sequence: None, reason, checkpoint: None, day: None }
    }

    pub(super) const fn record(reason: Reason, stream: Uuid, sequence: i64) -> Self {
        Self { stream: Some(stream), sequence: Some(sequence), reason, checkpoint: None, day: None }
    }

    pub(super) const fn checkpoint(reason: Reason, number: i64) -> Self {
        Self { stream: None, sequence: None, reason, checkpoint: Some(number), day: None }
    }

    pub(super) const fn day(reason: Reason, day: NaiveDate) -> Self {
        Self { stream: None, sequence: None, reason, checkpoint: None, day: Some(day) }
    }
}

/// The outcome in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing contradicts.
    Whole,
    /// Something was changed, removed from the middle, put in, swapped or forged.
    Tampered,
    /// What is there is right, but not all of it is there.
    Incomplete,
}

impl Verdict {
    /// Exit code of the command line.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Tampered => 10,
            Self::Incomplete => 11,
        }
    }
}

/// What verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether the trail is whole.
    pub ok: bool,
    /// In one word.
    pub verdict: Verdict,
    /// Records read.
    pub events: u64,
    /// Records whose address or user agent was erased.
    pub unaddressed: u64,
    /// Checkpoints read.
    pub checkpoints: u64,
    /// Records behind the newest checkpoint: right among themselves, but nobody vouches for them yet.
    pub uncovered: u64,
    /// The first contradiction in reading order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_bad: Option<Finding>,
    /// What is missing at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<Finding>,
}

/// The findings so far. Only the first of each kind is kept.
#[derive(Debug, Default)]
pub(super) struct Findings {
    bad: Option<(u64, Finding)>,
    incomplete: Option<Finding>,
}

impl Findings {
    /// Notes a contradiction. `position` counts the records read when it stood there, so that one that shows only later,
    /// such as a gap that never closes, keeps its place.
    pub(super) fn bad(&mut self, position: u64, finding: Finding) {
        if self.bad.as_ref().is_none_or(|(first, _)| position < *first) {
            self.bad = Some((position, finding));
        }
    }

    pub(super) fn incomplete(&mut self, finding: Finding) {
        self.incomplete.get_or_insert(finding);
    }

    pub(super) const fn any(&self) -> bool {
        self.bad.is_some() || self.incomplete.is_some()
    }

    pub(super) fn split(self) -> (Verdict, Option<Finding>, Option<Finding>) {
        let verdict = match (&self.bad, &self.incomplete) {
            (Some(_), _) => Verdict::Tampered,
            (None, Some(_)) => Verdict::Incomplete,
            (None, None) => Verdict::Whole,
        };
        (verdict, self.bad.map(|(_, finding)| finding), self.incomplete)
    }
}
