//! The replica of all keys: how fast a change is in force everywhere, what a miss costs, and what happens without the
//! database (policy §7).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use statuspulse_testkit::{eventually, key_of};

use crate::{
    attempt::{Attempt, passed},
    order::unknown_token,
    support::{Api, Reply, World},
};

/// What forward-auth of an instance says of a token.
pub(crate) async fn code_on(api: &Api, token: &str) -> String {
    let reply = Attempt::of(token).forward(api).await;
    if reply.status == 200 { "allowed".to_owned() } else { reply.code() }
}

pub(crate) async fn until_code(api: &Api, token: &str, code: &str) {
    eventually(&format!("the token is {code}"), async || code_on(api, token).await == code).await;
}

pub(crate) async fn revoke(world: &World, key: &str, wait: &str) -> Reply {
    world.owner("POST", &format!("/v1/orgs/acme/keys/{key}/revoke?wait={wait}"), &json!({})).await
}

pub(crate) fn instances(receipt: &Value, list: &str) -> BTreeSet<String> {
    let entries = receipt[list].as_array().unwrap().iter();
    entries.map(|entry| entry["instance"].as_str().unwrap().to_owned()).collect()
}

/// spec: policy P42
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_of_a_hundred_revocations_hold_on_the_other_instance() {
    let world = World::new().await;
    let second = world.second().await;
    let mut failed = Vec::new();
    for number in 0..100 {
        let (id, token) = world.key(&["checks:read"]).await;
        let before = code_on(&second, &token).await;
        revoke(&world, &id, "0s").await;
        until_code(&second, &token, "revoked").await;
        // Once it holds, it holds: a late look-up must not bring the key back.
        let after = code_on(&second, &token).await;
        if (before.as_str(), after.as_str()) != ("allowed", "revoked") {
            failed.push((number, before, after));
        }
    }
    assert_eq!(failed, []);
}

/// spec: policy P42
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_holds_on_its_own_instance_at_once() {
    let world = World::new().await;
    let mut codes = BTreeSet::new();
    for _ in 0..20 {
        let (id, token) = world.key(&["checks:read"]).await;
        world.act(&id, "revoke").await;
        codes.insert(code_on(&world.api, &token).await);
    }
    assert_eq!(codes, BTreeSet::from(["revoked".to_owned()]));
}

/// The listening connections of all instances on a database.
const LISTENING: &str =
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN key_feed'";

/// Cuts the listening connections; answers how many there were.
async fn cut_listeners(world: &World) -> u64 {
    let cut = format!("SELECT pg_terminate_backend(pid) FROM ({LISTENING}) AS listening");
    world.db.client().await.execute(&cut, &[]).await.unwrap()
}

async fn until_listening(world: &World, count: usize) {
    let client = world.db.client().await;
    eventually("the instances listen", async || client.query(LISTENING, &[]).await.unwrap().len() == count).await;
}

/// spec: policy P43
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_listening_connection_an_instance_learns_of_a_revocation_by_polling() {
    let world = World::new().await;
    let second = world.second().await;
    let (id, token) = world.key(&["checks:read"]).await;
    until_code(&second, &token, "allowed").await;
    until_listening(&world, 2).await;
    cut_listeners(&world).await;
    revoke(&world, &id, "0s").await;
    until_code(&second, &token, "revoked").await;
    assert_eq!(code_on(&second, &token).await, "revoked");
}

/// spec: policy P43
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_listens_again_when_its_connection_was_cut() {
    let world = World::new().await;
    until_listening(&world, 1).await;
    let cut = cut_listeners(&world).await;
    until_listening(&world, 1).await;
    assert_eq!(cut, 1);
}

/// spec: policy P45
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_call_with_an_idle_key_that_was_revoked_elsewhere_is_refused() {
    let world = World::new().await;
    let second = world.second().await;
    let (id, token) = world.key(&["checks:read"]).await;
    let used = code_on(&second, &token).await;
    world.api.app.advance(Duration::from_secs(600)).await;
    second.app.replica.catch_up().await;
    let receipt = revoke(&world, &id, "5s").await.json();
    assert_eq!(
        (used.as_str(), instances(&receipt, "pending"), code_on(&second, &token).await.as_str()),
        ("allowed", BTreeSet::new(), "revoked")
    );
}

