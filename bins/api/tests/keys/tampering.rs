//! Somebody has changed the tables behind the service's back (§3).

use serde_json::json;
use statuspulse_testkit::eventually;

use crate::{
    help::nobodys_token,
    support::{Api, World},
};

/// The stored hash of a key becomes another text; then an instance starts, to which nothing is known yet.
async fn with_hash(world: &World, id: &str, hash: &str) -> Api {
    world.sql(&format!("UPDATE key_versions SET secret_hash = {hash} WHERE key_id = '{id}'")).await;
    world.second().await
}

/// What a hash could be that is none of ours: SQL that is made of the one that stands there.
const BROKEN: [&str; 7] = [
    "overlay(secret_hash placing '31' from 5)",
    "left(secret_hash, 59)",
    "secret_hash || 'x'",
    "left(secret_hash, 59) || 'é'",
    "overlay(secret_hash placing '2x' from 2)",
    "NULL",
    "''",
];

/// spec: keys K15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_that_is_none_of_ours_is_refused_without_hashing_anything() {
    let world = World::new().await;
    let mut judged = Vec::new();
    for broken in BROKEN {
        let (id, token) = world.key(&["checks:read"]).await;
        let second = with_hash(&world, &id, broken).await;
        // The gateway's own secret is checked with this.
        world.call_at(&second, &nobodys_token()).await;
        let hashes = second.app.gate.hashes();
        let code = world.call_at(&second, &token).await;
        judged.push((code, second.app.gate.hashes() - hashes));
    }
    assert_eq!(judged, vec![("disabled".to_owned(), 0); 7]);
}

/// spec: keys K15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_that_is_none_of_ours_opens_a_critical_alert() {
    let world = World::new().await;
    let mut subjects = Vec::new();
    for broken in BROKEN {
        let (id, token) = world.key(&["checks:read"]).await;
        let second = with_hash(&world, &id, broken).await;
        world.call_at(&second, &token).await;
        subjects.push((id, "critical".to_owned()));
    }
    let opened =
        "SELECT subject || ' ' || severity FROM alerts WHERE rule = 'integrity' AND status = 'open' ORDER BY 1";
    let mut expected: Vec<String> = subjects.iter().map(|(id, severity)| format!("{id} {severity}")).collect();
    expected.sort();
    eventually("every broken row has its alert", async || world.texts(opened).await.len() >= BROKEN.len()).await;
    assert_eq!(world.texts(opened).await, expected);
}

/// spec: keys K15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_has_accepted_a_key_learns_of_its_broken_hash() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    let before = world.call(&token).await;
    world.sql(&format!("UPDATE key_versions SET secret_hash = {} WHERE key_id = '{id}'", BROKEN[0])).await;
    eventually("the key is refused", async || world.call(&token).await == "disabled").await;
    assert_eq!(before, "allowed");
}

/// spec: keys K15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_of_another_scheme_is_refused_too() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    world.sql(&format!("UPDATE key_versions SET hash_scheme = 'plain' WHERE key_id = '{id}'")).await;
    let second = world.second().await;
    assert_eq!(world.call_at(&second, &token).await, "disabled");
}

/// spec: keys K15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_row_does_not_keep_an_instance_from_serving_the_others() {
    let world = World::new().await;
    let (broken, _) = world.key(&["checks:read"]).await;
    let (_, token) = world.key(&["checks:read"]).await;
    let second = with_hash(&world, &broken, BROKEN[0]).await;
    assert_eq!(world.call_at(&second, &token).await, "allowed");
}

/// Two keys whose look-up digests were exchanged in the table, and an instance that starts after that.
async fn swapped(world: &World) -> ([(String, String); 2], Api) {
    let keys = [world.key(&["checks:read"]).await, world.key(&["checks:read"]).await];
    let [(a, _), (b, _)] = &keys;
    world
        .sql(&format!(
            "CREATE TEMP TABLE held AS SELECT key_id, lookup_id FROM key_versions WHERE key_id IN ('{a}', '{b}');
             UPDATE key_versions SET lookup_id = NULL WHERE key_id IN ('{a}', '{b}');
             UPDATE key_versions v SET lookup_id = held.lookup_id FROM held
             WHERE v.key_id IN ('{a}', '{b}') AND held.key_id IN ('{a}', '{b}') AND held.key_id <> v.key_id"
        ))
        .await;
    (keys, world.second().await)
}

