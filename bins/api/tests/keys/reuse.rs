//! The use of a rotated-away or revoked token (§5.7).

use serde_json::{Value, json};
use statuspulse_testkit::eventually;

use crate::{
    help::{DAY, SETTINGS},
    support::World,
};

/// A key that was rotated: its id, the old and the new token.
async fn rotated(world: &World) -> (String, String, String) {
    let (id, old) = world.created(&json!({})).await;
    let new = world.rotated(&id, &json!({})).await;
    (id, old, new)
}

/// spec: keys K30
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_use_of_a_rotated_away_token_is_refused_as_revoked() {
    let world = World::new().await;
    let (_, old, _) = rotated(&world).await;
    let verdict = world.verdict(&world.api, &old, crate::support::PEER).await;
    assert_eq!((&verdict["code"], &verdict["status"]), (&json!("revoked"), &json!(401)));
}

/// spec: keys K30
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_a_rotated_away_token_is_used_there_is_one_alert() {
    let world = World::new().await;
    let (id, old, _) = rotated(&world).await;
    for _ in 0..3 {
        world.call(&old).await;
        world.api.app.flush().await;
    }
    let alerts = world.alerts("rotated_key_used").await;
    let told: Vec<Value> =
        alerts.iter().map(|alert| json!([alert["subject"], alert["count"], alert["status"]])).collect();
    assert_eq!(told, [json!([id, 3, "open"])]);
}

/// spec: keys K30
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alert_names_both_versions() {
    let world = World::new().await;
    let (_, old, _) = rotated(&world).await;
    world.call(&old).await;
    let evidence = world.alerts("rotated_key_used").await[0]["evidence"].clone();
    assert_eq!((&evidence["used_version"], &evidence["current_version"]), (&json!(1), &json!(2)));
}

/// spec: keys K30
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_of_the_refused_call_names_the_version_that_was_used() {
    let world = World::new().await;
    let (id, old, _) = rotated(&world).await;
    world.call(&old).await;
    let events = world.events("api.call").await;
    let told: Vec<Value> = events
        .iter()
        .filter(|event| event["reason"] == json!("revoked"))
        .map(|event| json!([event["actor_id"], event["actor_version"]]))
        .collect();
    assert_eq!(told, [json!([id, 1])]);
}

/// spec: keys K30
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_rotated_away_months_ago_is_still_told_from_an_unknown_one() {
    let mut world = World::new().await;
    let (_, old, _) = rotated(&world).await;
    world.later(DAY * 60).await;
    // An instance that starts now doesn't load versions that ended this long ago.
    let second = world.second().await;
    assert_eq!([world.call(&old).await, world.call_at(&second, &old).await], ["revoked"; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_policy_alert_the_new_token_goes_on_working() {
    let world = World::new().await;
    let (_, old, new) = rotated(&world).await;
    world.call(&old).await;
    world.api.app.flush().await;
    assert_eq!(world.call(&new).await, "allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_policy_kill_the_new_token_is_revoked_as_well() {
    let world = World::new().await;
    world.owner("PATCH", SETTINGS, &json!({"reuse_policy": "kill"})).await;
    let (id, old, new) = rotated(&world).await;
    world.call(&old).await;
    eventually("the key is revoked", async || world.shown(&id).await["status"] == json!("revoked")).await;
    world.api.app.replica.catch_up().await;
    assert_eq!(world.call(&new).await, "revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_policy_kill_does_is_in_the_trail_and_on_the_key() {
    let world = World::new().await;
    world.owner("PATCH", SETTINGS, &json!({"reuse_policy": "kill"})).await;
    let (id, old, _) = rotated(&world).await;
    world.call(&old).await;
    eventually("the key is revoked", async || world.shown(&id).await["status"] == json!("revoked")).await;
    let event = world.events("key.revoke").await[0].clone();
    assert_eq!(
        (&event["actor_kind"], &event["detail"]["key_id"], &world.shown(&id).await["revoke_reason"]),
        (&json!("system"), &json!(id), &json!("rotated_key_used"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_kill_leaves_an_overlap_alone() {
    let world = World::new().await;
    world.owner("PATCH", SETTINGS, &json!({"reuse_policy": "kill"})).await;
    let (id, old) = world.created(&json!({})).await;
    world.rotated(&id, &json!({"overlap_seconds": 3600})).await;
    world.call(&old).await;
    world.api.app.flush().await;
    assert_eq!(world.shown(&id).await["status"], json!("active"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_unlisted_address_a_rotated_away_token_kills_nothing() {
    let world = World::new().await;
    world.owner("PATCH", SETTINGS, &json!({"reuse_policy": "kill"})).await;
    let (id, old) = world.created(&json!({"allowed_cidrs": ["203.0.113.0/24"]})).await;
    world.rotated(&id, &json!({})).await;
    let code = world.call_from(&old, "198.51.100.1").await;
    world.api.app.flush().await;
    let alerts = world.alerts("rotated_key_used").await.len();
    assert_eq!((code.as_str(), alerts, &world.shown(&id).await["status"]), ("ip_not_allowed", 0, &json!("active")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_use_of_a_revoked_key_is_another_alert() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.verb(&id, "revoke", &json!({})).await;
    world.call(&token).await;
    let rules = [world.alerts("revoked_key_used").await.len(), world.alerts("rotated_key_used").await.len()];
    assert_eq!(rules, [1, 0]);
}
