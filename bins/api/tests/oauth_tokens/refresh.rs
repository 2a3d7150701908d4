//! Rotation of refresh tokens without a retry window (oauth §5).

use std::time::Duration;

use serde_json::json;
use statuspulse_app::oauth::cleanup;

use crate::{
    client::{Client, Tokens, basic, confidential},
    help::{Outcome, error, invalid_grant, outcome, outcomes, rotation, tokens},
    support::{Reply, World},
};

const BOTH: &str = "monitoring:read alerts:write";

/// The usual app with the tokens of a grant of two scopes.
async fn granted() -> (World, Client, Tokens) {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let given = world.tokens_for(&client, BOTH).await;
    (world, client, given)
}

fn scope(reply: &Reply) -> String {
    reply.json()["scope"].as_str().unwrap_or_default().to_owned()
}

/// spec: oauth H1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_gives_a_new_pair_for_the_same_scope_and_time() {
    let (world, client, first) = granted().await;
    let reply = world.refresh(&client, &first.refresh).await;
    let second = Tokens::of(&reply);
    let json = reply.json();
    let new = (first.access != second.access, first.refresh != second.refresh);
    assert_eq!(
        (outcome(&reply), new, &json["scope"], &json["expires_in"], &json["token_type"]),
        (tokens(), (true, true), &json!(BOTH), &json!(7_200), &json!("Bearer"))
    );
}

/// spec: oauth H1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_goes_on_and_on() {
    let (world, client, mut given) = granted().await;
    let mut seen = std::collections::BTreeSet::from([given.access.clone(), given.refresh.clone()]);
    for _ in 0..10 {
        given = Tokens::of(&world.refresh(&client, &given.refresh).await);
        seen.extend([given.access.clone(), given.refresh.clone()]);
    }
    assert_eq!((seen.len(), world.live_chains().await), (22, 1));
}

/// spec: oauth H2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_access_token_lives_to_its_own_end() {
    let (world, client, first) = granted().await;
    world.api.app.advance(Duration::from_secs(60)).await;
    let second = Tokens::of(&world.refresh(&client, &first.refresh).await);
    let mut lives = vec![world.live(&client, [&first.access, &second.access]).await];
    for seconds in [7_139, 1, 60] {
        world.api.app.advance(Duration::from_secs(seconds)).await;
        lives.push(world.live(&client, [&first.access, &second.access]).await);
    }
    assert_eq!(lives, [[true, true], [true, true], [false, true], [false, false]]);
}

/// spec: oauth H5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_refresh_token_ends_the_family_at_once() {
    let (world, client, first) = granted().await;
    let second = Tokens::of(&world.refresh(&client, &first.refresh).await);
    let again = world.refresh(&client, &first.refresh).await;
    let live = world.live(&client, [&first.access, &second.access, &second.refresh]).await;
    let next = world.refresh(&client, &second.refresh).await;
    assert_eq!((outcomes([&again, &next]), live, world.live_chains().await), (vec![invalid_grant(); 2], [false; 3], 0));
}

/// spec: oauth H5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reuse_is_one_event_with_its_reason_and_an_alert() {
    let (world, client, first) = granted().await;
    world.refresh(&client, &first.refresh).await;
    let again = world.refresh(&client, &first.refresh).await;
    // The family is dead now: this is no second theft.
    world.refresh(&client, &first.refresh).await;
    let events = world.events("oauth.refresh").await;
    let reuses: Vec<_> = events
        .iter()
        .filter(|event| event["reason"] == json!("refresh_reuse_detected"))
        .map(|event| json!([event["outcome"], event["request_id"], event["detail"]["app_id"]]))
        .collect();
    let alerts = world.alerts("refresh_reuse").await;
    let alerts: Vec<_> = alerts.iter().map(|alert| json!([alert["severity"], alert["count"]])).collect();
    assert_eq!((reuses, alerts), (vec![json!(["denied", again.request_id(), client.app])], vec![json!(["high", 1])]));
}

/// spec: oauth H5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reuse_is_put_into_the_outbox_once() {
    let (world, client, first) = granted().await;
    for _ in 0..3 {
        world.refresh(&client, &first.refresh).await;
    }
    let told =
        "SELECT count(*), min(data->'app'->>'id') FROM webhook_events WHERE type = 'oauth.refresh_reuse_detected'";
    let row = world.db.client().await.query_one(told, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, String>(1)), (1, client.app));
}

