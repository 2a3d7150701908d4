//! The limit of a key's rate.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use statuspulse_app::keys::CreateKey;
use statuspulse_testkit::key_of;

use crate::support::{PEER, World};

/// A key with a limit: its id and its token.
async fn limited(world: &World, limit: u32) -> (String, String) {
    let wanted =
        CreateKey { rate_limit_per_minute: Some(limit.into()), ..key_of("production", &["checks:read", "keys:read"]) };
    let (view, token) = world.key_like(wanted).await;
    (view.key.id.to_string(), token)
}

fn call(token: &str) -> Value {
    json!({"token": token, "method": "GET", "path": "/api/v1/checks", "client_ip": PEER})
}

async fn asked(world: &World, token: &str) -> Value {
    world.api.verify(&world.gateway, &call(token)).await
}

/// Lets time pass; the instance has looked at its database since.
async fn pass(world: &World, time: Duration) {
    world.api.app.clock().advance(time);
    world.api.app.replica.catch_up().await;
}

async fn codes(world: &World, token: &str, number: usize) -> Vec<String> {
    let answers = join_all((0..number).map(|_| asked(world, token))).await;
    answers.iter().map(|answer| answer["code"].as_str().unwrap().to_owned()).collect()
}

fn accepted(codes: &[String]) -> usize {
    codes.iter().filter(|code| *code == "allowed").count()
}

/// spec: policy P41
#[tokio::test]
async fn sixty_calls_pass_the_next_waits_and_then_passes() {
    let world = World::new().await;
    let (_, token) = limited(&world, 60).await;
    assert_eq!(accepted(&codes(&world, &token, 60).await), 60);
    let refused = asked(&world, &token).await;
    let shown = json!([refused["allowed"], refused["code"], refused["status"], refused["rate_limit"]]);
    assert_eq!(shown, json!([false, "rate_limited", 429, {"limit": 60, "remaining": 0}]));
    let wait = refused["retry_after"].as_u64().unwrap();
    pass(&world, Duration::from_secs(wait) - Duration::from_millis(1_001)).await;
    assert_eq!(asked(&world, &token).await["code"], "rate_limited");
    pass(&world, Duration::from_millis(1_001)).await;
    assert_eq!(asked(&world, &token).await["code"], "allowed");
}

/// The attack: many calls at once, so that each sees room that another one takes.
#[tokio::test]
async fn of_calls_at_once_exactly_as_many_pass_as_fit() {
    let world = World::new().await;
    let (_, token) = limited(&world, 25).await;
    let codes = codes(&world, &token, 100).await;
    assert_eq!((accepted(&codes), codes.iter().filter(|code| *code == "rate_limited").count()), (25, 75));
}

/// The attack: a burst at the end of one minute and another at the begin of the next, which spacing would let through.
#[tokio::test]
async fn within_no_sixty_seconds_more_pass_than_the_limit() {
    let world = World::new().await;
    let (_, token) = limited(&world, 10).await;
    let mut passed = Vec::new();
    for second in 0..150 {
        passed.push(accepted(&codes(&world, &token, 2).await));
        if second % 7 == 0 {
            passed.push(accepted(&codes(&world, &token, 9).await));
        } else {
            passed.push(0);
        }
        pass(&world, Duration::from_secs(1)).await;
    }
    let most = passed.windows(120).map(|minute| minute.iter().sum::<usize>()).max();
    assert_eq!((most, passed.iter().sum::<usize>()), (Some(10), 30));
}

#[tokio::test]
async fn refused_calls_do_not_count_against_the_limit() {
    let world = World::new().await;
    let (_, token) = limited(&world, 3).await;
    for _ in 0..20 {
        assert_eq!(world.judged(&token, "POST", "/api/v1/incidents").await, "insufficient_scope");
    }
    assert_eq!(accepted(&codes(&world, &token, 4).await), 3);
}

#[tokio::test]
async fn what_is_left_is_told_and_never_negative() {
    let world = World::new().await;
    let (_, token) = limited(&world, 2).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        let reply = world.api.get("/v1/keys/self").key(&token).send().await;
        let header = |name| reply.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        told.push((reply.status, header("x-ratelimit-limit"), header("x-ratelimit-remaining"), header("retry-after")));
    }
    let line = |status: u16, left: &str, wait: &str| (status, "2".to_owned(), left.to_owned(), wait.to_owned());
    assert_eq!(told, [line(200, "1", ""), line(200, "0", ""), line(429, "0", "61"), line(429, "0", "61")]);
}

#[tokio::test]
async fn a_key_without_a_limit_hears_of_none() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let reply = world.api.get("/v1/keys/self").key(&token).send().await;
    let told = (reply.headers.contains_key("x-ratelimit-limit"), asked(&world, &token).await["rate_limit"].clone());
    assert_eq!(told, (false, Value::Null));
}

#[tokio::test]
async fn a_gateway_passes_the_refusal_on() {
    let world = World::new().await;
    let (_, token) = limited(&world, 1).await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let reply = world.api.get("/v1/forward-auth").key(&token).header("x-original-method", "GET");
        let reply = reply.header("x-original-uri", "/api/v1/checks").peer("127.0.0.1").send().await;
        told.push((reply.status, reply.headers.contains_key("retry-after")));
    }
    assert_eq!(told, [(200, false), (429, true)]);
}

/// spec: audit A1
#[tokio::test]
async fn a_call_over_the_limit_has_its_event() {
    let world = World::new().await;
    let (id, token) = limited(&world, 1).await;
    codes(&world, &token, 2).await;
    let events = world.events("api.call").await;
    let refused: Vec<&Value> = events.iter().filter(|event| event["reason"] == "rate_limited").collect();
    let shown = json!([refused[0]["status"], refused[0]["outcome"], refused[0]["actor_id"], refused[0]["ip"]]);
    assert_eq!((refused.len(), shown), (1, json!([429, "denied", id, PEER])));
}

#[tokio::test]
async fn the_explanation_of_a_call_tells_of_the_limit_and_counts_nothing() {
    let world = World::new().await;
    let (id, token) = limited(&world, 2).await;
    let path = format!("/v1/orgs/acme/keys/{id}/explain");
    let question = json!({"method": "GET", "path": "/api/v1/checks", "client_ip": PEER});
    let mut told = Vec::new();
    for _ in 0..3 {
        world.owner("POST", &path, &question).await;
        let answer = world.owner("POST", &path, &question).await.json();
        told.push((answer["code"].clone(), answer["steps"][5]["outcome"].clone()));
        asked(&world, &token).await;
    }
    let line = |code: &str, outcome: &str| (json!(code), json!(outcome));
    assert_eq!(told, [line("allowed", "pass"), line("allowed", "pass"), line("rate_limited", "fail")]);
}

#[tokio::test]
async fn a_changed_limit_counts_what_was_let_through_before() {
    let world = World::new().await;
    let (id, token) = limited(&world, 10).await;
    codes(&world, &token, 5).await;
    let path = format!("/v1/orgs/acme/keys/{id}");
    let reply = world.owner("PATCH", &path, &json!({"rate_limit_per_minute": 6})).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    world.api.app.replica.catch_up().await;
    assert_eq!(accepted(&codes(&world, &token, 3).await), 1);
}
