//! Files that are written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// A file that is there under its name as a whole or not at all; only its owner can read it.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    draft: PathBuf,
    file: BufWriter<File>,
    is_whole: bool,
}

impl Draft {
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::other(format!("`{}` is no file", path.display())))?;
        if path.is_dir() {
            return Err(io::Error::other(format!("`{}` is a folder", path.display())));
        }
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.draft", std::process::id()));
        let draft = path.with_file_name(hidden);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        Ok(Self { path, draft, file: BufWriter::new(file), is_whole: false })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Brings it onto the disk and gives it its name.
    pub(crate) fn finish(mut self) -> io::Result<PathBuf> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.draft, &self.path)?;
        self.is_whole = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        Ok(self.path.clone())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = fs::remove_file(&self.draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_that_is_given_up_leaves_nothing_and_the_file_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.jsonl");
        fs::write(&path, "before").unwrap();
        let mut draft = Draft::create(path.clone()).unwrap();
        draft.write(b"half").unwrap();
        drop(draft);
        assert_eq!((fs::read(&path).unwrap(), folder.path().read_dir().unwrap().count()), (b"before".to_vec(), 1));
    }

    #[test]
    fn a_finished_draft_takes_the_place_of_the_file_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.jsonl");
        fs::write(&path, "before").unwrap();
        let mut draft = Draft::create(path.clone()).unwrap();
        draft.write(b"whole").unwrap();
        draft.finish().unwrap();
        assert_eq!((fs::read(&path).unwrap(), folder.path().read_dir().unwrap().count()), (b"whole".to_vec(), 1));
    }
}
