//! Honeytokens (§4).

use serde_json::{Value, json};
use statuspulse_testkit::eventually;

use crate::{
    help::nobodys_token,
    support::{Api, PEER, Reply, World},
};

/// Everything of a refusal that its receiver sees, but for the request's own id.
fn visible(reply: &Reply) -> (u16, Vec<String>, Value) {
    let own = ["x-request-id", "date"];
    let mut headers: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.sort();
    let mut body = reply.json();
    body["request_id"] = Value::Null;
    (reply.status, headers, body)
}

async fn verdict(world: &World, token: &str) -> Value {
    let mut verdict = world.verdict(&world.api, token, PEER).await;
    verdict["request_id"] = Value::Null;
    verdict
}

/// spec: keys K51
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verdict_of_a_canary_is_that_of_a_token_of_nobody() {
    let world = World::new().await;
    let (_, canary) = world.created(&json!({"canary": true})).await;
    assert_eq!(verdict(&world, &canary).await, verdict(&world, &nobodys_token()).await);
}

/// spec: keys K51
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_is_refused_as_unknown() {
    let world = World::new().await;
    let (_, canary) = world.created(&json!({"canary": true})).await;
    let verdict = verdict(&world, &canary).await;
    assert_eq!(
        (&verdict["code"], &verdict["status"], &verdict["allowed"]),
        (&json!("unknown"), &json!(401), &json!(false))
    );
}

/// spec: keys K51
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_state_and_no_allowlist_tells_a_canary_from_a_token_of_nobody() {
    let world = World::new().await;
    let mut verdicts = vec![verdict(&world, &nobodys_token()).await];
    for (fields, verb) in [
        (json!({"canary": true, "allowed_cidrs": ["192.0.2.0/24"]}), ""),
        (json!({"canary": true}), "disable"),
        (json!({"canary": true}), "revoke"),
        (json!({"canary": true}), "rotate"),
    ] {
        let (id, canary) = world.created(&fields).await;
        world.verb(&id, verb, &json!({})).await;
        verdicts.push(verdict(&world, &canary).await);
    }
    verdicts.dedup();
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
}

/// spec: keys K51
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_endpoints_answer_a_canary_like_a_token_of_nobody() {
    let world = World::new().await;
    let (_, canary) = world.created(&json!({"canary": true, "scopes": ["keys:read", "credentials:verify"]})).await;
    let asked = async |token: &str| {
        [
            visible(&world.api.get("/v1/keys/self").key(token).send().await),
            visible(&world.api.get(crate::help::KEYS).key(token).send().await),
            visible(&world.api.post("/v1/verify").key(token).json(&json!({})).send().await),
            visible(&world.api.post(crate::help::KEYS).key(token).json(&json!({})).send().await),
        ]
    };
    assert_eq!(asked(&canary).await, asked(&nobodys_token()).await);
}

/// spec: keys K51
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_forwards_is_told_the_same_of_a_canary_and_a_token_of_nobody() {
    let world = World::new().await;
    let (_, canary) = world.created(&json!({"canary": true})).await;
    let asked = async |token: &str| {
        let ask = world.api.get("/v1/forward-auth").peer("127.0.0.1").key(token);
        let ask = ask.header("x-original-method", "GET").header("x-original-uri", "/api/v1/checks");
        visible(&ask.header("x-forwarded-for", PEER).send().await)
    };
    assert_eq!(asked(&canary).await, asked(&nobodys_token()).await);
}

/// spec: keys K51
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_use_of_a_canary_opens_a_critical_alert_by_itself() {
    let world = World::new().await;
    let (id, canary) = world.created(&json!({"canary": true})).await;
    world.call(&canary).await;
    let opened = "SELECT subject || ' ' || severity || ' ' || status FROM alerts WHERE rule = 'canary_used'";
    eventually("an alert is open", async || !world.texts(opened).await.is_empty()).await;
    assert_eq!(world.texts(opened).await, [format!("{id} critical open")]);
}

/// spec: keys K51
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_use_of_a_canary_on_an_instance_that_never_saw_it_opens_the_alert_too() {
    let world = World::new().await;
    let second: Api = world.second().await;
    let (_, canary) = world.created(&json!({"canary": true})).await;
    world.call_at(&second, &canary).await;
    second.app.flush().await;
    assert_eq!(world.alerts("canary_used").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_of_a_canarys_use_names_the_key_for_its_owner() {
    let world = World::new().await;
    let (id, canary) = world.created(&json!({"canary": true})).await;
    world.call(&canary).await;
    let events = world.events("api.call").await;
    let event = events.iter().find(|event| event["reason"] == json!("unknown")).unwrap();
    assert_eq!((&event["actor_id"], &event["detail"]["canary"]), (&json!(id), &json!(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canarys_use_is_no_use() {
    let world = World::new().await;
    let (id, canary) = world.created(&json!({"canary": true})).await;
    world.call(&canary).await;
    world.api.app.flush().await;
    assert_eq!(world.shown(&id).await["last_used_at"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_is_never_hashed() {
    let world = World::new().await;
    let (_, canary) = world.created(&json!({"canary": true})).await;
    world.call(&nobodys_token()).await;
    let hashes = world.api.app.gate.hashes();
    world.call(&canary).await;
    assert_eq!(world.api.app.gate.hashes() - hashes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_is_made_at_creation_and_by_no_change() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    assert_eq!(world.patch(&id, &json!({"canary": true})).await.fields(), ["canary: unknown_field"]);
}
