//! OAuth: apps, grants, the digests of codes and tokens, signing keys, requests that wait, and the clean-up.

pub mod apps;
pub mod cleanup;
pub mod codes;
pub mod grants;
pub mod requests;
pub mod signing_keys;
pub mod tokens;

use statuspulse_oauth::TokenDigest;

use crate::error::StoreError;

fn bytes(digests: &[TokenDigest]) -> Vec<&[u8]> {
    digests.iter().map(|digest| digest.as_bytes().as_slice()).collect()
}

fn digest_from(stored: Vec<u8>, table: &'static str, column: &'static str) -> Result<TokenDigest, StoreError> {
    // The bytes themselves are no name for the row: they would end in the log.
    stored.try_into().map(TokenDigest::from_bytes).map_err(|_| StoreError::corrupt(table, column, "a digest"))
}
