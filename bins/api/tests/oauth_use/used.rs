//! Access tokens as credentials of calls.

use serde_json::json;
use statuspulse_auth::{ROUTES, Who};

use crate::{
    client::{Client, Tokens, confidential, with},
    support::{PEER, Reply, World},
};

const METADATA: &str = "resource_metadata=\"http://auth.test/.well-known/oauth-protected-resource\"";
const READ: &str = "/v1/forward-auth/api/v1/monitoring/x";

async fn forward(world: &World, path: &str, token: Option<&str>) -> Reply {
    let ask = world.api.get(path).peer("127.0.0.1");
    match token {
        Some(token) => ask.key(token).send().await,
        None => ask.send().await,
    }
}

async fn world_with_tokens() -> (World, Client, Tokens) {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    (world, client, tokens)
}

/// spec: oauth L1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_the_challenge_names_no_error() {
    let world = World::new().await;
    let reply = forward(&world, READ, None).await;
    let challenge = format!("Bearer realm=\"StatusPulse\", {METADATA}");
    assert_eq!((reply.status, reply.header("www-authenticate")), (401, challenge.as_str()));
}

/// spec: oauth L2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_is_an_invalid_token() {
    let (world, client, tokens) = world_with_tokens().await;
    let revoked = world.tokens(&client).await;
    world.api.revoke(&client, &revoked.access).await;
    let mut seen = Vec::new();
    for token in ["garbage", &revoked.access] {
        let reply = forward(&world, READ, Some(token)).await;
        seen.push((reply.status, reply.header("www-authenticate").to_owned()));
    }
    world.api.app.advance(std::time::Duration::from_secs(7_200)).await;
    let expired = forward(&world, READ, Some(&tokens.access)).await;
    seen.push((expired.status, expired.header("www-authenticate").to_owned()));
    let challenge = format!("Bearer realm=\"StatusPulse\", error=\"invalid_token\", {METADATA}");
    assert_eq!(seen, vec![(401, challenge); 3]);
}

/// spec: oauth L3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_scope_is_named() {
    let (world, _, tokens) = world_with_tokens().await;
    let reply = forward(&world, "/v1/forward-auth/api/v1/incidents/x", Some(&tokens.access)).await;
    let challenge =
        format!("Bearer realm=\"StatusPulse\", error=\"insufficient_scope\", scope=\"incidents:read\", {METADATA}");
    assert_eq!((reply.status, reply.header("www-authenticate")), (403, challenge.as_str()));
}

/// spec: oauth L4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_the_query_is_no_credential() {
    let (world, _, tokens) = world_with_tokens().await;
    let path = format!("{READ}?access_token={}", tokens.access);
    assert_eq!(forward(&world, &path, None).await.outcome(), (401, "missing".to_owned()));
}

/// spec: oauth L5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_header_counts() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    let (_, other) = world.key(&["checks:read"]).await;
    let both = world.api.get(&format!("/v1/keys/self?access_token={other}")).key(&token).send().await;
    let alone = world.api.get(&format!("/v1/keys/self?access_token={token}")).send().await.status;
    assert_eq!((&both.json()["id"], alone), (&json!(id), 401));
}

