//! What ends a token holds, whatever comes late: a look-up that began before the end, another instance, a restart.

use statuspulse_app::replica::HeldToken;
use statuspulse_oauth::{OpaqueToken, TokenKind};
use statuspulse_store::oauth::tokens;
use statuspulse_testkit::eventually;

use crate::{
    client::{Client, Tokens, confidential},
    support::{Api, PUBLIC_URL, World},
};

const READ: &str = "/api/v1/monitoring/x";

/// What a look-up finds now: it is held later, as by one that was slow.
async fn looked_up(world: &World, token: &str) -> HeldToken {
    let app = world.api.app.app();
    let token = OpaqueToken::parse_as(TokenKind::Access, token).unwrap();
    let mut conn = app.pool.get().await.unwrap();
    let found = tokens::find_access(&mut conn, &app.secrets.token_digests(&token)).await.unwrap();
    let (digest, record, grant) = found.unwrap();
    HeldToken::new(digest, record, &grant)
}

/// A world with an app, its tokens and one more instance that never saw any of them.
async fn two() -> (World, Api, Client, Tokens) {
    let world = World::new().await;
    let second = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let client = world.app(confidential()).await;
    let tokens = world.tokens(&client).await;
    (world, second, client, tokens)
}

async fn code_on(api: &Api, token: &str) -> String {
    let path = format!("/v1/forward-auth{READ}");
    let reply = api.get(&path).peer("127.0.0.1").key(token).send().await;
    if reply.status == 200 { "allowed".to_owned() } else { reply.code() }
}

/// Waits until another instance has followed the feed as far as the first one.
async fn followed(world: &World, second: &Api) {
    let (here, there) = (&world.api.app.replica, &second.app.replica);
    eventually("the other instance has followed", async || there.applied() >= here.applied()).await;
}

/// spec: oauth §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_look_up_does_not_bring_a_token_of_an_ended_grant_back() {
    let (world, second, client, tokens) = two().await;
    let (here, there) = (looked_up(&world, &tokens.access).await, looked_up(&world, &tokens.access).await);
    world.api.revoke(&client, &tokens.refresh).await;
    followed(&world, &second).await;
    world.api.app.replica.oauth.hold(here);
    second.app.replica.oauth.hold(there);
    let codes = [code_on(&world.api, &tokens.access).await, code_on(&second, &tokens.access).await];
    assert_eq!(codes, ["revoked"; 2]);
}

/// spec: oauth §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_look_up_does_not_bring_a_token_back_that_was_ended_alone() {
    let (world, second, client, tokens) = two().await;
    let (here, there) = (looked_up(&world, &tokens.access).await, looked_up(&world, &tokens.access).await);
    world.api.revoke(&client, &tokens.access).await;
    followed(&world, &second).await;
    world.api.app.replica.oauth.hold(here);
    second.app.replica.oauth.hold(there);
    let codes = [code_on(&world.api, &tokens.access).await, code_on(&second, &tokens.access).await];
    assert_eq!(codes, ["revoked"; 2]);
}

/// As long as a token could live, and to its end: then it has ended by itself.
///
/// spec: oauth §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_grant_is_held_for_as_long_as_its_tokens_could_live() {
    let (world, _, client, tokens) = two().await;
    let late = looked_up(&world, &tokens.access).await;
    world.api.revoke(&client, &tokens.refresh).await;
    world.api.app.advance(std::time::Duration::from_secs(7_199)).await;
    // The feed's task lets go of what it may with its heartbeat, which follows a change.
    world.app(confidential()).await;
    world.api.app.replica.oauth.hold(late);
    assert_eq!(code_on(&world.api, &tokens.access).await, "revoked");
}

/// spec: oauth §7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_starts_later_knows_what_had_ended() {
    let (world, _, client, tokens) = two().await;
    let other = world.tokens(&client).await;
    let late = [looked_up(&world, &tokens.access).await, looked_up(&world, &other.access).await];
    world.api.revoke(&client, &tokens.refresh).await;
    world.api.revoke(&client, &other.access).await;
    let third = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    for token in late {
        third.app.replica.oauth.hold(token);
    }
    assert_eq!([code_on(&third, &tokens.access).await, code_on(&third, &other.access).await], ["revoked"; 2]);
}

