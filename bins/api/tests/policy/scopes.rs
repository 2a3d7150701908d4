//! Scopes (policy §1).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use statuspulse_policy::Catalog;
use statuspulse_testkit::{TestApp, key_of};

use crate::{
    attempt::{Attempt, both, passed},
    support::{Api, World},
};

async fn refused_scopes(world: &World, scopes: Value) -> (u16, Vec<String>) {
    let reply = world.create(json!({"scopes": scopes})).await;
    (reply.status, reply.fields())
}

/// spec: policy P1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_beyond_the_scopes_is_refused_scopes_both_ways() {
    let world = World::new().await;
    let (_, token) = world.key(&["routes:read"]).await;
    let outcomes = Attempt::of(&token).to("POST", "/api/v1/incidents").outcomes(&world).await;
    assert_eq!(outcomes, both(403, "insufficient_scope"));
}

/// spec: policy P1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_names_the_scope_that_is_missing() {
    let world = World::new().await;
    let (_, token) = world.key(&["routes:read"]).await;
    let verdict = Attempt::of(&token).to("POST", "/api/v1/incidents").verify(&world.api, &world.gateway).await;
    assert_eq!((&verdict["allowed"], &verdict["required_scope"]), (&json!(false), &json!("incidents:write")));
}

/// spec: policy P1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_auth_names_the_scope_that_is_missing_in_its_challenge() {
    let world = World::new().await;
    let (_, token) = world.key(&["routes:read"]).await;
    let reply = Attempt::of(&token).to("POST", "/api/v1/incidents").forward(&world.api).await;
    let challenge = reply.header("www-authenticate");
    assert!(challenge.contains(r#"error="insufficient_scope", scope="incidents:write""#), "{challenge}");
}

/// spec: policy P1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_calls_beyond_the_scopes_are_one_alert() {
    let world = World::new().await;
    let (id, token) = world.key(&["routes:read"]).await;
    for path in ["/api/v1/incidents", "/api/v1/checks", "/api/v1/incidents/7"] {
        Attempt::of(&token).to("POST", path).outcomes(&world).await;
    }
    let alerts = world.alerts("out_of_scope").await;
    let told: Vec<_> = alerts.iter().map(|alert| (alert["subject"].clone(), alert["count"].clone())).collect();
    assert_eq!(told, [(json!(id), json!(6))]);
}

/// spec: policy P1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_beyond_the_scopes_is_in_the_trail_with_the_scope() {
    let world = World::new().await;
    let (id, token) = world.key(&["routes:read"]).await;
    Attempt::of(&token).to("POST", "/api/v1/incidents/4711").forward(&world.api).await;
    let events = world.events("api.call").await;
    let event = events.last().unwrap();
    let told = [&event["outcome"], &event["reason"], &event["route"], &event["status"], &event["actor_id"]];
    let scope = &event["detail"]["required_scope"];
    assert_eq!(
        (told, scope),
        (
            [&json!("denied"), &json!("insufficient_scope"), &json!("/api/v1/incidents/**"), &json!(403), &json!(id)],
            &json!("incidents:write")
        )
    );
}

/// spec: policy P3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_scope_is_refused_at_its_place() {
    let world = World::new().await;
    let refused = refused_scopes(&world, json!(["checks:read", "checks:delete"])).await;
    assert_eq!(refused, (422, vec!["scopes[1]: unknown_scope".to_owned()]));
}

/// spec: policy P3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_scope_is_named() {
    let world = World::new().await;
    let reply = world.create(json!({"scopes": ["checks:delete"]})).await;
    assert!(reply.json()["errors"][0]["detail"].as_str().unwrap().contains("`checks:delete`"), "{}", reply.text);
}

/// spec: policy P3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_are_compared_exactly() {
    let world = World::new().await;
    let mut refused = Vec::new();
    for name in [" incidents:write", "incidents:write ", "Incidents:write", "incidents:write,checks:read", ""] {
        refused.push(refused_scopes(&world, json!([name])).await);
    }
    assert_eq!(refused, vec![(422, vec!["scopes[0]: unknown_scope".to_owned()]); 5]);
}

/// spec: policy P4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wildcard_is_a_scope() {
    let world = World::new().await;
    let mut refused = Vec::new();
    for name in ["*", "incidents:*", "*:read", "**", "all"] {
        refused.push(refused_scopes(&world, json!([name])).await);
    }
    assert_eq!(refused, vec![(422, vec!["scopes[0]: unknown_scope".to_owned()]); 5]);
}

/// spec: policy P3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_scope_is_refused_at_a_change_too() {
    let world = World::new().await;
    let (id, _) = world.key(&["checks:read"]).await;
    let reply = world.patch(&id, &json!({"scopes": ["Checks:read"]})).await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["scopes[0]: unknown_scope".to_owned()]));
}

/// spec: policy §1.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_given_twice_is_kept_once() {
    let world = World::new().await;
    let created = world.create(json!({"scopes": ["checks:read", "routes:read", "checks:read"]})).await;
    assert_eq!(created.json()["key"]["scopes"], json!(["checks:read", "routes:read"]));
}

/// spec: policy P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_list_of_scopes_is_refused() {
    let world = World::new().await;
    assert_eq!(refused_scopes(&world, json!([])).await, (422, vec!["scopes: empty_scopes".to_owned()]));
}

/// spec: policy P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_list_of_scopes_is_refused_at_a_change_too() {
    let world = World::new().await;
    let (id, _) = world.key(&["checks:read"]).await;
    let reply = world.patch(&id, &json!({"scopes": []})).await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["scopes: empty_scopes".to_owned()]));
}

