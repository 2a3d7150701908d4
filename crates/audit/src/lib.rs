//! The audit trail: what an event is, how a request is recognised again, and how secrets are kept out of every record.
//!
//! Nothing here does I/O, reads a clock or makes randomness. The rules are those of `docs/spec/audit.md`.

pub mod anomaly;
pub mod bytes;
pub mod chain;
pub mod checkpoint;
pub mod event;
pub mod export;
pub mod fingerprint;
pub mod merkle;
pub mod proof;
pub mod record;
pub mod redact;
pub mod report;
pub mod signing;
pub mod user_agent;
pub mod verify;
pub mod webhook;

pub use anomaly::{AlertRule, Severity, Window};
pub use bytes::{Bytes, Digest};
pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use event::{Action, Actor, Class, Event, Outcome};
pub use fingerprint::{Fingerprint, FingerprintKey, RequestTraits};
pub use proof::Proof;
pub use record::{Entry, Record};
pub use signing::{PublicKey, SigningKey};
pub use verify::{Verdict, Verifier};
pub use webhook::{DeliveryStatus, DisabledReason, EndpointKind, EventType};
