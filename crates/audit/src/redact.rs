//! Takes secrets out of texts before they are logged or kept (keys §2.7): callers put them in odd places.

use std::borrow::Cow;

/// The prefixes of our secrets.
const PREFIXES: [&str; 7] = ["sp_live_", "sp_test_", "sp_ac_", "sp_at_", "sp_rt_", "sp_cs_", "whsec_"];
/// So many characters behind a prefix are taken for a secret, however many belong to a whole one: one that was cut off
/// gives nearly as much away.
const LEAST: usize = 16;
/// How a signed access token begins, and what it says behind the first dot: `{"` in base64url.
const OBJECT: &str = "eyJ";
/// What may stay of a secret behind its prefix.
const HINT_CHARACTERS: usize = 4;

/// Replaces each secret by its hint: prefix, first four characters, `…`.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut out: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = next_secret(text, at) {
        let out = out.get_or_insert_with(|| String::with_capacity(text.len()));
        out.push_str(text.get(copied..found.body + HINT_CHARACTERS).unwrap_or_default());
        out.push('…');
        copied = found.end;
        at = found.end;
    }
    match out {
        None => Cow::Borrowed(text),
        Some(mut out) => {
            out.push_str(text.get(copied..).unwrap_or_default());
            Cow::Owned(out)
        }
    }
}

struct Found {
    body: usize,
    end: usize,
}

fn next_secret(text: &str, from: usize) -> Option<Found> {
    let mut at = from;
    loop {
        let rest = text.get(at..)?;
        let offset = rest.find(['e', 's', 'w'])?;
        let start = at + offset;
        let candidate = text.get(start..)?;
        if let Some(length) = signed_token(candidate) {
            return Some(Found { body: start + OBJECT.len(), end: start + length });
        }
        for prefix in PREFIXES {
            let Some(body) = candidate.strip_prefix(prefix) else {
                continue;
            };
            let length = body.bytes().take_while(|byte| is_secret_byte(prefix, *byte)).count();
            if length >= LEAST {
                let body = start + prefix.len();
                return Some(Found { body, end: body + length });
            }
        }
        at = start + 1;
    }
}

fn is_secret_byte(prefix: &str, byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte == b'_'
        || byte == b'-'
        || (prefix == "whsec_" && matches!(byte, b'+' | b'/' | b'='))
}

/// How long the signed token is with which a text begins (RFC 7515 §7.1): header, claims, signature, or what a cut has left
/// of it. Whoever has the first two parts can't use them, but what they say is about somebody.
fn signed_token(text: &str) -> Option<usize> {
    let part = |text: &str| text.bytes().take_while(|byte| is_secret_byte("", *byte)).count();
    let header = Some(part(text)).filter(|length| *length >= LEAST && text.starts_with(OBJECT))?;
    let claims = text.get(header..)?.strip_prefix('.').filter(|rest| rest.starts_with(OBJECT))?;
    let said = header + 1 + part(claims);
    let signature = text.get(said..)?.strip_prefix('.').map_or(0, |rest| 1 + part(rest));
    Some(said + signature)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> String {
        format!("sp_live_{}", "Ab3-".repeat(16))
    }

    #[test]
    fn a_token_inside_a_url_leaves_its_hint() {
        let text = format!("GET /x?key={}&y=1", token());
        assert_eq!(redact(&text), "GET /x?key=sp_live_Ab3-…&y=1");
    }

    #[test]
    fn every_kind_of_secret_is_found() {
        let kinds = ["sp_live_", "sp_test_", "sp_ac_", "sp_at_", "sp_rt_", "sp_cs_", "whsec_"];
        let left = kinds.map(|kind| redact(&format!("{kind}{}", "x".repeat(64))).len() <= kind.len() + 7);
        assert_eq!(left, [true; 7]);
    }

    #[test]
    fn a_token_that_was_cut_off_leaves_no_more_than_its_hint() {
        let cut = token();
        let left = [71, 40, 24].map(|length| redact(&cut[..length]).into_owned());
        assert_eq!(left, ["sp_live_Ab3-…"; 3]);
    }

    fn signed() -> String {
        let signature = "Ab3-".repeat(21);
        format!("eyJ0eXAiOiJhdCtqd3QifQ.eyJpc3MiOiJodHRwOi8vYXV0aC50ZXN0In0.{signature}_A")
    }

    #[test]
    fn a_signed_token_leaves_its_hint() {
        let whole = redact(&format!("agent/1 ({}) x", signed())).into_owned();
        let cut = [140, 90, 64, 58, 30].map(|length| redact(&signed()[..length]).into_owned());
        assert_eq!((whole.as_str(), cut), ("agent/1 (eyJ0eXA…) x", ["eyJ0eXA…"; 5].map(str::to_owned)));
    }

    #[test]
    fn what_is_no_secret_stays_and_costs_no_copy() {
        let texts = ["sp_live_short and others", "eyJ.eyJ.x", "eyeglasses. eyJ", "eyJ0eXAiOiJhdCtqd3QifQ and a dot."];
        assert!(texts.iter().all(|text| matches!(redact(text), Cow::Borrowed(_))));
    }

    proptest! {
        #[test]
        fn a_signed_token_never_survives_whatever_stands_around_it(before in ".{0,40}", after in ".{0,40}") {
            let text = format!("{before}{}{after}", signed());
            prop_assert!(!redact(&text).contains("Ab3-Ab3-Ab3-Ab3-"));
        }

        #[test]
        fn a_token_never_survives_whatever_stands_around_it(before in ".{0,40}", after in ".{0,40}") {
            let text = format!("{before}{}{after}", token());
            prop_assert!(!redact(&text).contains("Ab3-Ab3-Ab3-Ab3-"));
        }
    }
}
