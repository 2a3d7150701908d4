//! The order of a decision and its answers (policy §6).

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_keys::{Prefix, Token, token::ENTROPY_BYTES};
use statuspulse_testkit::key_of;

use crate::{
    attempt::{Attempt, both},
    support::{PUBLIC_URL, World},
};

/// Not on the list of the keys below.
const UNLISTED: &str = "198.51.100.1";
const LIST: [&str; 1] = ["203.0.113.0/24"];

/// A token that nobody was given.
pub(crate) fn unknown_token(number: u64) -> String {
    let mut entropy = [7_u8; ENTROPY_BYTES];
    entropy[..8].copy_from_slice(&number.to_be_bytes());
    Token::from_entropy(Prefix::Live, &entropy).expose().to_owned()
}

/// spec: policy P37
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_unlisted_address_an_expired_key_is_refused_for_the_address() {
    let world = World::new().await;
    let created = world.create(json!({"allowed_cidrs": LIST, "expires_in_days": 1})).await.json();
    let token = created["token"].as_str().unwrap().to_owned();
    world.api.app.advance(Duration::from_secs(86_400)).await;
    let outcomes =
        [Attempt::of(&token).outcomes(&world).await, Attempt::of(&token).from(UNLISTED).outcomes(&world).await];
    assert_eq!(outcomes, [both(401, "expired"), both(403, "ip_not_allowed")]);
}

/// spec: policy P37
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_unlisted_address_a_revoked_key_is_refused_for_the_address() {
    let world = World::new().await;
    let (id, token) = world.listed_key(&LIST).await;
    world.act(&id, "revoke").await;
    let outcomes =
        [Attempt::of(&token).outcomes(&world).await, Attempt::of(&token).from(UNLISTED).outcomes(&world).await];
    assert_eq!(outcomes, [both(401, "revoked"), both(403, "ip_not_allowed")]);
}

/// spec: policy P37
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_unlisted_address_a_disabled_key_is_refused_for_the_address() {
    let world = World::new().await;
    let (id, token) = world.listed_key(&LIST).await;
    world.act(&id, "disable").await;
    let outcomes =
        [Attempt::of(&token).outcomes(&world).await, Attempt::of(&token).from(UNLISTED).outcomes(&world).await];
    assert_eq!(outcomes, [both(401, "disabled"), both(403, "ip_not_allowed")]);
}

/// spec: policy P37
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_unlisted_address_a_call_beyond_the_scopes_is_refused_for_the_address() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&LIST).await;
    let outcomes = Attempt::of(&token).to("POST", "/api/v1/incidents").from(UNLISTED).outcomes(&world).await;
    assert_eq!(outcomes, both(403, "ip_not_allowed"));
}

/// spec: policy P37
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_unlisted_address_a_call_beyond_the_scopes_is_no_alert() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&LIST).await;
    Attempt::of(&token).to("POST", "/api/v1/incidents").from(UNLISTED).outcomes(&world).await;
    assert_eq!(world.alerts("out_of_scope").await, Vec::<Value>::new());
}

/// spec: policy P38
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_token_is_unknown_from_everywhere() {
    let world = World::new().await;
    world.owner("PATCH", "/v1/orgs/acme/settings", &json!({"allowed_cidrs": LIST})).await;
    let token = unknown_token(1);
    let outcomes =
        [Attempt::of(&token).outcomes(&world).await, Attempt::of(&token).from(UNLISTED).outcomes(&world).await];
    assert_eq!(outcomes, [both(401, "unknown"), both(401, "unknown")]);
}

/// spec: policy §6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_token_is_malformed_from_everywhere() {
    let world = World::new().await;
    let (_, mut token) = world.listed_key(&LIST).await;
    let last = if token.pop() == Some('A') { 'B' } else { 'A' };
    token.push(last);
    assert_eq!(Attempt::of(&token).from(UNLISTED).outcomes(&world).await, both(401, "malformed"));
}

/// spec: policy §6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_comes_before_the_environment_and_the_scope() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    world.act(&id, "revoke").await;
    let attempt = Attempt::of(&token).to("POST", "/api/v1/incidents").at(&["staging"]);
    assert_eq!(attempt.outcomes(&world).await, both(401, "revoked"));
}

/// spec: policy §6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_comes_before_the_scope() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let attempt = Attempt::of(&token).to("POST", "/api/v1/incidents").at(&["staging"]);
    assert_eq!(attempt.outcomes(&world).await, both(401, "environment_mismatch"));
}

/// spec: policy §6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_endpoints_judge_in_the_same_order() {
    let world = World::new().await;
    let (id, token) = world.listed_key(&LIST).await;
    world.act(&id, "revoke").await;
    let ask = |peer| world.api.get("/v1/orgs/acme/keys").key(&token).peer(peer);
    let outcomes = [ask(UNLISTED).send().await.outcome(), ask("203.0.113.9").send().await.outcome()];
    assert_eq!(outcomes, [(403, "ip_not_allowed".to_owned()), (401, "revoked".to_owned())]);
}

/// Whether a refusal names one of the addresses or networks that it is about, in its body or a header.
fn names_an_address(reply: &crate::support::Reply) -> Vec<String> {
    let headers = reply.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")));
    let needles = ["198.51.100", "203.0.113", "/24", "127.0.0.1"];
    headers.chain([reply.text.clone()]).filter(|text| needles.iter().any(|needle| text.contains(needle))).collect()
}

/// spec: policy P39
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_of_an_address_names_no_address() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&LIST).await;
    let forward = Attempt::of(&token).from(UNLISTED).forward(&world.api).await;
    let own = world.api.get("/v1/keys/self").key(&token).peer(UNLISTED).send().await;
    assert_eq!([names_an_address(&forward), names_an_address(&own)].concat(), [""; 0]);
}

