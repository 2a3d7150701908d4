//! The audit trail as its readers see it: what is an event, pages, exports, checkpoints, and what is read out of it about keys;
//! through the API in process over real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/oauth.rs"]
mod client;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/api.rs"]
mod support;

mod agents;
mod checkpoints;
mod counting;
mod exports;
mod filters;
mod help;
mod once;
mod pages;
mod sources;
mod who;
