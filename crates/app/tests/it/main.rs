//! Use cases over real PostgreSQL, where the API is not the way to see them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod observe;
mod recorder;
mod trail;
mod written;
