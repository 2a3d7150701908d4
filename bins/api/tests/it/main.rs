//! The API as a whole, in process over real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod dashboard;
mod mended;
mod smoke;
mod table;

#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/oauth.rs"]
mod client;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/api.rs"]
mod support;
