//! Leaks are told.

use serde_json::json;
use statuspulse_testkit::eventually;

use crate::{
    help::{ALL, Scene},
    receiver::Receiver,
};

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

/// Whoever finds a honeytoken may report it as often as he likes; its owners hear of it once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_honeytoken_that_is_reported_again_and_again_is_told_once() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    scene.endpoint(&receiver, &["key.leaked"]).await;
    let (_, token) = scene.key_like(|key| key.canary = true).await;
    for _ in 0..3 {
        let reports = scene.world.events("key.leaked").await.len();
        scene.world.api.post("/v1/leaks").json(&json!({"tokens": [token.clone(), token.clone()]})).send().await;
        eventually("the report is carried out", async || scene.world.events("key.leaked").await.len() > reports).await;
    }
    scene.send().await;
    let told = receiver.data_of("key.leaked");
    assert_eq!((told.len(), &told[0]["revoked"]), (1, &json!(false)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaked_access_token_is_told_by_its_grant() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    scene.endpoint(&receiver, &ALL).await;
    let app = json!({"name": "Sync", "kind": "confidential", "redirect_uris": ["https://app.example/cb"],
        "scopes": ["checks:read"], "default_scopes": ["checks:read"]});
    let app = scene.owner("POST", "/v1/orgs/acme/apps", &app).await.json();
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        app["client_id"].as_str().unwrap(),
        app["client_secret"].as_str().unwrap()
    );
    let ask = scene.world.api.post("/oauth/token").header("content-type", "application/x-www-form-urlencoded");
    let token = ask.body(form).send().await.json()["access_token"].as_str().unwrap().to_owned();
    scene.world.api.post("/v1/leaks").json(&json!({"tokens": [token]})).send().await;
    eventually("it is told", async || {
        scene.send().await;
        !receiver.data_of("key.leaked").is_empty()
    })
    .await;
    assert_eq!(receiver.data_of("key.leaked")[0]["grant"]["app_id"], app["app"]["id"]);
}
