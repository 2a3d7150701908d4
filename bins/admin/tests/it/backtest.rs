//! Rules that are tried on the trail.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{Admin, Ran, text};

/// A span around now.
const SPAN: &str = "--from 2020-01-01T00:00:00Z --to 2099-01-01T00:00:00Z";

/// A key, and its organization, with events of their own choice.
struct World {
    admin: Admin,
    key: String,
    organization: String,
}

impl World {
    async fn new() -> Self {
        let admin = Admin::with_org().await;
        let (key, _) = admin.key("nightly");
        let organization = admin.value("SELECT id::text FROM organizations").await;
        Self { admin, key, organization }
    }

    /// Fields of a call of the key.
    fn of_key(&self, more: Value) -> Value {
        let mut fields =
            json!({"actor": {"kind": "api_key", "id": self.key, "version": 1}, "organization_id": self.organization});
        fields.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        fields
    }

    fn run(&self, arguments: &str) -> Ran {
        self.admin.run(&format!("alert backtest {SPAN} {arguments}"))
    }

    fn json(&self, arguments: &str) -> Value {
        self.admin.json(&format!("alert backtest {SPAN} {arguments}"))
    }
}

#[tokio::test]
async fn thirty_calls_are_more_than_twenty_and_not_more_than_thirty() {
    let world = World::new().await;
    let ids = world.admin.calls(30, world.of_key(json!({}))).await;
    let found = world.json("--rule call_rate --threshold 20 --org acme");
    let one = found["would_open"][0].clone();
    assert_eq!(found["would_open"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!((&found["rule"], &found["threshold"]), (&json!("call_rate"), &json!(20)));
    assert_eq!(
        (&found["from"], &found["to"]),
        (&json!("2020-01-01T00:00:00.000000Z"), &json!("2099-01-01T00:00:00.000000Z"))
    );
    assert!(found["events"].as_u64() >= Some(30), "{found}");
    assert_eq!(one["subject"], json!({"kind": "key", "id": world.key}));
    assert_eq!((&one["count"], &one["peak"], &one["severity"]), (&json!(30), &json!(30), &json!("high")));
    assert_eq!((&one["organization_id"], &one["resolved_at"]), (&json!(world.organization), &Value::Null));
    assert_eq!(one["sources"], json!(["203.0.113.0/24"]));
    assert_eq!(one["routes"], json!(["/api/v1/checks/**"]));
    // From the eleventh on, with which the window was half full.
    let told: Vec<String> = one["events"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(told, ids[10..].iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(world.json("--rule call_rate --threshold 30")["would_open"], json!([]));
}

#[tokio::test]
async fn a_burst_that_lies_on_several_pages_is_one() {
    let world = World::new().await;
    world.admin.calls(4_001, world.of_key(json!({}))).await;
    let [more, as_many] = [4_000, 4_001].map(|threshold| {
        let found = world.json(&format!("--rule call_rate --threshold {threshold}"));
        found["would_open"].as_array().unwrap().iter().map(|would| would["count"].clone()).collect::<Vec<_>>()
    });
    assert_eq!((more, as_many), (vec![json!(4_001)], vec![]));
}

#[tokio::test]
async fn a_rate_that_has_ended_resolved_itself_and_a_later_one_is_another() {
    let world = World::new().await;
    for ago in [20, 10] {
        world.admin.calls_until(Utc::now() - TimeDelta::minutes(ago), 30, world.of_key(json!({}))).await;
    }
    let found = world.json("--rule call_rate --threshold 20");
    let ends = found["would_open"].as_array().unwrap().iter().map(|would| would["resolved_at"].is_string());
    assert_eq!(ends.collect::<Vec<_>>(), [true, true]);
    let late = Utc::now() - TimeDelta::minutes(15);
    let span = format!("--from {} --to 2099-01-01T00:00:00Z", late.format("%Y-%m-%dT%H:%M:%SZ"));
    let narrowed = world.admin.json(&format!("alert backtest {span} --rule call_rate --threshold 20"));
    assert_eq!(narrowed["would_open"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn refusals_for_scope_are_a_row_for_people() {
    let world = World::new().await;
    let refused = json!({"outcome": "denied", "reason": "no_rule", "status": 403, "class": 2});
    world.admin.calls(100, world.of_key(refused)).await;
    let ran = world.run("--rule out_of_scope --org acme");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let row = ran.stdout.lines().nth(1).unwrap_or_default();
    let names = [format!("key {}", world.key), "100    high".to_owned(), "open at the end".to_owned()];
    assert!(names.iter().all(|name| row.contains(name)), "{}", ran.stdout);
    assert!(ran.stdout.starts_with("OPENED") && ran.stdout.lines().count() == 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("`out_of_scope` at 1 would have opened 1 alert"), "{}", ran.stderr);
}

#[tokio::test]
async fn only_the_organization_that_is_named_is_looked_at_and_that_is_an_event() {
    let world = World::new().await;
    world.admin.json("org create --slug other --name Other");
    world.admin.calls(30, world.of_key(json!({}))).await;
    let found = world.json("--rule call_rate --threshold 20 --org other");
    assert_eq!(found["would_open"], json!([]));
    world.admin.json("audit verify");
    let read = "SELECT string_agg((detail->>'alert_rule') || ' ' || (detail->>'threshold'), ',') FROM audit_events
        WHERE action = 'audit.read' AND organization_id = (SELECT id FROM organizations WHERE slug = 'other')";
    assert_eq!(world.admin.value(read).await, "call_rate 20");
    assert_eq!(world.admin.value("SELECT count(*)::text FROM alerts").await, "0");
}

#[tokio::test]
async fn what_can_not_be_tried_is_refused() {
    let world = World::new().await;
    let wrong = world.run("--rule call_rates");
    assert!(wrong.code == 2 && wrong.stderr.contains("a rule is one of call_rate, "), "{}", wrong.stderr);
    assert_eq!(world.run("--rule rotated_key_used").refusal("error[not_from_trail]: `rotated_key_used`"), (4, true));
    assert_eq!(world.run("--rule canary_used --threshold 3").refusal("error[no_threshold]"), (4, true));
    assert_eq!(world.run("--rule call_rate --threshold 0").code, 2);
    assert_eq!(world.run("--rule call_rate --org nobody").code, 3);
    let backwards = "alert backtest --rule call_rate --from 2030-01-02T00:00:00Z --to 2030-01-01T00:00:00Z";
    assert_eq!(world.admin.run(backwards).refusal("\n  to: "), (4, true));
}
