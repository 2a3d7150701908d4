//! Forward-auth (policy §8).

use serde_json::json;
use statuspulse_testkit::key_of;

use crate::{
    attempt::{Attempt, GATEWAY},
    support::{PEER, Reply, World},
};

const METHOD: &str = "x-original-method";
const URI: &str = "x-original-uri";
const OTHER_METHOD: &str = "x-forwarded-method";
const OTHER_URI: &str = "x-forwarded-uri";
const SERVED: &str = "x-served-environments";

/// A key with the scope to read checks, and one of staging.
struct Keys {
    world: World,
    production: String,
    staging: String,
}

impl Keys {
    async fn new() -> Self {
        let world = World::new().await;
        let (_, production) = world.key(&["checks:read"]).await;
        let (_, staging) = world.key_like(key_of("staging", &["checks:read"])).await;
        Self { world, production, staging }
    }

    /// What the first gets for a request to forward-auth with these headers.
    async fn asked(&self, method: &str, path: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
        ask(&self.world, &self.production, method, path, headers).await.outcome()
    }

    /// What the other gets for its own path behind ours, with this query and these headers.
    async fn staging(&self, query: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
        let path = format!("/v1/forward-auth/api/v1/checks{query}");
        ask(&self.world, &self.staging, "GET", &path, headers).await.outcome()
    }
}

async fn ask(world: &World, token: &str, method: &str, path: &str, headers: &[(&'static str, &str)]) -> Reply {
    let mut ask = world.api.ask(method, path).peer(GATEWAY).key(token);
    for (name, value) in headers {
        ask = ask.header(name, value);
    }
    ask.send().await
}

fn ambiguous() -> (u16, String) {
    (403, "ambiguous_route".to_owned())
}

fn fine() -> (u16, String) {
    (200, String::new())
}

/// spec: policy P52
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untrusted_peer_is_refused_without_a_look_at_the_token() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let ask = |token: &str| world.api.get("/v1/forward-auth/api/v1/checks").peer(PEER).key(token);
    let outcomes = [ask(&token).send().await.outcome(), ask("nonsense").send().await.outcome()];
    assert_eq!(outcomes.to_vec(), vec![(403, "untrusted_caller".to_owned()); 2]);
}

/// spec: policy P52
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untrusted_peer_does_not_become_trusted_by_a_header() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let ask = world.api.get("/v1/forward-auth/api/v1/checks").peer(PEER).key(&token);
    let reply = ask.header("x-forwarded-for", "127.0.0.1").header("x-real-ip", "127.0.0.1").send().await;
    assert_eq!(reply.outcome(), (403, "untrusted_caller".to_owned()));
}

/// spec: policy P52
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loopback_is_not_trusted_where_proxies_are_configured() {
    let world = World::behind("10.9.0.0/16", "x-forwarded-for").await;
    let (_, token) = world.key(&["checks:read"]).await;
    let ask = |peer| world.api.get("/v1/forward-auth/api/v1/checks").peer(peer).key(&token);
    let outcomes = [
        ask("127.0.0.1").send().await.outcome(),
        ask("::1").send().await.outcome(),
        ask("10.9.0.1").send().await.outcome(),
    ];
    let refused = || (403, "untrusted_caller".to_owned());
    assert_eq!(outcomes, [refused(), refused(), fine()]);
}

/// spec: policy §8.1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loopback_of_both_families_is_trusted_where_no_proxies_are_configured() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let ask = |peer| world.api.get("/v1/forward-auth/api/v1/checks").peer(peer).key(&token);
    let statuses = [ask("127.9.9.9").send().await.status, ask("::1").send().await.status];
    assert_eq!(statuses, [200, 200]);
}

/// spec: policy P53
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sources_that_differ_are_refused() {
    let keys = Keys::new().await;
    let headers = [(METHOD, "GET"), (URI, "/api/v1/checks"), (OTHER_METHOD, "GET"), (OTHER_URI, "/api/v1/incidents")];
    assert_eq!(keys.asked("GET", "/v1/forward-auth", &headers).await, ambiguous());
}

