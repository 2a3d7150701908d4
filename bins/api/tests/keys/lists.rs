//! Lists of keys (§4).

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use crate::{
    help::{DAY, KEYS, path},
    support::{Reply, World},
};

fn names(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
}

/// The names that a query of the list answers, but for the gateway's key.
async fn found(world: &World, query: &str) -> Vec<String> {
    let mut names = names(&world.read(&format!("{KEYS}?{query}")).await.json());
    names.retain(|name| name != "production key");
    names
}

/// Keys with these names, a second apart.
async fn keys(world: &World, names: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for name in names {
        world.api.app.clock().advance(Duration::from_secs(1));
        ids.push(world.created(&json!({"name": name})).await.0);
    }
    ids
}

/// The names of all pages of a list, two on a page; `between` runs after the first one.
async fn paged(world: &World, query: &str, between: impl AsyncFnOnce()) -> Vec<String> {
    let mut page = world.read(&format!("{KEYS}?limit=2&{query}")).await.json();
    let mut all = names(&page);
    between().await;
    while let Some(cursor) = page["next_cursor"].as_str() {
        page = world.read(&format!("{KEYS}?limit=2&{query}&cursor={cursor}")).await.json();
        all.extend(names(&page));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_key_stands_first() {
    let world = World::new().await;
    keys(&world, &["a", "b", "c"]).await;
    assert_eq!(found(&world, "").await, ["c", "b", "a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_of_a_list_hold_every_key_once_even_those_of_the_same_moment() {
    let world = World::new().await;
    for name in ["a", "b", "c", "d"] {
        world.created(&json!({"name": name})).await;
    }
    let mut all = paged(&world, "", async || {}).await;
    all.sort();
    assert_eq!(all, ["a", "b", "c", "d", "production key"]);
}

/// spec: keys K54
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_made_and_revoked_between_two_pages_neither_repeat_nor_hide_others() {
    let world = World::new().await;
    let ids = keys(&world, &["a", "b", "c", "d", "e", "f"]).await;
    let all = paged(&world, "", async || {
        keys(&world, &["new"]).await;
        for id in [&ids[5], &ids[2]] {
            world.verb(id, "revoke", &json!({})).await;
        }
    })
    .await;
    assert_eq!(all, ["f", "e", "d", "c", "b", "a", "production key"]);
}

/// spec: keys K54
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_list_of_active_keys_only_the_revoked_ones_go_missing() {
    let world = World::new().await;
    let ids = keys(&world, &["a", "b", "c", "d", "e", "f"]).await;
    let all = paged(&world, "status=active", async || {
        keys(&world, &["new"]).await;
        for id in [&ids[5], &ids[4], &ids[2]] {
            world.verb(id, "revoke", &json!({})).await;
        }
    })
    .await;
    // The first page was read before.
    assert_eq!(all, ["f", "e", "d", "b", "a", "production key"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_page_that_is_full_has_no_next_one() {
    let world = World::new().await;
    keys(&world, &["a"]).await;
    assert_eq!(world.read(&format!("{KEYS}?limit=2")).await.json()["next_cursor"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_has_fifty_keys_unless_asked_otherwise() {
    let world = World::new().await;
    for _ in 0..50 {
        world.key(&["checks:read"]).await;
    }
    let page = world.read(KEYS).await.json();
    assert_eq!((names(&page).len(), page["next_cursor"].is_string()), (50, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_outside_of_1_to_200_is_refused_and_never_clamped() {
    let world = World::new().await;
    let mut refused = Vec::new();
    for limit in ["0", "201", "-1", "1.5", "abc", "%2B5", "", "99999999999999999999"] {
        let reply = world.read(&format!("{KEYS}?limit={limit}")).await;
        refused.push((reply.status, reply.fields()));
    }
    assert_eq!(refused, vec![(422, vec!["limit: out_of_bounds".to_owned()]); 8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_and_two_hundred_are_limits() {
    let world = World::new().await;
    let replies = [world.read(&format!("{KEYS}?limit=1")).await, world.read(&format!("{KEYS}?limit=200")).await];
    assert_eq!(replies.map(|reply| reply.status), [200; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_or_repeated_parameter_is_refused() {
    let world = World::new().await;
    let mut refused = Vec::new();
    for query in ["statuss=active", "Status=active", "status=active&status=revoked", "page=2"] {
        let reply = world.read(&format!("{KEYS}?{query}")).await;
        refused.push(format!("{} {}", reply.status, reply.fields().join(",")));
    }
    let expected = [
        "422 statuss: unknown_parameter",
        "422 Status: unknown_parameter",
        "422 status: repeated_parameter",
        "422 page: unknown_parameter",
    ];
    assert_eq!(refused, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_value_of_a_filter_is_refused() {
    let world = World::new().await;
    let reply = world.read(&format!("{KEYS}?status=alive&environment=prod")).await;
    assert_eq!(
        (reply.status, reply.fields()),
        (422, vec!["environment: unknown_environment".to_owned(), "status: unknown_status".to_owned()])
    );
}

/// A world with a key in each state and environment.
async fn of_all_kinds() -> World {
    let mut world = World::new().await;
    world.created(&json!({"name": "expired", "expires_in_days": 1})).await;
    let (both, _) = world.created(&json!({"name": "expired too", "expires_in_days": 1})).await;
    world.verb(&both, "disable", &json!({})).await;
    world.later(DAY).await;
    world.created(&json!({"name": "staging", "environment": "staging"})).await;
    world.created(&json!({"name": "analytics", "environment": "analytics"})).await;
    for (name, verb) in [("off", "disable"), ("gone", "revoke")] {
        let (id, _) = world.created(&json!({"name": name})).await;
        world.verb(&id, verb, &json!({})).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_one_status_holds_the_keys_of_that_status() {
    let world = of_all_kinds().await;
    let mut lists = Vec::new();
    for status in ["active", "disabled", "expired", "revoked"] {
        let mut names = found(&world, &format!("status={status}")).await;
        names.sort();
        lists.push(names.join(","));
    }
    assert_eq!(lists, ["analytics,staging", "off", "expired,expired too", "gone"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_one_environment_holds_the_keys_of_that_environment() {
    let world = of_all_kinds().await;
    let lists = [found(&world, "environment=staging").await, found(&world, "environment=analytics").await];
    assert_eq!(lists, [["staging"], ["analytics"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_narrow_each_other() {
    let world = of_all_kinds().await;
    let lists = [
        found(&world, "environment=production&status=active").await,
        found(&world, "environment=production&status=expired&q=too").await,
    ];
    assert_eq!(lists, [vec![], vec!["expired too".to_owned()]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_a_part_of_the_name_in_any_case() {
    let world = World::new().await;
    keys(&world, &["Nightly Export", "nightly import", "Weekly"]).await;
    assert_eq!(found(&world, "q=NIGHTLY").await, ["nightly import", "Nightly Export"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_letters_of_other_scripts_in_any_case() {
    let world = World::new().await;
    keys(&world, &["Überwachung Zürich", "МОНИТОР", "plain"]).await;
    let lists = [found(&world, "q=%C3%BCBERWACHUNG+Z%C3%9CR").await, found(&world, "q=%D0%BC%D0%BE%D0%BD%D0%B8").await];
    assert_eq!(lists, [["Überwachung Zürich"], ["МОНИТОР"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signs_of_patterns_mean_themselves_in_a_search() {
    let world = World::new().await;
    keys(&world, &["100% sure", "under_score", r"back\slash", "it's", "plain"]).await;
    let mut lists = Vec::new();
    for sign in ["%25", "_", "%5C", "%27", "."] {
        lists.push(found(&world, &format!("q={sign}")).await.join(","));
    }
    assert_eq!(lists, ["100% sure", "under_score", r"back\slash", "it's", ""]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_a_whole_id_but_no_part_of_one() {
    let world = World::new().await;
    let ids = keys(&world, &["wanted", "other"]).await;
    let lists = [found(&world, &format!("q={}", ids[0])).await, found(&world, &format!("q={}", &ids[0][..35])).await];
    assert_eq!(lists, [vec!["wanted".to_owned()], vec![]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_a_whole_hint_but_no_part_of_one() {
    let world = World::new().await;
    let ids = keys(&world, &["wanted", "other"]).await;
    let hint = world.shown(&ids[0]).await["hint"].as_str().unwrap().trim_end_matches('…').to_owned();
    let lists = [found(&world, &format!("q={hint}%E2%80%A6")).await, found(&world, &format!("q={hint}")).await];
    assert_eq!(lists, [vec!["wanted".to_owned()], vec![]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_no_key_by_its_token() {
    let world = World::new().await;
    let (_, token) = world.created(&json!({})).await;
    assert_eq!(found(&world, &format!("q={token}")).await, Vec::<String>::new());
}

async fn cursor(world: &World, query: &str) -> String {
    let page = world.read(&format!("{KEYS}?limit=1&{query}")).await.json();
    page["next_cursor"].as_str().unwrap().to_owned()
}

fn refused(reply: &Reply) -> bool {
    reply.outcome() == (400, "invalid_cursor".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_was_edited_in_any_place_is_refused() {
    let world = World::new().await;
    keys(&world, &["a", "b"]).await;
    let cursor = cursor(&world, "").await;
    let mut accepted = Vec::new();
    for at in 0..cursor.len() {
        let other = if cursor.as_bytes()[at] == b'A' { "B" } else { "A" };
        let edited = format!("{}{other}{}", &cursor[..at], &cursor[at + 1..]);
        if !refused(&world.read(&format!("{KEYS}?cursor={edited}")).await) {
            accepted.push(edited);
        }
    }
    assert_eq!(accepted, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_a_cursor_is_refused() {
    let world = World::new().await;
    keys(&world, &["a", "b"]).await;
    let whole = cursor(&world, "").await;
    let mut outcomes = Vec::new();
    for text in ["", "x", "AAAA", "%00", "%F0%9F%A6%80", &whole[1..], &format!("{whole}AAAA"), &format!("{whole}=")] {
        let reply = world.read(&format!("{KEYS}?cursor={text}")).await;
        outcomes.push(reply.status);
    }
    // A NUL is no text at all.
    assert_eq!(outcomes, [400, 400, 400, 422, 400, 400, 400, 400]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_of_another_organization_is_refused() {
    let world = World::new().await;
    keys(&world, &["a", "b"]).await;
    let other = world.api.app.organization("other").await;
    let browser = world.api.sign_in(&other.owner).await;
    let foreign = format!("/v1/orgs/other/keys?limit=1&cursor={}", cursor(&world, "").await);
    assert!(refused(&world.api.get(&foreign).cookie(&browser).send().await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_belongs_to_its_filters() {
    let world = World::new().await;
    keys(&world, &["a1", "a2", "a3"]).await;
    let sealed = cursor(&world, "status=active&q=a").await;
    let mut others = Vec::new();
    for query in ["status=active&q=b", "status=active", "q=a", "status=active&q=a&environment=production"] {
        others.push(refused(&world.read(&format!("{KEYS}?{query}&cursor={sealed}")).await));
    }
    let same = world.read(&format!("{KEYS}?q=a&limit=2&status=active&cursor={sealed}")).await.status;
    assert_eq!((others, same), (vec![true; 4], 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_made_by_another_instance_is_good() {
    let world = World::new().await;
    keys(&world, &["a", "b"]).await;
    let second = world.second().await;
    let path = format!("{KEYS}?cursor={}", cursor(&world, "").await);
    assert_eq!(names(&second.get(&path).cookie(&world.owner).send().await.json()), ["a", "production key"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_and_the_key_by_its_id_tell_the_same() {
    let world = World::new().await;
    let ids = keys(&world, &["a"]).await;
    let listed = world.read(&format!("{KEYS}?q=a&limit=1")).await.json()["items"][0].clone();
    assert_eq!(listed, world.read(&path(&ids[0], "")).await.json());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_keys_differ_and_begin_with_their_time() {
    let world = World::new().await;
    let ids = keys(&world, &["a", "b", "c"]).await;
    let sorted = ids.is_sorted();
    assert_eq!((ids.into_iter().collect::<HashSet<_>>().len(), sorted), (3, true));
}
