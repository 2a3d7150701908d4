//! The files of the pages: style sheets, scripts and the icon. They are part of the program, so that a page and what it
//! loads belong to one build.

use std::{fmt::Write as _, io::Write as _, sync::LazyLock};

use actix_web::web::Bytes;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

/// One file.
pub(crate) struct Asset {
    /// Below `static/`.
    pub(crate) name: &'static str,
    /// As the header says it.
    pub(crate) media_type: &'static str,
    pub(crate) content: &'static [u8],
    /// The same compressed. Nothing secret is in a file, so its length tells nothing (the attack BREACH).
    pub(crate) gzip: Bytes,
}

macro_rules! assets {
    ($($name:literal)*) => { &[$(($name, include_bytes!(concat!("../static/", $name)))),*] };
}

/// All of them, by their names.
const FILES: &[(&str, &[u8])] = assets! {
    "alert-detail.js"
    "allowlist-editor.js"
    "api.js"
    "app-failures.js"
    "app-form.js"
    "app-secrets.js"
    "app-try.js"
    "audit-event.js"
    "audit-follow.js"
    "audit-proof.js"
    "chart.js"
    "dashboard.css"
    "dashboard.js"
    "dialog.js"
    "dom.js"
    "format.js"
    "icon.svg"
    "inert.js"
    "key-actions.js"
    "key-create.js"
    "key-edit.js"
    "key-explain.js"
    "key-suggestions.js"
    "key-token.js"
    "key-usage.js"
    "pages.css"
    "pages/alerts.js"
    "pages/apps.css"
    "pages/apps.js"
    "pages/audit.css"
    "pages/audit.js"
    "pages/key.css"
    "pages/key.js"
    "pages/keys.css"
    "pages/keys.js"
    "pages/overview.js"
    "pages/security.css"
    "pages/security.js"
    "parts.js"
    "redirect-uri.js"
    "scope-matrix.js"
    "security-allowlists.js"
    "security-notices.js"
    "security-parts.js"
    "security-people.js"
    "security-ranges.js"
    "security-rules.js"
    "tokens.css"
    "webhook-deliveries.js"
    "webhook-form.js"
    "webhooks.js"
};

static ASSETS: LazyLock<Vec<Asset>> =
    LazyLock::new(|| FILES.iter().map(|(name, content)| asset(name, content)).collect());

/// Changes with any of the files.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, content) in FILES {
        hash.update(name);
        hash.update(content);
    }
    hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
});

/// The part of their addresses that changes with the files: what a browser has kept under it is what it would get.
pub(crate) fn version() -> &'static str {
    &VERSION
}

/// The file of this name.
pub(crate) fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

fn asset(name: &'static str, content: &'static [u8]) -> Asset {
    let media_type = match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    Asset { name, media_type, content, gzip: gzip(content).unwrap_or_default() }
}

fn gzip(content: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, io::Read as _, path::Path};

    use super::*;

    fn below(folder: &Path, prefix: &str, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                below(&entry.path(), &format!("{name}/"), names);
            } else {
                names.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let mut there = BTreeSet::new();
        below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("static"), "", &mut there);
        let served: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(served, there);
    }

    #[test]
    fn what_is_compressed_is_the_file() {
        for asset in ASSETS.iter() {
            let mut content = Vec::new();
            flate2::read::GzDecoder::new(&*asset.gzip).read_to_end(&mut content).unwrap();
            assert_eq!(content, asset.content, "{}", asset.name);
            assert_ne!(asset.media_type, "application/octet-stream", "{}", asset.name);
        }
    }

    #[test]
    fn style_sheets_load_nothing() {
        let sheets = FILES.iter().filter(|(name, _)| name.ends_with(".css"));
        let loading = sheets.filter(|(_, content)| {
            let text = String::from_utf8_lossy(content);
            ["url(", "@import", "http"].into_iter().any(|part| text.contains(part))
        });
        assert_eq!(loading.count(), 0);
    }
}
