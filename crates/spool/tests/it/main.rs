//! The spool on real files.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod concurrency;
mod damage;
mod killed;
mod limits;
mod reading;
mod refused;
mod support;
mod syncing;