/// spec: keys K17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_with_exchanged_digests_are_quarantined_at_their_first_use() {
    let world = World::new().await;
    let ([(_, first), (_, other)], second) = swapped(&world).await;
    let codes = [world.call_at(&second, &first).await, world.call_at(&second, &other).await];
    assert_eq!(codes, ["disabled"; 2]);
}

/// spec: keys K17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantined_key_is_disabled_for_every_instance() {
    let world = World::new().await;
    let ([(id, token), (other, _)], second) = swapped(&world).await;
    // The digest of this token stands in the other key's row now.
    world.call_at(&second, &token).await;
    eventually("the key is disabled", async || world.shown(&other).await["status"] == json!("disabled")).await;
    assert_eq!(world.shown(&id).await["status"], json!("active"));
}

/// spec: keys K17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_quarantine_opens_a_critical_alert_and_is_in_the_trail() {
    let world = World::new().await;
    let ([(a, first), (b, other)], second) = swapped(&world).await;
    world.call_at(&second, &first).await;
    world.call_at(&second, &other).await;
    let opened = "SELECT subject FROM alerts WHERE rule = 'integrity' AND severity = 'critical' ORDER BY 1";
    eventually("both have an alert", async || world.texts(opened).await.len() == 2).await;
    let told =
        "SELECT detail->>'key_id' FROM audit_events WHERE action = 'key.disable' AND actor_kind = 'system' ORDER BY 1";
    let mut expected = [a, b];
    expected.sort();
    eventually("both are in the trail", async || world.texts(told).await.len() == 2).await;
    assert_eq!([world.texts(opened).await, world.texts(told).await], [expected.to_vec(), expected.to_vec()]);
}

/// spec: keys K17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantined_key_stays_refused_where_it_was_found_out_even_when_somebody_enables_it() {
    let world = World::new().await;
    let ([(_, token), (other, _)], second) = swapped(&world).await;
    world.call_at(&second, &token).await;
    eventually("the key is disabled", async || world.shown(&other).await["status"] == json!("disabled")).await;
    world.verb(&other, "enable", &json!({})).await;
    second.app.replica.catch_up().await;
    assert_eq!(world.call_at(&second, &token).await, "disabled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_row_with_the_same_digest_is_refused_by_the_table() {
    let world = World::new().await;
    let (a, _) = world.key(&["checks:read"]).await;
    let (b, _) = world.key(&["checks:read"]).await;
    let client = world.db.client().await;
    let copy = format!(
        "UPDATE key_versions SET lookup_id = (SELECT lookup_id FROM key_versions WHERE key_id = '{a}') WHERE key_id = '{b}'"
    );
    let refused = client.batch_execute(&copy).await.unwrap_err();
    assert_eq!(refused.as_db_error().and_then(|error| error.constraint()), Some("key_versions_lookup_id_key"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_slot_for_a_successor_is_refused_by_the_table() {
    let world = World::new().await;
    let (id, _) = world.key(&["checks:read"]).await;
    let slot = |version: i32| {
        format!(
            "INSERT INTO key_versions SELECT gen_random_uuid(), organization_id, key_id, {version}, 'pending', NULL,
                 pepper_version, NULL, hash_scheme, hint, created_at, expires_at, valid_until, NULL, seq
             FROM key_versions WHERE key_id = '{id}' AND version = 1"
        )
    };
    world.sql(&slot(2)).await;
    let refused = world.db.client().await.batch_execute(&slot(3)).await.unwrap_err();
    assert_eq!(refused.as_db_error().and_then(|error| error.constraint()), Some("key_versions_one_pending"));
}
