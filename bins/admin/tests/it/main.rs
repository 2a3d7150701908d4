//! The command line as operators run it: the real program on a real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod alerts;
mod apps;
mod audit;
mod audit_export;
mod audit_proof;
mod audit_tail;
mod backtest;
mod bulk;
mod configuration;
mod doctor;
mod grants;
mod keys;
mod organizations;
mod peppers;
mod private;
mod ranges;
mod report;
mod secrets;
mod settings;
mod sources;
mod support;
mod usage;
mod users;
