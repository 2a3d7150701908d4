//! What these tests ask again and again.

use std::time::Duration;

use serde_json::{Value, json};
use statuspulse_policy::Role;
use statuspulse_testkit::{Person, TestOrg};

use crate::{
    client::{Client, hidden},
    support::{Api, Ask, Browser, PUBLIC_URL, Reply, World},
};

/// The apps of the organization.
pub(crate) const APPS: &str = "/v1/orgs/acme/apps";
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// `page` of the spec: 400, HTML, no `Location`, no form.
pub(crate) fn is_page(reply: &Reply) -> bool {
    reply.status == 400
        && reply.header("content-type").starts_with("text/html")
        && reply.location().is_empty()
        && !reply.text.contains("<form")
}

/// Status and where it leads.
pub(crate) fn went(reply: &Reply) -> (u16, String) {
    (reply.status, reply.location().to_owned())
}

/// The value of one of an answer's cookies, as a browser keeps it.
pub(crate) fn set_cookie(reply: &Reply, name: &str) -> Option<String> {
    let lines = reply.headers.get_all("set-cookie").map(|line| line.to_str().unwrap());
    let held = |line: &str| line.split(';').next().unwrap().strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
    lines.into_iter().find_map(held).filter(|value| !value.is_empty())
}

impl Client {
    /// Path of the app, or of something of it.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("{APPS}/{}{rest}", self.app)
    }
}

impl World {
    /// As the owner: a GET.
    pub(crate) async fn read(&self, path: &str) -> Reply {
        self.api.get(path).cookie(&self.owner).send().await
    }

    /// As the owner: an app.
    pub(crate) async fn shown(&self, client: &Client) -> Value {
        self.read(&client.path("")).await.json()
    }

    /// The first column of a query, as text.
    pub(crate) async fn texts(&self, query: &str) -> Vec<String> {
        let rows = self.db.client().await.query(query, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Runs statements behind the service's back.
    pub(crate) async fn sql(&self, statements: &str) {
        self.db.client().await.batch_execute(statements).await.unwrap();
    }

    /// Codes that were ever given.
    pub(crate) async fn codes(&self) -> usize {
        self.texts("SELECT grant_id::text FROM oauth_codes").await.len()
    }

    /// Requests that were ever kept for a sign-in or a decision.
    pub(crate) async fn kept(&self) -> usize {
        self.texts("SELECT app_id::text FROM oauth_requests").await.len()
    }

    /// Every row of every table, as text.
    pub(crate) async fn dump(&self) -> String {
        self.api.app.flush().await;
        let tables = "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
                      WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'";
        let mut dump = String::new();
        for table in self.texts(tables).await {
            dump.push_str(&self.texts(&format!("SELECT t::text FROM {table} t")).await.join("\n"));
        }
        dump
    }

    /// Another instance on the same database.
    pub(crate) async fn second(&self) -> Api {
        Api::over(self.api.app.second().await, "", "x-forwarded-for").await
    }

    /// Somebody of the organization, signed in.
    pub(crate) async fn member(&self, name: &str, role: Role) -> (Person, Browser) {
        let person = self.api.app.person(&self.org, name, role).await;
        let browser = self.api.sign_in(&person).await;
        (person, browser)
    }

    /// Makes somebody a member of one more organization.
    pub(crate) async fn join(&self, person: &Person, org: &TestOrg, role: Role) {
        let (organization, user, role) = (org.access.organization.id, person.id, role.as_str());
        self.sql(&format!(
            "INSERT INTO memberships (organization_id, user_id, role, created_at)
             VALUES ('{organization}', '{user}', '{role}', now())"
        ))
        .await;
    }

    /// The reasons of the events of authorizations, each with whether the id is that of one of these answers, in order.
    pub(crate) async fn reasons(&self, replies: &[&Reply]) -> Vec<(Option<String>, bool)> {
        let events = self.events("oauth.authorize").await;
        let ids = replies.iter().map(|reply| reply.request_id()).chain(std::iter::repeat(""));
        let told =
            |(event, id): (&Value, &str)| (event["reason"].as_str().map(str::to_owned), event["request_id"] == id);
        events.iter().zip(ids).map(told).collect()
    }

    /// What the owner has authorized.
    pub(crate) async fn grants(&self) -> Vec<Value> {
        self.read("/v1/me/grants").await.json()["items"].as_array().unwrap().clone()
    }
}

/// Reasons as [`World::reasons`] tells them, each under the id of its answer.
pub(crate) fn under_their_ids(reasons: &[&str]) -> Vec<(Option<String>, bool)> {
    let reason = |text: &&str| (Some(text.to_string()).filter(|text| !text.is_empty()), true);
    reasons.iter().map(reason).collect()
}

/// A sign-in page with the cookie that its browser holds.
pub(crate) struct Door {
    pub(crate) cookie: String,
    pub(crate) csrf: String,
    pub(crate) handle: String,
    pub(crate) page: Reply,
}

impl Door {
    /// Opens the page as a browser without cookies.
    pub(crate) async fn open(api: &Api, path: &str) -> Self {
        let page = api.get(path).send().await;
        let cookie = page.header("set-cookie").split(';').next().unwrap().to_owned();
        let handle = if page.text.contains("name=\"request\"") { hidden(&page.text, "request") } else { String::new() };
        Self { cookie, csrf: hidden(&page.text, "csrf_token"), handle, page }
    }

    /// The form, filled in, and not sent yet.
    pub(crate) fn form<'a>(&'a self, email: &'a str, password: &'a str) -> Vec<(&'a str, &'a str)> {
        let form = [("csrf_token", self.csrf.as_str()), ("request", &self.handle), ("email", email)];
        form.into_iter().chain([("password", password)]).collect()
    }

    /// A POST with the page's cookie.
    pub(crate) fn ask<'a>(&self, api: &'a Api) -> Ask<'a> {
        api.post("/login").header("cookie", &self.cookie)
    }

    /// Signs in as a browser does that sends no `Sec-Fetch-Site`.
    pub(crate) async fn enter(&self, api: &Api, email: &str, password: &str) -> Reply {
        self.ask(api).header("origin", PUBLIC_URL).form(&self.form(email, password)).send().await
    }
}

/// The session that an answer of the sign-in page gave.
pub(crate) async fn session_of(api: &Api, reply: &Reply) -> Browser {
    let cookie = set_cookie(reply, "statuspulse_session").unwrap();
    let unknown = Browser { cookie: cookie.clone(), csrf: String::new() };
    let session = api.get("/v1/session").cookie(&unknown).send().await.json();
    Browser { cookie, csrf: session["csrf_token"].as_str().unwrap().to_owned() }
}

/// What an app's fields become: the body of a PATCH.
pub(crate) fn fields(name: &str, value: Value) -> Value {
    let mut body = json!({});
    body[name] = value;
    body
}