/// spec: oauth H5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reuse_ends_no_other_grant() {
    let (world, client, first) = granted().await;
    let other = world.tokens_for(&client, BOTH).await;
    world.refresh(&client, &first.refresh).await;
    world.refresh(&client, &first.refresh).await;
    assert_eq!(world.live(&client, [&other.access, &other.refresh]).await, [true, true]);
}

/// spec: oauth H5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reuse_on_one_instance_holds_on_the_other() {
    let (world, client, first) = granted().await;
    let second = world.second().await;
    let next = Tokens::of(&second.refresh(&client, &first.refresh, &[]).await);
    let before = second.live(&client, [&first.access, &next.access]).await;
    world.refresh(&client, &first.refresh).await;
    statuspulse_testkit::eventually("the tokens are dead on the other instance", async || {
        second.live(&client, [&first.access, &next.access]).await == [false, false]
    })
    .await;
    let refused = second.refresh(&client, &next.refresh, &[]).await;
    assert_eq!((before, outcome(&refused)), ([true, true], invalid_grant()));
}

/// spec: oauth H5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reuse_with_a_scope_or_resource_that_would_be_refused_is_reuse_all_the_same() {
    let mut told = Vec::new();
    for more in [("scope", "checks:read"), ("resource", "https://unknown.example")] {
        let (world, client, first) = granted().await;
        world.refresh(&client, &first.refresh).await;
        let again = world.api.refresh(&client, &first.refresh, &[more]).await;
        told.push((outcome(&again), world.live_chains().await));
    }
    assert_eq!(told, vec![(invalid_grant(), 0); 2]);
}

/// spec: oauth H7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_app_can_not_use_a_live_refresh_token_nor_spoil_it() {
    let (world, client, first) = granted().await;
    let other = world.app(confidential()).await;
    let foreign = world.refresh(&other, &first.refresh).await;
    let own = world.refresh(&client, &first.refresh).await;
    assert_eq!(outcomes([&foreign, &own]), [invalid_grant(), tokens()]);
}

/// spec: oauth H8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_app_can_not_end_a_family_with_a_used_refresh_token() {
    let (world, client, first) = granted().await;
    let other = world.app(confidential()).await;
    let second = Tokens::of(&world.refresh(&client, &first.refresh).await);
    let foreign = world.refresh(&other, &first.refresh).await;
    let live = world.live(&client, [&first.access, &second.access, &second.refresh]).await;
    let alerts = world.alerts("refresh_reuse").await.len();
    assert_eq!((outcome(&foreign), live, alerts), (invalid_grant(), [true; 3], 0));
}

/// spec: oauth H9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_harms_neither_a_live_nor_a_used_refresh_token() {
    let (world, client, first) = granted().await;
    let wrong = basic(&client.id, "sp_cs_nope");
    let ask = || world.api.post("/oauth/token").header("authorization", &wrong).raw_form(rotation(&first.refresh));
    let before = ask().send().await;
    let own = world.refresh(&client, &first.refresh).await;
    let after = ask().send().await;
    let next = world.refresh(&client, &Tokens::of(&own).refresh).await;
    let refused = error("invalid_client");
    assert_eq!(outcomes([&before, &own, &after, &next]), [refused.clone(), tokens(), refused, tokens()]);
}

/// spec: oauth H10, H11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrower_scope_is_the_access_tokens_alone() {
    let (world, client, first) = granted().await;
    let narrowed = world.api.refresh(&client, &first.refresh, &[("scope", "alerts:write")]).await;
    let next = Tokens::of(&narrowed);
    let shown = world.api.introspect(&client, &next.access).await.json()["scope"].clone();
    let kept = world.api.introspect(&client, &next.refresh).await.json()["scope"].clone();
    let full = world.refresh(&client, &next.refresh).await;
    assert_eq!(
        (scope(&narrowed).as_str(), shown, kept, scope(&full).as_str()),
        ("alerts:write", json!("alerts:write"), json!(BOTH), BOTH)
    );
}

