//! The account that runs the server.
//!
//! PostgreSQL refuses to run as root. Started by root, this crate runs the programs of the server as another account
//! and keeps two rules: nothing that this account can replace is opened through a symbolic link, and the programs
//! get an environment of their own, because ours may hold secrets that the account must not read.

use crate::EmbeddedError;
use nix::unistd::{Gid, Uid, User, getegid, geteuid};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a program of the server gets of our environment: where its own libraries and locales lie.
const PASSED_ON: [&str; 6] =
    ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "LOCALE_ARCHIVE", "LOCPATH"];

/// A user and its group, and whether that is another one than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
    switch: bool,
}

impl Account {
    /// Our own account; for root the owner of the cluster in `home`, when there is one, else the user `postgres`, else
    /// `nobody`.
    pub(crate) fn choose(home: &Path) -> Result<Account, EmbeddedError> {
        if !is_root() {
            return Ok(Account { uid: geteuid().as_raw(), gid: getegid().as_raw(), switch: false });
        }
        // A cluster stays with the account that made it: a package may have brought the user `postgres` since, or
        // its owner calls root for once.
        if let Ok(found) = home.symlink_metadata()
            && found.uid() != 0
        {
            return Ok(Account { uid: found.uid(), gid: found.gid(), switch: true });
        }
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .filter(|user| !user.uid.is_root())
            .map(|user| Account { uid: user.uid.as_raw(), gid: user.gid.as_raw(), switch: true })
            .ok_or(EmbeddedError::NoAccount)
    }

    pub(crate) fn uid(self) -> u32 {
        self.uid
    }

    /// A command that runs as this account, in an environment and a working directory that it can read.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir("/").stdin(Stdio::null());
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("LC_ALL", "C").env("TZ", "UTC");
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Runs a command of this account to its end, with `input` on its standard input.
    pub(crate) fn run(mut command: Command, input: &[u8]) -> std::io::Result<Output> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends early closes its input; why it ended is what the caller wants to hear.
            let _ = stdin.write_all(input);
        }
        child.wait_with_output()
    }

    /// Creates a folder that only this account may enter.
    pub(crate) fn create_dir(self, path: &Path) -> Result<(), EmbeddedError> {
        std::fs::DirBuilder::new().mode(0o700).create(path).map_err(EmbeddedError::io("create", path))?;
        self.give(path)
    }

    /// Makes this account the owner of something that we created.
    pub(crate) fn give(self, path: &Path) -> Result<(), EmbeddedError> {
        if self.switch {
            lchown(path, Some(self.uid), Some(self.gid)).map_err(EmbeddedError::io("give away", path))?;
        }
        Ok(())
    }

    /// Whether `path` is a directory, not a link to one, that this account owns and that nobody else may enter.
    pub(crate) fn owns_private_dir(self, path: &Path) -> bool {
        path.symlink_metadata()
            .is_ok_and(|found| found.is_dir() && found.uid() == self.uid && found.mode() & 0o077 == 0)
    }

    /// Refuses a folder that is not this account's own.
    pub(crate) fn check_private_dir(self, path: &Path) -> Result<(), EmbeddedError> {
        if self.owns_private_dir(path) {
            return Ok(());
        }
        Err(EmbeddedError::NotOurs { path: path.to_path_buf(), uid: self.uid })
    }

    /// Whether this account may pass through `dir` and all folders above it.
    pub(crate) fn may_pass(self, dir: &Path) -> bool {
        !self.switch || dir.ancestors().all(|dir| dir.metadata().is_ok_and(|found| self.has_search_bit(&found)))
    }

    fn has_search_bit(self, found: &std::fs::Metadata) -> bool {
        let bit = match found {
            found if found.uid() == self.uid => 0o100,
            found if found.gid() == self.gid => 0o010,
            _ => 0o001,
        };
        found.mode() & bit != 0
    }

    /// Removes files in a folder of this account, as this account; those that are not there are no error.
    pub(crate) fn remove_files(self, paths: &[PathBuf]) -> Result<(), EmbeddedError> {
        let Some(first) = paths.first() else { return Ok(()) };
        let mut command = self.command("rm");
        command.arg("-f").arg("--").args(paths);
        let output = Account::run(command, b"").map_err(EmbeddedError::io("remove", first))?;
        if output.status.success() {
            return Ok(());
        }
        Err(EmbeddedError::io("remove", first)(std::io::Error::other("rm failed")))
    }

    /// Writes a file in a folder of this account, as this account, readable for nobody else.
    pub(crate) fn write_file(self, path: &Path, content: &str) -> Result<(), EmbeddedError> {
        let mut command = self.command("sh");
        command.arg("-c").arg(r#"umask 077; cat >"$0""#).arg(path);
        let output = Account::run(command, content.as_bytes()).map_err(EmbeddedError::io("write", path))?;
        if output.status.success() {
            return Ok(());
        }
        Err(EmbeddedError::io("write", path)(std::io::Error::other(crate::error::last_lines(
            &String::from_utf8_lossy(&output.stderr),
            1,
        ))))
    }
}

/// Whether this process has root's rights.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// The user id that this process acts with.
pub(crate) fn own_uid() -> u32 {
    geteuid().as_raw()
}

/// The user and group that should own a file which we create in `dir`: its owner, when we are root and it is not.
pub(crate) fn lent_by(dir: &Path) -> Option<(Uid, Gid)> {
    let found = dir.metadata().ok().filter(|found| is_root() && found.uid() != 0)?;
    Some((Uid::from_raw(found.uid()), Gid::from_raw(found.gid())))
}
