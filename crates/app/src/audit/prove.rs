//! The proof that one event is in the trail, for somebody who has only the public key.

use chrono::Duration;
use statuspulse_audit::proof::Proof;
use statuspulse_policy::EventId;
use statuspulse_store::audit::{checkpoints, trail};

use super::checkpoint;
use crate::{app::App, error::AppError};

/// How far the clock of an instance may run ahead of that of the one which made the checkpoint.
const CLOCKS: Duration = Duration::days(1);

/// Proves an event.
///
/// # Errors
/// 404, 409 while no checkpoint covers it yet or parts of the checkpoint's span have left the table, 503.
pub async fn prove(app: &App, id: EventId) -> Result<Proof, AppError> {
    let mut conn = app.conn().await?;
    let record = trail::find(&mut conn, None, id).await?.ok_or(AppError::NotFound("event"))?;
    let place = (record.stream, record.sequence, record.entry.occurred_at);
    let covering = checkpoints::covering(&mut conn, place.0, place.1, place.2).await?;
    let Some(stored) = covering else {
        return Err(AppError::conflict(
            "not_covered_yet",
            "no checkpoint covers the event yet; wait a minute, or make one with `audit checkpoint`",
        ));
    };
    let signed = checkpoint::read(&stored)?;
    let mut leaves = Vec::new();
    for head in &signed.body.streams {
        let before = checkpoints::vouched_before(&mut conn, stored.number, head.stream).await?;
        if before < head.sequence {
            let stretch = (before, head.sequence);
            let times = (stored.since, Some(stored.at + CLOCKS));
            leaves.extend(checkpoints::leaves(&mut conn, head.stream, stretch, times).await?);
        }
    }
    let complete = leaves.len() as u64 == signed.body.leaves;
    Proof::new(record, signed, &leaves).filter(|_| complete).ok_or_else(|| {
        AppError::conflict(
            "span_incomplete",
            "calls of the checkpoint's span have left the table; the archive of their day holds them",
        )
    })
}