/// spec: oauth §6.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_an_app_of_a_moment_ago_is_taken_on_the_other_instance_at_once() {
    let world = World::new().await;
    let second = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let mut codes = Vec::new();
    for _ in 0..10 {
        let client = world.app(confidential()).await;
        codes.push(code_on(&second, &world.tokens(&client).await.access).await);
    }
    assert_eq!(codes, ["allowed"; 10]);
}

/// spec: oauth I9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_of_fifty_revocations_hold_on_the_other_instance() {
    let (world, second, client, _) = two().await;
    let mut failed = Vec::new();
    for number in 0..50 {
        let tokens = world.tokens(&client).await;
        let before = code_on(&second, &tokens.access).await;
        let ended = if number % 2 == 0 { &tokens.access } else { &tokens.refresh };
        world.api.revoke(&client, ended).await;
        eventually("the token is dead there", async || code_on(&second, &tokens.access).await == "revoked").await;
        // Once it holds, it holds.
        let after = code_on(&second, &tokens.access).await;
        if (before.as_str(), after.as_str()) != ("allowed", "revoked") {
            failed.push((number, before, after));
        }
    }
    assert_eq!(failed, []);
}

/// spec: oauth I9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_holds_on_its_own_instance_at_once() {
    let (world, _, client, _) = two().await;
    let mut active = Vec::new();
    for number in 0..20 {
        let tokens = world.tokens(&client).await;
        world.api.revoke(&client, if number % 2 == 0 { &tokens.access } else { &tokens.refresh }).await;
        active.push(world.is_active(&client, &tokens.access).await);
    }
    assert_eq!(active, [false; 20]);
}

/// spec: oauth §2.7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_and_a_deletion_hold_on_the_other_instance() {
    let (world, second, suspended, one) = two().await;
    let deleted = world.app(confidential()).await;
    let two = world.tokens(&deleted).await;
    let before = [code_on(&second, &one.access).await, code_on(&second, &two.access).await];
    world.change_app(&suspended, &serde_json::json!({"status": "suspended"})).await;
    world.owner("DELETE", &format!("/v1/orgs/acme/apps/{}", deleted.app), &serde_json::json!({})).await;
    for token in [&one.access, &two.access] {
        eventually("the token is dead there", async || code_on(&second, token).await == "revoked").await;
    }
    assert_eq!(before, ["allowed"; 2]);
}

/// A resource server that was just started meets every token for the first time.
///
/// spec: oauth I1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_was_just_started_takes_hundreds_of_tokens_at_once() {
    let (world, _, client, _) = two().await;
    let mut tokens = Vec::new();
    let form = [("grant_type", "client_credentials")];
    for _ in 0..300 {
        let reply = world.api.post("/oauth/token").client(&client).form(&form).send().await;
        tokens.push(Tokens::of(&reply).access);
    }
    let third = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let mut dead = 0;
    for token in &tokens {
        let reply = third.introspect(&client, token).await;
        dead += usize::from(reply.json()["active"] != true);
    }
    assert_eq!(dead, 0);
}

/// A gateway where no look-up is left may not call a live token unknown: the app would throw it away.
///
/// spec: oauth §6.8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_look_up_is_left_no_live_token_is_called_unknown() {
    let (world, _, client, _) = two().await;
    let mut tokens = Vec::new();
    let form = [("grant_type", "client_credentials")];
    for _ in 0..300 {
        let reply = world.api.post("/oauth/token").client(&client).form(&form).send().await;
        tokens.push(Tokens::of(&reply).access);
    }
    let third = Api::published(world.api.app.second().await, PUBLIC_URL).await;
    let mut codes = std::collections::BTreeSet::new();
    for token in &tokens {
        codes.insert(code_on(&third, token).await);
    }
    codes.remove("unavailable");
    assert_eq!(codes, std::collections::BTreeSet::from(["allowed".to_owned()]));
}
