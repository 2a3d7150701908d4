//! A cluster that several processes share: the first one starts the server, the last one stops it.

use crate::binaries::Binaries;
use crate::datadir::{TRANSITION_LOCK, USERS_LOCK, prepare_data_dir};
use crate::files::open_lock;
use crate::place::{Layout, PORT, find_home, place_socket};
use crate::server::{Server, cluster_major};
use crate::settings::Durability;
use crate::wait::a_moment;
use crate::{EmbeddedError, USER, init};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Which cluster to open, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The data directory; it is made when it is not there.
    pub data_dir: PathBuf,
    /// Whether what was committed survives a loss of power. `false` is for tests.
    pub durable: bool,
    /// How long the server may take until it accepts connections, recovery from a crash included.
    pub start_timeout: Duration,
}

impl Options {
    /// A durable cluster in this data directory, with a minute to start.
    pub fn new(data_dir: impl Into<PathBuf>) -> Options {
        Options { data_dir: data_dir.into(), durable: true, start_timeout: Duration::from_secs(60) }
    }
}

/// What became of the server when a process stopped using it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Nobody else used it, so it was stopped.
    Stopped,
    /// Another process uses it.
    LeftRunning,
}

/// A running cluster that this process uses.
///
/// All calls block; an async caller puts them on a thread for blocking work. Dropping it closes it, too, but tells
/// a failure to the log alone.
#[derive(Debug)]
pub struct Cluster {
    data_dir: PathBuf,
    server: Server,
    /// Locked shared as long as this process uses the cluster. `None` once it is closed.
    users: Option<File>,
}

impl Cluster {
    /// Opens the cluster of a data directory: makes it when there is none, starts its server or re-uses the one that
    /// runs, recovers it from whatever end its last server came to, and waits until it accepts connections.
    ///
    /// # Errors
    /// Any [`EmbeddedError`] but [`EmbeddedError::InUse`].
    pub fn open(options: &Options) -> Result<Cluster, EmbeddedError> {
        Cluster::open_with(options, &Binaries::candidates())
    }

    /// As [`Cluster::open`], with the folders that may hold the server binaries.
    ///
    /// # Errors
    /// As [`Cluster::open`].
    pub fn open_with(options: &Options, candidates: &[PathBuf]) -> Result<Cluster, EmbeddedError> {
        let data_dir = prepare_data_dir(&options.data_dir)?;
        let transition = Transition::begin(&data_dir)?;
        let path = data_dir.join(USERS_LOCK);
        let users = open_lock(&path)?;
        // Exclusively held only within a transition, so that this does not wait.
        users.lock_shared().map_err(EmbeddedError::io("lock", &path))?;
        let server = prepare(&data_dir, options, candidates)?;
        server.start(is_only_user(&users, &path)?)?;
        drop(transition);
        Ok(Cluster { data_dir, server, users: Some(users) })
    }

    /// Starts the server again if it ended under us, and waits until it accepts connections.
    ///
    /// # Errors
    /// As [`Cluster::open`].
    pub fn ensure_running(&self) -> Result<(), EmbeddedError> {
        if self.server.is_up() {
            return Ok(());
        }
        let _transition = Transition::begin(&self.data_dir)?;
        self.server.start(false)
    }

