//! What every request passes: request id, security headers, credentials, body, errors.

pub(crate) mod body;
pub(crate) mod context;
pub(crate) mod credentials;
pub(crate) mod error;
pub(crate) mod headers;
pub(crate) mod oauth;
pub(crate) mod query;

pub(crate) use context::Context;
pub(crate) use error::ApiError;
