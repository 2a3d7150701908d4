//! Endpoint rules and the one spelling of a path (policy §3).

use serde_json::json;
use statuspulse_policy::Catalog;
use statuspulse_testkit::{TestApp, TestDb};

use crate::{
    attempt::{Attempt, GATEWAY, both, passed},
    support::{Api, World},
};

/// How a call of a key with one scope comes out in both ways.
async fn call(world: &World, scope: &str, method: &str, path: &str) -> [(u16, String); 2] {
    let (_, token) = world.key(&[scope]).await;
    Attempt::of(&token).to(method, path).outcomes(world).await
}

/// The same for many paths and the scope to read checks.
async fn reads(paths: &[&str]) -> Vec<[(u16, String); 2]> {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let mut outcomes = Vec::new();
    for path in paths {
        outcomes.push(Attempt::of(&token).to("GET", path).outcomes(&world).await);
    }
    outcomes
}

/// spec: policy P13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_covered_by_get() {
    let world = World::new().await;
    assert_eq!(call(&world, "checks:read", "HEAD", "/api/v1/checks").await, passed());
}

/// spec: policy P13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_not_covered_by_the_scope_to_write() {
    let world = World::new().await;
    assert_eq!(call(&world, "checks:write", "HEAD", "/api/v1/checks").await, both(403, "insufficient_scope"));
}

/// spec: policy P14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harmless_spellings_of_a_path_are_one() {
    let paths = ["/api/v1/checks/", "/api/v1/%63hecks", "/api/v1/checks?x=/../", "/api/v1/checks#/../x"];
    assert_eq!(reads(&paths).await, vec![passed(); 4]);
}

/// spec: policy §3.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absolute_uri_is_reduced_to_its_path() {
    assert_eq!(reads(&["https://api.example.com/api/v1/checks/7"]).await, [passed()]);
}

/// spec: policy P15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_paths_are_refused() {
    let paths = [
        "/api/v1//checks",
        "/api/v1/checks/../incidents",
        "/api/v1/checks/%2e%2e/incidents",
        "/api/v1/checks%2f..%2fincidents",
        "/api/v1/checks/%2E%2E/incidents",
        "/api/v1/checks/./",
        "/api/v1/checks/..;/incidents",
        "/api/v1/checks%00",
        "/api/v1/checks%5c..",
        "/api/v1/checks\\x",
        "/api/v1/checks/%252e",
        "/api/v1/checks/%2",
        "/api/v1/checks//",
        "api/v1/checks",
    ];
    assert_eq!(reads(&paths).await, vec![both(403, "insufficient_scope"); paths.len()]);
}

/// spec: policy §3.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_of_more_than_8_kib_is_refused() {
    let long = format!("/api/v1/checks/{}", "a".repeat(8 * 1024));
    assert_eq!(reads(&[&long]).await, [both(403, "insufficient_scope")]);
}

/// spec: policy §3.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_with_what_no_header_can_hold_is_refused_at_verify() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let mut codes = Vec::new();
    for path in ["/api/v1/checks/a b", "/api/v1/checks/é", "/api/v1/checks/\n", "/api/v1/checks/\0", ""] {
        codes.push(world.judged(&token, "GET", path).await);
    }
    assert_eq!(codes, ["insufficient_scope"; 5]);
}

/// spec: policy §3.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_case_of_a_path_counts() {
    let paths = ["/API/v1/checks", "/api/v1/Checks"];
    assert_eq!(reads(&paths).await, vec![both(403, "insufficient_scope"); 2]);
}

/// spec: policy §3.1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_in_lower_case_is_another_method() {
    let world = World::new().await;
    let outcomes = [
        call(&world, "checks:read", "get", "/api/v1/checks").await,
        call(&world, "checks:write", "get", "/api/v1/checks").await,
    ];
    assert_eq!(outcomes, [both(403, "insufficient_scope"), passed()]);
}

/// spec: policy §3.1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_no_rule_names_needs_the_scope_to_write() {
    let world = World::new().await;
    let outcomes = [
        call(&world, "checks:read", "PURGE", "/api/v1/checks").await,
        call(&world, "checks:write", "PURGE", "/api/v1/checks").await,
    ];
    assert_eq!(outcomes, [both(403, "insufficient_scope"), passed()]);
}

/// spec: policy §3.1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_overrides_the_method_is_not_read() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let ask = world.api.get("/v1/forward-auth").peer("127.0.0.1").key(&token);
    let ask = ask.header("x-original-method", "POST").header("x-original-uri", "/api/v1/checks");
    let reply = ask.header("x-http-method-override", "GET").header("x-http-method", "GET").send().await;
    assert_eq!(reply.outcome(), (403, "insufficient_scope".to_owned()));
}

/// spec: policy P16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_export_needs_its_own_scope() {
    let world = World::new().await;
    let outcomes = [
        call(&world, "metrics:read", "GET", "/api/v1/metrics/export").await,
        call(&world, "metrics:export", "GET", "/api/v1/metrics/export").await,
    ];
    assert_eq!(outcomes, [both(403, "insufficient_scope"), passed()]);
}

/// spec: policy P16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_odd_spelling_of_the_export_needs_its_own_scope_too() {
    let world = World::new().await;
    let (_, token) = world.key(&["metrics:read"]).await;
    let mut outcomes = Vec::new();
    for path in ["/api/v1/metrics/export/", "/api/v1/metrics/%65xport", "/api/v1/metrics/export?a=b"] {
        outcomes.push(Attempt::of(&token).to("GET", path).outcomes(&world).await);
    }
    assert_eq!(outcomes, vec![both(403, "insufficient_scope"); 3]);
}

