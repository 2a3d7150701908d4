//! Client secrets: several live ones with overlap, so that nobody has to change one in the middle of the night.

use chrono::Duration;
use statuspulse_audit::{Action, Class};
use statuspulse_oauth::{
    AppKind, AppSecret, ClientSecret,
    app::{DEFAULT_OVERLAP, LONGEST_LABEL, LONGEST_OVERLAP, MOST_SECRETS, is_displayable},
    token::SECRET_ENTROPY,
};
use statuspulse_policy::{AppId, AppSecretId};
use statuspulse_store::{AsyncConnection as _, oauth::apps as store};
use zeroize::Zeroizing;

use super::apps::{AppView, locked, view, write};
use crate::{
    app::App,
    caller::{Access, Caller},
    error::AppError,
    keys::refuse_secret,
};

/// A new secret beside what it belongs to.
#[derive(Debug)]
pub struct Added {
    /// The app.
    pub view: AppView,
    /// Which of its secrets is the new one.
    pub id: AppSecretId,
    /// Shown once.
    pub secret: ClientSecret,
}

/// Makes a secret and what is kept of it.
pub(super) fn new_secret(
    app: &App,
    caller: &Caller,
    label: Option<&str>,
) -> Result<(ClientSecret, AppSecret), AppError> {
    let secret = ClientSecret::from_entropy(&Zeroizing::new(app.env.random::<SECRET_ENTROPY>()?));
    let key = app.secrets.digest_key().ok_or_else(|| AppError::internal("no digest key"))?;
    let record = AppSecret {
        id: AppSecretId::from_uuid(app.env.id()?),
        digest: key.secret(secret.expose()),
        key_version: key.version(),
        last4: secret.last4().to_owned(),
        label: label.map(str::to_owned),
        created_by: caller.principal.creator(),
        created_at: app.env.now(),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    Ok((secret, record))
}

pub(super) fn check_label(label: &str) -> Result<(), AppError> {
    let length = label.chars().count();
    if !(1..=LONGEST_LABEL).contains(&length) || !is_displayable(label) {
        return Err(AppError::field(
            "label",
            "invalid_label",
            "a label has 1 to 100 characters, no control characters",
        ));
    }
    refuse_secret("label", label)
}

/// Adds a secret. Every earlier one ends after the overlap: an earlier end stays, 0 ends them at once.
///
/// # Errors
/// 404, 422 by field, 409 `too_many_secrets` or `app_is_public`, 403.
pub async fn add(
    app: &App,
    caller: &Caller,
    access: &Access,
    id: AppId,
    overlap_seconds: Option<i64>,
    label: Option<&str>,
) -> Result<Added, AppError> {
    access.require_writer()?;
    let overlap = overlap_seconds.unwrap_or(DEFAULT_OVERLAP);
    if !(0..=LONGEST_OVERLAP).contains(&overlap) {
        let detail = "an overlap is 0 to 7,776,000 seconds (90 days)";
        return Err(AppError::field("overlap_seconds", "out_of_bounds", detail));
    }
    if let Some(label) = label {
        check_label(label)?;
    }
    let (secret, record) = new_secret(app, caller, label)?;
    let now = record.created_at;
    let mut conn = app.conn().await?;
    let (view, new) = conn
        .transaction(async |conn| {
            let mut found = locked(conn, access, id).await?;
            access.require_grantable(app, found.scopes)?;
            if found.kind == AppKind::Public {
                return Err(AppError::conflict("app_is_public", "a public app has no secrets; it could not keep them"));
            }
            let live = found.secrets.iter().filter(|held| held.is_live(now)).count();
            if live >= MOST_SECRETS && overlap > 0 {
                let detail = "an app has at most 5 live secrets; end one first, or choose no overlap";
                return Err(AppError::conflict("too_many_secrets", detail));
            }
            for held in found.secrets.iter_mut().filter(|held| held.is_live(now)) {
                held.expires_at = Some(held.end_beside_a_new_one(now, Duration::seconds(overlap)));
                store::update_secret(conn, held).await?;
            }
            let event = caller
                .event(app, Class::A, Action::AppSecretCreate, Some(access.organization.id))?
                .with("app_id", id.to_string())
                .with("secret_id", record.id.to_string())
                .with("overlap_seconds", overlap);
            app.recorder.record(conn, event).await?;
            store::insert_secret(conn, id, &record).await?;
            let new = record.id;
            found.secrets.insert(0, record);
            found.updated_at = now;
            write(conn, &mut found).await?;
            Ok::<_, AppError>((view(conn, access, found).await?, new))
        })
        .await?;
    caller.mark_recorded();
    app.replica.catch_up().await;
    Ok(Added { view, id: new, secret })
}

/// Ends a secret at once. Ending one that has ended is no error.
///
/// # Errors
/// 404, 409 `last_secret` for the only live one, 403.
pub async fn revoke(
    app: &App,
    caller: &Caller,
    access: &Access,
    id: AppId,
    secret: AppSecretId,
) -> Result<AppView, AppError> {
    access.require_writer()?;
    let now = app.env.now();
    let mut conn = app.conn().await?;
    let (view, changed) = conn
        .transaction(async |conn| {
            let mut found = locked(conn, access, id).await?;
            access.require_grantable(app, found.scopes)?;
            let live = found.secrets.iter().filter(|held| held.is_live(now)).count();
            let held = found.secrets.iter_mut().find(|held| held.id == secret);
            let held = held.ok_or(AppError::NotFound("secret"))?;
            if !held.is_live(now) {
                return Ok((view(conn, access, found).await?, false));
            }
            if live == 1 {
                let detail = "this is the app's last live secret; add another one first, or suspend the app";
                return Err(AppError::conflict("last_secret", detail));
            }
            held.revoked_at = Some(now);
            store::update_secret(conn, held).await?;
            let event = caller
                .event(app, Class::A, Action::AppSecretRevoke, Some(access.organization.id))?
                .with("app_id", id.to_string())
                .with("secret_id", secret.to_string());
            app.recorder.record(conn, event).await?;
            found.updated_at = now;
            write(conn, &mut found).await?;
            Ok::<_, AppError>((view(conn, access, found).await?, true))
        })
        .await?;
    if changed {
        caller.mark_recorded();
        app.replica.catch_up().await;
    }
    Ok(view)
}
