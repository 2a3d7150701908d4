//! The audit spool of StatusPulse Auth: what was answered is in a file before it is answered.
//!
//! Records of bytes are appended to files, one file per lane, each with one `write(2)`; a thread brings them onto the
//! disk in groups; one reader takes them out in order and says how far it has stored them, and files that are stored
//! as a whole are deleted. The spool knows nothing of what the bytes mean, nor of where they go.
//!
//! ```
//! # use statuspulse_spool::{Options, Spool};
//! # use uuid::Uuid;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let (owner, new_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
//! let spool = Spool::open(Options::new(folder.path().join("spool"), owner, new_id))?;
//! let mark = spool.append(0, b"allowed")?;
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! spool.synced(&mark).await?; // when the answer has to wait for the disk
//! # Ok::<(), statuspulse_spool::SyncError>(())
//! # })?;
//!
//! let mut tail = spool.tail(&Default::default())?; // with the offsets that are stored so far
//! let batch = tail.drain(2_000, 1 << 20)?;
//! // … one transaction stores the records of `batch.entries` and `batch.offsets()` …
//! spool.release(batch.offsets().iter().map(|(file, end)| (&**file, *end)))?;
//! spool.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is lost when
//!
//! | end | lost |
//! |---|---|
//! | [`Spool::close`] | nothing |
//! | the process is killed | nothing that [`Spool::append`] has returned: the page cache outlives the process |
//! | power cut | what [`Spool::synced`] has not confirmed, at most the last [`Options::sync_every`] and one sync |
//!
//! After a power cut a file may be shorter than what the reader had already stored of it. So nothing is ever appended
//! to a file of an earlier process: a start makes files of its own, whose names have its [`Options::owner`] in them,
//! and an offset in a file means the same for ever.
//!
//! # What lies in its directory
//!
//! | name | what it is |
//! |---|---|
//! | `lock` | locked by the one process that uses the spool |
//! | `id` | the identity of the spool: offsets are stored under it |
//! | `clean` | there only between a close and the next open |
//! | `{owner}.{lane}.{number}.spool` | segments, as [`format`](mod@format) says |
//!
//! # How much lies there
//!
//! The limit holds for the bytes of all segments together, also of those that have been stored and not yet deleted.
//! Three rules keep the latter few. A segment takes at most [`Options::segment`] bytes and at most a quarter of its
//! lane's share of the limit; records are stored in order, so that at most one segment of a lane is stored in part;
//! hence at least three quarters of the limit serve what is yet to be stored. A segment that is still written to is
//! closed and deleted by [`Spool::release`] once all of it is stored and it has a quarter of its length, or any length
//! after an append found the spool full.

mod directory;
mod error;
mod figures;
pub mod format;
mod glance;
mod lane;
mod position;
mod recover;
mod segment;
mod shared;
mod spool;
mod sync;
mod tail;

pub use error::{AppendError, SpoolError, SyncError};
pub use figures::{Figures, SLOW_APPEND};
pub use format::LONGEST_PAYLOAD;
pub use glance::Glance;
pub use position::{Mark, Position};
pub use recover::{Damage, Recovered};
pub use spool::{Options, Spool};
pub use tail::{Batch, Entry, Tail};
