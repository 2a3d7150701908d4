//! What the tests of the workspace share.
//!
//! Each test process has one private PostgreSQL, which ends with the process however that ends, and each test a database
//! of its own, made from a migrated template. Time and randomness are replaced: a clock stands still until a test moves
//! it, and random bytes are counted.
//!
//! ```no_run
//! use statuspulse_testkit::{TestApp, TestDb, key_of};
//! use std::time::Duration;
//!
//! # async fn test() {
//! let db = TestDb::new().await;
//! let app = TestApp::start(&db).await;
//! let org = app.organization("acme").await;
//! let (key, token) = app.key(&org, key_of("production", &["monitoring:read"])).await;
//! app.advance(Duration::from_secs(60)).await;
//! # }
//! ```
//!
//! A crate that uses it switches on `statuspulse-keys/test-build` in its development dependencies, which lets hashing
//! be cheap.
#![expect(clippy::expect_used, reason = "everything here runs inside of tests, which fail by panicking")]

mod app;
mod clock;
mod database;
mod entropy;
mod fixtures;
mod geo;
mod process;
mod redis;
mod wait;

pub use app::{Builder, MASTER_KEY, TestApp, cheap_bcrypt};
pub use clock::FixedClock;
pub use database::TestDb;
pub use entropy::CountingEntropy;
pub use fixtures::{Person, TestOrg, key_of};
pub use geo::{GeoPlace, geo_database};
pub use process::Process;
pub use redis::{RedisCluster, RedisServer};
pub use wait::{PATIENCE, eventually};
