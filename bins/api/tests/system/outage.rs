//! A database that is not ours goes away and comes back while the server runs.

use std::process::Command;

use serde_json::json;
use statuspulse_testkit::{TestDb, eventually};
use tokio::task::spawn_blocking;

use crate::{
    http::Reply,
    server::{Browser, World},
};

/// What happens to the database.
#[derive(Clone, Copy)]
enum Outage {
    /// Connections break, new ones are refused.
    Killed,
    /// Connections hang, new ones too.
    Paused,
}

/// A server without its database, with a key in its memory and its owner signed in.
struct Away {
    world: World,
    token: String,
    owner: Browser,
}

impl Away {
    async fn new(outage: Outage, staleness: &str) -> Self {
        let db = TestDb::on_own_cluster().await;
        // What was committed is still there after the crash, as in a cluster that is used in earnest.
        let durable = format!("ALTER DATABASE {} SET synchronous_commit = on", db.name());
        db.client().await.batch_execute(&durable).await.unwrap();
        let world = World::with(db, |command: &mut Command| {
            command.env("STATUSPULSE_MAX_STALENESS", staleness);
        })
        .await;
        let token = world.token(&["checks:read"]).await;
        let owner = world.server.sign_in(&world.owner().email, &world.owner().password).await;
        match outage {
            Outage::Killed => world.db.cluster().kill_postgres().unwrap(),
            Outage::Paused => world.db.cluster().pause(),
        }
        Self { world, token, owner }
    }

    async fn judged(&self) -> Reply {
        self.world.server.judged(&self.token).await
    }

    async fn create(&self) -> Reply {
        let wanted = json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]});
        self.world.server.as_(&self.owner, "POST", "/v1/orgs/acme/keys", &wanted).await
    }

    /// The database is there again.
    async fn back(self, outage: Outage) -> Self {
        spawn_blocking(move || {
            match outage {
                Outage::Killed => self.world.db.cluster().restart().unwrap(),
                Outage::Paused => self.world.db.cluster().resume(),
            }
            self
        })
        .await
        .unwrap()
    }
}

async fn judges_from_memory(outage: Outage) {
    let away = Away::new(outage, "10m").await;
    away.world.server.becomes("degraded", Some("database_away")).await;
    assert_eq!((away.judged().await.status, away.world.server.readiness().await.0), (200, 200));
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_killed_database_calls_are_judged_from_memory_and_readiness_is_degraded() {
    judges_from_memory(Outage::Killed).await;
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_hanging_database_calls_are_judged_from_memory_and_readiness_is_degraded() {
    judges_from_memory(Outage::Paused).await;
}

async fn asks_to_try_again(outage: Outage) {
    let away = Away::new(outage, "10m").await;
    let reply = away.create().await;
    let headers = ["content-type", "retry-after"].map(|name| reply.header(name).unwrap_or_default().to_owned());
    assert_eq!(
        (reply.outcome(), headers),
        ((503, "unavailable".into()), ["application/problem+json".into(), "1".into()])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_killed_database_the_control_plane_asks_to_try_again() {
    asks_to_try_again(Outage::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_hanging_database_the_control_plane_asks_to_try_again() {
    asks_to_try_again(Outage::Paused).await;
}

/// Every request would otherwise wait for a database that will not answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_a_database_is_known_to_hang_changes_are_refused_at_once() {
    const SOON: std::time::Duration = std::time::Duration::from_secs(2);
    let away = Away::new(Outage::Paused, "10m").await;
    away.world.server.becomes("degraded", Some("database_away")).await;
    eventually("a change is refused before its time is over", async || {
        tokio::time::timeout(SOON, away.create()).await.is_ok_and(|reply| reply.status == 503)
    })
    .await;
    let back = away.back(Outage::Paused).await;
    back.world.server.becomes("ready", None).await;
    assert_eq!(back.create().await.status, 201);
}

async fn becomes_stale(outage: Outage) {
    let away = Away::new(outage, "1s").await;
    eventually("calls are not judged any more", async || away.judged().await.status == 503).await;
    let reply = away.judged().await;
    let readiness = away.world.server.readiness().await;
    assert_eq!(
        (reply.outcome(), reply.header("retry-after"), readiness.0, readiness.1.as_str()),
        ((503, "unavailable".into()), Some("1"), 503, "unavailable")
    );
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_killed_database_for_too_long_calls_are_not_judged() {
    becomes_stale(Outage::Killed).await;
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_hanging_database_for_too_long_calls_are_not_judged() {
    becomes_stale(Outage::Paused).await;
}

async fn recovers(outage: Outage) {
    let away = Away::new(outage, "1s").await;
    eventually("calls are not judged any more", async || away.judged().await.status == 503).await;
    let back = away.back(outage).await;
    back.world.server.becomes("ready", None).await;
    let created = back.create().await;
    assert_eq!((back.judged().await.status, created.status), (200, 201));
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_killed_database_is_back_both_planes_recover_without_a_restart() {
    recovers(Outage::Killed).await;
}

/// spec: policy P44
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_hanging_database_goes_on_both_planes_recover_without_a_restart() {
    recovers(Outage::Paused).await;
}

async fn says_unavailable_of_an_unknown_token(outage: Outage) {
    let away = Away::new(outage, "10m").await;
    let unknown = statuspulse_keys::Token::from_entropy(statuspulse_keys::token::Prefix::Live, &[7; 44]);
    // Whether it is a key that was made a moment ago elsewhere, nobody can say now.
    assert_eq!(away.world.server.judged(unknown.expose()).await.outcome(), (503, "unavailable".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_killed_database_a_token_that_is_not_in_memory_is_not_called_unknown() {
    says_unavailable_of_an_unknown_token(Outage::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_hanging_database_a_token_that_is_not_in_memory_is_not_called_unknown() {
    says_unavailable_of_an_unknown_token(Outage::Paused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_at_the_start_ends_it_with_one_line() {
    let db = TestDb::on_own_cluster().await;
    db.cluster().kill_postgres().unwrap();
    let dir = crate::server::DataDir::new();
    let mut command = dir.program();
    command.env("DATABASE_URL", db.url());
    let gave_up = crate::server::gives_up(command).await;
    let errors = gave_up.errors();
    assert!(gave_up.code == Some(1) && errors.len() == 1 && errors[0].starts_with("error: "), "{}", gave_up.stderr);
}
