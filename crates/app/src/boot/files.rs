//! The small files of the data directory that are made at the first start.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use statuspulse_keys::MasterKeys;
use statuspulse_policy::InstanceId;
use zeroize::Zeroizing;

use super::BootError;
use crate::{env::Env, error::AppError};

/// The master key, where none is given.
pub(super) const MASTER_KEY_FILE: &str = "master.key";
const INSTANCE_FILE: &str = "instance.id";

/// The master key of the data directory; made at the first start, readable by its owner alone. One that is lost is not
/// replaced: with another one no token would be found again, and the file would look as if it were the right one.
pub(super) fn generated_master_key(data_dir: &Path, env: &Env, known: bool) -> Result<MasterKeys, BootError> {
    let path = data_dir.join(MASTER_KEY_FILE);
    match fs::metadata(&path) {
        Ok(found) => close_to_others(&path, &found),
        Err(error) if error.kind() == io::ErrorKind::NotFound && known => {
            let source = io::Error::other("restore that file, or set STATUSPULSE_MASTER_KEY");
            return Err(BootError::File {
                what: "the database was set up with a master key and there is no",
                path,
                source,
            });
        }
        // Reading it says what is the matter.
        Err(_) => {}
    }
    let fresh = || -> Result<String, BootError> {
        let secret = Zeroizing::new(env.random::<32>().map_err(AppError::from)?);
        Ok(format!("{}\n", STANDARD.encode(secret.as_slice())))
    };
    let text = Zeroizing::new(read_or_create(&path, fresh)?);
    MasterKeys::parse(&text).map_err(|error| BootError::File {
        what: "no master key is in",
        path,
        source: io::Error::other(error.to_string()),
    })
}

/// Takes the rights of others away from a secret.
fn close_to_others(path: &Path, found: &fs::Metadata) {
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return;
    }
    let path_shown = path.display();
    match fs::set_permissions(path, fs::Permissions::from_mode(0o600)) {
        Ok(()) => tracing::warn!(
            "`{path_shown}` was open to others (mode {mode:o}) and is no longer; replace the key if they are strangers"
        ),
        Err(error) => tracing::warn!(%error, "`{path_shown}` is open to others (mode {mode:o}); set its mode to 0600"),
    }
}

pub(super) fn instance_id(data_dir: &Path, env: &Env) -> Result<InstanceId, BootError> {
    let path = data_dir.join(INSTANCE_FILE);
    let text = read_or_create(&path, || Ok(format!("{}\n", env.id().map_err(AppError::from)?)))?;
    text.trim().parse().map_err(|_| BootError::File {
        what: "no instance id is in",
        path,
        source: io::Error::other("remove the file to get a new one"),
    })
}

/// Reads a small file; where there is none, writes one whole and durably before its name appears, so that neither a crash
/// nor a second process can leave a half-written secret behind.
fn read_or_create(path: &Path, content: impl FnOnce() -> Result<String, BootError>) -> Result<String, BootError> {
    let failed = |what| move |source| BootError::File { what, path: path.to_owned(), source };
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read.map_err(failed("can't read")),
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    let content = Zeroizing::new(content()?);
    let written =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh).and_then(|mut file| {
            file.write_all(content.as_bytes())?;
            file.sync_all()
        });
    written.map_err(failed("can't write"))?;
    // A link, unlike a rename, fails when somebody else was faster; theirs then counts.
    let linked = fs::hard_link(&fresh, path);
    fs::remove_file(&fresh).map_err(failed("can't remove the draft of"))?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("can't create")(error)),
        _ => fs::read_to_string(path).map_err(failed("can't read")),
    }
}
