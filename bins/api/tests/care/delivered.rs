//! What arrives: signed, once, to whom it belongs, and again when somebody asks.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    help::{KEYS, Scene, WEBHOOKS, worker},
    receiver::{Got, Receiver},
};

/// The signature of Standard Webhooks 1.0.0, reckoned here anew.
fn signature(got: &Got, secret: &str) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    let signed = format!("{}.{}.{}", got.header("webhook-id"), got.header("webhook-timestamp"), got.body);
    mac.update(signed.as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_arrives_with_a_signature_that_fits() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (_, secret) = scene.endpoint(&receiver, &["key.created"]).await;
    scene.key().await;
    scene.send().await;
    let got = receiver.got();
    assert_eq!(got[0].header("webhook-signature"), signature(&got[0], &secret));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_has_type_timestamp_and_data_and_nothing_of_the_token() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    scene.endpoint(&receiver, &["key.created"]).await;
    let (id, token) = scene.key().await;
    scene.send().await;
    let got = receiver.got();
    let (body, data) = (got[0].json(), got[0].json()["data"].clone());
    let members: Vec<String> = body.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        (members, &data["key"]["id"], &data["organization"], got[0].body.contains(&token[8..24])),
        (vec!["data".into(), "timestamp".into(), "type".into()], &json!(id), &json!("acme"), false)
    );
}

/// spec: keys K47
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_change_of_the_secret_both_sign_for_a_day_newest_first() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (id, old) = scene.endpoint(&receiver, &["key.created"]).await;
    let rotated = scene.owner("POST", &format!("{WEBHOOKS}/{id}/rotate-secret"), &json!({})).await.json();
    let new = rotated["signing_secret"].as_str().unwrap();
    scene.key().await;
    scene.send().await;
    scene.days(1).await;
    scene.key().await;
    scene.send().await;
    let got = receiver.got();
    let told: Vec<&str> = got.iter().map(|got| got.header("webhook-signature")).collect();
    let both = format!("{} {}", signature(&got[0], new), signature(&got[0], &old));
    assert_eq!(told, [both, signature(&got[1], new)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_gets_only_what_it_has_subscribed_to() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    scene.endpoint(&receiver, &["key.revoked"]).await;
    let (id, _) = scene.key().await;
    scene.owner("POST", &format!("{KEYS}/{id}/revoke"), &json!({})).await;
    scene.send().await;
    assert_eq!(receiver.types(), ["key.revoked"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_of_a_key_gets_events_of_that_key_alone() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let ((mine, _), (other, _)) = (scene.key().await, scene.key().await);
    let body = json!({"url": receiver.url, "kind": "standard", "events": ["key.disabled"], "key_id": mine});
    scene.endpoint_like(&body).await;
    for id in [&other, &mine] {
        scene.owner("POST", &format!("{KEYS}/{id}/disable"), &json!({})).await;
    }
    scene.send().await;
    let told: Vec<Value> = receiver.data_of("key.disabled").iter().map(|data| data["key"]["id"].clone()).collect();
    assert_eq!(told, [json!(mine)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rolled_back_is_never_told() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    scene.endpoint(&receiver, &["key.created"]).await;
    let client = scene.world.db.client().await;
    client
        .batch_execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
             CREATE CONSTRAINT TRIGGER late AFTER INSERT ON keys DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await
        .unwrap();
    let body = json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]});
    let refused = scene.owner("POST", KEYS, &body).await.status;
    scene.send().await;
    assert_eq!((refused >= 500, receiver.got().len()), (true, 0));
}

/// Three workers on one database, each with its instance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_workers_one_sends_each() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    scene.endpoint(&receiver, &["key.created"]).await;
    for _ in 0..12 {
        scene.key().await;
    }
    let (second, third) = (scene.world.api.app.second().await, scene.world.api.app.second().await);
    let workers = [worker(&scene.world.api.app), worker(&second), worker(&third)];
    let (one, two, three) = tokio::join!(workers[0].send_due(), workers[1].send_due(), workers[2].send_due());
    let sent: usize = [one, two, three].into_iter().map(Result::unwrap).sum();
    let mut ids: Vec<String> = receiver.got().iter().map(|got| got.header("webhook-id").to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((sent, receiver.got().len(), ids.len()), (12, 12, 12));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_rise_in_the_order_of_a_keys_events() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    scene.endpoint(&receiver, &["key.created", "key.disabled", "key.revoked"]).await;
    let (id, _) = scene.key().await;
    scene.owner("POST", &format!("{KEYS}/{id}/disable"), &json!({})).await;
    scene.owner("POST", &format!("{KEYS}/{id}/revoke"), &json!({})).await;
    scene.send().await;
    let mut told: Vec<(i64, String)> = receiver
        .got()
        .iter()
        .map(|got| (got.json()["data"]["sequence"].as_i64().unwrap(), got.json()["type"].as_str().unwrap().to_owned()))
        .collect();
    told.sort_unstable();
    let types: Vec<String> = told.into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(types, ["key.created", "key.disabled", "key.revoked"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_reaches_an_endpoint_whatever_it_has_subscribed_to() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (id, _) = scene.endpoint(&receiver, &["key.revoked"]).await;
    let tried = scene.owner("POST", &format!("{WEBHOOKS}/{id}/test"), &json!({})).await.status;
    scene.send().await;
    assert_eq!((tried, receiver.types()), (202, vec!["webhook.test".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_is_queued_again_has_the_same_id() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (id, _) = scene.endpoint(&receiver, &["key.created"]).await;
    scene.key().await;
    scene.send().await;
    let list = scene.shown(&format!("{WEBHOOKS}/{id}/deliveries")).await;
    let delivery = list["items"][0]["id"].as_str().unwrap();
    let again = scene.owner("POST", &format!("{WEBHOOKS}/{id}/deliveries/{delivery}/retry"), &json!({})).await.status;
    scene.send().await;
    let got = receiver.got();
    assert_eq!((again, got.len(), got[0].header("webhook-id")), (202, 2, got[1].header("webhook-id")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_deliveries_pages_and_filters() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (id, _) = scene.endpoint(&receiver, &["key.created"]).await;
    for _ in 0..3 {
        scene.key().await;
    }
    scene.send().await;
    let path = format!("{WEBHOOKS}/{id}/deliveries");
    let first = scene.shown(&format!("{path}?limit=2")).await;
    let second = scene.shown(&format!("{path}?limit=2&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    let failed = scene.shown(&format!("{path}?status=failed")).await;
    let count = |page: &Value| page["items"].as_array().unwrap().len();
    assert_eq!([count(&first), count(&second), count(&failed)], [2, 1, 0]);
}

/// spec: keys K48
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_had_taken_when_it_died_is_sent_by_another_one_with_the_same_id() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    scene.endpoint(&receiver, &["key.created"]).await;
    scene.key().await;
    let client = scene.world.db.client().await;
    let id: String = client.query_one("SELECT event_id::text FROM webhook_deliveries", &[]).await.unwrap().get(0);
    // As a process leaves it that was killed between taking and sending.
    let taken = "UPDATE webhook_deliveries SET attempts = 1, claimed_by = gen_random_uuid(),
                 claimed_until = next_attempt_at + interval '45 seconds'";
    client.execute(taken, &[]).await.unwrap();
    let before = scene.send().await;
    scene.seconds(46).await;
    scene.send().await;
    let got = receiver.got();
    assert_eq!((before, got.len(), got[0].header("webhook-id")), (0, 1, id.as_str()));
}
