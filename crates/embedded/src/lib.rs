//! The private PostgreSQL of StatusPulse Auth.
//!
//! With no `DATABASE_URL` the service runs a PostgreSQL of its own: the server binaries of the machine, a cluster
//! below the data directory, one Unix socket in a folder of mode 0700, no TCP port, no password. This crate finds the
//! binaries, makes the cluster, starts its server, shares it between the processes that use it, recovers it from
//! whatever end its last server came to, and stops it. It speaks no SQL but the one `CREATE DATABASE` of a new
//! cluster, and needs no client programs.
//!
//! ```no_run
//! use statuspulse_embedded::{Cluster, DATABASE, DataDirLock, EmbeddedError, Options, prepare_data_dir};
//!
//! fn serve() -> Result<(), EmbeddedError> {
//!     let data_dir = prepare_data_dir(".statuspulse".as_ref())?;
//!     let _lock = DataDirLock::acquire(&data_dir)?; // a server; the admin CLI goes without
//!     let cluster = Cluster::open(&Options::new(&data_dir))?;
//!     println!("{}", cluster.url(DATABASE));
//!     cluster.close()?;
//!     Ok(())
//! }
//! ```
//!
//! # What lies in the data directory
//!
//! | name | what it is |
//! |---|---|
//! | `postgres/` | the cluster: `data/`, `socket/`, `log` (set aside as `log.old` above 10 MiB) |
//! | `postgres.location` | instead of it: names a folder in `/var/lib/statuspulse`, where a folder above the data directory bars the account that runs the server for root |
//! | `postgres.socket` | names a folder in the system's temporary folder that has the socket, where the path of the data directory is too long for one |
//! | `postgres.users` | locked shared by each process that uses the cluster; a process that ends in any way loses its lock |
//! | `postgres.transition` | locked while one process initialises, starts or stops |
//! | `server.lock` | locked by the one server process |
//!
//! # Who is trusted
//!
//! Whoever may open the socket is the superuser of the cluster, so its folder admits only the account that runs the
//! server (and root). Started by root, that account is `postgres`, or `nobody`: it gets nothing of our environment,
//! and root follows none of its links.

mod account;
mod binaries;
mod cluster;
mod datadir;
pub mod ephemeral;
mod error;
mod files;
mod init;
mod place;
mod process;
mod server;
mod settings;
mod wait;

pub use binaries::{Binaries, OLDEST_MAJOR};
pub use cluster::{Closed, Cluster, Options};
pub use datadir::{DataDirLock, prepare_data_dir};
pub use error::EmbeddedError;

/// The database of the service, which each new cluster has.
pub const DATABASE: &str = "statuspulse";
/// The superuser role of the cluster.
pub const USER: &str = "postgres";
