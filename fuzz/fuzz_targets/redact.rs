//! No whole secret survives the redactor, and user agents come out on one line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use statuspulse_audit::{redact::redact, user_agent::escape};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let clean = redact(&text);
    assert!(matches!(redact(&clean), std::borrow::Cow::Borrowed(_)) || clean.len() < text.len());
    assert!(!escape(bytes).chars().any(char::is_control));
});
