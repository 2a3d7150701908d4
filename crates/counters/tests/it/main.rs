//! The counters in real servers, which each test starts for itself.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod cases;
mod cluster;
mod login;
mod outage;
mod server;
mod tls;
