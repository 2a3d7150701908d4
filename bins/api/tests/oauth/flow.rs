//! The whole flow, once.

use serde_json::json;

use crate::{
    client::{REDIRECT, STATE, Tokens, confidential, parameter, parameters, public},
    support::{PEER, PUBLIC_URL, World},
};

/// spec: oauth E1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_becomes_tokens() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let reply = world.redeem(&client, &code).await;
    let json = reply.json();
    let mut names: Vec<&String> = json.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(
        (reply.status, names, &json["token_type"], &json["expires_in"], &json["scope"]),
        (
            200,
            ["access_token", "expires_in", "refresh_token", "scope", "token_type"]
                .iter()
                .map(|n| n.to_string())
                .collect::<Vec<_>>()
                .iter()
                .collect(),
            &json!("Bearer"),
            &json!(7200),
            &json!("monitoring:read")
        ),
        "{}",
        reply.text
    );
}

/// spec: oauth B25
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_gets_code_state_and_issuer_once_each() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[]).await;
    let reply = world.api.allow(&world.owner, &page).await;
    let code = parameter(reply.location(), "code").unwrap();
    let expected = [("code", code.as_str()), ("state", STATE), ("iss", PUBLIC_URL)];
    let expected: Vec<_> = expected.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    assert_eq!((reply.status, parameters(reply.location())), (303, expected), "{}", reply.text);
}

/// spec: oauth H1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_becomes_new_tokens() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let first = world.tokens(&client).await;
    let reply = world.refresh(&client, &first.refresh).await;
    let second = Tokens::of(&reply);
    let json = reply.json();
    assert!(
        first.access != second.access
            && first.refresh != second.refresh
            && json["expires_in"] == 7200
            && json["scope"] == "monitoring:read",
        "{}",
        reply.text
    );
}

/// spec: oauth L10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_is_judged_like_a_key() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    let question = json!({"token": tokens.access, "method": "GET", "path": "/api/v1/monitoring/x", "client_ip": PEER});
    let verdict = world.api.verify(&world.gateway, &question).await;
    assert_eq!(
        (&verdict["code"], &verdict["credential"]["kind"], &verdict["credential"]["client_id"]),
        (&json!("allowed"), &json!("access_token"), &json!(client.id)),
        "{verdict}"
    );
}

/// spec: oauth C16, F15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_on_any_loopback_port_gets_tokens() {
    let world = World::new().await;
    let mut client = world.app(public()).await;
    client.redirect = "http://127.0.0.1:51004/cb".to_owned();
    let code = world.code(&client).await;
    let reply = world.redeem(&client, &code).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
}

/// spec: oauth E2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_is_redeemed_twice_ends_what_it_gave() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let tokens = Tokens::of(&world.redeem(&client, &code).await);
    let again = world.redeem(&client, &code).await.refused();
    let active = world.is_active(&client, &tokens.access).await;
    let refreshed = world.refresh(&client, &tokens.refresh).await.refused();
    let refused = (400, "invalid_grant".to_owned());
    assert_eq!((again, active, refreshed), (refused.clone(), false, refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_of_the_documentation_works_without_state_and_pkce() {
    let world = World::new().await;
    let app = crate::client::with(confidential(), json!({"require_state": false, "require_pkce": false}));
    let client = world.app(app).await;
    let path = format!(
        "/oauth/authorize?client_id={}&redirect_uri={REDIRECT}&response_type=code&scope=monitoring:read,alerts:write",
        client.id
    );
    let page = world.api.get(&path).cookie(&world.owner).send().await;
    let reply = world.api.allow(&world.owner, &page).await;
    let code = parameter(reply.location(), "code").unwrap();
    let issued = world.api.redeem(&client, &code, &[("code_verifier", "")]).await;
    assert_eq!(issued.json()["scope"], "monitoring:read alerts:write", "{}", issued.text);
}
