//! Alerts: their life, who may change them, what is told of them, what they do by themselves; through the API in process
//! over real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/api.rs"]
mod support;

#[allow(dead_code, reason = "each test program uses its part of the scene")]
#[path = "../care/help.rs"]
mod help;
#[allow(dead_code, reason = "each test program uses its part of the receiver")]
#[path = "../care/receiver.rs"]
mod receiver;

mod actions;
mod life;
mod lists;
mod raising;
mod roles;
mod rules;
mod told;
mod use_cases;
