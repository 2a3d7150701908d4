//! Resource indicators (RFC 8707), and apps that act for themselves.

use serde_json::{Value, json};

use crate::{
    client::{Client, Tokens, confidential, encoded, public, with},
    discovery::part,
    introspect::with_audience,
    support::{PUBLIC_URL, Reply, World},
};

const METRICS: &str = "https://metrics.example";
const UNKNOWN: &str = "https://unknown.example";

async fn world() -> (World, Client) {
    let (db, api) = with_audience(METRICS).await;
    let world = World::around(db, api).await;
    let client = world.app(confidential()).await;
    (world, client)
}

/// For whom a token is, as its own client is told.
async fn audience(world: &World, client: &Client, token: &str) -> Value {
    world.api.introspect(client, token).await.json()["aud"].clone()
}

async fn tokens_for(world: &World, client: &Client, resources: &[&str]) -> Tokens {
    let asked: Vec<(&str, &str)> = resources.iter().map(|uri| ("resource", *uri)).collect();
    let code = world.code_for(client, &asked).await;
    Tokens::of(&world.redeem(client, &code).await)
}

async fn for_itself(world: &World, client: &Client, more: &[(&str, &str)]) -> Reply {
    let form = [&[("grant_type", "client_credentials")], more].concat();
    world.api.post("/oauth/token").client(client).form(&form).send().await
}

fn target() -> (u16, String) {
    (400, "invalid_target".to_owned())
}

/// spec: oauth X1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_for_the_resource_that_was_asked_for() {
    let (world, client) = world().await;
    let named = tokens_for(&world, &client, &[METRICS]).await;
    let left_out = tokens_for(&world, &client, &[]).await;
    let mut told = Vec::new();
    for tokens in [&named, &left_out] {
        told.push((audience(&world, &client, &tokens.access).await, audience(&world, &client, &tokens.refresh).await));
    }
    let (metrics, ours) = (json!(METRICS), json!(PUBLIC_URL));
    assert_eq!(told, [(metrics.clone(), metrics), (ours.clone(), ours)]);
}

/// spec: oauth X1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_url_may_end_with_a_slash() {
    let (world, client) = world().await;
    let tokens = tokens_for(&world, &client, &["http://auth.test/"]).await;
    assert_eq!(world.judged(&tokens.access, "GET", "/api/v1/monitoring/x").await, "allowed");
}

/// spec: oauth X1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_token_says_for_whom_it_is() {
    let (world, _) = world().await;
    let client = world.app(with(confidential(), json!({"access_token_format": "jwt"}))).await;
    let one = tokens_for(&world, &client, &[METRICS]).await;
    let both = tokens_for(&world, &client, &[METRICS, PUBLIC_URL]).await;
    let told = [&one, &both].map(|tokens| part(&tokens.access, 1)["aud"].clone());
    assert_eq!(told, [json!(METRICS), json!([METRICS, PUBLIC_URL])]);
}

/// spec: oauth X3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_that_was_not_granted_consumes_nothing() {
    let (world, client) = world().await;
    let code = world.code_for(&client, &[("resource", METRICS)]).await;
    let mut told = Vec::new();
    for resource in [
        PUBLIC_URL,
        UNKNOWN,
        "https://metrics.example/",
        "https://METRICS.example",
        "nonsense",
        "https://metrics.example#x",
    ] {
        told.push(world.api.redeem(&client, &code, &[("resource", resource)]).await.refused());
    }
    let mixed = world.api.redeem(&client, &code, &[("resource", METRICS), ("resource", PUBLIC_URL)]).await.refused();
    let tokens = Tokens::of(&world.api.redeem(&client, &code, &[("resource", METRICS)]).await);
    assert_eq!(
        (told, mixed, audience(&world, &client, &tokens.access).await),
        (vec![target(); 6], target(), json!(METRICS))
    );
}

/// spec: oauth X4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_resources_are_no_repetition() {
    let (world, client) = world().await;
    let code = world.code_for(&client, &[("resource", METRICS), ("resource", PUBLIC_URL)]).await;
    let reply = world.api.redeem(&client, &code, &[("resource", METRICS), ("resource", PUBLIC_URL)]).await;
    let tokens = Tokens::of(&reply);
    assert_eq!(audience(&world, &client, &tokens.access).await, json!([METRICS, PUBLIC_URL]));
}

/// spec: oauth X4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_resource_twice_counts_once_and_an_unknown_one_beside_a_known_one_is_refused() {
    let (world, client) = world().await;
    let tokens = tokens_for(&world, &client, &[METRICS, METRICS]).await;
    let refused = world.authorize(&client, &[("resource", METRICS), ("resource", UNKNOWN)]).await;
    let error = crate::client::parameter(refused.location(), "error");
    assert_eq!(
        (audience(&world, &client, &tokens.access).await, error.as_deref()),
        (json!(METRICS), Some("invalid_target"))
    );
}

