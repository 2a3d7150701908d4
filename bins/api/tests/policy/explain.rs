//! Explanations (policy §9).

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_testkit::key_of;

use crate::support::{PEER, Reply, World};

const LIST: [&str; 1] = ["203.0.113.0/24"];

async fn explain(world: &World, key: &str, call: &Value) -> Reply {
    world.owner("POST", &format!("/v1/orgs/acme/keys/{key}/explain"), call).await
}

fn call(method: &str, ip: &str) -> Value {
    json!({"method": method, "path": "/api/v1/checks", "client_ip": ip})
}

/// `step outcome` of every step.
fn steps(explanation: &Value) -> Vec<String> {
    let steps = explanation["steps"].as_array().unwrap().iter();
    steps.map(|step| format!("{} {}", step["step"].as_str().unwrap(), step["outcome"].as_str().unwrap())).collect()
}

/// spec: policy P56
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_step_that_fails_gives_the_code_and_every_step_is_judged() {
    let world = World::new().await;
    let (id, _) = world.listed_key(&LIST).await;
    let told = explain(&world, &id, &call("POST", "198.51.100.1")).await.json();
    let expected =
        ["client_address pass", "allowlist fail", "state pass", "environment skipped", "scope fail", "rate skipped"];
    assert_eq!(
        (&told["allowed"], &told["code"], &told["status"], steps(&told)),
        (&json!(false), &json!("ip_not_allowed"), &json!(403), expected.map(str::to_owned).to_vec())
    );
}

/// spec: policy P56
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explanation_is_no_call_and_opens_no_alert() {
    let world = World::new().await;
    let (id, _) = world.listed_key(&LIST).await;
    explain(&world, &id, &call("POST", "198.51.100.1")).await;
    explain(&world, &id, &call("POST", PEER)).await;
    let calls = world.events("api.call").await.len();
    assert_eq!((calls, world.alerts("out_of_scope").await.len()), (0, 0));
}

/// spec: policy P56
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explanation_is_one_event_of_the_person() {
    let world = World::new().await;
    let (id, _) = world.listed_key(&LIST).await;
    explain(&world, &id, &call("POST", "198.51.100.1")).await;
    let events = world.events("key.explain").await;
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            json!([event["actor_kind"], event["actor_id"], event["detail"]["key_id"], event["detail"]["code"]])
        })
        .collect();
    assert_eq!(told, [json!(["user", world.org.owner.id.to_string(), id, "ip_not_allowed"])]);
}

/// spec: policy §9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explanation_is_no_use_of_the_key() {
    let world = World::new().await;
    let (id, _) = world.listed_key(&LIST).await;
    explain(&world, &id, &call("GET", PEER)).await;
    world.api.app.flush().await;
    let shown = world.api.get(&format!("/v1/orgs/acme/keys/{id}")).cookie(&world.owner).send().await.json();
    assert_eq!(shown["last_used_at"], Value::Null);
}

/// spec: policy §9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allowed_call_is_explained_as_allowed() {
    let world = World::new().await;
    let (id, _) = world.listed_key(&LIST).await;
    let told = explain(&world, &id, &call("GET", PEER)).await.json();
    let expected =
        ["client_address pass", "allowlist pass", "state pass", "environment skipped", "scope pass", "rate skipped"];
    assert_eq!(
        (&told["allowed"], &told["code"], &told["status"], steps(&told)),
        (&json!(true), &json!("allowed"), &json!(200), expected.map(str::to_owned).to_vec())
    );
}

/// spec: policy §9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_explained_at_the_time_that_is_asked_about() {
    let world = World::new().await;
    let (view, _) = world.key_like(key_of("production", &["checks:read"])).await;
    let mut codes = Vec::new();
    for at in [view.ends_at - Duration::from_secs(1), view.ends_at] {
        let mut call = call("GET", PEER);
        call["at"] = json!(at);
        codes.push(explain(&world, &view.key.id.to_string(), &call).await.code());
    }
    assert_eq!(codes, ["allowed", "expired"]);
}

/// spec: policy §9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapped_address_is_explained_as_ipv4() {
    let world = World::new().await;
    let (id, _) = world.listed_key(&LIST).await;
    assert_eq!(explain(&world, &id, &call("GET", "::ffff:203.0.113.7")).await.code(), "allowed");
}

/// spec: policy §9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_cannot_be_read_is_not_explained() {
    let world = World::new().await;
    let (id, _) = world.listed_key(&LIST).await;
    let reply = explain(&world, &id, &call("GET", "010.0.0.1")).await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["client_ip: invalid_address".to_owned()]));
}

/// spec: policy §9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_explained_too() {
    let world = World::new().await;
    let (id, _) = world.listed_key(&LIST).await;
    world.act(&id, "revoke").await;
    let told = explain(&world, &id, &call("GET", "198.51.100.1")).await.json();
    assert_eq!(
        (told["code"].as_str().unwrap(), &steps(&told)[1..3]),
        ("ip_not_allowed", &["allowlist fail".to_owned(), "state fail".to_owned()][..])
    );
}

/// spec: policy §9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_organization_is_not_explained() {
    let world = World::new().await;
    let other = world.api.app.organization("other").await;
    let (view, _) = world.api.app.key(&other, key_of("production", &["checks:read"])).await;
    let reply = explain(&world, &view.key.id.to_string(), &call("GET", PEER)).await;
    assert_eq!(reply.outcome(), (404, "not_found".to_owned()));
}
