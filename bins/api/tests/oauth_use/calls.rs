//! Access tokens in calls, as gateways and resource servers are told of them: headers, credential, addresses, scopes.

use serde_json::{Value, json};
use statuspulse_testkit::{TestApp, TestDb};

use crate::{
    client::{Client, Tokens, confidential, with},
    introspect::with_audience,
    support::{Api, PEER, Reply, World},
};

const READ: &str = "/v1/forward-auth/api/v1/monitoring/x";
const CALL: &str = "/api/v1/monitoring/x";
const METADATA: &str = "resource_metadata=\"http://auth.test/.well-known/oauth-protected-resource\"";
const WIDE: &str = "monitoring:read alerts:write incidents:write";

async fn forward(world: &World, path: &str, token: &str) -> Reply {
    world.api.get(path).peer("127.0.0.1").key(token).send().await
}

/// A world with an app and tokens for all of its scopes.
async fn wide() -> (World, Client, Tokens) {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code_for(&client, &[("scope", WIDE)]).await;
    let tokens = Tokens::of(&world.redeem(&client, &code).await);
    (world, client, tokens)
}

/// The one grant of the owner.
async fn grant(world: &World) -> Value {
    world.api.get("/v1/me/grants").cookie(&world.owner).send().await.json()["items"][0].clone()
}

fn identity(reply: &Reply) -> Vec<&str> {
    reply.headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("x-auth-")).collect()
}

fn challenge(error: &str) -> String {
    format!("Bearer realm=\"StatusPulse\", {error}, {METADATA}")
}

/// spec: oauth L1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_challenge_leads_to_the_issuer_with_its_path() {
    let db = TestDb::new().await;
    let api = Api::published(TestApp::start(&db).await, "https://auth.example/t/x").await;
    let reply = api.get(READ).peer("127.0.0.1").send().await;
    let expected = "Bearer realm=\"StatusPulse\", \
                    resource_metadata=\"https://auth.example/t/x/.well-known/oauth-protected-resource\"";
    assert_eq!((reply.status, reply.header("www-authenticate")), (401, expected));
}

/// spec: oauth L1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_scheme_is_no_token() {
    let (world, client, tokens) = wide().await;
    let bare = format!("Bearer realm=\"StatusPulse\", {METADATA}");
    let mut told = Vec::new();
    for line in [client.basic(), format!("Token {}", tokens.access), tokens.access.clone()] {
        let reply = world.api.get(READ).peer("127.0.0.1").header("authorization", line).send().await;
        told.push((reply.status, reply.header("www-authenticate").to_owned()));
    }
    assert_eq!(told, vec![(401, bare); 3]);
}

/// spec: oauth L2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_lines_two_tokens_or_a_list_are_no_token_and_the_scheme_has_any_case() {
    let (world, _, tokens) = wide().await;
    let token = &tokens.access;
    let ask = || world.api.get(READ).peer("127.0.0.1");
    let twice = ask().key(token).key(token).send().await;
    let pair = ask().key(&format!("{token} {token}")).send().await;
    let list = ask().key(&format!("{token},{token}")).send().await;
    let lower = ask().header("authorization", format!("bearer {token}")).send().await;
    let upper = ask().header("authorization", format!("BEARER {token}")).send().await;
    let bad = [&twice, &pair, &list].map(|reply| (reply.status, reply.header("www-authenticate").to_owned()));
    let invalid = challenge("error=\"invalid_token\"");
    assert_eq!((bad, lower.status, upper.status), ([(); 3].map(|()| (401, invalid.clone())), 200, 200));
}

/// spec: oauth L2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_told_of_by_its_reason_and_names_nobody() {
    let (world, client, tokens) = wide().await;
    let revoked = world.tokens(&client).await.access;
    world.api.revoke(&client, &revoked).await;
    let unknown = statuspulse_oauth::OpaqueToken::from_entropy(statuspulse_oauth::TokenKind::Access, &[7; 44]);
    let mut told = Vec::new();
    for token in [&revoked, unknown.expose(), "sp_at_short"] {
        let reply = forward(&world, READ, token).await;
        told.push((reply.outcome(), reply.text.contains(token), identity(&reply).len()));
    }
    world.api.app.advance(std::time::Duration::from_secs(7_200)).await;
    let reply = forward(&world, READ, &tokens.access).await;
    told.push((reply.outcome(), reply.text.contains(&tokens.access), identity(&reply).len()));
    let expected = ["revoked", "unknown", "malformed", "expired"].map(|code| ((401, code.to_owned()), false, 0));
    assert_eq!(told, expected);
}

