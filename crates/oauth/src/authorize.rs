//! The authorization request (oauth §3): read once, judged in a fixed order.
//!
//! Client and redirect URI are judged first, and whoever fails there is never redirected anywhere. Everything else is judged
//! for a signed-in person alone, and its errors go to the redirect URI.

use chrono::{DateTime, Utc};
use statuspulse_policy::{Catalog, OrganizationId, ScopeSet};

use crate::{
    app::{App, AppKind},
    error::AuthorizeErrorCode,
    form::{Field, Form, Repeated},
    grant::Grant,
    pkce::{self, Challenge},
    redirect_uri::Mismatch,
    resource::{Known, Resources},
    scope_request::{self, ScopeRefusal},
    token::ClientId,
};

/// Seconds for which a code may be redeemed.
pub const CODE_SECONDS: i64 = 300;
/// Seconds for which a consent page may be answered.
pub const CONSENT_SECONDS: i64 = 300;
/// Seconds for which a request waits for its sign-in.
pub const LOGIN_SECONDS: i64 = 900;
/// Bytes of a query, at most.
pub const LONGEST_QUERY: usize = 8 * 1_024;
/// Characters of `state`, at most.
pub const LONGEST_STATE: usize = 2_048;

/// Parameters that may be there once. `resource` may repeat.
const ONCE: [&str; 11] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "request",
    "request_uri",
];

/// Why a request ends at a page of ours and is redirected nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageReason {
    /// No `client_id`, two, or one of another form.
    ClientIdMalformed,
    /// No such app, or a deleted one.
    ClientUnknown,
    /// The app is suspended.
    AppSuspended,
    /// No `redirect_uri`, two, or one that doesn't decode.
    RedirectUriMalformed,
    /// Not one of the app's.
    RedirectUriMismatch(Mismatch),
}

impl PageReason {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientIdMalformed => "client_id_malformed",
            Self::ClientUnknown => "client_unknown",
            Self::AppSuspended => "app_suspended",
            Self::RedirectUriMalformed => "redirect_uri_malformed",
            Self::RedirectUriMismatch(_) => "redirect_uri_mismatch",
        }
    }
}

/// An error that goes back to the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizeError {
    /// What the app is told.
    pub code: AuthorizeErrorCode,
    /// The same for its developer: printable ASCII, nothing that was sent.
    pub description: &'static str,
    /// Why, in a stable word: for the audit trail and the app's owner.
    pub reason: &'static str,
    /// Where to.
    pub redirect_uri: String,
    /// Given back byte for byte, when it is a valid one.
    pub state: Option<String>,
}

/// A request that a signed-in person may be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Where to.
    pub redirect_uri: String,
    /// Given back byte for byte.
    pub state: Option<String>,
    /// What is asked for; never empty when a person is asked.
    pub scopes: ScopeSet,
    /// For which resources.
    pub resources: Resources,
    /// The code challenge.
    pub challenge: Option<Challenge>,
    /// Whether a page is wanted.
    pub prompt: Prompt,
}

/// Whether a page is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// When it is needed.
    Auto,
    /// Never: rather an error.
    None,
    /// Always.
    Consent,
}

/// A request, read.
#[derive(Debug, Clone)]
pub struct AuthorizeRequest {
    form: Form,
}

impl AuthorizeRequest {
    /// Reads a query.
    #[must_use]
    pub fn parse(query: &[u8]) -> Self {
        Self { form: Form::parse(query) }
    }

    /// The app that is named.
    ///
    /// # Errors
    /// [`PageReason::ClientIdMalformed`].
    pub fn client_id(&self) -> Result<ClientId, PageReason> {
        let id = self.form.one("client_id").ok().flatten().and_then(Field::text).and_then(ClientId::parse);
        id.ok_or(PageReason::ClientIdMalformed)
    }

