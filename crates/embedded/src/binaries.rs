//! Where the server binaries of the machine lie.

use crate::EmbeddedError;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest major version of PostgreSQL that the service supports.
pub const OLDEST_MAJOR: u32 = 14;

/// The programs without which there is no server.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_ctl"];

/// A folder with the server binaries of one supported version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    dir: PathBuf,
    major: u32,
}

impl Binaries {
    /// Finds the server binaries of this machine: the first supported ones of [`Binaries::candidates`].
    ///
    /// # Errors
    /// [`EmbeddedError::NoBinaries`], or [`EmbeddedError::TooOld`] when all that was found is older than
    /// [`OLDEST_MAJOR`].
    pub fn find() -> Result<Binaries, EmbeddedError> {
        Binaries::find_in(&Binaries::candidates())
    }

    /// Finds the first supported server binaries in these folders.
    ///
    /// # Errors
    /// As [`Binaries::find`].
    pub fn find_in(candidates: &[PathBuf]) -> Result<Binaries, EmbeddedError> {
        let mut too_old = Vec::new();
        for found in candidates.iter().filter_map(|dir| inspect(dir)) {
            if found.major >= OLDEST_MAJOR {
                return Ok(found);
            }
            too_old.push(found.major);
        }
        if too_old.is_empty() {
            return Err(EmbeddedError::NoBinaries);
        }
        Err(EmbeddedError::TooOld { found: list(too_old) })
    }

    /// Finds the binaries that can run the cluster in `path`, which the major version `cluster` made.
    pub(crate) fn find_major_in(candidates: &[PathBuf], cluster: u32, path: &Path) -> Result<Binaries, EmbeddedError> {
        let found: Vec<Binaries> = candidates.iter().filter_map(|dir| inspect(dir)).collect();
        if let Some(exact) = found.iter().find(|binaries| binaries.major == cluster) {
            return Ok(exact.clone());
        }
        if found.is_empty() {
            return Err(EmbeddedError::NoBinaries);
        }
        let found = list(found.iter().map(|binaries| binaries.major).collect());
        Err(EmbeddedError::OtherMajor { path: path.to_path_buf(), cluster, found })
    }

    /// The folders that may hold server binaries, in the order in which they are tried: `PATH`,
    /// `pg_config --bindir`, the folders of Debian's packages (newest first), those of Homebrew (newest first).
    #[must_use]
    pub fn candidates() -> Vec<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // A relative entry would let the folder that the command was started in choose the server.
        let mut candidates: Vec<PathBuf> = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect();
        candidates.extend(pg_config(&candidates));
        candidates.extend(versions_below(Path::new("/usr/lib/postgresql"), ""));
        for prefix in ["/opt/homebrew/opt", "/usr/local/opt"] {
            candidates.extend(versions_below(Path::new(prefix), "postgresql"));
        }
        candidates
    }

    /// The major version, at least [`OLDEST_MAJOR`] when it comes from [`Binaries::find`].
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The folder of the programs, with symbolic links resolved where all of them lie there.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }
}

/// The binaries of this folder, when all programs are there and tell their version.
fn inspect(dir: &Path) -> Option<Binaries> {
    if !is_complete(dir) {
        return None;
    }
    // A distribution may link the programs into a folder of `PATH`; other accounts may be barred from that one.
    let real = dir.join("postgres").canonicalize().ok().and_then(|file| file.parent().map(Path::to_path_buf));
    let dir = real.filter(|real| is_complete(real)).unwrap_or_else(|| dir.to_path_buf());
    let output = Command::new(dir.join("postgres")).arg("--version").stdin(Stdio::null()).output().ok()?;
    let major = parse_major(&String::from_utf8_lossy(&output.stdout))?;
    Some(Binaries { dir, major })
}

fn is_complete(dir: &Path) -> bool {
    PROGRAMS.iter().all(|program| dir.join(program).is_file())
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, `… 9.6.24` or `… 18beta1`.
fn parse_major(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// What `pg_config`, found in one of these folders, names as the folder of the binaries.
fn pg_config(path: &[PathBuf]) -> Option<PathBuf> {
    let program = path.iter().map(|dir| dir.join("pg_config")).find(|file| file.is_file())?;
    let output = Command::new(program).arg("--bindir").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let dir = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    (output.status.success() && dir.is_absolute()).then_some(dir)
}

/// The `bin` of each folder of `parent` whose name is `prefix`, perhaps `@`, and a version; newest first.
fn versions_below(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in parent.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(version) = name.to_str().and_then(|name| name.strip_prefix(prefix)) else {
            continue;
        };
        let version = version.trim_start_matches('@');
        // Homebrew's folder without a number is its newest version.
        let number = if version.is_empty() && !prefix.is_empty() { u32::MAX } else { leading_number(version) };
        found.push((number, entry.path().join(OsStr::new("bin"))));
    }
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, dir)| dir).collect()
}

fn leading_number(version: &str) -> u32 {
    version.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}

/// `16, 15`: each version once, newest first.
fn list(mut majors: Vec<u32>) -> String {
    majors.sort_unstable_by(|a, b| b.cmp(a));
    majors.dedup();
    majors.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
