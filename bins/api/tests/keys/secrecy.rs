//! No part of a token in answers, the trail or alerts (§3).

use serde_json::json;

use crate::{
    help::{KEYS, SETTINGS, path, pieces_in, plain_with},
    support::{PEER, Reply, World},
};

/// A world with a key whose token turns up in all kinds of places.
async fn careless() -> (World, String, String) {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    (world, id, token)
}

/// What an answer tells, headers too.
fn told(reply: &Reply) -> String {
    let headers =
        reply.headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    headers.chain([reply.text.clone()]).collect::<Vec<_>>().join("\n")
}

fn leaking<'a>(token: &str, replies: &'a [Reply]) -> Vec<&'a str> {
    let held = [token.to_owned()];
    replies.iter().filter(|reply| !pieces_in(&held, &told(reply)).is_empty()).map(|reply| reply.text.as_str()).collect()
}

/// spec: keys K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refusal_of_a_body_repeats_a_token_that_stood_in_a_value() {
    let (world, id, token) = careless().await;
    let mut replies = Vec::new();
    for fields in [
        json!({"name": format!("{token}\u{7}")}),
        json!({"environment": token}),
        json!({"scopes": [token]}),
        json!({"scopes": ["checks:read", format!("{token}:read")]}),
        json!({"scopes": null, "preset": token}),
        json!({"allowed_cidrs": [token]}),
        json!({"allowed_cidrs": [format!("10.0.0.0/{token}")]}),
        json!({"expires_in_days": token}),
        json!({"auto_rotate": token}),
        json!({"rate_limit_per_minute": token}),
        json!({"successor_public_key": token}),
    ] {
        replies.push(world.create(&plain_with(&fields)).await);
    }
    replies.push(world.patch(&id, &json!({"expires_at": token})).await);
    replies.push(world.verb(&id, "rotate", &json!({"overlap_seconds": token})).await);
    replies.push(world.verb(&id, "explain", &json!({"method": "GET", "path": "/", "client_ip": token})).await);
    replies.push(world.owner("PATCH", SETTINGS, &json!({"reuse_policy": token, "developer_scopes": [token]})).await);
    replies.push(world.owner("PATCH", SETTINGS, &json!({"max_lifespan_days": {"production": token}})).await);
    replies.push(world.api.post("/v1/session").json(&json!({"email": token, "password": token})).send().await);
    let question = json!({"token": token, "method": "GET", "path": "/", "client_ip": token, "environments": [token]});
    replies.push(world.api.post("/v1/verify").key(&world.gateway).json(&question).send().await);
    let accepted = replies.iter().filter(|reply| reply.status < 400).count();
    assert_eq!((leaking(&token, &replies), accepted), (Vec::new(), 0));
}

/// spec: keys K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refusal_of_a_body_repeats_a_token_that_stood_in_the_name_of_a_field() {
    let (world, id, token) = careless().await;
    let notes = json!({"allowed_cidrs": ["192.0.2.1"], "allowlist_notes": {token.as_str(): "x"}});
    let nul = format!("{token}\0");
    let replies = [
        world.create(&plain_with(&json!({token.as_str(): 1}))).await,
        world.create(&plain_with(&json!({nul.as_str(): 1}))).await,
        world.create(&plain_with(&notes)).await,
        world.patch(&id, &json!({token.as_str(): 1})).await,
        world.owner("PATCH", SETTINGS, &json!({"max_lifespan_days": {token.as_str(): 1}})).await,
        world.api.post("/v1/verify").key(&world.gateway).json(&json!({token.as_str(): 1})).send().await,
        world.api.post("/v1/session").json(&json!({token.as_str(): 1})).send().await,
    ];
    let accepted = replies.iter().filter(|reply| reply.status < 400).count();
    assert_eq!((leaking(&token, &replies), accepted), (Vec::new(), 0));
}

