//! A change, its number in the feed and its event are written together or not at all (§5.1, policy §7.5).

use serde_json::{Value, json};

use crate::{
    help::{KEYS, SETTINGS, path, plain},
    support::{Reply, World},
};

/// From now on the outbox of the trail takes no event of a change, as when its disk were full.
async fn block_trail(world: &World) {
    world
        .sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON audit_outbox FOR EACH ROW
             WHEN (NEW.event->>'action' LIKE 'key.%' OR NEW.event->>'action' LIKE 'settings.%') EXECUTE FUNCTION refuse()",
        )
        .await;
}

/// The same for the feed.
async fn block_feed(world: &World) {
    world
        .sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
             CREATE TRIGGER refuse BEFORE UPDATE ON key_feed FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
}

/// Every change that there is, each of a key of its own.
async fn all_changes(world: &World, ids: &[String]) -> Vec<Reply> {
    let at = |place: usize, verb: &str| path(&ids[place], verb);
    vec![
        world.create(&plain()).await,
        world.owner("POST", &at(0, "rotate"), &json!({})).await,
        world.owner("POST", &at(1, "revoke"), &json!({})).await,
        world.owner("POST", &at(2, "disable"), &json!({})).await,
        world.owner("POST", &at(3, "enable"), &json!({})).await,
        world
            .owner("PATCH", &at(4, ""), &json!({"name": "changed", "expires_at": world.now() + crate::help::DAY}))
            .await,
        world.owner("PUT", &at(5, "allowlist"), &json!({"allowed_cidrs": ["203.0.113.0/24"]})).await,
        world.owner("PATCH", SETTINGS, &json!({"unused_key_days": 90})).await,
        world
            .owner(
                "POST",
                "/v1/orgs/acme/allowlist/add",
                &json!({"add": ["203.0.113.0/24"], "keys": [ids[6]], "create_lists": true}),
            )
            .await,
    ]
}

/// A world with a key for each change; the fourth is disabled.
async fn prepared() -> (World, Vec<String>) {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(world.created(&json!({})).await.0);
    }
    world.verb(&ids[3], "disable", &json!({})).await;
    (world, ids)
}

/// spec: audit A4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_event_can_not_be_written_does_not_happen() {
    let (world, ids) = prepared().await;
    block_trail(&world).await;
    let before = world.state().await;
    all_changes(&world, &ids).await;
    assert_eq!(world.state().await, before);
}

/// spec: audit A4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_event_can_not_be_written_is_answered_by_503() {
    let (world, ids) = prepared().await;
    block_trail(&world).await;
    let statuses: Vec<u16> = all_changes(&world, &ids).await.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [503; 9]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_ours_tells_nothing_of_its_cause_and_holds_no_token() {
    let (world, ids) = prepared().await;
    block_trail(&world).await;
    let replies = all_changes(&world, &ids).await;
    let told = replies.iter().map(|reply| reply.text.as_str()).collect::<String>();
    let words = ["refused", "trigger", "audit_outbox", "sp_live_", "token\":"];
    assert_eq!(words.map(|word| told.contains(word)), [false; 5], "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_change_that_did_not_happen_calls_are_judged_as_before() {
    let world = World::new().await;
    let (id, token) = world.created(&json!({})).await;
    block_trail(&world).await;
    for verb in ["rotate", "disable", "revoke"] {
        world.verb(&id, verb, &json!({})).await;
    }
    assert_eq!(world.call(&token).await, "allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_gets_no_number_of_the_feed_leaves_no_event() {
    let (world, ids) = prepared().await;
    let events = "SELECT count(*)::text FROM audit_events WHERE action LIKE 'key.%' OR action LIKE 'settings.%'";
    block_feed(&world).await;
    world.api.app.flush().await;
    let before = (world.state().await, world.texts(events).await);
    all_changes(&world, &ids).await;
    world.api.app.flush().await;
    assert_eq!((world.state().await, world.texts(events).await), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_takes_one_number_of_the_feed_and_leaves_one_event() {
    let (world, ids) = prepared().await;
    let numbers = "SELECT (seq + (SELECT count(*) FROM audit_events
        WHERE (action LIKE 'key.%' OR action LIKE 'settings.%') AND outcome = 'allowed'))::text FROM key_feed";
    world.api.app.flush().await;
    let before: i64 = world.texts(numbers).await.concat().parse().unwrap();
    let statuses: Vec<u16> = all_changes(&world, &ids).await.iter().map(|reply| reply.status).collect();
    world.api.app.flush().await;
    let after: i64 = world.texts(numbers).await.concat().parse().unwrap();
    assert_eq!((after - before, statuses), (18, vec![201, 200, 200, 200, 200, 200, 200, 200, 200]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_change_of_the_feed_is_the_one_that_is_stamped_on_its_key() {
    let world = World::new().await;
    let (id, _) = world.created(&json!({})).await;
    world.rotated(&id, &json!({})).await;
    let stamps = format!(
        "SELECT (k.seq = f.seq AND bool_and(v.seq = f.seq))::text FROM keys k, key_feed f, key_versions v
         WHERE k.id = '{id}' AND v.key_id = k.id GROUP BY k.seq, f.seq"
    );
    assert_eq!(world.texts(&stamps).await, ["true"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_of_a_change_names_the_person_the_address_and_the_request() {
    let world = World::new().await;
    let reply = world.create(&plain()).await;
    let events = world.events("key.create").await;
    let event = events.iter().find(|event| event["actor_kind"] == json!("user")).unwrap();
    let told: Vec<Value> = ["actor_id", "ip", "route", "request_id"].iter().map(|name| event[*name].clone()).collect();
    let expected = json!([
        world.org.owner.id.to_string(),
        crate::support::PEER,
        KEYS.replace("acme", "{org}"),
        reply.header("x-request-id")
    ]);
    assert_eq!(Value::from(told), expected);
}
