//! The pages in a real browser, against the program as it is run in earnest: what they show, and that every one of them is
//! clean (`checks.rs`).
//!
//! All of it needs Chromium, and axe-core, which the first test that wants it fetches from npm (`axe.rs`); `just e2e` runs it.
//! With `STATUSPULSE_SCREENS` the pictures of all looks are written into that folder.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test program uses its part of the browser")]
#[path = "../support/browser.rs"]
mod browser;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/oauth.rs"]
mod client;
#[allow(dead_code, reason = "each test program uses its part of the packages")]
#[path = "../support/packages.rs"]
mod fetched;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../system/http.rs"]
mod http;
#[allow(dead_code, reason = "each test program uses its part of the servers")]
#[path = "../support/loopback.rs"]
mod loopback;
#[path = "../support/npm.rs"]
mod npm;
#[allow(dead_code, reason = "each test program uses its part of the servers")]
#[path = "../system/server.rs"]
mod server;
#[path = "../support/scene.rs"]
mod stage;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/api.rs"]
mod support;

mod alerts;
mod apps;
mod audit;
mod axe;
mod checks;
mod desk;
mod frame;
mod hands;
mod key;
mod keys;
mod kit;
mod overview;
mod pages;
mod prepared;
mod security;
mod words;
