//! Ranges for the lists of many keys at once: all of them or none (policy §4).

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use statuspulse_policy::Role;
use statuspulse_testkit::eventually;

use crate::{
    help::{path, text},
    support::{Reply, World},
};

const ADD: &str = "/v1/orgs/acme/allowlist/add";
const OFFICE: &str = "203.0.113.0/24";

impl World {
    /// As the owner: ranges for keys.
    async fn add(&self, fields: &Value) -> Reply {
        self.owner("POST", ADD, fields).await
    }

    /// The same, of the office and of named keys.
    async fn add_office(&self, ids: &[&str]) -> Reply {
        self.add(&json!({"add": [OFFICE], "keys": ids})).await
    }

    /// A key with a list: its id and its token.
    async fn listed(&self, list: &[&str]) -> (String, String) {
        self.created(&json!({"allowed_cidrs": list})).await
    }

    /// The list of a key.
    async fn list_of(&self, id: &str) -> Value {
        self.shown(id).await["allowed_cidrs"].clone()
    }
}

/// Ids of the keys of one half of the answer, sorted: keys that were made in one moment have no order that a test knows.
fn ids_of(reply: &Reply, half: &str) -> Vec<String> {
    let json = reply.json();
    sorted(json[half].as_array().unwrap().iter().map(|key| text(&key["id"])))
}

fn sorted(ids: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut ids: Vec<String> = ids.into_iter().collect();
    ids.sort();
    ids
}

