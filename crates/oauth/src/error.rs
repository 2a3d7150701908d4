//! The registered error codes, and what else is kept of a refusal.

/// Error codes of the token endpoint and its siblings (RFC 6749 §5.2, RFC 8707 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenErrorCode {
    /// The request is malformed.
    InvalidRequest,
    /// The client is not who it says.
    InvalidClient,
    /// Not a live code or refresh token of this client.
    InvalidGrant,
    /// This client may not use this grant.
    UnauthorizedClient,
    /// A grant that nobody may use.
    UnsupportedGrantType,
    /// A scope that is unknown, malformed or too wide.
    InvalidScope,
    /// A resource that is unknown or was not granted.
    InvalidTarget,
    /// Try again later.
    TemporarilyUnavailable,
}

impl TokenErrorCode {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }

    /// The status: 401 for `invalid_client`, 503 for what may work later, 400 otherwise.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidClient => 401,
            Self::TemporarilyUnavailable => 503,
            _ => 400,
        }
    }

    /// What the wire says of it. One text for each code, so that two refusals for different reasons are the same bytes:
    /// whoever probes learns nothing, and the app's owner reads the reason in the list of failures.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::InvalidRequest => "the request lacks a parameter, repeats one or is malformed",
            Self::InvalidClient => "client authentication failed",
            Self::InvalidGrant => "the code or refresh token is not valid for this client and request",
            Self::UnauthorizedClient => "this client may not use this grant type",
            Self::UnsupportedGrantType => "this grant type is not supported here",
            Self::InvalidScope => "the scope is unknown, malformed or not granted",
            Self::InvalidTarget => "the resource is unknown or not granted",
            Self::TemporarilyUnavailable => "the service can not answer right now; try again",
        }
    }
}

/// A refusal at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenError {
    /// What the client is told.
    pub code: TokenErrorCode,
    /// Why, in a stable word: for the audit trail and the app's owner alone.
    pub reason: &'static str,
}

impl TokenError {
    /// A refusal.
    #[must_use]
    pub const fn new(code: TokenErrorCode, reason: &'static str) -> Self {
        Self { code, reason }
    }

    /// `invalid_grant`.
    #[must_use]
    pub const fn grant(reason: &'static str) -> Self {
        Self::new(TokenErrorCode::InvalidGrant, reason)
    }

    /// `invalid_request`.
    #[must_use]
    pub const fn request(reason: &'static str) -> Self {
        Self::new(TokenErrorCode::InvalidRequest, reason)
    }
}

/// Error codes of the authorization endpoint (RFC 6749 §4.1.2.1, RFC 8707 §2, RFC 9101 §6.3, OpenID Connect Core
/// §3.1.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthorizeErrorCode {
    /// The request is malformed.
    InvalidRequest,
    /// The person, or the person's role, said no.
    AccessDenied,
    /// Anything but `code`.
    UnsupportedResponseType,
    /// A scope that is unknown, malformed or not the app's.
    InvalidScope,
    /// A resource that is unknown.
    InvalidTarget,
    /// `prompt=none`, and the person would have to be asked.
    ConsentRequired,
    /// `request` is not supported.
    RequestNotSupported,
    /// `request_uri` is not supported, and never fetched.
    RequestUriNotSupported,
}

impl AuthorizeErrorCode {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::ConsentRequired => "consent_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
        }
    }
}

#[cfg(test)]
mod tests;
