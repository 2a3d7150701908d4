//! Redemption of codes (oauth §4.6 to §4.9).

use std::time::Duration;

use serde_json::json;

use crate::{
    client::{CHALLENGE, Client, Tokens, confidential, parameter, public, with},
    help::{error, invalid_grant, outcome, outcomes, redemption, tokens},
    support::World,
};

/// A verifier that fits no challenge of these tests.
pub(crate) const OTHER_VERIFIER: &str = "wrong-wrong-wrong-wrong-wrong-wrong-wrong-wro";

/// The usual app with a code of it.
async fn coded() -> (World, Client, String) {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let code = world.code(&client).await;
    (world, client, code)
}

/// spec: oauth E1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_becomes_tokens_that_nobody_keeps() {
    let (world, client, code) = coded().await;
    let reply = world.redeem(&client, &code).await;
    let json = reply.json();
    let kinds = ["access_token", "refresh_token"].map(|name| json[name].as_str().unwrap().get(..6).unwrap().to_owned());
    assert_eq!(
        (outcome(&reply), kinds, json["token_type"].as_str(), json["expires_in"].as_u64(), json["scope"].as_str()),
        (tokens(), ["sp_at_".into(), "sp_rt_".into()], Some("Bearer"), Some(7_200), Some("monitoring:read")),
        "{}",
        reply.text
    );
}

/// spec: oauth E2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_replay_ends_all_that_the_code_gave() {
    let (world, client, code) = coded().await;
    let given = Tokens::of(&world.redeem(&client, &code).await);
    let again = world.redeem(&client, &code).await;
    let live = world.live(&client, [&given.access, &given.refresh]).await;
    let refreshed = world.refresh(&client, &given.refresh).await;
    assert_eq!(
        (outcome(&again), live, outcome(&refreshed)),
        (invalid_grant(), [false, false], invalid_grant()),
        "{}",
        again.text
    );
}

/// spec: oauth E2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_replay_ends_what_came_out_of_a_refresh_as_well() {
    let (world, client, code) = coded().await;
    let given = Tokens::of(&world.redeem(&client, &code).await);
    let next = Tokens::of(&world.refresh(&client, &given.refresh).await);
    world.redeem(&client, &code).await;
    assert_eq!(world.live(&client, [&given.access, &next.access, &next.refresh]).await, [false; 3]);
}

/// spec: oauth E2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_replay_ends_no_other_grant_of_the_same_person_and_app() {
    let (world, client, code) = coded().await;
    let other = world.tokens(&client).await;
    world.redeem(&client, &code).await;
    world.redeem(&client, &code).await;
    assert_eq!(world.live(&client, [&other.access, &other.refresh]).await, [true; 2]);
}

/// spec: oauth E2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_replay_is_recognised_when_the_code_has_long_expired() {
    let (world, client, code) = coded().await;
    let given = Tokens::of(&world.redeem(&client, &code).await);
    world.api.app.advance(Duration::from_secs(3_600)).await;
    let again = world.redeem(&client, &code).await;
    assert_eq!((outcome(&again), world.live(&client, [&given.access]).await), (invalid_grant(), [false]));
}

/// spec: oauth E2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_replay_opens_an_alert() {
    let (world, client, code) = coded().await;
    world.redeem(&client, &code).await;
    let again = world.redeem(&client, &code).await;
    let alerts = world.alerts("code_replay").await;
    let told: Vec<_> = alerts.iter().map(|alert| json!([alert["severity"], alert["evidence"]["request_id"]])).collect();
    assert_eq!(told, [json!(["high", again.request_id()])], "{alerts:?}");
}

/// spec: oauth E3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_with_a_wrong_verifier_ends_nothing() {
    let (world, client, code) = coded().await;
    let given = Tokens::of(&world.redeem(&client, &code).await);
    let again = world.api.redeem(&client, &code, &[("code_verifier", OTHER_VERIFIER)]).await;
    assert_eq!(
        (outcome(&again), world.live(&client, [&given.access, &given.refresh]).await),
        (invalid_grant(), [true, true])
    );
}

/// spec: oauth E3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_without_a_verifier_or_for_another_redirect_uri_ends_nothing() {
    let (world, client, code) = coded().await;
    let given = Tokens::of(&world.redeem(&client, &code).await);
    let bare = world.api.redeem(&client, &code, &[("code_verifier", "")]).await;
    let elsewhere = world.api.redeem(&client, &code, &[("redirect_uri", "https://app.example/cb/")]).await;
    assert_eq!(
        (outcomes([&bare, &elsewhere]), world.live(&client, [&given.access, &given.refresh]).await),
        (vec![invalid_grant(); 2], [true, true])
    );
}

/// spec: oauth E4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_by_another_app_ends_nothing() {
    let (world, client, code) = coded().await;
    let given = Tokens::of(&world.redeem(&client, &code).await);
    let other = world.app(confidential()).await;
    let again = world.redeem(&other, &code).await;
    assert_eq!(
        (outcome(&again), world.live(&client, [&given.access, &given.refresh]).await),
        (invalid_grant(), [true, true])
    );
}

