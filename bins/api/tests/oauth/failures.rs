//! The true reasons of refused exchanges, for the app's owner (oauth §2.9).

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    client::{Client, REDIRECT, confidential, with},
    help::fields,
    support::{PEER, Reply, World},
};

/// An app's refused exchanges, newest first.
async fn failures(world: &World, client: &Client) -> Vec<Value> {
    world.read(&client.path("/failures")).await.json()["items"].as_array().unwrap().clone()
}

/// Action and reason of each, oldest first, with whether the id is that of one of these answers, in order.
async fn reasons(world: &World, client: &Client, replies: &[&Reply]) -> Vec<(String, String, bool)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let items = failures(world, client).await;
    let ids = replies.iter().map(|reply| reply.request_id()).chain(std::iter::repeat(""));
    let told = |(item, id): (&Value, &str)| (text(&item["action"]), text(&item["reason"]), item["request_id"] == id);
    items.iter().rev().zip(ids).map(told).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_authorization_names_its_reason_under_the_id_of_its_answer() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut replies = Vec::new();
    for replaced in [
        [("redirect_uri", "https://evil.example/")],
        [("redirect_uri", "")],
        [("state", "")],
        [("state", "\u{e9}")],
        [("response_type", "")],
        [("response_type", "token")],
        [("response_mode", "fragment")],
        [("code_challenge_method", "plain")],
        [("code_challenge", "short")],
        [("code_challenge", "")],
        [("scope", "keys:read")],
        [("scope", "bogus")],
        [("resource", "https://evil.example")],
        [("request", "x")],
        [("request_uri", "x")],
        [("prompt", "none")],
    ] {
        replies.push(world.authorize(&client, &replaced).await);
        world.api.app.advance(Duration::from_secs(1)).await;
    }
    let told = reasons(&world, &client, &replies.iter().collect::<Vec<_>>()).await;
    let expected = [
        "redirect_uri_mismatch",
        "redirect_uri_malformed",
        "state_missing",
        "state_malformed",
        "response_type_missing",
        "response_type_unsupported",
        "response_mode_unsupported",
        "challenge_method_unsupported",
        "challenge_malformed",
        "challenge_missing",
        "scope_not_allowed",
        "scope_unknown",
        "resource_unknown",
        "request_not_supported",
        "request_uri_not_supported",
        "consent_required",
    ];
    assert_eq!(told, expected.map(|reason| ("oauth.authorize".to_owned(), reason.to_owned(), true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_redemption_names_its_reason_under_the_id_of_its_answer() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let wrong = Client { secret: format!("sp_cs_{}", "A".repeat(49)), ..client.clone() };
    let other = "a".repeat(43);
    let mut replies = Vec::new();
    for (client, replaced) in [
        (&wrong, [("x", "")]),
        (&client, [("redirect_uri", "https://app.example/cb/")]),
        (&client, [("code_verifier", other.as_str())]),
        (&client, [("code_verifier", "")]),
    ] {
        replies.push(world.api.redeem(client, &code, &replaced).await);
        world.api.app.advance(Duration::from_secs(1)).await;
    }
    world.api.app.advance(Duration::from_secs(300)).await;
    replies.push(world.redeem(&client, &code).await);
    let told = reasons(&world, &client, &replies.iter().collect::<Vec<_>>()).await;
    let expected = ["secret_unknown", "redirect_uri_mismatch", "verifier_mismatch", "verifier_missing", "code_expired"];
    assert_eq!(told, expected.map(|reason| ("oauth.token".to_owned(), reason.to_owned(), true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mismatch_says_where_the_address_leaves_the_nearest_registered_one() {
    let world = World::new().await;
    let both = json!({"redirect_uris": [REDIRECT, "https://app.example/callback"]});
    let client = world.app(with(confidential(), both)).await;
    let mut differences = Vec::new();
    for uri in
        ["https://app.example/cX", "https://app.example/callbacks", "https://b.example/cb", "x", "https://app.example/"]
    {
        world.authorize(&client, &[("redirect_uri", uri)]).await;
        differences.push(failures(&world, &client).await[0]["first_difference"].clone());
        world.api.app.advance(Duration::from_secs(1)).await;
    }
    assert_eq!(differences, [json!(21), json!(28), json!(8), json!(0), json!(20)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mismatch_at_the_token_endpoint_says_where_too() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    world.api.redeem(&client, &code, &[("redirect_uri", "https://app.example/cB")]).await;
    assert_eq!(failures(&world, &client).await[0]["first_difference"], json!(21));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_has_time_address_and_program_and_nothing_of_what_was_sent() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let verifier = "v".repeat(64);
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", &verifier),
    ];
    let ask = world.api.post("/oauth/token").client(&client).header("user-agent", "bot/1.0");
    let refused = ask.form(&form).send().await;
    let reply = world.read(&client.path("/failures")).await;
    let item = reply.json()["items"][0].clone();
    let expected = json!({
        "id": item["id"], "occurred_at": item["occurred_at"], "action": "oauth.token", "reason": "verifier_mismatch",
        "status": 400, "ip": PEER, "user_agent": "bot/1.0", "request_id": refused.request_id(),
    });
    let held = [&code, &verifier, &client.secret].map(|secret| reply.text.contains(secret.as_str()));
    assert_eq!((item, held), (expected, [false; 3]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_well_is_no_failure() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    world.refresh(&client, &tokens.refresh).await;
    world.authorize(&client, &[]).await;
    assert_eq!(failures(&world, &client).await, <[Value; 0]>::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_app_has_its_own_failures() {
    let world = World::new().await;
    let (one, two) = (world.app(confidential()).await, world.app(confidential()).await);
    world.authorize(&one, &[("scope", "bogus")]).await;
    let unknown = Client { id: "sp_app_AAAAAAAAAAAAAAAAAAAAAA".to_owned(), ..one.clone() };
    world.authorize(&unknown, &[]).await;
    world.authorize(&two, &[("client_id", "")]).await;
    assert_eq!((failures(&world, &one).await.len(), failures(&world, &two).await.len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_s_mismatch_is_the_owner_s_to_see_too() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let path = crate::client::authorize_path(&client, &[("redirect_uri", "https://app.example/old")]);
    let reply = world.api.get(&path).peer("198.51.100.9").send().await;
    let item = failures(&world, &client).await[0].clone();
    assert_eq!(
        (&item["reason"], &item["ip"], &item["request_id"]),
        (&json!("redirect_uri_mismatch"), &json!("198.51.100.9"), &json!(reply.request_id()))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_app_s_failures_say_so() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    world.change_app(&client, &fields("status", json!("suspended"))).await;
    let authorize = world.authorize(&client, &[]).await;
    world.api.app.advance(Duration::from_secs(1)).await;
    let token = world.redeem(&client, &code).await;
    let told = reasons(&world, &client, &[&authorize, &token]).await;
    let expected = [("oauth.authorize", "app_suspended"), ("oauth.token", "app_suspended")];
    assert_eq!(told, expected.map(|(action, reason)| (action.to_owned(), reason.to_owned(), true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_of_one_moment_are_listed_once_each() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut asked = Vec::new();
    for _ in 0..5 {
        asked.push(world.authorize(&client, &[("scope", "bogus")]).await.request_id().to_owned());
    }
    let (mut seen, mut next) = (Vec::new(), Some(String::new()));
    while let Some(cursor) = next {
        let page = world.read(&client.path(&format!("/failures?limit=2{cursor}"))).await.json();
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["request_id"].as_str().unwrap().to_owned()),
        );
        next = page["next_cursor"].as_str().map(|cursor| format!("&cursor={cursor}"));
    }
    seen.sort_unstable();
    asked.sort_unstable();
    assert_eq!(seen, asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_failures_has_its_bounds_and_its_own_cursor() {
    let world = World::new().await;
    let (one, two) = (world.app(confidential()).await, world.app(confidential()).await);
    for _ in 0..2 {
        world.authorize(&one, &[("scope", "bogus")]).await;
    }
    let cursor = world.read(&one.path("/failures?limit=1")).await.json()["next_cursor"].as_str().unwrap().to_owned();
    let mut seen = Vec::new();
    for path in [
        one.path("/failures?limit=0"),
        one.path("/failures?limit=201"),
        one.path("/failures?reason=x"),
        two.path(&format!("/failures?cursor={cursor}")),
    ] {
        let reply = world.read(&path).await;
        seen.push((reply.status, reply.fields().join(", ")));
    }
    let expected =
        [(422, "limit: out_of_bounds"), (422, "limit: out_of_bounds"), (422, "reason: unknown_parameter"), (400, "")];
    assert_eq!(seen, expected.map(|(status, field)| (status, field.to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wire_does_not_say_what_the_owner_sees() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let other = "a".repeat(43);
    let replies = [
        world.api.redeem(&client, &code, &[("code_verifier", &other)]).await,
        world.api.redeem(&client, &code, &[("redirect_uri", "https://app.example/")]).await,
        world.redeem(&client, &format!("sp_ac_{}", "A".repeat(64))).await,
    ];
    let mut bodies: Vec<&String> = replies.iter().map(|reply| &reply.text).collect();
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}
