//! The program itself, run as it is run in earnest: first start, stop, crash, outage, and what arrives over a socket.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod configuration;
mod first_run;
#[allow(dead_code, reason = "each test program uses its part of the receiver")]
#[path = "../care/receiver.rs"]
mod receiver;

mod http;
mod kept;
mod nginx;
mod oauth;
mod oauth_secrets;

mod outage;
mod private;
mod redis;
mod renew;
mod secrets;
mod server;
mod signals;
mod webhooks;
mod wire;
