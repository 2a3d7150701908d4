//! The alert of more than 5,000 calls within a minute, on one instance and on several.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use statuspulse_app::{
    alerts, counters,
    keys::CreateKey,
    verify::{self, Call, Presented},
};
use statuspulse_audit::event::Origin;
use statuspulse_policy::{ClientAddress, Served};
use statuspulse_testkit::{TestApp, key_of};

use crate::support::{PEER, World};

/// Calls of a key on an instance, as a gateway would ask about them. Answers how many were accepted.
async fn calls(app: &TestApp, token: &str, number: usize, path: &str) -> usize {
    let (app, catalog) = (app.app(), app.catalog.load_full());
    let call = || Call {
        presented: Presented::Token(token),
        client: ClientAddress::Known(PEER.parse().unwrap()),
        served: Served::Any,
        requirement: catalog.requirement("GET", path),
        catalog: &catalog,
        origin: Origin::default(),
        via: None,
        quiet: false,
        anonymous: false,
        audience: None,
        refused: verify::refused_call,
    };
    let mut accepted = 0;
    for part in (0..number).step_by(100) {
        let verdicts = join_all((part..number.min(part + 100)).map(|_| verify::judge(&app, call()))).await;
        accepted += verdicts.iter().filter(|verdict| verdict.allowed()).count();
    }
    accepted
}

const CHECKS: &str = "/api/v1/checks";

async fn pass(world: &World, seconds: u64) {
    world.api.app.clock().advance(Duration::from_secs(seconds));
    world.api.app.replica.catch_up().await;
}

/// What was counted is looked at; answers the alerts.
async fn looked(world: &World) -> Vec<Value> {
    counters::tick(&world.api.app).await;
    world.alerts("call_rate").await
}

/// spec: audit A24
#[tokio::test]
async fn five_thousand_calls_within_a_minute_open_nothing_and_one_more_opens_an_alert() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    for _ in 0..5 {
        calls(&world.api.app, &token, 1_000, CHECKS).await;
        pass(&world, 11).await;
    }
    let none = looked(&world).await;
    calls(&world.api.app, &token, 1, CHECKS).await;
    let opened = looked(&world).await;
    assert_eq!((none.len(), opened.len()), (0, 1));
    let alert = &opened[0];
    let evidence = &alert["evidence"];
    let shown = json!([alert["subject"], alert["count"], alert["severity"], alert["status"], evidence["control"]]);
    assert_eq!(shown, json!([id, 5_001, "high", "open", ["CC7.2", "CC7.3"]]));
    let shown = json!([evidence["threshold"], evidence["window_seconds"], evidence["observed"], evidence["peak"]]);
    assert_eq!(shown, json!([5_000, 60, 5_001, 5_001]));
    let places = json!([evidence["routes"], evidence["sources"]]);
    assert_eq!(places, json!([["/api/v1/checks/**"], ["203.0.113.0/24"]]));
    assert_eq!(evidence["events"].as_array().map(Vec::len), Some(20));
}

/// spec: audit A25
/// The attack: a burst that a counter of whole minutes would split into two halves.
#[tokio::test]
async fn a_burst_across_the_border_of_a_minute_opens_one_alert() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let into_the_minute = world.api.app.env.now().timestamp().rem_euclid(60).unsigned_abs();
    pass(&world, 90 - into_the_minute).await;
    calls(&world.api.app, &token, 2_501, CHECKS).await;
    pass(&world, 59).await;
    calls(&world.api.app, &token, 2_500, CHECKS).await;
    assert_eq!(looked(&world).await.len(), 1);
}

/// spec: audit A25
/// The attack: calls spread over instances, so that none of them sees too many.
#[tokio::test]
async fn calls_that_are_spread_over_three_instances_open_one_alert() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let instances = [world.api.app.second().await, world.api.app.second().await];
    let instances: Vec<&TestApp> = instances.iter().chain([&*world.api.app]).collect();
    for app in &instances {
        calls(app, &token, 1_667, CHECKS).await;
    }
    // A look tells the others, the next one hears of them.
    for _ in 0..2 {
        for app in &instances {
            counters::tick(app).await;
        }
    }
    for app in &instances {
        app.flush().await;
    }
    let opened = looked(&world).await;
    assert_eq!((opened.len(), &opened[0]["count"]), (1, &json!(5_001)));
}

/// spec: audit A26
#[tokio::test]
async fn twenty_minutes_above_are_one_alert_whose_peak_follows() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let mut counts = Vec::new();
    for minute in 0..20 {
        calls(&world.api.app, &token, 5_010 + if minute == 12 { 90 } else { 0 }, CHECKS).await;
        counts.push(looked(&world).await.len());
        pass(&world, 61).await;
    }
    let alert = looked(&world).await.remove(0);
    let shown = json!([alert["status"], alert["count"], alert["evidence"]["peak"], alert["evidence"]["observed"]]);
    assert_eq!((counts, shown), (vec![1; 20], json!(["open", 5_100, 5_100, 5_010])));
}