    /// The data directory: absolute, free of symbolic links.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The folder of the socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.server.layout.socket_dir
    }

    /// The port: it only names the socket file, no TCP port is opened.
    #[must_use]
    pub fn port(&self) -> u16 {
        PORT
    }

    /// The major version of the server.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.server.binaries.major()
    }

    /// The process id of the server, when it runs.
    #[must_use]
    pub fn server_pid(&self) -> Option<u32> {
        self.server.pid().and_then(|pid| u32::try_from(pid).ok())
    }

    /// The URL of a database of the cluster.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        url(self.socket_dir(), database)
    }

    /// Stops using the cluster; the last user stops the server.
    ///
    /// # Errors
    /// [`EmbeddedError::Busy`] or [`EmbeddedError::Stop`], or the failure of the system. The cluster is no longer
    /// used by this process in any case.
    pub fn close(mut self) -> Result<Closed, EmbeddedError> {
        self.close_once()
    }

    fn close_once(&mut self) -> Result<Closed, EmbeddedError> {
        let Some(users) = self.users.take() else {
            return Ok(Closed::LeftRunning);
        };
        let _transition = Transition::begin(&self.data_dir)?;
        let path = self.data_dir.join(USERS_LOCK);
        users.unlock().map_err(EmbeddedError::io("unlock", &path))?;
        match users.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Closed::LeftRunning),
            Err(TryLockError::Error(error)) => return Err(EmbeddedError::io("lock", &path)(error)),
        }
        let stopped = self.server.stop();
        let _ = users.unlock();
        stopped.map(|()| Closed::Stopped)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.users.is_some()
            && let Err(error) = self.close_once()
        {
            tracing::warn!(%error, "could not close the private postgresql");
        }
    }
}

/// Finds the cluster and the binaries that run it; makes the cluster when there is none.
fn prepare(data_dir: &Path, options: &Options, candidates: &[PathBuf]) -> Result<Server, EmbeddedError> {
    let durability = if options.durable { Durability::Full } else { Durability::None };
    let (home, account) = find_home(data_dir)?;
    let mut layout = Layout::within(&home);
    let is_there = home.symlink_metadata().is_ok();
    let binaries = if is_there {
        account.check_private_dir(&home)?;
        let major = cluster_major(&layout.data).ok_or_else(|| EmbeddedError::Damaged { path: home.clone() })?;
        Binaries::find_major_in(candidates, major, &layout.data)?
    } else {
        let binaries = Binaries::find_in(candidates)?;
        init::make(&home, account, &binaries, durability)?;
        binaries
    };
    place_socket(data_dir, &mut layout, account)?;
    Ok(Server { layout, account, binaries, durability, start_timeout: options.start_timeout })
}

/// Whether no other process holds the lock that we hold shared. Only within a transition: nobody comes in between.
fn is_only_user(users: &File, path: &Path) -> Result<bool, EmbeddedError> {
    users.unlock().map_err(EmbeddedError::io("unlock", path))?;
    let is_only = users.try_lock().is_ok();
    users.unlock().and_then(|()| users.lock_shared()).map_err(EmbeddedError::io("lock", path))?;
    Ok(is_only)
}

/// The exclusive right to initialise, start or stop the cluster of a data directory.
struct Transition {
    file: File,
}

impl Transition {
    /// Longer than an initialisation, a start and a stop of a healthy cluster take together.
    const PATIENCE: Duration = Duration::from_secs(180);

    fn begin(data_dir: &Path) -> Result<Transition, EmbeddedError> {
        let path = data_dir.join(TRANSITION_LOCK);
        let file = open_lock(&path)?;
        let deadline = Instant::now() + Transition::PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Transition { file }),
                Err(TryLockError::Error(error)) => return Err(EmbeddedError::io("lock", &path)(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    let seconds = Transition::PATIENCE.as_secs();
                    return Err(EmbeddedError::Busy { path: data_dir.to_path_buf(), seconds });
                }
                Err(TryLockError::WouldBlock) => a_moment(),
            }
        }
    }
}

impl Drop for Transition {
    fn drop(&mut self) {
        // Explicitly: a child process between its fork and its exec holds a copy of the descriptor.
        let _ = self.file.unlock();
    }
}

/// The URL of a database behind the socket in this folder.
pub(crate) fn url(socket_dir: &Path, database: &str) -> String {
    use std::os::unix::ffi::OsStrExt;
    let host = percent_encoded(socket_dir.as_os_str().as_bytes());
    format!("postgresql://{USER}@/{}?host={host}&port={PORT}", percent_encoded(database.as_bytes()))
}

/// All but the unreserved characters of RFC 3986 as `%XX`.
fn percent_encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
