//! What of a request is a credential: one `Authorization` header, or the session's cookie, and nothing else.

use actix_web::{
    HttpMessage as _, HttpRequest,
    dev::ServiceRequest,
    http::header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, HeaderMap, USER_AGENT},
    web::Data,
};
use statuspulse_app::{
    AppError,
    verify::{self, Presented},
};
use statuspulse_audit::{RequestTraits, event::Origin, user_agent};
use statuspulse_keys::{Token, token::TOKEN_LENGTH};
use statuspulse_policy::{ClientAddress, RequestId};

use crate::state::State;

/// A longer credential is refused unread.
const LONGEST: usize = 4_096;
/// Keys in one request's URLs that are noted, at most.
const NOTED: usize = 8;

/// The credential of a request (keys §2.4).
pub(crate) fn presented(headers: &HeaderMap) -> Presented<'_> {
    let mut lines = headers.get_all(AUTHORIZATION);
    let Some(line) = lines.next() else { return Presented::Missing };
    if lines.next().is_some() || line.len() > LONGEST {
        return Presented::Malformed;
    }
    let Ok(line) = line.to_str() else { return Presented::Malformed };
    let scheme_ends = line.find(|character: char| !is_token_character(character)).unwrap_or(line.len());
    let (scheme, rest) = line.split_at_checked(scheme_ends).unwrap_or((line, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Presented::Missing;
    }
    match rest.strip_prefix(' ') {
        Some(token) if !token.is_empty() && !token.contains([' ', '\t', ',']) => Presented::Token(token),
        _ => Presented::Malformed,
    }
}

/// RFC 9110 §5.6.2.
const fn is_token_character(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || matches!(character, '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '.' | '^' | '_' | '`' | '|' | '~')
}

/// The client's address at our own endpoints.
pub(crate) fn client_address(state: &State, request: &HttpRequest) -> ClientAddress {
    address(&state.client_ip, request)
}

/// The client's address under a policy.
pub(crate) fn address(policy: &statuspulse_policy::ClientIpPolicy, request: &HttpRequest) -> ClientAddress {
    let lines = request.headers().get_all(policy.header().name()).map(|value| value.as_bytes());
    policy.resolve(request.peer_addr().map(|peer| peer.ip()), lines)
}

/// What the events of a request carry. For a call that a gateway asks about, method and route are those of the call.
pub(crate) fn origin(
    state: &State,
    request: &HttpRequest,
    (method, route): (&str, &str),
    client: ClientAddress,
) -> Origin {
    let header =
        |name| request.headers().get(name).map(|value: &actix_web::http::header::HeaderValue| value.as_bytes());
    let agent = header(USER_AGENT);
    // The library keeps no order of arrival, so the names are sorted: the same client must look the same.
    let mut names: Vec<&str> = request.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    let names = names.join(",");
    let traits = RequestTraits {
        method,
        route,
        user_agent: agent.unwrap_or_default(),
        accept: header(ACCEPT).unwrap_or_default(),
        accept_language: header(ACCEPT_LANGUAGE).unwrap_or_default(),
        header_names: &names,
        tls: b"",
        ip: client.ip(),
    };
    Origin {
        method: Some(short_method(method)),
        route: Some(route.to_owned()),
        ip: client.ip(),
        user_agent: agent.map(user_agent::for_trail),
        fingerprint: Some(state.app.secrets.fingerprint().fingerprint(&traits)),
        request_id: request.extensions().get::<RequestId>().copied(),
    }
}

/// A method as it goes into the trail: inert, and not longer than any real one.
pub(crate) fn short_method(method: &str) -> String {
    user_agent::for_trail(method.as_bytes()).chars().take(32).collect()
}

/// A key in a URL is no credential, but somebody has put it into logs and histories on the way: its owner must know. What
/// a gateway asks about is looked at by the handler, together with the URL of the question.
///
/// # Errors
/// 503 when the event can't be kept.
pub(crate) async fn note_url(request: &ServiceRequest) -> Result<(), AppError> {
    let text = request.uri().path_and_query().map(|both| both.as_str()).unwrap_or_default();
    if !text.contains("sp_") || request.path().starts_with("/v1/forward-auth") {
        return Ok(());
    }
    let Some(state) = request.app_data::<Data<State>>().cloned() else { return Ok(()) };
    let client = client_address(&state, request.request());
    note_keys_in(&state, request.request(), &[text], client).await
}

/// Notes each key that stands in one of the texts, once.
///
/// # Errors
/// 503 when the event can't be kept.
pub(crate) async fn note_keys_in(
    state: &State,
    request: &HttpRequest,
    texts: &[&str],
    client: ClientAddress,
) -> Result<(), AppError> {
    let mut noted: Vec<&str> = Vec::new();
    for text in texts {
        for (at, _) in text.match_indices("sp_") {
            let Some(candidate) = text.get(at..at + TOKEN_LENGTH) else { continue };
            if Token::parse(candidate).is_err() || noted.contains(&candidate) {
                continue;
            }
            noted.push(candidate);
            let origin = origin(state, request, (request.method().as_str(), "unmatched"), client);
            verify::note_in_url(&state.app, candidate, origin).await?;
            if noted.len() >= NOTED {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn read(lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        match presented(&headers) {
            Presented::Missing => "missing".into(),
            Presented::Malformed => "malformed".into(),
            Presented::Token(token) => format!("token {token}"),
        }
    }

    /// spec: keys K1, K2
    #[test]
    fn no_header_or_another_scheme_is_no_credential() {
        assert_eq!([read(&[]), read(&["Basic abc"]), read(&["sp_live_x"])], ["missing"; 3]);
    }

    /// spec: keys K3
    #[test]
    fn the_scheme_is_read_in_any_case() {
        assert_eq!([read(&["bearer t"]), read(&["BEARER t"]), read(&["Bearer t"])], ["token t"; 3]);
    }

    #[test]
    fn bearer_with_anything_but_one_token_is_malformed() {
        let lines = ["Bearer", "Bearer ", "Bearer  t", "Bearer t t", "Bearer\tt", "Bearer t,t", "Bearer t\u{e9}"];
        assert_eq!(lines.map(|line| read(&[line])), ["malformed"; 7]);
    }

    /// spec: keys K9
    #[test]
    fn two_headers_are_malformed_whether_the_same_or_not() {
        assert_eq!([read(&["Bearer t", "Bearer t"]), read(&["Bearer t", "Basic x"])], ["malformed"; 2]);
    }

    #[test]
    fn a_credential_over_4_kib_is_refused_unread() {
        assert_eq!(read(&[&format!("Bearer {}", "x".repeat(LONGEST))]), "malformed");
    }
}
