//! Codes, tokens, client secrets and ids: one spelling each, and no text that differs in a byte is one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use statuspulse_oauth::{
    ClientId, ClientSecret, OpaqueToken, TokenKind,
    token::{CLIENT_ID_LENGTH, SECRET_LENGTH, TOKEN_LENGTH},
};

const KINDS: [TokenKind; 3] = [TokenKind::Code, TokenKind::Access, TokenKind::Refresh];

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
        for prefix in ["sp_ac_", "sp_at_", "sp_rt_", "sp_cs_", "sp_app_"] {
            read(&[prefix, text].concat());
        }
    }
    made(bytes);
});

fn read(text: &str) {
    let token = OpaqueToken::parse(text);
    if let Some(token) = &token {
        assert!(token.expose() == text && text.len() == TOKEN_LENGTH && text.starts_with(token.kind().prefix()));
    }
    for kind in KINDS {
        let is_one = token.as_ref().is_some_and(|token| token.kind() == kind);
        assert_eq!(OpaqueToken::parse_as(kind, text).is_some(), is_one);
    }
    let secret = ClientSecret::is_well_formed(text);
    assert!(!secret || (text.len() == SECRET_LENGTH && text.starts_with("sp_cs_")));
    let id = ClientId::parse(text);
    assert!(id.as_ref().is_none_or(|id| id.as_str() == text && text.len() == CLIENT_ID_LENGTH));
    assert!([token.is_some(), secret, id.is_some()].iter().filter(|is| **is).count() <= 1);
}

/// Makes one of each from the input's first bytes and changes the byte that the last two name.
fn made(bytes: &[u8]) {
    let Some((entropy, rest)) = bytes.split_first_chunk::<44>() else { return };
    let [at, put] = *rest.first_chunk::<2>().unwrap_or(&[0, 0]);
    for kind in KINDS {
        let token = OpaqueToken::from_entropy(kind, entropy);
        assert!(OpaqueToken::parse(token.expose()).is_some_and(|read| read.expose() == token.expose()));
        changed(token.expose(), at, put, |text| OpaqueToken::parse(text).is_some());
    }
    if let Some(entropy) = entropy.first_chunk::<32>() {
        let secret = ClientSecret::from_entropy(entropy);
        assert!(ClientSecret::is_well_formed(secret.expose()));
        changed(secret.expose(), at, put, ClientSecret::is_well_formed);
    }
    if let Some(entropy) = entropy.first_chunk::<16>() {
        let id = ClientId::from_entropy(entropy);
        assert_eq!(ClientId::parse(id.as_str()), Some(id));
    }
}

fn changed(text: &str, at: u8, put: u8, is_one: impl Fn(&str) -> bool) {
    let mut bytes = text.as_bytes().to_vec();
    let at = usize::from(at) % bytes.len();
    bytes[at] = put;
    let other = String::from_utf8_lossy(&bytes);
    assert_eq!(is_one(&other), other == text);
}
