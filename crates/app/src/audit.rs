//! The audit trail: its checkpoints, how it is read and exported, verified and proven, kept and erased.

pub mod ask;
pub mod checkpoint;
pub mod erase;
pub mod export;
pub mod keys;
pub mod prove;
pub mod read;
pub mod retention;
pub mod verify;

use std::time::Duration;

use crate::{app::App, error::AppError};

/// How long a trail may take until everything that was answered is in its table (audit §5).
pub const DRAIN: Duration = Duration::from_secs(30);

/// Brings what waits in the outbox, and in the spool of a server that has stopped, into the table: the trail is looked at as a
/// whole. Beside a running server it waits for that one. Answers whether nothing waits any more.
///
/// # Errors
/// When the database can't be reached.
pub async fn drain(app: &std::sync::Arc<App>) -> Result<bool, AppError> {
    if !app.is_started() && statuspulse_store::audit::waits(&mut *app.conn().await?).await? {
        // The server of this folder has its spool locked, and empties the outbox too.
        match app.recorder.open_spool(&app.audit, app.env.id()?) {
            Ok(()) => {
                let tailing = tokio::spawn(crate::recorder::write_events(std::sync::Arc::clone(app)));
                let drained = app.recorder.flush(DRAIN).await;
                tailing.abort();
                if let Err(error) = app.recorder.close_spool() {
                    tracing::warn!(%error, "the spool could not be closed");
                }
                return Ok(drained);
            }
            Err(error) => tracing::debug!(%error, "a server has the spool"),
        }
    }
    let until = tokio::time::Instant::now() + DRAIN;
    loop {
        if !statuspulse_store::audit::waits(&mut *app.conn().await?).await? {
            return Ok(true);
        }
        if tokio::time::Instant::now() >= until {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
