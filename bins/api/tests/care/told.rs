//! Each event of a key's life, told once.

use serde_json::json;

use crate::{
    help::{ALL, KEYS, Scene},
    receiver::Receiver,
};

async fn listening() -> (Scene, Receiver) {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    scene.endpoint(&receiver, &ALL).await;
    (scene, receiver)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_a_key_is_told() {
    let (scene, receiver) = listening().await;
    let (id, _) = scene.key().await;
    for verb in ["disable", "enable", "rotate", "revoke"] {
        scene.owner("POST", &format!("{KEYS}/{id}/{verb}"), &json!({})).await;
    }
    scene.send().await;
    let mut types = receiver.types();
    types.sort_unstable();
    assert_eq!(types, ["key.created", "key.disabled", "key.revoked", "key.rotated"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doing_what_is_done_already_is_not_told() {
    let (scene, receiver) = listening().await;
    let (id, _) = scene.key().await;
    for _ in 0..2 {
        scene.owner("POST", &format!("{KEYS}/{id}/revoke"), &json!({})).await;
    }
    scene.send().await;
    assert_eq!(receiver.data_of("key.revoked").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_says_until_when_the_old_token_works() {
    let (scene, receiver) = listening().await;
    let (id, _) = scene.key().await;
    let rotated = scene.owner("POST", &format!("{KEYS}/{id}/rotate"), &json!({"overlap_seconds": 3_600})).await.json();
    scene.send().await;
    let data = receiver.data_of("key.rotated").remove(0);
    assert_eq!(
        (&data["previous_valid_until"], &data["key"]["version"], &data["previous_version"]),
        (&rotated["previous_valid_until"], &json!(2), &json!(1))
    );
}

/// spec: keys K32
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_waits_is_told_once() {
    let (scene, receiver) = listening().await;
    scene.key_like(|key| key.auto_rotate = true).await;
    scene.days(83).await;
    for _ in 0..3 {
        scene.prepare_successors().await;
    }
    scene.send().await;
    let told = receiver.data_of("key.successor_ready");
    assert_eq!((told.len(), &told[0]["version"], told[0].get("sealed")), (1, &json!(2), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_told() {
    let (scene, receiver) = listening().await;
    let (_, token) = scene.key_like(|key| key.auto_rotate = true).await;
    scene.days(83).await;
    scene.prepare_successors().await;
    scene.world.api.post("/v1/keys/self/successor").key(&token).send().await;
    scene.send().await;
    assert_eq!(receiver.data_of("key.successor_claimed").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_told_when_it_opens_and_not_again() {
    let (scene, receiver) = listening().await;
    let (id, token) = scene.key().await;
    for _ in 0..3 {
        scene.world.judged(&token, "POST", "/api/v1/incidents").await;
        scene.world.api.app.flush().await;
    }
    scene.send().await;
    let told = receiver.data_of("alert.opened");
    assert_eq!(
        (told.len(), &told[0]["alert"]["rule"], &told[0]["alert"]["subject"]["id"]),
        (1, &json!("out_of_scope"), &json!(id))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_many_tells_of_each_and_leaves_no_slot() {
    let (scene, receiver) = listening().await;
    for _ in 0..2 {
        scene.key_like(|key| key.auto_rotate = true).await;
    }
    scene.days(83).await;
    scene.prepare_successors().await;
    let app = scene.world.api.app.app();
    let access = scene.world.org.access_as(statuspulse_policy::Role::Owner);
    let caller = scene.world.api.app.operator();
    let filter = statuspulse_app::keys::BulkFilter::default();
    statuspulse_app::keys::revoke_many(&app, &caller, &access, &filter, false, std::time::Duration::ZERO)
        .await
        .unwrap();
    scene.send().await;
    let client = scene.world.db.client().await;
    let slots = client.query_one("SELECT count(*) FROM key_versions WHERE state = 'pending'", &[]).await.unwrap();
    // The gateway's key is one of them.
    assert_eq!((receiver.data_of("key.revoked").len(), slots.get::<_, i64>(0)), (3, 0));
}