/// spec: oauth X5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_narrows_its_access_token_alone() {
    let (world, client) = world().await;
    let first = tokens_for(&world, &client, &[METRICS, PUBLIC_URL]).await;
    let narrow = Tokens::of(&world.api.refresh(&client, &first.refresh, &[("resource", METRICS)]).await);
    let whole = Tokens::of(&world.refresh(&client, &narrow.refresh).await);
    let mut told = Vec::new();
    for token in [&first.access, &narrow.access, &whole.access, &whole.refresh] {
        told.push(audience(&world, &client, token).await);
    }
    let all = json!([METRICS, PUBLIC_URL]);
    assert_eq!(told, [all.clone(), json!(METRICS), all.clone(), all]);
}

/// spec: oauth X5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_for_more_than_was_granted_harms_nothing() {
    let (world, client) = world().await;
    let first = tokens_for(&world, &client, &[METRICS]).await;
    let mut told = Vec::new();
    for resource in [PUBLIC_URL, UNKNOWN] {
        told.push(world.api.refresh(&client, &first.refresh, &[("resource", resource)]).await.refused());
    }
    assert_eq!((told, world.refresh(&client, &first.refresh).await.status), (vec![target(); 2], 200));
}

/// spec: oauth X6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_for_itself_is_answered_with_these_members_and_no_others() {
    let (world, client) = world().await;
    let reply = for_itself(&world, &client, &[("scope", "alerts:write monitoring:read")]).await;
    let json = reply.json();
    let mut names: Vec<&String> = json.as_object().unwrap().keys().collect();
    names.sort();
    let wanted = ["access_token", "expires_in", "scope", "token_type"].map(str::to_owned);
    assert_eq!(
        (names, &json["token_type"], &json["expires_in"], &json["scope"], reply.header("cache-control")),
        (wanted.iter().collect(), &json!("Bearer"), &json!(7_200), &json!("monitoring:read alerts:write"), "no-store")
    );
}

/// spec: oauth X6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_app_gets_for_itself_is_nobodys_grant() {
    let (world, client) = world().await;
    let token = Tokens::of(&for_itself(&world, &client, &[]).await).access;
    let listed = world.api.get("/v1/me/grants").cookie(&world.owner).send().await.json()["items"].clone();
    let ended = world.owner("POST", "/v1/orgs/acme/grants/revoke", &json!({"app": client.id})).await.json();
    let dead = world.is_active(&client, &token).await;
    let again = Tokens::of(&for_itself(&world, &client, &[]).await).access;
    assert_eq!(
        (listed, ended, dead, world.is_active(&client, &again).await),
        (json!([]), json!({"revoked": 1}), false, true)
    );
}

/// spec: oauth X6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_for_itself_names_its_resource() {
    let (world, client) = world().await;
    let metrics = Tokens::of(&for_itself(&world, &client, &[("resource", METRICS)]).await).access;
    let unknown = for_itself(&world, &client, &[("resource", UNKNOWN)]).await.refused();
    let elsewhere = world.judged(&metrics, "GET", "/api/v1/monitoring/x").await;
    assert_eq!(
        (audience(&world, &client, &metrics).await, unknown, elsewhere.as_str()),
        (json!(METRICS), target(), "unknown")
    );
}

/// spec: oauth X7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_is_nobody_by_itself() {
    let (world, _) = world().await;
    let client = world.app(public()).await;
    let mut told = Vec::new();
    for scope in ["", "monitoring:read", "checks:read"] {
        let form = [("grant_type", "client_credentials"), ("client_id", &client.id), ("scope", scope)];
        told.push(world.api.post("/oauth/token").form(&form).send().await.refused());
    }
    assert_eq!(told, vec![(400, "unauthorized_client".to_owned()); 3]);
}

/// spec: oauth X8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_for_itself_gets_no_scope_that_is_not_its_own() {
    let (world, client) = world().await;
    let bare = world.app(with(confidential(), json!({"default_scopes": []}))).await;
    let mut told = Vec::new();
    for scope in ["checks:read", "monitoring:read checks:read", "bogus", "Monitoring:read", "a\"b"] {
        told.push(for_itself(&world, &client, &[("scope", scope)]).await.refused());
    }
    told.push(for_itself(&world, &bare, &[]).await.refused());
    assert_eq!(told, vec![(400, "invalid_scope".to_owned()); 6]);
}

/// spec: oauth X8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_in_the_query_are_none() {
    let (world, client) = world().await;
    let query =
        encoded(&[("client_id", &client.id), ("client_secret", &client.secret), ("grant_type", "client_credentials")]);
    let path = format!("/oauth/token?{query}");
    let bare = world.api.post(&path).raw_form("").send().await.refused();
    let half = world.api.post(&path).form(&[("grant_type", "client_credentials")]).send().await.refused();
    assert_eq!((bare, half), ((400, "invalid_request".to_owned()), (401, "invalid_client".to_owned())));
}