/// spec: oauth L3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_under_no_rule_needs_more_than_any_scope() {
    let (world, _, tokens) = wide().await;
    let reply = forward(&world, "/v1/forward-auth/api/v2/monitoring", &tokens.access).await;
    assert_eq!((reply.status, identity(&reply).len()), (403, 0));
}

/// spec: oauth L4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_anywhere_but_in_the_header_is_no_credential() {
    let (world, _, tokens) = wide().await;
    let token = &tokens.access;
    let ask = || world.api.get(READ).peer("127.0.0.1");
    let body = format!("access_token={token}");
    let replies = [
        ask().header("x-api-key", token).send().await,
        ask().header("cookie", format!("access_token={token}; statuspulse_session={token}")).send().await,
        ask().header("x-access-token", token).send().await,
        world.api.post(READ).peer("127.0.0.1").raw_form(body).send().await,
        ask()
            .header("x-original-method", "GET")
            .header("x-original-uri", format!("{CALL}?access_token={token}"))
            .send()
            .await,
    ];
    let codes = replies.map(|reply| reply.status);
    assert_eq!(codes, [401, 401, 401, 401, 403]);
}

/// spec: oauth L4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_the_query_does_not_help_a_bad_one_in_the_header() {
    let (world, _, tokens) = wide().await;
    let path = format!("{READ}?access_token={}", tokens.access);
    assert_eq!(forward(&world, &path, "sp_at_x").await.outcome(), (401, "malformed".to_owned()));
}

/// spec: oauth L5, L11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_has_no_record_of_a_key() {
    let (world, _, tokens) = wide().await;
    let own = world.api.get("/v1/keys/self").key(&tokens.access).send().await;
    let successor = world.api.post("/v1/keys/self/successor").key(&tokens.access).json(&json!({})).send().await;
    assert_eq!([own.status, successor.status], [401, 401]);
}

/// spec: oauth L7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_server_is_told_that_another_kind_of_secret_is_none() {
    let (world, client, tokens) = wide().await;
    let code = world.code_for(&client, &[("scope", "alerts:write")]).await;
    let mut codes = Vec::new();
    for secret in [&tokens.refresh, &code, &client.secret, &client.id] {
        codes.push(world.judged(secret, "GET", CALL).await);
    }
    let refreshed = world.refresh(&client, &tokens.refresh).await.status;
    let redeemed = world.redeem(&client, &code).await.status;
    assert_eq!((codes, refreshed, redeemed), (vec!["malformed".to_owned(); 4], 200, 200));
}

/// spec: oauth L8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_of_ours_takes_no_token_for_another_resource() {
    let (db, api) = with_audience("https://metrics.example").await;
    let world = World::around(db, api).await;
    let client = world.app(confidential()).await;
    let mut told = Vec::new();
    for resources in [vec!["https://metrics.example"], vec!["https://metrics.example", "http://auth.test"], vec![]] {
        let asked: Vec<(&str, &str)> = resources.into_iter().map(|uri| ("resource", uri)).collect();
        let code = world.code_for(&client, &asked).await;
        let access = Tokens::of(&world.redeem(&client, &code).await).access;
        told.push((forward(&world, READ, &access).await.status, world.judged(&access, "GET", CALL).await));
    }
    let told: Vec<_> = told.iter().map(|(status, code)| (*status, code.as_str())).collect();
    assert_eq!(told, [(401, "unknown"), (200, "allowed"), (200, "allowed")]);
}

/// spec: oauth L8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_token_for_another_resource_nobody_is_told_whose_it_is() {
    let (db, api) = with_audience("https://metrics.example").await;
    let world = World::around(db, api).await;
    let client = world.app(confidential()).await;
    let code = world.code_for(&client, &[("resource", "https://metrics.example")]).await;
    let access = Tokens::of(&world.redeem(&client, &code).await).access;
    let question = json!({"token": access, "method": "GET", "path": CALL, "client_ip": PEER});
    let verdict = world.api.verify(&world.gateway, &question).await;
    assert_eq!((&verdict["code"], verdict.get("credential")), (&json!("unknown"), None));
}

