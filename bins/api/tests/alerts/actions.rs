//! What an opening does by itself, where it is asked to.

use serde_json::{Value, json};
use statuspulse_audit::AlertRule;

use crate::{
    help::{KEYS, Scene},
    use_cases::{ALERTS, RULES, newest, raise, resolve},
};

async fn set(scene: &Scene, rule: &str, change: &Value) {
    let reply = scene.owner("PUT", &format!("{RULES}/{rule}"), change).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_unless_somebody_has_asked_for_it() {
    let scene = Scene::new().await;
    let (key, token) = scene.key().await;
    raise(&scene, AlertRule::OutOfScope, &key).await;
    assert_eq!(
        (newest(&scene).await["action_taken"].clone(), scene.judged(&token).await),
        (Value::Null, "allowed".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_switches_the_key_off_with_an_event_that_says_why() {
    let scene = Scene::new().await;
    let (key, token) = scene.key().await;
    set(&scene, "out_of_scope", &json!({"action": "disable_key"})).await;
    scene.world.judged(&token, "POST", "/api/v1/checks").await;
    scene.world.api.app.flush().await;
    scene.world.api.app.replica.catch_up().await;
    let event = scene.world.events("key.disable").await.remove(0);
    assert_eq!(
        (
            newest(&scene).await["action_taken"].clone(),
            scene.judged(&token).await,
            &event["detail"]["key_id"],
            &event["detail"]["cause"],
            &event["actor_kind"]
        ),
        (json!("disable_key"), "disabled".into(), &json!(key), &json!("alert"), &json!("system"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opening_narrows_the_key_s_rate_and_never_widens_it() {
    let scene = Scene::new().await;
    set(&scene, "call_rate", &json!({"action": "limit_rate", "action_limit": 60})).await;
    let mut limits = Vec::new();
    for present in [None, Some(30), Some(600)] {
        let (key, _) = scene.key_like(|key| key.rate_limit_per_minute = present).await;
        raise(&scene, AlertRule::CallRate, &key).await;
        let taken = scene.shown(&format!("{ALERTS}?subject={key}")).await["items"][0]["action_taken"].clone();
        limits.push((taken, scene.shown(&format!("{KEYS}/{key}")).await["rate_limit_per_minute"].clone()));
    }
    let narrowed = (json!("limit_rate"), json!(60));
    assert_eq!(limits, [narrowed.clone(), (Value::Null, json!(30)), narrowed]);
    assert_eq!(scene.world.events("key.update").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_switches_the_key_on_again_is_not_overruled_by_what_goes_on() {
    let scene = Scene::new().await;
    let (key, token) = scene.key().await;
    set(&scene, "out_of_scope", &json!({"action": "disable_key"})).await;
    raise(&scene, AlertRule::OutOfScope, &key).await;
    scene.owner("POST", &format!("{KEYS}/{key}/enable"), &json!({})).await;
    raise(&scene, AlertRule::OutOfScope, &key).await;
    resolve(&scene, newest(&scene).await["id"].as_str().unwrap()).await;
    raise(&scene, AlertRule::OutOfScope, &key).await;
    assert_eq!(scene.judged(&token).await, "allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_s_own_setting_takes_the_place_of_its_organization_s() {
    let scene = Scene::new().await;
    let (spared, token) = scene.key().await;
    set(&scene, "out_of_scope", &json!({"action": "disable_key"})).await;
    set(&scene, "out_of_scope", &json!({"action": "none", "key_id": spared})).await;
    raise(&scene, AlertRule::OutOfScope, &spared).await;
    assert_eq!(scene.judged(&token).await, "allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_honeytoken_stays_as_it_is() {
    let scene = Scene::new().await;
    let (key, _) = scene.key_like(|key| key.canary = true).await;
    set(&scene, "out_of_scope", &json!({"action": "disable_key"})).await;
    raise(&scene, AlertRule::OutOfScope, &key).await;
    assert_eq!(scene.shown(&format!("{KEYS}/{key}")).await["status"], "active");
}
