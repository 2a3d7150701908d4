//! A text is a token only if it is spelled exactly as one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use statuspulse_keys::{SecretHash, Token};

fuzz_target!(|text: &str| {
    if let Ok(token) = Token::parse(text) {
        assert_eq!(token.expose(), text);
    }
    let _ = SecretHash::parse(text);
});