/// spec: oauth H11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_scope_counts_as_left_out() {
    let (world, client, first) = granted().await;
    let body = format!("{}&scope=", rotation(&first.refresh));
    let reply = world.api.send_raw(&client, body).await;
    assert_eq!((outcome(&reply), scope(&reply).as_str()), (tokens(), BOTH));
}

/// spec: oauth H12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wider_scope_is_refused_and_harms_nothing() {
    let (world, client, first) = granted().await;
    let mut told = Vec::new();
    for scope in ["monitoring:read incidents:write", "checks:read", "bogus", "a\"b", "ALERTS:WRITE", "%00"] {
        told.push(outcome(&world.api.refresh(&client, &first.refresh, &[("scope", scope)]).await));
    }
    told.push(outcome(&world.refresh(&client, &first.refresh).await));
    assert_eq!(told, [vec![error("invalid_scope"); 6], vec![tokens()]].concat());
}

const DAY: u64 = 86_400;

/// What comes of a first refresh after this long.
async fn after(seconds: u64) -> Outcome {
    let (world, client, first) = granted().await;
    world.api.app.advance(Duration::from_secs(seconds)).await;
    outcome(&world.refresh(&client, &first.refresh).await)
}

/// spec: oauth H14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_may_be_idle_for_thirty_days() {
    let told = [after(30 * DAY - 1).await, after(30 * DAY).await, after(31 * DAY).await];
    assert_eq!(told, [tokens(), invalid_grant(), invalid_grant()]);
}

/// spec: oauth H15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_ends_after_180_days_however_lately_it_was_used() {
    let (world, client, mut given) = granted().await;
    for _ in 0..8 {
        world.api.app.advance_days(20).await;
        given = Tokens::of(&world.refresh(&client, &given.refresh).await);
    }
    world.api.app.advance(Duration::from_secs(20 * DAY - 1)).await;
    let last = world.refresh(&client, &given.refresh).await;
    world.api.app.advance(Duration::from_secs(1)).await;
    let ended = world.refresh(&client, &Tokens::of(&last).refresh).await;
    assert_eq!(outcomes([&last, &ended]), [tokens(), invalid_grant()]);
}

/// spec: oauth H17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_refresh_token_is_an_invalid_grant_and_never_a_fault_of_ours() {
    let (world, client, first) = granted().await;
    let code = world.code(&client).await;
    let (long, unknown) = ("a".repeat(10_000), format!("sp_rt_{}", "A".repeat(64)));
    let changed = format!("{}~", first.refresh.get(..69).unwrap());
    let presented = [
        first.access.as_str(),
        &code,
        &client.secret,
        "%00",
        "%ff",
        "%zz",
        "a%00b",
        "%27+OR+1%3D1--",
        &long,
        &unknown,
        &changed,
    ];
    let mut told = Vec::new();
    for token in presented {
        let body = format!("grant_type=refresh_token&refresh_token={token}");
        told.push(outcome(&world.api.send_raw(&client, body).await));
    }
    assert_eq!(told, vec![invalid_grant(); presented.len()]);
}

/// spec: oauth H17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_kind_of_token_in_its_place_is_not_harmed() {
    let (world, client, first) = granted().await;
    let code = world.code(&client).await;
    world.refresh(&client, &first.access).await;
    world.refresh(&client, &code).await;
    let redeemed = world.redeem(&client, &code).await;
    assert_eq!((world.live(&client, [&first.access]).await, outcome(&redeemed)), ([true], tokens()));
}

/// spec: oauth H19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reuse_is_detected_after_the_clean_up_and_the_tokens_own_end() {
    let (world, client, first) = granted().await;
    world.api.app.advance_days(20).await;
    let second = Tokens::of(&world.refresh(&client, &first.refresh).await);
    world.api.app.advance_days(20).await;
    let third = Tokens::of(&world.refresh(&client, &second.refresh).await);
    let cleaned = cleanup::pass(&world.api.app.app()).await.unwrap();
    let again = world.refresh(&client, &first.refresh).await;
    let live = world.live(&client, [&third.access, &third.refresh]).await;
    // The first pair's access token went; the refresh tokens stay for the detection.
    assert_eq!((cleaned > Some(0), outcome(&again), live), (true, invalid_grant(), [false, false]));
}

