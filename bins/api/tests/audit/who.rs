//! Who may read what.

use serde_json::{Value, json};
use statuspulse_app::audit::erase;
use statuspulse_policy::Role;

use crate::{
    help::{CHECKPOINTS, EVENTS, EXPORT, KEYS, ids},
    support::{Browser, PEER, World},
};

fn not_sufficient() -> (u16, String) {
    (403, "role_not_sufficient".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_no_developer_and_a_key_with_the_scope_read_everything() {
    let world = World::new().await;
    let (_, reader) = world.key(&["audit:read"]).await;
    let mut seen = Vec::new();
    for path in [EVENTS, EXPORT, CHECKPOINTS] {
        for role in [Role::Admin, Role::Auditor] {
            let person = world.api.app.person(&world.org, &format!("{role:?}{}", seen.len()), role).await;
            let browser = world.api.sign_in(&person).await;
            seen.push(world.read_as(&browser, path).await.status);
        }
        seen.push(world.read(path).await.status);
        seen.push(world.read_with(&reader, path).await.status);
    }
    assert_eq!(seen, [200; 12]);
}

/// spec: audit A16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_the_scope_reads_nothing() {
    let world = World::new().await;
    let (_, token) = world.key(&["keys:read", "apps:read", "credentials:verify", "checks:read"]).await;
    let event = ids(&world.read(EVENTS).await.json()).remove(0);
    let mut seen = Vec::new();
    for path in [EVENTS, EXPORT, CHECKPOINTS, &format!("{EVENTS}/{event}")] {
        let reply = world.read_with(&token, path).await;
        seen.push((reply.outcome(), reply.header("www-authenticate").contains("audit:read")));
    }
    assert_eq!(seen, vec![((403, "insufficient_scope".to_owned()), true); 4]);
}

/// A developer with an own key, and a key of somebody else; each was used once.
struct Developer {
    world: World,
    browser: Browser,
    own: String,
    other: String,
}

impl Developer {
    async fn new() -> Self {
        let world = World::new().await;
        let browser = world.somebody(Role::Developer).await;
        let body = json!({"name": "mine", "environment": "production", "scopes": ["checks:read"]});
        let made = world.api.post(KEYS).browser(&browser).json(&body).send().await.json();
        world.call(made["token"].as_str().unwrap()).await;
        let (other, token) = world.key(&["checks:read"]).await;
        world.call(&token).await;
        Self { world, browser, own: made["key"]["id"].as_str().unwrap().to_owned(), other }
    }

    async fn outcome(&self, path: &str) -> (u16, String) {
        self.world.read_as(&self.browser, path).await.outcome()
    }

    /// The event of the one call of a key.
    async fn event_of(&self, key: &str) -> String {
        ids(&self.world.read(&format!("{EVENTS}?actor={key}")).await.json()).remove(0)
    }
}

/// spec: audit A16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_who_asks_for_more_than_an_own_key_is_refused() {
    let scene = Developer::new().await;
    let person = scene.world.org.owner.id;
    let mut seen = Vec::new();
    for path in [EVENTS, EXPORT] {
        for filter in
            ["", "?action=api.call", &format!("?actor={}", scene.other), &format!("?actor={person}"), "?actor=me"]
        {
            seen.push(scene.outcome(&format!("{path}{filter}")).await);
        }
    }
    seen.push(scene.outcome(CHECKPOINTS).await);
    seen.push(scene.outcome(&format!("{EVENTS}/{}", scene.event_of(&scene.other).await)).await);
    assert_eq!(seen, vec![not_sufficient(); 12]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_reads_the_events_of_an_own_key() {
    let scene = Developer::new().await;
    let event = scene.event_of(&scene.own).await;
    let page = scene.world.read_as(&scene.browser, &format!("{EVENTS}?actor={}", scene.own)).await.json();
    let export = scene.world.read_as(&scene.browser, &format!("{EXPORT}?actor={}", scene.own)).await;
    let shown = scene.world.read_as(&scene.browser, &format!("{EVENTS}/{event}")).await;
    assert_eq!(
        (ids(&page), export.text.lines().count(), shown.json()["id"].as_str()),
        (vec![event.clone()], 1, Some(event.as_str()))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_by_its_id_is_what_the_list_shows() {
    let world = World::new().await;
    let page = world.read(EVENTS).await.json();
    let mut different = Vec::new();
    for event in page["items"].as_array().unwrap() {
        let shown = world.read(&format!("{EVENTS}/{}", event["id"].as_str().unwrap())).await.json();
        if shown != *event {
            different.push((event.clone(), shown));
        }
    }
    assert!(different.is_empty(), "{different:?}");
}

/// spec: audit A35
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_another_organization_is_not_found_erased_or_not() {
    let world = World::new().await;
    let other = world.api.app.organization("other").await;
    let stranger = world.api.sign_in(&other.owner).await;
    let (id, token) = world.key(&["checks:read"]).await;
    world.call(&token).await;
    let event = ids(&world.read(&format!("{EVENTS}?actor={id}")).await.json()).remove(0);
    let mut seen = Vec::new();
    for erased in [false, true] {
        if erased {
            let app = world.api.app.app();
            erase::erase(&app, &world.api.app.operator(), PEER.parse().unwrap(), None).await.unwrap();
        }
        let theirs = world.read_as(&stranger, &format!("/v1/orgs/other/audit/events/{event}")).await.outcome();
        let ours = world.read(&format!("{EVENTS}/{event}")).await;
        seen.push((theirs, ours.status, ours.json()["ip"].clone()));
    }
    let not_found = (404, "not_found".to_owned());
    assert_eq!(seen, [(not_found.clone(), 200, json!(PEER)), (not_found, 200, Value::Null)]);
}

/// spec: audit A35
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_is_not_found() {
    let world = World::new().await;
    let mut seen = Vec::new();
    for id in [
        "nothing",
        "00000000-0000-0000-0000-000000000000",
        "00000000-0000-1000-8000-000000000000",
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "ffffffff-ffff-6fff-bfff-ffffffffffff",
    ] {
        seen.push(world.read(&format!("{EVENTS}/{id}")).await.outcome());
    }
    assert_eq!(seen, vec![(404, "not_found".to_owned()); 5]);
}

/// spec: audit A35
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_holds_nothing_of_another_organization() {
    let world = World::new().await;
    let other = world.api.app.organization("other").await;
    let stranger = world.api.sign_in(&other.owner).await;
    let (_, token) = world.key(&["checks:read"]).await;
    world.call(&token).await;
    let theirs = world.read_as(&stranger, "/v1/orgs/other/audit/export").await.text;
    let whose: Vec<Value> =
        theirs.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["organization_id"].clone()).collect();
    let id = json!(other.access.organization.id.to_string());
    assert!(!whose.is_empty() && whose.iter().all(|organization| *organization == id), "{theirs}");
    assert_eq!(world.read_as(&stranger, EVENTS).await.status, 404);
}
