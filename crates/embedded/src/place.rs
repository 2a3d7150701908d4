//! Where the cluster of a data directory lies, and where its socket does.

use crate::EmbeddedError;
use crate::account::{Account, own_uid};
use crate::files::{read_small, write_line};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Names the folder of a cluster that lies outside of the data directory.
const LOCATION_FILE: &str = "postgres.location";
/// Names the folder of a socket that lies outside of the cluster.
const SOCKET_FILE: &str = "postgres.socket";
/// Where the clusters lie whose data directory the account of the server cannot reach.
const STATE_DIR: &str = "/var/lib/statuspulse";
/// What precedes the hash in the name of a socket's folder.
const SOCKET_PREFIX: &str = "statuspulse-";
/// Names the socket file; no TCP port is opened.
pub(crate) const PORT: u16 = 5432;
/// How long the path of a socket may be: `sun_path` without the NUL at its end.
const LONGEST_SOCKET: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The folders and files of one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// All of the cluster, mode 0700.
    pub(crate) home: PathBuf,
    /// PostgreSQL's data directory.
    pub(crate) data: PathBuf,
    /// The folder of the socket, mode 0700.
    pub(crate) socket_dir: PathBuf,
    /// What the server writes to its standard error.
    pub(crate) log: PathBuf,
}

impl Layout {
    /// The layout within `home`.
    pub(crate) fn within(home: &Path) -> Layout {
        Layout {
            home: home.to_path_buf(),
            data: home.join("data"),
            socket_dir: home.join("socket"),
            log: home.join("log"),
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        socket_in(&self.socket_dir)
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.data.join("postmaster.pid")
    }
}

fn socket_in(dir: &Path) -> PathBuf {
    dir.join(format!(".s.PGSQL.{PORT}"))
}

/// Finds the folder of the cluster of this data directory, and the account that runs it. The folder itself may not
/// be there yet; what leads to it is. Call it with the transition lock held.
pub(crate) fn find_home(data_dir: &Path) -> Result<(PathBuf, Account), EmbeddedError> {
    find_home_below(data_dir, Path::new(STATE_DIR))
}

fn find_home_below(data_dir: &Path, state_dir: &Path) -> Result<(PathBuf, Account), EmbeddedError> {
    let inside = data_dir.join("postgres");
    let pointer = data_dir.join(LOCATION_FILE);
    if let Some(line) = read_small(&pointer).map_err(EmbeddedError::io("read", &pointer))? {
        let home = PathBuf::from(line.trim_end_matches('\n'));
        if home.parent() != Some(state_dir) || !home.file_name().is_some_and(|name| is_hash(name.as_bytes())) {
            return Err(EmbeddedError::BadPointer { path: pointer });
        }
        let account = Account::choose(&home)?;
        return Ok((home, account));
    }
    let account = Account::choose(&inside)?;
    if account.may_pass(data_dir) {
        return Ok((inside, account));
    }
    if inside.symlink_metadata().is_ok() {
        return Err(EmbeddedError::Barred { path: inside, uid: account.uid() });
    }
    let home = outside_home(data_dir, state_dir)?;
    if !account.may_pass(state_dir) {
        return Err(EmbeddedError::Barred { path: home, uid: account.uid() });
    }
    // Named before it is made: a folder that is there and that nobody names is a former data directory's.
    let name = home.to_str().ok_or_else(|| EmbeddedError::BadPointer { path: pointer.clone() })?;
    write_line(&pointer, name)?;
    tracing::info!(data_dir = %data_dir.display(), cluster = %home.display(), "the account of postgresql cannot reach the data directory; the cluster lies outside of it");
    Ok((home, account))
}

/// A free name for the cluster of this data directory in the system's state directory.
fn outside_home(data_dir: &Path, state_dir: &Path) -> Result<PathBuf, EmbeddedError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(state_dir)
        .map_err(EmbeddedError::io("create", state_dir))?;
    let found = state_dir.symlink_metadata().map_err(EmbeddedError::io("look at", state_dir))?;
    if !found.is_dir() || found.uid() != own_uid() || found.mode() & 0o022 != 0 {
        return Err(EmbeddedError::NotOurs { path: state_dir.to_path_buf(), uid: own_uid() });
    }
    if found.mode() & 0o111 != 0o111 {
        let mode = std::fs::Permissions::from_mode(found.mode() & 0o7777 | 0o111);
        std::fs::set_permissions(state_dir, mode).map_err(EmbeddedError::io("change the mode of", state_dir))?;
    }
    let hash = hash(data_dir.as_os_str().as_bytes());
    let names = std::iter::once(hash.clone()).chain((2..).map(|number| format!("{hash}-{number}")));
    let free = names.map(|name| state_dir.join(name)).find(|home| home.symlink_metadata().is_err());
    free.ok_or_else(|| EmbeddedError::NotOurs { path: state_dir.to_path_buf(), uid: own_uid() })
}

