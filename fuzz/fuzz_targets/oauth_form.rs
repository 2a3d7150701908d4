//! Forms and queries: what is repeated is refused, what is read is what was sent, and an answer goes to a registered
//! address alone.
#![no_main]

mod fixture;

use std::sync::LazyLock;

use fixture::{CATALOG, REGISTERED, encoded};
use libfuzzer_sys::fuzz_target;
use statuspulse_oauth::{
    App, Field, Form, TokenErrorCode,
    authorize::AuthorizeRequest,
    resource::Known,
    token_request::{Endpoint, TokenRequest, check_once},
};

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

const KNOWN: Known<'static> = Known { public_url: "https://auth.example", audiences: &[] };

static APP: LazyLock<App> = LazyLock::new(|| fixture::app("secret"));

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    token_request(bytes);
    authorize(bytes);

    // Most inputs name no app, so the same is judged behind a good beginning too.
    let uri = encoded(REGISTERED[0].as_bytes());
    let start =
        format!("client_id={}&redirect_uri={uri}&response_type=code&code_challenge_method=S256&", APP.client_id);
    authorize(&[start.as_bytes(), bytes].concat());
    authorize(
        &[start.as_bytes(), b"state=x&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&", bytes].concat(),
    );
});

fn read(bytes: &[u8]) {
    let form = Form::parse(bytes);
    for name in ONCE {
        let values: Vec<Field<'_>> = form.all(name).collect();
        assert!(values.iter().all(|value| value.text().is_none_or(|text| !text.contains('\0'))));
        assert_eq!(form.one(name).is_err(), values.len() > 1);
        if let Some(text) = form.one(name).ok().flatten().and_then(Field::text) {
            let again = Form::parse(format!("{name}={}", encoded(text.as_bytes())).as_bytes());
            assert!(again.one(name) == Ok(Some(Field::Text(text))));
        }
    }
}

fn token_request(bytes: &[u8]) {
    let form = Form::parse(bytes);
    let repeated = ONCE.iter().any(|name| form.all(name).count() > 1);
    assert_eq!(check_once(&form).is_err(), repeated);
    let served = |endpoint| TokenRequest::parse(&form, endpoint);
    match served(Endpoint::Token) {
        Ok(request) => {
            assert!(!repeated);
            assert!(form.one("grant_type") == Ok(Some(Field::Text(request.grant_type().as_str()))));
            if let TokenRequest::Code(asked) = &request {
                let sent = |name| form.one(name).ok().flatten().and_then(Field::text);
                assert_eq!(asked.redirect_uri.as_deref(), sent("redirect_uri"));
                assert!(asked.code.as_ref().is_none_or(|code| Some(code.expose()) == sent("code")));
                assert_eq!(asked.verifier.is_some(), sent("code_verifier").is_some_and(|text| !text.is_empty()));
            }
            let refreshes = matches!(request, TokenRequest::Refresh(_));
            assert_eq!(served(Endpoint::Refresh).is_ok(), refreshes);
        }
        Err(error) => {
            let unsupported = error.code == TokenErrorCode::UnsupportedGrantType;
            assert!(unsupported || error.code == TokenErrorCode::InvalidRequest);
            assert!(served(Endpoint::Refresh).is_err() && !(repeated && unsupported));
        }
    }
}

fn authorize(query: &[u8]) {
    let form = Form::parse(query);
    let request = AuthorizeRequest::parse(query);
    if let Ok(id) = request.client_id() {
        assert!(form.one("client_id") == Ok(Some(Field::Text(id.as_str()))));
    }
    let Ok(target) = request.target(Some(&APP)) else { return };
    assert!(is_registered(&target));
    assert!(form.one("redirect_uri") == Ok(Some(Field::Text(&target))));
    let (state, went_to) = match request.judge(&APP, target.clone(), &CATALOG, &KNOWN) {
        Ok(asked) => {
            assert!(!asked.scopes.is_empty() && asked.scopes.is_subset_of(APP.scopes));
            assert!(asked.challenge.is_some() && asked.state.is_some());
            assert!(asked.resources.as_slice().iter().all(|resource| KNOWN.find(resource).is_some()));
            (asked.state, asked.redirect_uri)
        }
        Err(error) => {
            assert!(error.description.bytes().all(|byte| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)));
            (error.state, error.redirect_uri)
        }
    };
    assert_eq!(went_to, target);
    if let Some(state) = state {
        assert!(form.one("state") == Ok(Some(Field::Text(&state))));
        assert!(state.len() <= 2_048 && state.bytes().all(|byte| matches!(byte, 0x20..=0x7e)));
    }
}

/// One of the two, or the loopback one with a port.
fn is_registered(target: &str) -> bool {
    let port = target.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.strip_suffix("/cb"));
    REGISTERED.contains(&target) || port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}