/// spec: policy P16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scope_for_the_export_reads_no_other_metrics() {
    let world = World::new().await;
    let outcome = call(&world, "metrics:export", "GET", "/api/v1/metrics/cpu").await;
    assert_eq!(outcome, both(403, "insufficient_scope"));
}

/// spec: policy P17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_under_no_rule_is_refused() {
    let paths = ["/api/v2/checks", "/", "/api/v1", "/api/v1/checksum"];
    assert_eq!(reads(&paths).await, vec![both(403, "insufficient_scope"); 4]);
}

/// spec: policy §3.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_whose_scope_does_not_exist_refuses_everybody() {
    let world = World::new().await;
    let catalog = world.api.app.catalog.load_full();
    let all: Vec<&str> = catalog.scopes().map(|scope| scope.name.as_str()).collect();
    let (_, token) = world.key(&all).await;
    let outcomes = Attempt::of(&token).to("POST", "/api/v1/metrics").outcomes(&world).await;
    assert_eq!(outcomes, both(403, "insufficient_scope"));
}

/// spec: policy §3.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_does_not_exist_may_be_asked_for_but_nobody_has_it() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let mut codes = Vec::new();
    for scope in ["checks:read", "checks:write", "checks:delete", "*", ""] {
        let verdict = world.api.verify(&world.gateway, &json!({"token": token, "scope": scope})).await;
        codes.push(verdict["code"].as_str().unwrap().to_owned());
    }
    let refused = "insufficient_scope";
    assert_eq!(codes, ["allowed", refused, refused, refused, refused]);
}

/// spec: policy §3.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reason_of_an_ambiguous_path_is_in_the_trail_but_not_the_path() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    Attempt::of(&token).to("GET", "/api/v1/checks/../very-private").outcomes(&world).await;
    let events = world.events("api.call").await;
    let told: Vec<_> = events
        .iter()
        .map(|event| (event["reason"].clone(), event["route"].clone(), event.to_string().contains("very-private")))
        .collect();
    assert_eq!(told, vec![(json!("path_not_canonical"), json!(null), false); 2]);
}

/// spec: policy P17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_under_no_rule_has_its_own_reason_in_the_trail() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    Attempt::of(&token).to("GET", "/api/v2/checks").outcomes(&world).await;
    let events = world.events("api.call").await;
    assert_eq!(events.iter().map(|event| event["reason"].clone()).collect::<Vec<_>>(), ["no_rule", "no_rule"]);
}

/// spec: policy §3.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trail_keeps_the_pattern_of_an_allowed_call_and_no_id() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    Attempt::of(&token).to("GET", "/api/v1/checks/4711?name=jane").outcomes(&world).await;
    let events = world.events("api.call").await;
    let told: Vec<_> =
        events.iter().map(|event| (event["route"].clone(), event.to_string().contains("jane"))).collect();
    assert_eq!(told, vec![(json!("/api/v1/checks/**"), false); 2]);
}

/// spec: policy §3.3
#[test]
fn every_scope_that_a_route_of_ours_needs_is_in_the_catalog() {
    let catalog = statuspulse_policy::Catalog::builtin().unwrap();
    let needed = statuspulse_auth::ROUTES.iter().filter_map(|route| match route.who {
        statuspulse_auth::Who::MemberOrKey(scope) | statuspulse_auth::Who::Gateway(scope) => Some(scope),
        _ => None,
    });
    assert_eq!(needed.filter(|scope| catalog.scope(scope).is_none()).collect::<Vec<_>>(), [""; 0]);
}

/// A world whose catalog has a public endpoint.
async fn with_a_public_endpoint() -> World {
    let rule = "[[rules]]\nmethods = [\"GET\"]\npath = \"/api/v1/status\"\npublic = true";
    let catalog = Catalog::from_toml(&format!("{}\n{rule}", Catalog::BUILTIN_TOML)).unwrap();
    let db = TestDb::new().await;
    let app = TestApp::builder(&db).catalog(catalog).start().await;
    World::around(db, Api::over(app, "", "x-forwarded-for").await).await
}

/// spec: policy §3.1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_endpoint_needs_no_scope() {
    let world = with_a_public_endpoint().await;
    let (_, token) = world.key(&["routes:read"]).await;
    assert_eq!(Attempt::of(&token).to("GET", "/api/v1/status").outcomes(&world).await, passed());
}

/// spec: policy §3.1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_endpoint_needs_no_credential() {
    let world = with_a_public_endpoint().await;
    let ask = |method, path| world.api.ask(method, path).peer(GATEWAY);
    let outcomes = [
        ask("GET", "/v1/forward-auth/api/v1/status").send().await.outcome(),
        ask("POST", "/v1/forward-auth/api/v1/status").send().await.outcome(),
        ask("GET", "/v1/forward-auth/api/v1/checks").send().await.outcome(),
    ];
    let missing = || (401, "missing".to_owned());
    assert_eq!(outcomes, [(200, String::new()), missing(), missing()]);
}

/// spec: policy §3.1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_at_a_public_endpoint_is_judged_all_the_same() {
    let world = with_a_public_endpoint().await;
    let (id, token) = world.key(&["routes:read"]).await;
    world.act(&id, "revoke").await;
    assert_eq!(Attempt::of(&token).to("GET", "/api/v1/status").outcomes(&world).await, both(401, "revoked"));
}
