//! Outgoing HTTP: where a webhook may go, how it is signed, sent and repeated, and how an event reads in Slack. The rules
//! are those of `docs/spec/keys.md` §9; the section is named beside each of them.
//!
//! This crate knows nothing of SQL: whoever takes a delivery out of the outbox hands it over and writes the [`Outcome`] down.
//! What is not a connection is pure; time and random numbers are arguments there.

pub mod names;
pub mod networks;
pub mod schedule;
pub mod send;
pub mod sign;
pub mod slack;
pub mod target;

pub use names::{Names, SystemNames};
pub use networks::{AllowedNetworks, is_special};
pub use schedule::next_attempt;
pub use send::{Courier, CourierError, Failure, FetchError, Outcome};
pub use sign::{SigningSecret, signature_headers};
pub use target::{Kind, Target, UrlError};
