//! What is written: one answer on standard output, everything else on standard error.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    os::fd::AsFd as _,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::error::CliError;

/// Writes answers, as JSON or for people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Writes the one answer: one JSON document, or what `people` makes of it.
    pub(crate) fn answer<T: Serialize>(
        self,
        answer: &T,
        people: impl FnOnce(&Value) -> String,
    ) -> Result<(), CliError> {
        let failed = |source| CliError::Io { what: "the answer can't be written", source };
        let mut text = if self.json {
            Zeroizing::new(serde_json::to_string(answer).map_err(|error| failed(error.into()))?)
        } else {
            let value = serde_json::to_value(answer).map_err(|error| failed(error.into()))?;
            Zeroizing::new(people(&value))
        };
        if !text.is_empty() {
            text.push('\n');
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed)
    }

    /// Tells people something beside the answer.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            tell(text);
        }
    }
}

/// Writes one line to standard output.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    written.map_err(|source| CliError::Io { what: "the answer can't be written", source })
}

/// Writes a part of a long answer to standard output. On a thread that nobody waits for: who reads may stop reading without
/// going away, and the program must be able to end all the same.
pub(crate) async fn write(bytes: Vec<u8>) -> io::Result<()> {
    let (done, written) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut stdout = io::stdout().lock();
        let _ = done.send(stdout.write_all(&bytes).and_then(|()| stdout.flush()));
    });
    written.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

/// Whether whoever read standard output has gone away, as far as that can be told.
pub(crate) fn is_closed() -> bool {
    let stdout = io::stdout();
    let mut asked = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let answered = poll(&mut asked, PollTimeout::ZERO).is_ok_and(|found| found > 0);
    answered && asked.iter().filter_map(PollFd::revents).any(|found| found.contains(PollFlags::POLLERR))
}

/// JSON in one line in which nothing steers a terminal: what must not stand there comes as `\\uXXXX`, which is the same text.
pub(crate) fn inert_json(value: &Value) -> String {
    let mut inert = String::new();
    for character in value.to_string().chars() {
        if is_inert(character) {
            inert.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(inert, "\\u{unit:04x}");
            }
        }
    }
    inert
}

/// Writes a line to standard error; where nobody listens there is nobody to tell.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Text in which nothing moves the cursor, changes colours or turns the reading direction: names come from people.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_inert(character) {
            safe.push(character);
        } else {
            let _ = write!(safe, "{}", character.escape_default());
        }
    }
    safe
}

fn is_inert(character: char) -> bool {
    let invisible = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    !(character.is_control() || invisible || matches!(character, '\u{061c}' | '\u{feff}'))
}

/// A value in one line.
pub(crate) fn readable(value: &Value) -> String {
    let joined = |values: Vec<String>, by: &str| if values.is_empty() { "none".to_owned() } else { values.join(by) };
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => escaped(text),
        Value::Array(items) => joined(items.iter().map(readable).collect(), ", "),
        Value::Object(fields) => {
            joined(fields.iter().map(|(name, value)| format!("{} {}", escaped(name), readable(value))).collect(), ", ")
        }
    }
}

/// The fields of an object, one a line, values aligned. `first` come first, in this order, and the others after them.
pub(crate) fn details(object: &Value, first: &[&str]) -> String {
    let Some(fields) = object.as_object() else { return readable(object) };
    let named = first.iter().filter_map(|name| fields.get_key_value(*name));
    let others = fields.iter().filter(|(name, _)| !first.contains(&name.as_str()));
    let rows: Vec<Vec<String>> =
        named.chain(others).map(|(name, value)| vec![name.replace('_', " "), readable(value)]).collect();
    aligned(&rows)
}

/// A table of these fields of a list's objects.
pub(crate) fn table(items: &Value, columns: &[&str]) -> String {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    let head = columns.iter().map(|name| name.replace('_', " ").to_uppercase()).collect();
    let row = |item: &Value| columns.iter().map(|name| readable(item.get(name).unwrap_or(&Value::Null))).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(items.iter().map(row)).collect();
    aligned(&rows)
}

fn aligned(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_can_not_move_the_cursor_or_turn_the_text() {
        assert_eq!(escaped("a\u{1b}[2Jb\r\n\u{202e}c é"), r"a\u{1b}[2Jb\r\n\u{202e}c é");
    }

    #[test]
    fn json_is_inert_and_says_the_same() {
        let value = json!({"agent": "a\u{1b}[2J\u{202e}b\u{85}\u{2028}é\"\\"});
        let text = inert_json(&value);
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((text.chars().all(is_inert), read), (true, value));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let items = json!([{"name": "é", "id": 1}, {"name": "longer", "id": 22}]);
        assert_eq!(table(&items, &["name", "id"]), "NAME    ID\né       1\nlonger  22");
    }

    #[test]
    fn details_start_with_what_matters() {
        let object = json!({"a": [], "id": "x", "last_used_at": null, "by": {"kind": "user", "id": "y"}});
        let expected = "id            x\na             none\nby            id y, kind user\nlast used at  -";
        assert_eq!(details(&object, &["id"]), expected);
    }
}
