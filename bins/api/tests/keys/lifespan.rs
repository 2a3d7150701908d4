//! How long a key may live (§4).

use chrono::{DateTime, Duration, TimeZone as _, Utc};
use serde_json::{Value, json};
use statuspulse_testkit::{TestDb, key_of};

use crate::{
    help::{DAY, HOUR, KEYS, SETTINGS, moment, plain_with},
    support::{Api, World},
};

fn seconds(key: &Value) -> i64 {
    (moment(&key["expires_at"]) - moment(&key["created_at"])).num_seconds()
}

async fn lives(world: &World, fields: Value) -> i64 {
    let reply = world.create(&plain_with(&fields)).await;
    seconds(&reply.json()["key"])
}

/// An end, as a body has it.
fn end(at: DateTime<Utc>) -> Value {
    json!({"expires_at": at})
}

/// spec: keys K18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lifespan_out_of_bounds_is_refused_at_its_field() {
    let world = World::new().await;
    let mut refused = Vec::new();
    for days in [json!(91), json!(0), json!(-1), json!(90.5), json!("90"), json!(i64::MAX), json!(1e300)] {
        let reply = world.create(&plain_with(&json!({"expires_in_days": days}))).await;
        refused.push((reply.status, reply.json()["errors"][0]["field"].clone()));
    }
    assert_eq!(refused, vec![(422, json!("expires_in_days")); 7]);
}

/// spec: keys K18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_lifespan_makes_no_key() {
    let world = World::new().await;
    let before = world.state().await;
    world.create(&plain_with(&json!({"expires_in_days": 91}))).await;
    assert_eq!(world.state().await, before);
}

/// spec: keys K19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninety_days_are_7776000_seconds() {
    let world = World::new().await;
    assert_eq!(lives(&world, json!({"expires_in_days": 90})).await, 7_776_000);
}

/// A database whose sessions have Berlin's time, ten weeks before Europe's clocks go forward in 2027.
async fn in_berlin() -> World {
    let db = TestDb::new().await;
    let sessions = format!("ALTER DATABASE {} SET timezone = 'Europe/Berlin'", db.name());
    db.client().await.batch_execute(&sessions).await.unwrap();
    let api = Api::start(&db).await;
    api.app.clock().set(Utc.with_ymd_and_hms(2027, 1, 15, 12, 0, 0).unwrap());
    api.app.advance(HOUR).await;
    World::around(db, api).await
}

/// spec: keys K19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_clocks_in_the_databases_time_zone_makes_no_key_live_longer() {
    let world = in_berlin().await;
    assert_eq!(lives(&world, json!({"expires_in_days": 90})).await, 7_776_000);
}

/// spec: keys K19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_holds_the_same_end_across_a_change_of_clocks() {
    let world = in_berlin().await;
    let (id, _) = world.created(&json!({"expires_in_days": 90})).await;
    let stored = format!(
        "SELECT extract(epoch FROM expires_at - created_at)::bigint::text FROM key_versions WHERE key_id = '{id}'"
    );
    assert_eq!(world.texts(&stored).await, ["7776000"]);
}