/// spec: audit A26
#[tokio::test]
async fn an_alert_resolves_itself_after_five_calm_minutes_and_the_next_excess_opens_another() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    calls(&world.api.app, &token, 5_001, CHECKS).await;
    looked(&world).await;
    let mut states = Vec::new();
    // Not above any more, and not calm either: 4,500 within a minute.
    for calls_of_the_minute in [4_500, 4_500, 4_500, 0, 0, 0, 0, 0, 0] {
        pass(&world, 61).await;
        calls(&world.api.app, &token, calls_of_the_minute, CHECKS).await;
        looked(&world).await;
        alerts::watch::round(&world.api.app.app()).await.unwrap();
        states.push(looked(&world).await[0]["status"].as_str().unwrap().to_owned());
    }
    calls(&world.api.app, &token, 5_001, CHECKS).await;
    let both = looked(&world).await;
    let expected = ["open", "open", "open", "open", "open", "open", "open", "resolved", "resolved"];
    assert_eq!((states, both.len()), (expected.map(str::to_owned).to_vec(), 2));
    assert_eq!(json!([both[0]["resolution"]["kind"], both[1]["status"]]), json!(["automatic", "open"]));
}

/// spec: audit A32
#[tokio::test]
async fn calls_are_accepted_while_the_alert_is_open() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let accepted = calls(&world.api.app, &token, 5_001, CHECKS).await;
    let opened = looked(&world).await.len();
    assert_eq!((accepted, opened, calls(&world.api.app, &token, 10, CHECKS).await), (5_001, 1, 10));
}

/// spec: audit A30
#[tokio::test]
async fn without_the_common_counters_an_instance_counts_alone_and_says_so() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    world.db.client().await.batch_execute("ALTER TABLE usage_seconds RENAME TO gone").await.unwrap();
    calls(&world.api.app, &token, 5_001, CHECKS).await;
    let opened = looked(&world).await.len();
    let ready = world.api.get("/readyz").send().await.json();
    let impaired = world.alerts("watch_impaired").await;
    let shown = json!([ready["status"], ready["reasons"][0]["code"], impaired[0]["evidence"]["reason"], opened]);
    assert_eq!(shown, json!(["degraded", "counters_unavailable", "counters_unavailable", 1]));
    world.db.client().await.batch_execute("ALTER TABLE gone RENAME TO usage_seconds").await.unwrap();
    counters::tick(&world.api.app).await;
    assert_eq!(world.api.get("/readyz").send().await.json()["status"], "ready");
}

#[tokio::test]
async fn refused_calls_of_a_key_count_too_and_each_key_for_itself() {
    let world = World::new().await;
    let (one, two) = (world.key(&["checks:read"]).await, world.key(&["checks:read"]).await);
    calls(&world.api.app, &one.1, 3_000, CHECKS).await;
    calls(&world.api.app, &one.1, 2_001, "/api/v1/incidents").await;
    calls(&world.api.app, &two.1, 4_000, CHECKS).await;
    let subjects: Vec<Value> = looked(&world).await.iter().map(|alert| alert["subject"].clone()).collect();
    assert_eq!(subjects, [json!(one.0)]);
}

#[tokio::test]
async fn what_a_gateway_asks_is_counted_for_the_key_that_it_asks_about() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let question = json!({"token": token, "method": "GET", "path": CHECKS, "client_ip": PEER});
    world.api.verify(&world.gateway, &question).await;
    assert_eq!(world.api.app.counters.len(), 1);
}

#[tokio::test]
async fn a_threshold_of_a_keys_own_counts_before_that_of_its_organization() {
    let world = World::new().await;
    let (strict, lenient) = (world.key(&["checks:read"]).await, world.key(&["checks:read"]).await);
    let set = |key: Option<&str>, threshold: u32| {
        let key = key.map_or("NULL".to_owned(), |key| format!("'{key}'"));
        format!(
            "INSERT INTO alert_settings (organization_id, rule, key_id, threshold, updated_at, updated_by)
             SELECT id, 'call_rate', {key}, {threshold}, now(), 'test' FROM organizations WHERE slug = 'acme'"
        )
    };
    let client = world.db.client().await;
    client.batch_execute(&set(None, 500)).await.unwrap();
    client.batch_execute(&set(Some(&strict.0), 100)).await.unwrap();
    counters::tick(&world.api.app).await;
    for (_, token) in [&strict, &lenient] {
        calls(&world.api.app, token, 101, CHECKS).await;
    }
    let opened = looked(&world).await;
    let shown = json!([opened[0]["subject"], opened[0]["evidence"]["threshold"], opened.len()]);
    assert_eq!(shown, json!([strict.0, 100, 1]));
}

#[tokio::test]
async fn a_credential_that_calls_no_more_is_forgotten() {
    let world = World::new().await;
    for _ in 0..3 {
        let (_, token) = world.key_like(key_of("production", &["checks:read"])).await;
        calls(&world.api.app, &token, 100, CHECKS).await;
    }
    counters::tick(&world.api.app).await;
    let before = world.api.app.counters.len();
    pass(&world, 200).await;
    for _ in 0..61 {
        counters::tick(&world.api.app).await;
    }
    assert_eq!((before, world.api.app.counters.len()), (3, 0));
}

