//! Filters: what they let through, and what is refused.

use serde_json::json;

use crate::{
    help::{CHECKPOINTS, EVENTS, EXPORT, asked, ids},
    support::World,
};

/// A key with one allowed call from its usual address and one refused from another, in another country, an hour later.
struct Scene {
    world: World,
    key: String,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let (key, token) = world.key(&["checks:read"]).await;
        world.call(&token).await;
        world.api.app.advance(std::time::Duration::from_secs(3_600)).await;
        world.call_like(&asked(&token, json!({"method": "POST", "client_ip": "2001:db8::7"}))).await;
        world.sql("UPDATE audit_events SET country = 'DE' WHERE ip = '2001:db8::7'").await;
        Self { world, key }
    }

    /// Outcomes of the key's events that pass a filter, newest first.
    async fn outcomes(&self, filter: &str) -> Vec<String> {
        let page = self.world.read(&format!("{EVENTS}?actor={}&{filter}", self.key)).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let page = page.json();
        page["items"].as_array().unwrap().iter().map(|event| event["outcome"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_filter_lets_through_what_it_names() {
    let scene = Scene::new().await;
    let after = scene.world.api.app.env.now() - chrono::Duration::minutes(30);
    let at = after.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let now = scene.world.api.app.env.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let (first, second, both) = (vec!["allowed"], vec!["denied"], vec!["denied", "allowed"]);
    let asked = [
        ("limit=50".to_owned(), both.clone()),
        (format!("from={at}"), second.clone()),
        (format!("to={at}"), first.clone()),
        // From a moment on, and before a moment.
        (format!("from={now}"), second.clone()),
        (format!("to={now}"), first.clone()),
        ("action=api.call".to_owned(), both.clone()),
        ("action=api.".to_owned(), both.clone()),
        ("action=key.".to_owned(), vec![]),
        ("outcome=allowed".to_owned(), first.clone()),
        ("outcome=denied".to_owned(), second.clone()),
        ("outcome=failed".to_owned(), vec![]),
        ("ip=203.0.113.7".to_owned(), first.clone()),
        ("ip=203.0.113.0/24".to_owned(), first.clone()),
        ("ip=::ffff:203.0.113.7".to_owned(), first),
        ("ip=2001:db8::/32".to_owned(), second.clone()),
        ("ip=198.51.100.0/24".to_owned(), vec![]),
        ("country=DE".to_owned(), second.clone()),
        ("country=de".to_owned(), second),
        ("country=FR".to_owned(), vec![]),
    ];
    let mut wrong = Vec::new();
    for (filter, expected) in &asked {
        let shown = scene.outcomes(filter).await;
        if shown != *expected {
            wrong.push((filter, shown));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_takes_the_same_filters() {
    let scene = Scene::new().await;
    let filters = format!("actor={}&outcome=denied&country=de&ip=2001:db8::/32&action=api.", scene.key);
    let page = scene.world.read(&format!("{EVENTS}?{filters}")).await.json();
    let export = scene.world.read(&format!("{EXPORT}?{filters}")).await;
    let lines: Vec<serde_json::Value> = export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((ids(&json!({"items": lines})), lines.len()), (ids(&page), 1));
}

const BAD: [(&str, &str); 20] = [
    ("from=yesterday", "from: invalid_time"),
    ("from=", "from: invalid_time"),
    ("to=2026-07-01", "to: invalid_time"),
    ("to=2026-07-01T12:00:00+00:00", "to: invalid_time"),
    ("from=2026-07-01T12:00:00Z&to=2026-07-01T12:00:00Z", "to: not_after_from"),
    ("actor=", "actor: out_of_bounds"),
    ("action=key", "action: unknown_action"),
    ("action=keys.", "action: unknown_action"),
    ("action=key.create.", "action: unknown_action"),
    ("outcome=ok", "outcome: unknown_outcome"),
    ("ip=10.0.0.1/8", "ip: host_bits_set"),
    ("ip=010.0.0.1", "ip: invalid_cidr"),
    ("ip=", "ip: invalid_cidr"),
    ("country=DEU", "country: invalid_country"),
    ("country=1x", "country: invalid_country"),
    ("actions=key.", "actions: unknown_parameter"),
    ("outcome=allowed&outcome=denied", "outcome: repeated_parameter"),
    ("actor=%00", "actor: nul_character"),
    ("organization=other", "organization: unknown_parameter"),
    ("sort=asc", "sort: unknown_parameter"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_cannot_be_read_is_refused_in_lists_and_exports() {
    let world = World::new().await;
    let mut wrong = Vec::new();
    for (query, expected) in BAD {
        for path in [EVENTS, EXPORT] {
            let reply = world.read(&format!("{path}?{query}")).await;
            if (reply.status, reply.fields()) != (422, vec![expected.to_owned()]) {
                wrong.push((path, query, reply.status, reply.fields()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_has_at_most_two_hundred_characters() {
    let world = World::new().await;
    let mut seen = Vec::new();
    for length in [200, 201] {
        seen.push(world.read(&format!("{EVENTS}?actor={}", "%C3%A4".repeat(length))).await.status);
    }
    assert_eq!(seen, [200, 422]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_has_one_to_two_hundred_items() {
    let world = World::new().await;
    let mut seen = Vec::new();
    for path in [EVENTS, CHECKPOINTS] {
        for limit in ["0", "1", "200", "201", "-1", "+5", "x", ""] {
            seen.push(world.read(&format!("{path}?limit={limit}")).await.status);
        }
    }
    assert_eq!(seen, [422, 200, 200, 422, 422, 422, 422, 422].repeat(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_cannot_be_read_is_named_at_once() {
    let world = World::new().await;
    let reply = world.read(&format!("{EXPORT}?from=x&outcome=y&format=z")).await;
    assert_eq!(reply.fields(), ["from: invalid_time", "outcome: unknown_outcome", "format: unknown_format"]);
}
