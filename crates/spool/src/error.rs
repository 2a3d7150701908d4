//! What can go wrong, each in one line that says what to do.

use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Why a spool could not be opened, read, tidied or closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// Another process has the spool.
    #[error("audit spool `{}` is in use by another process: stop that one or set STATUSPULSE_DATA_DIR to another directory", path.display())]
    InUse {
        /// The directory of the spool.
        path: PathBuf,
    },
    /// The file with the identity of the spool holds something else.
    #[error("`{}` does not hold the id of the audit spool: restore it, or move the whole folder away", path.display())]
    BadIdentity {
        /// The file.
        path: PathBuf,
    },
    /// Segments are there and the identity that their offsets are known by is not. With a new one every record would
    /// be read again.
    #[error("`{}` is missing while the audit spool holds files: restore it, or move the whole folder away", path.display())]
    NoIdentity {
        /// The file.
        path: PathBuf,
    },
    /// The owner has made files in this spool before, so that names would be used twice.
    #[error("process id `{owner}` has been used in this audit spool before: take a fresh one at each start")]
    OwnerReused {
        /// The owner.
        owner: Uuid,
    },
    /// A later version of this program wrote the file.
    #[error("`{}` was written by a later version (format {version}): start that version until the spool is drained", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        version: u8,
    },
    /// The spool is being read already.
    #[error("the audit spool is being read already: end the other reader first")]
    Tailed,
    /// What was appended could not be brought onto the disk.
    #[error("`{file}` could not be synced ({reason}): check the disk")]
    NotSynced {
        /// The name of the segment.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// Any other failure of the file system.
    #[error("cannot {doing} `{}`: {source}", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl SpoolError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpoolError + use<> {
        let path = path.to_path_buf();
        move |source| SpoolError::Io { doing, path, source }
    }
}

/// Why a payload was not kept. The spool is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The spool holds as much as it may.
    #[error("the audit spool is full ({limit} bytes): let it drain, or raise STATUSPULSE_AUDIT_SPOOL_LIMIT")]
    Full {
        /// The limit of the spool, in bytes.
        limit: u64,
    },
    /// The payload is longer than a record may be.
    #[error("payload of {len} bytes is longer than {} bytes", crate::format::LONGEST_PAYLOAD)]
    TooLarge {
        /// The length of the payload, in bytes.
        len: usize,
    },
    /// The payload has no bytes.
    #[error("payload is empty")]
    Empty,
    /// The spool has been closed.
    #[error("the audit spool is closed")]
    Closed,
    /// The file system refused it.
    #[error("cannot append to the audit spool: {0}")]
    Io(#[from] io::Error),
}

/// Why something appended is not known to be on the disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The system could not write the file out. Its pages may be gone, so it is not tried again.
    #[error("`{file}` could not be synced ({reason}): check the disk")]
    Failed {
        /// The name of the segment.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// The spool was closed before.
    #[error("the audit spool was closed before its last records were synced")]
    Closed,
}