/// spec: keys K19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn across_a_change_of_clocks_a_key_ends_to_the_second_for_calls_and_for_lists() {
    let mut world = in_berlin().await;
    let (_, token) = world.created(&json!({"name": "ninety", "expires_in_days": 90})).await;
    world.later(DAY * 90 - std::time::Duration::from_secs(1)).await;
    let filter = format!("{KEYS}?q=ninety&status=expired");
    let before = (world.call(&token).await, world.read(&filter).await.json()["items"].as_array().unwrap().len());
    world.later(std::time::Duration::from_secs(1)).await;
    let after = (world.call(&token).await, world.read(&filter).await.json()["items"].as_array().unwrap().len());
    assert_eq!([before, after], [("allowed".to_owned(), 0), ("expired".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_lifespan_a_key_gets_its_environments_maximum() {
    let world = World::new().await;
    let mut days = Vec::new();
    for environment in ["production", "staging", "analytics"] {
        days.push(lives(&world, json!({"environment": environment})).await / 86_400);
    }
    assert_eq!(days, [90, 365, 90]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lowered_maximum_holds_for_new_keys() {
    let world = World::new().await;
    world.owner("PATCH", SETTINGS, &json!({"max_lifespan_days": {"production": 30}, "confirm": true})).await;
    let longer = world.create(&plain_with(&json!({"expires_in_days": 31}))).await;
    assert_eq!((longer.status, lives(&world, json!({})).await), (422, 30 * 86_400));
}

/// spec: keys K20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_past_the_maximum_from_creation_is_refused() {
    let mut world = World::new().await;
    let (id, _) = world.created(&json!({"expires_in_days": 30})).await;
    let made = world.now();
    world.later(DAY * 10).await;
    let reply = world.patch(&id, &end(made + Duration::days(90) + Duration::seconds(1))).await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["expires_at: out_of_bounds".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_can_be_moved_up_to_the_maximum_from_creation() {
    let mut world = World::new().await;
    let (id, _) = world.created(&json!({"expires_in_days": 30})).await;
    let latest = world.now() + Duration::days(90);
    world.later(DAY * 10).await;
    let reply = world.patch(&id, &end(latest)).await;
    assert_eq!(moment(&reply.json()["expires_at"]), latest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_rotation_the_maximum_counts_from_the_new_version() {
    let mut world = World::new().await;
    let (id, _) = world.created(&json!({"expires_in_days": 30})).await;
    world.later(DAY * 10).await;
    world.rotated(&id, &json!({})).await;
    let reply = world.patch(&id, &end(world.now() + Duration::days(90))).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shortened_key_ends_at_its_new_end() {
    let mut world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.patch(&id, &end(world.now() + Duration::hours(2))).await;
    world.later(HOUR).await;
    let before = world.call(&token).await;
    world.later(HOUR).await;
    assert_eq!([before, world.call(&token).await], ["allowed", "expired"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_in_the_past_is_refused() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let reply = world.patch(&id, &end(world.now())).await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["expires_at: in_the_past".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_key_is_not_revived_by_another_end() {
    let mut world = World::new().await;
    let (id, token) = world.created(&json!({"expires_in_days": 1})).await;
    world.later(DAY).await;
    let reply = world.patch(&id, &end(world.now() + Duration::days(1))).await;
    assert_eq!((reply.outcome(), world.call(&token).await), ((409, "key_expired".into()), "expired".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_not_revived_by_another_end() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.verb(&id, "revoke", &json!({})).await;
    let reply = world.patch(&id, &end(world.now() + Duration::days(1))).await;
    assert_eq!((reply.outcome(), world.call(&token).await), ((409, "key_revoked".into()), "revoked".into()));
}

/// spec: keys K21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lowered_maximum_ends_older_keys_on_every_instance() {
    let mut world = World::new().await;
    let (_, token) = world.created(&json!({"expires_in_days": 60})).await;
    world.later(DAY * 40).await;
    let second = world.second().await;
    let before = world.call_at(&second, &token).await;
    let lowered = json!({"max_lifespan_days": {"production": 30}, "confirm": true});
    world.owner("PATCH", SETTINGS, &lowered).await;
    statuspulse_testkit::eventually("the other instance ends the key", async || {
        world.call_at(&second, &token).await == "expired"
    })
    .await;
    assert_eq!([before, world.call(&token).await], ["allowed", "expired"]);
}

/// spec: keys K21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_would_end_keys_asks_for_confirmation_and_names_them() {
    let mut world = World::new().await;
    let (id, token) = world.created(&json!({"name": "old", "expires_in_days": 60})).await;
    // Away from the production keys that the test's own gateway uses.
    world.later(DAY * 40).await;
    let reply = world.owner("PATCH", SETTINGS, &json!({"max_lifespan_days": {"production": 30}})).await;
    let named: Vec<Value> = reply.json()["keys"].as_array().unwrap().clone();
    let listed = named.contains(&json!({"id": id, "name": "old"}));
    assert_eq!(
        (reply.outcome(), listed, world.call(&token).await),
        ((409, "confirmation_required".into()), true, "allowed".into())
    );
}

/// spec: keys K21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_confirmed_change_names_the_ended_keys_and_each_gets_an_event() {
    let mut world = World::new().await;
    world.key_like(key_of("production", &["checks:read"])).await;
    world.later(DAY * 40).await;
    world.created(&json!({"name": "young"})).await;
    let lowered = json!({"max_lifespan_days": {"production": 30}, "confirm": true});
    let reply = world.owner("PATCH", SETTINGS, &lowered).await.json();
    let mut ended: Vec<Value> = reply["ended_keys"].as_array().unwrap().iter().map(|key| key["id"].clone()).collect();
    let events = world.events("key.expire").await;
    let mut told: Vec<Value> = events.iter().map(|event| event["detail"]["key_id"].clone()).collect();
    ended.sort_by_key(Value::to_string);
    told.sort_by_key(Value::to_string);
    // The one made here and the gateway's first one.
    assert_eq!((ended.len(), ended), (2, told));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raised_maximum_does_not_lengthen_what_was_set() {
    let world = World::new().await;
    let lowered = json!({"max_lifespan_days": {"production": 30}, "confirm": true});
    world.owner("PATCH", SETTINGS, &lowered).await;
    let (id, _) = world.created(&json!({})).await;
    world.owner("PATCH", SETTINGS, &json!({"max_lifespan_days": {"production": null}})).await;
    assert_eq!(seconds(&world.shown(&id).await), 30 * 86_400);
}
