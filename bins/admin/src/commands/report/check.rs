use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use statuspulse_audit::{
    Bytes, PublicKey,
    record::instant,
    report::{self, FORMAT, FileEntry, MANIFEST, Manifest, SIGNATURE},
};

use crate::{
    commands::audit::read_public_keys,
    error::CliError,
    output::{Output, escaped},
};

/// A manifest names some files.
const LARGEST_MANIFEST: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The report's folder.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The public key, got from elsewhere than the report.
    #[arg(long, value_name = "FILE")]
    public_key: PathBuf,
}

#[derive(Serialize)]
struct Checked<'a> {
    ok: bool,
    /// As the manifest says it; none where its signature does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<&'a Manifest>,
    /// What differs, in words.
    differs: &'a [String],
    /// Files of the folder for which the manifest does not vouch.
    unlisted: &'a [String],
}

impl CheckArgs {
    pub(super) fn run(&self, output: Output) -> Result<(), CliError> {
        let keys = read_public_keys(&self.public_key)?;
        let folder = &self.folder;
        if !folder.is_dir() {
            return Err(CliError::Usage(format!("`{}` is no folder", folder.display())));
        }
        let (manifest, differs) = match manifest(folder, &keys) {
            Ok(manifest) => {
                let differs: Vec<String> =
                    manifest.files.iter().filter_map(|entry| compare(folder, entry).err()).collect();
                (Some(manifest), differs)
            }
            Err(differs) => (None, vec![differs]),
        };
        let unlisted = unlisted(folder, manifest.as_ref());
        let answer =
            Checked { ok: differs.is_empty(), manifest: manifest.as_ref(), differs: &differs, unlisted: &unlisted };
        output.answer(&answer, |_| manifest.as_ref().filter(|_| answer.ok).map(whole).unwrap_or_default())?;
        for name in &unlisted {
            output.note(&format!("warning[unlisted]: `{}` is in the folder and no part of the report", escaped(name)));
        }
        if differs.is_empty() { Ok(()) } else { Err(CliError::Unsealed(differs.join("; "))) }
    }
}

/// The manifest, when one of the keys has signed it.
fn manifest(folder: &Path, keys: &[PublicKey]) -> Result<Manifest, String> {
    let bytes = small(folder, MANIFEST)?;
    let signature = Bytes::<64>::from_slice(&small(folder, SIGNATURE)?)
        .ok_or_else(|| format!("`{SIGNATURE}` is no signature, which has 64 bytes"))?;
    if !keys.iter().any(|key| report::has_signed(key, &bytes, &signature)) {
        return Err(format!("`{MANIFEST}` was changed, or is not signed by the key that was given"));
    }
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| format!("`{MANIFEST}`: {error}"))?;
    if manifest.format == FORMAT {
        Ok(manifest)
    } else {
        Err(format!("`{MANIFEST}` has the form {}; this release reads {FORMAT}", escaped(&manifest.format)))
    }
}

fn small(folder: &Path, name: &str) -> Result<Vec<u8>, String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(folder.join(name))?.take(LARGEST_MANIFEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| format!("`{name}` can't be read: {error}"))
}

fn compare(folder: &Path, entry: &FileEntry) -> Result<(), String> {
    let name = escaped(&entry.name);
    if !entry.is_plain() {
        return Err(format!("`{name}` is no file of the folder"));
    }
    let path = folder.join(&entry.name);
    let unreadable = |error: io::Error| format!("`{name}` can't be read: {error}");
    // Its length is looked at first: somebody may have put anything in its place, of any size.
    let size = fs::metadata(&path).map_err(unreadable)?.len();
    if size != entry.size {
        return Err(format!("`{name}` has {size} bytes and had {}", entry.size));
    }
    let found = FileEntry::of(&entry.name, &fs::read(&path).map_err(unreadable)?);
    if found == *entry { Ok(()) } else { Err(format!("`{name}` was changed")) }
}

/// What lies beside the report, by name.
fn unlisted(folder: &Path, manifest: Option<&Manifest>) -> Vec<String> {
    let Some(manifest) = manifest else { return Vec::new() };
    let is_known = |name: &String| {
        [MANIFEST, SIGNATURE].contains(&name.as_str()) || manifest.files.iter().any(|entry| entry.name == *name)
    };
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !is_known(name));
    names.sort_unstable();
    names
}

fn whole(manifest: &Manifest) -> String {
    format!(
        "whole: the report {} of {} from {} to {},\nmade at {} by {} {}, is as it was signed by the key {}",
        escaped(&manifest.report),
        escaped(&manifest.organization.slug),
        instant(manifest.period.from),
        instant(manifest.period.to),
        instant(manifest.made_at),
        escaped(&manifest.made_with.program),
        escaped(&manifest.made_with.version),
        manifest.key_id
    )
}
