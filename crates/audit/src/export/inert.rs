//! Characters that do more than stand for themselves, and how they are written instead.

use std::{borrow::Cow, fmt::Write as _, io};

use serde::Serialize;
use serde_json::ser::Formatter;

/// Whether a character breaks a line, steers a terminal, or reorders or hides text where it is shown: controls (C0, DEL,
/// C1), line separators, bidirectional controls (Unicode UAX #9; "Trojan Source", CVE-2021-42574), and those that are
/// invisible, tags included.
pub(super) const fn is_unsafe(character: char) -> bool {
    matches!(character,
        '\0'..='\x1F' | '\x7F'..='\u{9F}'
        | '\u{00AD}' | '\u{061C}' | '\u{180E}'
        | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// Writes what `must` picks (told the byte offset) as `\uXXXX`, and the backslash of whatever looks like that already.
pub(super) fn escape(text: &str, must: impl Fn(usize, char) -> bool) -> Cow<'_, str> {
    let picked = |at: usize, character: char| must(at, character) || (character == '\\' && is_escape(text, at));
    if !text.char_indices().any(|(at, character)| picked(at, character)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, character) in text.char_indices() {
        if picked(at, character) {
            push(&mut out, character);
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Whether `\uXXXX` stands at this offset.
fn is_escape(text: &str, at: usize) -> bool {
    let digits = text.get(at..).and_then(|rest| rest.strip_prefix("\\u")).and_then(|rest| rest.get(..4));
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `\uXXXX`, twice for what is outside the basic plane.
pub(super) fn push(out: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        let _ = write!(out, "\\u{unit:04X}");
    }
}

/// Compact JSON in which every unsafe character is `\uXXXX`: the same value, on one line.
pub(super) fn write_json(value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, InertJson))
}

/// [`write_json`], as text.
pub(super) fn json(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut out = Vec::new();
    write_json(value, &mut out)?;
    // The serializer only writes whole fragments of UTF-8.
    Ok(String::from_utf8_lossy(&out).into_owned())
}

struct InertJson;

impl Formatter for InertJson {
    /// What the serializer itself doesn't escape: it knows quotes, backslashes and the controls below U+0020.
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|(_, character)| is_unsafe(*character)) {
            let (before, after) = rest.split_at(at);
            let mut escaped = String::with_capacity(12);
            push(&mut escaped, character);
            writer.write_all(before.as_bytes())?;
            writer.write_all(escaped.as_bytes())?;
            rest = after.get(character.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}
