//! Every event that can be exported as `ocsf` is held to the published schema of OCSF 1.3.0 (`1.3.0/README.md`).
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod validator;

use std::net::IpAddr;

use chrono::DateTime;
use serde_json::{Map, Value, json};
use statuspulse_audit::{
    Action, Actor, Bytes, Class, Entry, Event, Outcome, Record, chain, event::Origin, export::Format,
};
use statuspulse_policy::{AppId, EventId, GrantId, KeyId, OrganizationId, RequestId, UserId};
use uuid::Uuid;

use crate::validator::Schema;

const OUTCOMES: [Outcome; 3] = [Outcome::Allowed, Outcome::Denied, Outcome::Failed];
/// Actions of the closed list (audit §1.2) that are written elsewhere or not yet.
const FURTHER: [&str; 11] = [
    "alert.acknowledge",
    "alert.resolve",
    "audit.read",
    "audit.export",
    "audit.fold",
    "audit.recovered",
    "audit.checkpoint",
    "user.update",
    "user.delete",
    "key.of_a_newer_release",
    "without_a_point",
];

/// As much as a record can say.
fn full(action: &str, outcome: Outcome, actor: Actor, ip: Option<IpAddr>) -> Record {
    let id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
    let place = json!({"region": "Bavaria", "city": "Munich", "network": "203.0.113.0/24"});
    let detail = json!({
        "key_id": id, "user_id": id, "app_id": id, "alert_id": id, "session_id": id, "rule": "out_of_scope",
        "subject": id, "count": 21, "latency_us": 112, "place": place,
    });
    let event = Event {
        id: EventId::from_uuid(id),
        occurred_at: DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap(),
        class: Class::A,
        action: Action::ApiCall,
        outcome,
        reason: Some("insufficient_scope"),
        organization_id: Some(OrganizationId::from_uuid(id)),
        actor,
        origin: Origin {
            method: Some("PATCH".into()),
            route: Some("/api/v1/incidents/**".into()),
            ip,
            user_agent: Some("curl/8.9".into()),
            fingerprint: None,
            request_id: Some(RequestId::from_uuid(id)),
        },
        status: Some(403),
        detail: detail.as_object().unwrap().clone(),
    };
    let mut entry = Entry::from(&event);
    entry.action = action.to_owned();
    entry.country = Some("DE".into());
    entry.fingerprint = Some(Bytes([5; 16]));
    place_first(entry)
}

/// As little as one can.
fn bare(action: &str, outcome: Outcome, actor: Actor, ip: Option<IpAddr>) -> Record {
    let mut entry = full(action, outcome, actor, ip).entry;
    (entry.reason, entry.organization_id, entry.request_id, entry.fingerprint) = (None, None, None, None);
    (entry.method, entry.route, entry.status, entry.country, entry.user_agent) = (None, None, None, None, None);
    entry.detail = Map::new();
    place_first(entry)
}

fn place_first(entry: Entry) -> Record {
    let stream = Uuid::from_u128(11);
    let recorded_at = entry.occurred_at;
    Record::place(entry, (stream, 1), chain::beginning(stream), [6; 16], recorded_at).unwrap()
}

fn actors() -> [Actor; 7] {
    let id = Uuid::from_u128(9);
    [
        Actor::ApiKey { id: KeyId::from_uuid(id), version: Some(3) },
        Actor::AccessToken(GrantId::from_uuid(id)),
        Actor::App(AppId::from_uuid(id)),
        Actor::User(UserId::from_uuid(id)),
        Actor::Operator("root@host".into()),
        Actor::System,
        Actor::Unknown,
    ]
}

fn addresses() -> [Option<IpAddr>; 4] {
    [None, Some("203.0.113.7"), Some("2001:db8::7"), Some("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")]
        .map(|ip| ip.map(|ip| ip.parse().unwrap()))
}

