//! The well-known documents (RFC 8414, RFC 9728). No null, no empty list.

use serde::Serialize;

use crate::{authorize::CODE_SECONDS, grant::ACCESS_SECONDS, pkce, token_request::GrantType};

/// Where the document of the authorization server lies.
pub const SERVER_PATH: &str = "/.well-known/oauth-authorization-server";
/// Where that of the protected resource lies.
pub const RESOURCE_PATH: &str = "/.well-known/oauth-protected-resource";

/// The authorization server (RFC 8414 §2).
#[derive(Debug, Clone, Serialize)]
pub struct ServerMetadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    revocation_endpoint: String,
    introspection_endpoint: String,
    jwks_uri: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<String>,
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 3],
    code_challenge_methods_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 3],
    revocation_endpoint_auth_methods_supported: [&'static str; 3],
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    authorization_response_iss_parameter_supported: bool,
    /// Seconds for which a code may be redeemed; a member of our own.
    authorization_code_lifetime: i64,
    /// Seconds for which an access token lives; a member of our own.
    access_token_lifetime: i64,
}

impl ServerMetadata {
    /// The document of an issuer.
    #[must_use]
    pub fn new(issuer: &str, scopes: Vec<String>) -> Self {
        let at = |path: &str| format!("{issuer}{path}");
        Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: at("/oauth/authorize"),
            token_endpoint: at("/oauth/token"),
            revocation_endpoint: at("/oauth/revoke"),
            introspection_endpoint: at("/oauth/introspect"),
            jwks_uri: at("/.well-known/jwks.json"),
            scopes_supported: scopes,
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: GrantType::ALL.map(GrantType::as_str),
            code_challenge_methods_supported: [pkce::METHOD],
            token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
            revocation_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
            introspection_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post"],
            authorization_response_iss_parameter_supported: true,
            authorization_code_lifetime: CODE_SECONDS,
            access_token_lifetime: ACCESS_SECONDS,
        }
    }
}

/// The protected resource (RFC 9728 §2).
#[derive(Debug, Clone, Serialize)]
pub struct ResourceMetadata {
    resource: String,
    authorization_servers: [String; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<String>,
    bearer_methods_supported: [&'static str; 1],
}

impl ResourceMetadata {
    /// The document of a resource whose tokens this issuer gives.
    #[must_use]
    pub fn new(issuer: &str, scopes: Vec<String>) -> Self {
        Self {
            resource: issuer.to_owned(),
            authorization_servers: [issuer.to_owned()],
            scopes_supported: scopes,
            bearer_methods_supported: ["header"],
        }
    }
}

#[cfg(test)]
mod tests;
