//! `cef`: ArcSight Common Event Format, version 0, without the syslog prefix.
//!
//! Keys come from its dictionary; what it has none for stands in the custom ones with a label: `cs1` key, `cs2`
//! organization, `cs3` stream, `cs4` kind of the actor (whose id is `suid`), `cs5` request id, `cs6` fingerprint, `cn1`
//! sequence, `cn2` status, `flexString1` country, `flexString2` detail (JSON). An IPv6 address stands in `src` like any
//! other. A value that is absent or empty has no key. The attacker's longest texts come last, so that a receiver that cuts
//! lines cuts those.

use std::fmt::Write as _;

use super::{
    PRODUCT, VENDOR, VERSION, inert,
    meaning::{self, Level},
};
use crate::record::Record;

pub(super) fn write(record: &Record, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let entry = &record.entry;
    let detail = if entry.detail.is_empty() { None } else { Some(inert::json(&entry.detail)?) };
    let mut line = Line(String::with_capacity(768));
    line.0.push_str("CEF:0");
    for part in [VENDOR, PRODUCT, VERSION, &entry.action, meaning::sentence(&entry.action)] {
        line.header(part);
    }
    let (severity, time) = (severity(meaning::level(entry)), entry.occurred_at.timestamp_millis());
    let _ = write!(line.0, "|{severity}|rt={time}");

    line.put("externalId", Some(entry.id.to_string()));
    line.put("outcome", Some(&entry.outcome));
    line.put("reason", entry.reason.as_ref());
    line.put("src", entry.ip.map(|ip| ip.to_string()));
    line.put("suid", entry.actor.id.as_ref());
    line.custom("cs1", "key", meaning::key_id(entry));
    line.custom("cs2", "organization", entry.organization_id.map(|id| id.to_string()));
    line.custom("cs3", "stream", Some(record.stream.to_string()));
    line.custom("cn1", "sequence", Some(record.sequence.to_string()));
    line.custom("cs4", "actor", Some(&entry.actor.kind));
    line.custom("cs5", "request_id", entry.request_id.map(|id| id.to_string()));
    line.custom("cs6", "fingerprint", entry.fingerprint.map(|fingerprint| fingerprint.to_string()));
    line.custom("cn2", "status", entry.status.map(|status| status.to_string()));
    line.custom("flexString1", "country", entry.country.as_ref());
    line.put("requestMethod", entry.method.as_ref());
    line.put("request", entry.route.as_ref());
    line.put("requestClientApplication", entry.user_agent.as_ref());
    if let Some(detail) = detail {
        // JSON has escaped itself; a second escape of its `\uXXXX` would be read by nobody.
        line.raw("flexString2Label", "detail");
        line.raw("flexString2", &detail);
    }
    out.extend_from_slice(line.0.as_bytes());
    out.push(b'\n');
    Ok(())
}

/// 0 to 10: 0–3 low, 4–6 medium, 7–8 high, 9–10 very high.
const fn severity(level: Level) -> u8 {
    match level {
        Level::Informational => 1,
        Level::Low => 3,
        Level::Medium => 5,
        Level::High => 8,
        Level::Critical => 10,
    }
}

struct Line(String);

impl Line {
    /// The header has no escape for line breaks, so they are unsafe like the rest.
    fn header(&mut self, text: &str) {
        self.0.push('|');
        for character in inert::escape(text, |_, character| inert::is_unsafe(character)).chars() {
            if matches!(character, '\\' | '|') {
                self.0.push('\\');
            }
            self.0.push(character);
        }
    }

    fn custom(&mut self, key: &str, label: &str, value: Option<impl AsRef<str>>) {
        let Some(value) = value.filter(|value| !value.as_ref().is_empty()) else { return };
        self.raw(&format!("{key}Label"), label);
        self.put(key, Some(value));
    }

    fn put(&mut self, key: &str, value: Option<impl AsRef<str>>) {
        let Some(value) = value.filter(|value| !value.as_ref().is_empty()) else { return };
        let text = value.as_ref();
        let must = |at: usize, character: char| match character {
            '\r' | '\n' => false,
            // Values end at the next key, so readers trim them.
            _ if at == 0 || at + character.len_utf8() == text.len() => {
                character.is_whitespace() || inert::is_unsafe(character)
            }
            _ => inert::is_unsafe(character),
        };
        self.raw(key, &inert::escape(text, must));
    }

    fn raw(&mut self, key: &str, value: &str) {
        self.0.push(' ');
        self.0.push_str(key);
        self.0.push('=');
        for character in value.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '=' => self.0.push_str("\\="),
                '\r' => self.0.push_str("\\r"),
                '\n' => self.0.push_str("\\n"),
                _ => self.0.push(character),
            }
        }
    }
}
