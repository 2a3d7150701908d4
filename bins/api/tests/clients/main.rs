//! Clients that others wrote, and a real browser, against the program as it is run in earnest.
//!
//! What needs more than Rust and PostgreSQL is ignored and named by what it needs; `just e2e` runs it. The libraries of npm
//! and PyPI are fetched by the first test that wants them (`packages.rs`), so that a contributor and CI do the same.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test program uses its part of the browser")]
#[path = "../support/browser.rs"]
mod browser;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/oauth.rs"]
mod client;
#[path = "../support/packages.rs"]
mod fetched;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../system/http.rs"]
mod http;
#[allow(dead_code, reason = "each test program uses its part of the servers")]
#[path = "../support/loopback.rs"]
mod loopback;
#[allow(dead_code, reason = "each test program uses its part of the packages")]
#[path = "../support/npm.rs"]
mod npm;
#[allow(dead_code, reason = "each test program uses its part of the receiver")]
#[path = "../care/receiver.rs"]
mod receiver;
#[allow(dead_code, reason = "each test program uses its part of the servers")]
#[path = "../system/server.rs"]
mod server;
#[path = "../support/scene.rs"]
mod stage;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/api.rs"]
mod support;

mod geo;
mod libraries;
mod oauth2_crate;
mod packages;
mod pages;
mod person;
mod scene;
mod webhooks;
