//! What the tests of the token endpoint share.

use serde_json::{Value, json};

use crate::{
    client::{Client, Tokens, encoded},
    support::{Api, Reply, World},
};

/// Status and `error` of an answer; an empty one stands for tokens.
pub(crate) type Outcome = (u16, String);

/// An answer that has all that every answer of the token endpoint has, as status and `error`: JSON that nobody keeps,
/// tokens or an error and never both. Anything else is told apart by its text.
pub(crate) fn outcome(reply: &Reply) -> Outcome {
    let json = reply.json();
    let mut names: Vec<&str> = json.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let body = match reply.status {
        200 => ["access_token", "expires_in", "refresh_token", "scope", "token_type"].as_slice(),
        _ => ["error", "error_description"].as_slice(),
    };
    let headers =
        ["content-type", "cache-control", "pragma", "x-content-type-options"].map(|name| reply.header(name).to_owned());
    let id = uuid::Uuid::parse_str(reply.request_id());
    let whole =
        names.iter().filter(|name| **name != "refresh_token").eq(body.iter().filter(|n| **n != "refresh_token"))
            && headers == ["application/json", "no-store", "no-cache", "nosniff"]
            && (reply.status == 401) == (reply.header("www-authenticate") == r#"Basic realm="StatusPulse""#)
            && !reply.headers.contains_key("set-cookie")
            && id.is_ok();
    match (whole, json["error"].as_str()) {
        (false, _) => (reply.status, format!("{headers:?} {}", reply.text)),
        (true, error) => (reply.status, error.unwrap_or_default().to_owned()),
    }
}

pub(crate) fn outcomes<'a>(replies: impl IntoIterator<Item = &'a Reply>) -> Vec<Outcome> {
    replies.into_iter().map(outcome).collect()
}

/// Tokens.
pub(crate) fn tokens() -> Outcome {
    (200, String::new())
}

/// An error with its usual status.
pub(crate) fn error(code: &str) -> Outcome {
    (if code == "invalid_client" { 401 } else { 400 }, code.to_owned())
}

pub(crate) fn invalid_grant() -> Outcome {
    error("invalid_grant")
}

/// What makes two refusals the same to whoever gets them: everything but the id of the request.
pub(crate) fn face(reply: &Reply) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<(String, String)> = reply
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
        .filter(|(name, _)| name != "x-request-id" && name != "date")
        .collect();
    headers.sort();
    (reply.status, headers, reply.text.clone())
}

/// The form of a redemption as it goes over the wire.
pub(crate) fn redemption(client: &Client, code: &str) -> String {
    encoded(&[
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &client.redirect),
        ("code_verifier", crate::client::VERIFIER),
    ])
}

/// A refresh as it goes over the wire.
pub(crate) fn rotation(token: &str) -> String {
    encoded(&[("grant_type", "refresh_token"), ("refresh_token", token)])
}

impl Api {
    /// A body byte for byte, with the client's Basic header.
    pub(crate) async fn send_raw(&self, client: &Client, body: impl Into<actix_web::web::Bytes>) -> Reply {
        self.post("/oauth/token").client(client).raw_form(body).send().await
    }

    /// Whether tokens are live here, as their own client is told.
    pub(crate) async fn live<const N: usize>(&self, client: &Client, tokens: [&str; N]) -> [bool; N] {
        let mut live = [false; N];
        for (place, token) in tokens.into_iter().enumerate() {
            live[place] = self.introspect(client, token).await.json()["active"].as_bool().unwrap();
        }
        live
    }
}

impl World {
    /// One more instance on the same database.
    pub(crate) async fn second(&self) -> Api {
        Api::over(self.api.app.second().await, "", "x-forwarded-for").await
    }

    /// Whether tokens are live, as their own client is told.
    pub(crate) async fn live<const N: usize>(&self, client: &Client, tokens: [&str; N]) -> [bool; N] {
        self.api.live(client, tokens).await
    }

    /// Tokens of a fresh grant of these scopes.
    pub(crate) async fn tokens_for(&self, client: &Client, scope: &str) -> Tokens {
        let code = self.code_for(client, &[("scope", scope)]).await;
        Tokens::of(&self.redeem(client, &code).await)
    }

    /// Suspends an app, a moment after what it has got.
    pub(crate) async fn suspend(&self, client: &Client) {
        self.api.app.advance(std::time::Duration::from_secs(1)).await;
        let reply = self.change_app(client, &json!({"status": "suspended"})).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
    }

    /// Ends all that people have allowed an app.
    pub(crate) async fn end_grants(&self, client: &Client) -> Reply {
        self.owner("POST", "/v1/orgs/acme/grants/revoke", &json!({"app": client.app})).await
    }

    /// The owner is no member any more. The rows say so; nobody was told.
    pub(crate) async fn remove_owner(&self) {
        self.sql(&format!("DELETE FROM memberships WHERE user_id = '{}'", self.org.owner.id)).await;
    }

    /// Runs statements behind the service's back.
    pub(crate) async fn sql(&self, statements: &str) {
        self.db.client().await.batch_execute(statements).await.unwrap();
    }

    /// What a query counts.
    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.db.client().await.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Refresh tokens that could still be traded, of all grants.
    pub(crate) async fn live_chains(&self) -> i64 {
        let live = "SELECT count(*) FROM oauth_refresh_tokens t JOIN oauth_grants g ON g.id = t.grant_id
            WHERE g.status = 'active' AND g.generation = t.generation";
        self.count(live).await
    }

    /// Everything that the trail has of a request, oldest first.
    pub(crate) async fn trail_of(&self, reply: &Reply) -> Vec<Value> {
        self.api.app.flush().await;
        let query = "SELECT to_jsonb(e)::text FROM audit_events e WHERE request_id = $1::text::uuid ORDER BY sequence";
        let rows = self.db.client().await.query(query, &[&reply.request_id()]).await.unwrap();
        rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
    }

    /// Action, reason and app of every event of a request.
    pub(crate) async fn told(&self, reply: &Reply) -> Vec<Value> {
        let events = self.trail_of(reply).await;
        events.iter().map(|event| json!([event["action"], event["reason"], event["detail"]["app_id"]])).collect()
    }
}
