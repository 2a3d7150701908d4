//! One event for each exchange, good or bad, with the answer's request id (oauth §6.9).

use serde_json::{Value, json};

use crate::{
    client::{Client, Tokens, basic, confidential, public, with},
    codes::OTHER_VERIFIER as OTHER,
    help::{redemption, rotation},
    support::{PEER, Reply, World},
};

/// What the trail must have of a request: one event of the action, with the reason and the app.
fn one(action: &str, reason: Option<&str>, client: &Client) -> Vec<Value> {
    vec![json!([action, reason, client.app])]
}

/// An event of nobody's app.
fn nobodys(action: &str, reason: &str) -> Vec<Value> {
    vec![json!([action, reason, null])]
}

/// spec: oauth N4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_good_exchange_has_one_event() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"refresh_retry_seconds": 30}))).await;
    let code = world.code(&client).await;
    let redeemed = world.redeem(&client, &code).await;
    let first = Tokens::of(&redeemed).refresh;
    let refreshed = world.refresh(&client, &first).await;
    let retried = world.refresh(&client, &first).await;
    let form = [("grant_type", "client_credentials")];
    let own = world.api.post("/oauth/token").client(&client).form(&form).send().await;
    let last = rotation(&Tokens::of(&retried).refresh);
    let elsewhere = world.api.post("/oauth/refresh").client(&client).raw_form(last).send().await;
    let mut told = Vec::new();
    for reply in [&redeemed, &refreshed, &retried, &own, &elsewhere] {
        told.push((reply.status, world.told(reply).await));
    }
    let (token, refresh) = ("oauth.token", "oauth.refresh");
    let expected = [(token, None), (refresh, None), (refresh, Some("refresh_retry")), (token, None), (refresh, None)];
    assert_eq!(told, expected.map(|(action, reason)| (200, one(action, reason, &client))));
}

/// spec: oauth N4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_of_an_exchange_says_who_what_and_from_where() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let body = redemption(&client, &code);
    let ask = world.api.post("/oauth/token").client(&client).header("user-agent", "bot/1");
    let reply = ask.raw_form(body).send().await;
    let event = world.trail_of(&reply).await[0].clone();
    let grant = world.db.client().await.query_one("SELECT id::text FROM oauth_grants", &[]).await.unwrap();
    let secret = world.db.client().await.query_one("SELECT id::text FROM oauth_app_secrets", &[]).await.unwrap();
    let detail = &event["detail"];
    assert_eq!(
        json!([
            event["outcome"],
            event["status"],
            event["actor_kind"],
            event["actor_id"],
            event["ip"],
            event["user_agent"],
            event["route"],
            detail["app_id"],
            detail["user_id"],
            detail["grant_id"],
            detail["secret_id"],
            detail["scopes"],
        ]),
        json!([
            "allowed",
            200,
            "app",
            client.app,
            PEER,
            "bot/1",
            "/oauth/token",
            client.app,
            world.org.owner.id.to_string(),
            grant.get::<_, String>(0),
            secret.get::<_, String>(0),
            ["monitoring:read"],
        ]),
        "{event}"
    );
}

