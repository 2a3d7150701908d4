//! The master key's check at start, and the rotation of the pepper (keys §3).

use statuspulse_audit::{Action, Class};
use statuspulse_store::{
    AsyncConnection as _, feed,
    peppers::{self, PepperUse, PepperVersion},
};
use subtle::ConstantTimeEq as _;

use crate::{app::App, caller::Caller, error::AppError};

/// Judges the master keys against those that the database was used with, starts the first pepper on a new database, and
/// puts the peppers in force.
///
/// # Errors
/// 409 `master_key_mismatch` when the database was set up with another master key: every token would look unknown.
pub(crate) async fn open(app: &App) -> Result<(), AppError> {
    let mut conn = app.conn().await?;
    let now = app.env.now();
    for master in app.secrets.masters().iter() {
        // Of two instances that start at once with different keys, the first one is right.
        peppers::remember_master_key(&mut conn, master.version(), &master.check_value(), now).await?;
        let known = peppers::check_value(&mut conn, master.version()).await?.unwrap_or_default();
        if !bool::from(known.as_slice().ct_eq(master.check_value().as_slice())) {
            return Err(AppError::conflict(
                "master_key_mismatch",
                format!(
                    "version {} of the master key is not the one that this database was set up with; \
                     set STATUSPULSE_MASTER_KEY to that one",
                    master.version()
                ),
            ));
        }
    }
    let mut in_force = peppers::in_force(&mut conn).await?;
    if in_force.is_empty() {
        let newest = app.secrets.newest_master().ok_or_else(|| AppError::internal("no master key"))?.version();
        conn.transaction(async |conn| {
            let sequence = feed::next(conn).await?;
            let first = PepperVersion { version: 1, master_key_version: newest };
            peppers::insert(conn, first, now, sequence).await
        })
        .await?;
        in_force = peppers::in_force(&mut conn).await?;
    }
    match app.secrets.set_peppers(&in_force) {
        None => Ok(()),
        Some(missing) => Err(AppError::conflict(
            "master_key_missing",
            format!(
                "pepper {} needs version {} of the master key; add it to STATUSPULSE_MASTER_KEY behind the newer one",
                missing.version, missing.master_key_version
            ),
        )),
    }
}

/// Every pepper with the number of versions that still need it, newest first.
///
/// # Errors
/// 503.
pub async fn status(app: &App) -> Result<Vec<PepperUse>, AppError> {
    let mut conn = app.conn().await?;
    Ok(peppers::usage(&mut conn, app.env.now()).await?)
}

/// Starts a new pepper under the newest master key. Two can be in force, so the one before the current is dropped; that
/// is refused while live versions still need it, unless forced.
///
/// # Errors
/// 409 `pepper_in_use`.
pub async fn rotate(app: &App, caller: &Caller, force: bool) -> Result<Vec<PepperUse>, AppError> {
    let now = app.env.now();
    let newest_master = app.secrets.newest_master().ok_or_else(|| AppError::internal("no master key"))?.version();
    let event = caller.event(app, Class::A, Action::PepperRotate, None)?;
    let mut conn = app.conn().await?;
    conn.transaction(async |conn| {
        // The feed's row lock makes rotations take turns.
        let sequence = feed::next(conn).await?;
        let current = peppers::in_force(conn).await?.first().map_or(0, |pepper| pepper.version);
        let needed: i64 = peppers::usage(conn, now)
            .await?
            .iter()
            .filter(|used| used.version < current && used.retired_at.is_none())
            .map(|used| used.live_versions)
            .sum();
        if needed > 0 && !force {
            return Err(AppError::conflict(
                "pepper_in_use",
                format!(
                    "{needed} live versions are still under the previous pepper; wait until they are used, or force"
                ),
            ));
        }
        peppers::retire_before(conn, current, now, sequence).await?;
        let next = PepperVersion { version: current + 1, master_key_version: newest_master };
        peppers::insert(conn, next, now, sequence).await?;
        app.recorder.record(conn, event.with("pepper_version", next.version).with("dropped_versions", needed)).await?;
        Ok(())
    })
    .await?;
    caller.mark_recorded();
    let in_force = peppers::in_force(&mut conn).await?;
    app.secrets.set_peppers(&in_force);
    Ok(peppers::usage(&mut conn, now).await?)
}