/// spec: policy P39
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_of_an_address_is_a_problem_with_a_code_and_nothing_more() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&LIST).await;
    let forward = Attempt::of(&token).from(UNLISTED).forward(&world.api).await;
    let mut problem = forward.json();
    problem.as_object_mut().unwrap().remove("request_id");
    let expected = json!({"type": "about:blank", "title": "Forbidden", "status": 403,
        "detail": "the key may not be used from here", "code": "ip_not_allowed"});
    assert_eq!((problem, forward.header("www-authenticate")), (expected, ""));
}

/// spec: policy P39
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_of_an_address_costs_no_hash() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&LIST).await;
    // The gateway's own key is hashed at its first use.
    Attempt::of(&unknown_token(2)).outcomes(&world).await;
    let before = world.api.app.gate.hashes();
    Attempt::of(&token).from(UNLISTED).outcomes(&world).await;
    assert_eq!(world.api.app.gate.hashes(), before);
}

/// spec: policy P39
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_of_an_address_is_no_use_of_the_key() {
    let world = World::new().await;
    let (id, token) = world.listed_key(&LIST).await;
    Attempt::of(&token).from(UNLISTED).outcomes(&world).await;
    world.api.get("/v1/keys/self").key(&token).peer(UNLISTED).send().await;
    world.api.app.flush().await;
    let shown = world.api.get(&format!("/v1/orgs/acme/keys/{id}")).cookie(&world.owner).send().await.json();
    assert_eq!((&shown["last_used_at"], &shown["last_used_ips"]), (&Value::Null, &json!([])));
}

/// spec: policy P39
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_of_an_address_is_in_the_trail_with_address_and_list() {
    let world = World::new().await;
    let (id, token) = world.listed_key(&LIST).await;
    Attempt::of(&token).from(UNLISTED).outcomes(&world).await;
    let events = world.events("api.call").await;
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            json!([event["actor_id"], event["reason"], event["status"], event["ip"], event["detail"]["allowed_cidrs"]])
        })
        .collect();
    assert_eq!(told, vec![json!([id, "ip_not_allowed", 403, UNLISTED, LIST]); 2]);
}

/// spec: policy §6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_credential_is_challenged_without_an_error() {
    let world = World::new().await;
    let forward = world.api.get("/v1/forward-auth/api/v1/checks").peer("127.0.0.1").send().await;
    let own = world.api.get("/v1/keys/self").send().await;
    let expected =
        format!(r#"Bearer realm="StatusPulse", resource_metadata="{PUBLIC_URL}/.well-known/oauth-protected-resource""#);
    let told = [&forward, &own].map(|reply| (reply.outcome(), reply.header("www-authenticate").to_owned()));
    assert_eq!(told.to_vec(), vec![((401, "missing".to_owned()), expected); 2]);
}

/// spec: policy §6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_credential_is_challenged_with_an_error() {
    let world = World::new().await;
    let (id, revoked) = world.key(&["checks:read"]).await;
    world.act(&id, "revoke").await;
    let mut told = Vec::new();
    for token in [revoked, unknown_token(3), "sp_live_x".to_owned()] {
        told.push(Attempt::of(&token).forward(&world.api).await.header("www-authenticate").to_owned());
        told.push(world.api.get("/v1/keys/self").key(&token).send().await.header("www-authenticate").to_owned());
    }
    let metadata = format!(r#"resource_metadata="{PUBLIC_URL}/.well-known/oauth-protected-resource""#);
    assert_eq!(told, vec![format!(r#"Bearer realm="StatusPulse", error="invalid_token", {metadata}"#); 6]);
}

/// spec: policy §6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_of_a_scope_is_challenged_with_the_scope() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let forward = Attempt::of(&token).to("POST", "/api/v1/checks").forward(&world.api).await;
    let own = world.api.get("/v1/orgs/acme/keys").key(&token).send().await;
    let expected = |scope: &str| {
        let metadata = format!(r#"resource_metadata="{PUBLIC_URL}/.well-known/oauth-protected-resource""#);
        format!(r#"Bearer realm="StatusPulse", error="insufficient_scope", scope="{scope}", {metadata}"#)
    };
    let told = [forward.header("www-authenticate"), own.header("www-authenticate")];
    assert_eq!(told, [expected("checks:write"), expected("keys:read")]);
}

/// spec: policy §6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_answers_200_whatever_the_verdict() {
    let world = World::new().await;
    let (id, revoked) = world.key(&["checks:read"]).await;
    world.act(&id, "revoke").await;
    let (_, test_key) = world.key_like(key_of("staging", &["checks:read"])).await;
    let mut told = Vec::new();
    for token in [revoked, test_key, unknown_token(4), String::new()] {
        let question =
            json!({"token": token, "method": "GET", "path": "/api/v1/checks", "environments": ["production"]});
        let reply = world.api.post("/v1/verify").key(&world.gateway).json(&question).send().await;
        told.push((reply.status, reply.json()["status"].clone(), reply.code()));
    }
    let expected = ["revoked", "environment_mismatch", "unknown", "malformed"];
    assert_eq!(told, expected.map(|code| (200, json!(401), code.to_owned())));
}

/// spec: policy §6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_token_costs_no_hash() {
    let world = World::new().await;
    Attempt::of(&unknown_token(5)).outcomes(&world).await;
    let before = world.api.app.gate.hashes();
    for number in 6..20 {
        Attempt::of(&unknown_token(number)).outcomes(&world).await;
    }
    assert_eq!(world.api.app.gate.hashes(), before);
}
