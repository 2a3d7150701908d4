//! Repeats of requests that make a token (§4, §5).

use futures_util::future::join_all;
use serde_json::{Value, json};
use statuspulse_policy::Role;

use crate::{
    help::{DAY, HOUR, KEYS, SETTINGS, count, path, plain, plain_with, text},
    support::{Browser, Reply, World},
};

async fn create_as(world: &World, browser: &Browser, name: &str, body: &Value) -> Reply {
    world.api.post(KEYS).browser(browser).header("idempotency-key", name).json(body).send().await
}

async fn create(world: &World, name: &str, body: &Value) -> Reply {
    create_as(world, &world.owner, name, body).await
}

async fn rotate(world: &World, id: &str, name: &str, body: &Value) -> Reply {
    let ask = world.api.post(&path(id, "rotate")).browser(&world.owner);
    ask.header("idempotency-key", name).json(body).send().await
}

async fn number_of(world: &World, table: &str) -> String {
    world.texts(&format!("SELECT count(*)::text FROM {table}")).await.concat()
}

fn delivered(reply: &Reply) -> (u16, String, Value, Value) {
    let json = reply.json();
    (reply.status, reply.code(), json["key_id"].clone(), json["version"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_creation_is_told_which_key_it_made() {
    let world = World::new().await;
    let first = create(&world, "one", &plain()).await;
    let again = create(&world, "one", &plain()).await;
    let id = first.json()["key"]["id"].clone();
    assert_eq!(delivered(&again), (409, "already_delivered".into(), id, json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_creation_makes_no_second_key() {
    let world = World::new().await;
    create(&world, "one", &plain()).await;
    let before = world.state().await;
    create(&world, "one", &plain()).await;
    assert_eq!(world.state().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_to_match_makes_no_other_request() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let mut outcomes = Vec::new();
    for version in ["\"1\"", "\"2\""] {
        let ask = world.api.post(&path(&id, "rotate")).browser(&world.owner).header("idempotency-key", "one");
        outcomes.push(ask.header("if-match", version).json(&json!({})).send().await.outcome());
    }
    assert_eq!(outcomes, [(200, String::new()), (409, "already_delivered".into())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_fields_makes_no_other_request() {
    let world = World::new().await;
    create(&world, "one", &plain()).await;
    let body = r#"{"scopes":["checks:read"],  "name":"ci","environment":"production"}"#;
    let ask = world.api.post(KEYS).browser(&world.owner).header("idempotency-key", "one");
    assert_eq!(ask.header("content-type", "application/json").body(body).send().await.code(), "already_delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_creation_under_the_same_name_is_refused() {
    let world = World::new().await;
    create(&world, "one", &plain()).await;
    let reply = create(&world, "one", &plain_with(&json!({"name": "another"}))).await;
    assert_eq!(reply.outcome(), (422, "idempotency_key_reused".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_names_make_other_keys() {
    let world = World::new().await;
    let statuses = [create(&world, "one", &plain()).await.status, create(&world, "two", &plain()).await.status];
    assert_eq!(statuses, [201; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_identical_creations_at_once_one_makes_a_key() {
    let world = World::new().await;
    let body = plain();
    let replies = join_all((0..10).map(|_| create(&world, "one", &body))).await;
    let counts = (count(&replies, 201, ""), count(&replies, 409, "already_delivered"));
    // And the gateway's.
    assert_eq!((counts, number_of(&world, "keys").await.as_str()), ((1, 9), "2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_belongs_to_its_caller() {
    let world = World::new().await;
    let admin = world.api.app.person(&world.org, "admin", Role::Admin).await;
    let admin = world.api.sign_in(&admin).await;
    create(&world, "one", &plain()).await;
    assert_eq!(create_as(&world, &admin, "one", &plain()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_outlives_the_session() {
    let world = World::new().await;
    create(&world, "one", &plain()).await;
    let later = world.api.sign_in(&world.org.owner).await;
    assert_eq!(create_as(&world, &later, "one", &plain()).await.code(), "already_delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_kept_for_a_day() {
    let mut world = World::new().await;
    create(&world, "one", &plain()).await;
    world.later(DAY - HOUR).await;
    let before = create(&world, "one", &plain()).await;
    world.later(HOUR).await;
    let after = create(&world, "one", &plain()).await;
    assert_eq!((before.code(), after.status), ("already_delivered".to_owned(), 201));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_request_leaves_its_name_free() {
    let world = World::new().await;
    let refused = create(&world, "one", &plain_with(&json!({"name": ""}))).await;
    let taken = create(&world, "one", &plain()).await;
    assert_eq!([refused.status, taken.status], [422, 201]);
}

/// What was carried out stays carried out, also when it would be refused by now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_recognised_although_the_rules_have_changed_since() {
    let world = World::new().await;
    let body = plain_with(&json!({"expires_in_days": 60}));
    create(&world, "one", &body).await;
    world.owner("PATCH", SETTINGS, &json!({"max_lifespan_days": {"production": 30}})).await;
    assert_eq!(create(&world, "one", &body).await.outcome(), (409, "already_delivered".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_has_1_to_255_visible_ascii_characters() {
    let world = World::new().await;
    let mut statuses = Vec::new();
    for name in ["!", &"x".repeat(255), &"x".repeat(256), "", "a b", "\t"] {
        statuses.push(create(&world, name, &plain()).await.status);
    }
    assert_eq!(statuses, [201, 201, 422, 422, 422, 422]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_names_for_one_request_are_refused() {
    let world = World::new().await;
    let ask =
        world.api.post(KEYS).browser(&world.owner).header("idempotency-key", "one").header("idempotency-key", "two");
    assert_eq!(ask.json(&plain()).send().await.status, 422);
}

/// spec: keys K31
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_rotation_is_told_which_version_it_made() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    rotate(&world, &id, "one", &json!({})).await;
    let again = rotate(&world, &id, "one", &json!({})).await;
    assert_eq!(delivered(&again), (409, "already_delivered".into(), json!(id), json!(2)));
}

/// spec: keys K31
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_rotation_makes_no_further_version() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let token = text(&rotate(&world, &id, "one", &json!({})).await.json()["token"]);
    world.api.app.clock().advance(HOUR);
    world.api.app.replica.catch_up().await;
    rotate(&world, &id, "one", &json!({})).await;
    assert_eq!((world.call(&token).await, world.shown(&id).await["version"].clone()), ("allowed".into(), json!(2)));
}

/// spec: keys K31
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_rotation_under_the_same_name_is_refused() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let (other, _) = world.created(&json!({})).await;
    rotate(&world, &id, "one", &json!({})).await;
    let replies = [
        rotate(&world, &id, "one", &json!({"overlap_seconds": 60})).await,
        rotate(&world, &other, "one", &json!({})).await,
    ];
    let reused = (422, "idempotency_key_reused".to_owned());
    assert_eq!(replies.map(|reply| reply.outcome()), [reused.clone(), reused]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_and_a_rotation_are_two_requests() {
    let world = World::new().await;
    let id = text(&create(&world, "one", &plain()).await.json()["key"]["id"]);
    assert_eq!(rotate(&world, &id, "one", &json!({})).await.code(), "idempotency_key_reused");
}

/// spec: keys K31
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_identical_rotations_at_once_one_makes_a_version_and_the_others_are_told_which() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let body = json!({});
    let replies = join_all((0..10).map(|_| rotate(&world, &id, "one", &body))).await;
    let counts = (count(&replies, 200, ""), count(&replies, 409, "already_delivered"));
    assert_eq!((counts, world.shown(&id).await["version"].clone()), ((1, 9), json!(2)));
}

/// spec: keys K31
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identical_rotations_at_once_that_name_the_version_are_told_which_one_was_made() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let path = path(&id, "rotate");
    let asks = (0..10).map(|_| {
        let ask = world.api.post(&path).browser(&world.owner).header("idempotency-key", "one");
        ask.header("if-match", "\"1\"").send()
    });
    let replies = join_all(asks).await;
    assert_eq!((count(&replies, 200, ""), count(&replies, 409, "already_delivered")), (1, 9));
}

/// spec: keys K31
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_recognised_although_the_key_was_revoked_since() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    rotate(&world, &id, "one", &json!({})).await;
    world.verb(&id, "revoke", &json!({})).await;
    assert_eq!(rotate(&world, &id, "one", &json!({})).await.code(), "already_delivered");
}
