//! A running service, its owner, and apps that are registered with it.

use serde_json::Value;

use crate::{
    client::{Client, VERIFIER, encoded, parameter},
    http::Ask,
    server::World,
};

/// A service and its owner.
pub(crate) struct Scene {
    pub(crate) world: World,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self { world: World::new().await }
    }

    /// The public URL.
    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.world.server.address)
    }

    /// Registers an app over REST as the owner.
    pub(crate) async fn register(&self, app: &Value) -> Client {
        let (server, owner) = (&self.world.server, self.world.owner());
        let browser = server.sign_in(&owner.email, &owner.password).await;
        let reply = server.as_(&browser, "POST", "/v1/orgs/acme/apps", app).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let json = reply.json();
        Client {
            app: json["app"]["id"].as_str().unwrap().to_owned(),
            id: json["client_id"].as_str().unwrap().to_owned(),
            secret: json["client_secret"].as_str().unwrap_or_default().to_owned(),
            redirect: json["app"]["redirect_uris"][0].as_str().unwrap().to_owned(),
        }
    }
    /// What the code is worth that an app is sent back with.
    pub(crate) async fn redeems(&self, app: &Client, back: &str) -> Value {
        let code = parameter(back, "code").unwrap_or_else(|| panic!("no code in {back}"));
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &app.redirect),
            ("code_verifier", VERIFIER),
        ];
        let ask = Ask::new(self.world.server.address, "POST", "/oauth/token");
        let ask = ask.header("Content-Type", "application/x-www-form-urlencoded");
        let ask = if app.secret.is_empty() {
            form.push(("client_id", &app.id));
            ask
        } else {
            ask.header("Authorization", &app.basic())
        };
        ask.body(encoded(&form).as_bytes()).send().await.json()
    }
}
