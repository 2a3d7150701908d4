//! Readers of the forms as somebody else would write them, from the descriptions and not from the writers.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use crate::{
    Entry, Record,
    export::csv::COLUMNS,
    record::{ActorRef, instant},
};

/// A line of CEF, read.
pub(super) struct Cef {
    /// Version, vendor, product, product's version, class, name, severity.
    pub(super) header: Vec<String>,
    /// Values as they were in the record.
    pub(super) extension: BTreeMap<String, String>,
    /// Values with CEF's own escapes undone and nothing else.
    pub(super) raw: BTreeMap<String, String>,
}

pub(super) fn cef(line: &str) -> Cef {
    let (mut header, mut part, mut escaped) = (Vec::new(), String::new(), false);
    let mut rest = line.char_indices();
    for (_, character) in rest.by_ref() {
        match character {
            '\\' if !escaped => escaped = true,
            '|' if !escaped => header.push(std::mem::take(&mut part)),
            _ => {
                assert!(!escaped || matches!(character, '\\' | '|'), "no escape of a header: {character}");
                part.push(character);
                escaped = false;
            }
        }
        if header.len() == 7 {
            break;
        }
    }
    let extension = rest.next().map_or("", |(at, _)| &line[at..]);
    let mut raw = BTreeMap::new();
    // A key is the word before each `=` that isn't escaped; its value goes up to the space before the next key.
    let signs: Vec<usize> = extension
        .char_indices()
        .filter(|(at, character)| *character == '=' && !extension[..*at].ends_with('\\'))
        .map(|(at, _)| at)
        .collect();
    let begin = |sign: usize| extension[..sign].rfind(' ').map_or(0, |space| space + 1);
    for (number, sign) in signs.iter().enumerate() {
        let end = signs.get(number + 1).map_or(extension.len(), |next| begin(*next) - 1);
        let value = undo_cef(extension[sign + 1..end].trim());
        assert!(raw.insert(extension[begin(*sign)..*sign].to_owned(), value).is_none(), "a key twice: {line}");
    }
    let extension = raw.iter().map(|(key, value)| (key.clone(), undo(value))).collect();
    Cef { header: header.iter().map(|part| undo(part)).collect(), extension, raw }
}

fn undo_cef(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text.chars());
    while let Some(character) = rest.next() {
        match (character, if character == '\\' { rest.next() } else { None }) {
            ('\\', Some('r')) => out.push('\r'),
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some(escaped @ ('\\' | '='))) => out.push(escaped),
            ('\\', other) => panic!("no escape of an extension: {other:?}"),
            (plain, _) => out.push(plain),
        }
    }
    out
}

/// `\uXXXX` back to the code units that it stands for.
fn undo(text: &str) -> String {
    let (mut units, mut rest) = (Vec::new(), text);
    while let Some(character) = rest.chars().next() {
        let digits = rest.strip_prefix("\\u").and_then(|rest| rest.get(..4));
        let unit = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        if let Some(digits) = unit {
            units.push(u16::from_str_radix(digits, 16).unwrap());
            rest = &rest[6..];
        } else {
            units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
            rest = &rest[character.len_utf8()..];
        }
    }
    String::from_utf16(&units).unwrap()
}

/// The cells of one row, with the quotes undone and nothing else.
pub(super) fn cells(line: &str) -> Vec<String> {
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1);
    rows[0].iter().map(str::to_owned).collect()
}

/// A row of csv, by the names of its columns.
pub(super) fn csv(line: &str) -> Record {
    let cells = cells(line);
    let raw = |name: &str| cells[COLUMNS.iter().position(|column| *column == name).unwrap()].clone();
    let cell = |name: &str| {
        let text = undo(&raw(name));
        let formula =
            text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
        let guarded = text.strip_prefix('\'').filter(|_| formula);
        guarded.map(str::to_owned).unwrap_or(text)
    };
    let some = |name: &str| Some(cell(name)).filter(|text| !text.is_empty());
    let at = |name: &str| cell(name).parse().unwrap();
    let record = Record {
        entry: Entry {
            id: read(&cell("id")),
            occurred_at: at("occurred_at"),
            class: read(&cell("class")),
            action: cell("action"),
            outcome: cell("outcome"),
            reason: some("reason"),
            organization_id: some("organization_id").map(|text| read(&text)),
            actor: ActorRef {
                kind: cell("actor_kind"),
                id: some("actor_id"),
                version: some("actor_version").map(|text| read(&text)),
            },
            method: some("method"),
            route: some("route"),
            status: some("status").map(|text| read(&text)),
            ip: some("ip").map(|text| read(&text)),
            country: some("country"),
            user_agent: some("user_agent"),
            fingerprint: hex(some("fingerprint")),
            request_id: some("request_id").map(|text| read(&text)),
            detail: serde_json::from_str(&raw("detail")).unwrap(),
        },
        stream: read(&cell("stream")),
        sequence: read(&cell("sequence")),
        recorded_at: at("recorded_at"),
        salt: hex(some("salt")),
        ip_commit: hex(some("ip_commit")),
        user_agent_commit: hex(some("user_agent_commit")),
        leaf: hex(some("leaf")).unwrap(),
        prev: hex(some("prev")).unwrap(),
        hash: hex(some("hash")).unwrap(),
    };
    assert_eq!(instant(record.entry.occurred_at), cell("occurred_at"));
    record
}

fn read<T: FromStr<Err: std::fmt::Debug> + Display>(text: &str) -> T {
    text.parse().unwrap()
}

fn hex<const N: usize>(text: Option<String>) -> Option<crate::Bytes<N>> {
    text.map(|text| serde_json::from_value(text.into()).unwrap())
}

/// The bytes that were sent, from a user agent as the trail keeps it.
pub(super) fn user_agent(kept: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), kept.as_bytes());
    while let [first, tail @ ..] = rest {
        if let [b'\\', b'x', high, low, tail @ ..] = rest {
            out.push(u8::from_str_radix(std::str::from_utf8(&[*high, *low]).unwrap(), 16).unwrap());
            rest = tail;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}
