//! Leaked credentials: whoever has found one may end it.

use serde_json::{Value, json};
use statuspulse_testkit::{eventually, key_of};

use crate::support::{Reply, World};

async fn report(world: &World, tokens: &[&str]) -> Reply {
    world.api.post("/v1/leaks").json(&json!({"tokens": tokens})).send().await
}

async fn is_revoked_soon(world: &World, token: &str) {
    eventually("the key is revoked", async || world.judged(token, "GET", "/api/v1/checks").await == "revoked").await;
}

/// spec: keys K49
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reported_key_is_revoked() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let reply = report(&world, &[&token]).await;
    is_revoked_soon(&world, &token).await;
    assert_eq!(reply.status, 202);
}

/// spec: keys K49
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_owner_is_alerted_at_once() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    report(&world, &[&token]).await;
    is_revoked_soon(&world, &token).await;
    let alerts = world.alerts("leaked_key").await;
    let told: Vec<_> = alerts.iter().map(|alert| (&alert["subject"], &alert["severity"])).collect();
    assert_eq!(told, [(&json!(id), &json!("critical"))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_is_the_same_for_live_dead_and_invented_tokens() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let live = report(&world, &[&token]).await;
    is_revoked_soon(&world, &token).await;
    let dead = report(&world, &[&token]).await;
    let invented = report(&world, &["sp_live_x", "", "\u{0}"]).await;
    let seen = |reply: &Reply| (reply.status, reply.text.clone());
    assert_eq!([seen(&dead), seen(&invented)], [seen(&live), seen(&live)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_honeytoken_stays_and_its_owner_is_alerted() {
    let world = World::new().await;
    let canary = statuspulse_app::keys::CreateKey { canary: true, ..key_of("production", &["checks:read"]) };
    let (view, token) = world.key_like(canary).await;
    report(&world, &[&token]).await;
    eventually("its owner is alerted", async || world.alerts("leaked_key").await.len() == 1).await;
    let key = world.owner("GET", &format!("/v1/orgs/acme/keys/{}", view.key.id), &Value::Null).await.json();
    assert_eq!(key["status"], "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_names_one_to_a_hundred_tokens() {
    let world = World::new().await;
    let many = vec!["x"; 101];
    let refused = [report(&world, &[]).await.fields(), report(&world, &many).await.fields()];
    assert_eq!(refused, [vec!["tokens: out_of_bounds".to_owned()], vec!["tokens: out_of_bounds".to_owned()]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_twenty_first_report_of_a_minute_from_one_address_waits() {
    let world = World::new().await;
    let mut answers = Vec::new();
    for _ in 0..21 {
        answers.push(report(&world, &["x"]).await.status);
    }
    let other = world.api.post("/v1/leaks").peer("198.51.100.9").json(&json!({"tokens": ["x"]})).send().await.status;
    assert_eq!((answers.pop(), answers, other), (Some(429), vec![202; 20], 202));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_one_event_that_holds_no_token() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let reply = report(&world, &[&token, "sp_live_x"]).await;
    let mut seen = Vec::new();
    eventually("the event is written", async || {
        let events = world.events("key.leaked").await;
        seen = events.into_iter().filter(|event| event["request_id"] == reply.header("x-request-id")).collect();
        !seen.is_empty()
    })
    .await;
    let told: Vec<Value> =
        seen.iter().map(|event| json!([event["detail"]["tokens"], event["detail"]["ended"]])).collect();
    assert_eq!((told, seen[0].to_string().contains(&token)), (vec![json!([2, 1])], false));
}
