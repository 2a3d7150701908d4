//! Client authentication by exactly one way (RFC 6749 §2.3; oauth §4.4).

use std::{fmt, hint::black_box};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use statuspulse_policy::AppSecretId;
use zeroize::Zeroizing;

use crate::{
    app::{App, AppKind, MOST_SECRETS},
    error::{TokenError, TokenErrorCode},
    form::{self, Field, Form},
    token::{ClientId, DigestKey, TokenDigest},
};

/// How a client said who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The `Authorization` header.
    Basic,
    /// The body.
    Post,
    /// The id alone.
    None,
}

/// Who a request says it comes from, unproven.
pub struct Claim {
    client_id: String,
    secret: Option<Zeroizing<String>>,
    method: Method,
}

impl Claim {
    /// The id as it was sent; it may be anything.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The id, if it has the form of one.
    #[must_use]
    pub fn parsed_client_id(&self) -> Option<ClientId> {
        ClientId::parse(&self.client_id)
    }

    /// How it was said.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Claim({:?})", self.method)
    }
}

/// Stands for a secret that doesn't decode: no decoded value holds U+0000, so it equals none.
const NOBODYS: &str = "\0";

const fn invalid_client(reason: &'static str) -> TokenError {
    TokenError::new(TokenErrorCode::InvalidClient, reason)
}

/// Reads who a request says it comes from. `authorization` is every line of that header.
///
/// # Errors
/// `invalid_request` for two ways at once or two ids; `invalid_client` for none, or a header that can't be read.
pub fn read(authorization: &[&[u8]], form: &Form) -> Result<Claim, TokenError> {
    const ASSERTION: [&str; 2] = ["client_assertion", "client_assertion_type"];
    let body = |name| form.one(name).map_err(|_| TokenError::request("parameter_repeated"));
    let (body_id, body_secret) = (body("client_id")?, body("client_secret")?);
    for name in ASSERTION {
        if body(name)?.is_some() {
            return Err(invalid_client("assertion_unsupported"));
        }
    }
    let line = match authorization {
        [] => None,
        [line] => Some(*line),
        _ => return Err(TokenError::request("authorization_repeated")),
    };
    let Some(line) = line else {
        // What doesn't decode is the id, or the secret, of nobody. Not the empty secret, which a public app may send.
        let Some(id) = body_id else { return Err(invalid_client("client_missing")) };
        let client_id = id.text().unwrap_or_default().to_owned();
        let secret = body_secret.map(|secret| Zeroizing::new(secret.text().unwrap_or(NOBODYS).to_owned()));
        let method = if secret.is_some() { Method::Post } else { Method::None };
        return Ok(Claim { client_id, secret, method });
    };
    let (client_id, secret) = basic(line).ok_or(invalid_client("authorization_malformed"))?;
    if body_secret.is_some() {
        return Err(TokenError::request("client_authenticated_twice"));
    }
    if body_id.is_some_and(|id| id != Field::Text(&client_id)) {
        return Err(TokenError::request("client_id_differs"));
    }
    Ok(Claim { client_id, secret: Some(secret), method: Method::Basic })
}

/// The id that a request names, also where the way in which it does is refused. It proves nothing: it is for the trail, so
/// that the app's owner learns of what was refused before anybody was authenticated.
#[must_use]
pub fn named(authorization: &[&[u8]], form: &Form) -> Option<String> {
    let header = authorization.iter().find_map(|line| basic(line)).map(|(id, _)| id);
    header.or_else(|| form.all("client_id").find_map(Field::text).map(str::to_owned))
}

/// Id and secret of a Basic header, each form-decoded (RFC 6749 §2.3.1); none for another scheme or anything malformed.
fn basic(line: &[u8]) -> Option<(String, Zeroizing<String>)> {
    let line = std::str::from_utf8(line).ok()?;
    let (scheme, rest) = line.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(rest.trim_matches(' ')).ok()?);
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (id, secret) = decoded.split_at(colon);
    let id = form::decode(id)?;
    let secret = form::decode(secret.strip_prefix(b":").unwrap_or(secret))?;
    Some((id.to_string(), secret))
}

/// A client that has proven who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authenticated {
    /// The secret that proved it; none for a public app.
    pub secret: Option<AppSecretId>,
}

/// Judges a claim against the app of that id, if there is one. The work is the same for an unknown app, a wrong secret, an
/// ended one and a suspended app: the digests of what was presented, compared with as many as an app can have.
///
/// # Errors
/// `invalid_client`, with the reason for the app's owner.
pub fn authenticate(
    claim: &Claim,
    app: Option<&App>,
    keys: &[DigestKey],
    now: DateTime<Utc>,
) -> Result<Authenticated, TokenError> {
    let presented = claim.secret.as_deref().map_or("", String::as_str);
    let digests: Vec<(i16, TokenDigest)> = keys.iter().map(|key| (key.version(), key.secret(presented))).collect();
    let secrets = app.map(|app| app.secrets.as_slice()).unwrap_or_default();
    // Every one is compared, whatever the ones before said, and stand-ins where there are fewer than an app can have.
    let stand_in = TokenDigest::from_bytes([0; 32]);
    let mut fitting = None;
    for place in 0..secrets.len().max(MOST_SECRETS) {
        let secret = secrets.get(place);
        for (version, digest) in &digests {
            let equal = black_box(secret.map_or(&stand_in, |secret| &secret.digest)).matches(digest);
            if black_box(equal) && secret.is_some_and(|secret| secret.key_version == *version) {
                fitting = secret;
            }
        }
    }
    let app = app.ok_or(invalid_client("client_unknown"))?;
    let authenticated = match (app.kind, &claim.secret, fitting) {
        (AppKind::Public, None, _) => Authenticated { secret: None },
        (AppKind::Public, Some(secret), _) if secret.is_empty() => Authenticated { secret: None },
        (AppKind::Public, Some(_), _) => return Err(invalid_client("secret_unexpected")),
        (AppKind::Confidential, None, _) => return Err(invalid_client("secret_missing")),
        (AppKind::Confidential, Some(_), None) => return Err(invalid_client("secret_unknown")),
        (AppKind::Confidential, Some(_), Some(secret)) if !secret.is_live(now) => {
            return Err(invalid_client("secret_ended"));
        }
        (AppKind::Confidential, Some(_), Some(secret)) => Authenticated { secret: Some(secret.id) },
    };
    if app.deleted_at.is_some() {
        return Err(invalid_client("client_unknown"));
    }
    if app.is_active() { Ok(authenticated) } else { Err(invalid_client("app_suspended")) }
}

#[cfg(test)]
mod tests;