/// spec: policy P46
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_accepted_on_the_other_instance_at_once() {
    let world = World::new().await;
    let second = world.second().await;
    let mut codes = BTreeSet::new();
    for _ in 0..20 {
        let (_, token) = world.key(&["checks:read"]).await;
        codes.insert(code_on(&second, &token).await);
    }
    assert_eq!(codes, BTreeSet::from(["allowed".to_owned()]));
}

/// spec: policy P46
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_unknown_a_moment_ago_is_accepted_when_the_feed_has_brought_its_key() {
    let world = World::new().await;
    let second = world.second().await;
    let (id, token) = world.key(&["checks:read"]).await;
    // Its row is gone for a moment, so that the second instance notes that the token is unknown.
    let client = world.db.client().await;
    let hide = format!("UPDATE key_versions SET lookup_id = sha256(lookup_id) WHERE key_id = '{id}'");
    let original: Vec<u8> = client
        .query_one(&format!("SELECT lookup_id FROM key_versions WHERE key_id = '{id}'"), &[])
        .await
        .unwrap()
        .get(0);
    client.batch_execute(&hide).await.unwrap();
    until_code(&second, &token, "unknown").await;
    let show = format!("UPDATE key_versions SET lookup_id = $1 WHERE key_id = '{id}'");
    client.execute(&show, &[&original]).await.unwrap();
    // The clock stands still: the note of the unknown token never ages.
    until_code(&second, &token, "allowed").await;
    assert_eq!(code_on(&world.api, &token).await, "allowed");
}

/// spec: policy P47
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_token_costs_one_query_in_two_seconds() {
    let world = World::new().await;
    let token = unknown_token(1);
    let before = world.api.app.replica.queries();
    for _ in 0..10_000 {
        code_on(&world.api, &token).await;
    }
    assert_eq!(world.api.app.replica.queries() - before, 1);
}

/// spec: policy P47
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_token_is_looked_for_again_after_two_seconds() {
    let world = World::new().await;
    let token = unknown_token(1);
    let before = world.api.app.replica.queries();
    let mut queries = Vec::new();
    for millis in [0, 1_999, 1, 1_999, 1] {
        world.api.app.clock().advance(Duration::from_millis(millis));
        code_on(&world.api, &token).await;
        queries.push(world.api.app.replica.queries() - before);
    }
    assert_eq!(queries, [1, 1, 2, 2, 3]);
}

/// spec: policy P47
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_with_an_unknown_token_share_one_query() {
    let world = World::new().await;
    let token = unknown_token(1);
    let before = world.api.app.replica.queries();
    let calls = (0..50).map(|_| code_on(&world.api, &token));
    futures_util::future::join_all(calls).await;
    assert_eq!(world.api.app.replica.queries() - before, 1);
}

/// spec: policy §7.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_has_a_bounded_number_of_queries() {
    let world = World::new().await;
    let (before, started) = (world.api.app.replica.queries(), Instant::now());
    for number in 0..400 {
        code_on(&world.api, &unknown_token(number)).await;
    }
    let queries = world.api.app.replica.queries() - before;
    // Forty at once and twenty more each second.
    let most = 40 + 20 * (usize::try_from(started.elapsed().as_secs()).unwrap() + 1);
    assert!((40..=most).contains(&queries), "{queries} queries, at most {most}");
}

/// spec: policy §7.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_bound_an_unknown_token_is_refused_all_the_same() {
    let world = World::new().await;
    let mut codes = BTreeSet::new();
    for number in 0..200 {
        codes.insert(code_on(&world.api, &unknown_token(number)).await);
    }
    assert_eq!(codes, BTreeSet::from(["unknown".to_owned()]));
}

/// spec: policy §7.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stranger_does_not_spend_the_queries_of_others_behind_the_same_gateway() {
    let world = World::new().await;
    for number in 0..200 {
        Attempt::of(&unknown_token(number)).from("198.51.100.1").verify(&world.api, &world.gateway).await;
    }
    let second = world.second().await;
    let (_, token) = second.app.key(&world.org, key_of("production", &["checks:read"])).await;
    assert_eq!(Attempt::of(&token).from("198.51.100.2").outcomes(&world).await, passed());
}

