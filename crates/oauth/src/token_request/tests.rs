use proptest::prelude::*;

use super::*;
use crate::fixtures::{VERIFIER, entropy, form};

/// Of RFC 6749 §4 to §6, RFC 7521 §4.2, RFC 7636 §4.5, RFC 7009 §2.1 and RFC 7662 §2.1.
const KNOWN: [&str; 12] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "grant_type",
    "redirect_uri",
    "refresh_token",
    "scope",
    "token",
    "token_type_hint",
];

fn text(kind: TokenKind) -> String {
    OpaqueToken::from_entropy(kind, &entropy(1)).expose().to_owned()
}

fn redemption() -> String {
    format!("grant_type=authorization_code&code={}&redirect_uri=https%3A%2F%2Fapp.example%2Fcb", text(TokenKind::Code))
}

fn read(body: &str) -> Result<TokenRequest, TokenError> {
    TokenRequest::parse(&form(body), Endpoint::Token)
}

fn refused(body: &str) -> (&'static str, &'static str) {
    read(body).map_or_else(|error| (error.code.as_str(), error.reason), |_| ("ok", ""))
}

/// The code's request, or nothing for another one.
fn code(body: &str) -> Option<CodeRequest> {
    match read(body).ok()? {
        TokenRequest::Code(request) => Some(request),
        _ => None,
    }
}

#[test]
fn a_redemption_is_read() {
    let request = code(&format!("{}&code_verifier={VERIFIER}", redemption())).unwrap();
    let read = (request.code.is_some(), request.redirect_uri.as_deref(), request.verifier.is_some());
    assert_eq!(read, (true, Some("https://app.example/cb"), true));
}

#[test]
fn a_refresh_is_read() {
    let request = read(&format!("grant_type=refresh_token&refresh_token={}", text(TokenKind::Refresh))).unwrap();
    assert!(matches!(request, TokenRequest::Refresh(RefreshRequest { token: Some(_) })));
}

#[test]
fn client_credentials_are_read() {
    assert_eq!(read("grant_type=client_credentials").unwrap().grant_type(), GrantType::ClientCredentials);
}

#[test]
fn a_missing_grant_type_is_a_bad_request() {
    let bodies = ["", "grant_type=", "grant_type", "Grant_Type=client_credentials", "foo=1"];
    assert_eq!(bodies.map(refused), [("invalid_request", "grant_type_missing"); 5]);
}

#[test]
fn a_grant_type_that_nobody_may_use_is_unsupported() {
    let grants =
        ["password", "implicit", "Authorization_Code", "urn:x", "refresh_token+", "%zz", "%00", "refresh_tokens"];
    let judged = grants.map(|grant| refused(&format!("grant_type={grant}")));
    assert_eq!(judged, [("unsupported_grant_type", "grant_type_unsupported"); 8]);
}

#[test]
fn the_refresh_endpoint_serves_refresh_tokens_alone() {
    let serves = |grant: GrantType| {
        let body =
            format!("{}&refresh_token=x&grant_type={}", redemption().replace("grant_type=", "x="), grant.as_str());
        TokenRequest::parse(&form(&body), Endpoint::Refresh).map_or_else(|error| error.code.as_str(), |_| "ok")
    };
    assert_eq!(GrantType::ALL.map(serves), ["unsupported_grant_type", "ok", "unsupported_grant_type"]);
}

#[test]
fn what_a_grant_needs_is_asked_for() {
    let bodies = [
        "grant_type=authorization_code&redirect_uri=x".to_owned(),
        "grant_type=authorization_code&redirect_uri=x&code=".to_owned(),
        format!("grant_type=authorization_code&code={}", text(TokenKind::Code)),
        format!("grant_type=authorization_code&code={}&redirect_uri=", text(TokenKind::Code)),
        "grant_type=refresh_token".to_owned(),
        "grant_type=refresh_token&refresh_token=".to_owned(),
    ];
    let missing = ["code_missing", "code_missing", "redirect_uri_missing", "redirect_uri_missing"];
    let missing = [missing.as_slice(), &["refresh_token_missing"; 2]].concat();
    assert_eq!(
        bodies.map(|body| refused(&body)).to_vec(),
        missing.iter().map(|why| ("invalid_request", *why)).collect::<Vec<_>>()
    );
}

