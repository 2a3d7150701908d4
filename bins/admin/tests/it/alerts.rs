//! Alerts at the command line: listed, taken, closed, and what opens them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Admin, NOBODY, Ran, text};

/// An alert about a key, one of the service itself, and a webhook that does not take what it is told of the first.
struct World {
    admin: Admin,
    key: String,
    alert: String,
    service: String,
}

impl World {
    async fn new() -> Self {
        let admin = Admin::with_org().await;
        let (key, _) = admin.key("nightly");
        let (alert, service) = (Uuid::from_u128(1).to_string(), Uuid::from_u128(2).to_string());
        let columns =
            "id, organization_id, rule, subject_kind, subject, severity, status, opened_at, last_seen_at, busy_at,
            count, evidence";
        let statement = format!(
            "INSERT INTO alerts ({columns})
             SELECT '{alert}', id, 'call_rate', 'key', '{key}', 'high', 'open', now(), now(), now(), 5001,
                 '{{\"peak\": 5001}}' FROM organizations;
             INSERT INTO alerts ({columns})
             VALUES ('{service}', NULL, 'audit_gap', 'instance', 'this', 'critical', 'open', now(), now(), now(), 1, '{{}}');
             INSERT INTO webhook_endpoints (id, organization_id, url, kind, events, status, secret_sealed,
                 secret_key_version, created_at, created_by, created_by_kind)
             SELECT '{alert}', id, 'https://hooks.example/x', 'standard', '{{alert.opened}}', 'active', '', 1, now(), 'me',
                 'operator' FROM organizations;
             INSERT INTO webhook_events (id, organization_id, type, occurred_at, data, alert_id)
             SELECT '{alert}', id, 'alert.opened', now(), '{{}}', '{alert}' FROM organizations;
             INSERT INTO webhook_deliveries (id, organization_id, endpoint_id, event_id, status, attempts, next_attempt_at,
                 last_attempt_at, created_at, response_status, error)
             SELECT '{alert}', id, '{alert}', '{alert}', 'pending', 9, now(), now(), now() - interval '1 day', 500,
                 'bad_status' FROM organizations;"
        );
        admin.execute(&statement).await;
        Self { admin, key, alert, service }
    }

    fn run(&self, arguments: &str) -> Ran {
        self.admin.run(&format!("alert {arguments}"))
    }

    fn json(&self, arguments: &str) -> Value {
        self.admin.json(&format!("alert {arguments}"))
    }
}

#[tokio::test]
async fn a_list_is_of_one_organization_or_of_the_service_itself() {
    let world = World::new().await;
    let ids = |arguments: &str| {
        let items = world.json(arguments)["items"].clone();
        items.as_array().unwrap().iter().map(|alert| text(&alert["id"])).collect::<Vec<_>>()
    };
    assert_eq!(
        (
            ids("list --org acme"),
            ids("list"),
            ids("list --org acme --status resolved"),
            ids("list --org acme --rule ip_denied")
        ),
        (vec![world.alert.clone()], vec![world.service.clone()], vec![], vec![])
    );
}

/// spec: audit A31
#[tokio::test]
async fn a_webhook_that_fails_is_seen_in_the_list_and_in_the_alert() {
    let world = World::new().await;
    let list = world.run("list --org acme").stdout;
    let shown = world.run(&format!("show {}", world.alert)).stdout;
    let told = world.json(&format!("show {}", world.alert))["evidence"]["deliveries"][0].clone();
    assert!(list.contains("1 of 1 FAIL") && list.contains("key nightly"), "{list}");
    assert!(shown.contains("pending FAILS") && shown.contains("bad_status") && shown.contains("500"), "{shown}");
    assert_eq!(
        (&told["attempts"], &told["error"], &told["event"]),
        (&json!(9), &json!("bad_status"), &json!("alert.opened"))
    );
}

/// spec: audit A28
#[tokio::test]
async fn an_operator_takes_and_closes_and_closes_once() {
    let world = World::new().await;
    let taken = world.json(&format!("ack {}", world.alert));
    let silent = world.run(&format!("resolve {} --note %20", world.alert));
    let closed = world.json(&format!("resolve {} --note a%20job%20ran%20wild", world.alert));
    let again = world.run(&format!("resolve {} --note x", world.alert));
    assert_eq!(
        (&taken["status"], &taken["acknowledged_by"]["kind"], &closed["status"], &closed["resolution"]["note"]),
        (&json!("acknowledged"), &json!("operator"), &json!("resolved"), &json!("a job ran wild"))
    );
    assert_eq!((silent.refusal("note"), again.refusal("already_resolved")), ((4, true), (4, true)));
}

#[tokio::test]
async fn an_alert_of_the_service_itself_is_closed_by_an_operator() {
    let world = World::new().await;
    let closed = world.json(&format!("resolve {} --note a%20full%20disk", world.service));
    let event = "SELECT count(*)::text FROM audit_outbox WHERE event ->> 'action' = 'alert.resolve'
        AND event -> 'organization_id' = 'null'";
    assert_eq!((&closed["status"], world.admin.value(event).await.as_str()), (&json!("resolved"), "1"));
}

#[tokio::test]
async fn what_is_not_there_ends_with_3_and_what_is_no_id_with_2() {
    let world = World::new().await;
    let codes = [format!("show {NOBODY}"), format!("ack {NOBODY}"), "show x".into(), "list --org acme --rule x".into()]
        .map(|arguments| world.run(&arguments).code);
    assert_eq!(codes, [3, 3, 2, 2]);
}

#[tokio::test]
async fn a_rule_is_set_for_an_organization_and_for_a_key_and_taken_back() {
    let world = World::new().await;
    let set = |rest: &str| world.json(&format!("set-rule --org acme --rule call_rate {rest}"));
    let own = set("--threshold 8000");
    let of_key = set(&format!("--action limit_rate --limit 60 --key {}", world.key));
    let table = world.run("rules --org acme").stdout;
    let back = set("--default-threshold");
    let reset = set(&format!("--reset --key {}", world.key));
    assert_eq!(
        [
            &own["threshold"],
            &of_key["keys"][0]["action_limit"],
            &of_key["keys"][0]["threshold"],
            &back["threshold"],
            &reset["keys"]
        ],
        [&json!(8_000), &json!(60), &json!(8_000), &json!(5_000), &json!([])]
    );
    assert!(table.contains(&format!("key {}", world.key)) && table.contains("limit_rate 60"), "{table}");
}

#[tokio::test]
async fn a_setting_that_can_not_be_is_refused() {
    let world = World::new().await;
    let set = |rest: &str| world.run(&format!("set-rule --org acme --rule {rest}"));
    let refused = [set("out_of_scope --threshold 5").code, set("leaked_key --action disable_key").code];
    let wrong = [set("call_rate").code, set("call_rate --threshold 5 --reset").code];
    assert_eq!((refused, wrong), ([4, 4], [2, 2]));
}
