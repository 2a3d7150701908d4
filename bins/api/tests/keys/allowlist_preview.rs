//! What ranges would do to the lists of many keys, from the trail (policy §9).

use serde_json::{Value, json};

use crate::{help::text, support::World};

const PREVIEW: &str = "/v1/orgs/acme/allowlist/preview";
const OFFICE: &str = "203.0.113.0/24";

impl World {
    /// A preview that must succeed, its keys by name: those that were made in one moment have no order that a test knows.
    async fn previewed(&self, body: &Value) -> Value {
        self.api.app.flush().await;
        let reply = self.owner("POST", PREVIEW, body).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let mut preview = reply.json();
        preview["keys"].as_array_mut().unwrap().sort_by_key(|key| text(&key["name"]));
        preview
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_tells_of_each_key_its_list_and_the_calls_that_it_would_refuse() {
    let world = World::new().await;
    let (held, one) = world.created(&json!({"name": "held", "allowed_cidrs": ["192.0.2.0/24"]})).await;
    let (free, two) = world.created(&json!({"name": "free"})).await;
    for ip in ["192.0.2.1", "203.0.113.9", "203.0.113.10", "198.51.100.1"] {
        world.call_from(&one, ip).await;
    }
    world.call_from(&two, "2001:db8:1::5").await;
    let source = |network: &str, calls: i64, blocked: i64| json!({"network": network, "country": null, "calls": calls, "blocked": blocked});
    let expected = json!({
        "keys": [
            {"id": free, "name": "free", "environment": "production", "had_list": false, "allowed_cidrs": [OFFICE],
             "calls": 1, "would_be_blocked": 1, "sources": [source("2001:db8:1::/48", 1, 1)]},
            {"id": held, "name": "held", "environment": "production", "had_list": true,
             "allowed_cidrs": ["192.0.2.0/24", OFFICE], "calls": 4, "would_be_blocked": 1,
             "sources": [source(OFFICE, 2, 0), source("192.0.2.0/24", 1, 0), source("198.51.100.0/24", 1, 1)]},
        ],
        "calls": 5, "would_be_blocked": 2,
    });
    assert_eq!(world.previewed(&json!({"add": [OFFICE], "keys": [held, free]})).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_changes_nothing_and_is_a_reading_of_the_trail() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let before = world.state().await;
    world.previewed(&json!({"add": [OFFICE], "keys": [id]})).await;
    let told: Vec<Value> =
        world.events("audit.read").await.iter().map(|event| event["detail"]["keys"].clone()).collect();
    assert_eq!((world.state().await, told), (before, vec![json!(1)]));
}

/// What the list of a key that is about to be made is compared with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_alone_tells_from_where_its_keys_are_used() {
    let world = World::new().await;
    let (_, one) = world.created(&json!({"name": "free", "environment": "staging"})).await;
    let (_, two) =
        world.created(&json!({"name": "held", "environment": "staging", "allowed_cidrs": ["192.0.2.0/24"]})).await;
    let (_, other) = world.created(&json!({})).await;
    for (token, ip) in [(&one, "203.0.113.9"), (&two, "192.0.2.1"), (&two, "198.51.100.1"), (&other, "203.0.113.9")] {
        world.call_from(token, ip).await;
    }
    let preview = world.previewed(&json!({"environment": "staging"})).await;
    let mut networks: Vec<String> = preview["keys"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|key| key["sources"].as_array().unwrap().iter().map(|source| text(&source["network"])))
        .collect();
    networks.sort();
    let seen = (networks, &preview["calls"], &preview["would_be_blocked"], &preview["keys"][0]["allowed_cidrs"]);
    let expected = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"].map(str::to_owned).to_vec();
    assert_eq!(seen, (expected, &json!(3), &json!(1), &Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_names_the_twenty_busiest_sources_and_counts_all() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    for number in 0..22 {
        world.call_from(&token, &format!("198.51.{number}.1")).await;
    }
    let preview = world.previewed(&json!({"add": [OFFICE], "keys": [id]})).await;
    let key = &preview["keys"][0];
    assert_eq!(
        (key["sources"].as_array().unwrap().len(), &key["calls"], &preview["would_be_blocked"]),
        (20, &json!(22), &json!(22))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_tries_networks_of_any_width_and_looks_back_as_far_as_it_is_asked() {
    let mut world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.call_from(&token, "192.0.2.1").await;
    world.later(crate::help::DAY * 8).await;
    let body = |days: i64| json!({"add": ["0.0.0.0/0"], "keys": [id], "days": days});
    let seen = [world.previewed(&body(7)).await, world.previewed(&body(9)).await];
    let seen = seen.map(|preview| [preview["calls"].clone(), preview["would_be_blocked"].clone()]);
    assert_eq!(seen, [[json!(0), json!(0)], [json!(1), json!(0)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_that_cannot_be_read_is_refused_by_name() {
    let world = World::new().await;
    let many: Vec<String> = (0..50).map(|number| format!("198.51.{number}.0/24")).collect();
    let (full, _) = world.created(&json!({"allowed_cidrs": many})).await;
    let asked = [
        (json!({}), "keys: required".to_owned()),
        (json!({"environment": "production", "days": 31}), "days: out_of_bounds".to_owned()),
        (json!({"environment": "production", "add": ["10.0.0.1/8"]}), "add[0]: host_bits_set".to_owned()),
        (json!({"environment": "production", "create_lists": true}), "create_lists: unknown_field".to_owned()),
        (json!({"keys": [full], "add": [OFFICE]}), format!("keys.{full}: too_many_entries")),
    ];
    let mut wrong = Vec::new();
    for (body, expected) in asked {
        let reply = world.owner("POST", PREVIEW, &body).await;
        if (reply.status, reply.fields()) != (422, vec![expected]) {
            wrong.push((body, reply.text));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// More pairs of key and address than are looked at: what is told is whole, or nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_were_used_from_too_many_addresses_are_told_to_come_again() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.call_from(&token, "192.0.2.1").await;
    world.api.app.flush().await;
    world
        .sql(&format!(
            "INSERT INTO audit_events SELECT (e).* FROM (
                 SELECT jsonb_populate_record(held, jsonb_build_object('ip', ('10.0.0.0'::inet + n)::text,
                     'sequence', held.sequence + 1000000 + n, 'id', gen_random_uuid())) AS e
                 FROM audit_events held, generate_series(1, 50001) n
                 WHERE held.actor_id = '{id}' AND held.action = 'api.call') AS made"
        ))
        .await;
    let reply = world.owner("POST", PREVIEW, &json!({"add": [OFFICE], "keys": [id]})).await;
    assert_eq!(reply.outcome(), (503, "unavailable".to_owned()));
}
