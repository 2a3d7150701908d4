//! Without its database, an instance judges from memory for a bounded time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::Utc;
use serde_json::json;
use statuspulse_testkit::{FixedClock, TestApp, TestDb, eventually};

use crate::{
    attempt::{Attempt, passed},
    order::unknown_token,
    replica::{code_on, revoke, until_code},
    support::{Api, World},
};

/// Status of readiness, and the word in its body.
async fn readiness(api: &Api) -> (u16, String) {
    let reply = api.get("/readyz").send().await;
    (reply.status, reply.json()["status"].as_str().unwrap().to_owned())
}

fn ready(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_an_instance_judges_on_and_says_that_it_is_degraded() {
    let world = World::alone().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let before = Attempt::of(&token).outcomes(&world).await;
    world.db.cluster().kill_postgres().unwrap();
    eventually("readiness says degraded", async || readiness(&world.api).await == ready(200, "degraded")).await;
    let after = Attempt::of(&token).outcomes(&world).await;
    assert_eq!([before, after], [passed(), passed()]);
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_database_that_hangs_an_instance_judges_on_and_says_that_it_is_degraded() {
    let world = World::alone().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let before = Attempt::of(&token).outcomes(&world).await;
    world.db.cluster().pause();
    eventually("readiness says degraded", async || readiness(&world.api).await == ready(200, "degraded")).await;
    let after = Attempt::of(&token).outcomes(&world).await;
    world.db.cluster().resume();
    assert_eq!([before, after], [passed(), passed()]);
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_without_its_database_for_longer_than_the_bound_judges_no_keys() {
    let world = World::alone().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let attempt = Attempt::of(&token);
    attempt.outcomes(&world).await;
    world.db.cluster().pause();
    let clock = world.api.app.clock();
    clock.advance(Duration::from_secs(59));
    let within = (code_on(&world.api, &token).await, readiness(&world.api).await.0);
    clock.advance(Duration::from_secs(1));
    let beyond = (code_on(&world.api, &token).await, readiness(&world.api).await.0);
    world.db.cluster().resume();
    assert_eq!([within, beyond], [("allowed".to_owned(), 200), ("unavailable".to_owned(), 503)]);
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_a_stale_instance_are_told_to_try_again() {
    let world = World::alone().await;
    let (_, token) = world.key(&["checks:read"]).await;
    world.db.cluster().pause();
    world.api.app.clock().advance(Duration::from_secs(60));
    let forward = Attempt::of(&token).forward(&world.api).await;
    let question = json!({"token": token, "method": "GET", "path": "/api/v1/checks"});
    let verify = world.api.post("/v1/verify").key(&world.gateway).json(&question).send().await;
    let own = world.api.get("/v1/keys/self").key(&token).send().await;
    world.db.cluster().resume();
    let told: Vec<_> =
        [forward, verify, own].iter().map(|reply| (reply.outcome(), reply.header("retry-after").to_owned())).collect();
    assert_eq!(told, vec![((503, "unavailable".to_owned()), "1".to_owned()); 3]);
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bound_is_the_configured_one() {
    let db = TestDb::on_own_cluster().await;
    let app = TestApp::builder(&db).max_staleness(Duration::from_secs(300)).start().await;
    let world = World::around(db, Api::over(app, "", "x-forwarded-for").await).await;
    let (_, token) = world.key(&["checks:read"]).await;
    code_on(&world.api, &token).await;
    world.db.cluster().pause();
    let clock = world.api.app.clock();
    clock.advance(Duration::from_secs(299));
    let within = code_on(&world.api, &token).await;
    clock.advance(Duration::from_secs(1));
    let beyond = code_on(&world.api, &token).await;
    world.db.cluster().resume();
    assert_eq!([within.as_str(), beyond.as_str()], ["allowed", "unavailable"]);
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_instance_recovers_by_itself() {
    let world = World::alone().await;
    let (_, token) = world.key(&["checks:read"]).await;
    code_on(&world.api, &token).await;
    world.db.cluster().pause();
    world.api.app.clock().advance(Duration::from_secs(60));
    let stale = code_on(&world.api, &token).await;
    world.db.cluster().resume();
    until_code(&world.api, &token, "allowed").await;
    eventually("readiness is green", async || readiness(&world.api).await.0 == 200).await;
    assert_eq!(stale, "unavailable");
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_whose_database_was_restarted_follows_the_feed_again() {
    let world = World::alone().await;
    let second = world.second().await;
    let (id, token) = world.key(&["checks:read"]).await;
    until_code(&second, &token, "allowed").await;
    world.db.cluster().restart().unwrap();
    eventually("both are ready", async || {
        [readiness(&world.api).await, readiness(&second).await] == [ready(200, "ready"), ready(200, "ready")]
    })
    .await;
    eventually("the key is revoked", async || revoke(&world, &id, "0s").await.status == 200).await;
    until_code(&second, &token, "revoked").await;
    assert_eq!(code_on(&world.api, &token).await, "revoked");
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_was_cut_off_while_a_key_was_revoked_never_accepts_it_afterwards() {
    let world = World::new().await;
    // Cut off means here: this instance's clock ran on while it could not read the feed.
    let (id, token) = world.key(&["checks:read"]).await;
    let second = world.second().await;
    code_on(&second, &token).await;
    revoke(&world, &id, "5s").await;
    world.api.app.clock().advance(Duration::from_secs(61));
    let mut codes = BTreeSet::new();
    eventually("the instance has caught up", async || {
        let code = code_on(&second, &token).await;
        codes.insert(code.clone());
        code == "revoked"
    })
    .await;
    assert!(!codes.contains("allowed"), "{codes:?}");
}

/// spec: policy §7.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_token_is_not_called_unknown_while_the_database_is_away() {
    let world = World::alone().await;
    world.db.cluster().kill_postgres().unwrap();
    let outcome = Attempt::of(&unknown_token(1)).forward(&world.api).await.outcome();
    assert_eq!(outcome, (503, "unavailable".to_owned()));
}

/// What readiness says of an instance whose clock is that far behind the database's.
async fn readiness_behind(seconds: i64) -> (u16, String) {
    let db = TestDb::new().await;
    let clock = FixedClock::at(Utc::now() - chrono::Duration::seconds(seconds));
    let api = Api::over(TestApp::builder(&db).clock(Arc::new(clock)).start().await, "", "x-forwarded-for").await;
    eventually("the clocks are compared", async || api.app.replica.clock_skew_ms() != 0).await;
    readiness(&api).await
}

/// spec: policy §7.7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_more_than_a_minute_off_the_database_is_not_ready() {
    let told = [readiness_behind(30).await, readiness_behind(61).await, readiness_behind(-90).await];
    assert_eq!(told, [ready(200, "ready"), ready(503, "unavailable"), ready(503, "unavailable")]);
}
