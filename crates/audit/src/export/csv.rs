//! `csv`: RFC 4180 with a header line and CRLF.
//!
//! Made for spreadsheets, which take a cell for a formula when it begins with `=`, `+`, `-`, `@`, tab or CR (and, in some
//! languages, LF or a full-width form of the signs). Such a cell gets a `'` before it. So that the original can be told, a
//! cell that begins with one or more `'` and then such a character gets one too; a reader takes one `'` off just where one
//! or more of them stand before such a character. Order of reading: quotes, then `\uXXXX`, then the `'`.
//!
//! Where the list separator is `;`, a spreadsheet splits cells that a comma separates not at all, so `x;=1` would end in a
//! formula: that `;` comes out as `\u003B`.
//!
//! `detail` is JSON text and has JSON's own escapes only: it begins with `{` and is read by a JSON reader as it stands. An
//! absent value is an empty cell; an empty user agent differs from none by its commitment.

use ::csv::{Terminator, WriterBuilder};

use super::{Cause, inert};
use crate::record::{Record, instant};

/// Names of the columns, in their order: those of the `jsonl` form, with `actor` in three.
pub(super) const COLUMNS: [&str; 28] = [
    "id",
    "stream",
    "sequence",
    "occurred_at",
    "recorded_at",
    "class",
    "action",
    "outcome",
    "reason",
    "organization_id",
    "actor_kind",
    "actor_id",
    "actor_version",
    "method",
    "route",
    "status",
    "ip",
    "country",
    "user_agent",
    "fingerprint",
    "request_id",
    "detail",
    "ip_commit",
    "user_agent_commit",
    "salt",
    "leaf",
    "prev",
    "hash",
];

/// The header line. None of the names needs a quote.
pub(super) fn header() -> String {
    let mut line = COLUMNS.join(",");
    line.push_str("\r\n");
    line
}

pub(super) fn write(record: &Record, out: &mut Vec<u8>) -> Result<(), Cause> {
    let entry = &record.entry;
    let detail = without_separated_formula(&inert::json(&entry.detail).map_err(Cause::Json)?);
    let text = |text: &str| cell(text);
    let some = |text: &Option<String>| text.as_deref().map(cell).unwrap_or_default();
    let cells: [String; COLUMNS.len()] = [
        entry.id.to_string(),
        record.stream.to_string(),
        text(&record.sequence.to_string()),
        text(&instant(entry.occurred_at)),
        text(&instant(record.recorded_at)),
        text(&entry.class.to_string()),
        text(&entry.action),
        text(&entry.outcome),
        some(&entry.reason),
        shown(entry.organization_id),
        text(&entry.actor.kind),
        some(&entry.actor.id),
        text(&shown(entry.actor.version)),
        some(&entry.method),
        some(&entry.route),
        shown(entry.status),
        shown(entry.ip),
        some(&entry.country),
        some(&entry.user_agent),
        shown(entry.fingerprint),
        shown(entry.request_id),
        detail,
        shown(record.ip_commit),
        shown(record.user_agent_commit),
        shown(record.salt),
        record.leaf.to_string(),
        record.prev.to_string(),
        record.hash.to_string(),
    ];
    // The default buffer of 8 KiB would be allocated for every row.
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).buffer_capacity(1_024).from_writer(out);
    writer.write_record(&cells).map_err(Cause::Csv)?;
    writer.flush().map_err(|error| Cause::Csv(error.into()))
}

fn shown(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn cell(text: &str) -> String {
    let guarded =
        if text.trim_start_matches('\'').starts_with(begins_formula) { format!("'{text}") } else { text.to_owned() };
    let must = |at: usize, character: char| inert::is_unsafe(character) || separates_formula(&guarded, at);
    inert::escape(&guarded, must).into_owned()
}

/// OWASP, "CSV Injection".
pub(super) const fn begins_formula(character: char) -> bool {
    matches!(character, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠')
}

/// Whether the character at this offset is a `;` with a formula behind it.
fn separates_formula(text: &str, at: usize) -> bool {
    text.get(at..).and_then(|rest| rest.strip_prefix(';')).is_some_and(|rest| rest.starts_with(begins_formula))
}

/// JSON has a `;` inside strings only, where the escape is JSON's own.
fn without_separated_formula(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for (at, character) in json.char_indices() {
        if separates_formula(json, at) {
            inert::push(&mut out, character);
        } else {
            out.push(character);
        }
    }
    out
}
