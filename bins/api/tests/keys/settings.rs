//! An organization's settings (§4).

use serde_json::{Value, json};
use statuspulse_policy::Role;

use crate::{
    help::{DAY, SETTINGS},
    support::{Reply, World},
};

async fn change(world: &World, body: &Value) -> Reply {
    world.owner("PATCH", SETTINGS, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_organization_has_the_settings_of_the_contract() {
    let world = World::new().await;
    let mut settings = world.read(SETTINGS).await.json();
    settings["developer_scopes"].as_array_mut().unwrap().retain(|scope| scope == "keys:read" || scope == "checks:read");
    let expected = json!({"max_lifespan_days": {"production": 90, "staging": 365, "analytics": 90},
        "unused_key_days": null, "developer_scopes": ["checks:read"], "reuse_policy": "alert", "allowed_cidrs": null});
    assert_eq!(settings, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_setting_is_kept_and_shown() {
    let world = World::new().await;
    let wanted = json!({"max_lifespan_days": {"production": 30, "staging": 60, "analytics": 7}, "unused_key_days": 90,
        "developer_scopes": ["checks:read"], "reuse_policy": "kill", "allowed_cidrs": ["203.0.113.0/24"]});
    let changed = change(&world, &wanted).await.json();
    assert_eq!([changed, world.read(SETTINGS).await.json()], [wanted.clone(), wanted]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_change_leaves_out_stays() {
    let world = World::new().await;
    change(&world, &json!({"max_lifespan_days": {"staging": 60}, "unused_key_days": 90})).await;
    change(&world, &json!({"max_lifespan_days": {"production": 30}})).await;
    let settings = world.read(SETTINGS).await.json();
    let shown = json!([settings["max_lifespan_days"], settings["unused_key_days"]]);
    assert_eq!(shown, json!([{"production": 30, "staging": 60, "analytics": 90}, 90]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_brings_the_defaults_back() {
    let world = World::new().await;
    let before = world.read(SETTINGS).await.json();
    change(
        &world,
        &json!({"max_lifespan_days": {"production": 30}, "unused_key_days": 90,
        "developer_scopes": ["checks:read"], "allowed_cidrs": ["203.0.113.0/24"]}),
    )
    .await;
    change(
        &world,
        &json!({"max_lifespan_days": {"production": null}, "unused_key_days": null,
        "developer_scopes": null, "allowed_cidrs": null}),
    )
    .await;
    assert_eq!(world.read(SETTINGS).await.json(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_setting_raises_a_maximum_above_its_environments_own() {
    let world = World::new().await;
    let body = json!({"max_lifespan_days": {"production": 91, "staging": 366, "analytics": 91}});
    let reply = change(&world, &body).await;
    let fields = ["production", "staging", "analytics"].map(|name| format!("max_lifespan_days.{name}: out_of_bounds"));
    assert_eq!((reply.status, reply.fields()), (422, fields.to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_out_of_bounds_is_refused_at_its_field() {
    let world = World::new().await;
    let mut refused = Vec::new();
    for body in [
        json!({"max_lifespan_days": {"production": 0}}),
        json!({"max_lifespan_days": {"production": -1}}),
        json!({"max_lifespan_days": {"production": 1.5}}),
        json!({"max_lifespan_days": {"prod": 1}}),
        json!({"max_lifespan_days": 30}),
        json!({"unused_key_days": 29}),
        json!({"unused_key_days": 366}),
        json!({"reuse_policy": "Kill"}),
        json!({"developer_scopes": []}),
        json!({"developer_scopes": ["checks:read", "checks:*"]}),
        json!({"allowed_cidrs": []}),
        json!({"allowed_cidrs": ["10.0.0.1/8"]}),
        json!({"allowed_cidrs": ["0.0.0.0/0"]}),
        json!({"confirm": "yes"}),
        json!({"nonsense": 1}),
    ] {
        let reply = change(&world, &body).await;
        refused.push(format!("{} {}", reply.status, reply.json()["errors"][0]["field"].as_str().unwrap()));
    }
    let expected = [
        "422 max_lifespan_days.production",
        "422 max_lifespan_days.production",
        "422 max_lifespan_days.production",
        "422 max_lifespan_days.prod",
        "422 max_lifespan_days",
        "422 unused_key_days",
        "422 unused_key_days",
        "422 reuse_policy",
        "422 developer_scopes",
        "422 developer_scopes[1]",
        "422 allowed_cidrs",
        "422 allowed_cidrs[0]",
        "422 allowed_cidrs[0]",
        "422 confirm",
        "422 nonsense",
    ];
    assert_eq!(refused, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_change_of_settings_changes_nothing() {
    let world = World::new().await;
    let before = world.state().await;
    change(&world, &json!({"reuse_policy": "kill", "unused_key_days": 1})).await;
    assert_eq!(world.state().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_settings_to_what_they_are_changes_nothing() {
    let world = World::new().await;
    let before = world.state().await;
    let reply = change(&world, &json!({"reuse_policy": "alert", "max_lifespan_days": {"production": 90}})).await;
    assert_eq!((reply.status, world.state().await), (200, before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bounds_themselves_are_taken() {
    let world = World::new().await;
    let mut statuses = Vec::new();
    for body in [
        json!({"unused_key_days": 30}),
        json!({"unused_key_days": 365}),
        json!({"max_lifespan_days": {"staging": 1}}),
        json!({"max_lifespan_days": {"production": 90, "staging": 365, "analytics": 90}}),
    ] {
        statuses.push(change(&world, &body).await.status);
    }
    assert_eq!(statuses, [200; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_settings_is_an_event_that_names_the_fields() {
    let world = World::new().await;
    change(&world, &json!({"reuse_policy": "kill", "unused_key_days": 90})).await;
    let events = world.events("settings.update").await;
    let told: Vec<Value> = events.iter().map(|event| event["detail"]["changed"].clone()).collect();
    assert_eq!(told, [json!(["unused_key_days", "reuse_policy"])]);
}

/// spec: keys K21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_ends_no_key_needs_no_confirmation() {
    let mut world = World::new().await;
    let (revoked, _) = world.created(&json!({})).await;
    world.verb(&revoked, "revoke", &json!({})).await;
    world.created(&json!({"environment": "staging"})).await;
    world.later(DAY * 20).await;
    // All production keys are younger, dead, or of another environment.
    let reply = change(&world, &json!({"max_lifespan_days": {"production": 21}})).await;
    assert_eq!((reply.status, reply.json()["ended_keys"].clone()), (200, Value::Null));
}

/// spec: keys K21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_dead_already_are_not_named_as_ended() {
    let mut world = World::new().await;
    let (revoked, _) = world.created(&json!({"environment": "staging"})).await;
    world.verb(&revoked, "revoke", &json!({})).await;
    world.created(&json!({"environment": "staging", "expires_in_days": 5})).await;
    let (alive, _) = world.created(&json!({"environment": "staging"})).await;
    world.later(DAY * 20).await;
    let reply = change(&world, &json!({"max_lifespan_days": {"staging": 10}, "confirm": true})).await.json();
    let ended: Vec<Value> = reply["ended_keys"].as_array().unwrap().iter().map(|key| key["id"].clone()).collect();
    assert_eq!(ended, [json!(alive)]);
}

/// spec: keys K21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_key_counts_as_one_that_would_end() {
    let mut world = World::new().await;
    let (id, _) = world.created(&json!({"environment": "staging"})).await;
    world.verb(&id, "disable", &json!({})).await;
    world.later(DAY * 20).await;
    let reply = change(&world, &json!({"max_lifespan_days": {"staging": 10}})).await;
    assert_eq!(reply.outcome(), (409, "confirmation_required".into()));
}

/// spec: keys K21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_confirmation_changes_nothing() {
    let mut world = World::new().await;
    world.created(&json!({"environment": "staging"})).await;
    world.later(DAY * 20).await;
    let before = world.state().await;
    change(&world, &json!({"max_lifespan_days": {"staging": 10}, "reuse_policy": "kill"})).await;
    assert_eq!(world.state().await, before);
}

async fn as_role(role: Role) -> (u16, u16) {
    let world = World::new().await;
    let person = world.api.app.person(&world.org, "somebody", role).await;
    let browser = world.api.sign_in(&person).await;
    let read = world.api.get(SETTINGS).cookie(&browser).send().await.status;
    let body = json!({"unused_key_days": 90});
    (read, world.api.ask("PATCH", SETTINGS).browser(&browser).json(&body).send().await.status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_and_admin_read_and_change_settings() {
    assert_eq!([as_role(Role::Owner).await, as_role(Role::Admin).await], [(200, 200); 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_reads_settings_and_changes_none() {
    assert_eq!(as_role(Role::Auditor).await, (200, 403));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_has_nothing_to_do_with_settings() {
    assert_eq!(as_role(Role::Developer).await, (403, 403));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_reads_or_changes_settings() {
    let world = World::new().await;
    let scopes = ["keys:read", "apps:read", "audit:read", "alerts:read", "credentials:verify"];
    let (_, token) = world.key(&scopes).await;
    let replies = [
        world.api.get(SETTINGS).key(&token).send().await,
        world.api.ask("PATCH", SETTINGS).key(&token).json(&json!({"unused_key_days": 90})).send().await,
    ];
    assert_eq!(replies.map(|reply| reply.status), [403; 2]);
}
