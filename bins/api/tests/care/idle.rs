//! Keys that nobody uses.

use serde_json::json;
use statuspulse_app::keys::idle;

use crate::{
    help::{ALL, KEYS, Scene},
    receiver::Receiver,
};

const SETTINGS: &str = "/v1/orgs/acme/settings";

/// An organization that lets keys be idle for thirty days.
async fn strict() -> (Scene, Receiver) {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let client = scene.world.db.client().await;
    client.execute("UPDATE keys SET revoked_at = created_at", &[]).await.unwrap();
    assert_eq!(scene.owner("PATCH", SETTINGS, &json!({"unused_key_days": 30})).await.status, 200);
    scene.endpoint(&receiver, &ALL).await;
    (scene, receiver)
}

async fn round(scene: &Scene) {
    idle::pass(&scene.world.api.app.app()).await.unwrap();
    scene.send().await;
}

async fn days(scene: &Scene, days: u32) {
    for _ in 0..days {
        scene.days(1).await;
        round(scene).await;
    }
}

async fn status(scene: &Scene, id: &str) -> String {
    scene.shown(&format!("{KEYS}/{id}")).await["status"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unused_key_is_warned_of_and_then_switched_off() {
    let (scene, receiver) = strict().await;
    let (id, _) = scene.key().await;
    days(&scene, 29).await;
    let before = status(&scene, &id).await;
    days(&scene, 1).await;
    let (warned, disabled) = (receiver.data_of("key.unused"), receiver.data_of("key.disabled"));
    assert_eq!(
        (before, status(&scene, &id).await, warned.len(), &warned[0]["days_left"], &disabled[0]["reason"]),
        ("active".to_owned(), "disabled".to_owned(), 1, &json!(14), &json!("unused"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_use_makes_the_warning_void() {
    let (scene, receiver) = strict().await;
    let (id, token) = scene.key().await;
    days(&scene, 20).await;
    scene.judged(&token).await;
    days(&scene, 20).await;
    assert_eq!((status(&scene, &id).await, receiver.data_of("key.unused").len()), ("active".to_owned(), 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_switched_on_again_has_its_whole_time() {
    let (scene, _receiver) = strict().await;
    let (id, _) = scene.key().await;
    days(&scene, 30).await;
    scene.owner("POST", &format!("{KEYS}/{id}/enable"), &json!({})).await;
    days(&scene, 29).await;
    assert_eq!(status(&scene, &id).await, "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_setting_nobody_is_cut_off() {
    let scene = Scene::new().await;
    let (id, _) = scene.key().await;
    days(&scene, 40).await;
    assert_eq!(status(&scene, &id).await, "active");
}
