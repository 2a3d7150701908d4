//! Revocation by the client (RFC 7009).

use serde_json::json;

use crate::{
    client::{Tokens, confidential, public, with},
    support::World,
};

fn ok() -> (u16, String) {
    (200, "{}".to_owned())
}

/// spec: oauth R1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_ends_with_its_access_tokens() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    let reply = world.api.revoke(&client, &tokens.refresh).await;
    let active = world.is_active(&client, &tokens.access).await;
    let refreshed = world.refresh(&client, &tokens.refresh).await.refused();
    assert_eq!(
        ((reply.status, reply.text.clone()), reply.header("content-type"), active, refreshed),
        (ok(), "application/json", false, (400, "invalid_grant".to_owned()))
    );
}

/// spec: oauth R2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_ends_alone() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    let reply = world.api.revoke(&client, &tokens.access).await.status;
    let active = world.is_active(&client, &tokens.access).await;
    assert_eq!((reply, active, world.refresh(&client, &tokens.refresh).await.status), (200, false, 200));
}

/// spec: oauth R3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ended_or_nobodys_is_no_error() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    world.api.revoke(&client, &tokens.refresh).await;
    let again = world.api.revoke(&client, &tokens.refresh).await.status;
    let garbage = world.api.revoke(&client, "garbage").await.status;
    let nul = world.api.post("/oauth/revoke").client(&client).raw_form("token=%00").send().await.status;
    assert_eq!([again, garbage, nul], [200; 3]);
}

/// spec: oauth R4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_hint_hides_nothing() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let mut active = Vec::new();
    for hint in ["refresh_token", "nonsense"] {
        let tokens = world.tokens(&client).await;
        let form = [("token", tokens.access.as_str()), ("token_type_hint", hint)];
        let status = world.api.post("/oauth/revoke").client(&client).form(&form).send().await.status;
        active.push((status, world.is_active(&client, &tokens.access).await));
    }
    assert_eq!(active, [(200, false), (200, false)]);
}

/// spec: oauth R6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anothers_live_token_is_not_touched() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let other = world.app(with(confidential(), json!({"name": "Other"}))).await;
    let tokens = world.tokens(&client).await;
    let access = world.api.revoke(&other, &tokens.access).await.refused();
    let refresh = world.api.revoke(&other, &tokens.refresh).await.refused();
    let events = world.events("oauth.revoke").await;
    let reasons: Vec<_> = events.iter().map(|event| event["reason"].as_str()).collect();
    let refused = (400, "invalid_request".to_owned());
    assert_eq!(
        (access, refresh, world.is_active(&client, &tokens.access).await, reasons),
        (refused.clone(), refused, true, vec![Some("token_foreign"); 2])
    );
}

/// spec: oauth R7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_must_prove_it() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    let form = [("token", tokens.access.as_str())];
    let none = world.api.post("/oauth/revoke").form(&form).send().await;
    let basic = crate::client::basic(&client.id, "wrong");
    let wrong = world.api.post("/oauth/revoke").header("authorization", basic).form(&form).send().await;
    let seen = [&none, &wrong].map(|reply| (reply.refused(), reply.header("www-authenticate").to_owned()));
    let refused = ((401, "invalid_client".to_owned()), "Basic realm=\"StatusPulse\"".to_owned());
    assert_eq!((seen, world.is_active(&client, &tokens.access).await), ([refused.clone(), refused], true));
}

/// spec: oauth R8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_app_ends_its_own_with_its_id_alone() {
    let world = World::new().await;
    let client = world.app(public()).await;
    let tokens = world.tokens(&client).await;
    let reply = world.api.revoke(&client, &tokens.refresh).await.status;
    assert_eq!((reply, world.refresh(&client, &tokens.refresh).await.status), (200, 400));
}

/// spec: oauth R10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_refresh_token_of_ones_own_ends_the_family() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let first = world.tokens(&client).await;
    let second = Tokens::of(&world.refresh(&client, &first.refresh).await);
    let reply = world.api.revoke(&client, &first.refresh).await.status;
    assert_eq!((reply, world.is_active(&client, &second.access).await), (200, false));
}

/// spec: oauth L7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_is_to_be_ended_stays_usable() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let reply = world.api.revoke(&client, &code).await.status;
    assert_eq!((reply, world.redeem(&client, &code).await.status), (200, 200));
}
