//! Leaks are told.

use serde_json::json;
use statuspulse_testkit::eventually;

use crate::{help::Scene, receiver::Receiver};

/// spec: keys K49
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reported_key_is_dead_and_its_owners_are_told() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    scene.endpoint(&receiver, &["key.leaked", "alert.opened"]).await;
    let (id, token) = scene.key().await;
    let taken = scene.world.api.post("/v1/leaks").peer("198.51.100.7").json(&json!({"tokens": [token]})).send().await;
    eventually("the key is revoked", async || scene.judged(&token).await == "revoked").await;
    scene.send().await;
    let (leaked, alert) = (receiver.data_of("key.leaked"), receiver.data_of("alert.opened"));
    assert_eq!(
        (taken.status, &leaked[0]["key"]["id"], &alert[0]["alert"]["rule"], &alert[0]["alert"]["severity"]),
        (202, &json!(id), &json!("leaked_key"), &json!("critical"))
    );
}
