//! The private PostgreSQL against the server binaries of this machine.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binaries;
mod datadir;
mod ephemeral;
mod first_open;
mod places;
mod recovery;
mod roles;
mod sharing;
mod support;
