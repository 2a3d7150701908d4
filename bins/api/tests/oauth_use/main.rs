//! The rules of docs/spec/oauth.md, through the API in process over real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod asked;
mod calls;
mod cleanup;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/oauth.rs"]
mod client;
mod discovery;
mod forged;
mod grants;
mod hidden;
mod introspect;
mod kept;
mod members;
mod races;
mod resources;
mod revoke;
mod signing;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/api.rs"]
mod support;
mod together;
mod used;