/// spec: policy §5.8, §7.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_addresses_of_one_ipv6_customer_share_their_queries() {
    let world = World::new().await;
    let (before, started) = (world.api.app.replica.queries(), Instant::now());
    for number in 0..400_u64 {
        let ip = format!("2001:db8:7:7::{number:x}");
        Attempt::of(&unknown_token(number)).from(&ip).forward(&world.api).await;
    }
    let queries = world.api.app.replica.queries() - before;
    let most = 40 + 20 * (usize::try_from(started.elapsed().as_secs()).unwrap() + 1);
    assert!(queries <= most, "{queries} queries, at most {most}");
}

/// spec: policy §7.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_clients_together_have_a_bounded_number_of_queries() {
    let world = World::new().await;
    let (before, started) = (world.api.app.replica.queries(), Instant::now());
    for number in 0..1_000_u64 {
        let ip = format!("198.51.{}.{}", number / 250, number % 250);
        Attempt::of(&unknown_token(number)).from(&ip).forward(&world.api).await;
    }
    let queries = world.api.app.replica.queries() - before;
    let most = 200 * (usize::try_from(started.elapsed().as_secs()).unwrap() + 2);
    assert!((200..=most).contains(&queries), "{queries} queries, at most {most}");
}

/// spec: policy §7.1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_known_cost_no_query() {
    let world = World::new().await;
    let (id, revoked) = world.key(&["checks:read"]).await;
    let (_, live) = world.key(&["checks:read"]).await;
    world.act(&id, "revoke").await;
    // A restart loads all of them, the revoked one included.
    let second = world.second().await;
    let codes = [code_on(&second, &revoked).await, code_on(&second, &live).await];
    assert_eq!((codes.each_ref().map(String::as_str), second.app.replica.queries()), (["revoked", "allowed"], 0));
}

/// spec: policy §7.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_is_hashed_once_an_instance() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let second = world.second().await;
    for _ in 0..20 {
        code_on(&second, &token).await;
    }
    assert_eq!(second.app.gate.hashes(), 1);
}

/// spec: policy §7.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_with_one_key_share_one_hash() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let second = world.second().await;
    let codes = futures_util::future::join_all((0..20).map(|_| code_on(&second, &token))).await;
    assert_eq!((codes, second.app.gate.hashes()), (vec!["allowed".to_owned(); 20], 1));
}

/// A key whose stored hash is another key's, on an instance that never saw it, with the hashing gate full: the key's id
/// and the code of its call.
async fn tampered_with_a_full_gate(world: &World, second: &Api) -> (String, String, String) {
    let (id, token) = world.key(&["checks:read"]).await;
    let (other, _) = world.key(&["checks:read"]).await;
    let statement = format!(
        "UPDATE key_versions SET secret_hash = (SELECT secret_hash FROM key_versions WHERE key_id = '{other}')
         WHERE key_id = '{id}'"
    );
    world.db.client().await.batch_execute(&statement).await.unwrap();
    second.app.replica.catch_up().await;
    let permit = second.app.put_checks_off().unwrap();
    let code = code_on(second, &token).await;
    drop(permit);
    (id, token, code)
}

/// spec: policy §7.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_gate_full_a_key_is_accepted_and_checked_later() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let second = world.second().await;
    let permit = second.app.put_checks_off().unwrap();
    let code = code_on(&second, &token).await;
    drop(permit);
    eventually("the check is made up for", async || second.app.gate.hashes() == 1).await;
    assert_eq!((code.as_str(), code_on(&second, &token).await.as_str()), ("allowed", "allowed"));
}

/// spec: policy §7.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deferred_check_that_fails_switches_the_key_off_everywhere() {
    let world = World::new().await;
    let second = world.second().await;
    let (_, token, code) = tampered_with_a_full_gate(&world, &second).await;
    until_code(&second, &token, "disabled").await;
    until_code(&world.api, &token, "disabled").await;
    assert_eq!(code, "allowed");
}

/// spec: policy §7.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deferred_check_that_fails_is_a_critical_alert() {
    let world = World::new().await;
    let second = world.second().await;
    let (id, token, _) = tampered_with_a_full_gate(&world, &second).await;
    until_code(&second, &token, "disabled").await;
    eventually("the alert is written", async || !world.alerts("integrity").await.is_empty()).await;
    let alerts = world.alerts("integrity").await;
    let told: Vec<_> = alerts.iter().map(|alert| json!([alert["subject"], alert["severity"]])).collect();
    assert_eq!(told, [json!([id, "critical"])]);
}

