//! Slack's side: its blocks, its limits, and what its texts must not hold.

use serde_json::{Value, json};

use super::Notice;

/// Characters of a header (Slack, Block Kit: header block).
pub(super) const LONGEST_HEADER: usize = 150;
/// Characters of a section's text.
pub(super) const LONGEST_SECTION: usize = 3_000;
/// Characters of a field.
pub(super) const LONGEST_FIELD: usize = 2_000;
/// Fields of a section.
pub(super) const MOST_FIELDS: usize = 10;

pub(super) fn message(notice: &Notice, context: &str, public_url: &str) -> Value {
    let mut blocks = vec![json!({"type": "header", "text": plain(&notice.title, LONGEST_HEADER)})];
    let fields: Vec<Value> = notice.fields.iter().take(MOST_FIELDS).map(|(label, value)| field(label, value)).collect();
    if !fields.is_empty() {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    blocks.push(json!({"type": "section", "text": plain(&notice.advice, LONGEST_SECTION)}));
    // A button would do as well, but Slack sends its clicks to an app that does not exist here.
    if let Some(link) = notice.link.as_ref().and_then(|(words, path)| link(words, public_url, path)) {
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": link, "verbatim": true}}));
    }
    blocks.push(json!({"type": "context", "elements": [plain(context, LONGEST_FIELD)]}));

    let heading = match &notice.about {
        Some(about) => format!("{}: {about}", notice.title),
        None => notice.title.clone(),
    };
    json!({
        // Shown in notifications, and by what knows no blocks. Nothing in it is to become a link or a format.
        "text": inert(&format!("{heading} — {}", notice.advice), LONGEST_SECTION),
        "mrkdwn": false,
        "parse": "none",
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    })
}

/// A text without formatting.
fn plain(text: &str, longest: usize) -> Value {
    json!({"type": "plain_text", "text": inert(text, longest), "emoji": false})
}

/// A field's label and value, on a line each. The value can't begin a line of its own.
fn field(label: &str, value: &str) -> Value {
    let value = inert(value, LONGEST_FIELD.saturating_sub(label.chars().count() + 1));
    json!({"type": "plain_text", "text": format!("{label}\n{value}"), "emoji": false})
}

/// Only our own words and the operator's URL; where that has characters of Slack's syntax there is no link.
fn link(words: &str, public_url: &str, path: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'|');
    let url = format!("{public_url}{path}");
    let good = url.bytes().all(plain) && (url.starts_with("https://") || url.starts_with("http://"));
    good.then(|| format!("<{}|{words}>", url.replace('&', "&amp;")))
}

/// One line of at most so many characters: `&`, `<` and `>` escaped, so that nothing mentions or links; control characters
/// and marks that turn text around are blanks, and blanks in a row are one.
pub(super) fn inert(text: &str, longest: usize) -> String {
    const CUT: char = '…';
    let mut line = String::new();
    let mut length = 0_usize;
    let mut room_before_cut = 0_usize;
    let mut blank = false;
    for character in text.chars() {
        if character.is_whitespace() || is_invisible(character) {
            blank = !line.is_empty();
            continue;
        }
        let mut buffer = [0_u8; 4];
        let escaped: &str = match character {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => character.encode_utf8(&mut buffer),
        };
        let added = escaped.chars().count() + usize::from(blank);
        if length + added > longest {
            line.truncate(room_before_cut);
            line.push(CUT);
            return line;
        }
        if std::mem::take(&mut blank) {
            line.push(' ');
        }
        line.push_str(escaped);
        length += added;
        if length < longest {
            room_before_cut = line.len();
        }
    }
    line
}

/// Joiners (U+200C, U+200D) are not among them: some scripts and emoji are written with them.
const fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}
