//! The rules of docs/spec/policy.md, through the API in process over real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/api.rs"]
mod support;

mod addresses;
mod allowlists;
mod attempt;
mod catalog;
mod environments;
mod explain;
mod forward_auth;
mod order;
mod rates;
mod replica;
mod roles;
mod routes;
mod scopes;
mod staleness;
