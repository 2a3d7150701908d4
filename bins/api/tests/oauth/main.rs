//! The rules of docs/spec/oauth.md, through the API in process over real PostgreSQL.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/oauth.rs"]
mod client;
#[allow(dead_code, reason = "each test program uses its part of the client")]
#[path = "../support/api.rs"]
mod support;

mod app_fields;
mod app_roles;
mod app_secrets;
mod apps;
mod authorized_apps;
mod browser;
mod consent;
mod failures;
mod flow;
mod forgery;
mod help;
mod matching;
mod meanwhile;
mod redirected;
mod refused;
mod remembered;
mod sign_in;
mod surge;
