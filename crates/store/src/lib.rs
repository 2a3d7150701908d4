//! Every SQL statement of the service.
//!
//! Functions take `&mut Conn`, never the pool, so that a use case decides what is one transaction. Rows are private;
//! domain types come out, and a row that can't be one is [`StoreError::CorruptRow`]. Absence is `Ok(None)`, never an
//! error, and an error is never absence: an outage must not look like bad credentials.

mod address;
pub mod alerts;
pub mod audit;
pub mod counts;
pub mod doctor;
pub mod error;
pub mod feed;
pub mod habits;
pub mod idempotency;
pub mod instances;
pub mod keys;
pub mod leases;
pub mod listen;
pub mod members;
pub mod migrations;
pub mod oauth;
pub mod organizations;
pub mod page;
pub mod peppers;
pub mod pool;
pub mod report;
mod rows;
mod schema;
pub mod sessions;
pub mod users;
pub mod webhooks;

pub use diesel_async::{AsyncConnection, AsyncPgConnection as Conn};
pub use error::StoreError;
pub use pool::{Pool, PooledConn};
