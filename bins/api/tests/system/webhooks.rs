//! Deliveries and the end of the process.

use serde_json::json;
use statuspulse_testkit::{TestDb, eventually};

use crate::{receiver::Receiver, server::World};

/// spec: keys K48
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_is_delivered_after_a_kill_with_the_same_id() {
    let set_up = |command: &mut std::process::Command| {
        command.env("STATUSPULSE_WEBHOOK_ALLOWED_CIDRS", "127.0.0.0/8");
    };
    let mut world = World::with(TestDb::new().await, set_up).await;
    let receiver = Receiver::start().await;
    // Takes the request and never answers: the delivery is under way when the process ends.
    receiver.hang();
    let owner = world.server.sign_in(&world.owner().email, &world.owner().password).await;
    let body = json!({"url": receiver.url, "kind": "standard", "events": ["key.created"]});
    assert_eq!(world.server.as_(&owner, "POST", "/v1/orgs/acme/webhooks", &body).await.status, 201);
    let body = json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]});
    world.server.as_(&owner, "POST", "/v1/orgs/acme/keys", &body).await;
    eventually("the first attempt is under way", async || receiver.got().len() == 1).await;
    world.server.process.kill();
    receiver.answer("204 No Content");
    world.start_again(set_up).await;
    eventually("it is sent again", async || receiver.got().len() >= 2).await;
    let got = receiver.got();
    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
}
