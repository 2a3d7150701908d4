//! `ocsf`: Open Cybersecurity Schema Framework 1.3.0, without profiles or extensions, one object a line.
//!
//! | events | class |
//! |---|---|
//! | `session.*`, `oauth.*` | Authentication, 3002 |
//! | `alert.*` | Detection Finding, 2004 |
//! | everything else | API Activity, 6003 |
//!
//! What a class has no attribute for stands in `unmapped`, the whole `detail` among it. `tests/ocsf` holds every event to the
//! published schema.

use serde_json::{Map, Value, json};

use super::{
    PRODUCT, VENDOR, VERSION, inert,
    meaning::{self, Level},
};
use crate::record::{ActorRef, Entry, Record, instant};

/// The published schema that the events follow.
const SCHEMA_VERSION: &str = "1.3.0";
/// Activity, type and the like that are none of those that the schema lists; their name says what they are.
const OTHER: u32 = 99;
/// Methods that `http_request.http_method` may hold; there is no PATCH among them.
const HTTP_METHODS: [&str; 8] = ["OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT"];

pub(super) fn write(record: &Record, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    inert::write_json(&event(record), out)?;
    out.push(b'\n');
    Ok(())
}

fn event(record: &Record) -> Value {
    let entry = &record.entry;
    let class = Class::of(&entry.action);
    let activity = class.activity(entry);
    let (category_uid, category_name) = class.category();
    let (severity_id, severity) = severity(meaning::level(entry));
    let (status_id, status) = class.status(entry, &activity);
    let mut event = Object::default();
    event.put("metadata", metadata(record));
    event.put("time", entry.occurred_at.timestamp_millis());
    event.put("class_uid", class.uid());
    event.put("class_name", class.name());
    event.put("category_uid", category_uid);
    event.put("category_name", category_name);
    event.put("activity_id", activity.id);
    event.put("type_uid", class.uid() * 100 + activity.id);
    event.put("activity_name", activity.name);
    event.put("severity_id", severity_id);
    event.put("severity", severity);
    event.put("status_id", status_id);
    event.put("status", status);
    event.some("status_code", entry.status.map(|status| status.to_string()));
    event.some("status_detail", entry.reason.clone());
    event.put("message", meaning::sentence(&entry.action));
    let count = entry.detail.get("count").and_then(Value::as_i64).filter(|count| *count > 0);
    event.some("count", count.filter(|_| entry.action == "audit.fold"));

    match class {
        Class::ApiActivity => {
            event.put("actor", actor(&entry.actor));
            event.put("api", api(entry));
            event.put("src_endpoint", src_endpoint(entry));
            event.some("http_request", http_request(entry));
        }
        Class::Authentication => {
            event.put("actor", actor(&entry.actor));
            event.put("user", subject(entry));
            event.put("service", service());
            event.put("src_endpoint", src_endpoint(entry));
            event.some("http_request", http_request(entry));
            event.some("session", meaning::detail(entry, "session_id").map(|id| json!({"uid": id})));
            if entry.action.starts_with("oauth.") {
                event.put("auth_protocol_id", 6);
                event.put("auth_protocol", "OAUTH 2.0");
            }
        }
        Class::DetectionFinding => {
            event.put("finding_info", finding_info(entry));
            event.put("evidences", json!([{"actor": actor(&entry.actor), "src_endpoint": src_endpoint(entry)}]));
            event.some("resources", meaning::detail(entry, "subject").map(|subject| json!([{"uid": subject}])));
        }
    }
    event.put("unmapped", unmapped(record, class));
    Value::Object(event.0)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    ApiActivity,
    Authentication,
    DetectionFinding,
}

/// `activity_id` and `activity_name`.
struct Activity {
    id: u32,
    name: String,
}

impl Class {
    fn of(action: &str) -> Self {
        match action.split_once('.') {
            Some(("session" | "oauth", _)) => Self::Authentication,
            Some(("alert", _)) => Self::DetectionFinding,
            _ => Self::ApiActivity,
        }
    }

    const fn uid(self) -> u32 {
        match self {
            Self::ApiActivity => 6_003,
            Self::Authentication => 3_002,
            Self::DetectionFinding => 2_004,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::ApiActivity => "API Activity",
            Self::Authentication => "Authentication",
            Self::DetectionFinding => "Detection Finding",
        }
    }

    const fn category(self) -> (u32, &'static str) {
        match self {
            Self::ApiActivity => (6, "Application Activity"),
            Self::Authentication => (3, "Identity & Access Management"),
            Self::DetectionFinding => (2, "Findings"),
        }
    }

