//! A new cluster, made aside and put into its place by one rename, so that there is no half of one.

use crate::account::Account;
use crate::binaries::Binaries;
use crate::error::last_lines;
use crate::files::sync_parent;
use crate::place::Layout;
use crate::settings::Durability;
use crate::wait::a_moment;
use crate::{DATABASE, EmbeddedError, USER};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{SystemTime, UNIX_EPOCH};

/// Only the socket, whose folder admits nobody but the account of the cluster.
const HBA: &str = "local all all trust\n";

/// Makes the cluster in `home`, which is not there yet. Call it with the transition lock held.
pub(crate) fn make(
    home: &Path,
    account: Account,
    binaries: &Binaries,
    durability: Durability,
) -> Result<(), EmbeddedError> {
    remove_leftovers(home)?;
    let aside = aside(home);
    let result = fill(&aside, account, binaries, durability).and_then(|()| {
        std::fs::rename(&aside, home)
            .and_then(|()| sync_parent(home))
            .map_err(EmbeddedError::io("put the cluster in place as", home))
    });
    if result.is_err() {
        let _ = std::fs::remove_dir_all(&aside);
    }
    result
}

/// Makes all that a cluster consists of in the new folder `home`.
pub(crate) fn fill(
    home: &Path,
    account: Account,
    binaries: &Binaries,
    durability: Durability,
) -> Result<(), EmbeddedError> {
    tracing::info!(path = %home.display(), major = binaries.major(), "initialising postgresql");
    account.create_dir(home)?;
    let layout = Layout::within(home);
    initdb(&layout, account, binaries, durability)?;
    account.write_file(&layout.data.join("pg_hba.conf"), HBA)?;
    create_database(&layout, account, binaries, durability)
}

fn initdb(layout: &Layout, account: Account, binaries: &Binaries, durability: Durability) -> Result<(), EmbeddedError> {
    let mut command = account.command(binaries.initdb());
    command.arg("-D").arg(&layout.data).arg(format!("--username={USER}"));
    command.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions"]);
    if durability == Durability::None {
        command.arg("--no-sync");
    }
    let output = Account::run(command, b"").map_err(EmbeddedError::io("run", &binaries.initdb()))?;
    check(&output, layout)
}

/// Creates the database of the service, before any server accepts connections.
fn create_database(
    layout: &Layout,
    account: Account,
    binaries: &Binaries,
    durability: Durability,
) -> Result<(), EmbeddedError> {
    let mut command = account.command(binaries.postgres());
    command.arg("--single").arg("-D").arg(&layout.data).args(["-c", "exit_on_error=on"]);
    if durability == Durability::None {
        command.args(["-c", "fsync=off"]);
    }
    command.arg("postgres");
    let sql = format!("CREATE DATABASE {DATABASE};\n");
    let output = Account::run(command, sql.as_bytes()).map_err(EmbeddedError::io("run", &binaries.postgres()))?;
    check(&output, layout)
}

fn check(output: &Output, layout: &Layout) -> Result<(), EmbeddedError> {
    if output.status.success() {
        return Ok(());
    }
    let written = String::from_utf8_lossy(&output.stderr);
    let detail = format!("{}: {}", output.status, last_lines(&written, 3));
    Err(EmbeddedError::Init { path: layout.home.clone(), detail })
}

/// A name of its own for each attempt: the programs of an interrupted one may still be writing to theirs.
fn aside(home: &Path) -> PathBuf {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let mut name = prefix(home);
    name.push(format!("{}-{nanoseconds}", std::process::id()));
    home.with_file_name(name)
}

fn prefix(home: &Path) -> std::ffi::OsString {
    let mut name = home.file_name().unwrap_or_default().to_owned();
    name.push(".init-");
    name
}

/// Removes what interrupted attempts left.
fn remove_leftovers(home: &Path) -> Result<(), EmbeddedError> {
    let Some(parent) = home.parent() else { return Ok(()) };
    let prefix = prefix(home);
    for entry in parent.read_dir().map_err(EmbeddedError::io("read", parent))? {
        let entry = entry.map_err(EmbeddedError::io("read", parent))?;
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            tracing::warn!(path = %entry.path().display(), "removing a cluster whose initialisation was interrupted");
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed = if is_dir { remove_tree(&entry.path()) } else { std::fs::remove_file(entry.path()) };
            removed.map_err(EmbeddedError::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// Removes a folder in which a program of the interrupted attempt may still create files.
fn remove_tree(path: &Path) -> std::io::Result<()> {
    let mut result = Ok(());
    for _ in 0..50 {
        result = match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            result => result,
        };
        if result.is_ok() {
            break;
        }
        a_moment();
    }
    result
}
