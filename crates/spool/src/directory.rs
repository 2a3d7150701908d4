//! The directory of a spool: its lock, its identity, its marker of a clean end, its files.

use crate::SpoolError;
use crate::format::{HEADER, Header, SegmentName};
use crate::segment::Segment;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

const LOCK: &str = "lock";
const ID: &str = "id";
const CLEAN: &str = "clean";

#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// To sync the names in it.
    handle: File,
    lock: File,
}

impl Directory {
    /// Makes the directory when it is not there, for its owner alone, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Directory, SpoolError> {
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(SpoolError::io("create", path))?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                File::open(parent).and_then(|above| above.sync_all()).map_err(SpoolError::io("sync", parent))?;
            }
        }
        let handle = File::open(path).map_err(SpoolError::io("open", path))?;
        let mode = handle.metadata().map_err(SpoolError::io("look at", path))?.permissions().mode();
        if mode & 0o077 != 0 {
            handle
                .set_permissions(Permissions::from_mode(0o700))
                .map_err(SpoolError::io("change the mode of", path))?;
        }
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(SpoolError::io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Directory { path: path.to_path_buf(), handle, lock }),
            Err(TryLockError::WouldBlock) => Err(SpoolError::InUse { path: path.to_path_buf() }),
            Err(TryLockError::Error(error)) => Err(SpoolError::io("lock", &lock_path)(error)),
        }
    }

    /// The identity of the spool; a spool without files that has none takes the new one.
    pub(crate) fn identity(&self, new: Uuid, has_segments: bool) -> Result<Uuid, SpoolError> {
        let path = self.path.join(ID);
        match fs::read(&path) {
            Ok(bytes) => std::str::from_utf8(&bytes)
                .ok()
                .and_then(|text| Uuid::try_parse(text.trim_end()).ok())
                .ok_or(SpoolError::BadIdentity { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && has_segments => {
                Err(SpoolError::NoIdentity { path })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.put(ID, format!("{new}\n").as_bytes())?;
                Ok(new)
            }
            Err(error) => Err(SpoolError::io("read", &path)(error)),
        }
    }

    /// Whether the last process closed the spool; the marker is taken away.
    pub(crate) fn take_clean_marker(&self) -> Result<bool, SpoolError> {
        let path = self.path.join(CLEAN);
        match fs::remove_file(&path) {
            Ok(()) => self.sync().map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(SpoolError::io("remove", &path)(error)),
        }
    }

    pub(crate) fn mark_clean(&self) -> Result<(), SpoolError> {
        self.put(CLEAN, b"")
    }

    /// The segments of earlier processes, oldest first: by process, and within one by lane and number.
    pub(crate) fn segments(&self, owner: Uuid) -> Result<Vec<Arc<Segment>>, SpoolError> {
        let mut found = Vec::new();
        for entry in self.path.read_dir().map_err(SpoolError::io("read", &self.path))? {
            let entry = entry.map_err(SpoolError::io("read", &self.path))?;
            let Some(name) = entry.file_name().to_str().and_then(SegmentName::parse) else { continue };
            if name.owner == owner {
                return Err(SpoolError::OwnerReused { owner });
            }
            let path = entry.path();
            let (created_at, len) = read_header(&path, &name)?;
            found.push(Segment::old(name, 0, created_at, len));
        }
        // A process is as old as the oldest of its files that says when it was made.
        let mut born: BTreeMap<Uuid, u64> = BTreeMap::new();
        for segment in found.iter().filter(|segment| segment.created_at != 0) {
            let oldest = born.entry(segment.name.owner).or_insert(segment.created_at);
            *oldest = segment.created_at.min(*oldest);
        }
        found.sort_by_key(|segment| (born.get(&segment.name.owner).copied().unwrap_or(0), segment.name));
        for (serial, segment) in (1..).zip(&mut found) {
            segment.serial = serial;
        }
        Ok(found.into_iter().map(Arc::new).collect())
    }

    /// Makes a segment file, which must not be there yet.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.path.join(name))
    }

    /// Opens a segment file for reading.
    pub(crate) fn read(&self, name: &str) -> Result<File, SpoolError> {
        let path = self.path.join(name);
        File::open(&path).map_err(SpoolError::io("open", &path))
    }

    pub(crate) fn failed(&self, doing: &'static str, name: &str) -> impl FnOnce(io::Error) -> SpoolError + use<> {
        SpoolError::io(doing, &self.path.join(name))
    }

    /// Cuts a file of an earlier process off at this length, unless it has been deleted.
    pub(crate) fn cut(&self, name: &str, len: u64) -> Result<(), SpoolError> {
        let path = self.path.join(name);
        let cut = |file: File| file.set_len(len).and_then(|()| file.sync_data());
        match OpenOptions::new().write(true).open(&path).and_then(cut) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SpoolError::io("cut", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Deletes a file. That it is not there any more is no error; that it may come back after a power cut is a matter
    /// of [`Directory::sync`].
    pub(crate) fn remove(&self, name: &str) -> Result<(), SpoolError> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(SpoolError::io("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    pub(crate) fn sync(&self) -> Result<(), SpoolError> {
        self.sync_names().map_err(SpoolError::io("sync", &self.path))
    }

    pub(crate) fn sync_names(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Writes a small file so that it is there as a whole or not at all.
    fn put(&self, name: &str, content: &[u8]) -> Result<(), SpoolError> {
        let path = self.path.join(name);
        let fresh = self.path.join(format!("{name}.new"));
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().map_err(SpoolError::io("write", &path))?;
        self.sync()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // An explicit unlock also ends copies of the descriptor that a child process holds between its fork and exec.
        let _ = self.lock.unlock();
    }
}

/// When the file was made, 0 when its header is damaged, and its length.
fn read_header(path: &Path, name: &SegmentName) -> Result<(u64, u64), SpoolError> {
    let file = File::open(path).map_err(SpoolError::io("open", path))?;
    let len = file.metadata().map_err(SpoolError::io("look at", path))?.len();
    let mut header = Vec::new();
    file.take(HEADER).read_to_end(&mut header).map_err(SpoolError::io("read", path))?;
    match Header::decode(&header, name.seed()) {
        Header::Known { created_at } => Ok((created_at.max(1), len)),
        Header::Damaged => Ok((0, len)),
        Header::Newer { version } => Err(SpoolError::NewerFormat { path: path.to_path_buf(), version }),
    }
}
