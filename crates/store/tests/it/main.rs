//! The schema and the SQL over real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod schema;
