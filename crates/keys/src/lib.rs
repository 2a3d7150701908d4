//! API keys: the token's format, what is stored of it, a key's life cycle, rotation, and the in-memory directory that
//! answers "which key is this?" on every call.
//!
//! Nothing here does I/O, reads a clock or makes randomness: time and random bytes are arguments. The rules are those of
//! `docs/spec/keys.md`; the section is named beside each of them.

pub mod digest;
pub mod directory;
pub mod idle;
pub mod key;
pub mod lifespan;
pub mod master;
pub mod notice;
pub mod rotation;
pub mod successor;
pub mod token;

pub use digest::{BcryptCost, LookupId, Pepper, SecretHash};
pub use directory::Directory;
pub use key::{Creator, Key, KeyVersion, Standing, Status, VersionState};
pub use lifespan::LifespanCaps;
pub use master::{MasterKey, MasterKeys};
pub use token::{Prefix, Token, TokenError};
