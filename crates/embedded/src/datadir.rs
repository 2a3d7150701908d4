//! The data directory of a server: made, checked, and locked for one server process.

use crate::EmbeddedError;
use crate::account::{is_root, own_uid};
use crate::files::{open_lock, read_small};
use crate::wait::a_moment;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::signal::kill;
use nix::unistd::{AccessFlags, Pid, faccessat};
use std::fs::{DirBuilder, File, Metadata, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The lock of the server process.
pub(crate) const SERVER_LOCK: &str = "server.lock";
/// Held exclusively while the cluster is initialised, started or stopped.
pub(crate) const TRANSITION_LOCK: &str = "postgres.transition";
/// Held shared by each process that uses the cluster.
pub(crate) const USERS_LOCK: &str = "postgres.users";

/// Creates the data directory when it is not there, and checks that it can be used.
///
/// It is for its owner alone (mode 0700); root's is 0711, because the account that runs the server for root has to
/// pass through it. A directory that already holds other files and lets others in is refused rather than changed:
/// a mistyped path must not take `/etc` away from the system.
///
/// # Errors
/// [`EmbeddedError::NotADirectory`], [`EmbeddedError::ReadOnly`], [`EmbeddedError::TooOpen`], or the failure of the
/// system. `path` may be relative; the answer is absolute and free of symbolic links.
pub fn prepare_data_dir(path: &Path) -> Result<PathBuf, EmbeddedError> {
    create(path)?;
    let dir = path.canonicalize().map_err(EmbeddedError::io("resolve", path))?;
    let found = dir.metadata().map_err(EmbeddedError::io("look at", &dir))?;
    if !found.is_dir() {
        return Err(EmbeddedError::NotADirectory { path: dir });
    }
    if faccessat(AT_FDCWD, &dir, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS).is_err() {
        return Err(EmbeddedError::ReadOnly { path: dir });
    }
    restrict(&dir, &found)?;
    Ok(dir)
}

fn create(path: &Path) -> Result<(), EmbeddedError> {
    if path.is_dir() {
        return Ok(());
    }
    let mode = if is_root() { 0o711 } else { 0o700 };
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|error| explain(error, path))
}

/// Names what is in the way of a directory that cannot be created.
fn explain(error: io::Error, path: &Path) -> EmbeddedError {
    let existing = path.ancestors().find(|above| above.symlink_metadata().is_ok());
    let Some(existing) = existing.filter(|existing| !existing.as_os_str().is_empty()) else {
        return match error.kind() {
            io::ErrorKind::PermissionDenied => EmbeddedError::ReadOnly { path: path.to_path_buf() },
            _ => EmbeddedError::io("create", path)(error),
        };
    };
    if !existing.is_dir() {
        return EmbeddedError::NotADirectory { path: existing.to_path_buf() };
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            EmbeddedError::ReadOnly { path: existing.to_path_buf() }
        }
        _ => EmbeddedError::io("create", path)(error),
    }
}

fn restrict(dir: &Path, found: &Metadata) -> Result<(), EmbeddedError> {
    let wanted = if is_root() { 0o711 } else { 0o700 };
    let mode = found.mode() & 0o7777;
    if mode == wanted {
        return Ok(());
    }
    let is_wider = mode & 0o077 & !wanted != 0;
    if !is_root() && found.uid() != own_uid() {
        // A volume that an orchestrator mounted for us; what we keep in it is closed on its own.
        if is_wider {
            tracing::warn!(path = %dir.display(), mode = format!("{mode:04o}"), "the data directory belongs to another user and lets others in");
        }
        return Ok(());
    }
    if is_wider && (mode & 0o1000 != 0 || !is_ours_or_empty(dir)?) {
        return Err(EmbeddedError::TooOpen { path: dir.to_path_buf(), mode });
    }
    std::fs::set_permissions(dir, Permissions::from_mode(wanted)).map_err(EmbeddedError::io("change the mode of", dir))
}

fn is_ours_or_empty(dir: &Path) -> Result<bool, EmbeddedError> {
    let mut is_empty = true;
    for entry in dir.read_dir().map_err(EmbeddedError::io("read", dir))? {
        let name = entry.map_err(EmbeddedError::io("read", dir))?.file_name();
        if name == SERVER_LOCK || name == TRANSITION_LOCK || name == USERS_LOCK {
            return Ok(true);
        }
        // The root of a file system of its own.
        is_empty &= name == "lost+found";
    }
    Ok(is_empty)
}

/// The right of one server process to a data directory, until it is dropped or the process ends in any way.
#[derive(Debug)]
pub struct DataDirLock {
    file: File,
}

impl DataDirLock {
    /// Takes the lock of this data directory, which [`prepare_data_dir`] has prepared.
    ///
    /// # Errors
    /// [`EmbeddedError::InUse`] when another server has it.
    pub fn acquire(data_dir: &Path) -> Result<DataDirLock, EmbeddedError> {
        let path = data_dir.join(SERVER_LOCK);
        let mut file = open_lock(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(EmbeddedError::InUse { pid: holder(&path), path: data_dir.to_path_buf() });
            }
            Err(TryLockError::Error(error)) => return Err(EmbeddedError::io("lock", &path)(error)),
        }
        let line = format!("{}\n", std::process::id());
        file.set_len(0).and_then(|()| file.write_all(line.as_bytes())).map_err(EmbeddedError::io("write", &path))?;
        Ok(DataDirLock { file })
    }
}

impl Drop for DataDirLock {
    fn drop(&mut self) {
        // The next holder's refusals must not name us. An explicit unlock also ends copies of the descriptor that a
        // child process holds between its fork and its exec.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

/// The process that holds the lock; it writes its id a moment after it took the lock.
fn holder(path: &Path) -> Option<u32> {
    let deadline = Instant::now() + Duration::from_millis(200);
    loop {
        let line = read_small(path).ok().flatten().unwrap_or_default();
        let pid = line.trim().parse::<i32>().ok().filter(|pid| *pid > 0);
        // EPERM says that it lives.
        if let Some(pid) = pid
            && kill(Pid::from_raw(pid), None) != Err(nix::errno::Errno::ESRCH)
        {
            return u32::try_from(pid).ok();
        }
        if Instant::now() >= deadline {
            return None;
        }
        a_moment();
    }
}
