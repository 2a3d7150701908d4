//! Client authentication: one way or none, the id that was sent, and never somebody who doesn't know the secret.
#![no_main]

mod fixture;

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fixture::{KEY, NOW, encoded};
use libfuzzer_sys::fuzz_target;
use statuspulse_oauth::{
    App, Field, Form, TokenErrorCode,
    client_auth::{self, Claim, Method},
};

static APP: LazyLock<App> = LazyLock::new(|| fixture::app("sp_cs_that_no_input_can_name_\0"));

/// A header's line, a line break, and a body.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

fuzz_target!(|bytes: &[u8]| {
    let (line, body) = split(bytes);
    let form = Form::parse(body);
    let judged = [
        (client_auth::read(&[], &form), None),
        (client_auth::read(&[line], &form), Some(line)),
        (client_auth::read(&[&[b"Basic ", STANDARD.encode(line).as_bytes()].concat()], &form), Some(line)),
    ];
    for (claim, line) in judged {
        match claim {
            Ok(claim) => said(&claim, line.is_some(), &form),
            Err(error) => {
                assert!(matches!(error.code, TokenErrorCode::InvalidClient | TokenErrorCode::InvalidRequest));
            }
        }
    }
    assert!(client_auth::read(&[line, line], &form).is_err());
    proves_itself(line, body);
});

fn said(claim: &Claim, header: bool, form: &Form) {
    assert!(!claim.client_id().contains('\0'));
    assert_eq!(claim.method() == Method::Basic, header);
    let (id, secret) = (form.one("client_id"), form.one("client_secret"));
    if header {
        assert!(secret == Ok(None) && matches!(id, Ok(None | Some(Field::Text(_)))));
    } else {
        assert_eq!(claim.method() == Method::Post, secret != Ok(None));
    }
    if let Ok(Some(Field::Text(id))) = id {
        assert_eq!(claim.client_id(), id);
    }
    assert!(client_auth::authenticate(claim, Some(&APP), std::slice::from_ref(&KEY), NOW).is_err());
    assert!(client_auth::authenticate(claim, None, std::slice::from_ref(&KEY), NOW).is_err());
}

/// Any id and secret, encoded as RFC 6749 §2.3.1 says, are those that are read, in the header and in the body.
fn proves_itself(id: &[u8], secret: &[u8]) {
    let text = |bytes| std::str::from_utf8(bytes).ok().filter(|text: &&str| !text.is_empty() && !text.contains('\0'));
    let (Some(id), Some(secret)) = (text(id), text(secret)) else { return };
    let (sent_id, sent_secret) = (encoded(id.as_bytes()), encoded(secret.as_bytes()));
    let line = format!("Basic {}", STANDARD.encode(format!("{sent_id}:{sent_secret}")));
    let body = format!("client_id={sent_id}&client_secret={sent_secret}");
    let claims = [
        client_auth::read(&[line.as_bytes()], &Form::parse(b"")),
        client_auth::read(&[], &Form::parse(body.as_bytes())),
    ];
    let [right, wrong] = [secret.to_owned(), format!("{secret}x")].map(|secret| fixture::app(&secret));
    for claim in claims {
        let claim = claim.expect("one way, well formed");
        assert_eq!(claim.client_id(), id);
        assert!(client_auth::authenticate(&claim, Some(&right), std::slice::from_ref(&KEY), NOW).is_ok());
        assert!(client_auth::authenticate(&claim, Some(&wrong), std::slice::from_ref(&KEY), NOW).is_err());
    }
}