/// spec: oauth L10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_server_is_told_whose_token_it_is() {
    let (world, client, tokens) = wide().await;
    let question = json!({"token": tokens.access, "method": "GET", "path": CALL, "client_ip": PEER});
    let verdict = world.api.verify(&world.gateway, &question).await;
    let ends = verdict["credential"]["expires_at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let mut credential = verdict["credential"].clone();
    credential.as_object_mut().unwrap().remove("expires_at");
    let expected = json!({
        "kind": "access_token", "id": grant(&world).await["id"], "organization": "acme", "environment": "production",
        "scopes": ["monitoring:read", "incidents:write", "alerts:write"], "client_id": client.id,
        "user_id": world.org.owner.id.to_string(),
    });
    let lives = (ends - world.api.app.env.now()).num_seconds();
    assert_eq!(
        (&verdict["allowed"], &verdict["code"], &verdict["status"], credential, lives),
        (&json!(true), &json!("allowed"), &json!(200), expected, 7_200)
    );
}

/// spec: oauth L10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_an_app_for_itself_has_no_person() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let form = [("grant_type", "client_credentials")];
    let own = Tokens::of(&world.api.post("/oauth/token").client(&client).form(&form).send().await);
    let question = json!({"token": own.access, "method": "GET", "path": CALL, "client_ip": PEER});
    let credential = world.api.verify(&world.gateway, &question).await["credential"].clone();
    assert_eq!((&credential["client_id"], credential.get("user_id")), (&json!(client.id), None));
}

/// spec: oauth L10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_answers_with_what_to_answer() {
    let (world, client, tokens) = wide().await;
    let revoked = world.tokens(&client).await.access;
    world.api.revoke(&client, &revoked).await;
    let unknown = statuspulse_oauth::OpaqueToken::from_entropy(statuspulse_oauth::TokenKind::Access, &[7; 44]);
    let ask = async |question: Value| {
        let verdict = world.api.verify(&world.gateway, &question).await;
        json!([verdict["code"], verdict["status"], verdict["allowed"], verdict["required_scope"]])
    };
    let call = |token: &str, path: &str| json!({"token": token, "method": "GET", "path": path, "client_ip": PEER});
    let told = [
        ask(call(&tokens.access, "/api/v1/checks/x")).await,
        ask(call(&revoked, CALL)).await,
        ask(call(unknown.expose(), CALL)).await,
        ask(json!({"token": tokens.access, "scope": "alerts:write", "client_ip": PEER})).await,
        ask(json!({"token": tokens.access, "scope": "checks:read", "client_ip": PEER})).await,
        ask(json!({"token": tokens.access, "scope": "monitoring:read", "environments": ["staging"]})).await,
        ask(json!({"token": tokens.access, "scope": "monitoring:read", "environments": ["production"]})).await,
    ];
    let expected = [
        json!(["insufficient_scope", 403, false, "checks:read"]),
        json!(["revoked", 401, false, null]),
        json!(["unknown", 401, false, null]),
        json!(["allowed", 200, true, null]),
        json!(["insufficient_scope", 403, false, "checks:read"]),
        json!(["environment_mismatch", 401, false, null]),
        json!(["allowed", 200, true, null]),
    ];
    assert_eq!(told, expected);
}

/// spec: oauth L11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_does_not_help_a_session_either() {
    let (world, _, tokens) = wide().await;
    let path = "/v1/orgs/acme/keys";
    let with_session = world.api.get(path).cookie(&world.owner).key(&tokens.access).send().await.status;
    let as_session =
        world.api.get(path).header("cookie", format!("statuspulse_session={}", tokens.access)).send().await;
    assert_eq!([with_session, as_session.status], [401, 401]);
}

/// spec: oauth §6.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_told_the_grants_scopes_in_the_catalogs_order() {
    let (world, _, tokens) = wide().await;
    let reply = forward(&world, READ, &tokens.access).await;
    let told = ["credential-id", "organization", "environment", "scopes"]
        .map(|name| reply.header(&format!("x-auth-{name}")).to_owned());
    let id = grant(&world).await["id"].as_str().unwrap().to_owned();
    assert_eq!(
        told,
        [id.as_str(), "acme", "production", "monitoring:read incidents:write alerts:write"].map(str::to_owned)
    );
}