/// spec: oauth N4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refused_redemption_has_one_event_with_the_reason_and_the_app() {
    let world = World::new().await;
    let uris = json!({"redirect_uris": ["https://app.example/cb", "https://app.example/cc"]});
    let client = world.app(with(confidential(), uris)).await;
    let other = world.app(confidential()).await;
    let (code, used, old) = (world.code(&client).await, world.code(&client).await, world.code(&client).await);
    world.redeem(&client, &used).await;
    let unknown = format!("sp_ac_{}", "A".repeat(64));
    let of = async |code: &str, more: &[(&str, &str)]| world.api.redeem(&client, code, more).await;
    let mut replies: Vec<(Reply, &str, &Client)> = vec![
        (of("nope", &[]).await, "code_malformed", &client),
        (of(&unknown, &[]).await, "code_malformed", &client),
        (of(&code, &[("code_verifier", OTHER)]).await, "verifier_mismatch", &client),
        (of(&code, &[("code_verifier", "")]).await, "verifier_missing", &client),
        (of(&code, &[("code_verifier", "short")]).await, "verifier_malformed", &client),
        (of(&code, &[("redirect_uri", "https://app.example/cc")]).await, "redirect_uri_mismatch", &client),
        (of(&code, &[("redirect_uri", "")]).await, "redirect_uri_missing", &client),
        (of("", &[]).await, "code_missing", &client),
        (of(&code, &[("resource", "https://unknown.example")]).await, "resource_not_granted", &client),
        (of(&code, &[("grant_type", "")]).await, "grant_type_missing", &client),
        (of(&code, &[("grant_type", "password")]).await, "grant_type_unsupported", &client),
        (of(&code, &[("scope", "x"), ("scope", "y")]).await, "parameter_repeated", &client),
        (of(&used, &[]).await, "code_replayed", &client),
        (world.redeem(&other, &code).await, "code_foreign", &other),
    ];
    world.api.app.advance(std::time::Duration::from_secs(301)).await;
    replies.push((of(&old, &[]).await, "code_expired", &client));
    let (mut told, mut expected) = (Vec::new(), Vec::new());
    for (reply, reason, client) in &replies {
        told.push((reply.status, world.told(reply).await));
        expected.push((400, one("oauth.token", Some(reason), client)));
    }
    assert_eq!(told, expected);
}

/// spec: oauth N4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refused_refresh_has_one_event_with_the_reason_and_the_app() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let other = world.app(confidential()).await;
    let (first, idle) = (world.tokens(&client).await, world.tokens(&client).await);
    let of = async |token: &str, more: &[(&str, &str)]| world.api.refresh(&client, token, more).await;
    let mut replies: Vec<(Reply, &str, &Client)> = vec![
        (of("nope", &[]).await, "refresh_token_malformed", &client),
        (of(&first.access, &[]).await, "refresh_token_malformed", &client),
        (of("", &[]).await, "refresh_token_missing", &client),
        (of(&first.refresh, &[("scope", "alerts:write")]).await, "scope_not_granted", &client),
        (of(&first.refresh, &[("resource", "https://unknown.example")]).await, "resource_not_granted", &client),
        (world.refresh(&other, &first.refresh).await, "refresh_token_foreign", &other),
    ];
    of(&first.refresh, &[]).await;
    replies.push((of(&first.refresh, &[]).await, "refresh_reuse_detected", &client));
    replies.push((of(&first.refresh, &[]).await, "grant_revoked", &client));
    world.api.app.advance_days(31).await;
    replies.push((of(&idle.refresh, &[]).await, "refresh_token_idle", &client));
    let (mut told, mut expected) = (Vec::new(), Vec::new());
    for (reply, reason, client) in &replies {
        told.push((reply.status, world.told(reply).await));
        expected.push((400, one("oauth.refresh", Some(reason), client)));
    }
    assert_eq!(told, expected);
}

/// spec: oauth N4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_that_failed_has_one_event_with_the_reason() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let open = world.app(public()).await;
    let narrow = world.app(with(confidential(), json!({"allowed_cidrs": ["198.51.100.0/24"]}))).await;
    let with_header = async |header: &str| {
        let ask = world.api.post("/oauth/token").header("authorization", header);
        ask.raw_form(redemption(&client, "x")).send().await
    };
    let with_body = async |more: &str| {
        let body = format!("{}&{more}", redemption(&client, "x"));
        world.api.post("/oauth/token").raw_form(body).send().await
    };
    let mine = |reason| one("oauth.token", Some(reason), &client);
    let told = [
        (with_header(&basic(&client.id, "nope")).await, mine("secret_unknown")),
        (with_body(&format!("client_id={}", client.id)).await, mine("secret_missing")),
        (
            with_body(&format!("client_id={}&client_secret=x", open.id)).await,
            one("oauth.token", Some("secret_unexpected"), &open),
        ),
        (with_header(&narrow.basic()).await, one("oauth.token", Some("ip_not_allowed"), &narrow)),
        (with_header(&basic("sp_app_AAAAAAAAAAAAAAAAAAAAAA", "x")).await, nobodys("oauth.token", "client_unknown")),
        (with_header(&basic("nope", "x")).await, nobodys("oauth.token", "client_unknown")),
        (with_header("Bearer x").await, nobodys("oauth.token", "authorization_malformed")),
        (with_body("").await, nobodys("oauth.token", "client_missing")),
        (with_body(&format!("client_id={}&client_assertion=x", client.id)).await, mine("assertion_unsupported")),
    ];
    let mut left = Vec::new();
    for (reply, expected) in &told {
        let events = world.told(reply).await;
        if (reply.status, &events) != (401, expected) {
            left.push((reply.status, events, expected));
        }
    }
    assert_eq!(left, []);
}

