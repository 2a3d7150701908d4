//! What can go wrong, each in one line that says what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why the private PostgreSQL could not be found, prepared, started or stopped.
///
/// Every text is one line, so that a caller may print it as its last words.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// The machine has no PostgreSQL server.
    #[error(
        "no postgresql server binaries found: install postgresql 14 or later (`apt-get install postgresql`, `brew install postgresql`) or set DATABASE_URL"
    )]
    NoBinaries,
    /// Only servers older than the oldest supported one were found.
    #[error(
        "found only postgresql {found}, which is too old: install postgresql 14 or later (`apt-get install postgresql`, `brew install postgresql`) or set DATABASE_URL"
    )]
    TooOld {
        /// The versions that were found, newest first, separated by commas.
        found: String,
    },
    /// The cluster was made by a major version that this machine does not have.
    #[error(
        "`{}` was made by postgresql {cluster}, found only postgresql {found}: install postgresql-{cluster}, or upgrade the cluster with pg_upgrade or dump and restore, or set DATABASE_URL",
        path.display()
    )]
    OtherMajor {
        /// The folder of the cluster.
        path: PathBuf,
        /// The major version that made the cluster.
        cluster: u32,
        /// The major versions that were found, newest first, separated by commas.
        found: String,
    },
    /// The data directory is a file or another thing that holds no files.
    #[error("`{}` is not a directory: move it away or set STATUSPULSE_DATA_DIR to a directory", path.display())]
    NotADirectory {
        /// What is in the way.
        path: PathBuf,
    },
    /// This account may not write there, or the file system is mounted read-only.
    #[error("directory `{}` is read-only for this account: make it writable or set STATUSPULSE_DATA_DIR to another one", path.display())]
    ReadOnly {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds somebody's files and lets others in: its mode is not ours to change.
    #[error(
        "`{}` holds other files and has mode {mode:04o}: set STATUSPULSE_DATA_DIR to a directory of its own, or allow its owner alone (`chmod 700`)",
        path.display()
    )]
    TooOpen {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Something that must belong to the account of the server belongs to another one, or is a symbolic link.
    #[error("`{}` is not a private directory of user {uid}: move it away, or run as the user that made it", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// The user that it should belong to.
        uid: u32,
    },
    /// Another server process uses the data directory.
    #[error(
        "data directory `{}` is in use by another server{}: stop that one or set STATUSPULSE_DATA_DIR to another directory",
        path.display(),
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The process that holds the lock, where it could be read.
        pid: Option<u32>,
        /// The data directory.
        path: PathBuf,
    },
    /// Another process is initialising, starting or stopping the cluster and does not come to an end.
    #[error("another process has been starting or stopping the cluster in `{}` for {seconds} s: look at that one, then try again", path.display())]
    Busy {
        /// The data directory.
        path: PathBuf,
        /// How long this process waited.
        seconds: u64,
    },
    /// Started by root, and no account is there that could run the server, which refuses to run as root.
    #[error(
        "postgresql does not run as root and there is no user `postgres` or `nobody`: create one, start as another user, or set DATABASE_URL"
    )]
    NoAccount,
    /// Started by root, and the account of the server cannot reach the cluster.
    #[error("user {uid} cannot reach `{}`: give the folders above it the mode bit o+x, or move the data directory", path.display())]
    Barred {
        /// The folder of the cluster.
        path: PathBuf,
        /// The user that runs the server.
        uid: u32,
    },
    /// A file that names another place does not name one that we would have made.
    #[error("`{}` does not name a folder of ours: restore it, or remove it together with the cluster that it named", path.display())]
    BadPointer {
        /// The file.
        path: PathBuf,
    },
    /// The folder of the cluster holds no cluster.
    #[error("`{}` holds no whole cluster: restore it from a backup, or move it away to begin with an empty one", path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
    },
    /// A cluster could not be made.
    #[error("could not initialise postgresql in `{}`: {detail}", path.display())]
    Init {
        /// The folder.
        path: PathBuf,
        /// The last lines that the programs wrote.
        detail: String,
    },
    /// The server ended while it was starting.
    #[error("postgresql did not start: {detail} (log: `{}`)", log.display())]
    Start {
        /// The log of the server.
        log: PathBuf,
        /// Its last lines.
        detail: String,
    },
    /// The server is still starting, most likely recovering from a crash; it is left to do so.
    #[error("postgresql is not ready after {seconds} s and goes on starting: try again later (log: `{}`): {detail}", log.display())]
    NotReady {
        /// The log of the server.
        log: PathBuf,
        /// How long this process waited.
        seconds: u64,
        /// The last lines of the log.
        detail: String,
    },
    /// A server runs on the cluster, others use it, and its socket is gone.
    #[error("postgresql (process {pid}) runs but its socket in `{}` does not answer: stop the processes that use it, then try again", socket.display())]
    Unreachable {
        /// The process id of the server.
        pid: i32,
        /// The folder in which the socket should be.
        socket: PathBuf,
    },
    /// The server did not end.
    #[error("postgresql (process {pid}) does not stop: end it by hand (log: `{}`)", log.display())]
    Stop {
        /// The process id of the server.
        pid: i32,
        /// The log of the server.
        log: PathBuf,
    },
    /// An operation of the system failed.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl EmbeddedError {
    /// For `map_err`: a failed `action` on `path`, with the frequent causes told apart.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError + use<> {
        let path = path.to_path_buf();
        move |source| match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => EmbeddedError::ReadOnly { path },
            io::ErrorKind::NotADirectory => EmbeddedError::NotADirectory { path },
            _ => EmbeddedError::Io { action, path, source },
        }
    }
}

/// The last `count` lines of what a program wrote, as one line.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).rev().take(count).collect();
    lines.reverse();
    if lines.is_empty() { "it wrote nothing".to_owned() } else { lines.join(" / ") }
}
