use super::*;

/// A refused call, as record 1 of its stream.
pub(crate) fn record() -> Record {
    let entry = Entry {
        id: Uuid::from_u128(7),
        occurred_at: DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap(),
        class: 2,
        action: "api.call".into(),
        outcome: "denied".into(),
        reason: Some("insufficient_scope".into()),
        organization_id: Some(Uuid::from_u128(8)),
        actor: ActorRef { kind: "api_key".into(), id: Some(Uuid::from_u128(9).to_string()), version: Some(3) },
        method: Some("POST".into()),
        route: Some("/api/v1/incidents/**".into()),
        status: Some(403),
        ip: Some("203.0.113.7".parse().unwrap()),
        country: None,
        user_agent: Some("curl/8.9".into()),
        fingerprint: Some(Bytes([5; 16])),
        request_id: Some(Uuid::from_u128(10)),
        detail: Map::from_iter([("required_scope".to_owned(), Value::from("incidents:write"))]),
    };
    let stream = Uuid::from_u128(11);
    let recorded_at = entry.occurred_at;
    Record::place(entry, (stream, 1), chain::beginning(stream), [6; 16], recorded_at).unwrap()
}

#[test]
fn a_record_is_read_back_from_its_line() {
    let record = record();
    let line = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
}

#[test]
fn an_entry_is_read_back_from_the_spool() {
    let entry = record().entry;
    let bytes = serde_json::to_vec(&entry).unwrap();
    assert_eq!(serde_json::from_slice::<Entry>(&bytes).unwrap(), entry);
}

#[test]
fn erasing_address_and_user_agent_leaves_the_leaf() {
    let whole = record();
    let mut erased = whole.clone();
    (erased.salt, erased.entry.ip, erased.entry.user_agent) = (None, None, None);
    assert_eq!(chain::leaf(&erased).unwrap(), whole.leaf);
}

#[test]
fn every_covered_field_changes_the_leaf() {
    let whole = serde_json::to_value(record()).unwrap();
    let other = |name: &str, value: &Value| match (name, value) {
        ("ip_commit" | "user_agent_commit", _) => Value::from("ab".repeat(32)),
        ("fingerprint", _) => Value::from("ab".repeat(16)),
        ("occurred_at", _) => Value::from("2026-01-01T00:00:00.000000Z"),
        ("detail", _) => serde_json::json!({"a": 1}),
        ("actor", _) => serde_json::json!({"kind": "unknown", "id": null}),
        (_, Value::Number(_)) => Value::from(2_001),
        (_, Value::String(text)) if text.parse::<Uuid>().is_ok() => Value::from(Uuid::from_u128(99).to_string()),
        _ => Value::from("x"),
    };
    let outside = ["schema", "ip", "user_agent", "salt", "recorded_at", "leaf", "prev", "hash"];
    let same: Vec<String> = whole
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| !outside.contains(&name.as_str()))
        .filter(|(name, value)| {
            let mut line = whole.clone();
            line[name.as_str()] = other(name, value);
            let changed: Record = serde_json::from_value(line).unwrap();
            chain::leaf(&changed).unwrap() == record().leaf
        })
        .map(|(name, _)| name.clone())
        .collect();
    assert_eq!(same, Vec::<String>::new());
}

#[test]
fn a_second_spelling_of_a_record_is_refused() {
    let line = serde_json::to_string(&record()).unwrap();
    let spellings = [
        line.replace(".123456Z", ".1234560Z"),
        line.replace("\"0505", "\"0505".to_uppercase().as_str()).replace("05050505\"", "0505050A\""),
    ];
    let read = spellings.map(|line| serde_json::from_str::<Record>(&line).is_ok());
    assert_eq!(read, [false, false]);
}
