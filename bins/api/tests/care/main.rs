//! Credentials that take care of themselves: webhooks, notices, sealed successors, reports of leaks, the inventory; through
//! the API in process over real PostgreSQL, with receivers that listen.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/api.rs"]
mod support;

mod delivered;
mod endpoints;
mod failing;
mod github;
mod help;
mod idle;
mod inventory;
mod leaked;
mod life;
mod notices;
#[allow(dead_code, reason = "each test program uses its part of the receiver")]
mod receiver;
mod sealed;
mod told;
