//! Erasure of an address for privacy (audit §4). The chain covers a commitment and not the address, so it holds without; which
//! events were touched is itself in the trail, so that nulling is no way around verification.

use std::net::IpAddr;

use serde_json::json;
use statuspulse_audit::{Action, Class};
use statuspulse_policy::OrganizationId;
use statuspulse_store::{AsyncConnection as _, audit::erase};

use crate::{app::App, caller::Caller, error::AppError};

/// Events that one event of an erasure names.
const NAMED: i64 = 1_000;

/// Counts what an erasure would touch.
///
/// # Errors
/// 503.
pub async fn count(app: &App, ip: IpAddr, organization: Option<OrganizationId>) -> Result<u64, AppError> {
    Ok(erase::count(&mut *app.conn().await?, ip, organization).await?)
}

/// Erases an address, and the user agents beside it, from the trail, and from the last addresses of keys. Answers how many
/// events it was erased from. One that is broken off has erased a part, of which the trail says which.
///
/// # Errors
/// 503.
pub async fn erase(
    app: &App,
    caller: &Caller,
    ip: IpAddr,
    organization: Option<OrganizationId>,
) -> Result<u64, AppError> {
    let mut owner = app.owner().await?;
    let mut erased = 0;
    loop {
        let batch = owner
            .transaction(async |conn| {
                let ids = erase::erase(conn, ip, organization, NAMED).await?;
                if !ids.is_empty() {
                    let event = caller.event(app, Class::A, Action::AuditErase, organization)?;
                    let event = event.with("rows", ids.len()).with("erased", json!(ids));
                    app.recorder.record(conn, event).await?;
                }
                Ok::<_, AppError>(ids.len() as u64)
            })
            .await?;
        erased += batch;
        if batch == 0 {
            break;
        }
    }
    erase::forget_last_uses(&mut owner, ip, organization).await?;
    Ok(erased)
}
