//! What these tests ask again and again.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use statuspulse_app::{
    keys::{CreateKey, notices, successor},
    webhooks::worker::Worker,
};
use statuspulse_auth::Outgoing;
use statuspulse_delivery::{AllowedNetworks, Courier, SystemNames};
use statuspulse_testkit::{TestApp, TestDb, key_of};

use crate::{
    receiver::Receiver,
    support::{Api, Browser, PUBLIC_URL, Reply, World},
};

pub(crate) const WEBHOOKS: &str = "/v1/orgs/acme/webhooks";
pub(crate) const KEYS: &str = "/v1/orgs/acme/keys";
/// Every type that comes by itself.
pub(crate) const ALL: [&str; 14] = [
    "key.created",
    "key.rotated",
    "key.revoked",
    "key.disabled",
    "key.expiring",
    "key.expired",
    "key.unused",
    "key.successor_ready",
    "key.successor_claimed",
    "key.recipient_changed",
    "key.leaked",
    "app.secret_expiring",
    "oauth.refresh_reuse_detected",
    "alert.opened",
];

/// An organization whose webhooks may reach this machine.
pub(crate) struct Scene {
    pub(crate) world: World,
    worker: Arc<Worker>,
}

fn loopback() -> AllowedNetworks {
    AllowedNetworks::parse("127.0.0.0/8").unwrap()
}

pub(crate) fn worker(app: &TestApp) -> Arc<Worker> {
    let courier = Courier::new(loopback(), Arc::new(SystemNames), Duration::from_secs(5)).unwrap();
    Worker::new(app.app(), Arc::new(courier), PUBLIC_URL.to_owned())
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let db = TestDb::new().await;
        Self::over(db, Outgoing { networks: loopback(), ..Outgoing::default() }).await
    }

    pub(crate) async fn over(db: TestDb, outgoing: Outgoing) -> Self {
        let api = Api::with_outgoing(TestApp::start(&db).await, outgoing).await;
        let worker = worker(&api.app);
        Self { world: World::around(db, api).await, worker }
    }

    /// An endpoint for these types at a receiver; its id and its secret.
    pub(crate) async fn endpoint(&self, receiver: &Receiver, events: &[&str]) -> (String, String) {
        self.endpoint_like(&json!({"url": receiver.url, "kind": "standard", "events": events})).await
    }

    pub(crate) async fn endpoint_like(&self, body: &Value) -> (String, String) {
        let made = self.owner("POST", WEBHOOKS, body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let json = made.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&json["webhook"]["id"]), text(&json["signing_secret"]))
    }

    /// The owner, signed in afresh: sessions end when time is moved.
    pub(crate) async fn browser(&self) -> Browser {
        self.world.api.sign_in(&self.world.org.owner).await
    }

    pub(crate) async fn owner(&self, method: &str, path: &str, body: &Value) -> Reply {
        let browser = self.browser().await;
        self.world.api.ask(method, path).browser(&browser).json(body).send().await
    }

    pub(crate) async fn shown(&self, path: &str) -> Value {
        let browser = self.browser().await;
        self.world.api.get(path).cookie(&browser).send().await.json()
    }

    /// Sends what is due.
    pub(crate) async fn send(&self) -> usize {
        self.world.api.app.flush().await;
        self.worker.send_due().await.unwrap()
    }

    pub(crate) async fn days(&self, days: u32) {
        self.world.api.app.advance_days(days).await;
    }

    pub(crate) async fn seconds(&self, seconds: u64) {
        self.world.api.app.advance(Duration::from_secs(seconds)).await;
    }

    pub(crate) async fn give_notices(&self) -> usize {
        notices::pass(&self.world.api.app.app()).await.unwrap()
    }

    pub(crate) async fn prepare_successors(&self) -> usize {
        successor::pass(&self.world.api.app.app()).await.unwrap()
    }

    /// A production key: its id and its token.
    pub(crate) async fn key(&self) -> (String, String) {
        self.world.key(&["checks:read"]).await
    }

    pub(crate) async fn key_like(&self, change: impl FnOnce(&mut CreateKey)) -> (String, String) {
        let mut wanted = key_of("production", &["checks:read"]);
        change(&mut wanted);
        let (view, token) = self.world.key_like(wanted).await;
        (view.key.id.to_string(), token)
    }

    /// What forward-auth says of a token.
    pub(crate) async fn judged(&self, token: &str) -> String {
        let path = "/v1/forward-auth/api/v1/checks";
        let reply = self.world.api.get(path).peer("127.0.0.1").key(token).send().await;
        if reply.status == 200 { "allowed".to_owned() } else { reply.code() }
    }
}
