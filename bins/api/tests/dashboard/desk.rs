//! A running service with an owner, and the owner's browser in front of it.

use std::{env, fs, panic::AssertUnwindSafe, path::Path};

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use statuspulse_testkit::{Person, eventually};

use crate::{
    browser::{Chromium, Scheme},
    checks::{Check, watch},
    client::{Client, authorize_path, confidential},
    http::Reply,
    server::{Browser, CHECKS},
    stage::Scene,
};

/// Where the pictures go that people want to see.
const SCREENS: &str = "STATUSPULSE_SCREENS";
/// A telephone and a desk, in pixels of CSS.
const SIZES: [(u32, u32); 2] = [(360, 740), (1_280, 900)];
/// How many things of a kind one request lists.
const LISTED: usize = 200;

/// A key that was made for a test.
#[derive(Clone, Debug)]
pub(crate) struct Seeded {
    pub(crate) id: String,
    pub(crate) token: String,
}

/// A service, its owner and a browser.
pub(crate) struct Desk {
    pub(crate) scene: Scene,
    pub(crate) chromium: Chromium,
    /// The owner's session for what is prepared, not that of the browser.
    owner: Browser,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        Self::over(Scene::new().await).await
    }

    /// One in front of a service that a test has set up.
    pub(crate) async fn over(scene: Scene) -> Self {
        let person = scene.world.owner();
        let owner = scene.world.server.sign_in(&person.email, &person.password).await;
        let chromium = Chromium::start().await;
        watch(&chromium).await;
        Self { scene, chromium, owner }
    }

    /// The address of a page.
    pub(crate) fn url(&self, path: &str) -> String {
        self.scene.issuer() + path
    }

    pub(crate) async fn open(&self, path: &str) {
        self.chromium.open(&self.url(path)).await;
    }

    /// Signs the owner in, as people do.
    pub(crate) async fn sign_in(&self) {
        self.sign_in_as(self.scene.world.owner()).await;
    }

    /// Signs somebody in.
    pub(crate) async fn sign_in_as(&self, person: &Person) {
        self.open("/login").await;
        self.chromium.fill("#email", &person.email).await;
        self.chromium.fill("#password", &person.password).await;
        self.chromium.press("form[action='/login'] button").await;
        self.chromium.vanishes("#password").await;
    }

    /// Ends the browser's session as its time does, unseen by the page.
    pub(crate) async fn session_ends(&self) {
        self.chromium.forget_cookie("statuspulse_session").await;
    }

    /// Lets an app have what it asks for, as people do, and has it use its answer; its page at the redirect URI must be there.
    pub(crate) async fn allow(&self, app: &Client) {
        self.open(&authorize_path(app, &[])).await;
        self.chromium.press("button[value=allow]").await;
        let back = self.chromium.arrives(&app.redirect).await;
        let tokens = self.scene.redeems(app, &back).await;
        assert!(tokens["access_token"].is_string(), "{tokens}");
    }

    /// The owner's request over REST.
    ///
    /// # Panics
    /// When it isn't answered with success.
    pub(crate) async fn asks(&self, method: &str, path: &str, body: &Value) -> Value {
        let reply: Reply = self.scene.world.server.as_(&self.owner, method, path, body).await;
        assert!((200..300).contains(&reply.status), "{method} {path}: {} {}", reply.status, reply.text());
        reply.json()
    }

    /// Makes a key, with these fields in place of the usual ones.
    pub(crate) async fn key(&self, fields: &Value) -> Seeded {
        let mut body = json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let made = self.asks("POST", "/v1/orgs/acme/keys", &body).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Seeded { id: text(&made["key"]["id"]), token: text(&made["token"]) }
    }

    /// Makes so many keys, named `key 1` and so on.
    pub(crate) async fn keys(&self, count: usize) -> Vec<Seeded> {
        let mut made = Vec::new();
        for number in 1..=count {
            made.push(self.key(&json!({"name": format!("key {number}")})).await);
        }
        made
    }

    /// Registers so many apps, named `App 1` and so on, which send people back to an address.
    pub(crate) async fn apps(&self, count: usize, redirect: &str) -> Vec<Client> {
        let mut made = Vec::new();
        for number in 1..=count {
            let mut app = confidential();
            app["name"] = json!(format!("App {number}"));
            app["redirect_uris"] = json!([redirect]);
            made.push(self.scene.register(&app).await);
        }
        made
    }

    /// Opens so many alerts, each about a key of its own that is used for more than it may do.
    pub(crate) async fn alerts(&self, count: usize) -> Vec<Seeded> {
        let before = self.listed("alerts").await;
        let keys = self.keys(count).await;
        for Seeded { token, .. } in &keys {
            let judged = self.scene.world.server.ask("POST", CHECKS).key(token).send().await;
            assert_eq!(judged.status, 403, "{}", judged.text());
        }
        eventually("the alerts are open", async || self.listed("alerts").await >= before + count).await;
        keys
    }

    /// Makes so many events of the trail: calls with a key.
    pub(crate) async fn events(&self, key: &Seeded, count: usize) {
        let before = self.listed("audit/events").await;
        for _ in 0..count {
            let judged = self.scene.world.server.judged(&key.token).await;
            assert_eq!(judged.status, 200, "{}", judged.text());
        }
        let wanted = (before + count).min(LISTED);
        eventually("the events are written", async || self.listed("audit/events").await >= wanted).await;
    }

    /// How many there are, up to [`LISTED`].
    async fn listed(&self, kind: &str) -> usize {
        let list = self.asks("GET", &format!("/v1/orgs/acme/{kind}?limit={LISTED}"), &json!({})).await;
        list["items"].as_array().unwrap().len()
    }

    /// Runs a test for a light and a dark system at a telephone and at a desk, each time as if this browser had never been
    /// here; fails with all that failed, and where.
    pub(crate) async fn in_every_look(&self, test: impl AsyncFn(&Look<'_>)) {
        let mut failed = Vec::new();
        for scheme in [Scheme::Light, Scheme::Dark] {
            for (width, height) in SIZES {
                self.chromium.offline(false).await;
                self.chromium.forget_all(&self.scene.issuer()).await;
                self.chromium.measure(width, height).await;
                self.chromium.prefers(scheme).await;
                let look = Look { desk: self, scheme, width };
                if let Err(cause) = AssertUnwindSafe(Box::pin(test(&look))).catch_unwind().await {
                    let text = cause.downcast_ref::<String>().map(String::as_str);
                    let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("a panic");
                    failed.push(format!("{}: {text}", look.name()));
                }
            }
        }
        assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    }
}