/// spec: policy P50
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_was_taken_away_is_gone_elsewhere() {
    let world = World::new().await;
    let second = world.second().await;
    let (id, token) = world.key(&["checks:read", "routes:read"]).await;
    until_code(&second, &token, "allowed").await;
    world.patch(&id, &json!({"scopes": ["routes:read"]})).await;
    until_code(&second, &token, "insufficient_scope").await;
    assert_eq!(code_on(&second, &token).await, "insufficient_scope");
}

/// spec: policy P50
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrowed_list_is_in_force_elsewhere() {
    let world = World::new().await;
    let second = world.second().await;
    let (id, token) = world.key(&["checks:read"]).await;
    until_code(&second, &token, "allowed").await;
    world.patch(&id, &json!({"allowed_cidrs": ["198.51.100.0/24"]})).await;
    until_code(&second, &token, "ip_not_allowed").await;
    assert_eq!(code_on(&second, &token).await, "ip_not_allowed");
}

/// spec: policy P50
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_organizations_list_is_in_force_elsewhere() {
    let world = World::new().await;
    let second = world.second().await;
    let (_, token) = world.key(&["checks:read"]).await;
    until_code(&second, &token, "allowed").await;
    world.owner("PATCH", "/v1/orgs/acme/settings", &json!({"allowed_cidrs": ["198.51.100.0/24"]})).await;
    until_code(&second, &token, "ip_not_allowed").await;
    assert_eq!(code_on(&second, &token).await, "ip_not_allowed");
}

/// spec: policy P50
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_key_is_off_elsewhere_and_on_again_when_it_is_enabled() {
    let world = World::new().await;
    let second = world.second().await;
    let (id, token) = world.key(&["checks:read"]).await;
    until_code(&second, &token, "allowed").await;
    world.act(&id, "disable").await;
    until_code(&second, &token, "disabled").await;
    world.act(&id, "enable").await;
    until_code(&second, &token, "allowed").await;
    assert_eq!(code_on(&second, &token).await, "allowed");
}

/// spec: policy P51
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_changes_whose_commits_overlap_both_are_applied_everywhere() {
    let world = World::new().await;
    let second = world.second().await;
    let (slow, slow_token) = world.key(&["checks:read"]).await;
    let (quick, quick_token) = world.key(&["checks:read"]).await;
    let (mut client, watcher) = (world.db.client().await, world.db.client().await);
    let transaction = client.transaction().await.unwrap();
    // The slow change has its number; the quick one starts now and wants the next.
    let number: i64 =
        transaction.query_one("UPDATE key_feed SET seq = seq + 1 RETURNING seq", &[]).await.unwrap().get(0);
    let (path, nothing) = (format!("/v1/orgs/acme/keys/{quick}/disable"), json!({}));
    let changing = world.owner("POST", &path, &nothing);
    let committing = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'UPDATE key_feed%'";
        eventually("the quick change waits", async || {
            watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 1
        })
        .await;
        let statement =
            format!("UPDATE keys SET disabled_at = now() - interval '1 day', seq = {number} WHERE id = '{slow}'");
        transaction.batch_execute(&statement).await.unwrap();
        transaction.commit().await.unwrap();
    };
    tokio::join!(changing, committing);
    for api in [&world.api, &second] {
        until_code(api, &slow_token, "disabled").await;
        until_code(api, &quick_token, "disabled").await;
    }
    // A key that isn't in memory yet is judged by query, so the codes say nothing about the feed.
    let (here, there) = (&world.api.app.replica, &second.app.replica);
    eventually("the other instance has followed", async || there.applied() >= here.applied()).await;
    assert_eq!(here.applied(), there.applied());
}

/// spec: policy P51
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_on_two_instances_at_once_are_all_applied_on_both() {
    let world = World::new().await;
    let second = world.second().await;
    let mut keys = Vec::new();
    for _ in 0..16 {
        keys.push(world.key(&["checks:read"]).await);
    }
    let disabled = keys.iter().enumerate().map(async |(index, (id, _))| {
        let api = if index % 2 == 0 { &world.api } else { &second };
        let path = format!("/v1/orgs/acme/keys/{id}/disable");
        api.post(&path).browser(&world.owner).json(&json!({})).send().await.status
    });
    let statuses = futures_util::future::join_all(disabled).await;
    for (_, token) in &keys {
        until_code(&world.api, token, "disabled").await;
        until_code(&second, token, "disabled").await;
    }
    assert_eq!(statuses, vec![200; 16]);
}

