//! A free country database, as npm has it, tells where a call came from.

use std::process::Command;

use nix::sys::signal::Signal;
use statuspulse_testkit::{TestDb, eventually};

use crate::{
    npm,
    server::{CHECKS, World},
};

/// Addresses of operators that have had them for long, one of them as IPv6 writes IPv4; and one of a private network.
const CALLERS: [(&str, Option<&str>); 4] =
    [("8.8.8.8", Some("US")), ("::ffff:8.8.8.8", Some("US")), ("193.0.6.139", Some("NL")), ("10.1.2.3", None)];

async fn world(file: &std::path::Path) -> World {
    World::with(TestDb::new().await, |command: &mut Command| {
        command.env("STATUSPULSE_GEO_DATABASE", file).env("STATUSPULSE_TRUSTED_PROXIES", "127.0.0.0/8");
    })
    .await
}

async fn call(world: &World, token: &str, from: &str) -> String {
    let reply = world.server.ask("GET", CHECKS).key(token).header("X-Forwarded-For", from).send().await;
    reply.header("x-request-id").unwrap().to_owned()
}

/// The country of a request's event, once it is there.
async fn country(world: &World, request: &str) -> Option<String> {
    let client = world.db.client().await;
    let query = "SELECT country FROM audit_events WHERE request_id = $1::text::uuid";
    let mut found = None;
    eventually("the event is written", async || {
        found = client.query_opt(query, &[&request]).await.unwrap().map(|row| row.get(0));
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node and npm"]
async fn a_country_database_tells_where_calls_come_from() {
    let world = world(&npm::countries().await).await;
    let token = world.token(&["checks:read"]).await;
    let mut found = Vec::new();
    for (from, _) in CALLERS {
        let request = call(&world, &token, from).await;
        found.push((from, country(&world, &request).await));
    }
    assert_eq!(found, CALLERS.map(|(from, country)| (from, country.map(str::to_owned))));
}

/// spec: audit A33
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node and npm"]
async fn a_broken_database_is_told_by_readiness_until_it_is_mended_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("countries.mmdb");
    std::fs::write(&file, "no database").unwrap();
    let world = world(&file).await;
    let token = world.token(&["checks:read"]).await;
    world.server.becomes("degraded", Some("geo_database")).await;
    let before = country(&world, &call(&world, &token, "8.8.8.8").await).await;
    std::fs::copy(npm::countries().await, &file).unwrap();
    world.server.process.signal(Signal::SIGHUP);
    world.server.becomes("ready", None).await;
    let after = country(&world, &call(&world, &token, "8.8.8.8").await).await;
    assert_eq!((before, after.as_deref()), (None, Some("US")));
}