#[tokio::test]
async fn a_setting_of_a_key_without_a_threshold_is_the_rules_again() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    let text = format!(
        "INSERT INTO alert_settings (organization_id, rule, key_id, threshold, updated_at, updated_by)
         SELECT id, 'call_rate', k, t, now(), 'test' FROM organizations,
             (VALUES (NULL::uuid, 100), ('{id}'::uuid, NULL)) AS settings(k, t) WHERE slug = 'acme'"
    );
    world.db.client().await.batch_execute(&text).await.unwrap();
    looked(&world).await;
    calls(&world.api.app, &token, 500, CHECKS).await;
    assert_eq!(looked(&world).await.len(), 0);
}

/// What an instance had at noon is no part of what another one has in the afternoon.
#[tokio::test]
async fn a_peak_that_is_over_is_not_added_to_what_others_count() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let second = world.api.app.second().await;
    counters::tick(&second).await;
    for _ in 0..19 {
        calls(&second, &token, 45, CHECKS).await;
        pass(&world, 1).await;
    }
    second.replica.catch_up().await;
    for _ in 0..4 {
        pass(&world, 60).await;
        second.replica.catch_up().await;
        calls(&second, &token, 1, CHECKS).await;
    }
    calls(&world.api.app, &token, 4_200, CHECKS).await;
    for _ in 0..3 {
        counters::tick(&world.api.app).await;
        counters::tick(&second).await;
    }
    second.flush().await;
    assert_eq!(looked(&world).await.len(), 0);
}

/// The attack: halves of a burst on two instances, 59 seconds apart, one of them just before it is looked at.
#[tokio::test]
async fn a_burst_over_two_instances_is_seen_up_to_the_edge_of_the_minute() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let second = world.api.app.second().await;
    calls(&world.api.app, &token, 2_501, CHECKS).await;
    for app in [&*world.api.app, &second] {
        counters::tick(app).await;
    }
    pass(&world, 60).await;
    second.replica.catch_up().await;
    calls(&second, &token, 2_500, CHECKS).await;
    let mut found = 0;
    for _ in 0..2 {
        pass(&world, 1).await;
        second.replica.catch_up().await;
        counters::tick(&second).await;
        second.flush().await;
        found = looked(&world).await.len();
    }
    assert_eq!(found, 1);
}

#[tokio::test]
async fn counts_that_are_lost_with_the_common_counters_are_told_again() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let second = world.api.app.second().await;
    let client = world.db.client().await;
    counters::tick(&second).await;
    calls(&world.api.app, &token, 2_600, CHECKS).await;
    counters::tick(&world.api.app).await;
    client.batch_execute("ALTER TABLE usage_seconds RENAME TO gone").await.unwrap();
    counters::tick(&world.api.app).await;
    client.batch_execute("DELETE FROM gone; ALTER TABLE gone RENAME TO usage_seconds").await.unwrap();
    calls(&second, &token, 2_600, CHECKS).await;
    for _ in 0..2 {
        counters::tick(&world.api.app).await;
        counters::tick(&second).await;
    }
    second.flush().await;
    let opened = looked(&world).await;
    assert_eq!((opened.len(), &opened[0]["count"]), (1, &json!(5_200)));
}

/// The attack on a limit: the counters of a key whose calls don't count are forgotten while its limit is used up.
#[tokio::test]
async fn the_limit_of_a_gateways_key_outlives_the_clean_up() {
    let world = World::new().await;
    let wanted = CreateKey { rate_limit_per_minute: Some(3), ..key_of("production", &["credentials:verify"]) };
    let (_, gateway) = world.key_like(wanted).await;
    let (_, token) = world.key(&["checks:read"]).await;
    let question = json!({"token": token, "scope": "checks:read"});
    let mut statuses = Vec::new();
    for round in 0..5 {
        statuses.push(world.api.post("/v1/verify").key(&gateway).json(&question).send().await.status);
        if round == 2 {
            for _ in 0..61 {
                counters::tick(&world.api.app).await;
            }
        }
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}

/// After an outage nobody knows whether an excess has gone on meanwhile.
#[tokio::test]
async fn what_nobody_could_look_at_is_not_over() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    calls(&world.api.app, &token, 5_001, CHECKS).await;
    looked(&world).await;
    let client = world.db.client().await;
    client.batch_execute("ALTER TABLE usage_seconds RENAME TO gone").await.unwrap();
    pass(&world, 400).await;
    counters::tick(&world.api.app).await;
    client.batch_execute("ALTER TABLE gone RENAME TO usage_seconds").await.unwrap();
    alerts::watch::round(&world.api.app.app()).await.unwrap();
    let after_the_outage = looked(&world).await[0]["status"].clone();
    pass(&world, 31).await;
    alerts::watch::round(&world.api.app.app()).await.unwrap();
    let later = looked(&world).await[0]["status"].clone();
    assert_eq!((after_the_outage, later), (json!("open"), json!("resolved")));
}
