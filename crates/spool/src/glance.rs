//! A look at the spool of another process, which is the only one that may open it.

use std::{fs, io, path::Path};

use uuid::Uuid;

use crate::format::{HEADER, SegmentName};

/// How far a spool was written when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// Its identity, under which offsets are stored.
    pub id: Uuid,
    /// Files that hold records, with their lengths. One is stored when its offset has come that far, or when it is gone.
    pub files: Vec<(String, u64)>,
}

impl Glance {
    /// Looks, without a lock. None where there is no spool.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn at(dir: &Path) -> io::Result<Option<Self>> {
        let id = match fs::read_to_string(dir.join("id")) {
            Ok(text) => Uuid::try_parse(text.trim_end()).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in dir.read_dir()? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            if SegmentName::parse(&name).is_none() {
                continue;
            }
            match entry.metadata() {
                Ok(found) if found.len() > HEADER => files.push((name, found.len())),
                Ok(_) => {}
                // Stored and deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Self { id, files }))
    }

    /// Keeps the files that are still there and not stored so far.
    pub fn retain_waiting(&mut self, dir: &Path, stored: impl Fn(&str) -> u64) {
        self.files.retain(|(name, length)| stored(name) < *length && dir.join(name).exists());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Spool};

    #[test]
    fn a_glance_sees_what_is_not_stored() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("spool");
        let before = Glance::at(&dir).unwrap();
        let spool = Spool::open(Options::new(&dir, Uuid::from_u128(1), Uuid::from_u128(2))).unwrap();
        let empty = Glance::at(&dir).unwrap().unwrap();
        spool.append(0, b"one").unwrap();
        let mut one = Glance::at(&dir).unwrap().unwrap();
        let length = one.files[0].1;
        let seen = one.files.len();
        one.retain_waiting(&dir, |_| length - 1);
        let waits = one.files.len();
        one.retain_waiting(&dir, |_| length);
        assert_eq!((before, empty.files.len(), one.id, seen, waits, one.files.len()), (None, 0, spool.id(), 1, 1, 0));
    }
}