    /// Judges app and redirect URI (steps a and b). What comes out is the address that errors may go to.
    ///
    /// # Errors
    /// [`PageReason`].
    pub fn target(&self, app: Option<&App>) -> Result<String, PageReason> {
        let app = app.filter(|app| app.deleted_at.is_none()).ok_or(PageReason::ClientUnknown)?;
        let presented = self.form.one("redirect_uri").ok().flatten().and_then(Field::text);
        let presented = presented.ok_or(PageReason::RedirectUriMalformed)?;
        app.find_redirect_uri(presented).map_err(PageReason::RedirectUriMismatch)?;
        if app.is_active() { Ok(presented.to_owned()) } else { Err(PageReason::AppSuspended) }
    }

    /// Judges everything else (step d), for a signed-in person.
    ///
    /// # Errors
    /// [`AuthorizeError`].
    pub fn judge(
        &self,
        app: &App,
        target: String,
        catalog: &Catalog,
        known: &Known<'_>,
    ) -> Result<Authorization, AuthorizeError> {
        self.judge_with(app, target, catalog, known, scope_request::requested)
    }

    /// Judges it once more when the person has answered: app and catalog may have changed meanwhile. A scope that was taken
    /// from the app since is not granted, and the others are (oauth §3.12); everything else is judged as before.
    ///
    /// # Errors
    /// [`AuthorizeError`].
    pub fn judge_again(
        &self,
        app: &App,
        target: String,
        catalog: &Catalog,
        known: &Known<'_>,
    ) -> Result<Authorization, AuthorizeError> {
        self.judge_with(app, target, catalog, known, scope_request::remaining)
    }

    fn judge_with(
        &self,
        app: &App,
        target: String,
        catalog: &Catalog,
        known: &Known<'_>,
        scopes: JudgeScopes,
    ) -> Result<Authorization, AuthorizeError> {
        let state = self.state(app);
        let valid_state = state.as_ref().ok().cloned().flatten();
        let refuse = |(code, reason, description)| AuthorizeError {
            code,
            description,
            reason,
            redirect_uri: target.clone(),
            state: valid_state.clone(),
        };
        let state = state.map_err(refuse)?;
        let judged = self.judge_rest(app, catalog, known, scopes).map_err(refuse)?;
        let (scopes, resources, challenge, prompt) = judged;
        Ok(Authorization { redirect_uri: target, state, scopes, resources, challenge, prompt })
    }

    fn state(&self, app: &App) -> Result<Option<String>, Refusal> {
        const DETAIL: &str = "state is given once, has at most 2048 characters, all of them visible ASCII or blank";
        let malformed = (AuthorizeErrorCode::InvalidRequest, "state_malformed", DETAIL);
        let valid = |text: &&str| text.len() <= LONGEST_STATE && text.bytes().all(|byte| matches!(byte, 0x20..=0x7E));
        match self.form.one("state") {
            Err(Repeated) | Ok(Some(Field::Broken)) => Err(malformed),
            Ok(Some(Field::Text(text))) => Some(text).filter(valid).map(|text| Some(text.to_owned())).ok_or(malformed),
            Ok(None) if app.require_state => {
                Err((AuthorizeErrorCode::InvalidRequest, "state_missing", "this app requires state"))
            }
            Ok(None) => Ok(None),
        }
    }

    fn judge_rest(
        &self,
        app: &App,
        catalog: &Catalog,
        known: &Known<'_>,
        scopes: JudgeScopes,
    ) -> Result<Rest, Refusal> {
        use AuthorizeErrorCode as E;
        if self.form.repeated(&ONCE).is_some() {
            return Err((E::InvalidRequest, "parameter_repeated", "each parameter but resource is given at most once"));
        }
        let one = |name| self.form.one(name).ok().flatten();
        if one("request").is_some() {
            return Err((E::RequestNotSupported, "request_not_supported", "request objects are not supported"));
        }
        if one("request_uri").is_some() {
            return Err((E::RequestUriNotSupported, "request_uri_not_supported", "request_uri is not supported"));
        }
        match one("response_type") {
            None => return Err((E::InvalidRequest, "response_type_missing", "response_type is required")),
            Some(Field::Text("code")) => {}
            Some(_) => {
                return Err((E::UnsupportedResponseType, "response_type_unsupported", "response_type must be code"));
            }
        }
        if !matches!(one("response_mode"), None | Some(Field::Text("query"))) {
            return Err((E::InvalidRequest, "response_mode_unsupported", "response_mode must be query"));
        }
        let challenge = self.challenge(app)?;
        let scopes = scopes(one("scope"), catalog, app.scopes, app.default_scopes).map_err(|why| {
            (E::InvalidScope, why.as_str(), "the scope is unknown, malformed, missing or not one of the app's")
        })?;
        let resources = Resources::requested(self.form.all("resource"), known)
            .map_err(|_| (E::InvalidTarget, "resource_unknown", "the resource is not one of this service"))?;
        let prompt = match one("prompt") {
            Some(Field::Text("none")) => Prompt::None,
            Some(Field::Text("consent")) => Prompt::Consent,
            _ => Prompt::Auto,
        };
        Ok((scopes, resources, challenge, prompt))
    }

