//! The main job once from end to end.

use serde_json::json;

use crate::support::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_created_key_is_accepted_until_it_is_revoked() {
    let world = World::new().await;
    let wanted = json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]});
    let created = world.owner("POST", "/v1/orgs/acme/keys", &wanted).await;
    let (key, token) = (created.json()["key"]["id"].clone(), created.json()["token"].clone());
    let token = token.as_str().unwrap().to_owned();
    let before = world.judged(&token, "GET", "/api/v1/checks").await;
    let path = format!("/v1/orgs/acme/keys/{}/revoke", key.as_str().unwrap());
    world.owner("POST", &path, &json!({})).await;
    let after = world.judged(&token, "GET", "/api/v1/checks").await;
    assert_eq!((created.status, before.as_str(), after.as_str()), (201, "allowed", "revoked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_use_of_a_key_is_noted() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    world.judged(&token, "GET", "/api/v1/checks").await;
    world.api.app.flush().await;
    let shown = world.api.get(&format!("/v1/orgs/acme/keys/{id}")).cookie(&world.owner).send().await.json();
    assert_eq!(shown["last_used_ips"], json!([crate::support::PEER]));
}