/// spec: oauth E5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_wrong_verifier_the_right_one_still_gets_tokens() {
    let (world, client, code) = coded().await;
    let wrong = world.api.redeem(&client, &code, &[("code_verifier", OTHER_VERIFIER)]).await;
    let right = world.redeem(&client, &code).await;
    assert_eq!(outcomes([&wrong, &right]), [invalid_grant(), tokens()]);
}

/// spec: oauth E5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_challenge_itself_is_just_a_wrong_verifier() {
    let (world, client, code) = coded().await;
    let reply = world.api.redeem(&client, &code, &[("code_verifier", CHALLENGE)]).await;
    assert_eq!(outcome(&reply), invalid_grant());
}

/// spec: oauth E5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_that_is_none_is_a_bad_request_and_harms_nothing() {
    let (world, client, code) = coded().await;
    let long = "a".repeat(129);
    let verifiers = ["a".repeat(42), long, format!("{}+", "a".repeat(43)), format!("{}é", "a".repeat(43)), " ".into()];
    let mut told = Vec::new();
    for verifier in &verifiers {
        told.push(outcome(&world.api.redeem(&client, &code, &[("code_verifier", verifier)]).await));
    }
    told.push(outcome(&world.redeem(&client, &code).await));
    assert_eq!(told, [vec![error("invalid_request"); 5], vec![tokens()]].concat());
}

/// spec: oauth E6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_missing_verifier_the_right_one_still_gets_tokens() {
    let (world, client, code) = coded().await;
    let missing = world.api.redeem(&client, &code, &[("code_verifier", "")]).await;
    let right = world.redeem(&client, &code).await;
    assert_eq!(outcomes([&missing, &right]), [invalid_grant(), tokens()]);
}

/// spec: oauth E7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_verifier_does_not_take_the_need_for_one_away() {
    let (world, client, code) = coded().await;
    let wrong = world.api.redeem(&client, &code, &[("code_verifier", OTHER_VERIFIER)]).await;
    let missing = world.api.redeem(&client, &code, &[("code_verifier", "")]).await;
    let missing_again = world.api.redeem(&client, &code, &[("code_verifier", "")]).await;
    assert_eq!(outcomes([&wrong, &missing, &missing_again]), vec![invalid_grant(); 3]);
}

/// spec: oauth E8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_without_a_challenge_is_a_bad_request_and_harms_nothing() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"require_pkce": false}))).await;
    let code = world.code_for(&client, &[("code_challenge", ""), ("code_challenge_method", "")]).await;
    let unexpected = world.redeem(&client, &code).await;
    let bare = world.api.redeem(&client, &code, &[("code_verifier", "")]).await;
    assert_eq!(outcomes([&unexpected, &bare]), [error("invalid_request"), tokens()]);
}

/// spec: oauth E8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_that_need_not_have_been_is_checked_all_the_same() {
    let world = World::new().await;
    let client = world.app(with(confidential(), json!({"require_pkce": false}))).await;
    let code = world.code(&client).await;
    let bare = world.api.redeem(&client, &code, &[("code_verifier", "")]).await;
    let wrong = world.api.redeem(&client, &code, &[("code_verifier", OTHER_VERIFIER)]).await;
    let right = world.redeem(&client, &code).await;
    assert_eq!(outcomes([&bare, &wrong, &right]), [invalid_grant(), invalid_grant(), tokens()]);
}

/// spec: oauth E12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_redirect_uri_a_code_is_not_redeemed_and_stays_usable() {
    let (world, client, code) = coded().await;
    let missing = world.api.redeem(&client, &code, &[("redirect_uri", "")]).await;
    let right = world.redeem(&client, &code).await;
    assert_eq!(outcomes([&missing, &right]), [error("invalid_request"), tokens()]);
}

/// spec: oauth E13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_redirect_uri_of_the_app_is_not_the_one_of_the_request() {
    let world = World::new().await;
    let uris = json!({"redirect_uris": ["https://app.example/cb", "https://app.example/other"]});
    let client = world.app(with(confidential(), uris)).await;
    let code = world.code(&client).await;
    let mut told = Vec::new();
    let others = [
        "https://app.example/other",
        "https://app.example/cb/",
        "https://app.example/cb ",
        "HTTPS://app.example/cb",
        "https://app.example:443/cb",
        "https://app.example/c%62",
    ];
    for uri in others {
        told.push(outcome(&world.api.redeem(&client, &code, &[("redirect_uri", uri)]).await));
    }
    told.push(outcome(&world.redeem(&client, &code).await));
    assert_eq!(told, [vec![invalid_grant(); 6], vec![tokens()]].concat());
}