    fn activity(self, entry: &Entry) -> Activity {
        let action = entry.action.as_str();
        let (id, name) = match self {
            Self::ApiActivity if action == "api.call" => return call(entry.method.as_deref()),
            Self::ApiActivity => change(action),
            // The schema's tickets are those of Kerberos, not OAuth's tokens.
            Self::Authentication => match action {
                "session.login" => (1, "Logon"),
                "session.logout" => (2, "Logoff"),
                _ => (OTHER, action),
            },
            // A refused step leaves the finding as it was.
            Self::DetectionFinding if entry.outcome != "allowed" => (OTHER, action),
            Self::DetectionFinding => match action {
                "alert.open" => (1, "Create"),
                "alert.acknowledge" => (2, "Update"),
                "alert.resolve" => (3, "Close"),
                _ => (OTHER, action),
            },
        };
        Activity { id, name: name.to_owned() }
    }

    /// `status_id` and `status`: of a finding where it stands, of the others how they ended.
    fn status(self, entry: &Entry, activity: &Activity) -> (u32, &'static str) {
        match (self, activity.id) {
            (Self::DetectionFinding, 1) => (1, "New"),
            (Self::DetectionFinding, 2) => (2, "In Progress"),
            (Self::DetectionFinding, 3) => (4, "Resolved"),
            (Self::DetectionFinding, _) => (0, "Unknown"),
            _ => match entry.outcome.as_str() {
                "allowed" => (1, "Success"),
                "denied" | "failed" => (2, "Failure"),
                _ => (0, "Unknown"),
            },
        }
    }
}

/// Methods are case-sensitive (RFC 9110 §9.1). Without one, a scope was asked for and nothing more is known.
fn call(method: Option<&str>) -> Activity {
    let (id, name) = match method {
        Some("POST") => (1, "Create"),
        Some("GET" | "HEAD" | "OPTIONS") => (2, "Read"),
        Some("PUT" | "PATCH") => (3, "Update"),
        Some("DELETE") => (4, "Delete"),
        Some(other) if !other.is_empty() => (OTHER, other),
        _ => (0, "Unknown"),
    };
    Activity { id, name: name.to_owned() }
}

/// By the last word: `app.secret_create` creates.
fn change(action: &str) -> (u32, &str) {
    match action.rsplit(['.', '_']).next().unwrap_or_default() {
        "create" | "add" | "test" | "checkpoint" => (1, "Create"),
        "read" | "export" | "explain" => (2, "Read"),
        "update" | "change" | "rotate" | "enable" | "disable" | "claim" | "retry" => (3, "Update"),
        "delete" | "remove" | "revoke" | "expire" => (4, "Delete"),
        _ => (OTHER, action),
    }
}

const fn severity(level: Level) -> (u32, &'static str) {
    match level {
        Level::Informational => (1, "Informational"),
        Level::Low => (2, "Low"),
        Level::Medium => (3, "Medium"),
        Level::High => (4, "High"),
        Level::Critical => (5, "Critical"),
    }
}

fn metadata(record: &Record) -> Value {
    let entry = &record.entry;
    let mut metadata = Object::default();
    metadata.put("version", SCHEMA_VERSION);
    metadata.put("uid", entry.id.to_string());
    metadata.put("product", json!({"name": PRODUCT, "vendor_name": VENDOR, "version": VERSION}));
    metadata.put("event_code", entry.action.clone());
    metadata.put("log_name", "audit");
    metadata.put("original_time", instant(entry.occurred_at));
    metadata.put("logged_time", record.recorded_at.timestamp_millis());
    metadata.put("sequence", record.sequence);
    metadata.some("tenant_uid", entry.organization_id.map(|id| id.to_string()));
    metadata.some("correlation_uid", entry.request_id.map(|id| id.to_string()));
    Value::Object(metadata.0)
}

/// Whoever acted, as a user: the schema has no other principal, so what isn't a person says so in its type.
fn user(actor: &ActorRef) -> Value {
    let named = |uid: &str, id: u32, kind: &str| json!({"uid": uid, "type_id": id, "type": kind});
    match (actor.kind.as_str(), actor.id.as_deref().filter(|id| !id.is_empty())) {
        ("user", Some(id)) => named(id, 1, "User"),
        ("operator", Some(name)) => json!({"name": name, "type_id": 2, "type": "Admin"}),
        ("system", _) => json!({"name": "system", "type_id": 3, "type": "System"}),
        (kind @ ("api_key" | "access_token"), Some(id)) => {
            json!({"uid": id, "type_id": OTHER, "type": kind, "credential_uid": id})
        }
        ("unknown", _) | (_, None) => json!({"name": "unknown", "type_id": 0, "type": "Unknown"}),
        (kind, Some(id)) => named(id, OTHER, kind),
    }
}

