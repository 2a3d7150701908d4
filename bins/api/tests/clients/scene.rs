//! What these tests want of a scene, and apps that are registered with it.

use serde_json::{Value, json};
use statuspulse_testkit::TestDb;

pub(crate) use crate::stage::Scene;
use crate::{
    client::Client,
    loopback::{Loopback, Window},
    person::Person,
    server::World,
};

/// The scope that the tokens of these tests are for, and that [`crate::server::CHECKS`] needs.
pub(crate) const SCOPE: &str = "checks:read";

impl Scene {
    /// One behind a window, which shows what is sent to the service.
    pub(crate) async fn behind(window: &Window) -> Self {
        let url = window.url();
        let mut world = World::with(TestDb::new().await, |command| {
            command.env("STATUSPULSE_PUBLIC_URL", url);
        })
        .await;
        world.server.address = window.opens_on(world.server.address);
        Self { world }
    }

    pub(crate) fn person(&self) -> Person {
        let owner = self.world.owner();
        Person::new(self.world.server.address, &owner.email, &owner.password)
    }

    /// What a gateway is told about a call with the access token of a token answer: the status.
    pub(crate) async fn judged(&self, tokens: &Value) -> u16 {
        let token = tokens["access_token"].as_str().unwrap_or_else(|| panic!("no access token in {tokens}"));
        self.world.server.judged(token).await.status
    }
}

/// An app with a secret.
pub(crate) fn confidential() -> Value {
    json!({
        "name": "Deploy Bot", "kind": "confidential", "redirect_uris": ["https://app.example/cb"],
        "scopes": [SCOPE, "alerts:write"], "default_scopes": [SCOPE],
    })
}

/// A command-line program.
pub(crate) fn public() -> Value {
    json!({"name": "Command line", "kind": "public", "redirect_uris": ["http://127.0.0.1/cb"], "scopes": [SCOPE]})
}

/// An app whose developer has taken a library.
pub(crate) struct Developer {
    pub(crate) scene: Scene,
    pub(crate) client: Client,
    /// See [`Person::door`].
    person: Loopback,
}

impl Developer {
    pub(crate) async fn of(app: &Value) -> Self {
        let scene = Scene::new().await;
        let client = scene.register(app).await;
        let person = scene.person().door().await;
        Self { scene, client, person }
    }

    /// What the library is told.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "issuer": self.scene.issuer(),
            "client_id": self.client.id,
            "client_secret": self.client.secret,
            "redirect_uri": self.client.redirect,
            "scope": SCOPE,
            "person": format!("http://{}", self.person.address),
        })
    }
}
