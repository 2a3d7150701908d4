use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{record::tests::record, user_agent};

mod readers;

/// What an exported line must not hold, said once more than in the code.
fn does_harm(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}' | '\u{2029}' | '\u{FEFF}')
        || matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn written(format: Format, record: &Record) -> String {
    let mut out = Vec::new();
    format.write(record, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The line without its end; none when it isn't exactly one line of harmless characters.
fn inert_line(format: Format, record: &Record) -> Option<String> {
    let text = written(format, record);
    let line = text.strip_suffix(if format == Format::Csv { "\r\n" } else { "\n" })?;
    (!line.contains(does_harm)).then(|| line.to_owned())
}

/// The user agent that a reader of each form gets from its line.
fn user_agents_read(record: &Record) -> [Option<String>; 4] {
    Format::ALL.map(|format| {
        let line = inert_line(format, record)?;
        match format {
            Format::Jsonl => serde_json::from_str::<Record>(&line).unwrap().entry.user_agent,
            Format::Ocsf => {
                let event: Value = serde_json::from_str(&line).unwrap();
                event["http_request"]["user_agent"].as_str().map(str::to_owned)
            }
            Format::Cef => readers::cef(&line).extension.get("requestClientApplication").cloned(),
            Format::Csv => readers::csv(&line).entry.user_agent,
        }
    })
}

fn with_user_agent(text: &str) -> Record {
    let mut record = record();
    record.entry.user_agent = Some(text.to_owned());
    record
}

/// Texts made of what separates, escapes, steers or begins a formula somewhere, and any other texts.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = [
        "\r",
        "\n",
        "\t",
        "\0",
        "\x1B[2J",
        "\x7F",
        "\u{85}",
        "\u{9B}",
        "\u{2028}",
        "\u{202E}",
        "\u{2067}",
        "\u{061C}",
        "\u{FEFF}",
        "\u{E0041}",
        "=",
        "+",
        "-",
        "@",
        "＝",
        "'",
        "\"",
        ",",
        ";",
        ";=",
        "|",
        "\\",
        "\\u",
        "\\u000A",
        "\\n",
        "\\x0A",
        "u000A",
        "00",
        " ",
        " act=",
        "a",
        "{",
        "}",
        "…",
        "😀",
    ];
    let made = proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 1..12);
    prop_oneof![
        made.prop_map(|pieces| pieces.concat()),
        any::<String>().prop_filter("says something", |t| !t.is_empty())
    ]
}

prop_compose! {
    fn hostile_record()(texts in proptest::collection::vec(hostile(), 11)) -> Record {
        let mut record = record();
        let entry = &mut record.entry;
        let mut texts = texts.into_iter();
        let mut next = || texts.next().unwrap();
        (entry.action, entry.outcome, entry.actor.kind) = (next(), next(), next());
        (entry.reason, entry.actor.id, entry.method, entry.route) = (Some(next()), Some(next()), Some(next()), Some(next()));
        (entry.country, entry.user_agent) = (Some(next()), Some(next()));
        entry.detail.insert(next(), json!({"nested": [next()]}));
        record
    }
}

proptest! {
    #[test]
    fn any_bytes_of_a_user_agent_are_recovered_from_one_inert_line(
        raw in prop_oneof![
            proptest::collection::vec(any::<u8>(), 1..=user_agent::KEPT_BYTES),
            hostile().prop_filter("kept whole", |text| text.len() <= user_agent::KEPT_BYTES).prop_map(String::into_bytes),
        ],
    ) {
        let read = user_agents_read(&with_user_agent(&user_agent::escape(&raw)));
        prop_assert_eq!(read.map(|text| text.map(|text| readers::user_agent(&text))), std::array::from_fn(|_| Some(raw.clone())));
    }

    #[test]
    fn any_record_is_recovered_from_one_inert_line_of_jsonl(record in hostile_record()) {
        let line = inert_line(Format::Jsonl, &record).unwrap();
        prop_assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
    }

    #[test]
    fn any_record_is_recovered_from_one_inert_line_of_csv(record in hostile_record()) {
        let line = inert_line(Format::Csv, &record).unwrap();
        prop_assert_eq!(readers::csv(&line), record);
    }

    #[test]
    fn no_cell_begins_a_formula_whichever_separator_is_taken(record in hostile_record()) {
        let line = inert_line(Format::Csv, &record).unwrap();
        let cells = readers::cells(&line);
        let begins = |text: &str| text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        prop_assert!(!cells.iter().any(|cell| begins(cell)) && !line.split(';').any(begins));
    }

    #[test]
    fn any_record_is_recovered_from_one_inert_line_of_cef(record in hostile_record()) {
        let entry = &record.entry;
        let read = readers::cef(&inert_line(Format::Cef, &record).unwrap());
        let detail: Value = serde_json::from_str(&read.raw["flexString2"]).unwrap();
        let texts = ["outcome", "cs4", "reason", "suid", "requestMethod", "request", "flexString1", "requestClientApplication"];
        let found = texts.map(|key| read.extension.get(key).cloned());
        let kept = [
            Some(entry.outcome.clone()), Some(entry.actor.kind.clone()), entry.reason.clone(), entry.actor.id.clone(),
            entry.method.clone(), entry.route.clone(), entry.country.clone(), entry.user_agent.clone(),
        ];
        prop_assert_eq!((&read.header[4], found, detail), (&entry.action, kept, Value::Object(entry.detail.clone())));
    }

    #[test]
    fn any_record_is_recovered_from_one_inert_line_of_ocsf(mut record in hostile_record()) {
        record.entry.action.insert_str(0, "api.");
        let entry = &record.entry;
        let event: Value = serde_json::from_str(&inert_line(Format::Ocsf, &record).unwrap()).unwrap();
        let found = [
            &event["metadata"]["event_code"], &event["unmapped"]["outcome"], &event["unmapped"]["method"],
            &event["status_detail"], &event["unmapped"]["actor"], &event["http_request"]["url"]["path"],
            &event["src_endpoint"]["location"]["country"], &event["http_request"]["user_agent"], &event["unmapped"]["detail"],
        ];
        let kept = [
            json!(entry.action), json!(entry.outcome), json!(entry.method), json!(entry.reason), json!(entry.actor),
            json!(entry.route), json!(entry.country), json!(entry.user_agent), json!(entry.detail),
        ];
        prop_assert_eq!(found, kept.each_ref());
    }
}

