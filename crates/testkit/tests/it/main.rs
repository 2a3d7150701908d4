//! The test kit, tested.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod database;
mod instance;
mod process;
