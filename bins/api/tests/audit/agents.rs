//! One event is one line in every format, whatever the caller has sent, and what was sent can be read back.

use serde_json::{Value, json};

use crate::{
    help::{EVENTS, EXPORT, asked},
    support::World,
};

const HOSTILE: [&str; 7] = [
    "x\r\nfake: 1",
    "\u{1b}[31mred\u{1b}]0;title\u{7}",
    "=cmd|'/C calc'!A0",
    "a|b=c,\"d\";=e",
    "\u{202e}gpj.exe\u{2028}next\u{feff}",
    "back\\x0Dslash \\u000A",
    "'=1+1",
];

/// What the trail keeps: `\xHH` stands for a byte.
fn unescaped(kept: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = kept;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).unwrap()
}

/// `\uXXXX` of `cef` and `csv`.
fn without_units(text: &str) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\u") {
        units.extend(before.encode_utf16());
        match after.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                units.push(unit);
                rest = &after[4..];
            }
            None => {
                units.extend("\\u".encode_utf16());
                rest = after;
            }
        }
    }
    units.extend(rest.encode_utf16());
    String::from_utf16(&units).unwrap()
}

fn of_jsonl(line: &str) -> Option<String> {
    let event: Value = serde_json::from_str(line).unwrap();
    event["user_agent"].as_str().map(str::to_owned)
}

fn of_ocsf(line: &str) -> Option<String> {
    let event: Value = serde_json::from_str(line).unwrap();
    event["http_request"]["user_agent"].as_str().map(str::to_owned)
}

fn of_cef(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" requestClientApplication=")?;
    let value = rest.split_once(" flexString2Label=").map_or(rest, |(value, _)| value);
    let mut plain = String::new();
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next().unwrap() {
                'r' => plain.push('\r'),
                'n' => plain.push('\n'),
                other => plain.push(other),
            },
            '=' => panic!("an equals sign that is not escaped: {line}"),
            other => plain.push(other),
        }
    }
    Some(without_units(&plain))
}

/// The user agents of a whole `csv` export; no cell is a formula.
fn of_csv(text: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let at = reader.headers().unwrap().iter().position(|name| name == "user_agent").unwrap();
    let mut found = Vec::new();
    for record in reader.records() {
        let record = record.unwrap();
        let formula = record.iter().find(|cell| cell.starts_with(['=', '+', '-', '@', '\t', '\r']));
        assert_eq!(formula, None, "{record:?}");
        let cell = without_units(&record[at]);
        let quoted =
            cell.strip_prefix('\'').filter(|rest| rest.trim_start_matches('\'').starts_with(['=', '+', '-', '@']));
        found.push(quoted.unwrap_or(&cell).to_owned());
    }
    found
}

/// An export of the calls of a key that was used with these user agents, and how many lines it has.
async fn exported(format: &str, agents: &[&str]) -> String {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    for agent in agents {
        world.call_like(&asked(&token, json!({"user_agent": agent}))).await;
    }
    let reply = world.read(&format!("{EXPORT}?format={format}&actor={id}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.text
}

/// Lines as anybody would split them who knows of no format: also at what Unicode calls a line's end.
fn lines(text: &str) -> Vec<&str> {
    let whole = text.strip_suffix('\n').unwrap();
    let lines: Vec<&str> = whole
        .split(['\n', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'])
        .map(|line| line.trim_end_matches('\r'))
        .collect();
    let steering = |character: char| {
        character.is_control() || matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}')
    };
    let inert = lines.iter().all(|line| !line.contains(steering));
    assert!(inert, "{text:?}");
    lines
}

fn recovered(kept: impl IntoIterator<Item = String>) -> Vec<String> {
    kept.into_iter().map(|agent| unescaped(&agent)).collect()
}

/// spec: audit A2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_user_agents_are_one_line_each_in_jsonl_and_recoverable() {
    let text = exported("jsonl", &HOSTILE).await;
    assert_eq!(recovered(lines(&text).into_iter().filter_map(of_jsonl)), HOSTILE);
}

/// spec: audit A2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_user_agents_are_one_line_each_in_ocsf_and_recoverable() {
    let text = exported("ocsf", &HOSTILE).await;
    assert_eq!(recovered(lines(&text).into_iter().filter_map(of_ocsf)), HOSTILE);
}

/// spec: audit A2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_user_agents_are_one_line_each_in_cef_and_recoverable() {
    let text = exported("cef", &HOSTILE).await;
    assert_eq!(recovered(lines(&text).into_iter().filter_map(of_cef)), HOSTILE);
}

/// spec: audit A2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_user_agents_are_one_line_each_in_csv_and_recoverable() {
    let text = exported("csv", &HOSTILE).await;
    assert_eq!(
        (lines(&text).len(), recovered(of_csv(&text))),
        (1 + HOSTILE.len(), HOSTILE.map(str::to_owned).to_vec())
    );
}

/// spec: audit A3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_user_agent_is_cut_with_a_mark_in_every_format() {
    let long = "u".repeat(8_192);
    let cut = format!("{}…[8192]", "u".repeat(512));
    let mut kept = Vec::new();
    for format in ["jsonl", "ocsf", "cef", "csv"] {
        let text = exported(format, &[&long]).await;
        let line = *lines(&text).last().unwrap();
        kept.push(match format {
            "jsonl" => of_jsonl(line),
            "ocsf" => of_ocsf(line),
            "cef" => of_cef(line),
            _ => of_csv(&text).pop(),
        });
    }
    assert_eq!(kept, vec![Some(cut); 4]);
}

/// spec: audit A2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_user_agent_is_inert_in_a_page_too() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    for agent in HOSTILE {
        world.call_like(&asked(&token, json!({"user_agent": agent}))).await;
    }
    let page = world.read(&format!("{EVENTS}?actor={id}")).await.json();
    let shown = page["items"].as_array().unwrap().iter().map(|event| event["user_agent"].as_str().unwrap().to_owned());
    let shown: Vec<String> = shown.rev().collect();
    assert!(shown.iter().all(|agent| !agent.contains(char::is_control)), "{shown:?}");
    assert_eq!(recovered(shown), HOSTILE);
}