/// spec: oauth N4, F7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ways_at_once_are_told_to_the_app_whose_header_it_was() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let other = world.app(confidential()).await;
    let ask = |more: &str| world.api.send_raw(&client, format!("{}&{more}", redemption(&client, "x")));
    let twice = ask("client_secret=x").await;
    let differs = ask(&format!("client_id={}", other.id)).await;
    let told = [world.told(&twice).await, world.told(&differs).await];
    let reasons = ["client_authenticated_twice", "client_id_differs"];
    assert_eq!(told, reasons.map(|reason| one("oauth.token", Some(reason), &client)));
}

/// spec: oauth N4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_can_not_be_read_has_one_event_with_the_answers_status() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let long = format!("pad={}", "x".repeat(17_000));
    let mut told = Vec::new();
    for (path, action) in [("/oauth/token", "oauth.token"), ("/oauth/refresh", "oauth.refresh")] {
        let ask = || world.api.post(path).client(&client);
        let replies = [
            ask().json(&json!({"grant_type": "refresh_token"})).send().await,
            ask().body("grant_type=refresh_token").send().await,
            ask().header("content-type", "text/plain").raw_form("grant_type=refresh_token").send().await,
            ask().raw_form(long.clone()).send().await,
        ];
        for reply in replies {
            let events = world.trail_of(&reply).await;
            let event = events.first().cloned().unwrap_or_default();
            let whole = events.len() == 1
                && event["action"] == action
                && event["status"] == reply.status
                && event["outcome"] != "allowed"
                && event["reason"].is_string()
                && event["detail"]["app_id"] == client.app.as_str();
            told.push((reply.status, whole, if whole { Vec::new() } else { events }));
        }
    }
    let expected = [400, 400, 400, 413].map(|status| (status, true, Vec::new()));
    assert_eq!(told, [expected.clone(), expected].concat());
}

/// spec: oauth N4, F21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wait_after_failures_has_one_event_with_the_app() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut last = None;
    for _ in 0..21 {
        let ask = world.api.post("/oauth/token").header("authorization", basic(&client.id, "nope"));
        last = Some(ask.raw_form(rotation("x")).send().await);
    }
    let last = last.unwrap();
    let told = (last.status, world.told(&last).await);
    assert_eq!(told, (429, one("oauth.refresh", Some("too_many_failures"), &client)));
}

/// spec: oauth N4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_holds_what_was_presented() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let redeemed = world.redeem(&client, &code).await;
    let given = Tokens::of(&redeemed);
    world.refresh(&client, &given.refresh).await;
    world.refresh(&client, &given.refresh).await;
    world.redeem(&client, &code).await;
    world.api.send_raw(&client, format!("grant_type={}&code={}", client.secret, given.access)).await;
    world.api.app.flush().await;
    let rows = world.db.client().await.query("SELECT to_jsonb(e)::text FROM audit_events e", &[]).await.unwrap();
    let trail: String = rows.iter().map(|row| row.get::<_, String>(0)).collect();
    let secrets = [&code, &given.access, &given.refresh, &client.secret, crate::client::VERIFIER];
    assert_eq!(secrets.map(|secret| trail.contains(secret)), [false; 5]);
}
