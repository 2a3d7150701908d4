//! The use cases: each is rules, one transaction and its audit row. The REST API and the operators' command line call the
//! same functions, so neither can do what the other can't explain.

pub mod accounts;
pub mod alerts;
pub mod app;
pub mod audit;
pub mod boot;
pub mod caller;
pub mod counters;
pub mod cursor;
pub mod doctor;
pub mod env;
pub mod error;
pub mod gate;
pub mod geo;
pub mod keys;
pub mod leaks;
pub mod maintenance;
pub mod members;
pub mod oauth;
pub mod organizations;
pub mod passwords;
pub mod peppers;
pub mod recorder;
pub mod replica;
pub mod report;
pub mod secrets;
pub mod sessions;
pub mod settings;
pub mod signing;
pub mod verify;
pub mod views;
pub mod webhooks;

pub use app::{App, Options};
pub use caller::{Caller, Principal};
pub use env::{Clock, Entropy, Env};
pub use error::{AppError, FieldError};
