//! Signing in: what a guesser learns, and how guessing is slowed down.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use statuspulse_testkit::{FixedClock, Person, TestApp, TestDb};

use crate::support::{Api, PUBLIC_URL, Reply, World};

const SESSION: &str = "/v1/session";

/// A try from an address.
async fn attempt(world: &World, ip: &str, email: &str, password: &str) -> Reply {
    world.api.post(SESSION).peer(ip).json(&json!({"email": email, "password": password})).send().await
}

/// Wrong tries for one account, each from an address of its own.
async fn wrong_tries(world: &World, email: &str, number: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for last in 0..number {
        statuses.push(attempt(world, &format!("198.51.100.{last}"), email, "wrong password").await.status);
    }
    statuses
}

/// Wrong tries from one address, each for an account of its own.
async fn tries_from(world: &World, ip: &str, number: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for person in 0..number {
        statuses.push(attempt(world, ip, &format!("nobody-{person}@acme.test"), "wrong password").await.status);
    }
    statuses
}

fn visible(reply: &Reply) -> (u16, Vec<String>, Value) {
    let mut headers: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| name.as_str() != "x-request-id")
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.sort();
    let mut body = reply.json();
    body["request_id"] = Value::Null;
    (reply.status, headers, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_an_unknown_account_are_answered_alike() {
    let world = World::new().await;
    let closed = world.api.app.person(&world.org, "closed", statuspulse_policy::Role::Admin).await;
    world.sql(&format!("UPDATE users SET disabled_at = created_at WHERE id = '{}'", closed.id)).await;
    let mut answers = vec![
        visible(&attempt(&world, "198.51.100.1", &world.org.owner.email, "wrong password").await),
        visible(&attempt(&world, "198.51.100.2", "nobody@acme.test", "wrong password").await),
        visible(&attempt(&world, "198.51.100.3", "no address", "wrong password").await),
        visible(&attempt(&world, "198.51.100.4", "", "").await),
        visible(&attempt(&world, "198.51.100.5", &closed.email, &closed.password).await),
    ];
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_sign_in_is_401_and_sets_no_cookie() {
    let world = World::new().await;
    let reply = attempt(&world, "198.51.100.1", &world.org.owner.email, "wrong password").await;
    assert_eq!((reply.outcome(), reply.header("set-cookie")), ((401, "invalid_credentials".into()), ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_account_costs_one_hash_like_a_known_one() {
    let world = World::new().await;
    let mut costs = Vec::new();
    for email in [world.org.owner.email.as_str(), "nobody@acme.test"] {
        let before = world.api.app.gate.hashes();
        attempt(&world, "198.51.100.1", email, "wrong password").await;
        costs.push(world.api.app.gate.hashes() - before);
    }
    assert_eq!(costs, [1, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_read_in_any_case_and_a_password_as_it_is() {
    let world = World::new().await;
    let owner = &world.org.owner;
    let statuses = [
        attempt(&world, "198.51.100.1", &owner.email.to_uppercase(), &owner.password).await.status,
        attempt(&world, "198.51.100.1", &owner.email, &owner.password.to_uppercase()).await.status,
        attempt(&world, "198.51.100.1", &owner.email, &format!("{} ", owner.password)).await.status,
    ];
    assert_eq!(statuses, [200, 401, 401]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_no_sign_in_is_refused() {
    let world = World::new().await;
    let mut refused = Vec::new();
    for body in [
        "{}",
        r#"{"email":"a"}"#,
        r#"{"email":1,"password":"x"}"#,
        "[]",
        "",
        "email=a&password=b",
        r#"{"email":"a","password":"b","remember":true}"#,
        r#"{"email":"a\u0000","password":"b"}"#,
    ] {
        refused.push(world.api.post(SESSION).header("content-type", "application/json").body(body).send().await.status);
    }
    assert_eq!(refused, [422, 422, 422, 422, 400, 400, 422, 422]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_from_a_foreign_page_is_refused() {
    let world = World::new().await;
    let owner = &world.org.owner;
    let body = json!({"email": owner.email, "password": owner.password});
    let mut statuses = Vec::new();
    for origin in ["http://evil.example", "null", "http://auth.test.evil.example", PUBLIC_URL] {
        statuses.push(world.api.post(SESSION).header("origin", origin).json(&body).send().await.status);
    }
    assert_eq!(statuses, [403, 403, 403, 200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_five_wrong_tries_an_account_is_blocked_from_everywhere() {
    let world = World::new().await;
    assert_eq!(wrong_tries(&world, &world.org.owner.email, 6).await, [401, 401, 401, 401, 401, 429]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_does_not_exist_is_blocked_in_the_same_way() {
    let world = World::new().await;
    assert_eq!(wrong_tries(&world, "nobody@acme.test", 6).await, [401, 401, 401, 401, 401, 429]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spelling_of_an_address_gives_no_further_tries() {
    let world = World::new().await;
    wrong_tries(&world, &world.org.owner.email, 3).await;
    let upper = wrong_tries(&world, &world.org.owner.email.to_uppercase(), 3).await;
    assert_eq!(upper, [401, 401, 429]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_try_says_when_to_come_back() {
    let world = World::new().await;
    wrong_tries(&world, &world.org.owner.email, 5).await;
    let reply = attempt(&world, "198.51.100.99", &world.org.owner.email, "wrong password").await;
    assert_eq!((reply.outcome(), reply.header("retry-after")), ((429, "too_many_attempts".into()), "1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_password_is_refused_while_the_account_is_blocked() {
    let world = World::new().await;
    let owner = &world.org.owner;
    wrong_tries(&world, &owner.email, 5).await;
    assert_eq!(attempt(&world, "198.51.100.99", &owner.email, &owner.password).await.status, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_try_costs_no_hash() {
    let world = World::new().await;
    let owner = &world.org.owner;
    wrong_tries(&world, &owner.email, 5).await;
    let before = world.api.app.gate.hashes();
    attempt(&world, "198.51.100.99", &owner.email, &owner.password).await;
    assert_eq!(world.api.app.gate.hashes() - before, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_wait_the_right_password_is_taken_and_the_count_begins_again() {
    let world = World::new().await;
    let owner = &world.org.owner;
    wrong_tries(&world, &owner.email, 5).await;
    world.api.app.advance(Duration::from_secs(1)).await;
    let taken = attempt(&world, "198.51.100.99", &owner.email, &owner.password).await.status;
    let after = wrong_tries(&world, &owner.email, 6).await;
    assert_eq!((taken, after), (200, vec![401, 401, 401, 401, 401, 429]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wait_doubles_with_every_further_wrong_try_up_to_a_quarter_of_an_hour() {
    let world = World::new().await;
    let email = &world.org.owner.email;
    wrong_tries(&world, email, 5).await;
    let mut waits = Vec::new();
    for _ in 0..13 {
        let blocked = attempt(&world, "198.51.100.99", email, "wrong password").await;
        let wait: u64 = blocked.header("retry-after").parse().unwrap();
        waits.push(wait);
        world.api.app.advance(Duration::from_secs(wait)).await;
        attempt(&world, "198.51.100.98", email, "wrong password").await;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarter_of_an_hour_without_a_try_forgets_the_wrong_ones() {
    let world = World::new().await;
    let email = &world.org.owner.email;
    wrong_tries(&world, email, 4).await;
    world.api.app.advance(Duration::from_secs(901)).await;
    assert_eq!(wrong_tries(&world, email, 6).await, [401, 401, 401, 401, 401, 429]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_guesses_gain_nothing() {
    let world = World::new().await;
    let email = &world.org.owner.email;
    let peers: Vec<String> = (0..20).map(|last| format!("198.51.100.{last}")).collect();
    let tries = peers.iter().map(|peer| attempt(&world, peer, email, "wrong password"));
    let replies = futures_util::future::join_all(tries).await;
    // Nobody waits for another one's connection either.
    let counts = [401, 429].map(|status| replies.iter().filter(|reply| reply.status == status).count());
    assert_eq!(counts, [5, 15]);
}

/// A world that goes by the machine's clock, where no two tries begin at the same moment.
async fn world_in_earnest() -> World {
    let db = TestDb::new().await;
    let app = TestApp::builder(&db).real_clock().start().await;
    let api = Api::over(app, "", "x-forwarded-for").await;
    World::around(db, api).await
}

/// What people of one network are told who sign in at the same moment with the right passwords.
async fn together(world: &World, people: &[&Person]) -> Vec<u16> {
    let tries = people.iter().map(|person| attempt(world, "198.51.100.1", &person.email, &person.password));
    futures_util::future::join_all(tries).await.iter().map(|reply| reply.status).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_people_of_one_network_sign_in_at_the_same_moment() {
    let world = world_in_earnest().await;
    let mut people = Vec::new();
    for number in 0..8 {
        people.push(world.api.app.person(&world.org, &format!("p{number}"), statuspulse_policy::Role::Developer).await);
    }
    assert_eq!(together(&world, &people.iter().collect::<Vec<_>>()).await, [200; 8]);
}

/// And no more: each counts as failed before its password is looked at, so that parallel guesses gain nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_person_signs_in_five_times_at_the_same_moment() {
    let world = world_in_earnest().await;
    assert_eq!(together(&world, &[&world.org.owner; 5]).await, [200; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_at_an_instance_whose_clock_is_behind_is_not_blocked_by_the_last_one() {
    let world = World::new().await;
    let owner = &world.org.owner;
    let behind = Arc::new(FixedClock::at(world.now() - chrono::Duration::milliseconds(1)));
    let app = TestApp::builder(&world.db).clock(behind).start().await;
    let second = Api::over(app, "", "x-forwarded-for").await;
    wrong_tries(&world, &owner.email, 4).await;
    let body = json!({"email": owner.email, "password": owner.password});
    assert_eq!(second.post(SESSION).peer("198.51.100.1").json(&body).send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_blocked_account_blocks_no_other() {
    let world = World::new().await;
    let admin = world.api.app.person(&world.org, "admin", statuspulse_policy::Role::Admin).await;
    wrong_tries(&world, &world.org.owner.email, 6).await;
    assert_eq!(attempt(&world, "198.51.100.99", &admin.email, &admin.password).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_thirty_wrong_tries_an_address_is_blocked_for_every_account() {
    let world = World::new().await;
    let owner = &world.org.owner;
    let tries = tries_from(&world, "198.51.100.1", 31).await;
    let right = attempt(&world, "198.51.100.1", &owner.email, &owner.password).await;
    let waits = !right.header("retry-after").is_empty();
    assert_eq!((tries, right.status, waits), ([vec![401; 30], vec![429]].concat(), 429, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_address_blocks_no_other() {
    let world = World::new().await;
    let owner = &world.org.owner;
    tries_from(&world, "198.51.100.1", 30).await;
    assert_eq!(attempt(&world, "198.51.100.2", &owner.email, &owner.password).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_addresses_of_one_ipv6_network_count_together() {
    let world = World::new().await;
    for last in 0..30 {
        attempt(&world, &format!("2001:db8::{last:x}"), &format!("nobody-{last}@acme.test"), "wrong password").await;
    }
    let statuses = [
        attempt(&world, "2001:db8::ffff", "somebody@acme.test", "wrong password").await.status,
        attempt(&world, "2001:db8:0:1::1", "somebody@acme.test", "wrong password").await.status,
    ];
    assert_eq!(statuses, [429, 401]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_back_off_holds_on_every_instance() {
    let world = World::new().await;
    let second = world.second().await;
    let owner = &world.org.owner;
    wrong_tries(&world, &owner.email, 5).await;
    let body = json!({"email": owner.email, "password": owner.password});
    assert_eq!(second.post(SESSION).peer("198.51.100.99").json(&body).send().await.status, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_is_an_event_of_the_person() {
    let world = World::new().await;
    let events = world.events("session.login").await;
    let told: Vec<Value> = events
        .iter()
        .map(|event| json!([event["actor_kind"], event["actor_id"], event["outcome"], event["status"]]))
        .collect();
    assert_eq!(told, [json!(["user", world.org.owner.id.to_string(), "allowed", 200])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_sign_in_is_an_event_that_names_the_account_if_there_is_one() {
    let world = World::new().await;
    attempt(&world, "198.51.100.1", &world.org.owner.email, "wrong password").await;
    attempt(&world, "198.51.100.2", "nobody@acme.test", "wrong password").await;
    let mut events = world.events("session.login").await;
    events.retain(|event| event["outcome"] == json!("denied"));
    let told: Vec<Value> = events
        .iter()
        .map(|event| json!([event["reason"], event["status"], event["ip"], event["detail"]["user_id"]]))
        .collect();
    let expected = [
        json!(["invalid_credentials", 401, "198.51.100.1", world.org.owner.id.to_string()]),
        json!(["invalid_credentials", 401, "198.51.100.2", null]),
    ];
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_try_is_an_event_too() {
    let world = World::new().await;
    wrong_tries(&world, "nobody@acme.test", 6).await;
    let mut events = world.events("session.login").await;
    events.retain(|event| event["reason"] == json!("too_many_attempts"));
    assert_eq!(events.iter().map(|event| event["status"].clone()).collect::<Vec<_>>(), [json!(429)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_table_holds_a_password_or_the_address_of_an_account_that_does_not_exist() {
    let world = World::new().await;
    attempt(&world, "198.51.100.1", "somebody-else@elsewhere.test", "a very secret word").await;
    attempt(&world, "198.51.100.2", &world.org.owner.email, "a very secret word").await;
    let dump = world.dump().await;
    let held =
        ["a very secret word", "somebody-else", world.org.owner.password.as_str()].map(|text| dump.contains(text));
    assert_eq!(held, [false; 3]);
}