fn actor(actor: &ActorRef) -> Value {
    match actor.id.as_deref() {
        Some(id) if actor.kind == "app" => json!({"app_uid": id}),
        _ => json!({"user": user(actor)}),
    }
}

/// Who signs in or authorizes: the person that the event names, or else whoever acted.
fn subject(entry: &Entry) -> Value {
    match meaning::detail(entry, "user_id") {
        Some(id) => json!({"uid": id, "type_id": 1, "type": "User"}),
        None => user(&entry.actor),
    }
}

fn service() -> Value {
    json!({"name": format!("{VENDOR} {PRODUCT}"), "version": VERSION})
}

/// `operation` of a call is its method and route, of everything else the action.
fn api(entry: &Entry) -> Value {
    let operation = match (entry.method.as_deref(), entry.route.as_deref()) {
        (Some(method), Some(route)) if entry.action == "api.call" => format!("{method} {route}"),
        _ => entry.action.clone(),
    };
    let mut response = Object::default();
    response.some("code", entry.status);
    response.some("error", entry.reason.clone().filter(|_| entry.outcome != "allowed"));
    let mut api = Object::default();
    api.put("operation", operation);
    api.put("service", service());
    api.some("request", entry.request_id.map(|id| json!({"uid": id.to_string()})));
    api.some("response", response.filled());
    Value::Object(api.0)
}

/// The class wants one always: an address that is unknown or erased leaves the name of nobody.
fn src_endpoint(entry: &Entry) -> Value {
    let place = |name: &str| entry.detail.get("place").and_then(|place| place.get(name)).and_then(Value::as_str);
    let mut location = Object::default();
    location.some("country", entry.country.clone());
    location.some("region", place("region"));
    location.some("city", place("city"));
    let mut endpoint = Object::default();
    match entry.ip {
        Some(ip) => endpoint.put("ip", ip.to_string()),
        None => endpoint.put("name", "unknown"),
    }
    endpoint.some("location", location.filled());
    Value::Object(endpoint.0)
}

fn http_request(entry: &Entry) -> Option<Value> {
    let mut request = Object::default();
    request.some("http_method", entry.method.clone().filter(|method| HTTP_METHODS.contains(&method.as_str())));
    request.some("url", entry.route.as_ref().map(|route| json!({"path": route})));
    request.some("user_agent", entry.user_agent.clone());
    request.some("uid", entry.request_id.map(|id| id.to_string()));
    request.filled()
}

fn finding_info(entry: &Entry) -> Value {
    let rule = meaning::detail(entry, "rule");
    let sentence = meaning::sentence(&entry.action);
    let mut info = Object::default();
    info.put("uid", meaning::detail(entry, "alert_id").map_or_else(|| entry.id.to_string(), str::to_owned));
    info.put("title", rule.map_or_else(|| sentence.to_owned(), |rule| format!("{sentence}: {rule}")));
    info.some("analytic", rule.map(|rule| json!({"name": rule, "uid": rule, "type_id": 1, "type": "Rule"})));
    info.some("created_time", (entry.action == "alert.open").then(|| entry.occurred_at.timestamp_millis()));
    Value::Object(info.0)
}

/// What the class has no attribute for, by the names of the `jsonl` form.
fn unmapped(record: &Record, class: Class) -> Value {
    let entry = &record.entry;
    let mut rest = Object::default();
    rest.put("stream", record.stream.to_string());
    rest.put("hash", record.hash.to_string());
    rest.put("class", entry.class);
    rest.put("outcome", entry.outcome.clone());
    rest.put("actor", json!(entry.actor));
    rest.some("method", entry.method.clone());
    rest.some("fingerprint", entry.fingerprint.map(|fingerprint| fingerprint.to_string()));
    if class == Class::DetectionFinding {
        rest.some("route", entry.route.clone());
        rest.some("user_agent", entry.user_agent.clone());
    }
    rest.put("detail", Value::Object(entry.detail.clone()));
    Value::Object(rest.0)
}

/// An object whose attributes are there or not, and never null.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    fn some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    fn filled(self) -> Option<Value> {
        (!self.0.is_empty()).then_some(Value::Object(self.0))
    }
}
