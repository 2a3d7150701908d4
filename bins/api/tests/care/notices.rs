//! Notices of an end, of keys and of client secrets.

use serde_json::{Value, json};
use statuspulse_app::keys::notices;

use crate::{
    help::{ALL, KEYS, Scene},
    receiver::Receiver,
};

const ENDS: [&str; 2] = ["key.expiring", "key.expired"];

async fn watched() -> (Scene, Receiver) {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    // Without the gateway's key, which ends like any other.
    let client = scene.world.db.client().await;
    client.execute("UPDATE keys SET revoked_at = created_at", &[]).await.unwrap();
    scene.endpoint(&receiver, &ENDS).await;
    (scene, receiver)
}

fn days_left(receiver: &Receiver) -> Vec<Value> {
    receiver.data_of("key.expiring").iter().map(|data| data["days_left"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_threshold_is_told_once_and_then_the_end() {
    let (scene, receiver) = watched().await;
    scene.key().await;
    for _ in 0..91 {
        scene.days(1).await;
        scene.give_notices().await;
        scene.give_notices().await;
        scene.send().await;
    }
    assert_eq!(
        (days_left(&receiver), receiver.data_of("key.expired").len()),
        (vec![json!(30), json!(14), json!(7), json!(3), json!(1)], 1)
    );
}

/// spec: keys K38
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_tell_a_threshold_once() {
    let (scene, receiver) = watched().await;
    scene.key().await;
    let (second, third) = (scene.world.api.app.second().await, scene.world.api.app.second().await);
    scene.days(60).await;
    let apps = [scene.world.api.app.app(), second.app(), third.app()];
    let (one, two, three) = tokio::join!(notices::pass(&apps[0]), notices::pass(&apps[1]), notices::pass(&apps[2]));
    // The rounds that each instance makes at its start may have been faster; what counts is what was told.
    for round in [one, two, three] {
        round.unwrap();
    }
    scene.send().await;
    assert_eq!(days_left(&receiver), [json!(30)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_the_nearest_is_told_and_the_others_are_marked_as_skipped() {
    let (scene, receiver) = watched().await;
    scene.key().await;
    scene.days(88).await;
    scene.give_notices().await;
    scene.send().await;
    let client = scene.world.db.client().await;
    let rows = client.query("SELECT threshold_days FROM key_notices WHERE skipped ORDER BY 1", &[]).await.unwrap();
    let skipped: Vec<i16> = rows.iter().map(|row| row.get(0)).collect();
    let told = receiver.data_of("key.expiring");
    assert_eq!((&told[0]["threshold_days"], &told[0]["days_left"], skipped), (&json!(3), &json!(2), vec![7, 14, 30]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_three_days_is_told_of_its_last_one_alone() {
    let (scene, receiver) = watched().await;
    scene.key_like(|key| key.expires_in_days = Some(3)).await;
    let mut given = Vec::new();
    for _ in 0..3 {
        given.push(scene.give_notices().await);
        scene.days(1).await;
    }
    scene.send().await;
    assert_eq!((given, days_left(&receiver)), (vec![0, 0, 1], vec![json!(1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotated_and_revoked_versions_give_none() {
    let (scene, receiver) = watched().await;
    let ((rotated, _), (revoked, _)) = (scene.key().await, scene.key().await);
    scene.days(50).await;
    scene.owner("POST", &format!("{KEYS}/{rotated}/rotate"), &json!({"overlap_seconds": 604_800})).await;
    scene.owner("POST", &format!("{KEYS}/{revoked}/revoke"), &json!({})).await;
    scene.days(20).await;
    scene.give_notices().await;
    scene.send().await;
    assert!(days_left(&receiver).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_of_long_ago_is_no_news() {
    let (scene, receiver) = watched().await;
    scene.key_like(|key| key.expires_in_days = Some(1)).await;
    scene.days(40).await;
    scene.give_notices().await;
    scene.send().await;
    assert!(receiver.types().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_has_its_event_in_the_trail() {
    let (scene, _receiver) = watched().await;
    let (id, _) = scene.key_like(|key| key.expires_in_days = Some(1)).await;
    scene.days(1).await;
    scene.give_notices().await;
    let events = scene.world.events("key.expire").await;
    assert_eq!((events.len(), &events[0]["detail"]["key_id"]), (1, &json!(id)));
}

/// spec: keys K39
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_would_call_everybody_is_inert_in_slack() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let slack = json!({"url": receiver.url, "kind": "slack", "events": ALL});
    scene.endpoint_like(&slack).await;
    scene.key_like(|key| key.name = "<!channel> <https://evil|x>".into()).await;
    scene.days(60).await;
    scene.give_notices().await;
    scene.send().await;
    let texts: Vec<String> = receiver.got().iter().map(|got| got.body.clone()).collect();
    let live = texts.iter().any(|text| text.contains("<!channel>") || text.contains("<https://evil"));
    assert!(texts.len() >= 2 && !live, "{texts:?}");
}

/// spec: oauth N9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_secret_is_told_seven_and_one_days_before_its_end() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    scene.endpoint(&receiver, &["app.secret_expiring"]).await;
    let app = json!({"name": "Sync", "kind": "confidential", "redirect_uris": ["https://app.example/cb"], "scopes": ["checks:read"]});
    let id = scene.owner("POST", "/v1/orgs/acme/apps", &app).await.json()["app"]["id"].as_str().unwrap().to_owned();
    let added = json!({"overlap_seconds": 1_209_600});
    assert_eq!(scene.owner("POST", &format!("/v1/orgs/acme/apps/{id}/secrets"), &added).await.status, 201);
    for _ in 0..14 {
        scene.give_notices().await;
        scene.send().await;
        scene.days(1).await;
    }
    let told: Vec<Value> =
        receiver.data_of("app.secret_expiring").iter().map(|data| data["days_left"].clone()).collect();
    assert_eq!(told, [json!(7), json!(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_read_keeps_no_other_key_from_being_looked_after() {
    let (scene, receiver) = watched().await;
    let (broken, _) = scene.key_like(|key| key.auto_rotate = true).await;
    scene.key_like(|key| key.auto_rotate = true).await;
    scene.days(84).await;
    let client = scene.world.db.client().await;
    let spoil = format!(
        "ALTER TABLE key_versions DROP CONSTRAINT key_versions_state_check;
         UPDATE key_versions SET state = 'odd', expires_at = expires_at - interval '1 hour' WHERE key_id = '{broken}'"
    );
    client.batch_execute(&spoil).await.unwrap();
    let prepared = scene.prepare_successors().await;
    scene.give_notices().await;
    scene.send().await;
    assert_eq!((prepared, days_left(&receiver).len()), (1, 1));
}
