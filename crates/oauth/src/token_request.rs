//! The token request (RFC 6749 §4.1.3, §4.4.2, §6): read once, before anybody is asked about anything.

use std::fmt;

use crate::{
    error::{TokenError, TokenErrorCode},
    form::{Field, Form},
    pkce::Verifier,
    token::{OpaqueToken, TokenKind},
};

/// Bytes of a body, at most.
pub const LONGEST_BODY: usize = 16 * 1_024;

/// Parameters that may be there once, whatever the grant. `resource` may repeat.
const ONCE: [&str; 12] = [
    "grant_type",
    "code",
    "redirect_uri",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "code_verifier",
    "refresh_token",
    "scope",
    "token",
    "token_type_hint",
];

/// What may be traded for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantType {
    /// A code.
    AuthorizationCode,
    /// A refresh token.
    RefreshToken,
    /// The client itself.
    ClientCredentials,
}

impl GrantType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AuthorizationCode, Self::RefreshToken, Self::ClientCredentials];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
        }
    }
}

/// Which grants an endpoint serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/oauth/token`: all.
    Token,
    /// `/oauth/refresh`: refresh tokens alone.
    Refresh,
}

/// A redemption.
pub struct CodeRequest {
    /// The code; none when it can't be one.
    pub code: Option<OpaqueToken>,
    /// The redirect URI; none when it doesn't decode, and so is no app's.
    pub redirect_uri: Option<String>,
    /// The verifier.
    pub verifier: Option<Verifier>,
}

/// A refresh.
pub struct RefreshRequest {
    /// The refresh token; none when it can't be one.
    pub token: Option<OpaqueToken>,
}

/// What is asked for.
pub enum TokenRequest {
    /// Tokens for a code.
    Code(CodeRequest),
    /// New tokens for a refresh token.
    Refresh(RefreshRequest),
    /// A token for the client itself.
    ClientCredentials,
}

impl TokenRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// `invalid_request` or `unsupported_grant_type`.
    pub fn parse(form: &Form, endpoint: Endpoint) -> Result<Self, TokenError> {
        check_once(form)?;
        let one = |name| form.one(name).ok().flatten();
        let asked = one("grant_type").ok_or(TokenError::request("grant_type_missing"))?;
        let known = GrantType::ALL.into_iter().find(|grant| asked == Field::Text(grant.as_str()));
        let served = known.filter(|grant| endpoint == Endpoint::Token || *grant == GrantType::RefreshToken);
        let unsupported = TokenError::new(TokenErrorCode::UnsupportedGrantType, "grant_type_unsupported");
        match served.ok_or(unsupported)? {
            GrantType::AuthorizationCode => {
                let code = one("code").ok_or(TokenError::request("code_missing"))?;
                let redirect_uri = one("redirect_uri").ok_or(TokenError::request("redirect_uri_missing"))?;
                let verifier = one("code_verifier").map(|field| {
                    field.text().and_then(Verifier::parse).ok_or(TokenError::request("verifier_malformed"))
                });
                Ok(Self::Code(CodeRequest {
                    code: code.text().and_then(|text| OpaqueToken::parse_as(TokenKind::Code, text)),
                    redirect_uri: redirect_uri.text().map(str::to_owned),
                    verifier: verifier.transpose()?,
                }))
            }
            GrantType::RefreshToken => {
                let token = one("refresh_token").ok_or(TokenError::request("refresh_token_missing"))?;
                let token = token.text().and_then(|text| OpaqueToken::parse_as(TokenKind::Refresh, text));
                Ok(Self::Refresh(RefreshRequest { token }))
            }
            GrantType::ClientCredentials => Ok(Self::ClientCredentials),
        }
    }

    /// The grant that is asked for.
    #[must_use]
    pub const fn grant_type(&self) -> GrantType {
        match self {
            Self::Code(_) => GrantType::AuthorizationCode,
            Self::Refresh(_) => GrantType::RefreshToken,
            Self::ClientCredentials => GrantType::ClientCredentials,
        }
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TokenRequest({})", self.grant_type().as_str())
    }
}

/// Each known parameter at most once, whatever is asked for.
///
/// # Errors
/// `invalid_request`.
pub fn check_once(form: &Form) -> Result<(), TokenError> {
    match form.repeated(&ONCE) {
        None => Ok(()),
        Some(_) => Err(TokenError::request("parameter_repeated")),
    }
}

/// The token that a revocation or introspection is about.
///
/// # Errors
/// `invalid_request`.
pub fn presented_token(form: &Form) -> Result<Field<'_>, TokenError> {
    check_once(form)?;
    form.one("token").ok().flatten().ok_or(TokenError::request("token_missing"))
}

#[cfg(test)]
mod tests;