/// spec: oauth H19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_recognised_as_replayed_after_the_clean_up() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    let first = Tokens::of(&world.redeem(&client, &code).await);
    world.api.app.advance_days(20).await;
    let second = Tokens::of(&world.refresh(&client, &first.refresh).await);
    cleanup::pass(&world.api.app.app()).await.unwrap();
    world.redeem(&client, &code).await;
    assert_eq!(world.live(&client, [&second.access, &second.refresh]).await, [false, false]);
}

/// spec: oauth H21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_tokens_are_cut_to_what_the_app_may_have_now() {
    let (world, client, first) = granted().await;
    let changed = world.change_app(&client, &json!({"scopes": ["monitoring:read"]})).await.status;
    let reply = world.refresh(&client, &first.refresh).await;
    let shown = world.api.introspect(&client, &Tokens::of(&reply).access).await.json()["scope"].clone();
    assert_eq!((changed, scope(&reply).as_str(), shown), (200, "monitoring:read", json!("monitoring:read")));
}

/// spec: oauth H21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_the_app_has_lost_can_not_be_asked_for() {
    let (world, client, first) = granted().await;
    world.change_app(&client, &json!({"scopes": ["monitoring:read"]})).await;
    let lost = world.api.refresh(&client, &first.refresh, &[("scope", "alerts:write")]).await;
    let kept = world.api.refresh(&client, &first.refresh, &[("scope", "monitoring:read")]).await;
    assert_eq!(outcomes([&lost, &kept]), [error("invalid_scope"), tokens()]);
}

/// spec: oauth H21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_gives_no_scope_that_the_app_has_lost() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code_for(&client, &[("scope", BOTH)]).await;
    world.change_app(&client, &json!({"scopes": ["monitoring:read"]})).await;
    let reply = world.redeem(&client, &code).await;
    assert_eq!((outcome(&reply), scope(&reply).as_str()), (tokens(), "monitoring:read"));
}

/// A refresh at its own endpoint.
async fn at_refresh(world: &World, client: &Client, body: String) -> Reply {
    world.api.post("/oauth/refresh").client(client).raw_form(body).send().await
}

/// spec: oauth H22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refresh_endpoint_trades_refresh_tokens_and_detects_reuse() {
    let (world, client, first) = granted().await;
    let reply = at_refresh(&world, &client, rotation(&first.refresh)).await;
    let again = at_refresh(&world, &client, rotation(&first.refresh)).await;
    let events = world.events("oauth.refresh").await.len();
    assert_eq!((outcomes([&reply, &again]), events), (vec![tokens(), invalid_grant()], 2));
}

/// spec: oauth H22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refresh_endpoint_serves_no_other_grant() {
    let (world, client, _) = granted().await;
    let code = world.code(&client).await;
    let mut told = Vec::new();
    for body in [
        crate::help::redemption(&client, &code),
        "grant_type=client_credentials".to_owned(),
        "grant_type=password".to_owned(),
        "refresh_token=x".to_owned(),
    ] {
        told.push(outcome(&at_refresh(&world, &client, body).await));
    }
    told.push(outcome(&world.redeem(&client, &code).await));
    let unsupported = error("unsupported_grant_type");
    assert_eq!(told, [unsupported.clone(), unsupported.clone(), unsupported, error("invalid_request"), tokens()]);
}

/// spec: oauth H22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refresh_endpoint_refuses_as_the_token_endpoint_does() {
    let (world, client, _) = granted().await;
    let mut told = Vec::new();
    for (authorization, body) in [
        (client.basic(), rotation("nope")),
        (basic(&client.id, "nope"), rotation("nope")),
        (client.basic(), "grant_type=refresh_token".to_owned()),
        (client.basic(), "grant_type=refresh_token&grant_type=refresh_token".to_owned()),
        ("Bearer x".to_owned(), rotation("nope")),
    ] {
        let faces = ["/oauth/token", "/oauth/refresh"].map(async |path| {
            let ask = world.api.post(path).header("authorization", &authorization);
            crate::help::face(&ask.raw_form(body.clone()).send().await)
        });
        let [token, refresh] = faces;
        told.push(token.await == refresh.await);
    }
    assert_eq!(told, [true; 5]);
}
