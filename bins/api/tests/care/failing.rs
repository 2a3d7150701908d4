//! What follows when an endpoint doesn't take what it gets.

use serde_json::{Value, json};
use statuspulse_store::webhooks::deliveries;

use crate::{
    help::{Scene, WEBHOOKS, worker},
    receiver::Receiver,
};

async fn failing_with(answer: &str) -> (Scene, Receiver, String) {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    receiver.answer(answer);
    let (id, _) = scene.endpoint(&receiver, &["key.created", "alert.opened"]).await;
    scene.key().await;
    scene.send().await;
    (scene, receiver, id)
}

async fn delivery(scene: &Scene, id: &str) -> Value {
    scene.shown(&format!("{WEBHOOKS}/{id}/deliveries")).await["items"].as_array().unwrap().last().unwrap().clone()
}

/// Seconds until the next attempt.
fn wait(delivery: &Value) -> f64 {
    let moment = |name: &str| delivery[name].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    (moment("next_attempt_at") - moment("last_attempt_at")).as_seconds_f64()
}

/// spec: keys K46
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_gone_is_disabled_and_shown_so() {
    let (scene, _receiver, id) = failing_with("410 Gone").await;
    let shown = scene.shown(&format!("{WEBHOOKS}/{id}")).await;
    let events = scene.world.events("webhook.disable").await;
    assert_eq!(
        (&shown["status"], &shown["disabled_reason"], &events[0]["detail"]["cause"]),
        (&json!("disabled"), &json!("gone"), &json!("gone"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_endpoint_gets_nothing_more_and_takes_no_test() {
    let (scene, receiver, id) = failing_with("410 Gone").await;
    let before = receiver.got().len();
    scene.key().await;
    scene.send().await;
    let tried = scene.owner("POST", &format!("{WEBHOOKS}/{id}/test"), &json!({})).await;
    assert_eq!((receiver.got().len(), tried.outcome()), (before, (409, "webhook_disabled".to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_switched_on_again_gets_what_happens_from_then_on() {
    let (scene, receiver, id) = failing_with("410 Gone").await;
    receiver.answer("204 No Content");
    let before = receiver.got().len();
    scene.owner("PATCH", &format!("{WEBHOOKS}/{id}"), &json!({"status": "active"})).await;
    scene.key().await;
    scene.send().await;
    assert_eq!(receiver.got().len() - before, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_is_tried_again_after_five_seconds_and_at_most_a_tenth_more() {
    let (scene, receiver, id) = failing_with("500 Internal Server Error").await;
    let first = delivery(&scene, &id).await;
    let early = scene.send().await;
    scene.seconds(6).await;
    scene.send().await;
    let second = delivery(&scene, &id).await;
    let waits = (wait(&first), wait(&second));
    let fits = (5.0..=5.5).contains(&waits.0) && (300.0..=330.0).contains(&waits.1);
    assert!(fits && early == 0 && receiver.got().len() == 2, "{waits:?} {early}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_says_what_was_answered() {
    let (scene, _receiver, id) = failing_with("500 Internal Server Error").await;
    let shown = delivery(&scene, &id).await;
    assert_eq!(
        [&shown["status"], &shown["attempts"], &shown["response_status"], &shown["response_excerpt"], &shown["error"]],
        [&json!("pending"), &json!(1), &json!(500), &json!("no"), &json!("bad_status")]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_the_endpoint_asks_for_is_kept_an_hour_at_most() {
    let mut waits = Vec::new();
    for asked in ["120", "86400"] {
        let (scene, _receiver, id) = failing_with(&format!("503 Service Unavailable\r\nRetry-After: {asked}")).await;
        waits.push(wait(&delivery(&scene, &id).await));
    }
    assert_eq!(waits, [120.0, 3_600.0]);
}

/// spec: keys K43
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_a_failure() {
    let (scene, _receiver, id) = failing_with("302 Found\r\nLocation: http://127.0.0.1:1/").await;
    assert_eq!(delivery(&scene, &id).await["error"], "redirect");
}

/// spec: keys K42
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_no_longer_allowed_is_not_dialled() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (id, _) = scene.endpoint(&receiver, &["key.created"]).await;
    let client = scene.world.db.client().await;
    // What a name leads to, or what the setting allows, has changed since it was saved.
    client.execute("UPDATE webhook_endpoints SET url = 'https://10.0.0.1/hook'", &[]).await.unwrap();
    scene.key().await;
    scene.send().await;
    assert_eq!(delivery(&scene, &id).await["error"], "address_not_allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_for_five_days_is_disabled_with_an_alert() {
    let (scene, _receiver, id) = failing_with("500 Internal Server Error").await;
    scene.days(5).await;
    scene.send().await;
    let shown = scene.shown(&format!("{WEBHOOKS}/{id}")).await;
    let alerts = scene.world.alerts("watch_impaired").await;
    assert_eq!((&shown["disabled_reason"], &alerts[0]["subject"]), (&json!("failing"), &json!(id)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_ends_the_row_of_failures() {
    let (scene, receiver, id) = failing_with("500 Internal Server Error").await;
    receiver.answer("200 OK");
    scene.seconds(6).await;
    scene.send().await;
    assert_eq!(scene.shown(&format!("{WEBHOOKS}/{id}")).await["failing_since"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_tenth_attempt_a_delivery_has_failed() {
    let (scene, receiver, id) = failing_with("500 Internal Server Error").await;
    let client = scene.world.db.client().await;
    client.execute("UPDATE webhook_deliveries SET attempts = 9", &[]).await.unwrap();
    scene.seconds(6).await;
    scene.send().await;
    let shown = delivery(&scene, &id).await;
    assert_eq!(
        (&shown["status"], &shown["attempts"], &shown["next_attempt_at"], receiver.got().len()),
        (&json!("failed"), &json!(10), &Value::Null, 2)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_an_endpoint_repeats_is_not_kept() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (_, token) = scene.key().await;
    receiver.answer_with("500 Internal Server Error", &format!("{}{token}", "x".repeat(1_000)));
    let (id, _) = scene.endpoint(&receiver, &["key.created"]).await;
    scene.key().await;
    scene.send().await;
    let kept = delivery(&scene, &id).await["response_excerpt"].as_str().unwrap().to_owned();
    assert!(kept.len() <= 1_024 && kept.starts_with("xxx") && !kept.contains(&token[8..16]), "{kept}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_endpoint_takes_few_places() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    scene.endpoint(&receiver, &["key.created"]).await;
    for _ in 0..10 {
        scene.key().await;
    }
    let app = scene.world.api.app.app();
    let mut conn = app.conn().await.unwrap();
    let (now, mut taken) = (app.env.now(), Vec::new());
    for _ in 0..2 {
        let until = now + chrono::Duration::seconds(45);
        taken.push(deliveries::claim(&mut conn, app.instance, now, until, 8).await.unwrap().len());
    }
    assert_eq!(taken, [4, 0]);
}

/// Each tells the other of its end, at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_endpoints_that_are_gone_do_not_wait_for_each_other() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    receiver.answer("410 Gone");
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(scene.endpoint(&receiver, &["key.created", "alert.opened"]).await.0);
    }
    for _ in 0..3 {
        scene.key().await;
    }
    let second = scene.world.api.app.second().await;
    let workers = [worker(&scene.world.api.app), worker(&second)];
    let (one, two) = tokio::join!(workers[0].send_due(), workers[1].send_due());
    let mut states = Vec::new();
    for id in ids {
        states.push(scene.shown(&format!("{WEBHOOKS}/{id}")).await["disabled_reason"].clone());
    }
    assert_eq!((one.is_ok(), two.is_ok(), states), (true, true, vec![json!("gone"), json!("gone")]));
}
