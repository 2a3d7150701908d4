//! The command line as operators run it: the real program on a real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod apps;
mod bulk;
mod configuration;
mod grants;
mod keys;
mod organizations;
mod peppers;
mod private;
mod secrets;
mod settings;
mod support;
mod usage;
mod users;