/// spec: audit A2
#[test]
fn a_user_agent_with_a_line_break_adds_no_line_and_no_field() {
    let record = with_user_agent(&user_agent::for_trail(b"x\r\nfake: 1"));
    let read = user_agents_read(&record).map(|text| readers::user_agent(&text.unwrap()));
    assert_eq!(read, std::array::from_fn(|_| b"x\r\nfake: 1".to_vec()));
}

/// spec: audit A2
#[test]
fn a_user_agent_with_escape_codes_steers_no_terminal() {
    let sent = "\x1B]0;owned\x07\x1B[2J\u{202E}gnp.exe\u{2066}".as_bytes();
    let read = user_agents_read(&with_user_agent(&user_agent::for_trail(sent)));
    assert_eq!(read.map(|text| readers::user_agent(&text.unwrap())), std::array::from_fn(|_| sent.to_vec()));
}

/// spec: audit A2
#[test]
fn a_user_agent_that_is_a_formula_is_a_text_in_every_form() {
    let record = with_user_agent(&user_agent::for_trail(b"=cmd|' /C calc'!A0"));
    let shown = [
        ("jsonl", r#""user_agent":"=cmd|' /C calc'!A0""#),
        ("ocsf", r#""user_agent":"=cmd|' /C calc'!A0""#),
        ("cef", r"requestClientApplication=\=cmd|' /C calc'!A0 "),
        ("csv", ",'=cmd|' /C calc'!A0,"),
    ];
    let missing = shown.map(|(word, part)| !written(word.parse().unwrap(), &record).contains(part));
    assert_eq!(missing, [false; 4]);
}

/// spec: audit A2
#[test]
fn a_user_agent_with_separators_of_cef_adds_no_field() {
    let record = with_user_agent(&user_agent::for_trail(b"a|b=c outcome=allowed|"));
    let read = readers::cef(&inert_line(Format::Cef, &record).unwrap());
    let found = ["requestClientApplication", "outcome", "flexString2Label"].map(|key| read.extension[key].as_str());
    assert_eq!(found, ["a|b=c outcome=allowed|", "denied", "detail"]);
}

/// spec: audit A3
#[test]
fn the_marker_of_a_long_user_agent_survives_in_every_form() {
    let record = with_user_agent(&user_agent::for_trail(&[b'a'; 8_192]));
    let marked = user_agents_read(&record).map(|text| text.unwrap().ends_with("…[8192]"));
    assert_eq!(marked, [true; 4]);
}

#[test]
fn a_text_that_begins_like_a_guarded_formula_stays_apart_from_one() {
    let cells = ["=1", "'=1", "''=1", "'x", "\t=1"].map(|text| {
        let line = written(Format::Csv, &with_user_agent(text));
        line.split(',').nth(18).unwrap().to_owned()
    });
    assert_eq!(cells, ["'=1", "''=1", "'''=1", "'x", "'\\u0009=1"]);
}

#[test]
fn a_refused_call_in_cef_has_the_keys_of_the_dictionary() {
    let line = written(Format::Cef, &record());
    let (header, extension) = line.split_once("|rt=").unwrap();
    let expected = format!("CEF:0|StatusPulse|Auth|{VERSION}|api.call|API call judged|3");
    let found =
        (header, extension.starts_with("1790000000123 externalId=00000000-0000-0000-0000-000000000007 outcome=denied"));
    assert_eq!(found, (expected.as_str(), true));
}

#[test]
fn the_key_in_cef_is_the_one_that_the_event_is_about_before_the_one_that_acted() {
    let keys = ["api_key", "user"].map(|kind| {
        [None, Some("other")].map(|about| {
            let mut record = record();
            record.entry.actor.kind = kind.to_owned();
            record.entry.detail = about.map(|id| ("key_id".to_owned(), Value::from(id))).into_iter().collect();
            readers::cef(written(Format::Cef, &record).trim_end()).extension.get("cs1").cloned()
        })
    });
    let other = Some("other".to_owned());
    assert_eq!(keys, [[record().entry.actor.id, other.clone()], [None, other]]);
}

#[test]
fn the_header_of_csv_names_every_cell() {
    let header = Format::Csv.header().unwrap();
    let line = written(Format::Csv, &record());
    assert_eq!(readers::cells(header.trim_end()).len(), readers::cells(line.trim_end()).len());
}

#[test]
fn only_csv_has_a_header() {
    assert_eq!(Format::ALL.map(|format| format.header().is_some()), [false, false, false, true]);
}

#[test]
fn a_format_is_read_back_from_its_word() {
    assert_eq!(Format::ALL.map(|format| format.to_string().parse()), Format::ALL.map(Ok));
}

#[test]
fn an_unknown_format_is_told_what_is_accepted() {
    let error = "CSV".parse::<Format>().unwrap_err().to_string();
    assert_eq!(error, "unknown format `CSV`: use jsonl, ocsf, cef or csv");
}
