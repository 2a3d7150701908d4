//! Mistakes that were made once.

use serde_json::{Value, json};
use statuspulse_testkit::eventually;

use crate::support::World;

async fn sql(world: &World, statement: &str) {
    world.db.client().await.batch_execute(statement).await.unwrap();
    world.api.app.replica.catch_up().await;
}

/// Breaks a key's row, past the database's own checks.
async fn break_row(world: &World, id: &str) {
    let statement = format!(
        "ALTER TABLE keys DROP CONSTRAINT keys_allowlist_notes_check;
         UPDATE keys SET allowlist_notes = '{{\"a\": 1}}', name = 'broken' WHERE id = '{id}'"
    );
    sql(world, &statement).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_read_does_not_keep_other_changes_from_being_seen() {
    let world = World::new().await;
    let (broken, _) = world.key(&["checks:read"]).await;
    let (other, token) = world.key(&["checks:read"]).await;
    break_row(&world, &broken).await;
    world.owner("POST", &format!("/v1/orgs/acme/keys/{other}/revoke"), &json!({})).await;
    assert_eq!(world.judged(&token, "GET", "/api/v1/checks").await, "revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_row_cannot_be_read_is_refused() {
    let world = World::new().await;
    let (broken, token) = world.key(&["checks:read"]).await;
    break_row(&world, &broken).await;
    assert_ne!(world.judged(&token, "GET", "/api/v1/checks").await, "allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_feed_went_back_a_revocation_holds_all_the_same() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    world.judged(&token, "GET", "/api/v1/checks").await;
    sql(&world, "UPDATE key_feed SET seq = seq - 2").await;
    world.owner("POST", &format!("/v1/orgs/acme/keys/{id}/revoke"), &json!({})).await;
    assert_eq!(world.judged(&token, "GET", "/api/v1/checks").await, "revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_cannot_be_deleted_behind_the_instances_backs() {
    let world = World::new().await;
    world.key(&["checks:read"]).await;
    let client = world.db.client().await;
    let refused = client.batch_execute("DELETE FROM key_versions; DELETE FROM keys").await;
    assert!(refused.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_deleted_by_hand_is_refused() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    let before = world.judged(&token, "GET", "/api/v1/checks").await;
    sql(&world, &format!("DELETE FROM key_versions WHERE key_id = '{id}'")).await;
    eventually("the instance has heard of it", async || {
        world.judged(&token, "GET", "/api/v1/checks").await == "unknown"
    })
    .await;
    assert_eq!(before, "allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_is_refused_where_it_means_nothing() {
    let world = World::new().await;
    let (id, _) = world.key(&["checks:read"]).await;
    let mut accepted = Vec::new();
    for field in ["name", "scopes", "allow_any", "allowlist_notes", "expires_at", "auto_rotate"] {
        let reply = world.owner("PATCH", &format!("/v1/orgs/acme/keys/{id}"), &json!({field: null})).await;
        if reply.status != 422 || !reply.fields()[0].starts_with(field) {
            accepted.push((field, reply.text));
        }
    }
    assert!(accepted.is_empty(), "{accepted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_changes_nothing_is_an_event_of_its_request() {
    let world = World::new().await;
    let (id, _) = world.key(&["checks:read"]).await;
    world.owner("PATCH", &format!("/v1/orgs/acme/keys/{id}"), &json!({})).await;
    let events: Vec<Value> = world.events("api.call").await;
    let patches = events.iter().filter(|event| event["method"] == "PATCH").count();
    assert_eq!((patches, world.events("key.update").await.len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_url_is_noted_once_a_request() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    let path = format!("/v1/forward-auth/api/v1/checks/{token}?again={token}");
    world.api.get(&path).peer("127.0.0.1").send().await;
    assert_eq!(world.events("credential.in_url").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_has_the_same_fingerprint() {
    let world = World::new().await;
    for _ in 0..8 {
        let request = world.api.get("/v1/forward-auth/api/v1/checks").peer("127.0.0.1");
        request.header("accept", "*/*").header("user-agent", "curl").header("x-a", "1").header("x-b", "2").send().await;
    }
    let events = world.events("api.call").await;
    let distinct: std::collections::HashSet<String> = events.iter().map(|e| e["fingerprint"].to_string()).collect();
    assert_eq!((events.len(), distinct.len()), (8, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_a_scope_that_left_the_catalog_can_still_be_changed() {
    let world = World::new().await;
    let (id, _) = world.key(&["checks:read"]).await;
    sql(&world, &format!("UPDATE keys SET scopes = scopes | (1::bigint << 40) WHERE id = '{id}'")).await;
    let rotated = world.owner("POST", &format!("/v1/orgs/acme/keys/{id}/rotate"), &json!({})).await;
    assert_eq!((rotated.status, rotated.json()["key"]["scopes"].clone()), (200, json!(["checks:read"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_is_not_stored_in_clear() {
    let world = World::new().await;
    let body = json!({"name": "x", "environment": "staging", "scopes": ["checks:read"]});
    let request =
        world.api.post("/v1/orgs/acme/keys").browser(&world.owner).header("idempotency-key", "a-secret-of-mine");
    request.json(&body).send().await;
    let client = world.db.client().await;
    let row = client.query_one("SELECT idempotency_key FROM idempotency_keys", &[]).await.unwrap();
    assert!(!row.get::<_, String>(0).contains("secret"));
}
