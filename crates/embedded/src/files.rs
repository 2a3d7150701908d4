//! Files in folders that another account may write: opened without following links, read with a bound.

use crate::EmbeddedError;
use crate::account::lent_by;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

/// More than any of the small files that this crate reads.
const SMALL: u64 = 64 * 1024;

/// Neither a link that leads elsewhere nor a pipe that never answers.
fn careful() -> i32 {
    (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()
}

/// The content of a small file, `None` when it is not there.
pub(crate) fn read_small(path: &Path) -> io::Result<Option<String>> {
    let file = match OpenOptions::new().read(true).custom_flags(careful()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut content = Vec::new();
    file.take(SMALL).read_to_end(&mut content)?;
    Ok(Some(String::from_utf8_lossy(&content).into_owned()))
}

/// What was appended to a file after its first `from` bytes, at most the last few KiB of it.
pub(crate) fn read_tail(path: &Path, from: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = OpenOptions::new().read(true).custom_flags(careful()).open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(SMALL)).min(length)))?;
        let mut content = Vec::new();
        file.take(SMALL).read_to_end(&mut content)?;
        Ok(content)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// Opens a file to append to, made with mode 0600 when it is not there; the log of the server.
pub(crate) fn open_log(path: &Path, uid: u32) -> Result<File, EmbeddedError> {
    let open = || -> io::Result<File> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(careful()).open(path)?;
        let found = file.metadata()?;
        // A second name of the file would be a file elsewhere that somebody wants us to write to.
        if !found.is_file() || found.nlink() != 1 {
            return Err(io::Error::other("not a plain file"));
        }
        if found.uid() != uid {
            fchown(&file, Some(uid), None)?;
        }
        Ok(file)
    };
    open().map_err(EmbeddedError::io("open", path))
}

/// Opens a file of the data directory for a lock, made with mode 0600 when it is not there.
pub(crate) fn open_lock(path: &Path) -> Result<File, EmbeddedError> {
    let open = || -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(careful())
            .open(path)?;
        if let Some((uid, gid)) = path.parent().and_then(lent_by) {
            fchown(&file, Some(uid.as_raw()), Some(gid.as_raw()))?;
        }
        Ok(file)
    };
    open().map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            EmbeddedError::ReadOnly { path: path.parent().unwrap_or(path).to_path_buf() }
        }
        _ => EmbeddedError::io("open", path)(error),
    })
}

/// Writes a one-line file of the data directory so that it is there whole or not at all.
pub(crate) fn write_line(path: &Path, line: &str) -> Result<(), EmbeddedError> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(careful())
            .open(partial)?;
        file.write_all(line.as_bytes())?;
        file.write_all(b"\n")?;
        if let Some((uid, gid)) = path.parent().and_then(lent_by) {
            fchown(&file, Some(uid.as_raw()), Some(gid.as_raw()))?;
        }
        file.sync_all()?;
        std::fs::rename(partial, path)?;
        sync_parent(path)
    };
    write().map_err(EmbeddedError::io("write", path))
}

/// Makes the name of a file survive a loss of power.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