    fn challenge(&self, app: &App) -> Result<Option<Challenge>, Refusal> {
        let refuse = |reason, description| Err((AuthorizeErrorCode::InvalidRequest, reason, description));
        let one = |name| self.form.one(name).ok().flatten();
        match (one("code_challenge"), one("code_challenge_method")) {
            (None, None) if app.require_pkce || app.kind == AppKind::Public => refuse(
                "challenge_missing",
                "this app requires PKCE: send code_challenge and code_challenge_method=S256",
            ),
            (None, None) => Ok(None),
            (None, Some(_)) => refuse("challenge_missing", "code_challenge_method is given without code_challenge"),
            // Left out, the method would be `plain` (RFC 7636 §4.3).
            (Some(_), method) if method != Some(Field::Text(pkce::METHOD)) => {
                refuse("challenge_method_unsupported", "code_challenge_method must be S256")
            }
            (Some(challenge), _) => match challenge.text().and_then(Challenge::parse) {
                Some(challenge) => Ok(Some(challenge)),
                None => refuse("challenge_malformed", "code_challenge has 43 characters of base64url"),
            },
        }
    }
}

type JudgeScopes = fn(Option<Field<'_>>, &Catalog, ScopeSet, ScopeSet) -> Result<ScopeSet, ScopeRefusal>;
type Refusal = (AuthorizeErrorCode, &'static str, &'static str);
type Rest = (ScopeSet, Resources, Option<Challenge>, Prompt);

/// What is granted (oauth §3.12): the intersection of what was asked, ticked, what the app may ask for, and what the
/// person's role may give. A name that the form holds beyond that is ignored. None when nothing is left, which counts as
/// Deny.
#[must_use]
pub fn granted<'t>(
    asked: ScopeSet,
    ticked: impl Iterator<Item = &'t str>,
    app: &App,
    grantable: ScopeSet,
    catalog: &Catalog,
) -> Option<ScopeSet> {
    let ticked = ticked.filter_map(|name| catalog.scope(name)).fold(ScopeSet::EMPTY, ScopeSet::with);
    let granted = asked.intersection(ticked).intersection(app.scopes).intersection(grantable);
    Some(granted).filter(|granted| !granted.is_empty())
}

/// Whether the person has decided this before (oauth §3.14): a confidential app (anybody can claim to be a public one, RFC
/// 6749 §10.2) whose live grant for the organization covers scopes and resources, all of which the person may still give.
/// `grants` are those of the person; what an app holds for itself decides nothing for people.
#[must_use]
pub fn is_remembered(
    asked: &Authorization,
    app: &App,
    organization: OrganizationId,
    grantable: ScopeSet,
    grants: &[Grant],
    known: &Known<'_>,
    now: DateTime<Utc>,
) -> bool {
    let covers = |grant: &Grant| {
        grant.app_id == app.id
            && grant.user_id.is_some()
            && grant.organization_id == organization
            && grant.remembers(now)
            && app.accepts_issued_at(grant.created_at)
            && asked.scopes.is_subset_of(grant.scopes)
            && grant.resources.cover(&asked.resources, known)
    };
    app.kind == AppKind::Confidential && asked.scopes.is_subset_of(grantable) && grants.iter().any(covers)
}

#[cfg(test)]
mod tests;
