//! User agents, kept losslessly and inert (audit §1.4).

use std::fmt::Write as _;

use crate::redact::redact;

/// Bytes of a user agent that are kept.
pub const KEPT_BYTES: usize = 512;

/// Escapes what isn't UTF-8, control characters and the backslash itself as `\xHH`, so that the original bytes can be
/// recovered and one event stays one line. Beyond 512 bytes it is cut, with the original length in the mark: `…[8192]`.
#[must_use]
pub fn escape(raw: &[u8]) -> String {
    let mut cut = raw.len().min(KEPT_BYTES);
    if cut < raw.len() {
        // Step back to the beginning of a character, so that the cut makes no broken one.
        while cut > 0 && raw.get(cut).is_some_and(|byte| byte & 0xC0 == 0x80) {
            cut -= 1;
        }
    }
    let kept = raw.get(..cut).unwrap_or_default();
    let mut out = String::with_capacity(kept.len());
    for chunk in kept.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || is_text_direction(character) || character == '\\' {
                let mut bytes = [0; 4];
                push_escaped(&mut out, character.encode_utf8(&mut bytes).as_bytes());
            } else {
                out.push(character);
            }
        }
        push_escaped(&mut out, chunk.invalid());
    }
    if cut < raw.len() {
        let _ = write!(out, "…[{}]", raw.len());
    }
    out
}

/// A user agent as it goes into the trail: secrets taken out first, since a cut could leave a part of one that nobody
/// recognises any more.
#[must_use]
pub fn for_trail(raw: &[u8]) -> String {
    let mut clean = Vec::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        clean.extend_from_slice(redact(chunk.valid()).as_bytes());
        clean.extend_from_slice(chunk.invalid());
    }
    escape(&clean)
}

fn push_escaped(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\x{byte:02X}");
    }
}

/// Marks that reorder or hide text where it is shown, and the two line separators of Unicode.
const fn is_text_direction(character: char) -> bool {
    matches!(character, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unescape(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            if let [b'\\', b'x', high, low, tail @ ..] = rest {
                let hex = [*high, *low];
                out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                rest = tail;
            } else {
                out.push(*first);
                rest = tail;
            }
        }
        out
    }

    proptest! {
        #[test]
        fn the_original_bytes_can_be_recovered(raw in proptest::collection::vec(any::<u8>(), 0..=KEPT_BYTES)) {
            prop_assert_eq!(unescape(&escape(&raw)), raw);
        }

        #[test]
        fn nothing_escaped_breaks_a_line(raw in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert!(!escape(&raw).chars().any(char::is_control));
        }
    }

    #[test]
    fn a_token_at_the_cut_leaves_no_more_than_its_hint() {
        let raw = format!("{}sp_live_{}", "b".repeat(489), "Ab3-".repeat(16));
        assert!(for_trail(raw.as_bytes()).ends_with("sp_live_Ab3-…"));
    }

    #[test]
    fn line_breaks_are_made_inert() {
        assert_eq!(escape(b"x\r\nfake: 1"), "x\\x0D\\x0Afake: 1");
    }

    #[test]
    fn a_long_one_is_cut_with_its_length() {
        let escaped = escape(&[b'a'; 8_192]);
        assert_eq!(escaped, format!("{}…[8192]", "a".repeat(KEPT_BYTES)));
    }
}
