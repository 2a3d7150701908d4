//! What npm fetches for tests of several programs.

use std::path::{Path, PathBuf};

use crate::fetched::{Folder, Ready, fetch_node};

const NODE: Folder = Folder {
    name: "support/node",
    files: &[
        ("package.json", include_str!("node/package.json")),
        ("package-lock.json", include_str!("node/package-lock.json")),
    ],
    program: "node",
    lock: include_str!("node/package-lock.json"),
};

async fn modules() -> PathBuf {
    static READY: Ready = Ready::const_new();
    let folder: &Path = NODE.ready(&READY, fetch_node).await;
    folder.join("node_modules")
}

/// axe-core, the rules of accessibility as a program for pages.
pub(crate) async fn axe() -> PathBuf {
    modules().await.join("axe-core/axe.min.js")
}

/// A country database that is free to use: the package declares CC0-1.0, its text CC BY 4.0 by the NRO.
pub(crate) async fn countries() -> PathBuf {
    modules().await.join("@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb")
}
