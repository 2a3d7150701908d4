//! The rules of docs/spec/keys.md, through the API in process over real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/api.rs"]
mod support;

mod allowlist_add;
mod allowlist_preview;
mod canary;
mod help;
mod history;
mod idempotency;
mod leaks;
mod lifecycle;
mod lifespan;
mod lists;
mod members;
mod one_transaction;
mod overlap;
mod own_sessions;
mod passwords;
mod reuse;
mod roles;
mod rotation;
mod secrecy;
mod sessions;
mod settings;
mod sign_in;
mod storage;
mod successor;
mod tampering;
mod token;
mod urls;
mod usage;
