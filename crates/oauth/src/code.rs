//! The redemption of a code (oauth §4.6 to §4.8).

use chrono::{DateTime, Utc};
use statuspulse_policy::{AppId, GrantId, ScopeSet};

use crate::{
    app::App,
    error::{TokenError, TokenErrorCode},
    form::{Field, Form},
    grant::Grant,
    pkce::Challenge,
    redirect_uri::first_difference,
    resource::{Known, Resources},
    token_request::CodeRequest,
};

/// What is kept of a code.
#[derive(Debug, Clone)]
pub struct CodeRecord {
    /// The grant that it belongs to.
    pub grant_id: GrantId,
    /// The app that it was given to.
    pub app_id: AppId,
    /// The redirect URI of its request.
    pub redirect_uri: String,
    /// The challenge of its request. Never deleted apart from the code: without it, no verifier would be asked for (RFC
    /// 9700 §4.8.2).
    pub challenge: Option<Challenge>,
    /// What was granted.
    pub scopes: ScopeSet,
    /// For which resources.
    pub resources: Resources,
    /// Ended from this instant on.
    pub expires_at: DateTime<Utc>,
    /// When it was redeemed.
    pub redeemed_at: Option<DateTime<Utc>>,
}

/// A grant as a decision sees it.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// The grant.
    pub grant: &'a Grant,
    /// Whether the person who decided is still a member of the organization. True for an app that acts for itself.
    pub person_remains: bool,
}

/// What becomes of a redemption. Only the first two change anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redemption {
    /// Tokens with these scopes for these resources, if nobody else was faster.
    Issue {
        /// Scopes of the access token.
        scopes: ScopeSet,
        /// Its audience.
        resources: Resources,
    },
    /// A repetition that would have succeeded the first time: somebody else has the code too, so the grant ends.
    Replay,
    /// Nothing changes; the code stays usable by its owner.
    Refuse {
        /// What the client is told.
        error: TokenError,
        /// Where the redirect URI differs, for the app's owner.
        first_difference: Option<usize>,
    },
}

impl Redemption {
    const fn refuse(error: TokenError) -> Self {
        Self::Refuse { error, first_difference: None }
    }
}

/// Judges a redemption by an authenticated client, in the fixed order: same app, redirect URI, PKCE, resource, earlier
/// redemption, age, grant. A step that fails changes nothing, so that whoever saw a code can't spoil it.
#[must_use]
pub fn redeem(
    request: &CodeRequest,
    form: &Form,
    app: &App,
    code: &CodeRecord,
    standing: Standing<'_>,
    known: &Known<'_>,
    now: DateTime<Utc>,
) -> Redemption {
    if code.app_id != app.id {
        return Redemption::refuse(TokenError::grant("code_foreign"));
    }
    if request.redirect_uri.as_ref() != Some(&code.redirect_uri) {
        let presented = request.redirect_uri.as_deref().unwrap_or_default();
        return Redemption::Refuse {
            error: TokenError::grant("redirect_uri_mismatch"),
            first_difference: Some(first_difference(&code.redirect_uri, presented)),
        };
    }
    match (&code.challenge, &request.verifier) {
        (Some(challenge), Some(verifier)) if challenge.fits(verifier) => {}
        (Some(_), Some(_)) => return Redemption::refuse(TokenError::grant("verifier_mismatch")),
        (Some(_), None) => return Redemption::refuse(TokenError::grant("verifier_missing")),
        (None, Some(_)) => return Redemption::refuse(TokenError::request("verifier_unexpected")),
        (None, None) => {}
    }
    let Ok(resources) = code.resources.narrowed(resource_fields(form), known) else {
        return Redemption::refuse(TokenError::new(TokenErrorCode::InvalidTarget, "resource_not_granted"));
    };
    if code.redeemed_at.is_some() {
        return Redemption::Replay;
    }
    if now >= code.expires_at {
        return Redemption::refuse(TokenError::grant("code_expired"));
    }
    if let Err(error) = check_standing(standing, app, now) {
        return Redemption::refuse(error);
    }
    // `scope` is not read here: it could only widen what the person has decided.
    let scopes = code.scopes.intersection(app.scopes);
    if scopes.is_empty() {
        return Redemption::refuse(TokenError::new(TokenErrorCode::InvalidScope, "scope_not_allowed"));
    }
    Redemption::Issue { scopes, resources }
}

pub(crate) fn resource_fields(form: &Form) -> impl Iterator<Item = Field<'_>> {
    form.all("resource")
}

/// Whether a grant may still give tokens.
pub(crate) fn check_standing(standing: Standing<'_>, app: &App, now: DateTime<Utc>) -> Result<(), TokenError> {
    let Standing { grant, person_remains } = standing;
    if !person_remains {
        return Err(TokenError::grant("user_removed"));
    }
    if !app.accepts_issued_at(grant.created_at) {
        return Err(TokenError::grant("app_was_suspended"));
    }
    if grant.is_live(now) {
        return Ok(());
    }
    let revoked = grant.status == crate::grant::GrantStatus::Revoked;
    Err(TokenError::grant(if revoked { "grant_revoked" } else { "grant_expired" }))
}

#[cfg(test)]
mod tests;