fn exported(record: &Record) -> Value {
    let mut out = Vec::new();
    Format::Ocsf.write(record, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn words() -> impl Iterator<Item = &'static str> {
    Action::ALL.iter().map(|action| action.as_str()).chain(FURTHER)
}

fn every_event() -> Vec<Value> {
    let mut events = Vec::new();
    for action in words() {
        for outcome in OUTCOMES {
            for actor in actors() {
                for ip in addresses() {
                    events.push(exported(&full(action, outcome, actor.clone(), ip)));
                    events.push(exported(&bare(action, outcome, actor.clone(), ip)));
                }
            }
        }
    }
    events
}

/// spec: audit A21
#[test]
fn every_event_is_valid_by_the_published_schema() {
    let schema = Schema::v1_3_0();
    let faults: Vec<(String, Vec<String>)> = every_event()
        .iter()
        .map(|event| (event["metadata"]["event_code"].to_string(), schema.faults(event)))
        .filter(|(_, faults)| !faults.is_empty())
        .take(5)
        .collect();
    assert_eq!(faults, Vec::new());
}

#[test]
fn every_method_is_valid_by_the_published_schema() {
    let schema = Schema::v1_3_0();
    let faults: Vec<Vec<String>> =
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "get", "", "\r\n"]
            .iter()
            .map(|method| {
                let mut record = full("api.call", Outcome::Allowed, Actor::Unknown, None);
                record.entry.method = Some((*method).to_owned());
                schema.faults(&exported(&record))
            })
            .filter(|faults| !faults.is_empty())
            .collect();
    assert_eq!(faults, Vec::<Vec<String>>::new());
}

/// spec: audit A21
#[test]
fn each_family_of_events_has_its_class_and_activity() {
    let mut types: Vec<(&str, i64)> = words()
        .map(|action| (action, exported(&full(action, Outcome::Allowed, Actor::System, None))))
        .map(|(action, event)| (action, event["type_uid"].as_i64().unwrap()))
        .collect();
    types.sort_unstable();
    types.dedup();
    let named = [
        ("alert.acknowledge", 200_402),
        ("alert.open", 200_401),
        ("alert.resolve", 200_403),
        ("api.call", 600_303),
        ("app.create", 600_301),
        ("app.secret_revoke", 600_304),
        ("audit.checkpoint", 600_301),
        ("audit.export", 600_302),
        ("audit.gap", 600_399),
        ("audit.read", 600_302),
        ("key.create", 600_301),
        ("key.revoke", 600_304),
        ("key.rotate", 600_303),
        ("member.add", 600_301),
        ("member.change", 600_303),
        ("member.remove", 600_304),
        ("oauth.token", 300_299),
        ("session.login", 300_201),
        ("session.logout", 300_202),
        ("settings.update", 600_303),
        ("webhook.delete", 600_304),
    ];
    types.retain(|(action, _)| named.iter().any(|(name, _)| name == action));
    assert_eq!(types, named);
}

#[test]
fn the_activity_of_a_call_is_that_of_its_method() {
    let activities = ["POST", "GET", "HEAD", "PUT", "PATCH", "DELETE", "QUERY"].map(|method| {
        let mut record = full("api.call", Outcome::Allowed, Actor::Unknown, None);
        record.entry.method = Some(method.to_owned());
        exported(&record)["activity_id"].as_i64().unwrap()
    });
    assert_eq!(activities, [1, 2, 2, 3, 3, 4, 99]);
}

#[test]
fn a_refusal_and_our_own_fault_are_failures() {
    let statuses =
        OUTCOMES.map(|outcome| exported(&full("api.call", outcome, Actor::Unknown, None))["status_id"].clone());
    assert_eq!(statuses, [1, 2, 2]);
}

#[test]
fn an_event_without_an_address_still_names_a_source() {
    let event = exported(&bare("api.call", Outcome::Denied, Actor::Unknown, None));
    assert_eq!(event["src_endpoint"], json!({"name": "unknown"}));
}

#[test]
fn the_validator_finds_each_kind_of_fault() {
    let schema = Schema::v1_3_0();
    let valid = exported(&full("session.login", Outcome::Allowed, actors()[3].clone(), addresses()[1]));
    let broken: [fn(&mut Value); 13] = [
        |event| drop(event.as_object_mut().unwrap().remove("time")),
        |event| drop(event.as_object_mut().unwrap().remove("service")),
        |event| drop(event["metadata"]["product"].as_object_mut().unwrap().remove("vendor_name")),
        |event| drop(event["src_endpoint"].as_object_mut().unwrap().remove("ip")),
        |event| event["time"] = 1_790_000_000.into(),
        |event| event["type_uid"] = 300_202.into(),
        |event| event["category_uid"] = 6.into(),
        |event| event["severity_id"] = 7.into(),
        |event| event["severity"] = "Grave".into(),
        |event| event["http_request"]["http_method"] = "PATCH".into(),
        |event| event["device"] = json!({}),
        |event| event["user"]["nick"] = "x".into(),
        |event| event["src_endpoint"]["ip"] = "203.0.113".into(),
    ];
    let found = broken.map(|breaks| {
        let mut event = valid.clone();
        breaks(&mut event);
        schema.faults(&event).len()
    });
    assert_eq!((schema.faults(&valid), found), (Vec::new(), [1; 13]));
}