#[test]
fn each_known_parameter_is_given_once_whatever_the_grant() {
    let twice = |name: &&str| {
        ["client_credentials", "refresh_token", "authorization_code", "bogus"].iter().all(|grant| {
            let grant = if *name == "grant_type" { String::new() } else { format!("&grant_type={grant}") };
            refused(&format!("{name}=a&{name}=a{grant}")) == ("invalid_request", "parameter_repeated")
        })
    };
    assert_eq!(KNOWN.iter().find(|name| !twice(name)), None);
}

#[test]
fn a_repetition_of_something_empty_is_one_too() {
    let judged = KNOWN.map(|name| check_once(&form(&format!("{name}=&{name}="))).is_err());
    assert_eq!(judged, [true; 12]);
}

#[test]
fn resources_and_unknown_parameters_may_repeat() {
    assert_eq!(refused("grant_type=client_credentials&resource=a&resource=b&foo=1&foo=2"), ("ok", ""));
}

#[test]
fn another_kind_of_token_is_no_code() {
    let body = |code: &str| format!("grant_type=authorization_code&redirect_uri=x&code={code}");
    let long = "x".repeat(10_000);
    let access = text(TokenKind::Access);
    let codes = ["%00", "%ff", "'+OR+1=1--", &long, &access, "%zz"];
    assert!(codes.iter().all(|text| code(&body(text)).unwrap().code.is_none()));
}

#[test]
fn another_kind_of_token_is_no_refresh_token() {
    let tokens = [text(TokenKind::Access), text(TokenKind::Code), "%00".to_owned(), "x".repeat(10_000)];
    let none = tokens.iter().all(|token| {
        let body = format!("grant_type=refresh_token&refresh_token={token}");
        matches!(read(&body), Ok(TokenRequest::Refresh(RefreshRequest { token: None })))
    });
    assert!(none);
}

#[test]
fn a_redirect_uri_that_does_not_decode_is_nobodys() {
    let body = redemption().replace("%2Fcb", "%00");
    assert_eq!(code(&body).unwrap().redirect_uri, None);
}

#[test]
fn a_verifier_of_another_form_is_a_bad_request() {
    let verifiers = ["x", "%zz", "%00", &"a".repeat(129), &format!("{}+", "a".repeat(43))];
    let judged = verifiers.map(|verifier| refused(&format!("{}&code_verifier={verifier}", redemption())));
    assert_eq!(judged, [("invalid_request", "verifier_malformed"); 5]);
}

#[test]
fn an_empty_verifier_counts_as_left_out() {
    assert!(code(&format!("{}&code_verifier=", redemption())).unwrap().verifier.is_none());
}

#[test]
fn the_token_that_is_asked_about_is_there_once() {
    let read = |body: &str| presented_token(&form(body)).map(|_| "token").unwrap_or_else(|error| error.reason);
    let bodies = ["token=x", "token=%00", "token=", "", "token=x&token=", "token=x&scope=a&scope=b"];
    let (missing, repeated) = ("token_missing", "parameter_repeated");
    assert_eq!(bodies.map(read), ["token", "token", missing, missing, repeated, repeated]);
}

#[test]
fn debug_shows_the_grant_type_alone() {
    assert_eq!(format!("{:?}", read(&redemption()).unwrap()), "TokenRequest(authorization_code)");
}

proptest! {
    #[test]
    fn any_form_is_read_or_refused_as_a_bad_request(body in "((grant_type|code|scope|x)=(authorization_code|[a-z%0]{0,4})&){0,5}") {
        let codes = ["ok", "invalid_request", "unsupported_grant_type"];
        prop_assert!(codes.contains(&refused(&body).0));
    }
}
