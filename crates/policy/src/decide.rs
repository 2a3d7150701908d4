//! The decision about a call: a pure function of grant, request and time. Deny is the default and names its reason.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::catalog::Catalog;
use crate::client_ip::ClientAddress;
use crate::environment::Served;
use crate::grant::{Grant, State};
use crate::routes::{RefusedRoute, Requirement};

/// The stable word for what became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// It may pass.
    Allowed,
    /// No credential was presented.
    Missing,
    /// Not of the form of a credential, or its checksum is wrong.
    Malformed,
    /// No such credential.
    Unknown,
    /// Ended by someone.
    Revoked,
    /// Its time is over.
    Expired,
    /// Switched off.
    Disabled,
    /// The resource server does not serve its environment.
    EnvironmentMismatch,
    /// One of the two lists does not hold the client's address.
    IpNotAllowed,
    /// It lacks the scope, or nobody may do this.
    InsufficientScope,
    /// Too many calls.
    RateLimited,
    /// It can't be judged now.
    Unavailable,
}

impl Code {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::EnvironmentMismatch => "environment_mismatch",
            Self::IpNotAllowed => "ip_not_allowed",
            Self::InsufficientScope => "insufficient_scope",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
        }
    }

    /// The HTTP status with which a resource server answers.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Allowed => 200,
            Self::Missing
            | Self::Malformed
            | Self::Unknown
            | Self::Revoked
            | Self::Expired
            | Self::Disabled
            | Self::EnvironmentMismatch => 401,
            Self::IpNotAllowed | Self::InsufficientScope => 403,
            Self::RateLimited => 429,
            Self::Unavailable => 503,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is asked: who calls from where, at which server, for what.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The client's address.
    pub client: ClientAddress,
    /// The environments that the resource server serves.
    pub served: Served,
    /// What the endpoint needs, from the catalog that is given to the decision.
    pub requirement: Requirement<'a>,
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial<'a> {
    /// What the caller is told.
    pub code: Code,
    /// The scope to name in the answer, where one is missing.
    pub required_scope: Option<&'a str>,
    /// What the audit trail keeps.
    pub reason: Reason,
}

impl From<Code> for Denial<'_> {
    /// A refusal of a step that is not judged here (look-up, secret, rate).
    fn from(code: Code) -> Self {
        Self { code, required_scope: None, reason: Reason::Code(code) }
    }
}

/// Why a call was refused, more exactly than the caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The code says it all.
    Code(Code),
    /// The credential's own list does not hold the address.
    KeyAllowlist,
    /// The organization's list does not hold the address.
    OrganizationAllowlist,
    /// The credential has no scope that counts, so it can do nothing at all.
    NoScopes,
    /// Nobody may do this.
    Route(RefusedRoute),
}

impl Reason {
    /// The word for the audit trail: the code, or more exactly why nobody may do this.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code(code) => code.as_str(),
            Self::KeyAllowlist | Self::OrganizationAllowlist => Code::IpNotAllowed.as_str(),
            Self::NoScopes => Code::InsufficientScope.as_str(),
            Self::Route(reason) => reason.as_str(),
        }
    }

    /// Which list refused, where one did: `key` or `organization`.
    pub const fn list(self) -> Option<&'static str> {
        match self {
            Self::KeyAllowlist => Some("key"),
            Self::OrganizationAllowlist => Some("organization"),
            Self::Code(_) | Self::NoScopes | Self::Route(_) => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The first half, before the slow check of the secret: the address, then the state. An address that is not listed is refused
/// for dead credentials too.
///
/// # Errors
/// [`Code::IpNotAllowed`], [`Code::Revoked`], [`Code::Expired`] or [`Code::Disabled`].
pub fn admit<'a>(grant: &Grant<'_>, request: &Request<'a>, now: DateTime<Utc>) -> Result<(), Denial<'a>> {
    check_address(grant, request)?;
    check_state(grant, now)
}

/// The second half, behind the check of the secret: the environment, then the scope.
///
/// # Errors
/// [`Code::EnvironmentMismatch`] or [`Code::InsufficientScope`].
pub fn authorize<'a>(grant: &Grant<'_>, request: &Request<'a>, catalog: &Catalog) -> Result<(), Denial<'a>> {
    check_environment(grant, request)?;
    check_scope(grant, request, catalog)
}

/// The whole decision in its order: address, state, environment, scope. Rates are counted elsewhere.
///
/// # Errors
/// The first refusal.
pub fn decide<'a>(
    grant: &Grant<'_>,
    request: &Request<'a>,
    catalog: &Catalog,
    now: DateTime<Utc>,
) -> Result<(), Denial<'a>> {
    admit(grant, request, now)?;
    authorize(grant, request, catalog)
}

pub(crate) fn check_address<'a>(grant: &Grant<'_>, request: &Request<'a>) -> Result<(), Denial<'a>> {
    let lists =
        [(grant.allowlist, Reason::KeyAllowlist), (grant.organization_allowlist, Reason::OrganizationAllowlist)];
    for (list, reason) in lists {
        let Some(list) = list else { continue };
        // An address that is not known is on no list.
        if !request.client.ip().is_some_and(|ip| list.contains(ip)) {
            return Err(Denial { reason, ..Code::IpNotAllowed.into() });
        }
    }
    Ok(())
}

pub(crate) fn check_state<'a>(grant: &Grant<'_>, now: DateTime<Utc>) -> Result<(), Denial<'a>> {
    match grant.state(now) {
        State::Active => Ok(()),
        State::Disabled => Err(Code::Disabled.into()),
        State::Expired => Err(Code::Expired.into()),
        State::Revoked => Err(Code::Revoked.into()),
    }
}

pub(crate) fn check_environment<'a>(grant: &Grant<'_>, request: &Request<'a>) -> Result<(), Denial<'a>> {
    if request.served.serves(grant.environment) { Ok(()) } else { Err(Code::EnvironmentMismatch.into()) }
}

pub(crate) fn check_scope<'a>(grant: &Grant<'_>, request: &Request<'a>, catalog: &Catalog) -> Result<(), Denial<'a>> {
    let scopes = grant.scopes.intersection(catalog.mask(grant.environment));
    let refused = |reason| {
        let required_scope = request.requirement.required_scope();
        Err(Denial { code: Code::InsufficientScope, required_scope, reason })
    };
    match request.requirement {
        Requirement::Refused { reason, .. } => refused(Reason::Route(reason)),
        _ if scopes.is_empty() => refused(Reason::NoScopes),
        Requirement::Scope { bit, .. } if !scopes.contains(bit) => refused(Reason::Code(Code::InsufficientScope)),
        Requirement::Scope { .. } | Requirement::Public { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests;
