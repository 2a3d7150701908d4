//! A call of somebody's program, judged in both ways: `/v1/verify` and forward-auth.

use serde_json::{Value, json};
use statuspulse_testkit::TestDb;

use crate::support::{Api, PEER, Reply, World};

/// From where gateways ask forward-auth; loopback is trusted where no proxies are configured.
pub(crate) const GATEWAY: &str = "127.0.0.1";

/// A call: by default `GET /api/v1/checks` from the usual address, at a server that does not distinguish environments.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    token: &'a str,
    method: &'a str,
    path: &'a str,
    ip: Option<&'a str>,
    environments: &'a [&'a str],
}

impl<'a> Attempt<'a> {
    pub(crate) fn of(token: &'a str) -> Self {
        Self { token, method: "GET", path: "/api/v1/checks", ip: Some(PEER), environments: &[] }
    }

    /// To another endpoint.
    pub(crate) fn to(self, method: &'a str, path: &'a str) -> Self {
        Self { method, path, ..self }
    }

    /// From another address.
    pub(crate) fn from(self, ip: &'a str) -> Self {
        Self { ip: Some(ip), ..self }
    }

    /// From an address that can't be told.
    pub(crate) fn with_unknown_address(self) -> Self {
        Self { ip: None, ..self }
    }

    /// At a server of these environments.
    pub(crate) fn at(self, environments: &'a [&'a str]) -> Self {
        Self { environments, ..self }
    }

    /// What `/v1/verify` says.
    pub(crate) async fn verify(&self, api: &Api, gateway: &str) -> Value {
        let mut question = json!({"token": self.token, "method": self.method, "path": self.path});
        if let Some(ip) = self.ip {
            question["client_ip"] = json!(ip);
        }
        if !self.environments.is_empty() {
            question["environments"] = json!(self.environments);
        }
        api.verify(gateway, &question).await
    }

    /// What forward-auth says.
    pub(crate) async fn forward(&self, api: &Api) -> Reply {
        let names: Vec<String> = self.environments.iter().map(|name| format!("environment={name}")).collect();
        let ask = api.get(&format!("/v1/forward-auth?{}", names.join("&"))).peer(GATEWAY).key(self.token);
        let ask = ask.header("x-original-method", self.method).header("x-original-uri", self.path);
        ask.header("x-forwarded-for", self.ip.unwrap_or("unknown")).send().await
    }

    /// Status and code of both, `/v1/verify` first.
    pub(crate) async fn outcomes_on(&self, api: &Api, gateway: &str) -> [(u16, String); 2] {
        let verdict = self.verify(api, gateway).await;
        let status = u16::try_from(verdict["status"].as_u64().unwrap()).unwrap();
        let forward = self.forward(api).await;
        let code = if forward.status == 200 { "allowed".to_owned() } else { forward.code() };
        [(status, verdict["code"].as_str().unwrap().to_owned()), (forward.status, code)]
    }

    /// The same on the world's own instance.
    pub(crate) async fn outcomes(&self, world: &World) -> [(u16, String); 2] {
        self.outcomes_on(&world.api, &world.gateway).await
    }
}

/// Both ways say the same.
pub(crate) fn both(status: u16, code: &str) -> [(u16, String); 2] {
    [(status, code.to_owned()), (status, code.to_owned())]
}

/// Both ways let the call pass.
pub(crate) fn passed() -> [(u16, String); 2] {
    both(200, "allowed")
}

impl World {
    /// A world on a cluster of its own, whose PostgreSQL may be stopped.
    pub(crate) async fn alone() -> Self {
        let db = TestDb::on_own_cluster().await;
        let api = Api::start(&db).await;
        Self::around(db, api).await
    }

    /// A world behind proxies.
    pub(crate) async fn behind(proxies: &str, header: &str) -> Self {
        let db = TestDb::new().await;
        let api = Api::behind(&db, proxies, header).await;
        Self::around(db, api).await
    }

    /// One more instance on the same database.
    pub(crate) async fn second(&self) -> Api {
        Api::over(self.api.app.second().await, "", "x-forwarded-for").await
    }

    /// The owner asks for a key; what is left out is usual.
    pub(crate) async fn create(&self, wanted: Value) -> Reply {
        let mut body = json!({"name": "ci", "environment": "production"});
        if wanted["preset"].is_null() && wanted["scopes"].is_null() {
            body["scopes"] = json!(["checks:read"]);
        }
        for (name, value) in wanted.as_object().unwrap() {
            body[name] = value.clone();
        }
        self.owner("POST", "/v1/orgs/acme/keys", &body).await
    }

    /// A key for checks that may be used from these networks: its id and its token.
    pub(crate) async fn listed_key(&self, networks: &[&str]) -> (String, String) {
        let created = self.create(json!({"allowed_cidrs": networks})).await;
        assert_eq!(created.status, 201, "{}", created.text);
        let created = created.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&created["key"]["id"]), text(&created["token"]))
    }

    /// The owner changes something of a key by a verb.
    pub(crate) async fn act(&self, key: &str, verb: &str) -> Reply {
        let reply = self.owner("POST", &format!("/v1/orgs/acme/keys/{key}/{verb}"), &json!({})).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply
    }

    /// The owner changes a key.
    pub(crate) async fn patch(&self, key: &str, change: &Value) -> Reply {
        self.owner("PATCH", &format!("/v1/orgs/acme/keys/{key}"), change).await
    }

    /// Somebody changes the key's row behind the service's back.
    pub(crate) async fn force(&self, key: &str, assignment: &str) {
        let statement = format!("UPDATE keys SET {assignment} WHERE id = '{key}'");
        self.db.client().await.batch_execute(&statement).await.unwrap();
    }
}
