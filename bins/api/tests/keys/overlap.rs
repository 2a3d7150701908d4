//! Rotation with an overlap (§5).

use serde_json::{Value, json};

use crate::{
    help::{DAY, HOUR, moment},
    support::World,
};

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inside_an_overlap_both_tokens_work_and_after_it_only_the_new_one() {
    let mut world = World::new().await;
    let (id, old) = world.created(&json!({})).await;
    let new = world.rotated(&id, &json!({"overlap_seconds": 3600})).await;
    world.later(HOUR - SECOND).await;
    let inside = [world.call(&old).await, world.call(&new).await];
    world.later(SECOND).await;
    let after = [world.call(&old).await, world.call(&new).await];
    assert_eq!([inside, after], [["allowed", "allowed"], ["revoked", "allowed"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_names_the_end_of_the_overlap() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let reply = world.verb(&id, "rotate", &json!({"overlap_seconds": 3600})).await.json();
    assert_eq!(moment(&reply["previous_valid_until"]), world.now() + HOUR);
}

/// spec: keys K23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overlap_never_prolongs_the_old_token() {
    let mut world = World::new().await;
    let (id, old) = world.created(&json!({"expires_in_days": 1})).await;
    world.later(DAY - HOUR).await;
    let reply = world.verb(&id, "rotate", &json!({"overlap_seconds": 86_400})).await.json();
    let stated = moment(&reply["previous_valid_until"]) - world.now();
    let before = world.call(&old).await;
    world.later(HOUR).await;
    assert_eq!(
        (stated, before, world.call(&old).await),
        (chrono::Duration::hours(1), "allowed".into(), "revoked".into())
    );
}

/// spec: keys K24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overlap_has_at_most_seven_days() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let mut refused = Vec::new();
    for overlap in [json!(604_801), json!(-1), json!(1.5), json!("60"), json!(i64::MAX)] {
        let reply = world.verb(&id, "rotate", &json!({"overlap_seconds": overlap})).await;
        refused.push((reply.status, reply.json()["errors"][0]["field"].clone()));
    }
    assert_eq!(refused, vec![(422, json!("overlap_seconds")); 5]);
}

/// spec: keys K24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overlap_of_seven_days_is_taken() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let reply = world.verb(&id, "rotate", &json!({"overlap_seconds": 604_800})).await.json();
    assert_eq!(moment(&reply["previous_valid_until"]), world.now() + DAY * 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zero_and_null_are_no_overlap() {
    let world = World::new().await;
    let mut ends = Vec::new();
    for overlap in [json!(0), Value::Null] {
        let (id, _) = world.created(&json!({})).await;
        let reply = world.verb(&id, "rotate", &json!({"overlap_seconds": overlap})).await.json();
        ends.push(moment(&reply["previous_valid_until"]));
    }
    assert_eq!(ends, [world.now(); 2]);
}

/// spec: keys K29
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_rotation_inside_an_overlap_ends_the_oldest_token_at_once() {
    let world = World::new().await;
    let (id, oldest) = world.created(&json!({})).await;
    let old = world.rotated(&id, &json!({"overlap_seconds": 3600})).await;
    world.api.app.clock().advance(SECOND * 10);
    let new = world.rotated(&id, &json!({"overlap_seconds": 3600})).await;
    let codes = [world.call(&oldest).await, world.call(&old).await, world.call(&new).await];
    assert_eq!(codes, ["revoked", "allowed", "allowed"]);
}

/// spec: keys K29
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_never_has_three_live_versions_in_the_table() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    for _ in 0..4 {
        world.rotated(&id, &json!({"overlap_seconds": 604_800})).await;
        world.api.app.clock().advance(SECOND * 10);
    }
    let live = format!(
        "SELECT count(*)::text FROM key_versions WHERE key_id = '{id}' AND valid_until > '{}'",
        world.now().to_rfc3339()
    );
    assert_eq!(world.texts(&live).await, ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_rotation_without_an_overlap_ends_both_predecessors() {
    let world = World::new().await;
    let (id, oldest) = world.created(&json!({})).await;
    let old = world.rotated(&id, &json!({"overlap_seconds": 3600})).await;
    world.api.app.clock().advance(SECOND * 10);
    world.rotated(&id, &json!({})).await;
    assert_eq!([world.call(&oldest).await, world.call(&old).await], ["revoked"; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overlap_holds_on_an_instance_that_starts_inside_of_it() {
    let world = World::new().await;
    let (id, old) = world.created(&json!({})).await;
    let new = world.rotated(&id, &json!({"overlap_seconds": 3600})).await;
    let second = world.second().await;
    assert_eq!([world.call_at(&second, &old).await, world.call_at(&second, &new).await], ["allowed"; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_key_refuses_both_tokens_of_an_overlap() {
    let world = World::new().await;
    let (id, old) = world.created(&json!({})).await;
    let new = world.rotated(&id, &json!({"overlap_seconds": 3600})).await;
    world.verb(&id, "disable", &json!({})).await;
    assert_eq!([world.call(&old).await, world.call(&new).await], ["disabled"; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lowered_maximum_ends_the_old_token_inside_of_its_overlap() {
    let mut world = World::new().await;
    let (id, old) = world.created(&json!({"expires_in_days": 60})).await;
    world.later(DAY * 28).await;
    let new = world.rotated(&id, &json!({"overlap_seconds": 604_800})).await;
    world.later(DAY * 3).await;
    let lowered = json!({"max_lifespan_days": {"production": 30}, "confirm": true});
    world.owner("PATCH", crate::help::SETTINGS, &lowered).await;
    assert_eq!([world.call(&old).await, world.call(&new).await], ["expired", "allowed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_use_of_the_old_token_inside_of_the_overlap_is_normal() {
    let world = World::new().await;
    let (id, old) = world.created(&json!({})).await;
    world.rotated(&id, &json!({"overlap_seconds": 3600})).await;
    world.call(&old).await;
    assert_eq!(world.alerts("rotated_key_used").await, Vec::<Value>::new());
}