/// spec: policy P53
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_two_uris_of_two_sources_without_their_methods_are_refused() {
    let keys = Keys::new().await;
    let headers = [(URI, "/api/v1/checks"), (OTHER_URI, "/api/v1/incidents")];
    assert_eq!(keys.asked("GET", "/v1/forward-auth", &headers).await, ambiguous());
}

/// spec: policy P53
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sources_whose_methods_differ_are_refused() {
    let keys = Keys::new().await;
    let headers = [(METHOD, "GET"), (URI, "/api/v1/checks"), (OTHER_METHOD, "POST"), (OTHER_URI, "/api/v1/checks")];
    assert_eq!(keys.asked("GET", "/v1/forward-auth", &headers).await, ambiguous());
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sources_whose_queries_differ_are_refused() {
    let keys = Keys::new().await;
    let headers = [(METHOD, "GET"), (URI, "/api/v1/checks?a"), (OTHER_METHOD, "GET"), (OTHER_URI, "/api/v1/checks?b")];
    assert_eq!(keys.asked("GET", "/v1/forward-auth", &headers).await, ambiguous());
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sources_that_say_the_same_are_one() {
    let keys = Keys::new().await;
    let headers = [(METHOD, "GET"), (URI, "/api/v1/checks"), (OTHER_METHOD, "GET"), (OTHER_URI, "/api/v1/checks")];
    assert_eq!(keys.asked("GET", "/v1/forward-auth", &headers).await, fine());
}

/// spec: policy P54
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_uri_without_its_method_is_refused() {
    let keys = Keys::new().await;
    let mut outcomes = Vec::new();
    for name in [URI, OTHER_URI] {
        outcomes.push(keys.asked("GET", "/v1/forward-auth", &[(name, "/api/v1/checks")]).await);
    }
    assert_eq!(outcomes, [ambiguous(), ambiguous()]);
}

/// spec: policy P54
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_method_of_one_source_does_not_complete_the_other() {
    let keys = Keys::new().await;
    let headers = [(URI, "/api/v1/checks"), (OTHER_METHOD, "GET")];
    assert_eq!(keys.asked("GET", "/v1/forward-auth", &headers).await, ambiguous());
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_without_its_uri_is_refused() {
    let keys = Keys::new().await;
    let mut outcomes = Vec::new();
    for name in [METHOD, OTHER_METHOD] {
        outcomes.push(keys.asked("GET", "/v1/forward-auth", &[(name, "GET")]).await);
    }
    assert_eq!(outcomes, [ambiguous(), ambiguous()]);
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_source_beside_a_whole_one_is_refused() {
    let keys = Keys::new().await;
    let headers = [(METHOD, "GET"), (URI, "/api/v1/checks"), (OTHER_URI, "/api/v1/checks")];
    assert_eq!(keys.asked("GET", "/v1/forward-auth", &headers).await, ambiguous());
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_source_at_all_is_refused() {
    let keys = Keys::new().await;
    let outcomes = [
        keys.asked("GET", "/v1/forward-auth", &[]).await,
        keys.asked("GET", "/v1/forward-auth?environment=production", &[]).await,
    ];
    assert_eq!(outcomes, [ambiguous(), ambiguous()]);
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_sent_twice_is_refused_even_where_both_say_the_same() {
    let keys = Keys::new().await;
    let mut outcomes = Vec::new();
    for (name, value) in [(METHOD, "GET"), (URI, "/api/v1/checks")] {
        let headers = [(METHOD, "GET"), (URI, "/api/v1/checks"), (name, value)];
        outcomes.push(keys.asked("GET", "/v1/forward-auth", &headers).await);
        let other = if name == METHOD { OTHER_METHOD } else { OTHER_URI };
        let headers = [(OTHER_METHOD, "GET"), (OTHER_URI, "/api/v1/checks"), (other, value)];
        outcomes.push(keys.asked("GET", "/v1/forward-auth", &headers).await);
    }
    assert_eq!(outcomes, vec![ambiguous(); 4]);
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_uri_that_is_no_text_is_under_no_rule() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let mut outcomes = Vec::new();
    for uri in [b"/api/v1/checks/\xff".as_slice(), "/api/v1/checks/é".as_bytes()] {
        let ask = world.api.get("/v1/forward-auth").peer(GATEWAY).key(&token).header(METHOD, "GET");
        outcomes.push(ask.raw_header(URI, uri).send().await.outcome());
    }
    assert_eq!(outcomes, vec![(403, "insufficient_scope".to_owned()); 2]);
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_behind_ours_is_a_source() {
    let keys = Keys::new().await;
    let outcomes = [
        keys.asked("GET", "/v1/forward-auth/api/v1/checks/7?x=y", &[]).await,
        keys.asked("HEAD", "/v1/forward-auth/api/v1/checks", &[]).await,
        keys.asked("POST", "/v1/forward-auth/api/v1/checks", &[]).await,
    ];
    assert_eq!(outcomes, [fine(), (200, String::new()), (403, "insufficient_scope".to_owned())]);
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_behind_ours_and_a_header_that_differs_are_refused() {
    let keys = Keys::new().await;
    let headers = [(METHOD, "GET"), (URI, "/api/v1/incidents")];
    let others = [(OTHER_METHOD, "GET"), (OTHER_URI, "/api/v1/incidents")];
    let methods = [(METHOD, "POST"), (URI, "/api/v1/checks")];
    let outcomes = [
        keys.asked("GET", "/v1/forward-auth/api/v1/checks", &headers).await,
        keys.asked("GET", "/v1/forward-auth/api/v1/checks", &others).await,
        keys.asked("GET", "/v1/forward-auth/api/v1/checks", &methods).await,
        keys.asked("GET", "/v1/forward-auth/", &[(METHOD, "GET"), (URI, "/api/v1/checks")]).await,
    ];
    assert_eq!(outcomes, [ambiguous(), ambiguous(), ambiguous(), ambiguous()]);
}

/// spec: policy P15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_behind_ours_is_judged_as_it_was_written() {
    let keys = Keys::new().await;
    let mut outcomes = Vec::new();
    for path in ["/api/v1//checks", "/api/v1/checks/../incidents", "/api/v1/checks/%2e%2e/x", "/api/v1/checks%2fx"] {
        outcomes.push(keys.asked("GET", &format!("/v1/forward-auth{path}"), &[]).await);
    }
    assert_eq!(outcomes, vec![(403, "insufficient_scope".to_owned()); 4]);
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ambiguous_route_is_in_the_trail_with_its_reason() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    ask(&world, &token, "GET", "/v1/forward-auth", &[(URI, "/api/v1/very-private")]).await;
    let events = world.events("api.call").await;
    let told: Vec<_> = events
        .iter()
        .map(|event| json!([event["outcome"], event["reason"], event["status"], event.to_string().contains("private")]))
        .collect();
    assert_eq!(told, [json!(["denied", "ambiguous_route", 403, false])]);
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ambiguous_route_says_nothing_about_the_token() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    world.act(&id, "revoke").await;
    let outcomes = [
        ask(&world, &token, "GET", "/v1/forward-auth", &[]).await.outcome(),
        ask(&world, "nonsense", "GET", "/v1/forward-auth", &[]).await.outcome(),
    ];
    assert_eq!(outcomes, [ambiguous(), ambiguous()]);
}

fn mismatch() -> (u16, String) {
    (401, "environment_mismatch".to_owned())
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_ours_the_query_is_the_calls_own() {
    let keys = Keys::new().await;
    let outcomes = [
        keys.staging("?environment=production", &[]).await,
        keys.staging("?environment=staging", &[(SERVED, "production")]).await,
    ];
    assert_eq!(outcomes, [fine(), mismatch()]);
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_ours_the_gateways_header_names_the_environments() {
    let keys = Keys::new().await;
    let outcomes = [
        keys.staging("", &[(SERVED, "production, staging")]).await,
        keys.staging("", &[(SERVED, "production,analytics")]).await,
    ];
    assert_eq!(outcomes, [fine(), mismatch()]);
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_ours_a_mistyped_environment_opens_nothing() {
    let keys = Keys::new().await;
    let mut outcomes = Vec::new();
    for value in ["staging,prod", "Staging", "", "staging,", "staging;production", "*"] {
        outcomes.push(keys.staging("", &[(SERVED, value)]).await);
    }
    assert_eq!(outcomes, vec![mismatch(); 6]);
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_header_of_environments_does_not_widen_the_gateways() {
    let keys = Keys::new().await;
    let outcomes = [
        keys.staging("", &[(SERVED, "staging"), (SERVED, "production")]).await,
        keys.staging("", &[(SERVED, "production"), (SERVED, "staging")]).await,
    ];
    assert_eq!(outcomes, [ambiguous(), ambiguous()]);
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_header_of_environments_is_not_read_in_the_other_forms() {
    let world = World::new().await;
    let (_, token) = world.key_like(key_of("staging", &["checks:read"])).await;
    let headers = [(METHOD, "GET"), (URI, "/api/v1/checks"), (SERVED, "staging")];
    let outcomes = [
        ask(&world, &token, "GET", "/v1/forward-auth?environment=production", &headers).await.outcome(),
        ask(&world, &token, "GET", "/v1/forward-auth?environment=staging", &headers).await.outcome(),
    ];
    assert_eq!(outcomes, [mismatch(), fine()]);
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_query_of_the_judged_call_names_no_environments() {
    let world = World::new().await;
    let (_, token) = world.key_like(key_of("staging", &["checks:read"])).await;
    let headers = [(METHOD, "GET"), (URI, "/api/v1/checks?environment=staging")];
    let reply = ask(&world, &token, "GET", "/v1/forward-auth?environment=production", &headers).await;
    assert_eq!(reply.outcome(), mismatch());
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_credential_is_the_authorization_header_alone() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let ask = world.api.get(&format!("/v1/forward-auth/api/v1/checks?access_token={token}")).peer(GATEWAY);
    let ask = ask.header("x-api-key", &token).header("cookie", format!("token={token}"));
    let reply = ask.header("proxy-authorization", format!("Bearer {token}")).send().await;
    assert_eq!(reply.outcome(), (401, "missing".to_owned()));
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_no_credential_of_a_call() {
    let world = World::new().await;
    let ask = world.api.get("/v1/forward-auth/api/v1/checks").peer(GATEWAY).browser(&world.owner);
    assert_eq!(ask.send().await.outcome(), (401, "missing".to_owned()));
}

/// spec: policy §8.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_is_not_read() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:write"]).await;
    let ask = world.api.post("/v1/forward-auth/api/v1/checks").peer(GATEWAY).key(&token);
    assert_eq!(ask.body(vec![b'x'; 1024 * 1024]).send().await.outcome(), fine());
}

/// spec: policy §8.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allowed_call_says_who_it_is() {
    let world = World::new().await;
    let (id, token) = world.key(&["routes:read", "checks:read"]).await;
    let reply = Attempt::of(&token).forward(&world.api).await;
    let names = ["x-auth-credential-id", "x-auth-organization", "x-auth-environment", "x-auth-scopes"];
    assert_eq!(names.map(|name| reply.header(name)), [id.as_str(), "acme", "production", "checks:read routes:read"]);
}

/// spec: policy §8.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allowed_call_has_no_body_and_is_kept_by_no_cache() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let reply = Attempt::of(&token).forward(&world.api).await;
    assert_eq!((reply.status, reply.text.as_str(), reply.header("cache-control")), (200, "", "no-store"));
}

/// spec: policy §8.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_says_nothing_about_who_it_is() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let reply = Attempt::of(&token).to("POST", "/api/v1/checks").forward(&world.api).await;
    let told: Vec<_> =
        reply.headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("x-auth")).collect();
    assert_eq!((told, reply.header("cache-control")), (Vec::new(), "no-store"));
}

/// spec: policy §8.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_the_client_do_not_say_who_it_is() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    let ask = world.api.get("/v1/forward-auth/api/v1/checks").peer(GATEWAY).key(&token);
    let reply = ask.header("x-auth-credential-id", "someone").header("x-auth-scopes", "checks:write").send().await;
    let ids: Vec<_> = reply.headers.get_all("x-auth-credential-id").map(|value| value.to_str().unwrap()).collect();
    assert_eq!((ids, reply.header("x-auth-scopes")), (vec![id.as_str()], "checks:read"));
}
