//! Receivers whose developers took a library of Standard Webhooks as it is.

use serde_json::{Value, json};
use statuspulse_testkit::{TestDb, eventually};

use crate::{
    packages,
    receiver::{Got, Receiver},
    server::{Browser, World},
};

const HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

#[derive(Clone, Copy)]
enum Library {
    Crate,
    Node,
}

impl Library {
    /// Whether the library takes a delivery under a secret.
    async fn verifies(self, got: &Got, secret: &str) -> bool {
        match self {
            Self::Crate => {
                let webhook = standardwebhooks::Webhook::new(secret).unwrap();
                let mut headers = http::HeaderMap::new();
                for name in HEADERS {
                    headers.insert(name, got.header(name).parse().unwrap());
                }
                webhook.verify(got.body.as_bytes(), &headers).is_ok()
            }
            Self::Node => {
                let headers: Value = HEADERS.iter().map(|name| ((*name).to_owned(), json!(got.header(name)))).collect();
                let settings = json!({"secret": secret, "headers": headers, "body": got.body});
                packages::node("standardwebhooks.mjs", "verify", &settings).await["verified"] == true
            }
        }
    }
}

/// A running service that tells a receiver about a key.
struct Watched {
    world: World,
    owner: Browser,
    receiver: Receiver,
    webhook: String,
    secret: String,
    key: String,
}

impl Watched {
    async fn new() -> Self {
        let world = World::with(TestDb::new().await, |command| {
            command.env("STATUSPULSE_WEBHOOK_ALLOWED_CIDRS", "127.0.0.0/8");
        })
        .await;
        let (owner, receiver) = (world.owner(), Receiver::start().await);
        let owner = world.server.sign_in(&owner.email, &owner.password).await;
        let body = json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]});
        let key = world.server.as_(&owner, "POST", "/v1/orgs/acme/keys", &body).await.json()["key"]["id"].clone();
        let body =
            json!({"url": receiver.url, "kind": "standard", "events": ["key.rotated", "key.disabled", "key.revoked"]});
        let made = world.server.as_(&owner, "POST", "/v1/orgs/acme/webhooks", &body).await.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            webhook: text(&made["webhook"]["id"]),
            secret: text(&made["signing_secret"]),
            key: text(&key),
            world,
            owner,
            receiver,
        }
    }

    async fn key(&self, verb: &str) {
        let path = format!("/v1/orgs/acme/keys/{}/{verb}", self.key);
        let done = self.world.server.as_(&self.owner, "POST", &path, &json!({})).await;
        assert_eq!(done.status, 200, "{}", done.text());
    }

    async fn rotate_secret(&self) -> String {
        let path = format!("/v1/orgs/acme/webhooks/{}/rotate-secret", self.webhook);
        let rotated = self.world.server.as_(&self.owner, "POST", &path, &json!({})).await.json();
        rotated["signing_secret"].as_str().unwrap().to_owned()
    }

    /// The deliveries, once there are so many.
    async fn got(&self, number: usize) -> Vec<Got> {
        eventually("the deliveries arrive", async || self.receiver.got().len() >= number).await;
        self.receiver.got()
    }
}

/// Before, during and after a rotation of the key and a change of the signing secret.
async fn verifies_every_delivery(library: Library) -> Vec<bool> {
    let watched = Watched::new().await;
    watched.key("disable").await;
    let before = watched.got(1).await;
    watched.key("rotate").await;
    let during = watched.got(2).await;
    let fresh = watched.rotate_secret().await;
    watched.key("revoke").await;
    let after = watched.got(3).await;
    let mut told = Vec::new();
    for (got, secret) in [
        (&before[0], &watched.secret),
        (&during[1], &watched.secret),
        (&after[2], &watched.secret),
        (&after[2], &fresh),
    ] {
        told.push(library.verifies(got, secret).await);
    }
    // A library that takes everything would show nothing.
    let foreign = format!("whsec_{}=", "A".repeat(43));
    told.push(library.verifies(&after[2], &foreign).await);
    told
}

/// spec: keys K47
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_crate_verifies_deliveries_before_during_and_after_both_rotations() {
    assert_eq!(verifies_every_delivery(Library::Crate).await, [true, true, true, true, false]);
}

/// spec: keys K47
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node and npm"]
async fn the_npm_package_verifies_deliveries_before_during_and_after_both_rotations() {
    assert_eq!(verifies_every_delivery(Library::Node).await, [true, true, true, true, false]);
}
