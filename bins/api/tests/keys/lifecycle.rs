//! States, names, switches, limits of number (§4).

use serde_json::{Value, json};

use crate::{
    help::{DAY, KEYS, plain, plain_with},
    support::{Reply, World},
};

async fn status(world: &World, id: &str, token: &str) -> [String; 2] {
    [world.shown(id).await["status"].as_str().unwrap().to_owned(), world.call(token).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_active_and_accepted() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    assert_eq!(status(&world, &id, &token).await, ["active", "allowed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_key_is_refused_until_it_is_enabled() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.verb(&id, "disable", &json!({})).await;
    let off = status(&world, &id, &token).await;
    world.verb(&id, "enable", &json!({})).await;
    assert_eq!([off, status(&world, &id, &token).await], [["disabled", "disabled"], ["active", "allowed"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_expires_at_the_second_of_its_end() {
    let mut world = World::new().await;
    let (id, token) = world.created(&json!({"expires_in_days": 1})).await;
    let second = std::time::Duration::from_secs(1);
    world.later(DAY - second).await;
    let before = status(&world, &id, &token).await;
    world.later(second).await;
    assert_eq!([before, status(&world, &id, &token).await], [["active", "allowed"], ["expired", "expired"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_comes_before_disabled_and_revoked_before_both() {
    let mut world = World::new().await;
    let (id, token) = world.created(&json!({"expires_in_days": 1})).await;
    world.verb(&id, "disable", &json!({})).await;
    let disabled = status(&world, &id, &token).await;
    world.later(DAY).await;
    let expired = status(&world, &id, &token).await;
    world.verb(&id, "revoke", &json!({})).await;
    let revoked = status(&world, &id, &token).await;
    assert_eq!([disabled, expired, revoked], [["disabled"; 2], ["expired"; 2], ["revoked"; 2]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_can_neither_be_enabled_nor_disabled() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.verb(&id, "revoke", &json!({})).await;
    let refused = [world.verb(&id, "enable", &json!({})).await, world.verb(&id, "disable", &json!({})).await];
    assert_eq!(
        refused.map(|reply| reply.outcome()),
        [(409, "key_revoked".to_owned()), (409, "key_revoked".to_owned())]
    );
}

/// The status of a verb that is repeated, and whether it changed anything.
async fn repeated(world: &World, id: &str, verb: &str, body: &Value) -> (u16, bool) {
    world.api.app.flush().await;
    let before = (world.state().await, world.events(&format!("key.{verb}")).await);
    let reply = world.verb(id, verb, body).await;
    (reply.status, (world.state().await, world.events(&format!("key.{verb}")).await) != before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabling_twice_is_fine_and_changes_nothing() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.verb(&id, "disable", &json!({})).await;
    world.api.app.advance(DAY / 24).await;
    assert_eq!(repeated(&world, &id, "disable", &json!({})).await, (200, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enabling_what_is_enabled_is_fine_and_changes_nothing() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    assert_eq!(repeated(&world, &id, "enable", &json!({})).await, (200, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_twice_is_fine_and_keeps_the_first_reason() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.verb(&id, "revoke", &json!({"reason": "left the company"})).await;
    let again = repeated(&world, &id, "revoke", &json!({"reason": "another"})).await;
    assert_eq!((again, world.shown(&id).await["revoke_reason"].clone()), ((200, false), json!("left the company")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verb_takes_no_body_at_all() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let mut statuses = Vec::new();
    for verb in ["disable", "enable", "rotate", "revoke"] {
        let path = format!("{KEYS}/{id}/{verb}");
        statuses.push(world.api.post(&path).browser(&world.owner).send().await.status);
    }
    assert_eq!(statuses, [200; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_says_where_it_is_in_force() {
    let world = World::new().await;
    let second = world.second().await;
    let (id, token) = world.created(&json!({})).await;
    let reply = world.owner("POST", &format!("{KEYS}/{id}/revoke?wait=20s"), &json!({})).await.json();
    let (applied, pending) = (reply["applied"].as_array().unwrap().len(), reply["pending"].as_array().unwrap().len());
    assert_eq!((applied, pending, world.call_at(&second, &token).await), (2, 0, "revoked".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_is_zero_to_thirty_seconds() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let mut statuses = Vec::new();
    for wait in ["0", "0s", "30s", "31s", "-1s", "5", "soon", ""] {
        statuses.push(world.owner("POST", &format!("{KEYS}/{id}/enable?wait={wait}"), &json!({})).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 422, 422, 422, 422, 422]);
}

async fn named(world: &World, name: &Value) -> Reply {
    world.create(&plain_with(&json!({"name": name}))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_has_one_to_a_hundred_characters_of_any_script() {
    let world = World::new().await;
    let mut statuses = Vec::new();
    for name in ["x".to_owned(), "ß".repeat(100), "🦀".repeat(100), "x".repeat(101), "🦀".repeat(101), String::new()]
    {
        statuses.push(named(&world, &json!(name)).await.status);
    }
    assert_eq!(statuses, [201, 201, 201, 422, 422, 422]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_holds_no_control_character() {
    let world = World::new().await;
    let mut refused = Vec::new();
    for control in ['\u{1}', '\n', '\t', '\r', '\u{1b}', '\u{7f}', '\u{85}'] {
        let reply = named(&world, &json!(format!("a{control}b"))).await;
        refused.push((reply.status, reply.fields()));
    }
    assert_eq!(refused, vec![(422, vec!["name: invalid_name".to_owned()]); 7]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_need_not_be_unique() {
    let world = World::new().await;
    let statuses = [named(&world, &json!("same")).await.status, named(&world, &json!("same")).await.status];
    assert_eq!(statuses, [201; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nul_in_any_text_is_refused_at_its_field() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let nul = "a\0b";
    let replies = [
        named(&world, &json!(nul)).await,
        world.create(&plain_with(&json!({"scopes": ["checks:read", nul]}))).await,
        world
            .create(&plain_with(&json!({"allowed_cidrs": ["192.0.2.1"], "allowlist_notes": {"192.0.2.1": nul}})))
            .await,
        world.create(&plain_with(&json!({"successor_public_key": nul}))).await,
        world.patch(&id, &json!({"name": nul})).await,
        world.verb(&id, "revoke", &json!({"reason": nul})).await,
        world.owner("PATCH", "/v1/orgs/acme/settings", &json!({"reuse_policy": nul})).await,
    ];
    let refused: Vec<_> =
        replies.iter().map(|reply| format!("{} {}", reply.status, reply.fields().join(","))).collect();
    let expected = [
        "422 name: nul_character",
        "422 scopes[1]: nul_character",
        "422 allowlist_notes.192.0.2.1: nul_character",
        "422 successor_public_key: nul_character",
        "422 name: nul_character",
        "422 reason: nul_character",
        "422 reuse_policy: nul_character",
    ];
    assert_eq!(refused, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nul_in_a_search_is_refused() {
    let world = World::new().await;
    let replies = [world.read(&format!("{KEYS}?q=a%00b")).await, world.read(&format!("{KEYS}?a%00b=1")).await];
    assert_eq!(replies.map(|reply| reply.status), [422; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_keeps_what_it_does_not_name() {
    let world = World::new().await;
    let fields = json!({"allowed_cidrs": ["203.0.113.0/24"], "rate_limit_per_minute": 60, "auto_rotate": true,
        "allowlist_notes": {"203.0.113.0/24": "office"}});
    let (id, _) = world.created(&fields).await;
    let mut before = world.shown(&id).await;
    world.patch(&id, &json!({"name": "renamed"})).await;
    before["name"] = json!("renamed");
    assert_eq!(world.shown(&id).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_to_what_is_there_already_changes_nothing() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({"rate_limit_per_minute": 60})).await;
    let before = world.state().await;
    let reply = world.patch(&id, &json!({"name": "ci", "scopes": ["checks:read"], "rate_limit_per_minute": 60})).await;
    assert_eq!((reply.status, world.state().await), (200, before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_takes_a_limit_and_an_allowlist_away() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({"rate_limit_per_minute": 60, "allowed_cidrs": ["192.0.2.0/24"]})).await;
    let before = world.call(&token).await;
    let changed = world.patch(&id, &json!({"rate_limit_per_minute": null, "allowed_cidrs": null})).await.json();
    let fields = (changed["rate_limit_per_minute"].clone(), changed["allowed_cidrs"].clone());
    assert_eq!(
        (before, world.call(&token).await, fields),
        ("ip_not_allowed".to_owned(), "allowed".to_owned(), (Value::Null, Value::Null))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_scopes_holds_for_the_next_call() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    world.patch(&id, &json!({"scopes": ["incidents:read"]})).await;
    assert_eq!(world.call(&token).await, "insufficient_scope");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_environment_hides_no_other_wrong_field() {
    let world = World::new().await;
    let mut refused = Vec::new();
    for days in [0, 366] {
        let wanted = json!({"environment": "prod", "scopes": ["checks:read", "nope:read"], "expires_in_days": days});
        refused.push(world.create(&plain_with(&wanted)).await.fields());
    }
    let expected = ["environment: unknown_environment", "scopes[1]: unknown_scope", "expires_in_days: out_of_bounds"];
    assert_eq!(refused, [expected; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_names_all_of_its_wrong_fields_and_changes_nothing() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let before = world.state().await;
    let wrong = json!({"name": "", "scopes": [], "allowed_cidrs": [], "rate_limit_per_minute": 0,
        "expires_at": "2001-01-01T00:00:00Z", "successor_public_key": "age1nonsense"});
    let reply = world.patch(&id, &wrong).await;
    let mut fields: Vec<String> =
        reply.fields().iter().map(|field| field.split(':').next().unwrap().to_owned()).collect();
    fields.sort();
    let expected = ["allowed_cidrs", "expires_at", "name", "rate_limit_per_minute", "scopes", "successor_public_key"];
    assert_eq!((reply.status, fields, world.state().await), (422, expected.map(str::to_owned).to_vec(), before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_can_not_be_changed() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.verb(&id, "revoke", &json!({})).await;
    let refused = [
        world.patch(&id, &json!({"name": "x"})).await,
        world.owner("PUT", &format!("{KEYS}/{id}/allowlist"), &json!({"allowed_cidrs": null})).await,
    ];
    assert_eq!(
        refused.map(|reply| reply.outcome()),
        [(409, "key_revoked".to_owned()), (409, "key_revoked".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keys_environment_and_id_are_no_fields_of_a_change() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    let reply = world.patch(&id, &json!({"environment": "staging", "id": id, "status": "active"})).await;
    assert_eq!(reply.fields(), ["environment: unknown_field", "id: unknown_field", "status: unknown_field"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_and_revoked_keys_stay_in_the_list() {
    let mut world = World::new().await;
    world.created(&json!({"name": "expired", "expires_in_days": 1})).await;
    let (id, _) = world.created(&json!({"name": "revoked"})).await;
    world.verb(&id, "revoke", &json!({})).await;
    world.later(DAY).await;
    let items = world.read(KEYS).await.json()["items"].clone();
    let names: Vec<&str> = items.as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"expired") && names.contains(&"revoked"), "{names:?}");
}

/// Makes copies of the gateway's key until there are that many keys, as fast as the table takes them.
async fn fill(world: &World, number: usize) {
    world
        .sql(&format!(
            "CREATE TEMP TABLE more AS SELECT gen_random_uuid() AS id, n FROM generate_series(2, {number}) AS n;
             CREATE TEMP TABLE k AS SELECT * FROM keys LIMIT 1; CREATE TEMP TABLE v AS SELECT * FROM key_versions LIMIT 1;
             INSERT INTO keys SELECT (jsonb_populate_record(k, jsonb_build_object('id', more.id))).* FROM k, more;
             INSERT INTO key_versions SELECT (jsonb_populate_record(v, jsonb_build_object(
                 'id', gen_random_uuid(), 'key_id', more.id, 'lookup_id', NULL))).* FROM v, more"
        ))
        .await;
}

/// spec: keys K53
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_501st_key_is_refused() {
    let world = World::new().await;
    fill(&world, 499).await;
    let replies = [world.create(&plain()).await, world.create(&plain()).await];
    assert_eq!(replies.map(|reply| reply.outcome()), [(201, String::new()), (422, "key_limit_reached".to_owned())]);
}

/// spec: keys K53
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_keys_at_once_for_the_last_place_one_is_made() {
    let world = World::new().await;
    fill(&world, 499).await;
    let body = plain();
    let (first, other) = futures_util::future::join(world.create(&body), world.create(&body)).await;
    let mut statuses = [first.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422]);
}

/// spec: keys K53
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabled_keys_count_towards_the_limit() {
    let world = World::new().await;
    fill(&world, 500).await;
    world.sql("UPDATE keys SET disabled_at = created_at WHERE id IN (SELECT id FROM keys OFFSET 1)").await;
    assert_eq!(world.create(&plain()).await.code(), "key_limit_reached");
}

/// spec: keys K53
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_keys_do_not_count_towards_the_limit() {
    let world = World::new().await;
    fill(&world, 500).await;
    world
        .sql("UPDATE keys SET revoked_at = created_at WHERE id = (SELECT id FROM keys ORDER BY id DESC LIMIT 1)")
        .await;
    assert_eq!(world.create(&plain()).await.status, 201);
}

/// spec: keys K53
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_keys_do_not_count_towards_the_limit() {
    let mut world = World::new().await;
    fill(&world, 500).await;
    // All of them end with the gateway's.
    world.api.app.advance(DAY * 90).await;
    world.owner = world.api.sign_in(&world.org.owner).await;
    assert_eq!(world.create(&plain()).await.status, 201);
}

/// spec: keys K53
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_of_another_organization_do_not_count_towards_the_limit() {
    let world = World::new().await;
    fill(&world, 500).await;
    let other = world.api.app.organization("other").await;
    let browser = world.api.sign_in(&other.owner).await;
    let reply = world.api.post("/v1/orgs/other/keys").browser(&browser).json(&plain()).send().await;
    assert_eq!(reply.status, 201);
}
