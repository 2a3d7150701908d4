//! Clients that others wrote, and a real browser, against the program as it is run in earnest.
//!
//! What needs more than Rust and PostgreSQL is ignored and named by what it needs; `just e2e` runs it. The libraries of npm
//! and PyPI are fetched by the first test that wants them (`packages.rs`), so that a contributor and CI do the same.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/oauth.rs"]
mod client;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../system/http.rs"]
mod http;
#[allow(dead_code, reason = "each test program uses its part of the receiver")]
#[path = "../care/receiver.rs"]
mod receiver;
#[allow(dead_code, reason = "each test program uses its part of the servers")]
#[path = "../system/server.rs"]
mod server;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/api.rs"]
mod support;

mod browser;
mod geo;
mod libraries;
mod loopback;
mod oauth2_crate;
mod packages;
mod pages;
mod person;
mod scene;
mod webhooks;
