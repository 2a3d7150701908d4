//! Counters that several instances share through Redis or Valkey, one server or a cluster: the rate limit of a key, and the
//! calls of a key that the watch sums up. The rules are those of `docs/spec/policy.md` §6 and `docs/spec/audit.md` §7.
//!
//! This crate knows none of ours, and no clock: the second that something is counted in is an argument. It only holds
//! numbers that are lost without harm. Whoever calls it goes on counting by himself while it fails.
//!
//! # When it fails
//!
//! Every wait is bounded: 500 ms for a connection, as long again for one to a cluster, 100 ms for an answer to
//! [`Shared::admit`], 1 s for any other answer.
//! After a failure of whatever kind the connection is given up, and for one second every call fails at once. Then one
//! caller connects again and asks, while the others still fail at once. So a server that is away costs one caller in a
//! second a short wait, and nobody else anything. The servers of a cluster share that fate: when one of them fails, all
//! keys are counted by each instance alone until it works again or another has taken its place.
//!
//! # What the server needs
//!
//! Redis 6 or later, or Valkey; a user that may call `EVAL`, `EVALSHA`, `INFO`, in a cluster `CLUSTER`, and the commands of
//! hashes and sorted sets on keys that begin with `sp:`. Each command touches one key only, and each key expires by itself.
//! Certificates of `rediss://` are judged by the authorities of the system, or of the file that `SSL_CERT_FILE` names.

mod circuit;
mod error;
mod keys;
mod link;
mod script;
mod shared;
mod target;
mod window;

pub use error::SharedError;
pub use shared::{Admission, Count, Shared};
pub use target::{Target, TargetError};
pub use window::WINDOW;
