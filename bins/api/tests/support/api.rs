//! The API in process, with a client that can come from any address.

use std::{net::SocketAddr, rc::Rc};

use actix_web::{
    body::{BoxBody, to_bytes},
    dev::{Service as _, ServiceResponse},
    http::{Method, header::HeaderMap},
    test::{TestRequest, init_service},
    web::Data,
};
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};
use statuspulse_app::keys::{CreateKey, KeyView};
use statuspulse_auth::{Outgoing, State, service};
use statuspulse_policy::{ClientIpPolicy, HeaderKind, TrustedProxies};
use statuspulse_testkit::{Person, TestApp, TestDb, TestOrg, key_of};

/// Where requests come from unless a test says otherwise.
pub(crate) const PEER: &str = "203.0.113.7";
/// The public URL, and so the origin of its pages.
pub(crate) const PUBLIC_URL: &str = "http://auth.test";

type Call = Rc<dyn Fn(TestRequest) -> LocalBoxFuture<'static, ServiceResponse<BoxBody>>>;

/// The API of one instance.
#[derive(Clone)]
pub(crate) struct Api {
    call: Call,
    pub(crate) app: Rc<TestApp>,
    pub(crate) state: Data<State>,
}

/// A signed-in browser.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) cookie: String,
    pub(crate) csrf: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// The body's `code`.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Status and code: what most tests ask for.
    pub(crate) fn outcome(&self) -> (u16, String) {
        (self.status, self.code())
    }

    /// `field: code` of every error of a field.
    pub(crate) fn fields(&self) -> Vec<String> {
        let json = self.json();
        let errors = json["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|e| format!("{}: {}", e["field"].as_str().unwrap(), e["code"].as_str().unwrap())).collect()
    }

    /// A header's text, empty when it isn't there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A request being put together.
pub(crate) struct Ask<'a> {
    api: &'a Api,
    request: TestRequest,
}

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        self.request = self.request.append_header((name, value.as_ref()));
        self
    }

    /// A header with any bytes that HTTP lets through.
    pub(crate) fn raw_header(mut self, name: &'static str, value: &[u8]) -> Self {
        let value = actix_web::http::header::HeaderValue::from_bytes(value).unwrap();
        self.request = self.request.append_header((name, value));
        self
    }

    pub(crate) fn key(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn peer(mut self, ip: &str) -> Self {
        self.request = self.request.peer_addr(SocketAddr::new(ip.parse().unwrap(), 4711));
        self
    }

    /// Cookie, CSRF token and origin, as the dashboard sends them.
    pub(crate) fn browser(self, browser: &Browser) -> Self {
        self.cookie(browser).header("x-csrf-token", &browser.csrf).header("origin", PUBLIC_URL)
    }

    /// The cookie alone.
    pub(crate) fn cookie(self, browser: &Browser) -> Self {
        self.header("cookie", format!("statuspulse_session={}", browser.cookie))
    }

    pub(crate) fn body(mut self, body: impl Into<actix_web::web::Bytes>) -> Self {
        self.request = self.request.set_payload(body);
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// The answer with its body unread.
    pub(crate) async fn response(self) -> ServiceResponse<BoxBody> {
        (self.api.call)(self.request).await
    }

    pub(crate) async fn send(self) -> Reply {
        let response = self.response().await;
        let (_, response) = response.into_parts();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = to_bytes(response.into_body()).await.unwrap_or_else(|_| panic!("the body broke"));
        Reply { status, headers, text: String::from_utf8_lossy(&body).into_owned() }
    }
}

impl Api {
    /// An instance of its own on a database, trusting no proxies.
    pub(crate) async fn start(db: &TestDb) -> Self {
        Self::over(TestApp::start(db).await, "", "x-forwarded-for").await
    }

    /// The same, trusting proxies by one header.
    pub(crate) async fn behind(db: &TestDb, proxies: &str, header: &str) -> Self {
        Self::over(TestApp::start(db).await, proxies, header).await
    }

    /// The API over an instance.
    pub(crate) async fn over(app: TestApp, proxies: &str, header: &str) -> Self {
        Self::serving(app, PUBLIC_URL, proxies, header).await
    }

    /// The API over an instance under another public URL.
    pub(crate) async fn published(app: TestApp, public_url: &str) -> Self {
        Self::serving(app, public_url, "", "x-forwarded-for").await
    }

    async fn serving(app: TestApp, public_url: &str, proxies: &str, header: &str) -> Self {
        let trusted = TrustedProxies::parse(proxies).unwrap();
        let policy = ClientIpPolicy::new(&trusted, HeaderKind::from_name(header).unwrap());
        let state = State::new(app.app(), public_url.into(), policy, !trusted.is_empty());
        Self::with_state(app, state).await
    }

    /// The API with another way out: networks that webhooks may reach, GitHub's keys.
    pub(crate) async fn with_outgoing(app: TestApp, outgoing: Outgoing) -> Self {
        let policy = ClientIpPolicy::new(&TrustedProxies::default(), HeaderKind::from_name("x-forwarded-for").unwrap());
        let state = State::new(app.app(), PUBLIC_URL.into(), policy, false).with_outgoing(outgoing);
        Self::with_state(app, state).await
    }

    async fn with_state(app: TestApp, state: State) -> Self {
        let state = Data::new(state);
        let service = Rc::new(init_service(service(state.clone())).await);
        let call: Call = Rc::new(move |request| {
            let service = Rc::clone(&service);
            Box::pin(async move { service.call(request.to_request()).await.unwrap().map_into_boxed_body() })
        });
        Self { call, app: Rc::new(app), state }
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        let request = TestRequest::default().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
        Ask { api: self, request }.peer(PEER)
    }

    pub(crate) fn get(&self, path: &str) -> Ask<'_> {
        self.ask("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Ask<'_> {
        self.ask("POST", path)
    }

    /// Signs in.
    pub(crate) async fn sign_in(&self, person: &Person) -> Browser {
        let body = json!({"email": person.email, "password": person.password});
        let reply = self.post("/v1/session").json(&body).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        let cookie = reply.header("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned();
        Browser { cookie, csrf: reply.json()["csrf_token"].as_str().unwrap().to_owned() }
    }

    /// What `/v1/verify` says of a token: the gateway asks with a key of its own.
    pub(crate) async fn verify(&self, gateway: &str, question: &Value) -> Value {
        let reply = self.post("/v1/verify").key(gateway).json(question).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()
    }
}

/// An organization with its owner signed in and a gateway's key.
pub(crate) struct World {
    pub(crate) db: TestDb,
    pub(crate) api: Api,
    pub(crate) org: TestOrg,
    pub(crate) owner: Browser,
    /// Token of a key with `credentials:verify`.
    pub(crate) gateway: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        let db = TestDb::new().await;
        let api = Api::start(&db).await;
        Self::around(db, api).await
    }

    pub(crate) async fn around(db: TestDb, api: Api) -> Self {
        let org = api.app.organization("acme").await;
        let owner = api.sign_in(&org.owner).await;
        let (_, gateway) = api.app.key(&org, key_of("production", &["credentials:verify"])).await;
        Self { db, api, org, owner, gateway }
    }

    /// A production key with these scopes: its id and its token.
    pub(crate) async fn key(&self, scopes: &[&str]) -> (String, String) {
        let (view, token) = self.key_like(key_of("production", scopes)).await;
        (view.key.id.to_string(), token)
    }

    pub(crate) async fn key_like(&self, wanted: CreateKey) -> (KeyView, String) {
        self.api.app.key(&self.org, wanted).await
    }

    /// Asks `/v1/verify` about a call from the usual address: `code`.
    pub(crate) async fn judged(&self, token: &str, method: &str, path: &str) -> String {
        let question = json!({"token": token, "method": method, "path": path, "client_ip": PEER});
        self.api.verify(&self.gateway, &question).await["code"].as_str().unwrap().to_owned()
    }

    /// As the owner: a request with a JSON body.
    pub(crate) async fn owner(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.api.ask(method, path).browser(&self.owner).json(body).send().await
    }

    /// The audit events of an action, oldest first, as JSON objects of their columns.
    pub(crate) async fn events(&self, action: &str) -> Vec<Value> {
        self.api.app.flush().await;
        let client = self.db.client().await;
        let rows = client
            .query(
                "SELECT to_jsonb(e)::text FROM audit_events e WHERE action = $1 ORDER BY occurred_at, sequence",
                &[&action],
            )
            .await
            .unwrap();
        rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
    }

    /// The alerts of a rule, as JSON objects of their columns.
    pub(crate) async fn alerts(&self, rule: &str) -> Vec<Value> {
        self.api.app.flush().await;
        let client = self.db.client().await;
        let rows = client
            .query("SELECT to_jsonb(a)::text FROM alerts a WHERE rule = $1 ORDER BY opened_at", &[&rule])
            .await
            .unwrap();
        rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
    }
}
