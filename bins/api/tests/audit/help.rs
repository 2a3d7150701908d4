//! What these tests ask again and again.

use serde_json::{Value, json};
use statuspulse_policy::Role;

use crate::support::{Browser, PEER, Reply, World};

pub(crate) const KEYS: &str = "/v1/orgs/acme/keys";
pub(crate) const EVENTS: &str = "/v1/orgs/acme/audit/events";
pub(crate) const EXPORT: &str = "/v1/orgs/acme/audit/export";
pub(crate) const CHECKPOINTS: &str = "/v1/orgs/acme/audit/checkpoints";
pub(crate) const CHECKS: &str = "/api/v1/checks";

/// A question that is allowed for `checks:read`.
pub(crate) fn question(token: &str) -> Value {
    json!({"token": token, "method": "GET", "path": CHECKS, "client_ip": PEER, "user_agent": "probe/1"})
}

/// The question with other fields.
pub(crate) fn asked(token: &str, fields: Value) -> Value {
    let mut question = question(token);
    for (name, value) in fields.as_object().unwrap() {
        question[name] = value.clone();
    }
    question
}

/// The ids of a page's events.
pub(crate) fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap_or_else(|| panic!("no page: {page}"));
    items.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

impl World {
    /// A call of a key, through a gateway.
    pub(crate) async fn call(&self, token: &str) -> Reply {
        self.call_like(&question(token)).await
    }

    pub(crate) async fn call_like(&self, question: &Value) -> Reply {
        let reply = self.api.post("/v1/verify").key(&self.gateway).json(question).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply
    }

    /// What the owner is shown, after everything has been written.
    pub(crate) async fn read(&self, path: &str) -> Reply {
        self.read_as(&self.owner, path).await
    }

    pub(crate) async fn read_as(&self, browser: &Browser, path: &str) -> Reply {
        self.api.app.flush().await;
        self.api.get(path).cookie(browser).send().await
    }

    /// What a key is shown.
    pub(crate) async fn read_with(&self, token: &str, path: &str) -> Reply {
        self.api.app.flush().await;
        self.api.get(path).key(token).send().await
    }

    /// Somebody with a role, signed in.
    pub(crate) async fn somebody(&self, role: Role) -> Browser {
        let person = self.api.app.person(&self.org, &format!("{role:?}").to_lowercase(), role).await;
        self.api.sign_in(&person).await
    }

    /// Runs statements behind the service's back.
    pub(crate) async fn sql(&self, statements: &str) {
        self.api.app.flush().await;
        self.db.client().await.batch_execute(statements).await.unwrap();
    }

    /// Everything that the trail has of a request, as rows.
    pub(crate) async fn trail_of(&self, reply: &Reply) -> Vec<Value> {
        self.api.app.flush().await;
        let query = "SELECT to_jsonb(e)::text FROM audit_events e WHERE request_id = $1::text::uuid ORDER BY sequence";
        let rows = self.db.client().await.query(query, &[&reply.header("x-request-id")]).await.unwrap();
        rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
    }
}
