//! Endpoints: made, shown, changed, taken away, and where they may be.

use serde_json::{Value, json};
use statuspulse_policy::Role;

use crate::{
    help::{KEYS, Scene, WEBHOOKS},
    receiver::Receiver,
    support::World,
};

fn at(url: &str) -> Value {
    json!({"url": url, "kind": "standard", "events": ["key.created"]})
}

/// spec: keys K40
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_not_allowed_is_refused_when_it_is_saved() {
    let world = World::new().await;
    let urls = [
        "http://example.com",
        "https://127.0.0.1",
        "https://0x7f.1",
        "https://2130706433",
        "https://169.254.169.254",
        "https://[::1]",
        "https://[::ffff:10.0.0.1]",
        "https://[64:ff9b::808:808]",
        "https://10.0.0.1",
        "https://user:p@example.com",
        "https://example.com:22",
        "https://example.com/#f",
        "ftp://example.com",
        "example.com",
    ];
    let mut told = Vec::new();
    for url in urls {
        told.push(world.owner("POST", WEBHOOKS, &at(url)).await.outcome());
    }
    assert_eq!(told, vec![(422, "url_not_allowed".to_owned()); urls.len()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_endpoints_are_slacks() {
    let world = World::new().await;
    let slack = |url: &str| json!({"url": url, "kind": "slack", "events": ["key.expiring"]});
    let mut told = Vec::new();
    for url in ["https://hooks.slack.com/services/T0/B0/x", "https://example.com/services/T0/B0/x"] {
        told.push(world.owner("POST", WEBHOOKS, &slack(url)).await.status);
    }
    assert_eq!(told, [201, 422]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signing_secret_is_in_the_answer_that_made_it_and_nowhere_else() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (id, secret) = scene.endpoint(&receiver, &["key.created"]).await;
    let shown = [scene.shown(WEBHOOKS).await, scene.shown(&format!("{WEBHOOKS}/{id}")).await];
    let leaks = shown.iter().any(|answer| answer.to_string().contains(&secret["whsec_".len()..]));
    assert!(secret.starts_with("whsec_") && !leaks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_holds_no_signing_secret() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (_, secret) = scene.endpoint(&receiver, &["key.created"]).await;
    let client = scene.world.db.client().await;
    let row = client.query_one("SELECT to_jsonb(e)::text FROM webhook_endpoints e", &[]).await.unwrap();
    let (text, bare) = (row.get::<_, String>(0), &secret["whsec_".len()..]);
    assert!(!text.contains(bare) && !text.contains(&hex(bare.as_bytes())));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_event_kind_or_key_is_named() {
    let world = World::new().await;
    let body = json!({"url": "https://example.com/hook", "kind": "xml", "events": ["key.created", "key.sold"],
        "key_id": "01890000-0000-7000-8000-000000000000"});
    let refused = world.owner("POST", WEBHOOKS, &body).await;
    assert_eq!(refused.fields(), ["kind: unknown_kind", "events[1]: unknown_event", "key_id: unknown_key"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_list_of_events_means_nothing_and_is_refused() {
    let world = World::new().await;
    let body = json!({"url": "https://example.com/hook", "kind": "standard", "events": []});
    assert_eq!(world.owner("POST", WEBHOOKS, &body).await.fields(), ["events: required"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_and_admin_make_them_an_auditor_looks_and_a_developer_does_not() {
    let world = World::new().await;
    let mut told = Vec::new();
    for (name, role) in [("ada", Role::Admin), ("dev", Role::Developer), ("aud", Role::Auditor)] {
        let person = world.api.app.person(&world.org, name, role).await;
        let browser = world.api.sign_in(&person).await;
        let made = world.api.post(WEBHOOKS).browser(&browser).json(&at("https://example.com/hook")).send().await;
        let seen = world.api.get(WEBHOOKS).cookie(&browser).send().await;
        told.push((made.status, seen.status));
    }
    assert_eq!(told, [(201, 200), (403, 403), (403, 200)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_another_organization_is_not_found() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (id, _) = scene.endpoint(&receiver, &["key.created"]).await;
    let other = scene.world.api.app.organization("other").await;
    let browser = scene.world.api.sign_in(&other.owner).await;
    let path = format!("/v1/orgs/other/webhooks/{id}");
    let mut told = Vec::new();
    for (method, path) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/test")),
        ("POST", format!("{path}/rotate-secret")),
        ("GET", format!("{path}/deliveries")),
    ] {
        told.push(scene.world.api.ask(method, &path).browser(&browser).send().await.status);
    }
    assert_eq!(told, [404; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_shown_and_has_its_event() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (id, _) = scene.endpoint(&receiver, &["key.created"]).await;
    let change = json!({"events": ["key.revoked"], "status": "disabled"});
    let changed = scene.owner("PATCH", &format!("{WEBHOOKS}/{id}"), &change).await.json();
    let events = scene.world.events("webhook.update").await;
    assert_eq!(
        (&changed["events"], &changed["status"], &changed["disabled_reason"], &events[0]["detail"]["changed"]),
        (&json!(["key.revoked"]), &json!("disabled"), &json!("person"), &json!(["events", "status"]))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fifty_first_is_refused() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    for _ in 0..50 {
        scene.endpoint(&receiver, &["key.created"]).await;
    }
    let body = json!({"url": receiver.url, "kind": "standard", "events": ["key.created"]});
    let refused = scene.owner("POST", WEBHOOKS, &body).await;
    assert_eq!(refused.fields(), ["url: webhook_limit_reached"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_is_gone_and_gets_nothing() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (id, _) = scene.endpoint(&receiver, &["key.created"]).await;
    scene.key().await;
    let deleted = scene.owner("DELETE", &format!("{WEBHOOKS}/{id}"), &json!({})).await.status;
    scene.send().await;
    assert_eq!((deleted, receiver.got().len()), (204, 0));
}

/// spec: keys K22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_leaves_endpoints_and_their_secrets_as_they_were() {
    let scene = Scene::new().await;
    let receiver = Receiver::start().await;
    let (id, _) = scene.key().await;
    let body = json!({"url": receiver.url, "kind": "standard", "events": ["key.rotated"], "key_id": id});
    scene.endpoint_like(&body).await;
    let client = scene.world.db.client().await;
    let row = "SELECT md5(to_jsonb(e)::text) FROM webhook_endpoints e";
    let before: String = client.query_one(row, &[]).await.unwrap().get(0);
    scene.owner("POST", &format!("{KEYS}/{id}/rotate"), &json!({})).await;
    let after: String = client.query_one(row, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
}