/// How a browser shows our pages.
pub(crate) struct Look<'d> {
    pub(crate) desk: &'d Desk,
    pub(crate) scheme: Scheme,
    /// In pixels of CSS.
    pub(crate) width: u32,
}

impl Look<'_> {
    /// For messages and files: `dark-360`.
    fn name(&self) -> String {
        format!("{}-{}", self.scheme.word(), self.width)
    }

    /// Checks the page and takes its picture under a name.
    pub(crate) async fn is_clean(&self, page: &str) {
        self.is_clean_but_for(page, &Check::default()).await;
    }

    /// The same with what the test provokes.
    pub(crate) async fn is_clean_but_for(&self, page: &str, check: &Check) {
        // First, so that one can look at what is wrong.
        self.picture(page).await;
        let worn = "[matchMedia('(prefers-color-scheme: dark)').matches, document.documentElement.clientWidth <= 360]";
        let worn = self.desk.chromium.script(worn).await;
        assert_eq!(worn, json!([self.scheme == Scheme::Dark, self.width <= 360]), "the page is not shown in this look");
        check.passes(&self.desk.chromium, &format!("{page} ({})", self.name())).await;
    }

    /// Writes a picture into the folder of `STATUSPULSE_SCREENS`; nothing when that isn't set.
    async fn picture(&self, page: &str) {
        let Some(folder) = env::var_os(SCREENS) else { return };
        self.desk.chromium.script("statuspulseWatch.pictured()").await;
        let folder = Path::new(&folder);
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(format!("{page}-{}.png", self.name())), self.desk.chromium.picture().await).unwrap();
    }
}
