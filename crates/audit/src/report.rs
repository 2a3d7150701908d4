//! The seal of a report for an audit: a manifest of its files, and a signature over it by the key that signs checkpoints.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    bytes::{Bytes, Digest},
    record::micros,
    signing::{PublicKey, SigningKey},
};

/// What stands before the manifest in the message that is signed. A checkpoint is signed as JSON, which never begins so: a
/// signature of the one can't be taken for one of the other.
pub const DOMAIN: &str = "statuspulse-report/v1\n";
/// The form of the manifest.
pub const FORMAT: &str = "statuspulse-report/v1";
/// Name of the manifest's file.
pub const MANIFEST: &str = "manifest.json";
/// Name of the file of its signature: 64 bytes.
pub const SIGNATURE: &str = "manifest.json.sig";

/// What a report consists of, and of what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// See [`FORMAT`].
    pub format: String,
    /// Kind of the report: `soc2`.
    pub report: String,
    /// Whose it is.
    pub organization: Owner,
    /// Which time it is about.
    pub period: Period,
    /// When it was made.
    #[serde(with = "micros")]
    pub made_at: DateTime<Utc>,
    /// Name and version of the program that made it.
    pub made_with: Release,
    /// The key that has signed, as checkpoints name it.
    pub key_id: Bytes<8>,
    /// Every file of the report but the manifest and its signature.
    pub files: Vec<FileEntry>,
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Identity.
    pub id: Uuid,
    /// Name in URLs.
    pub slug: String,
    /// Name for people.
    pub name: String,
}

/// A span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Its first moment.
    #[serde(with = "micros")]
    pub from: DateTime<Utc>,
    /// The moment behind it.
    #[serde(with = "micros")]
    pub to: DateTime<Utc>,
}

/// A release of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The program.
    pub program: String,
    /// Its version.
    pub version: String,
}

/// A file of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the report's folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its content.
    pub sha256: Digest,
}

impl FileEntry {
    /// A file with this content.
    #[must_use]
    pub fn of(name: &str, content: &[u8]) -> Self {
        Self { name: name.to_owned(), size: content.len() as u64, sha256: Bytes(Sha256::digest(content).into()) }
    }

    /// Whether the name is that of a file in the folder itself, and not a way out of it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !matches!(self.name.as_str(), "" | "." | "..") && !self.name.contains(['/', '\\', '\0'])
    }
}

fn message(manifest: &[u8]) -> Vec<u8> {
    [DOMAIN.as_bytes(), manifest].concat()
}

/// Signs the bytes of a manifest.
#[must_use]
pub fn sign(key: &SigningKey, manifest: &[u8]) -> Bytes<64> {
    key.sign(&message(manifest))
}

/// Whether a key has signed the bytes of a manifest.
#[must_use]
pub fn has_signed(key: &PublicKey, manifest: &[u8], signature: &Bytes<64>) -> bool {
    key.has_signed(&message(manifest), signature)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn a_signature_of_the_bare_manifest_is_none_of_a_report() {
        let key = SigningKey::from_seed(&Zeroizing::new([7; 32]));
        let judged = [key.sign(b"{}"), sign(&key, b"{}")].map(|found| has_signed(&key.public_key(), b"{}", &found));
        assert_eq!(judged, [false, true]);
    }

    #[test]
    fn a_signature_of_a_report_is_none_of_a_checkpoint() {
        let key = SigningKey::from_seed(&Zeroizing::new([7; 32]));
        assert!(!key.public_key().has_signed(b"{}", &sign(&key, b"{}")));
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_not_plain() {
        let names = ["report.html", "", ".", "..", "../key.pem", "a/b", "a\\b"];
        let plain = names.map(|name| FileEntry::of(name, b"").is_plain());
        assert_eq!(plain, [true, false, false, false, false, false, false]);
    }
}
