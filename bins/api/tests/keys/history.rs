//! What has become of a key: its versions (§4), and what it did by the hour.

use serde_json::{Value, json};
use statuspulse_policy::Role;

use crate::{
    help::{DAY, HOUR, moment, path, text},
    support::{PEER, World},
};

impl World {
    async fn versions(&self, id: &str, query: &str) -> Value {
        self.read(&path(id, &format!("versions{query}"))).await.json()
    }

    async fn usage_of(&self, id: &str, query: &str) -> Value {
        self.api.app.flush().await;
        self.read(&path(id, &format!("usage{query}"))).await.json()
    }
}

/// `number state` of every version.
fn states(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| format!("{} {}", item["version"], item["state"].as_str().unwrap())).collect()
}

/// Hours in which something happened: place in the chart, calls, refused.
fn busy(usage: &Value) -> Vec<(usize, i64, i64)> {
    let buckets = usage["buckets"].as_array().unwrap().iter().enumerate();
    let number = |value: &Value| value.as_i64().unwrap();
    buckets
        .map(|(place, bucket)| (place, number(&bucket["calls"]), number(&bucket["refused"])))
        .filter(|(_, calls, _)| *calls > 0)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_versions_of_a_key_are_told_newest_first_with_what_they_are_now() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.rotated(&id, &json!({})).await;
    world.api.app.clock().advance(HOUR);
    world.rotated(&id, &json!({"overlap_seconds": 3600})).await;
    let page = world.versions(&id, "").await;
    let seen = (states(&page), page["next_cursor"].clone());
    assert_eq!(seen, (["3 current", "2 overlap", "1 ended"].map(str::to_owned).to_vec(), Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_told_with_its_times_and_its_hint_and_nothing_else() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let shown = world.shown(&id).await;
    let page = world.versions(&id, "").await;
    let expected = json!([{"version": 1, "hint": shown["hint"], "state": "current", "created_at": shown["created_at"],
        "expires_at": shown["expires_at"], "valid_until": shown["expires_at"], "claimed_at": null}]);
    assert_eq!(page["items"], expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overlap_ends_at_its_moment() {
    let mut world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.rotated(&id, &json!({"overlap_seconds": 3600})).await;
    world.later(HOUR).await;
    assert_eq!(states(&world.versions(&id, "").await), ["2 current", "1 ended"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_has_ended_versions_only_and_a_disabled_one_keeps_its_current_one() {
    let world = World::new().await;
    let (disabled, _) = world.created(&json!({})).await;
    let (revoked, _) = world.created(&json!({})).await;
    world.verb(&disabled, "disable", &json!({})).await;
    world.verb(&revoked, "revoke", &json!({})).await;
    let seen = [states(&world.versions(&disabled, "").await), states(&world.versions(&revoked, "").await)];
    assert_eq!(seen, [["1 current".to_owned()], ["1 ended".to_owned()]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_that_is_shorter_now_ends_a_version_in_the_list_as_it_does_in_calls() {
    let mut world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.later(DAY * 31).await;
    let caps = json!({"max_lifespan_days": {"production": 30}, "confirm": true});
    world.owner("PATCH", crate::help::SETTINGS, &caps).await;
    let page = world.versions(&id, "").await;
    let version = &page["items"][0];
    let lived = moment(&version["valid_until"]) - moment(&version["created_at"]);
    assert_eq!((states(&page), lived.num_days()), (vec!["1 ended".to_owned()], 30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_successor_is_pending_without_a_hint() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world
        .sql(&format!(
            "INSERT INTO key_versions (id, organization_id, key_id, version, state, pepper_version, hash_scheme, hint,
                 created_at, expires_at, valid_until, seq)
             SELECT gen_random_uuid(), organization_id, key_id, 2, 'pending', pepper_version, hash_scheme, '',
                 created_at, expires_at, valid_until, seq FROM key_versions WHERE key_id = '{id}'"
        ))
        .await;
    let page = world.versions(&id, "").await;
    let seen = (states(&page), page["items"][0]["hint"].clone());
    assert_eq!(seen, (["2 pending", "1 current"].map(str::to_owned).to_vec(), Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_versions_follow_each_other_without_a_gap() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    for _ in 0..4 {
        world.rotated(&id, &json!({"overlap_seconds": 0})).await;
        world.api.app.clock().advance(HOUR);
    }
    let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = world.versions(&id, &query).await;
        seen.push(states(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [vec!["5 current", "4 ended"], vec!["3 ended", "2 ended"], vec!["1 ended"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cursor_of_another_keys_versions_is_refused() {
    let world = World::new().await;
    let (one, _) = world.created(&json!({})).await;
    let (other, _) = world.created(&json!({})).await;
    world.rotated(&one, &json!({})).await;
    let cursor = text(&world.versions(&one, "?limit=1").await["next_cursor"]);
    let reply = world.read(&path(&other, &format!("versions?cursor={cursor}"))).await;
    assert_eq!(reply.outcome(), (400, "invalid_cursor".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_wrongly_of_a_keys_past_is_refused_by_name() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let asked = [
        ("versions?limit=0", "limit: out_of_bounds"),
        ("versions?limit=201", "limit: out_of_bounds"),
        ("versions?state=ended", "state: unknown_parameter"),
        ("usage?days=0", "days: out_of_bounds"),
        ("usage?days=9", "days: out_of_bounds"),
        ("usage?days=%2B5", "days: out_of_bounds"),
        ("usage?days=week", "days: out_of_bounds"),
        ("usage?days=1&days=2", "days: repeated_parameter"),
        ("usage?hours=5", "hours: unknown_parameter"),
    ];
    let mut wrong = Vec::new();
    for (verb, expected) in asked {
        let reply = world.read(&path(&id, verb)).await;
        if (reply.status, reply.fields()) != (422, vec![expected.to_owned()]) {
            wrong.push((verb, reply.text));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_of_another_organizations_key_is_not_there() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let other = world.api.app.organization("other").await;
    let stranger = world.api.sign_in(&other.owner).await;
    let mut seen = Vec::new();
    for verb in ["versions", "usage"] {
        let at = |org: &str| path(&id, verb).replace("acme", org);
        seen.push(world.api.get(&at("other")).cookie(&stranger).send().await.status);
        seen.push(world.api.get(&at("acme")).cookie(&stranger).send().await.status);
    }
    assert_eq!(seen, [404; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auditors_and_keys_that_may_read_keys_read_the_past_of_a_key() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let (_, reader) = world.key(&["keys:read"]).await;
    let person = world.api.app.person(&world.org, "auditor", Role::Auditor).await;
    let auditor = world.api.sign_in(&person).await;
    let mut seen = Vec::new();
    for verb in ["versions", "usage"] {
        seen.push(world.api.get(&path(&id, verb)).key(&reader).send().await.status);
        seen.push(world.api.get(&path(&id, verb)).cookie(&auditor).send().await.status);
    }
    assert_eq!(seen, [200; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_did_nothing_has_every_hour_of_seven_days_with_zeros() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let usage = world.usage_of(&id, "").await;
    let span = moment(&usage["to"]) - moment(&usage["from"]);
    let buckets = usage["buckets"].as_array().unwrap();
    assert_eq!(
        (buckets.len(), span.num_hours(), busy(&usage), &usage["bucket_seconds"], &usage["places"]),
        (168, 168, vec![], &json!(3600), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hours_of_a_chart_follow_each_other_up_to_the_present_one() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let usage = world.usage_of(&id, "?days=1").await;
    let times: Vec<_> = usage["buckets"].as_array().unwrap().iter().map(|bucket| moment(&bucket["at"])).collect();
    let steps = times.windows(2).all(|pair| (pair[1] - pair[0]).num_seconds() == 3_600);
    let last = times[23];
    let whole = last.timestamp() % 3_600 == 0 && last <= world.now() && (world.now() - last).num_seconds() < 3_600;
    assert!(steps && whole && moment(&usage["from"]) == times[0], "{times:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_stand_in_the_hour_in_which_they_came_with_the_refused_ones_among_them() {
    let mut world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.call(&token).await;
    world.call(&token).await;
    world.judged(&token, "POST", "/api/v1/incidents").await;
    world.later(HOUR * 3).await;
    world.call(&token).await;
    let usage = world.usage_of(&id, "?days=1").await;
    let busiest = &usage["buckets"][20]["busiest_minute"];
    assert_eq!((busy(&usage), busiest), (vec![(20, 3, 1), (23, 1, 0)], &json!(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_eighth_day_is_told_when_it_is_asked_for() {
    let mut world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.call(&token).await;
    world.later(HOUR * 191).await;
    let seen = [busy(&world.usage_of(&id, "").await), busy(&world.usage_of(&id, "?days=8").await)];
    assert_eq!(seen, [vec![], vec![(0, 1, 0)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn countries_are_told_with_their_first_and_last_use_the_last_one_first() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world
        .sql(&format!(
            "INSERT INTO key_places (key_id, country, first_seen_at, last_seen_at)
             VALUES ('{id}', 'DE', '2030-01-01Z', '2030-01-02Z'), ('{id}', 'FR', '2030-01-01Z', '2030-01-03Z')"
        ))
        .await;
    let place = |country: &str, last: &str| json!({"country": country, "first_seen_at": "2030-01-01T00:00:00Z", "last_seen_at": format!("{last}T00:00:00Z")});
    let expected = json!([place("FR", "2030-01-03"), place("DE", "2030-01-02")]);
    assert_eq!(world.usage_of(&id, "").await["places"], expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_of_a_key_holds_nothing_of_its_secrets() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    let next = world.rotated(&id, &json!({"overlap_seconds": 60})).await;
    world.call_from(&next, PEER).await;
    let told = format!("{}{}", world.versions(&id, "").await, world.usage_of(&id, "").await);
    let hashes = world.texts("SELECT secret_hash FROM key_versions WHERE secret_hash IS NOT NULL").await;
    let found = crate::help::pieces_in(&[token, next], &told);
    assert!(found.is_empty() && hashes.iter().all(|hash| !told.contains(hash)) && !told.contains("hash"), "{told}");
}
