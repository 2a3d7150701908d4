//! What is told of alerts, and what becomes visible when it can't be.

use serde_json::{Value, json};
use statuspulse_audit::AlertRule;

use crate::{
    help::{Scene, WEBHOOKS},
    receiver::Receiver,
    use_cases::{acknowledge, newest, opened, raise, resolve, round, shown},
};

const BOTH: [&str; 2] = ["alert.opened", "alert.resolved"];

async fn listening() -> (Scene, Receiver, String) {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (id, _) = scene.endpoint(&receiver, &BOTH).await;
    (scene, receiver, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_and_end_are_told_with_the_whole_alert() {
    let (scene, receiver, webhook) = listening().await;
    let id = opened(&scene, AlertRule::OutOfScope).await;
    scene.send().await;
    resolve(&scene, &id).await;
    scene.send().await;
    let (begun, ended) = (receiver.data_of("alert.opened").remove(0), receiver.data_of("alert.resolved").remove(0));
    let sent: Vec<(Value, Value)> = shown(&scene, &id).await["evidence"]["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|delivery| (delivery["event"].clone(), delivery["status"].clone()))
        .collect();
    assert_eq!(
        (&begun["alert"]["id"], &begun["alert"]["subject"]["name"], &ended["alert"]["resolution"]["note"]),
        (&json!(id), &json!("production key"), &json!("a job ran wild"))
    );
    assert_eq!(sent, BOTH.map(|event| (json!(event), json!("succeeded"))));
    assert_eq!(shown(&scene, &id).await["evidence"]["deliveries"][0]["webhook_id"], json!(webhook));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_resolves_itself_is_told_too() {
    let (scene, receiver, _) = listening().await;
    let id = opened(&scene, AlertRule::NewCountry).await;
    scene.days(1).await;
    round(&scene).await;
    scene.send().await;
    let ended = receiver.data_of("alert.resolved");
    assert_eq!(
        (ended.len(), &ended[0]["alert"]["id"], &ended[0]["alert"]["resolution"]["kind"]),
        (1, &json!(id), &json!("automatic"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_to_one_key_hears_of_its_alerts_and_of_no_other_s() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (mine, _) = scene.key().await;
    let (other, _) = scene.key().await;
    let body = json!({"url": receiver.url, "kind": "standard", "events": BOTH, "key_id": mine});
    scene.endpoint_like(&body).await;
    for key in [&mine, &other] {
        raise(&scene, AlertRule::OutOfScope, key).await;
    }
    scene.send().await;
    let told = receiver.data_of("alert.opened");
    assert_eq!((told.len(), &told[0]["alert"]["subject"]["id"]), (1, &json!(mine)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_told_again_of_an_alert_that_nobody_takes() {
    let (scene, receiver, _) = listening().await;
    let id = opened(&scene, AlertRule::IpDenied).await;
    for _ in 0..2 {
        scene.seconds(3_600).await;
        round(&scene).await;
        round(&scene).await;
        scene.send().await;
    }
    let told: Vec<Value> =
        receiver.data_of("alert.opened").iter().map(|data| data["alert"]["escalation"].clone()).collect();
    acknowledge(&scene, &id).await;
    scene.seconds(7_200).await;
    round(&scene).await;
    scene.send().await;
    assert_eq!((told, receiver.data_of("alert.opened").len()), (vec![Value::Null, json!(1)], 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_people_are_told_again_once() {
    let (scene, receiver, _) = listening().await;
    opened(&scene, AlertRule::IpDenied).await;
    scene.seconds(4 * 3_600).await;
    round(&scene).await;
    round(&scene).await;
    scene.send().await;
    let told = receiver.data_of("alert.opened");
    assert_eq!((told.len(), &told[1]["alert"]["escalation"]), (2, &json!(2)));
}

async fn readiness(scene: &Scene) -> Value {
    scene.world.api.get("/readyz").send().await.json()
}

/// spec: audit A31
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_fails_for_a_day_stays_visible_while_the_alert_is_open() {
    let (scene, receiver, webhook) = listening().await;
    receiver.answer("500 Internal Server Error");
    let id = opened(&scene, AlertRule::CredentialInUrl).await;
    for _ in 0..23 {
        scene.send().await;
        scene.seconds(3_600).await;
    }
    scene.send().await;
    round(&scene).await;
    let alert = newest(&scene).await;
    let delivery = &alert["evidence"]["deliveries"][0];
    assert_eq!(
        [
            &alert["id"],
            &alert["status"],
            &delivery["webhook_id"],
            &delivery["event"],
            &delivery["status"],
            &delivery["response_status"],
            &delivery["error"]
        ],
        [
            &json!(id),
            &json!("open"),
            &json!(webhook),
            &json!("alert.opened"),
            &json!("pending"),
            &json!(500),
            &json!("bad_status")
        ]
    );
    assert!(delivery["attempts"].as_i64().unwrap() > 3, "{delivery}");
}

/// spec: audit A31
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_that_fail_for_an_hour_make_the_service_degraded_until_they_arrive() {
    let (scene, receiver, _) = listening().await;
    receiver.answer("500 Internal Server Error");
    opened(&scene, AlertRule::CredentialInUrl).await;
    scene.send().await;
    round(&scene).await;
    let early = readiness(&scene).await;
    scene.seconds(3_600).await;
    round(&scene).await;
    let late = readiness(&scene).await;
    let metrics = scene.world.api.get("/metrics").send().await.text;
    receiver.answer("204 No Content");
    scene.send().await;
    round(&scene).await;
    let code = |answer: &Value| answer["reasons"].to_string().contains("alert_delivery_failing");
    assert_eq!(
        ([&early, &late, &readiness(&scene).await].map(code), &late["status"]),
        ([false, true, false], &json!("degraded"))
    );
    assert!(metrics.contains("statuspulse_auth_alert_deliveries_failing 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_a_person_has_switched_off_is_no_failure() {
    let (scene, receiver, webhook) = listening().await;
    receiver.answer("500 Internal Server Error");
    opened(&scene, AlertRule::CredentialInUrl).await;
    scene.send().await;
    scene.owner("PATCH", &format!("{WEBHOOKS}/{webhook}"), &json!({"status": "disabled"})).await;
    scene.seconds(3_600).await;
    round(&scene).await;
    assert!(!readiness(&scene).await["reasons"].to_string().contains("alert_delivery_failing"));
}
