//! The token endpoint (docs/spec/oauth.md, §4 and §5), through the API in process over real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/oauth.rs"]
mod client;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/api.rs"]
mod support;

mod clients;
mod codes;
mod ended;
mod help;
mod outage;
mod races;
mod random;
mod refresh;
mod retry;
mod secrets;
mod trail;
mod wire;
