//! The audit trail: its checkpoints, how it is read and exported, verified and proven, kept and erased.

pub mod ask;
pub mod checkpoint;
pub mod erase;
pub mod export;
pub mod keys;
pub mod prove;
pub mod read;
pub mod retention;
pub mod tail;
pub(crate) mod until;
pub mod verify;

use std::{sync::Arc, time::Duration};

use statuspulse_spool::Glance;
use statuspulse_store::audit as store;
use tokio::time::Instant;

use crate::{app::App, error::AppError, recorder};

/// How long a trail may take until everything that was answered is in its table (audit §5).
pub const DRAIN: Duration = Duration::from_secs(30);
/// How often it is looked whether another process has written what waits.
const LOOK: Duration = Duration::from_millis(100);

/// Brings what waits in the outbox, and in the spool of a server that has stopped, into the table: the trail is looked at as a
/// whole. Beside a running server it waits until that one has written what was there when this began; what comes meanwhile
/// is not waited for, or a busy trail would never be drained. Answers whether nothing of it waits any more. The spools of
/// servers with other data directories can't be seen from here.
///
/// # Errors
/// When the database can't be reached, or the spool's folder can't be used.
pub async fn drain(app: &Arc<App>) -> Result<bool, AppError> {
    let until = Instant::now() + DRAIN;
    let newest = store::newest_waiting(&mut *app.conn().await?).await?;
    // Its own spool is the tailer's business, which a server has and the command line has not.
    let mut spool = None;
    if app.is_started() {
        if !app.recorder.flush(DRAIN).await {
            return Ok(false);
        }
    } else {
        match recorder::drain_alone(app, DRAIN).await? {
            Some(true) => {}
            Some(false) => return Ok(false),
            // The server of this folder has it, and empties the outbox too.
            None => spool = Some(app.audit.dir.join("spool")),
        }
    }
    let mut waiting = match &spool {
        Some(dir) => Glance::at(dir).map_err(|error| AppError::internal(format!("`{}`: {error}", dir.display())))?,
        None => None,
    };
    loop {
        let mut conn = app.conn().await?;
        let mut is_drained = !store::waits_up_to(&mut conn, newest).await?;
        if let (Some(dir), Some(glance)) = (&spool, &mut waiting) {
            let stored = store::offsets(&mut conn, glance.id).await?;
            glance.retain_waiting(dir, |file| stored.get(file).copied().unwrap_or_default());
            is_drained &= glance.files.is_empty();
        }
        drop(conn);
        if is_drained || Instant::now() >= until {
            return Ok(is_drained);
        }
        tokio::time::sleep(LOOK).await;
    }
}