/// Chooses the folder of the socket, and makes it. Call it with the transition lock held and `layout.home` in place.
pub(crate) fn place_socket(data_dir: &Path, layout: &mut Layout, account: Account) -> Result<(), EmbeddedError> {
    let pointer = data_dir.join(SOCKET_FILE);
    let named = read_small(&pointer).map_err(EmbeddedError::io("read", &pointer))?;
    let Some(named) = named else {
        if is_usable(&layout.socket_dir) {
            return ensure_dir(&layout.socket_dir, account);
        }
        layout.socket_dir = short_dir(data_dir, account)?;
        let name = layout.socket_dir.to_str().ok_or_else(|| EmbeddedError::BadPointer { path: pointer.clone() })?;
        return write_line(&pointer, name);
    };
    let dir = PathBuf::from(named.trim_end_matches('\n'));
    let is_ours = dir.is_absolute()
        && is_usable(&dir)
        && dir.file_name().is_some_and(|name| name.as_bytes().starts_with(SOCKET_PREFIX.as_bytes()));
    if !is_ours {
        return Err(EmbeddedError::BadPointer { path: pointer });
    }
    // A restart of the machine empties its temporary folder.
    layout.socket_dir = dir;
    ensure_dir(&layout.socket_dir, account)
}

fn ensure_dir(dir: &Path, account: Account) -> Result<(), EmbeddedError> {
    match account.create_dir(dir) {
        Err(EmbeddedError::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
            account.check_private_dir(dir)
        }
        result => result,
    }
}

/// Whether a socket fits here, and its folder can be named in `unix_socket_directories` and in a URL: both are lists,
/// and both want UTF-8.
pub(crate) fn is_usable(dir: &Path) -> bool {
    let is_plain = |text: &str| !text.contains([',', '"', '\'', '\\']) && !text.contains(char::is_control);
    socket_in(dir).as_os_str().len() <= LONGEST_SOCKET && dir.to_str().is_some_and(is_plain)
}

/// A folder for the socket in the system's temporary folder. Others may write there, and may have taken the name:
/// only a folder that the account owns alone is used.
fn short_dir(data_dir: &Path, account: Account) -> Result<PathBuf, EmbeddedError> {
    let hash = hash(data_dir.as_os_str().as_bytes());
    let hash = hash.get(..16).unwrap_or(&hash);
    let mut last = Err(EmbeddedError::NotOurs { path: std::env::temp_dir(), uid: account.uid() });
    for parent in [std::env::temp_dir(), PathBuf::from("/tmp")] {
        for attempt in 0..8 {
            let attempt = if attempt == 0 { String::new() } else { format!("-{attempt}") };
            let dir = parent.join(format!("{SOCKET_PREFIX}{hash}-{}{attempt}", account.uid()));
            if !is_usable(&dir) || !account.may_pass(&parent) {
                break;
            }
            match ensure_dir(&dir, account) {
                Ok(()) => return Ok(dir),
                Err(error) => last = Err(error),
            }
        }
    }
    last
}

fn is_hash(name: &[u8]) -> bool {
    let (hash, rest) = name.split_at(name.len().min(32));
    let is_number = |rest: &[u8]| rest.len() < 8 && rest.iter().all(u8::is_ascii_digit);
    hash.len() == 32
        && hash.iter().all(u8::is_ascii_hexdigit)
        && (rest.is_empty() || rest.strip_prefix(b"-").is_some_and(|rest| !rest.is_empty() && is_number(rest)))
}

/// 128 bits of FNV-1a as hexadecimal digits: tells the data directories of a machine apart, guards nothing.
fn hash(bytes: &[u8]) -> String {
    let mut state: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in bytes {
        state = (state ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{state:032x}")
}