/// spec: policy §7.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_names_every_instance_that_has_the_change() {
    let world = World::new().await;
    let second = world.second().await;
    let (id, _) = world.key(&["checks:read"]).await;
    let receipt = revoke(&world, &id, "5s").await.json();
    let all = BTreeSet::from([world.api.app.instance.to_string(), second.app.instance.to_string()]);
    assert_eq!((instances(&receipt, "applied"), instances(&receipt, "pending")), (all, BTreeSet::new()));
}

/// spec: policy §7.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_receipt_names_as_applied_is_in_force_there() {
    let world = World::new().await;
    let second = world.second().await;
    let mut told = BTreeSet::new();
    for _ in 0..20 {
        let (id, token) = world.key(&["checks:read"]).await;
        let receipt = revoke(&world, &id, "5s").await.json();
        let applied = instances(&receipt, "applied").contains(&second.app.instance.to_string());
        told.insert((applied, code_on(&second, &token).await));
    }
    assert_eq!(told, BTreeSet::from([(true, "revoked".to_owned())]));
}

/// Puts a heartbeat of an instance that follows nothing onto the list; silent for that long.
async fn silent_instance(world: &World, seconds: i64) -> String {
    let id = "0190a0a0-0000-7000-8000-000000000001";
    let at = world.api.app.env.now() - Duration::from_secs(seconds.unsigned_abs());
    let statement = "INSERT INTO instances (id, applied_seq, applied_at, max_staleness_seconds, started_at)
        VALUES ($1::text::uuid, 0, $2::text::timestamptz, 60, $2::text::timestamptz)";
    world.db.client().await.execute(statement, &[&id, &at.to_rfc3339()]).await.unwrap();
    id.to_owned()
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_names_an_instance_that_does_not_have_the_change_as_pending() {
    let world = World::new().await;
    let silent = silent_instance(&world, 300).await;
    let (id, _) = world.key(&["checks:read"]).await;
    let receipt = revoke(&world, &id, "200ms").await;
    assert_eq!((receipt.status, instances(&receipt.json(), "pending")), (200, BTreeSet::from([silent])));
}

/// spec: policy §7.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_was_silent_for_its_bound_and_ten_minutes_is_not_waited_for() {
    let world = World::new().await;
    let silent = silent_instance(&world, 660).await;
    let (id, _) = world.key(&["checks:read"]).await;
    let receipt = revoke(&world, &id, "5s").await.json();
    assert!(!instances(&receipt, "pending").contains(&silent) && !instances(&receipt, "applied").contains(&silent));
}

/// spec: policy §7.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_stopped_in_order_is_not_waited_for() {
    let world = World::new().await;
    let second = world.second().await;
    second.app.stop().await;
    let (id, _) = world.key(&["checks:read"]).await;
    let receipt = revoke(&world, &id, "5s").await.json();
    let own = BTreeSet::from([world.api.app.instance.to_string()]);
    assert_eq!((instances(&receipt, "applied"), instances(&receipt, "pending")), (own, BTreeSet::new()));
}

/// spec: policy §7.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_cannot_be_read_or_is_too_long_is_refused() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    let mut told = Vec::new();
    for wait in ["31s", "5", "-1s", "1m", "soon", ""] {
        let reply = revoke(&world, &id, wait).await;
        told.push((reply.status, reply.fields().iter().any(|field| field.starts_with("wait: "))));
    }
    assert_eq!((told, code_on(&world.api, &token).await.as_str()), (vec![(422, true); 6], "allowed"));
}

/// spec: policy §7.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_made_before_has_a_receipt_too() {
    let world = World::new().await;
    let second = world.second().await;
    let (id, _) = world.key(&["checks:read"]).await;
    revoke(&world, &id, "5s").await;
    let receipt = revoke(&world, &id, "5s").await.json();
    let all = BTreeSet::from([world.api.app.instance.to_string(), second.app.instance.to_string()]);
    assert_eq!(instances(&receipt, "applied"), all);
}