/// A key of one half of the answer.
fn found<'a>(keys: &'a Value, id: &str) -> &'a Value {
    keys.as_array().unwrap().iter().find(|key| key["id"] == id).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_stand_behind_those_of_each_named_key_and_of_no_other() {
    let world = World::new().await;
    let (one, _) = world.listed(&["192.0.2.0/24"]).await;
    let (two, _) = world.listed(&["198.51.100.7", "2001:db8::/48"]).await;
    let (other, _) = world.listed(&["192.0.2.0/24"]).await;
    let reply = world.add_office(&[&one, &two]).await;
    let lists = [world.list_of(&one).await, world.list_of(&two).await, world.list_of(&other).await];
    let expected =
        [json!(["192.0.2.0/24", OFFICE]), json!(["198.51.100.7/32", "2001:db8::/48", OFFICE]), json!(["192.0.2.0/24"])];
    assert_eq!((reply.status, ids_of(&reply, "changed"), lists), (200, sorted([one, two]), expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_shows_each_changed_key_as_it_is_now() {
    let world = World::new().await;
    let (id, _) = world.listed(&["192.0.2.0/24"]).await;
    let mut answer = world.add_office(&[&id]).await.json();
    let warnings = answer["changed"][0].as_object_mut().unwrap().remove("warnings");
    assert_eq!((answer, warnings), (json!({"changed": [world.shown(&id).await], "unchanged": []}), Some(json!([]))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_from_the_new_range_are_accepted_at_once() {
    let world = World::new().await;
    let (id, token) = world.listed(&["192.0.2.0/24"]).await;
    let before = world.call_from(&token, "203.0.113.9").await;
    world.add_office(&[&id]).await;
    let after = [world.call_from(&token, "203.0.113.9").await, world.call_from(&token, "192.0.2.1").await];
    assert_eq!((before.as_str(), after), ("ip_not_allowed", ["allowed".to_owned(), "allowed".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_means_its_living_keys_and_no_others() {
    let world = World::new().await;
    let staging = |list: &[&str]| json!({"environment": "staging", "allowed_cidrs": list});
    let (active, _) = world.created(&staging(&["192.0.2.0/24"])).await;
    let (disabled, _) = world.created(&staging(&["192.0.2.0/24"])).await;
    let (revoked, _) = world.created(&staging(&["192.0.2.0/24"])).await;
    let (expired, _) = world.created(&staging(&["192.0.2.0/24"])).await;
    world.listed(&["192.0.2.0/24"]).await;
    world.verb(&disabled, "disable", &json!({})).await;
    world.verb(&revoked, "revoke", &json!({})).await;
    world.patch(&expired, &json!({"expires_at": world.now() + crate::help::HOUR})).await;
    world.api.app.clock().advance(crate::help::HOUR);
    let reply = world.add(&json!({"add": [OFFICE], "environment": "staging"})).await;
    let seen = (ids_of(&reply, "changed"), ids_of(&reply, "unchanged"));
    assert_eq!(seen, (sorted([active, disabled]), vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_left_as_it_is_is_told_with_the_reason() {
    let world = World::new().await;
    let (free, _) = world.created(&json!({})).await;
    let (has, _) = world.listed(&["203.0.113.0/24", "192.0.2.0/24"]).await;
    let (any, _) = world.created(&json!({"allowed_cidrs": ["192.0.2.0/24"], "allow_any": true})).await;
    let before = world.state().await;
    let reply = world.add_office(&[&free, &has, &any]).await;
    let reasons = [&free, &has, &any].map(|id| found(&reply.json()["unchanged"], id)["reason"].clone());
    let expected = ["no_list", "already_listed", "allows_any"].map(|reason| json!(reason));
    assert_eq!((ids_of(&reply, "changed"), reasons, world.state().await), (vec![], expected, before));
}

/// It would turn "from anywhere" into "only from here".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_a_list_gets_one_only_when_that_is_said() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.add_office(&[&id]).await;
    let before = world.call_from(&token, "192.0.2.1").await;
    world.add(&json!({"add": [OFFICE], "keys": [id], "create_lists": true})).await;
    let after = world.call_from(&token, "192.0.2.1").await;
    assert_eq!((before, after, world.list_of(&id).await), ("allowed".into(), "ip_not_allowed".into(), json!([OFFICE])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_created_list_warns_of_the_recent_sources_that_it_blocks() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    let (quiet, _) = world.created(&json!({})).await;
    world.call_from(&token, "192.0.2.1").await;
    world.api.app.flush().await;
    let reply = world.add(&json!({"add": [OFFICE], "keys": [id, quiet], "create_lists": true})).await.json();
    let codes = [&id, &quiet].map(|id| found(&reply["changed"], id)["warnings"][0]["code"].clone());
    assert_eq!(codes, [json!("blocks_recent_source"), Value::Null]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_network_on_production_keys_deserves_a_warning_of_each() {
    let world = World::new().await;
    let (id, _) = world.listed(&["192.0.2.0/24"]).await;
    let reply = world.add(&json!({"add": ["10.0.0.0/8"], "keys": [id]})).await.json();
    let warning = &reply["changed"][0]["warnings"][0];
    assert_eq!([&warning["code"], &warning["field"]], [&json!("private_network"), &json!("allowed_cidrs[1]")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_list_that_would_be_too_long_changes_none_and_names_its_key() {
    let world = World::new().await;
    let many: Vec<String> = (0..50).map(|number| format!("198.51.{number}.0/24")).collect();
    let (full, _) = world.created(&json!({"allowed_cidrs": many})).await;
    let (fits, _) = world.listed(&["192.0.2.0/24"]).await;
    let before = world.state().await;
    let reply = world.add_office(&[&fits, &full]).await;
    let seen = (reply.status, reply.fields(), world.state().await);
    assert_eq!(seen, (422, vec![format!("keys.{full}: too_many_entries")], before));
}

/// A full list that has the range already is not too long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_that_are_there_do_not_count_twice() {
    let world = World::new().await;
    let many: Vec<String> = (0..49).map(|number| format!("198.51.{number}.0/24")).collect();
    let (id, _) = world.created(&json!({"allowed_cidrs": many})).await;
    let reply = world.add(&json!({"add": ["198.51.7.0/24", OFFICE], "keys": [id]})).await;
    assert_eq!((reply.status, world.list_of(&id).await.as_array().unwrap().len()), (200, 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_refused_by_name_and_changes_nothing() {
    let world = World::new().await;
    let (id, _) = world.listed(&["192.0.2.0/24"]).await;
    let ranges: Vec<String> = (0..51).map(|number| format!("198.51.{number}.0/24")).collect();
    let asked = [
        (json!({"keys": [id]}), "add: required"),
        (json!({"add": [], "keys": [id]}), "add: empty_allowlist"),
        (json!({"add": ranges, "keys": [id]}), "add: too_many_entries"),
        (json!({"add": [OFFICE, "0.0.0.0/0"], "keys": [id]}), "add[1]: allows_everything"),
        (json!({"add": ["8.0.0.0/7"], "keys": [id]}), "add[0]: too_wide"),
        (json!({"add": ["10.0.0.1/8"], "keys": [id]}), "add[0]: host_bits_set"),
        (json!({"add": [OFFICE]}), "keys: required"),
        (json!({"add": [OFFICE], "keys": [id], "environment": "production"}), "environment: keys_and_environment"),
        (json!({"add": [OFFICE], "keys": []}), "keys: out_of_bounds"),
        (json!({"add": [OFFICE], "keys": vec![id.clone(); 201]}), "keys: out_of_bounds"),
        (json!({"add": [OFFICE], "keys": [id, "mine"]}), "keys[1]: unknown_key"),
        (json!({"add": [OFFICE], "environment": "moon"}), "environment: unknown_environment"),
        (json!({"add": [OFFICE], "keys": [id], "allow_any": true}), "allow_any: unknown_field"),
        (
            json!({"add": [OFFICE], "keys": [id], "notes": {"192.0.2.0/24": "lab"}}),
            "notes.192.0.2.0/24: not_in_allowlist",
        ),
        (
            json!({"add": [OFFICE], "keys": [id], "notes": {OFFICE: "x".repeat(201)}}),
            "notes.203.0.113.0/24: invalid_note",
        ),
    ];
    let before = world.state().await;
    let mut wrong = Vec::new();
    for (body, expected) in asked {
        let reply = world.add(&body).await;
        if (reply.status, reply.fields()) != (422, vec![expected.to_owned()]) {
            wrong.push((body, reply.text));
        }
    }
    assert!(wrong.is_empty() && world.state().await == before, "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_named_twice_is_changed_once() {
    let world = World::new().await;
    let (id, _) = world.listed(&["192.0.2.0/24"]).await;
    let reply = world.add_office(&[&id, &id]).await;
    let events = world.events("key.update").await.len();
    assert_eq!(
        (ids_of(&reply, "changed").len(), world.list_of(&id).await, events),
        (1, json!(["192.0.2.0/24", OFFICE]), 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_key_that_is_named_changes_none() {
    let world = World::new().await;
    let (alive, _) = world.listed(&["192.0.2.0/24"]).await;
    let (revoked, _) = world.listed(&["192.0.2.0/24"]).await;
    let (expired, _) = world.listed(&["192.0.2.0/24"]).await;
    world.verb(&revoked, "revoke", &json!({})).await;
    world.patch(&expired, &json!({"expires_at": world.now() + crate::help::HOUR})).await;
    world.api.app.clock().advance(crate::help::HOUR);
    let before = world.state().await;
    let reply = world.add_office(&[&alive, &revoked, &expired]).await;
    let expected = ["keys[1]: key_revoked", "keys[2]: key_expired"].map(str::to_owned).to_vec();
    assert_eq!((reply.status, reply.fields(), world.state().await), (422, expected, before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_go_with_new_ranges_and_those_that_are_there_keep_theirs() {
    let world = World::new().await;
    let fields = json!({"allowed_cidrs": ["192.0.2.0/24"], "allowlist_notes": {"192.0.2.0/24": "lab"}});
    let (id, _) = world.created(&fields).await;
    let notes = json!({"192.0.2.0/24": "overwritten", "203.0.113.7": "office"});
    let reply = world.add(&json!({"add": ["192.0.2.0/24", "203.0.113.7"], "notes": notes, "keys": [id]})).await;
    let expected = json!({"192.0.2.0/24": "lab", "203.0.113.7/32": "office"});
    assert_eq!((reply.status, &world.shown(&id).await["allowlist_notes"]), (200, &expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_pasted_into_a_note_is_refused() {
    let world = World::new().await;
    let (id, token) = world.listed(&["192.0.2.0/24"]).await;
    let reply = world.add(&json!({"add": [OFFICE], "notes": {OFFICE: token}, "keys": [id]})).await;
    assert_eq!((reply.fields(), reply.text.contains(&token)), (vec![format!("notes.{OFFICE}: holds_secret")], false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_changed_key_has_its_event_and_all_have_one_number_of_the_feed() {
    let world = World::new().await;
    let (one, _) = world.listed(&["192.0.2.0/24"]).await;
    let (two, _) = world.listed(&["192.0.2.0/24"]).await;
    let (free, _) = world.created(&json!({})).await;
    world.add_office(&[&one, &two, &free]).await;
    let stamped = world.texts("SELECT id::text FROM keys WHERE seq = (SELECT seq FROM key_feed) ORDER BY id").await;
    let events = world.events("key.update").await;
    let mut told: Vec<(String, Value)> =
        events.iter().map(|e| (text(&e["detail"]["key_id"]), e["detail"]["changed"].clone())).collect();
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let ids = sorted([one, two]);
    let expected: Vec<_> = ids.iter().map(|id| (id.clone(), json!(["allowed_cidrs"]))).collect();
    assert_eq!((told, stamped), (expected, ids));
}

/// Another organization's keys, by their ids, in one's own organization.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_key_among_the_named_ones_changes_none_and_looks_like_one_that_is_not_there() {
    let world = World::new().await;
    let (foreign, _) = world.listed(&["192.0.2.0/24"]).await;
    let other = world.api.app.organization("other").await;
    let stranger = world.api.sign_in(&other.owner).await;
    let ask = |path: &'static str, body: Value| world.api.post(path).browser(&stranger).json(&body).send();
    let own = json!({"name": "own", "environment": "production", "scopes": ["checks:read"], "allowed_cidrs": ["192.0.2.0/24"]});
    let own = text(&ask("/v1/orgs/other/keys", own).await.json()["key"]["id"]);
    let missing = "00000000-0000-7000-8000-000000000000";
    let before = world.state().await;
    let mut seen = Vec::new();
    for id in [foreign.as_str(), missing] {
        for path in ["/v1/orgs/other/allowlist/add", "/v1/orgs/other/allowlist/preview"] {
            let reply = ask(path, json!({"add": [OFFICE], "keys": [own, id]})).await;
            seen.push((reply.status, reply.fields(), reply.json()["errors"][0]["detail"].clone()));
        }
    }
    let detail = json!("there is no such key in this organization");
    let expected = vec![(422, vec!["keys[1]: unknown_key".to_owned()], detail); 4];
    assert_eq!((seen, world.state().await), (expected, before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_organization_is_not_found_and_its_environment_not_changed() {
    let world = World::new().await;
    world.listed(&["192.0.2.0/24"]).await;
    let other = world.api.app.organization("other").await;
    let stranger = world.api.sign_in(&other.owner).await;
    let before = world.state().await;
    let body = json!({"add": [OFFICE], "environment": "production", "create_lists": true});
    let foreign = world.api.post(ADD).browser(&stranger).json(&body).send().await;
    let own = world.api.post("/v1/orgs/other/allowlist/add").browser(&stranger).json(&body).send().await;
    let seen = (foreign.outcome(), own.json(), world.state().await);
    assert_eq!(seen, ((404, "not_found".into()), json!({"changed": [], "unchanged": []}), before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_changes_no_key_of_scopes_that_are_out_of_reach_and_none_beside_it() {
    let world = World::new().await;
    let person = world.api.app.person(&world.org, "dev", Role::Developer).await;
    let developer = world.api.sign_in(&person).await;
    let (within, _) = world.listed(&["192.0.2.0/24"]).await;
    let (beyond, _) = world.created(&json!({"scopes": ["audit:read"], "allowed_cidrs": ["192.0.2.0/24"]})).await;
    let ask = async |ids: &[&str]| {
        let body = json!({"add": [OFFICE], "keys": ids});
        world.api.post(ADD).browser(&developer).json(&body).send().await
    };
    let before = world.state().await;
    let refused = ask(&[&within, &beyond]).await;
    let named = refused.json()["detail"].as_str().unwrap().contains(&beyond);
    let kept = world.state().await == before;
    let allowed = ask(&[&within]).await.status;
    assert_eq!((refused.outcome(), named, kept, allowed), ((403, "scope_not_grantable".into()), true, true, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_previews_and_adds_nothing() {
    let world = World::new().await;
    let person = world.api.app.person(&world.org, "auditor", Role::Auditor).await;
    let auditor = world.api.sign_in(&person).await;
    let (id, _) = world.listed(&["192.0.2.0/24"]).await;
    let body = json!({"add": [OFFICE], "keys": [id]});
    let before = world.state().await;
    let added = world.api.post(ADD).browser(&auditor).json(&body).send().await;
    let previewed = world.api.post("/v1/orgs/acme/allowlist/preview").browser(&auditor).json(&body).send().await;
    let seen = (added.outcome(), previewed.status, world.state().await);
    assert_eq!(seen, ((403, "role_not_sufficient".into()), 200, before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_under_way_is_waited_for_and_not_overwritten() {
    let world = World::new().await;
    let (id, _) = world.listed(&["192.0.2.0/24"]).await;
    let (other, _) = world.listed(&["192.0.2.0/24"]).await;
    let client = world.db.client().await;
    let edit =
        format!("BEGIN; UPDATE keys SET allowed_cidrs = allowed_cidrs || '198.51.100.0/24'::cidr WHERE id = '{id}'");
    client.batch_execute(&edit).await.unwrap();
    let released = async {
        let waiting = "SELECT count(*)::text FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR NO KEY UPDATE%'";
        eventually("the locked key is waited for", async || world.texts(waiting).await != ["0"]).await;
        client.batch_execute("COMMIT").await.unwrap();
    };
    let ids = [id.as_str(), other.as_str()];
    let (reply, ()) = join(world.add_office(&ids), released).await;
    let lists = [world.list_of(&id).await, world.list_of(&other).await];
    let expected = [json!(["192.0.2.0/24", "198.51.100.0/24", OFFICE]), json!(["192.0.2.0/24", OFFICE])];
    assert_eq!((reply.status, lists), (200, expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_additions_at_once_on_two_instances_none_is_lost_whatever_the_order_of_the_keys() {
    let world = World::new().await;
    let second = world.second().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(world.listed(&["192.0.2.0/24"]).await.0);
    }
    let asks = (0..20).map(|number| {
        let api = if number % 2 == 0 { &world.api } else { &second };
        let mut ids = ids.clone();
        if number % 3 == 0 {
            ids.reverse();
        }
        let body = json!({"add": [format!("198.51.{number}.0/24")], "keys": ids});
        api.post(ADD).browser(&world.owner).json(&body).send()
    });
    let statuses: Vec<u16> = join_all(asks).await.iter().map(|reply| reply.status).collect();
    let mut lengths = Vec::new();
    for id in &ids {
        lengths.push(world.list_of(id).await.as_array().unwrap().len());
    }
    assert_eq!((statuses, lengths), (vec![200; 20], vec![21; 4]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_changes_meanwhile_is_kept() {
    let world = World::new().await;
    let (id, _) = world.listed(&["192.0.2.0/24"]).await;
    let (office, renamed) = (json!({"add": [OFFICE], "keys": [id]}), json!({"name": "renamed"}));
    join(world.add(&office), world.patch(&id, &renamed)).await;
    let shown = world.read(&path(&id, "")).await.json();
    assert_eq!([&shown["name"], &shown["allowed_cidrs"]], [&json!("renamed"), &json!(["192.0.2.0/24", OFFICE])]);
}
