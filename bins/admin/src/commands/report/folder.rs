use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use statuspulse_app::AppError;

use crate::{error::CliError, file::Draft};

/// A folder that becomes a report. What fails half-way leaves it as it was.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Whether it was made for this.
    is_new: bool,
    written: Vec<PathBuf>,
    is_whole: bool,
}

impl Folder {
    /// A new folder, or one that is empty; only its owner can look into a new one.
    pub(super) fn create(path: PathBuf) -> Result<Self, CliError> {
        let failed = |source| CliError::Io { what: "the report can't be written", source };
        let is_new = match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(source) => return Err(failed(source)),
        };
        if !is_new && !is_empty(&path).map_err(failed)? {
            let detail = format!("`{}` holds something already; give a folder that is new or empty", path.display());
            return Err(AppError::conflict("folder_not_empty", detail).into());
        }
        Ok(Self { path, is_new, written: Vec::new(), is_whole: false })
    }

    /// Writes a file, which is there as a whole or not at all.
    pub(super) fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut draft = Draft::create(self.path.join(name))?;
        draft.write(content)?;
        self.written.push(draft.finish()?);
        Ok(())
    }

    /// Nothing more is to come.
    pub(super) fn finish(mut self) -> PathBuf {
        self.is_whole = true;
        self.path.clone()
    }
}

fn is_empty(path: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(path)?.next().is_none())
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_whole {
            return;
        }
        for path in &self.written {
            let _ = fs::remove_file(path);
        }
        if self.is_new {
            // What somebody else has put there meanwhile keeps it.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_is_given_up_leaves_nothing_behind() {
        let outside = tempfile::tempdir().unwrap();
        let path = outside.path().join("report");
        let mut folder = Folder::create(path.clone()).unwrap();
        folder.write("report.html", b"half").unwrap();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn an_empty_folder_serves_and_stays_when_the_report_is_given_up() {
        let outside = tempfile::tempdir().unwrap();
        let mut folder = Folder::create(outside.path().to_owned()).unwrap();
        folder.write("report.html", b"half").unwrap();
        drop(folder);
        assert!(is_empty(outside.path()).unwrap());
    }

    #[test]
    fn a_folder_that_holds_something_is_refused_and_not_touched() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("notes"), "x").unwrap();
        let refused = Folder::create(outside.path().to_owned()).unwrap_err();
        assert_eq!((refused.exit_code(), is_empty(outside.path()).unwrap()), (4, false));
    }
}
