//! The rotation of refresh tokens and the detection of their reuse (RFC 9700 §4.14; oauth §5).

use chrono::{DateTime, Duration, Utc};
use statuspulse_policy::{Catalog, GrantId, ScopeSet};

use crate::{
    app::{App, LONGEST_RETRY},
    code::{Standing, check_standing, resource_fields},
    error::{TokenError, TokenErrorCode},
    form::Form,
    grant::{GrantStatus, IDLE_DAYS},
    resource::{Known, Resources},
    scope_request,
};

/// What is kept of a refresh token.
#[derive(Debug, Clone)]
pub struct RefreshRecord {
    /// The grant that it belongs to.
    pub grant_id: GrantId,
    /// Which of the grant's tokens it is, from 0.
    pub generation: i64,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// Ended from this instant on, unless it is used before.
    pub idle_expires_at: DateTime<Utc>,
    /// When it was used.
    pub rotated_at: Option<DateTime<Utc>>,
    /// Its successor, sealed under a key that only the token itself gives; while the app's retry window is open.
    pub successor_sealed: Option<Vec<u8>>,
}

impl RefreshRecord {
    /// The idle end of a token that is issued now.
    #[must_use]
    pub fn idle_end(now: DateTime<Utc>) -> DateTime<Utc> {
        now + Duration::days(IDLE_DAYS)
    }
}

/// What becomes of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refresh {
    /// New tokens; the grant's generation rises by one.
    Rotate {
        /// Scopes of the access token. The refresh token keeps all.
        scopes: ScopeSet,
        /// Its audience.
        resources: Resources,
    },
    /// The same successor again, with a fresh access token: the answer to the first try was lost.
    Retry {
        /// Scopes of the access token.
        scopes: ScopeSet,
        /// Its audience.
        resources: Resources,
    },
    /// A used token is used again: one of the two who hold it is a thief, so the grant ends.
    Reuse,
    /// Nothing changes.
    Refuse(TokenError),
}

/// Judges a refresh by an authenticated client of the grant's app, on the locked grant.
#[must_use]
pub fn refresh(
    form: &Form,
    app: &App,
    token: &RefreshRecord,
    standing: Standing<'_>,
    catalog: &Catalog,
    known: &Known<'_>,
    now: DateTime<Utc>,
) -> Refresh {
    let grant = standing.grant;
    if grant.app_id != app.id {
        return Refresh::Refuse(TokenError::grant("refresh_token_foreign"));
    }
    if let Err(error) = check_standing(standing, app, now) {
        return Refresh::Refuse(error);
    }
    let current = token.generation == grant.generation;
    if !current && !may_retry(app, token, grant.generation, now) {
        return Refresh::Reuse;
    }
    if current && now >= token.idle_expires_at {
        return Refresh::Refuse(TokenError::grant("refresh_token_idle"));
    }
    let (scopes, resources) = match narrowed(form, app, grant.scopes, &grant.resources, catalog, known) {
        Ok(narrowed) => narrowed,
        Err(error) => return Refresh::Refuse(error),
    };
    if current { Refresh::Rotate { scopes, resources } } else { Refresh::Retry { scopes, resources } }
}

/// Whether a used token gives its successor again: exactly one generation old, inside the window, and the successor, which
/// would have raised the generation, is unused.
fn may_retry(app: &App, token: &RefreshRecord, generation: i64, now: DateTime<Utc>) -> bool {
    // Without a window there is none, also when the clock of this instance is behind that of the one that rotated.
    let window = Duration::seconds(i64::from(app.refresh_retry_seconds.min(LONGEST_RETRY)));
    window > Duration::zero()
        && token.generation + 1 == generation
        && token.successor_sealed.is_some()
        && token.rotated_at.is_some_and(|at| now < at + window)
}

/// What the access token carries: what is asked for, within the grant and what the app may have now, and nothing of it
/// dropped silently (oauth §3.9); all of the grant that the app may have now when nothing is asked for.
fn narrowed(
    form: &Form,
    app: &App,
    granted: ScopeSet,
    resources: &Resources,
    catalog: &Catalog,
    known: &Known<'_>,
) -> Result<(ScopeSet, Resources), TokenError> {
    let invalid = |reason| TokenError::new(TokenErrorCode::InvalidScope, reason);
    let asked = form.one("scope").map_err(|_| TokenError::request("parameter_repeated"))?;
    let asked = match scope_request::parse(asked, catalog).map_err(|refusal| invalid(refusal.as_str()))? {
        None => granted,
        Some(asked) if !asked.is_subset_of(granted) => return Err(invalid("scope_not_granted")),
        Some(asked) if !asked.is_subset_of(app.scopes) => return Err(invalid("scope_not_allowed")),
        Some(asked) => asked,
    };
    let scopes = asked.intersection(app.scopes);
    if scopes.is_empty() {
        return Err(invalid("scope_not_allowed"));
    }
    let resources = resources
        .narrowed(resource_fields(form), known)
        .map_err(|_| TokenError::new(TokenErrorCode::InvalidTarget, "resource_not_granted"))?;
    Ok((scopes, resources))
}

/// Whether the grant of a token had been ended when its client presented it: for the trail only.
#[must_use]
pub fn is_of_ended_chain(standing: Standing<'_>) -> bool {
    standing.grant.status == GrantStatus::Revoked
}

#[cfg(test)]
mod tests;
