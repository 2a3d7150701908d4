use super::*;

const TOKEN: [TokenErrorCode; 8] = [
    TokenErrorCode::InvalidRequest,
    TokenErrorCode::InvalidClient,
    TokenErrorCode::InvalidGrant,
    TokenErrorCode::UnauthorizedClient,
    TokenErrorCode::UnsupportedGrantType,
    TokenErrorCode::InvalidScope,
    TokenErrorCode::InvalidTarget,
    TokenErrorCode::TemporarilyUnavailable,
];

#[test]
fn the_words_are_the_registered_ones() {
    let words = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "temporarily_unavailable",
    ];
    assert_eq!(TOKEN.map(TokenErrorCode::as_str), words);
}

#[test]
fn the_authorization_endpoints_words_are_the_registered_ones() {
    let codes = [
        AuthorizeErrorCode::InvalidRequest,
        AuthorizeErrorCode::AccessDenied,
        AuthorizeErrorCode::UnsupportedResponseType,
        AuthorizeErrorCode::InvalidScope,
        AuthorizeErrorCode::InvalidTarget,
        AuthorizeErrorCode::ConsentRequired,
        AuthorizeErrorCode::RequestNotSupported,
        AuthorizeErrorCode::RequestUriNotSupported,
    ];
    let words = [
        "invalid_request",
        "access_denied",
        "unsupported_response_type",
        "invalid_scope",
        "invalid_target",
        "consent_required",
        "request_not_supported",
        "request_uri_not_supported",
    ];
    assert_eq!(codes.map(AuthorizeErrorCode::as_str), words);
}

#[test]
fn a_failed_client_is_401_what_may_work_later_503_and_the_rest_400() {
    assert_eq!(TOKEN.map(TokenErrorCode::http_status), [400, 401, 400, 400, 400, 400, 400, 503]);
}

#[test]
fn descriptions_have_the_characters_that_rfc_6749_allows() {
    let allowed = |byte: u8| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    let odd = TOKEN.into_iter().find(|code| !code.description().bytes().all(allowed) || code.description().is_empty());
    assert_eq!(odd, None);
}