/// spec: oauth L7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_kind_of_secret_is_no_access_token_and_keeps_working() {
    let (world, client, tokens) = world_with_tokens().await;
    let code = world.code_for(&client, &[("scope", "alerts:write")]).await;
    let mut seen = Vec::new();
    for secret in [&tokens.refresh, &code, &client.secret] {
        seen.push(forward(&world, READ, Some(secret)).await.status);
    }
    let refreshed = world.refresh(&client, &tokens.refresh).await.status;
    assert_eq!((seen, refreshed, world.redeem(&client, &code).await.status), (vec![401; 3], 200, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_learns_whose_call_it_is() {
    let (world, _, tokens) = world_with_tokens().await;
    let reply = forward(&world, READ, Some(&tokens.access)).await;
    let grants = world.api.get("/v1/me/grants").cookie(&world.owner).send().await.json();
    let header = |name: &str| reply.headers.get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(
        (
            reply.status,
            header("x-auth-credential-id"),
            header("x-auth-organization"),
            header("x-auth-environment"),
            header("x-auth-scopes")
        ),
        (
            200,
            grants["items"][0]["id"].as_str().unwrap().to_owned(),
            "acme".into(),
            "production".into(),
            "monitoring:read".into()
        )
    );
}

/// spec: oauth L10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_says_how_a_token_stands() {
    let (world, client, tokens) = world_with_tokens().await;
    let allowed = world.judged(&tokens.access, "GET", "/api/v1/monitoring/x").await;
    let lacking = world.judged(&tokens.access, "GET", "/api/v1/incidents/x").await;
    let revoked = world.tokens(&client).await;
    world.api.revoke(&client, &revoked.access).await;
    let revoked = world.judged(&revoked.access, "GET", "/api/v1/monitoring/x").await;
    let question = json!({"token": tokens.access, "scope": "monitoring:read", "client_ip": PEER});
    let credential = world.api.verify(&world.gateway, &question).await["credential"].clone();
    world.api.app.advance(std::time::Duration::from_secs(7_200)).await;
    let expired = world.judged(&tokens.access, "GET", "/api/v1/monitoring/x").await;
    assert_eq!(
        ([allowed.as_str(), &lacking, &revoked, &expired], &credential["kind"], &credential["user_id"]),
        (
            ["allowed", "insufficient_scope", "revoked", "expired"],
            &json!("access_token"),
            &json!(world.org.owner.id.to_string())
        )
    );
}

/// spec: oauth L11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_manages_nothing() {
    let (world, _, tokens) = world_with_tokens().await;
    let mut open = Vec::new();
    for route in ROUTES.iter().filter(|route| !matches!(route.who, Who::Anyone | Who::TrustedProxy)) {
        let nil = uuid::Uuid::nil().to_string();
        let path = route.path.replace("{org}", "acme").replace("{id}", &nil).replace("{secret}", &nil);
        let reply = world.api.ask(route.method, &path).key(&tokens.access).json(&json!({})).send().await;
        if ![401, 403].contains(&reply.status) {
            open.push((route.method, route.path, reply.status));
        }
    }
    assert_eq!(open, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_apps_addresses_bind_its_tokens() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    world.change_app(&client, &json!({"allowed_cidrs": ["198.51.100.0/24"]})).await;
    assert_eq!(world.judged(&tokens.access, "GET", "/api/v1/monitoring/x").await, "ip_not_allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_apps_tokens_are_dead_for_good() {
    let (world, client, tokens) = world_with_tokens().await;
    world.change_app(&client, &json!({"status": "suspended"})).await;
    let suspended = world.judged(&tokens.access, "GET", "/api/v1/monitoring/x").await;
    world.change_app(&client, &json!({"status": "active"})).await;
    let resumed = world.judged(&tokens.access, "GET", "/api/v1/monitoring/x").await;
    let refreshed = world.refresh(&client, &tokens.refresh).await.refused();
    // What is issued in the very moment of the suspension is dead too.
    world.api.app.advance(std::time::Duration::from_secs(1)).await;
    let fresh = world.tokens(&client).await;
    let fresh = world.judged(&fresh.access, "GET", "/api/v1/monitoring/x").await;
    assert_eq!(
        (suspended.as_str(), resumed.as_str(), refreshed, fresh.as_str()),
        ("revoked", "revoked", (400, "invalid_grant".to_owned()), "allowed")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_apps_tokens_are_dead() {
    let (world, client, tokens) = world_with_tokens().await;
    world.owner("DELETE", &format!("/v1/orgs/acme/apps/{}", client.app), &json!({})).await;
    assert_eq!(world.judged(&tokens.access, "GET", "/api/v1/monitoring/x").await, "revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_the_organization_leaves_no_app_behind() {
    let (world, client, tokens) = world_with_tokens().await;
    let db = world.db.client().await;
    db.execute("DELETE FROM memberships", &[]).await.unwrap();
    world.api.app.replica.catch_up().await;
    let judged = world.judged(&tokens.access, "GET", "/api/v1/monitoring/x").await;
    assert_eq!((judged.as_str(), world.refresh(&client, &tokens.refresh).await.status), ("revoked", 400));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_use_of_a_grant_is_shown_to_its_person() {
    let (world, _, tokens) = world_with_tokens().await;
    world.judged(&tokens.access, "GET", "/api/v1/monitoring/x").await;
    world.api.app.flush().await;
    let grants = world.api.get("/v1/me/grants").cookie(&world.owner).send().await.json();
    let grant = &grants["items"][0];
    assert_eq!((grant["last_used_at"].is_string(), &grant["last_used_ips"]), (true, &json!([PEER])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reaching_beyond_its_scopes_opens_an_alert_about_the_grant() {
    let (world, _, tokens) = world_with_tokens().await;
    world.judged(&tokens.access, "POST", "/api/v1/checks/x").await;
    let alerts = world.alerts("out_of_scope").await;
    let kinds: Vec<_> = alerts.iter().map(|alert| &alert["subject_kind"]).collect();
    assert_eq!(kinds, [&json!("grant")]);
}

/// spec: oauth N13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_checksum_costs_no_query() {
    let (world, client, tokens) = world_with_tokens().await;
    let before = world.api.app.replica.queries();
    let last = if tokens.access.ends_with('A') { 'B' } else { 'A' };
    let mistyped = format!("{}{last}", &tokens.access[..69]);
    let judged = world.judged(&mistyped, "GET", "/api/v1/monitoring/x").await;
    let told = world.api.introspect(&client, &mistyped).await.text;
    assert_eq!(
        (judged.as_str(), told.as_str(), world.api.app.replica.queries() - before),
        ("malformed", r#"{"active":false}"#, 0)
    );
}

/// spec: oauth X6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_for_itself_gets_no_refresh_token() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let form = [("grant_type", "client_credentials")];
    let reply = world.api.post("/oauth/token").client(&client).form(&form).send().await;
    let access = reply.json()["access_token"].as_str().unwrap().to_owned();
    let told = world.api.introspect(&client, &access).await.json();
    assert_eq!(
        (reply.status, reply.json().get("refresh_token"), &reply.json()["scope"], &told["sub"]),
        (200, None, &json!("monitoring:read"), &json!(client.id))
    );
}

/// spec: oauth X7, X8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_every_app_and_not_every_scope_is_for_itself() {
    let world = World::new().await;
    let public = world.app(crate::client::public()).await;
    let client = world.app(confidential()).await;
    let of_public = [("grant_type", "client_credentials"), ("client_id", public.id.as_str())];
    let of_public = world.api.post("/oauth/token").form(&of_public).send().await.refused();
    let wide = [("grant_type", "client_credentials"), ("scope", "checks:read")];
    let wide = world.api.post("/oauth/token").client(&client).form(&wide).send().await.refused();
    assert_eq!([of_public, wide], [(400, "unauthorized_client".to_owned()), (400, "invalid_scope".to_owned())]);
}

/// spec: oauth X3, X4, X5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_for_resources_of_the_grant_alone() {
    const METRICS: &str = "https://metrics.example";
    let (db, api) = crate::introspect::with_audience(METRICS).await;
    let world = World::around(db, api).await;
    let app = with(confidential(), json!({"audiences": [METRICS, crate::support::PUBLIC_URL]}));
    let client = world.app(app).await;
    let narrow = world.code(&client).await;
    let refused = world.api.redeem(&client, &narrow, &[("resource", METRICS)]).await.refused();
    let kept = world.redeem(&client, &narrow).await.status;
    // Twice in one request: the one parameter that may repeat.
    let both = [("resource", METRICS), ("resource", crate::support::PUBLIC_URL)];
    let code = world.code_for(&client, &both).await;
    let tokens = Tokens::of(&world.redeem(&client, &code).await);
    let wide = world.api.introspect(&client, &tokens.access).await.json()["aud"].clone();
    let next = world.api.refresh(&client, &tokens.refresh, &[("resource", METRICS)]).await;
    let next = Tokens::of(&next);
    let narrowed = world.api.introspect(&client, &next.access).await.json()["aud"].clone();
    let last = Tokens::of(&world.refresh(&client, &next.refresh).await);
    let again = world.api.introspect(&client, &last.access).await.json()["aud"].clone();
    let all = json!([METRICS, crate::support::PUBLIC_URL]);
    assert_eq!(
        (refused, kept, &wide, narrowed, &again),
        ((400, "invalid_target".to_owned()), 200, &all, json!(METRICS), &all)
    );
}
