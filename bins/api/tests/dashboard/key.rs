//! The page of one key: its past, what it could do without, how a call is judged, and its webhooks.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use statuspulse_app::keys::successor;
use statuspulse_testkit::{TestDb, eventually};

use crate::{
    browser::Key,
    checks::Check,
    desk::{Desk, Look, Seeded},
    loopback::{Loopback, answer},
    npm,
    server::{CHECKS, World},
    stage::Scene,
    words::{lacks, press},
};

impl Look<'_> {
    /// Opens the page of a key, and waits for all of its parts.
    async fn opens(&self, key: &Seeded) {
        self.desk.open(&format!("/keys/{}", key.id)).await;
        self.desk.chromium.shows("nav.crumbs").await;
        self.desk.chromium.shows("#usage").await;
        self.desk.chromium.vanishes("[aria-busy=true]").await;
    }
}

impl Desk {
    async fn of_key(&self, key: &Seeded, part: &str) -> Value {
        self.asks("GET", &format!("/v1/orgs/acme/keys/{}/{part}", key.id), &json!({})).await
    }

    /// Makes so many calls that are accepted and so many that aren't, and waits until the key's past tells them.
    async fn uses(&self, key: &Seeded, accepted: usize, refused: usize) {
        let server = &self.scene.world.server;
        for _ in 0..accepted {
            assert_eq!(server.judged(&key.token).await.status, 200);
        }
        for _ in 0..refused {
            assert_eq!(server.ask("POST", CHECKS).key(&key.token).send().await.status, 403);
        }
        eventually("the calls are in the key's usage", async || {
            let usage = self.of_key(key, "usage?days=1").await;
            let sum = |name: &str| {
                usage["buckets"].as_array().unwrap().iter().map(|it| it[name].as_u64().unwrap()).sum::<u64>()
            };
            (sum("calls"), sum("refused")) == ((accepted + refused) as u64, refused as u64)
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn the_page_of_a_key_tells_its_calls_and_narrows_it_to_what_they_needed() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        let name = look.own("Deploy");
        let key =
            desk.key(&json!({"name": name, "scopes": ["checks:read", "incidents:write", "metrics:export"]})).await;
        desk.uses(&key, 4, 2).await;
        desk.sign_in().await;
        look.opens(&key).await;
        chromium.wait_text("h1", &name).await;
        chromium.wait_text("#usage figcaption", "Accepted: 4").await;
        chromium.wait_text("#usage figcaption", "Refused: 2").await;
        look.is_clean("key").await;

        // The chart can be walked along without a mouse.
        press(chromium, "#usage", "24 hours").await;
        chromium.shows("#usage button[aria-pressed=true]").await;
        chromium.vanishes("#usage [aria-busy=true]").await;
        chromium.runs("document.querySelector('.plot-slider').focus()").await;
        chromium.wait_text(".plot-readout", "accepted").await;
        chromium.key(Key::Home).await;
        chromium.wait_text(".plot-readout", "0 accepted, 0 refused").await;

        press(chromium, "main", "Remove unused scopes").await;
        chromium.wait_text("dialog", "It keeps:").await;
        look.is_clean("key-narrow").await;
        press(chromium, "dialog", "Remove unused scopes").await;
        chromium.vanishes("dialog").await;
        chromium.wait_text("main", "Every scope was needed by 4 accepted calls").await;
        assert_eq!(desk.shown(&key).await["scopes"], json!(["checks:read"]));

        press(chromium, "main", "Use this list").await;
        press(chromium, "dialog", "Use this list").await;
        chromium.vanishes("dialog").await;
        chromium.wait_text("main", "There is nothing to change.").await;
        assert_eq!(desk.shown(&key).await["allowed_cidrs"], json!(["127.0.0.1/32"]));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_rotation_shows_among_the_versions_and_a_call_is_explained_step_by_step() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        let key = desk.key(&json!({"name": look.own("Deploy"), "allowed_cidrs": ["203.0.113.0/24"]})).await;
        desk.sign_in().await;
        look.opens(&key).await;
        press(chromium, "#actions", "Rotate").await;
        chromium.press("dialog [name=overlap][value='3600']").await;
        press(chromium, "dialog", "Rotate").await;
        chromium.shows("#token").await;
        press(chromium, "dialog", "I have stored it").await;
        chromium.vanishes("dialog").await;
        let states = "[...document.querySelectorAll('main table.rows tbody tr')].map((row) => row.querySelector('.badge').innerText)";
        eventually("both versions are told", async || chromium.script(states).await == json!(["current", "overlap"])).await;
        let pressed = "document.activeElement.closest('#actions') && document.activeElement.innerText";
        eventually("the focus is at Rotate", async || chromium.script(pressed).await == json!("Rotate")).await;

        let explained = async |path: &str, from: &str| {
            chromium.clear_and_fill("[name=path]", path).await;
            chromium.clear_and_fill("[name=client_ip]", from).await;
            press(chromium, "main", "Explain").await;
            chromium.wait_text(".verdict", &format!("{path} from {from}")).await;
            let steps = "[...document.querySelectorAll('.steps li')].map((it) => [it.querySelector('.name').innerText, it.querySelector('.badge').innerText])";
            let steps = chromium.script(steps).await;
            let step = |name: &str| steps.as_array().unwrap().iter().find(|step| step[0] == name).unwrap()[1].clone();
            (chromium.text(".verdict .badge").await, step("Allowlist"), step("Scope"))
        };
        let inside = explained("/api/v1/checks", "203.0.113.7").await;
        look.is_clean("key-explained").await;
        let outside = explained("/api/v1/checks", "192.0.2.1").await;
        assert_eq!(
            [inside, outside],
            [
                ("allowed".to_owned(), json!("passed"), json!("passed")),
                ("refused".to_owned(), json!("failed"), json!("passed")),
            ]
        );
        chromium.clear_and_fill("[name=client_ip]", "not an address").await;
        press(chromium, "main", "Explain").await;
        chromium.focuses("[name=client_ip]").await;
        look.is_clean_but_for("key-explain-refused", &Check::default().status(422)).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_successor_that_waits_is_told_with_the_way_to_pick_it_up() {
    let desk = Desk::new().await;
    let (world, database) = (&desk.scene.world, desk.scene.world.db.client().await);
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        let name = look.own("Nightly");
        let key = desk.key(&json!({"name": name, "auto_rotate": true})).await;
        // No request lets 84 of its 90 days pass.
        let text = "UPDATE key_versions SET created_at = created_at - interval '84 days', expires_at = expires_at - interval '84 days', \
                    valid_until = valid_until - interval '84 days' WHERE key_id = (SELECT id FROM keys WHERE name = $1)";
        assert_eq!(database.execute(text, &[&name]).await.unwrap(), 1);
        successor::pass(&world.app.app()).await.unwrap();
        desk.sign_in().await;
        desk.open("/keys").await;
        chromium.wait_text("tbody", "successor waits").await;
        look.is_clean("keys-successor").await;
        press(chromium, "main", &format!("Actions for {name}")).await;
        press(chromium, ".menu", "Pick up the successor").await;
        chromium.wait_text("dialog pre", "/v1/keys/self/successor").await;
        look.is_clean("keys-pick-up").await;
        press(chromium, "dialog .actions", "Close").await;

        look.opens(&key).await;
        chromium.wait_text("main .note", "The next version is ready to be picked up").await;
        look.is_clean("key-successor").await;
        let picked_up = world.server.ask("POST", "/v1/keys/self/successor").key(&key.token).send().await;
        assert_eq!(picked_up.status, 201, "{}", picked_up.text());
        look.opens(&key).await;
        chromium.wait_text("main .note", "The next version has been picked up").await;
        look.is_clean("key-picked-up").await;
        desk.asks("POST", &format!("/v1/orgs/acme/keys/{}/revoke", key.id), &json!({})).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn the_countries_that_a_key_was_used_from_stand_on_its_page() {
    let countries = npm::countries().await;
    let world = World::with(TestDb::new().await, |command| {
        command.env("STATUSPULSE_GEO_DATABASE", &countries).env("STATUSPULSE_TRUSTED_PROXIES", "127.0.0.0/8");
    })
    .await;
    let desk = Desk::over(Scene { world }).await;
    desk.in_every_look(async |look| {
        let key = desk.key(&json!({"name": look.own("Travelling")})).await;
        // Addresses of operators that have had them for long.
        for from in ["8.8.8.8", "193.0.6.139"] {
            let server = &desk.scene.world.server;
            let reply = server.ask("GET", CHECKS).key(&key.token).header("X-Forwarded-For", from).send().await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        eventually("both places are known", async || {
            desk.of_key(&key, "usage?days=1").await["places"].as_array().unwrap().len() == 2
        })
        .await;
        desk.sign_in().await;
        look.opens(&key).await;
        for country in ["United States", "Netherlands"] {
            desk.chromium.wait_text("#usage", country).await;
        }
        look.is_clean("key-places").await;
        press(&desk.chromium, "#usage", "Show in audit log").await;
        desk.chromium.wait_text("table.events", "8.8.8.8").await;
        look.is_clean("audit-places").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_webhook_of_a_key_is_added_tested_changed_and_deleted() {
    let world = World::with(TestDb::new().await, |command| {
        command.env("STATUSPULSE_WEBHOOK_ALLOWED_CIDRS", "127.0.0.0/8");
    });
    let desk = Desk::over(Scene { world: world.await }).await;
    let status = Arc::new(Mutex::new("500 Internal Server Error"));
    let told = Arc::clone(&status);
    let receiver = Loopback::start(move |_| {
        let status = *told.lock().unwrap();
        Box::pin(async move { answer(status, "text/html", "<b>what it says</b>") })
    })
    .await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        let key = desk.key(&json!({"name": look.own("Deploy")})).await;
        let hook = format!("/hook-{}-{}", look.scheme.word(), look.width);
        *status.lock().unwrap() = "500 Internal Server Error";
        desk.sign_in().await;
        look.opens(&key).await;
        press(chromium, ".webhooks", "Add webhook").await;
        chromium.fill("dialog [name=url]", "http://192.168.0.1/hook").await;
        press(chromium, "dialog", "Add webhook").await;
        chromium.focuses("dialog [name=url][aria-invalid]").await;
        look.is_clean_but_for("key-webhook-refused", &Check::default().status(422)).await;
        chromium.clear_and_fill("dialog [name=url]", &format!("http://{}{hook}", receiver.address)).await;
        chromium.press("dialog [name=events][value='key.rotated']").await;
        press(chromium, "dialog", "Add webhook").await;
        let secret = chromium.text("pre[aria-label='Signing secret']").await;
        assert!(secret.starts_with("whsec_"), "{secret}");
        chromium.key(Key::Escape).await;
        chromium.shows("pre[aria-label='Signing secret']").await;
        look.is_clean("key-webhook-secret").await;
        press(chromium, "dialog", "I have stored it").await;
        chromium.vanishes("dialog").await;
        chromium.wait_text(".cards", &hook).await;
        let left = format!("document.documentElement.outerHTML.includes({})", json!(secret));
        assert_eq!(chromium.script(&left).await, json!(false), "the secret is left in the page");

        press(chromium, ".webhooks", "Send a test").await;
        eventually("the test has come", async || receiver.last("POST", &hook).is_some()).await;
        let test = receiver.last("POST", &hook).unwrap();
        assert!(test.text().contains("webhook.test") && test.header("webhook-signature").is_some(), "{}", test.text());
        chromium.wait_text(".deliveries tbody", "500").await;
        press(chromium, ".deliveries", "What it said").await;
        chromium.wait_text(".deliveries pre", "<b>what it says</b>").await;
        look.is_clean("key-webhook-deliveries").await;
        *status.lock().unwrap() = "204 No Content";
        press(chromium, ".deliveries", "Retry webhook.test").await;
        chromium.wait_text(".deliveries tbody", "delivered").await;

        press(chromium, ".webhooks", "Edit").await;
        let boxes = chromium
            .script("[...document.querySelectorAll('dialog [name=events]:checked')].map((it) => it.value)")
            .await;
        let chosen = json!(["key.rotated", "key.expiring", "key.expired", "key.leaked", "alert.opened"]);
        assert_eq!(boxes, chosen);
        chromium.press("dialog [name=events][value='key.expired']").await;
        look.is_clean("key-webhook-edit").await;
        press(chromium, "dialog", "Save").await;
        chromium.vanishes("dialog").await;
        let list = async || desk.asks("GET", "/v1/orgs/acme/webhooks", &json!({})).await["items"].take();
        let hooks = list().await;
        assert_eq!(
            [&hooks[0]["key_id"], &hooks[0]["events"]],
            [&json!(key.id), &json!(["key.rotated", "key.expiring", "key.leaked", "alert.opened"])]
        );

        press(chromium, ".webhooks", "Disable").await;
        press(chromium, "dialog", "Disable").await;
        chromium.wait_text(".cards", "Somebody switched it off.").await;
        assert!(lacks(chromium, ".webhooks", "Send a test").await, "a disabled one is sent nothing");
        press(chromium, ".webhooks", "Rotate secret").await;
        press(chromium, "dialog", "Rotate secret").await;
        chromium.wait_text("dialog h2", "New signing secret").await;
        assert_ne!(chromium.text("pre[aria-label='Signing secret']").await, secret);
        press(chromium, "dialog", "I have stored it").await;
        chromium.vanishes("dialog").await;
        press(chromium, ".webhooks", "Delete").await;
        look.is_clean("key-webhook-delete").await;
        press(chromium, "dialog", "Delete").await;
        chromium.wait_text(".webhooks", "No webhooks for this key alone").await;
        assert_eq!(list().await, json!([]));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn an_address_without_a_key_says_so_and_leads_back() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        desk.sign_in().await;
        for id in ["01890000-0000-7000-8000-000000000000", "%3Cimg%20src%3Dx%3E"] {
            desk.open(&format!("/keys/{id}")).await;
            chromium.wait_text("main", "There is no such key here").await;
            chromium.wait_text("h1", "Key not found").await;
        }
        look.is_clean_but_for("key-unknown", &Check::default().status(404)).await;
        press(chromium, "main", "Go to API Credentials").await;
        chromium.arrives(&desk.url("/keys")).await;
    })
    .await;
}