/// spec: oauth E15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_app_can_not_redeem_a_code_nor_spoil_it() {
    let (world, client, code) = coded().await;
    let other = world.app(confidential()).await;
    let foreign = world.redeem(&other, &code).await;
    let right = world.redeem(&client, &code).await;
    assert_eq!(outcomes([&foreign, &right]), [invalid_grant(), tokens()]);
}

/// spec: oauth E16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_public_app_can_not_redeem_a_code_nor_spoil_it() {
    let world = World::new().await;
    let (client, other) = (world.app(public()).await, world.app(public()).await);
    let code = world.code(&client).await;
    let foreign = world.redeem(&other, &code).await;
    let right = world.redeem(&client, &code).await;
    assert_eq!(outcomes([&foreign, &right]), [invalid_grant(), tokens()]);
}

/// The outcome of a redemption at an age of the code.
async fn at_age(seconds: u64) -> crate::help::Outcome {
    let (world, client, code) = coded().await;
    world.api.app.advance(Duration::from_secs(seconds)).await;
    outcome(&world.redeem(&client, &code).await)
}

/// spec: oauth E17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_lives_for_300_seconds() {
    let told = [at_age(299).await, at_age(300).await, at_age(301).await];
    assert_eq!(told, [tokens(), invalid_grant(), invalid_grant()]);
}

/// spec: oauth E19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_code_is_an_invalid_grant_and_never_a_fault_of_ours() {
    let (world, client, code) = coded().await;
    let long = "a".repeat(10_000);
    let digits = format!("sp_ac_{}", "A".repeat(64));
    let changed = format!("{}{}", code.get(..69).unwrap(), if code.ends_with('A') { "B" } else { "A" });
    let codes =
        ["%00", "%ff", "%zz", "%", "a%00b", "%27+OR+1%3D1--", "%2e%2e%2f", "%f0%9f%94%91", &long, &digits, &changed];
    let mut told = Vec::new();
    for code in codes {
        // As it is, not encoded once more.
        let body = redemption(&client, "CODE").replace("CODE", code);
        told.push(outcome(&world.api.send_raw(&client, body).await));
    }
    assert_eq!(told, vec![invalid_grant(); codes.len()]);
}

/// spec: oauth E19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_kind_of_token_is_no_code() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let given = world.tokens(&client).await;
    let mut told = Vec::new();
    for other in [&given.access, &given.refresh, &client.secret, &client.id] {
        told.push(outcome(&world.redeem(&client, other).await));
    }
    let live = world.live(&client, [&given.access, &given.refresh]).await;
    assert_eq!((told, live), (vec![invalid_grant(); 4], [true, true]));
}

/// spec: oauth E19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_of_not_being_this_code_is_the_same_answer() {
    let (world, client, code) = coded().await;
    let other = world.app(confidential()).await;
    let mut faces = std::collections::BTreeSet::new();
    let mut note = |reply: &crate::support::Reply| faces.insert(crate::help::face(reply));
    note(&world.redeem(&client, "nope").await);
    note(&world.redeem(&client, &format!("sp_ac_{}", "A".repeat(64))).await);
    note(&world.redeem(&other, &code).await);
    note(&world.api.redeem(&client, &code, &[("code_verifier", OTHER_VERIFIER)]).await);
    let expired = world.code(&client).await;
    world.redeem(&client, &code).await;
    note(&world.redeem(&client, &code).await);
    world.api.app.advance(Duration::from_secs(301)).await;
    note(&world.redeem(&client, &expired).await);
    assert_eq!(faces.len(), 1, "{faces:?}");
}

/// spec: oauth E23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_at_the_redemption_never_widens_what_was_granted() {
    let mut told = Vec::new();
    for scope in ["monitoring:read alerts:write", "alerts:write", "checks:read", "no such scope"] {
        let (world, client, code) = coded().await;
        let reply = world.api.redeem(&client, &code, &[("scope", scope)]).await;
        let shown = world.api.introspect(&client, reply.json()["access_token"].as_str().unwrap()).await.json();
        told.push((outcome(&reply), reply.json()["scope"].clone(), shown["scope"].clone()));
    }
    assert_eq!(told, vec![(tokens(), json!("monitoring:read"), json!("monitoring:read")); 4]);
}

/// spec: oauth E24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_person_ticked_off_is_not_in_the_token() {
    let world = World::new().await;
    let client = world.app(confidential()).await;
    let page = world.authorize(&client, &[("scope", "monitoring:read alerts:write incidents:write")]).await;
    let reply = world.api.decide(&world.owner, &page, "allow", &["alerts:write"]).await;
    let code = parameter(reply.location(), "code").unwrap();
    let reply = world.redeem(&client, &code).await;
    let shown = world.api.introspect(&client, reply.json()["access_token"].as_str().unwrap()).await.json();
    assert_eq!((&reply.json()["scope"], &shown["scope"]), (&json!("alerts:write"), &json!("alerts:write")));
}
