//! Reports of GitHub's secret scanning: who sends one proves to be GitHub by a signature over the body (keys §10).

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use statuspulse_delivery::Courier;
use tokio::sync::Mutex;

use super::Reported;
use crate::error::AppError;

/// How long the keys are gone by.
const KEEP: Duration = Duration::from_secs(3_600);
/// An id that isn't known makes them be read earlier, but no more often than this: strangers can send any id.
const AGAIN: Duration = Duration::from_secs(60);
const LONGEST_DOCUMENT: usize = 256 * 1024;
/// Tokens of one report, at most.
const MOST: usize = 1_000;

/// Where GitHub's public keys are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// An `https` address.
    Address(String),
}

impl Source {
    /// Reads the setting: an `https` address, or else a file.
    ///
    /// # Errors
    /// What is accepted.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.starts_with("https://") {
            return Ok(Self::Address(text.to_owned()));
        }
        if text.contains("://") {
            return Err("an `https` address, or a file");
        }
        Ok(Self::File(PathBuf::from(text)))
    }
}

#[derive(Deserialize)]
struct Document {
    public_keys: Vec<PublicKey>,
}

#[derive(Deserialize)]
struct PublicKey {
    key_identifier: String,
    key: String,
    #[serde(default)]
    is_current: bool,
}

/// The current keys: id, and the key as DER.
type Current = Vec<(String, Vec<u8>)>;

/// What was read last, and when it was last tried.
#[derive(Default)]
struct Held {
    keys: Option<(Instant, Current)>,
    tried: Option<Instant>,
}

/// GitHub's public keys, read again every hour.
pub struct GithubKeys {
    source: Source,
    courier: Option<Arc<Courier>>,
    held: Mutex<Held>,
}

impl fmt::Debug for GithubKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GithubKeys").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Why a report is not GitHub's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// A header is missing or there twice, or can't be read.
    #[error("send `Github-Public-Key-Identifier` and `Github-Public-Key-Signature`, each once")]
    Headers,
    /// No current key has this id.
    #[error("the key id is none of the current ones")]
    UnknownKey,
    /// The signature is not one of this key over this body.
    #[error("the signature does not fit the body")]
    Signature,
}

impl GithubKeys {
    /// Keys from a source; `courier` fetches those that have an address.
    #[must_use]
    pub fn new(source: Source, courier: Option<Arc<Courier>>) -> Self {
        Self { source, courier, held: Mutex::default() }
    }

    async fn fetch(&self) -> Result<Current, String> {
        let bytes = match &self.source {
            Source::File(path) => tokio::fs::read(path).await.map_err(|error| error.to_string())?,
            Source::Address(url) => {
                let courier = self.courier.as_ref().ok_or("outgoing https is not set up")?;
                courier.get(url, LONGEST_DOCUMENT).await.map_err(|error| error.to_string())?
            }
        };
        let document: Document = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        let current = document.public_keys.into_iter().filter(|key| key.is_current);
        current.map(|key| Ok((key.key_identifier, der_of(&key.key).ok_or("a key is no PEM public key")?))).collect()
    }

    /// Judges a report: a good signature by a current key over these very bytes.
    ///
    /// # Errors
    /// 503 while no keys can be had; the inner one says why the report is none of GitHub's.
    pub async fn judge(&self, id: &str, signature: &str, body: &[u8]) -> Result<Result<(), Unsigned>, AppError> {
        let Ok(signature) = STANDARD.decode(signature) else { return Ok(Err(Unsigned::Signature)) };
        let Some(key) = self.key(id).await? else { return Ok(Err(Unsigned::UnknownKey)) };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key);
        Ok(key.verify(body, &signature).map_err(|_| Unsigned::Signature))
    }

    async fn key(&self, id: &str) -> Result<Option<Vec<u8>>, AppError> {
        let find = |keys: &Current| keys.iter().find(|(known, _)| known == id).map(|(_, key)| key.clone());
        // Held while they are fetched: one fetch, however many ask, and after it none for a while, whatever came of it.
        let mut held = self.held.lock().await;
        let known = held.keys.as_ref().and_then(|(read, keys)| Some((read.elapsed() < KEEP, find(keys)?)));
        if let Some((true, key)) = known {
            return Ok(Some(key));
        }
        if held.tried.is_none_or(|tried| tried.elapsed() >= AGAIN) {
            held.tried = Some(Instant::now());
            match self.fetch().await {
                Ok(fresh) => held.keys = Some((Instant::now(), fresh)),
                Err(error) => tracing::warn!(%error, "GitHub's public keys can't be read"),
            }
        }
        match &held.keys {
            // Those of before go on being good enough to revoke leaked tokens by.
            Some((_, keys)) => Ok(find(keys)),
            None => Err(AppError::Unavailable { cause: "GitHub's public keys can't be read".into() }),
        }
    }
}

/// The key of a PEM text (RFC 7468 §13).
fn der_of(pem: &str) -> Option<Vec<u8>> {
    let inner = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    STANDARD.decode(inner.split_ascii_whitespace().collect::<String>()).ok()
}

#[derive(Deserialize)]
struct Match {
    token: String,
}

/// The tokens of a report that is signed.
///
/// # Errors
/// 400 when it isn't a list of matches, 422 for none or too many.
pub fn tokens(body: &[u8]) -> Result<Vec<Reported>, AppError> {
    let list: Vec<Match> = serde_json::from_slice(body).map_err(|_| AppError::BadRequest {
        code: "invalid_json",
        detail: "a report is a JSON list of objects with a `token`".into(),
    })?;
    if !(1..=MOST).contains(&list.len()) {
        return Err(AppError::field("", "out_of_bounds", format!("a report names 1 to {MOST} tokens")));
    }
    Ok(list.into_iter().map(|found| Reported::new(found.token)).collect())
}
