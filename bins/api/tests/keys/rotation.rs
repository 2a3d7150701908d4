//! Rotation (§5).

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use statuspulse_testkit::eventually;

use crate::{
    help::{DAY, SETTINGS, count, moment, path},
    support::{Reply, World},
};

/// As the owner, with `If-Match`.
async fn matching(world: &World, id: &str, version: &str) -> Reply {
    world.api.post(&path(id, "rotate")).browser(&world.owner).header("if-match", version).send().await
}

async fn versions(world: &World, id: &str) -> String {
    let stored = format!("SELECT string_agg(state, ' ' ORDER BY version) FROM key_versions WHERE key_id = '{id}'");
    world.texts(&stored).await.concat()
}

/// spec: keys K22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_ends_the_old_token_at_once_and_the_new_one_is_accepted() {
    let world = World::new().await;
    let (id, old) = world.created(&json!({})).await;
    let new = world.rotated(&id, &json!({})).await;
    assert_eq!([world.call(&old).await, world.call(&new).await], ["revoked", "allowed"]);
}

/// spec: keys K22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_holds_on_every_instance() {
    let world = World::new().await;
    let second = world.second().await;
    let (id, old) = world.created(&json!({})).await;
    world.call_at(&second, &old).await;
    let new = world.rotated(&id, &json!({})).await;
    eventually("the other instance refuses the old token", async || world.call_at(&second, &old).await == "revoked")
        .await;
    assert_eq!(world.call_at(&second, &new).await, "allowed");
}

/// spec: keys K22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_changes_nothing_but_the_version() {
    let mut world = World::new().await;
    let fields = json!({"name": "nightly", "scopes": ["checks:read", "metrics:export"], "expires_in_days": 30,
        "allowed_cidrs": ["203.0.113.0/24", "2001:db8::/48"], "allowlist_notes": {"203.0.113.0/24": "office"},
        "rate_limit_per_minute": 60, "auto_rotate": true});
    let (id, _) = world.created(&fields).await;
    let before = world.shown(&id).await;
    world.later(DAY).await;
    world.rotated(&id, &json!({})).await;
    let after = world.shown(&id).await;
    let changed: Vec<&String> =
        before.as_object().unwrap().keys().filter(|field| before[*field] != after[*field]).collect();
    assert_eq!(changed, ["expires_at", "hint", "version", "version_created_at"]);
}

/// spec: keys K22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_says_that_the_old_token_has_ended() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let reply = world.verb(&id, "rotate", &json!({})).await.json();
    assert_eq!((moment(&reply["previous_valid_until"]), reply["key"]["version"].clone()), (world.now(), json!(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_is_one_event_that_names_the_key_and_its_new_version() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.rotated(&id, &json!({})).await;
    let events = world.events("key.rotate").await;
    let told: Vec<Value> =
        events.iter().map(|event| json!([event["detail"]["key_id"], event["detail"]["version"]])).collect();
    assert_eq!(told, [json!([id, 2])]);
}

/// spec: keys K25
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_rotations_at_once_one_succeeds() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let body = json!({});
    let replies = join_all((0..50).map(|_| world.verb(&id, "rotate", &body))).await;
    let counts = (count(&replies, 200, ""), count(&replies, 409, "rotation_conflict"));
    assert_eq!((counts, versions(&world, &id).await), ((1, 49), "superseded live".to_owned()));
}

/// spec: keys K25
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_rotations_at_once_that_name_the_version_one_succeeds() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let replies = join_all((0..50).map(|_| matching(&world, &id, "\"1\""))).await;
    let counts = (count(&replies, 200, ""), count(&replies, 412, "version_mismatch"));
    assert_eq!((counts, versions(&world, &id).await), ((1, 49), "superseded live".to_owned()));
}

/// spec: keys K25
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_rotations_at_once_on_two_instances_one_succeeds() {
    let world = World::new().await;
    let second = world.second().await;
    let (id, _) = world.created(&json!({})).await;
    let rotate = path(&id, "rotate");
    let asks = (0..20).map(|number| {
        let api = if number % 2 == 0 { &world.api } else { &second };
        api.post(&rotate).browser(&world.owner).send()
    });
    let replies = join_all(asks).await;
    assert_eq!((count(&replies, 200, ""), count(&replies, 409, "rotation_conflict")), (1, 19));
}

