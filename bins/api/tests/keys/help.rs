//! What these tests ask again and again.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use statuspulse_keys::{Prefix, Token};

use crate::support::{Api, PEER, Reply, World};

/// The keys of the organization.
pub(crate) const KEYS: &str = "/v1/orgs/acme/keys";
/// Its settings.
pub(crate) const SETTINGS: &str = "/v1/orgs/acme/settings";
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// What makes a plain key.
pub(crate) fn plain() -> Value {
    json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]})
}

/// The same with other or further fields.
pub(crate) fn plain_with(fields: &Value) -> Value {
    let mut body = plain();
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// Path of a key, or of a verb of it.
pub(crate) fn path(id: &str, verb: &str) -> String {
    if verb.is_empty() { format!("{KEYS}/{id}") } else { format!("{KEYS}/{id}/{verb}") }
}

/// A moment of an answer.
pub(crate) fn moment(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

/// A text of an answer.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// A well-formed token that nobody was ever given.
pub(crate) fn nobodys_token() -> String {
    Token::from_entropy(Prefix::Live, &[7; 44]).expose().to_owned()
}

/// How often each outcome came.
pub(crate) fn count(replies: &[Reply], status: u16, code: &str) -> usize {
    replies.iter().filter(|reply| reply.outcome() == (status, code.to_owned())).count()
}

/// The pieces of 16 characters of these tokens that stand in a text, as they are or in the hexadecimal form of `bytea`.
pub(crate) fn pieces_in(tokens: &[String], text: &str) -> Vec<String> {
    let mut pieces: HashSet<Vec<u8>> = HashSet::new();
    for token in tokens {
        let hex: String = token.bytes().map(|byte| format!("{byte:02x}")).collect();
        pieces.extend(token.as_bytes().windows(16).map(<[u8]>::to_vec));
        pieces.extend(hex.as_bytes().windows(32).map(<[u8]>::to_vec));
    }
    let found = [16, 32].into_iter().flat_map(|length| text.as_bytes().windows(length));
    found.filter(|window| pieces.contains(*window)).map(|window| String::from_utf8_lossy(window).into_owned()).collect()
}

impl World {
    /// As the owner: a new key.
    pub(crate) async fn create(&self, body: &Value) -> Reply {
        self.owner("POST", KEYS, body).await
    }

    /// As the owner: a plain key with other or further fields; its id and its token.
    pub(crate) async fn created(&self, fields: &Value) -> (String, String) {
        let reply = self.create(&plain_with(fields)).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        (text(&reply.json()["key"]["id"]), text(&reply.json()["token"]))
    }

    /// As the owner: a verb of a key.
    pub(crate) async fn verb(&self, id: &str, verb: &str, body: &Value) -> Reply {
        self.owner("POST", &path(id, verb), body).await
    }

    /// As the owner: a change of a key.
    pub(crate) async fn patch(&self, id: &str, body: &Value) -> Reply {
        self.owner("PATCH", &path(id, ""), body).await
    }

    /// As the owner: a GET.
    pub(crate) async fn read(&self, path: &str) -> Reply {
        self.api.get(path).cookie(&self.owner).send().await
    }

    /// As the owner: a key.
    pub(crate) async fn shown(&self, id: &str) -> Value {
        self.read(&path(id, "")).await.json()
    }

    /// The new token of a rotation that must succeed.
    pub(crate) async fn rotated(&self, id: &str, body: &Value) -> String {
        let reply = self.verb(id, "rotate", body).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        text(&reply.json()["token"])
    }

    /// What a call is told that reads checks from the usual address.
    pub(crate) async fn call(&self, token: &str) -> String {
        self.judged(token, "GET", "/api/v1/checks").await
    }

    /// The same, from another address.
    pub(crate) async fn call_from(&self, token: &str, ip: &str) -> String {
        text(&self.verdict(&self.api, token, ip).await["code"])
    }

    /// What another instance says of that call.
    pub(crate) async fn call_at(&self, api: &Api, token: &str) -> String {
        text(&self.verdict(api, token, PEER).await["code"])
    }

    /// The whole verdict.
    pub(crate) async fn verdict(&self, api: &Api, token: &str, ip: &str) -> Value {
        let question = json!({"token": token, "method": "GET", "path": "/api/v1/checks", "client_ip": ip});
        api.verify(&self.gateway, &question).await
    }

    /// Lets time pass, then signs in again and takes a new key for the gateway: both may have ended.
    pub(crate) async fn later(&mut self, by: Duration) {
        self.api.app.advance(by).await;
        self.owner = self.api.sign_in(&self.org.owner).await;
        self.gateway = self.key(&["credentials:verify"]).await.1;
    }

    /// The present of the instance's clock.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.api.app.env.now()
    }

    /// Another instance on the same database.
    pub(crate) async fn second(&self) -> Api {
        Api::over(self.api.app.second().await, "", "x-forwarded-for").await
    }

    /// Runs statements behind the service's back.
    pub(crate) async fn sql(&self, statements: &str) {
        self.db.client().await.batch_execute(statements).await.unwrap();
    }

    /// The first column of a query, which is text.
    pub(crate) async fn texts(&self, query: &str) -> Vec<String> {
        let rows = self.db.client().await.query(query, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Every row of every table, as text.
    pub(crate) async fn dump(&self) -> String {
        self.api.app.flush().await;
        let tables = "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
                      WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'";
        let mut dump = String::new();
        for table in self.texts(tables).await {
            dump.push_str(&self.texts(&format!("SELECT t::text FROM {table} t")).await.join("\n"));
            dump.push('\n');
        }
        dump
    }

    /// Everything that decides calls, with the feed's number.
    pub(crate) async fn state(&self) -> Vec<String> {
        self.texts(
            "SELECT k::text FROM keys k UNION ALL SELECT v::text FROM key_versions v
             UNION ALL SELECT o::text FROM organizations o UNION ALL SELECT i::text FROM idempotency_keys i
             UNION ALL SELECT f::text FROM key_feed f ORDER BY 1",
        )
        .await
    }
}