/// spec: policy P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_scopes_were_emptied_in_the_table_is_refused_everywhere() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    world.force(&id, "scopes = 0").await;
    let second = world.second().await;
    let [verify, forward] = Attempt::of(&token).outcomes_on(&second, &world.gateway).await;
    let own = second.get("/v1/keys/self").key(&token).send().await.outcome();
    assert_eq!(vec![verify, forward, own], vec![(403, "insufficient_scope".to_owned()); 3]);
}

/// spec: policy P6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_bits_that_no_scope_has_can_do_nothing() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    world.force(&id, &format!("scopes = {}", 1_i64 << 40)).await;
    let outcomes = Attempt::of(&token).outcomes_on(&world.second().await, &world.gateway).await;
    assert_eq!(outcomes, both(403, "insufficient_scope"));
}

/// spec: policy §1.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preset_is_expanded_when_the_key_is_made() {
    let world = World::new().await;
    let created = world.create(json!({"preset": "pagerduty-sync"})).await;
    assert_eq!(created.json()["key"]["scopes"], json!(["incidents:write", "routes:read"]));
}

/// spec: policy §1.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preset_and_a_list_together_are_refused() {
    let world = World::new().await;
    let reply = world.create(json!({"preset": "read-only", "scopes": ["checks:read"]})).await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["preset: scopes_and_preset".to_owned()]));
}

/// spec: policy §1.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_preset_nor_a_list_is_refused() {
    let world = World::new().await;
    let wanted = json!({"name": "ci", "environment": "production"});
    let reply = world.owner("POST", "/v1/orgs/acme/keys", &wanted).await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["scopes: required".to_owned()]));
}

/// spec: policy §1.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_preset_is_refused() {
    let world = World::new().await;
    let reply = world.create(json!({"preset": "everything"})).await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["preset: unknown_preset".to_owned()]));
}

/// A catalog that came after the built-in one: one resource and its rule more.
pub(crate) fn later_catalog() -> Catalog {
    let more = r#"
        [[resources]]
        name = "reports"
        description = "Reports"
        scopes = [{ action = "read", bit = 17, read_only = true, description = "See reports" }]
        [[rules]]
        methods = ["GET"]
        path = "/api/v1/reports/**"
        scope = "reports:read"
    "#;
    Catalog::from_toml(&format!("{}\n{more}", Catalog::BUILTIN_TOML)).unwrap()
}

async fn later_release(world: &World) -> Api {
    let app = TestApp::builder(&world.db).clock(world.api.app.clock()).catalog(later_catalog()).start().await;
    Api::over(app, "", "x-forwarded-for").await
}

fn every_scope() -> Vec<String> {
    Catalog::builtin().unwrap().scopes().map(|scope| scope.name.clone()).collect()
}

/// spec: policy P5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_every_scope_lacks_one_that_ships_later() {
    let world = World::new().await;
    let all = every_scope();
    let (_, token) = world.key(&all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let later = later_release(&world).await;
    let outcomes = Attempt::of(&token).to("GET", "/api/v1/reports").outcomes_on(&later, &world.gateway).await;
    assert_eq!(outcomes, both(403, "insufficient_scope"));
}

/// spec: policy P5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_every_scope_shows_the_same_scopes_after_a_release() {
    let world = World::new().await;
    let all = every_scope();
    let (id, _) = world.key(&all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let later = later_release(&world).await;
    let path = format!("/v1/orgs/acme/keys/{id}");
    assert_eq!(later.get(&path).cookie(&world.owner).send().await.json()["scopes"], json!(all));
}

/// spec: policy P5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_shipped_later_can_be_granted_to_new_keys() {
    let world = World::new().await;
    let later = later_release(&world).await;
    let (_, token) = later.app.key(&world.org, key_of("production", &["reports:read"])).await;
    let attempt = Attempt::of(&token).to("GET", "/api/v1/reports/2026");
    assert_eq!(attempt.outcomes_on(&later, &world.gateway).await, passed());
}

/// spec: policy §1.8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_matrix_names_every_scope_of_the_catalog() {
    let world = World::new().await;
    let matrix = world.api.get("/v1/scopes").send().await.json();
    let resources = matrix["resources"].as_array().unwrap();
    let scopes = resources.iter().flat_map(|resource| resource["scopes"].as_array().unwrap());
    assert_eq!(scopes.map(|scope| scope["name"].as_str().unwrap()).collect::<Vec<_>>(), every_scope());
}

/// spec: policy §1.8, §2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_matrix_says_what_a_read_only_environment_may_hold() {
    let world = World::new().await;
    let matrix = world.api.get("/v1/scopes").send().await.json();
    let scopes =
        matrix["resources"].as_array().unwrap().iter().flat_map(|resource| resource["scopes"].as_array().unwrap());
    let held: BTreeSet<_> =
        scopes.filter(|scope| scope["read_only"] == true).map(|scope| scope["name"].clone().to_string()).collect();
    let preset = matrix["presets"].as_array().unwrap().iter().find(|preset| preset["name"] == "read-only").unwrap();
    assert_eq!(held, preset["scopes"].as_array().unwrap().iter().map(Value::to_string).collect());
}

/// spec: policy §1.8, §2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_matrix_names_the_environments() {
    let world = World::new().await;
    let expected = json!([
        {"name": "production", "prefix": "sp_live_", "read_only": false, "max_lifespan_days": 90},
        {"name": "staging", "prefix": "sp_test_", "read_only": false, "max_lifespan_days": 365},
        {"name": "analytics", "prefix": "sp_live_", "read_only": true, "max_lifespan_days": 90},
    ]);
    assert_eq!(world.api.get("/v1/scopes").send().await.json()["environments"], expected);
}
