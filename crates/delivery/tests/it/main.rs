//! Deliveries to a real server on the loopback address, which the courier's allowed networks name.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fetch;
mod judged;
mod outcomes;
mod proxy;
mod server;
