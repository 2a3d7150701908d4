//! Environments (policy §2).

use serde_json::json;
use statuspulse_testkit::key_of;

use crate::{
    attempt::{Attempt, GATEWAY, both, passed},
    support::World,
};

async fn token_of(world: &World, environment: &str) -> String {
    world.key_like(key_of(environment, &["checks:read"])).await.1
}

/// spec: policy §2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_gives_the_prefix() {
    let world = World::new().await;
    let mut prefixes = Vec::new();
    for environment in ["production", "staging", "analytics"] {
        let mut token = token_of(&world, environment).await;
        token.truncate(8);
        prefixes.push(token);
    }
    assert_eq!(prefixes, ["sp_live_", "sp_test_", "sp_live_"]);
}

/// spec: policy P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analytics_key_is_given_no_scope_to_write() {
    let world = World::new().await;
    let wanted = json!({"environment": "analytics", "scopes": ["checks:read", "incidents:write"]});
    let reply = world.create(wanted).await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["scopes[1]: scope_not_allowed_in_environment".to_owned()]));
}

/// spec: policy P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analytics_key_gains_no_scope_to_write_by_a_change() {
    let world = World::new().await;
    let (view, _) = world.key_like(key_of("analytics", &["checks:read"])).await;
    let reply = world.patch(&view.key.id.to_string(), &json!({"scopes": ["incidents:write"]})).await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["scopes[0]: scope_not_allowed_in_environment".to_owned()]));
}

/// spec: policy P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_was_forced_upon_an_analytics_key_gains_nothing() {
    let world = World::new().await;
    let (view, token) = world.key_like(key_of("analytics", &["checks:read"])).await;
    world.force(&view.key.id.to_string(), &format!("scopes = {}", i64::MAX)).await;
    let second = world.second().await;
    let outcomes = Attempt::of(&token).to("POST", "/api/v1/incidents").outcomes_on(&second, &world.gateway).await;
    assert_eq!(outcomes, both(403, "insufficient_scope"));
}

/// spec: policy P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_was_forced_upon_an_analytics_key_is_not_told_to_the_server() {
    let world = World::new().await;
    let (view, token) = world.key_like(key_of("analytics", &["checks:read"])).await;
    world.force(&view.key.id.to_string(), "scopes = scopes | 16").await;
    let second = world.second().await;
    let verdict = Attempt::of(&token).verify(&second, &world.gateway).await;
    let forward = Attempt::of(&token).forward(&second).await;
    assert_eq!(
        (&verdict["credential"]["scopes"], forward.header("x-auth-scopes")),
        (&json!(["checks:read"]), "checks:read")
    );
}

/// spec: policy P7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analytics_key_may_hold_every_scope_to_read_and_the_export() {
    let world = World::new().await;
    let created = world.create(json!({"environment": "analytics", "preset": "read-only"})).await;
    assert_eq!((created.status, created.json()["key"]["scopes"].as_array().unwrap().len()), (201, 11));
}

/// spec: policy P8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preset_is_not_trimmed_to_the_environment() {
    let world = World::new().await;
    let reply = world.create(json!({"environment": "analytics", "preset": "pagerduty-sync"})).await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["preset: scope_not_allowed_in_environment".to_owned()]));
}

/// spec: policy P8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_of_a_preset_names_the_scope_that_the_environment_forbids() {
    let world = World::new().await;
    let reply = world.create(json!({"environment": "analytics", "preset": "pagerduty-sync"})).await;
    let detail = reply.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("`incidents:write`") && !detail.contains("routes:read"), "{detail}");
}

/// spec: policy §2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_environment_is_refused() {
    let world = World::new().await;
    let reply = world.create(json!({"environment": "Production"})).await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["environment: unknown_environment".to_owned()]));
}

/// spec: policy P9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_key_is_refused_where_production_is_served() {
    let world = World::new().await;
    let token = token_of(&world, "staging").await;
    let outcomes = Attempt::of(&token).at(&["production"]).outcomes(&world).await;
    assert_eq!(outcomes, both(401, "environment_mismatch"));
}

/// spec: policy P9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_key_is_refused_where_staging_is_served() {
    let world = World::new().await;
    let token = token_of(&world, "production").await;
    let outcomes = Attempt::of(&token).at(&["staging"]).outcomes(&world).await;
    assert_eq!(outcomes, both(401, "environment_mismatch"));
}

/// spec: policy P10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analytics_key_is_refused_where_production_alone_is_served() {
    let world = World::new().await;
    let token = token_of(&world, "analytics").await;
    let outcomes = Attempt::of(&token).at(&["production"]).outcomes(&world).await;
    assert_eq!(outcomes, both(401, "environment_mismatch"));
}

/// spec: policy §2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_serve_several_environments() {
    let world = World::new().await;
    let token = token_of(&world, "analytics").await;
    let outcomes = Attempt::of(&token).at(&["production", "analytics"]).outcomes(&world).await;
    assert_eq!(outcomes, passed());
}

/// spec: policy §2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_names_no_environment_does_not_distinguish() {
    let world = World::new().await;
    let mut outcomes = Vec::new();
    for environment in ["production", "staging", "analytics"] {
        outcomes.push(Attempt::of(&token_of(&world, environment).await).outcomes(&world).await);
    }
    assert_eq!(outcomes, vec![passed(); 3]);
}

/// spec: policy §2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_for_the_environment_carries_a_challenge() {
    let world = World::new().await;
    let token = token_of(&world, "staging").await;
    let reply = Attempt::of(&token).at(&["production"]).forward(&world.api).await;
    let challenge = reply.header("www-authenticate");
    assert!(challenge.contains(r#"error="invalid_token""#), "{challenge}");
}

/// spec: policy §2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistyped_environment_is_refused_at_verify() {
    let world = World::new().await;
    let token = token_of(&world, "production").await;
    let question = json!({"token": token, "method": "GET", "path": "/api/v1/checks",
        "environments": ["production", "Staging"]});
    let reply = world.api.post("/v1/verify").key(&world.gateway).json(&question).send().await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["environments[1]: unknown_environment".to_owned()]));
}

/// spec: policy §2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistyped_environment_opens_nothing_at_forward_auth() {
    let world = World::new().await;
    let mut outcomes = Vec::new();
    for environment in ["production", "staging", "analytics"] {
        let token = token_of(&world, environment).await;
        let reply = Attempt::of(&token).at(&["production", "staging", "prod"]).forward(&world.api).await;
        outcomes.push(reply.outcome());
    }
    assert_eq!(outcomes, vec![(401, "environment_mismatch".to_owned()); 3]);
}

/// spec: policy §2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_environment_opens_nothing_at_forward_auth() {
    let world = World::new().await;
    let token = token_of(&world, "production").await;
    assert_eq!(
        Attempt::of(&token).at(&[""]).forward(&world.api).await.outcome(),
        (401, "environment_mismatch".to_owned())
    );
}

/// spec: policy §6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_endpoints_serve_every_environment() {
    let world = World::new().await;
    let mut statuses = Vec::new();
    for environment in ["production", "staging", "analytics"] {
        let token = token_of(&world, environment).await;
        statuses.push(world.api.get("/v1/keys/self").key(&token).peer(GATEWAY).send().await.status);
    }
    assert_eq!(statuses, [200; 3]);
}
