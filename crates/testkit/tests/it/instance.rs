use std::{collections::HashSet, time::Duration};

use statuspulse_app::{Clock as _, Entropy as _, keys};
use statuspulse_policy::Role;
use statuspulse_testkit::{CountingEntropy, FixedClock, TestApp, TestDb, key_of};

#[tokio::test]
async fn two_instances_on_one_database_make_different_tokens() {
    let db = TestDb::new().await;
    let first = TestApp::start(&db).await;
    let second = first.second().await;
    let org = first.organization("acme").await;
    let wanted = key_of("production", &["monitoring:read"]);
    let (_, one) = first.key(&org, wanted.clone()).await;
    let (_, other) = second.key(&org, wanted).await;
    assert_ne!(one, other);
}

#[tokio::test]
async fn an_instance_writes_its_events_a_year_later() {
    let db = TestDb::new().await;
    let app = TestApp::start(&db).await;
    let org = app.organization("acme").await;
    app.advance_days(365).await;
    let (key, _) = app.key(&org, key_of("staging", &["monitoring:read"])).await;
    assert_eq!(key.key.created_at, app.clock().now());
}

#[tokio::test]
async fn a_developer_is_held_to_the_role() {
    let db = TestDb::new().await;
    let app = TestApp::start(&db).await;
    let org = app.organization("acme").await;
    let person = app.person(&org, "dora", Role::Developer).await;
    let wanted = key_of("production", &["audit:read"]);
    let (caller, access) = (person.caller(&app), org.access_as(Role::Developer));
    let refused = keys::create(&app, &caller, &access, wanted, None).await;
    assert_eq!(refused.unwrap_err().code(), "scope_not_grantable");
}

#[test]
fn both_times_of_a_clock_move_along() {
    let clock = FixedClock::default();
    let (now, monotonic) = (clock.now(), clock.monotonic());
    clock.advance(Duration::from_secs(3));
    clock.set(now + Duration::from_secs(10));
    clock.set(now);
    assert_eq!((clock.now() - now, clock.monotonic() - monotonic), (chrono::Duration::zero(), Duration::from_secs(10)));
}

#[test]
fn counted_bytes_never_repeat() {
    let mut seen = HashSet::new();
    let draw = |_| {
        let mut bytes = [0; 10];
        CountingEntropy.fill(&mut bytes).unwrap();
        bytes
    };
    assert!((0..10_000).map(draw).all(|bytes| seen.insert(bytes)));
}
