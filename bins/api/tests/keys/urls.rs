//! Keys in URLs and other odd places (§2.7).

use serde_json::{Value, json};

use crate::{
    help::{nobodys_token, pieces_in},
    support::{PEER, World},
};

/// Key and outcome of each event of a key in a URL.
async fn told(world: &World) -> Vec<Value> {
    let events = world.events("credential.in_url").await;
    events.iter().map(|event| json!([event["actor_id"], event["outcome"], event["ip"]])).collect()
}

async fn put_into_url(world: &World, token: &str) {
    world.api.get(&format!("/v1/keys/self?access_token={token}&x=1")).send().await;
}

/// spec: keys K10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_url_is_an_event_that_names_the_key() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    put_into_url(&world, &token).await;
    assert_eq!(told(&world).await, [json!([id, "denied", PEER])]);
}

/// spec: keys K10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_key_in_a_url_opens_an_alert() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    put_into_url(&world, &token).await;
    let alerts = world.alerts("credential_in_url").await;
    let open: Vec<Value> = alerts.iter().map(|alert| json!([alert["subject"], alert["status"]])).collect();
    assert_eq!(open, [json!([id, "open"])]);
}

/// spec: keys K10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_key_or_a_token_of_nobody_in_a_url_opens_none() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.verb(&id, "revoke", &json!({})).await;
    put_into_url(&world, &token).await;
    put_into_url(&world, &nobodys_token()).await;
    assert_eq!(world.alerts("credential_in_url").await, Vec::<Value>::new());
}

/// spec: keys K10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_key_in_a_url_opens_an_alert_since_it_may_come_back() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.verb(&id, "disable", &json!({})).await;
    put_into_url(&world, &token).await;
    assert_eq!(world.alerts("credential_in_url").await.len(), 1);
}

/// spec: keys K10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_found_in_any_place_of_any_url_that_reaches_us() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    let forward = |uri: String| {
        let ask = world.api.get("/v1/forward-auth").peer("127.0.0.1").header("x-forwarded-for", PEER);
        ask.header("x-original-method", "GET").header("x-original-uri", uri)
    };
    world.api.get(&format!("/{token}")).send().await;
    world.api.get(&format!("/v1/orgs/acme/keys/{token}")).send().await;
    world.api.post(&format!("/v1/session?{token}")).send().await;
    world.api.get(&format!("/healthz?a=b{token}&c")).send().await;
    world.api.get(&format!("/v1/forward-auth/api/v1/checks?key={token}")).peer("127.0.0.1").send().await;
    forward(format!("/api/v1/checks?key={token}")).send().await;
    let question = json!({"token": "x", "method": "GET", "path": format!("/api/v1/checks?key={token}")});
    world.api.verify(&world.gateway, &question).await;
    let ids: Vec<Value> = told(&world).await.iter().map(|event| event[0].clone()).collect();
    assert_eq!(ids, vec![json!(id); 7]);
}

/// spec: keys K10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_url_is_written_down_nowhere() {
    let world = World::new().await;
    let (_, token) = world.created(&json!({})).await;
    let browser = &world.owner;
    put_into_url(&world, &token).await;
    world.api.get(&format!("/v1/orgs/acme/keys/{token}?x={token}")).cookie(browser).send().await;
    world.api.get(&format!("/v1/forward-auth/api/v1/{token}?key={token}")).peer("127.0.0.1").send().await;
    let question = json!({"token": token, "method": "GET", "path": format!("/api/v1/checks/{token}?key={token}")});
    world.api.verify(&world.gateway, &question).await;
    assert_eq!(pieces_in(&[token], &world.dump().await), Vec::<String>::new());
}

/// spec: keys K10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_user_agent_or_a_method_is_cut_to_its_hint() {
    let world = World::new().await;
    let (_, token) = world.created(&json!({})).await;
    let question =
        json!({"token": token, "method": token, "path": "/api/v1/checks", "user_agent": format!("curl {token}")});
    world.api.verify(&world.gateway, &question).await;
    let ask = world.api.get("/v1/keys/self").header("user-agent", format!("curl/8 ({token})"));
    ask.key(&token).send().await;
    let dump = world.dump().await;
    assert_eq!(
        (pieces_in(std::slice::from_ref(&token), &dump), dump.contains(&format!("curl {}…", &token[..12]))),
        (vec![], true)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_in_memory_costs_no_query_in_a_url() {
    let world = World::new().await;
    let queries = world.api.app.replica.queries();
    put_into_url(&world, &nobodys_token()).await;
    assert_eq!(world.api.app.replica.queries() - queries, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_looks_like_a_key_is_no_event() {
    let world = World::new().await;
    let (_, token) = world.created(&json!({})).await;
    put_into_url(&world, &token[..71]).await;
    put_into_url(&world, &format!("sp_live_{}", "x".repeat(64))).await;
    assert_eq!(told(&world).await, Vec::<Value>::new());
}