/// spec: keys K25
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_of_the_one_rotation_that_succeeded_is_the_one_that_works() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let body = json!({});
    let replies = join_all((0..20).map(|_| world.verb(&id, "rotate", &body))).await;
    let winner = replies.iter().find(|reply| reply.status == 200).unwrap().json();
    assert_eq!(world.call(winner["token"].as_str().unwrap()).await, "allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_click_is_a_conflict_that_names_the_current_version() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.rotated(&id, &json!({})).await;
    world.api.app.clock().advance(Duration::from_millis(4_999));
    let reply = world.verb(&id, "rotate", &json!({})).await;
    assert_eq!(
        (reply.outcome(), reply.json()["current_version"].clone()),
        ((409, "rotation_conflict".into()), json!(2))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_seconds_later_a_rotation_is_wanted() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.rotated(&id, &json!({})).await;
    world.api.app.clock().advance(Duration::from_secs(5));
    assert_eq!(world.verb(&id, "rotate", &json!({})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_just_made_can_be_rotated_at_once() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    assert_eq!(world.verb(&id, "rotate", &json!({})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_names_the_current_version_may_rotate_again_at_once() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let statuses = [matching(&world, &id, "\"1\"").await.status, matching(&world, &id, "\"2\"").await.status];
    assert_eq!(statuses, [200; 2]);
}

/// spec: keys K26
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_of_another_version_than_the_current_one_is_refused() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.rotated(&id, &json!({})).await;
    let mut outcomes = Vec::new();
    for version in ["\"1\"", "\"3\"", "\"0\"", "\"x\"", "", "\"99999999999\""] {
        outcomes.push(matching(&world, &id, version).await.outcome());
    }
    assert_eq!(outcomes, vec![(412, "version_mismatch".to_owned()); 6]);
}

/// spec: keys K26
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_rotation_changes_nothing() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let before = world.state().await;
    matching(&world, &id, "\"7\"").await;
    assert_eq!(world.state().await, before);
}

/// spec: keys K27
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_key_is_not_rotated() {
    let mut world = World::new().await;
    let (id, _) = world.created(&json!({"expires_in_days": 1})).await;
    world.later(DAY).await;
    assert_eq!(world.verb(&id, "rotate", &json!({})).await.outcome(), (409, "key_expired".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_not_rotated() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.verb(&id, "revoke", &json!({})).await;
    assert_eq!(world.verb(&id, "rotate", &json!({})).await.outcome(), (409, "key_revoked".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_lowered_maximum_has_ended_is_not_rotated() {
    let mut world = World::new().await;
    let (id, _) = world.created(&json!({"expires_in_days": 60})).await;
    world.later(DAY * 40).await;
    world.owner("PATCH", SETTINGS, &json!({"max_lifespan_days": {"production": 30}, "confirm": true})).await;
    assert_eq!(world.verb(&id, "rotate", &json!({})).await.outcome(), (409, "key_expired".into()));
}

/// spec: keys K28
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_key_is_rotated_and_stays_disabled() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.verb(&id, "disable", &json!({})).await;
    let reply = world.verb(&id, "rotate", &json!({})).await;
    let judged = world.call(reply.json()["token"].as_str().unwrap()).await;
    assert_eq!(
        (reply.status, reply.json()["key"]["status"].clone(), judged.as_str()),
        (200, json!("disabled"), "disabled")
    );
}

/// spec: keys K28
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_of_a_disabled_key_works_when_it_is_enabled() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.verb(&id, "disable", &json!({})).await;
    let token = world.rotated(&id, &json!({})).await;
    world.verb(&id, "enable", &json!({})).await;
    assert_eq!(world.call(&token).await, "allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_lives_as_long_as_the_key_was_made_to_live() {
    let mut world = World::new().await;
    let (id, _) = world.created(&json!({"expires_in_days": 10})).await;
    world.later(DAY * 9).await;
    world.rotated(&id, &json!({})).await;
    assert_eq!(moment(&world.shown(&id).await["expires_at"]), world.now() + chrono::Duration::days(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_is_judged_by_todays_maximum() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({"expires_in_days": 60})).await;
    world.owner("PATCH", SETTINGS, &json!({"max_lifespan_days": {"production": 30}})).await;
    world.rotated(&id, &json!({})).await;
    assert_eq!(moment(&world.shown(&id).await["expires_at"]), world.now() + chrono::Duration::days(30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_ends_every_version() {
    let world = World::new().await;
    let (id, old) = world.created(&json!({})).await;
    let new = world.rotated(&id, &json!({"overlap_seconds": 3600})).await;
    world.verb(&id, "revoke", &json!({})).await;
    assert_eq!([world.call(&old).await, world.call(&new).await], ["revoked"; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_allowlist_holds_for_both_tokens_of_an_overlap() {
    let world = World::new().await;
    let (id, old) = world.created(&json!({})).await;
    let new = world.rotated(&id, &json!({"overlap_seconds": 3600})).await;
    world.patch(&id, &json!({"allowed_cidrs": ["192.0.2.0/24"]})).await;
    assert_eq!([world.call(&old).await, world.call(&new).await], ["ip_not_allowed"; 2]);
}