/// spec: oauth §2.8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_of_the_apps_addresses_its_tokens_are_refused_without_a_word_about_addresses() {
    let (world, client, tokens) = wide().await;
    let change = json!({"allowed_cidrs": ["198.51.100.0/24"]});
    world.change_app(&client, &change).await;
    let from = async |ip: &str| {
        let question = json!({"token": tokens.access, "method": "GET", "path": CALL, "client_ip": ip});
        world.api.verify(&world.gateway, &question).await["code"].clone()
    };
    let codes = [from("198.51.100.7").await, from("203.0.113.7").await];
    let unknown = json!({"token": tokens.access, "method": "GET", "path": CALL});
    let without = world.api.verify(&world.gateway, &unknown).await["code"].clone();
    // Through forward-auth: the gateway itself is the client here, on loopback.
    let reply = forward(&world, READ, &tokens.access).await;
    let text = format!("{} {:?}", reply.text, reply.headers);
    let named = text.contains("198.51.100") || text.contains("127.0.0.1");
    assert_eq!(
        (codes, without, reply.outcome(), named, identity(&reply).len()),
        (
            [json!("allowed"), json!("ip_not_allowed")],
            json!("ip_not_allowed"),
            (403, "ip_not_allowed".to_owned()),
            false,
            0
        )
    );
}

/// spec: oauth §6.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_organizations_list_binds_access_tokens_too() {
    let (world, _, tokens) = wide().await;
    let list = json!({"allowed_cidrs": ["198.51.100.0/24"]});
    let body = with(list, json!({"confirm": true}));
    let changed = world.owner("PATCH", "/v1/orgs/acme/settings", &body).await.status;
    let question = json!({"token": tokens.access, "method": "GET", "path": CALL, "client_ip": PEER});
    // The gateway's own key is bound by the list as well.
    let ask = world.api.post("/v1/verify").peer("198.51.100.1").key(&world.gateway).json(&question);
    assert_eq!((changed, &ask.send().await.json()["code"]), (200, &json!("ip_not_allowed")));
}

/// spec: oauth §6.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn narrowing_an_app_narrows_what_gateways_are_told_and_widening_gives_nothing_new() {
    let (world, client, tokens) = wide().await;
    let scopes = async || forward(&world, READ, &tokens.access).await.header("x-auth-scopes").to_owned();
    let before = scopes().await;
    world.change_app(&client, &json!({"scopes": ["monitoring:read"]})).await;
    let narrow = scopes().await;
    let refused = world.judged(&tokens.access, "POST", "/api/v1/incidents/x").await;
    world.change_app(&client, &json!({"scopes": ["monitoring:read", "checks:read", "checks:write"]})).await;
    let wide = scopes().await;
    assert_eq!(
        [before.as_str(), &narrow, &refused, &wide],
        ["monitoring:read incidents:write alerts:write", "monitoring:read", "insufficient_scope", "monitoring:read"]
    );
}

/// spec: oauth §6.7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_five_addresses_of_accepted_calls_are_shown_newest_first() {
    let (world, client, tokens) = wide().await;
    for last in 1..=7 {
        let question =
            json!({"token": tokens.access, "method": "GET", "path": CALL, "client_ip": format!("192.0.2.{last}")});
        world.api.verify(&world.gateway, &question).await;
        world.api.app.advance(std::time::Duration::from_secs(60)).await;
    }
    let used = grant(&world).await;
    // Refused calls are no use.
    world.change_app(&client, &json!({"allowed_cidrs": ["198.51.100.0/24"]})).await;
    world.judged(&tokens.access, "GET", CALL).await;
    world.change_app(&client, &json!({"allowed_cidrs": null})).await;
    world.judged(&tokens.access, "GET", "/api/v1/checks/x").await;
    world.api.app.flush().await;
    let after = grant(&world).await;
    let ips = json!(["192.0.2.7", "192.0.2.6", "192.0.2.5", "192.0.2.4", "192.0.2.3"]);
    assert_eq!(
        (&used["last_used_ips"], &after["last_used_ips"], &after["last_used_at"]),
        (&ips, &ips, &used["last_used_at"])
    );
}

/// spec: oauth §6.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_of_a_call_names_the_grant_and_no_person_as_its_actor() {
    let (world, client, tokens) = wide().await;
    world.judged(&tokens.access, "GET", CALL).await;
    let events = world.events("api.call").await;
    let told: Vec<Value> = events
        .iter()
        .filter(|event| event["actor_kind"] == "access_token")
        .map(|event| json!([event["actor_id"], event["outcome"], event["route"], event["detail"]["app_id"]]))
        .collect();
    let id = grant(&world).await["id"].clone();
    assert_eq!(told, [json!([id, "allowed", "/api/v1/monitoring/**", client.app])]);
}
