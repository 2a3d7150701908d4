//! When and from where a key was last used (§4).

use serde_json::{Value, json};
use statuspulse_testkit::eventually;

use crate::{
    help::{KEYS, moment, path},
    support::{PEER, World},
};

async fn used(world: &World, id: &str) -> Value {
    world.api.app.flush().await;
    let shown = world.shown(id).await;
    json!([shown["last_used_at"], shown["last_used_ips"]])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_never_used_says_so() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    assert_eq!(used(&world, &id).await, json!([null, []]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_call_is_noted_with_its_time_and_address() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.api.app.clock().advance(std::time::Duration::from_secs(5));
    world.call_from(&token, "2001:db8::7").await;
    let noted = used(&world, &id).await;
    assert_eq!((moment(&noted[0]), &noted[1]), (world.now(), &json!(["2001:db8::7"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_calls_are_no_use_whatever_they_were_refused_for() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({"allowed_cidrs": [format!("{PEER}/32")]})).await;
    world.judged(&token, "POST", "/api/v1/incidents").await;
    world.judged(&token, "GET", "/nowhere").await;
    world.call_from(&token, "198.51.100.1").await;
    world.call(&format!("{token}X")).await;
    let staging = json!({"token": token, "scope": "checks:read", "client_ip": PEER, "environments": ["staging"]});
    world.api.verify(&world.gateway, &staging).await;
    for verb in ["disable", "revoke"] {
        world.verb(&id, verb, &json!({})).await;
        world.call(&token).await;
    }
    assert_eq!(used(&world, &id).await, json!([null, []]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_five_newest_distinct_addresses_are_kept() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    for last in [1, 2, 3, 4, 5, 6, 2, 1] {
        world.call_from(&token, &format!("198.51.100.{last}")).await;
    }
    let expected = [1, 2, 6, 5, 4].map(|last| format!("198.51.100.{last}"));
    assert_eq!(used(&world, &id).await[1], json!(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_addresses_of_earlier_rounds_stay_behind_the_new_ones() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    for last in [1, 2, 3, 4, 5, 6, 2, 1] {
        world.call_from(&token, &format!("198.51.100.{last}")).await;
        world.api.app.flush().await;
    }
    let expected = [1, 2, 6, 5, 4].map(|last| format!("198.51.100.{last}"));
    assert_eq!(used(&world, &id).await[1], json!(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_use_is_written_within_ten_seconds_without_anybody_asking() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.call(&token).await;
    eventually("the use is in the table", async || !world.shown(&id).await["last_used_at"].is_null()).await;
    assert_eq!(world.shown(&id).await["last_used_ips"], json!([PEER]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_key_keeps_its_use() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.call(&token).await;
    let before = used(&world, &id).await;
    world.patch(&id, &json!({"name": "renamed"})).await;
    world.rotated(&id, &json!({})).await;
    assert_eq!(used(&world, &id).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_use_of_a_key_takes_no_number_of_the_feed() {
    let world = World::new().await;
    let (_, token) = world.created(&json!({})).await;
    let number = "SELECT seq::text FROM key_feed";
    let before = world.texts(number).await;
    world.call(&token).await;
    world.api.app.flush().await;
    assert_eq!(world.texts(number).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_our_own_endpoints_with_a_key_is_use_and_being_refused_there_is_none() {
    let world = World::new().await;
    let (reads, reader) = world.key(&["keys:read"]).await;
    let (refused, other) = world.key(&["checks:read"]).await;
    world.api.get(KEYS).key(&reader).peer("198.51.100.9").send().await;
    world.api.get(&path(&refused, "")).key(&other).send().await;
    let noted = [used(&world, &reads).await[1].clone(), used(&world, &refused).await[1].clone()];
    assert_eq!(noted, [json!(["198.51.100.9"]), json!([])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateways_key_is_used_from_the_gateways_address() {
    let world = World::new().await;
    let (id, gateway) = world.key(&["credentials:verify"]).await;
    let question = json!({"token": world.gateway, "scope": "credentials:verify", "client_ip": "198.51.100.1"});
    world.api.verify(&gateway, &question).await;
    assert_eq!(used(&world, &id).await[1], json!([PEER]));
}
