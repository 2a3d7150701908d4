//! What is taken from an answer. All of it was written by a stranger.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use super::MOST_KEPT;
use crate::schedule::LONGEST_RETRY_AFTER;

/// Bytes that are enough for [`MOST_KEPT`] bytes of text: a character of up to four bytes that is cut in two lies behind it.
const ENOUGH: usize = MOST_KEPT + 3;

/// The beginning of a body that comes in pieces.
#[derive(Default)]
pub(super) struct Beginning(Vec<u8>);

impl Beginning {
    pub(super) fn push(&mut self, piece: &[u8]) {
        let room = ENOUGH.saturating_sub(self.0.len());
        self.0.extend(piece.iter().take(room));
    }

    /// The text, at most [`MOST_KEPT`] bytes, without a character that could act on a terminal or turn a line around.
    pub(super) fn into_text(self) -> String {
        let mut text = String::new();
        for character in String::from_utf8_lossy(&self.0).chars() {
            let before = text.len();
            if character.is_control() || turns_text(character) {
                // Writing to a string does not fail.
                let _ = write!(text, "{}", character.escape_default());
            } else {
                text.push(character);
            }
            if text.len() > MOST_KEPT {
                text.truncate(before);
                break;
            }
        }
        text
    }
}

/// Marks that change the direction of text (UAX #9).
const fn turns_text(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Reads `Retry-After` (RFC 9110 §10.2.3), in seconds or as a date; an hour at most. A date that has passed is no wait.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let asked = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are more than an hour.
        value.parse().map_or(LONGEST_RETRY_AFTER, Duration::from_secs)
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(asked.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests;
