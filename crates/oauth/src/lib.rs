//! OAuth 2 for third-party apps: what is asked is read once into types, what is decided is a pure function of the request,
//! what is known, and the moment. The rules are those of `docs/spec/oauth.md`; the section is named beside each of them.
//!
//! Nothing here does I/O, reads a clock or makes randomness. Who applies a decision puts the guard into the statement:
//! a race is decided by the database, never by what was read before.

pub mod app;
pub mod authorize;
pub mod client_auth;
pub mod code;
pub mod error;
#[cfg(test)]
mod fixtures;
pub mod form;
pub mod grant;
pub mod jwks;
pub mod jwt;
pub mod metadata;
pub mod pkce;
pub mod redirect_uri;
pub mod refresh;
pub mod resource;
pub mod scope_request;
pub mod token;
pub mod token_request;

pub use app::{App, AppKind, AppSecret, AppStatus, TokenFormat};
pub use error::{AuthorizeErrorCode, TokenError, TokenErrorCode};
pub use form::{Field, Form};
pub use grant::{Grant, GrantStatus};
pub use pkce::{Challenge, Verifier};
pub use redirect_uri::RedirectUri;
pub use resource::Resources;
pub use token::{ClientId, ClientSecret, DigestKey, OpaqueToken, TokenDigest, TokenKind};