/// spec: keys K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refusal_repeats_a_token_that_stood_in_the_url_or_a_header() {
    let (world, id, token) = careless().await;
    let mut replies = Vec::new();
    for query in ["status=", "environment=", "cursor=", "limit=", "", "x=", "%00"] {
        replies.push(world.read(&format!("{KEYS}?{query}{token}")).await);
    }
    for wrong in [path(&token, ""), format!("/v1/orgs/{token}/keys"), format!("/{token}"), format!("/v1/keys/{token}")]
    {
        replies.push(world.read(&wrong).await);
    }
    replies.push(world.owner("POST", &format!("{KEYS}/{id}/enable?wait={token}"), &json!({})).await);
    for (name, value) in [("if-match", token.clone()), ("idempotency-key", format!("{token} {token}"))] {
        replies.push(world.api.post(&path(&id, "rotate")).browser(&world.owner).header(name, value).send().await);
    }
    replies.push(world.api.ask(&token, KEYS).cookie(&world.owner).send().await);
    for authorization in [format!("Bearer {token}X"), format!("Bearer  {token}"), format!("Basic {token}")] {
        replies.push(world.api.get("/v1/keys/self").header("authorization", authorization).send().await);
    }
    let accepted = replies.iter().filter(|reply| reply.status < 400).count();
    assert_eq!((leaking(&token, &replies), accepted), (Vec::new(), 0));
}

/// spec: keys K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_to_a_call_repeats_its_token() {
    let (world, id, token) = careless().await;
    let mut replies = vec![world.api.get("/v1/keys/self").key(&token).send().await];
    for verb in ["disable", "revoke"] {
        world.verb(&id, verb, &json!({})).await;
        replies.push(world.api.get("/v1/keys/self").key(&token).send().await);
    }
    let question = json!({"token": token, "method": "GET", "path": "/api/v1/checks", "client_ip": PEER});
    replies.push(world.api.post("/v1/verify").key(&world.gateway).json(&question).send().await);
    replies.push(world.read(KEYS).await);
    assert_eq!(leaking(&token, &replies), Vec::<&str>::new());
}

/// spec: keys K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trail_and_the_alerts_hold_no_piece_of_a_token_however_careless_its_owner() {
    let (world, id, token) = careless().await;
    let agent = format!("agent/{token}");
    // Out of scope, in a URL, rotated away, revoked: what opens alerts.
    let call = json!({"token": token, "method": token, "path": format!("/api/v1/incidents?{token}"),
        "client_ip": PEER, "user_agent": agent});
    world.api.verify(&world.gateway, &call).await;
    let new = world.rotated(&id, &json!({})).await;
    world.api.verify(&world.gateway, &call).await;
    world.verb(&id, "revoke", &json!({"reason": format!("found {token} and {new} in a chat")})).await;
    world.verb(&id, "revoke", &json!({})).await;
    world.api.verify(&world.gateway, &call).await;
    world.api.get(&format!("/v1/keys/self?{token}")).key(&token).header("user-agent", &agent).send().await;
    let dump = world.dump().await;
    let rules = world.texts("SELECT DISTINCT rule FROM alerts ORDER BY rule").await;
    assert_eq!(
        (pieces_in(&[token, new], &dump), rules),
        (
            vec![],
            ["credential_in_url", "out_of_scope", "revoked_key_used", "rotated_key_used"].map(str::to_owned).to_vec()
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_for_people_that_holds_a_token_is_refused() {
    let (world, id, token) = careless().await;
    let before = world.state().await;
    let text = format!("found {token} in a chat");
    let notes = json!({"allowed_cidrs": ["192.0.2.1/32"], "allowlist_notes": {"192.0.2.1/32": text}});
    let replies = [
        world.verb(&id, "revoke", &json!({"reason": text})).await,
        world.create(&plain_with(&json!({"name": text}))).await,
        world.patch(&id, &json!({"name": text})).await,
        world.create(&plain_with(&notes)).await,
        world.patch(&id, &notes).await,
    ];
    let refused = replies.map(|reply| reply.outcome());
    assert_eq!((refused, world.state().await), ([(); 5].map(|()| (422, "holds_secret".to_owned())), before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tokens_only_appearance_is_the_answer_that_makes_it() {
    let world = World::new().await;
    let created = world.create(&plain_with(&json!({}))).await;
    let token = created.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(created.text.matches(&token).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cache_may_keep_the_answer_with_a_token() {
    let world = World::new().await;
    let created = world.create(&plain_with(&json!({}))).await;
    assert_eq!(created.header("cache-control"), "no-store");
}
