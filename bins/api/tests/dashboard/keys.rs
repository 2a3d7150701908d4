//! 'API Credentials': making keys, finding them and what can be done with each, as people do it.

use serde_json::{Value, json};
use statuspulse_testkit::eventually;

use crate::{
    browser::Key,
    checks::Check,
    desk::{Desk, Look, Seeded},
    words::{lacks, meant, press},
};

/// Outside of every list here.
const ELSEWHERE: &str = "192.0.2.1";
/// A name that does something where it is taken for markup.
const MARKUP: &str = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>";

impl Desk {
    /// Status and code that a resource server is told about a call with a token from an address.
    pub(crate) async fn verdict(&self, gateway: &Seeded, token: &str, from: &str) -> (u64, String) {
        let question = json!({"token": token, "method": "GET", "path": "/api/v1/checks", "client_ip": from});
        let reply = self.scene.world.server.ask("POST", "/v1/verify").key(&gateway.token).json(&question).send().await;
        let json = reply.json();
        assert_eq!(reply.status, 200, "{json}");
        (json["status"].as_u64().unwrap(), json["code"].as_str().unwrap().to_owned())
    }

    /// A key that may ask about others.
    pub(crate) async fn gateway(&self) -> Seeded {
        self.key(&json!({"name": "gateway", "scopes": ["credentials:verify"]})).await
    }

    /// The key of a name, as REST tells it.
    async fn named(&self, name: &str) -> Value {
        let list = self.asks("GET", "/v1/orgs/acme/keys?limit=200", &json!({})).await;
        let items = list["items"].as_array().unwrap();
        items.iter().find(|key| key["name"] == name).unwrap_or_else(|| panic!("no key `{name}`")).clone()
    }

    /// The key of an id, as REST tells it.
    pub(crate) async fn shown(&self, key: &Seeded) -> Value {
        self.asks("GET", &format!("/v1/orgs/acme/keys/{}", key.id), &json!({})).await
    }

    /// Signs somebody in, as people do.
    pub(crate) async fn enter(&self, email: &str, password: &str) {
        self.open("/login").await;
        self.chromium.fill("#email", email).await;
        self.chromium.fill("#password", password).await;
        self.chromium.press("form[action='/login'] button").await;
        self.chromium.vanishes("#password").await;
    }
}

impl Look<'_> {
    /// A name that no other look uses.
    pub(crate) fn own(&self, name: &str) -> String {
        format!("{name} {} {}", self.scheme.word(), self.width)
    }

    /// Opens the menu of a key in the list and presses one of its words.
    async fn chooses(&self, name: &str, words: &str) {
        press(&self.desk.chromium, "tbody", &format!("Actions for {name}")).await;
        press(&self.desk.chromium, ".menu.at", words).await;
    }

    /// Opens the list, with a query.
    async fn lists(&self, query: &str) {
        self.desk.open(&format!("/keys{query}")).await;
        self.desk.chromium.shows(".list:not([aria-busy])").await;
        self.desk.chromium.shows(".filters").await;
    }

    /// The names in the list, from the top.
    async fn names(&self) -> Vec<String> {
        let names =
            self.desk.chromium.script("[...document.querySelectorAll('tbody .name')].map((it) => it.innerText)").await;
        names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the list holds these, in any order.
    async fn lists_only(&self, wanted: &[&str]) {
        let mut wanted: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
        wanted.sort();
        eventually(&format!("the list holds {wanted:?} alone"), async || {
            let mut names = self.names().await;
            names.sort();
            names == wanted
        })
        .await;
    }

    /// Presses a key until something has the keyboard.
    async fn walks(&self, key: Key, to: &str) {
        for _ in 0..40 {
            if self.desk.chromium.script(&format!("document.activeElement.matches({})", json!(to))).await == json!(true)
            {
                return;
            }
            self.desk.chromium.key(key).await;
        }
        panic!("{key:?} never comes to {to}: {}", self.desk.chromium.active_element().await);
    }

    /// From here on the page's own files are kept by the test, and not by the browser.
    async fn downloads(&self) {
        let keeps = "{ const make = URL.createObjectURL; URL.createObjectURL = (blob) => { window.blob = blob; return make(blob); };
            addEventListener('click', (event) => { window.file = event.target.download; }, true);
            HTMLAnchorElement.prototype.click = function () { window.file = this.download; }; }";
        self.desk.chromium.runs(keeps).await;
    }

    /// The text of the page's last file, and whether it is named as one of settings.
    async fn downloaded(&self) -> Value {
        let kept = "blob.text().then((text) => { const named = file.endsWith('.env'); delete window.blob; return [text, named]; })";
        self.desk.chromium.script_async(kept).await
    }

    /// Whether a text is anywhere in the page, its address or what the browser stores for it.
    async fn holds(&self, text: &str) -> bool {
        let held = format!(
            "(async (text) => {{
              const inputs = [...document.querySelectorAll('input, textarea')].map((it) => it.value);
              const databases = (await indexedDB.databases()).length, caches_ = window.caches ? (await caches.keys()).length : 0;
              const texts = [document.documentElement.outerHTML, ...inputs, location.href, document.cookie, document.title,
                JSON.stringify(history.state), JSON.stringify({{...localStorage}}), JSON.stringify({{...sessionStorage}})];
              return texts.some((held) => held.includes(text)) || databases > 0 || caches_ > 0;
            }})({})",
            json!(text)
        );
        self.desk.chromium.script_async(&held).await == json!(true)
    }
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_new_key_is_put_together_shown_once_and_works_only_from_its_networks() {
    let desk = Desk::new().await;
    let gateway = desk.gateway().await;
    let caller = desk.key(&json!({"name": "caller"})).await;
    desk.events(&caller, 3).await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        let name = look.own("Jenkins");
        chromium.allow_clipboard(&desk.scene.issuer()).await;
        desk.sign_in().await;
        chromium.press(".avatar").await;
        press(chromium, "#menu", "API Credentials").await;
        chromium.arrives(&desk.url("/keys")).await;
        press(chromium, "#actions", "Generate New Key").await;
        chromium.focuses("dialog [name=name]").await;
        chromium.fill("dialog [name=name]", &name).await;

        // A preset, and one more cell of the matrix by the keyboard alone.
        press(chromium, "dialog", "Datadog metrics").await;
        look.walks(Key::Tab, ".matrix input").await;
        look.walks(Key::Down, "[aria-label='checks:read']").await;
        look.walks(Key::Down, "[aria-label='incidents:read']").await;
        look.walks(Key::Right, "[aria-label='incidents:write']").await;
        look.walks(Key::Left, "[aria-label='incidents:read']").await;
        chromium.key(Key::Space).await;
        chromium.wait_text("dialog .permissions", "3 of 17 permissions chosen").await;

        // Two networks, of which the API refuses one.
        chromium.press("dialog input[value=list]").await;
        press(chromium, "dialog", "Paste many lines").await;
        chromium.fill("dialog details[open] textarea", "203.0.113.0/24 Jenkins\n10.0.0.0/7 Office, 2nd floor").await;
        press(chromium, "dialog", "Add these").await;
        chromium.wait_text("dialog .allowlist", "2 of at most 50 networks").await;
        press(chromium, "dialog .lifespan", "30 days").await;
        chromium.press("dialog [name=auto_rotate]").await;
        press(chromium, "dialog", "Generate the key").await;
        chromium.wait_text(".cidrs li:nth-child(2) .field-error", "wide").await;
        let values = "[...document.querySelectorAll('dialog .cidrs input, dialog [name=name], dialog [name=days]')].map((it) => it.value)";
        let kept = json!([name, "203.0.113.0/24", "Jenkins", "10.0.0.0/7", "Office, 2nd floor", "30"]);
        assert_eq!(chromium.script(values).await, kept);
        chromium.focuses(".cidrs li:nth-child(2) input").await;
        look.is_clean_but_for("keys-new-refused", &Check::default().status(422)).await;
        chromium.clear_and_fill(".cidrs li:nth-child(2) input[aria-label=Network]", "10.0.0.0/8").await;
        press(chromium, "dialog", "What would this have refused in the last 7 days?").await;
        chromium.wait_text("dialog .preview", "would have been refused.").await;
        look.is_clean("keys-new-preview").await;
        press(chromium, "dialog", "Generate the key").await;

        // Shown once, and held.
        let token = chromium.text("#token").await;
        chromium.key(Key::Escape).await;
        chromium.key(Key::Escape).await;
        chromium.shows("dialog[open] #token").await;
        look.is_clean("keys-token").await;
        press(chromium, "dialog .token", "Copy").await;
        eventually("the token is copied", async || chromium.clipboard().await == token).await;
        press(chromium, "dialog .token", "Copy command").await;
        let curl = format!("curl -H \"Authorization: Bearer {token}\" {}", desk.url("/v1/keys/self"));
        eventually("the command is copied", async || chromium.clipboard().await == curl).await;
        look.downloads().await;
        press(chromium, "dialog .token", "Download .env").await;
        assert_eq!(look.downloaded().await, json!([format!("STATUSPULSE_API_KEY={token}\n"), true]));
        press(chromium, "dialog", "I have stored it").await;
        chromium.vanishes("dialog").await;
        chromium.wait_text("tbody", &name).await;
        assert!(!look.holds(&token).await, "the token is left in the page");
        chromium.open(&desk.url("/keys")).await;
        chromium.wait_text("tbody", &name).await;
        assert!(!look.holds(&token).await, "the token is stored");

        let key = desk.named(&name).await;
        assert_eq!(
            [&key["scopes"], &key["allowed_cidrs"], &key["allowlist_notes"], &key["auto_rotate"], &key["environment"]],
            [
                &json!(["checks:read", "incidents:read", "metrics:export"]),
                &json!(["203.0.113.0/24", "10.0.0.0/8"]),
                &json!({"203.0.113.0/24": "Jenkins", "10.0.0.0/8": "Office, 2nd floor"}),
                &json!(true),
                &json!("production"),
            ]
        );
        let verdicts = [desk.verdict(&gateway, &token, "203.0.113.9").await, desk.verdict(&gateway, &token, ELSEWHERE).await];
        assert_eq!(verdicts, [(200, "allowed".to_owned()), (403, "ip_not_allowed".to_owned())]);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn without_keys_the_page_says_what_they_are_for_and_analytics_keys_only_read() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        desk.sign_in().await;
        look.lists("").await;
        chromium.wait_text(".empty", "No keys yet").await;
        look.is_clean("keys-none").await;
        press(chromium, ".empty", "Generate New Key").await;
        press(chromium, "dialog", "All of checks").await;
        chromium.wait_text("dialog .permissions", "2 of 17 permissions chosen").await;
        chromium.press("dialog [name=environment][value=analytics]").await;
        chromium.wait_text("dialog .permissions", "Left out, since analytics keys only read: checks:write.").await;
        let boxes = "['checks:read', 'checks:write', 'incidents:write'].map((name) => \
                     ((it) => [it.checked, it.disabled])(document.querySelector(`[aria-label=\"${name}\"]`)))";
        assert_eq!(chromium.script(boxes).await, json!([[true, false], [false, true], [false, true]]));
        look.is_clean("keys-new-analytics").await;
        // Escape leaves the dialog, and the focus is where it was.
        chromium.key(Key::Escape).await;
        chromium.vanishes("dialog").await;
        chromium.focuses(".empty button").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn keys_are_found_by_environment_status_and_name_and_shown_page_by_page_without_repeats() {
    let desk = Desk::new().await;
    desk.keys(60).await;
    desk.key(&json!({"name": "Staging deploy", "environment": "staging"})).await;
    let asleep = desk.key(&json!({"name": "Asleep", "environment": "staging"})).await;
    desk.asks("POST", &format!("/v1/orgs/acme/keys/{}/disable", asleep.id), &json!({})).await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        desk.sign_in().await;
        look.lists("").await;
        assert_eq!(look.names().await.len(), 25);
        look.is_clean("keys-list").await;
        for shown in [50, 62] {
            press(chromium, ".more", "Show more").await;
            eventually("the next page is there", async || look.names().await.len() == shown).await;
        }
        assert!(lacks(chromium, ".more", "Show more").await, "nothing is left to show");
        let mut names = look.names().await;
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 62, "a key stands there twice");

        chromium.press(".tabs input[name=environment][value=staging]").await;
        look.lists_only(&["Staging deploy", "Asleep"]).await;
        chromium.select("[name=status]", "disabled").await;
        look.lists_only(&["Asleep"]).await;
        let address = chromium.url().await;
        assert!(address.ends_with("/keys?environment=staging&status=disabled"), "{address}");
        // The view can be kept.
        chromium.open(&address).await;
        look.lists_only(&["Asleep"]).await;
        look.is_clean("keys-filtered").await;
        chromium.fill("[name=q]", "nobody has this name").await;
        chromium.wait_text(".empty", "No key matches").await;
        look.is_clean("keys-no-match").await;
        press(chromium, ".empty", "Clear the filters").await;
        eventually("all are there again", async || look.names().await.len() == 25).await;
        assert_eq!(chromium.url().await, desk.url("/keys"));
        chromium.focuses("[name=q]").await;
        chromium.fill("[name=q]", "STAGING").await;
        look.lists_only(&["Staging deploy"]).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_key_is_rotated_with_an_overlap_switched_off_and_on_edited_and_revoked() {
    let desk = Desk::new().await;
    let gateway = desk.gateway().await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        let name = look.own("Deploy");
        let first = desk.key(&json!({"name": name})).await;
        let judged = async |token: &str| desk.verdict(&gateway, token, ELSEWHERE).await.0;
        desk.sign_in().await;
        look.lists("").await;

        press(chromium, "tbody", &format!("Actions for {name}")).await;
        look.is_clean("keys-menu").await;
        press(chromium, ".menu.at", "Rotate").await;
        chromium.press("dialog [name=overlap][value='86400']").await;
        look.is_clean("keys-rotate").await;
        press(chromium, "dialog", "Rotate").await;
        let second = chromium.text("#token").await;
        chromium.wait_text("dialog .token", "The previous token works until").await;
        press(chromium, "dialog", "I have stored it").await;
        chromium.vanishes("dialog").await;
        assert_eq!([judged(&first.token).await, judged(&second).await], [200, 200]);
        assert!(!look.holds(&second).await, "the token is left in the page");

        look.chooses(&name, "Disable").await;
        press(chromium, "dialog", "Disable").await;
        chromium.wait_text("tbody", "disabled").await;
        assert_eq!([judged(&first.token).await, judged(&second).await], [401, 401]);
        // The focus is where it was, though the row was drawn anew.
        let label = format!("Actions for {name}");
        eventually("the focus is at the key's button", async || {
            chromium.script("document.activeElement.getAttribute('aria-label')").await == json!(label)
        })
        .await;
        look.chooses(&name, "Enable").await;
        press(chromium, "dialog", "Enable").await;
        // Judged from memory, which hears of it behind the answer.
        eventually("it is accepted again", async || judged(&second).await == 200).await;

        chromium.vanishes("dialog").await;
        look.chooses(&name, "Edit").await;
        let renamed = look.own("Deploy to the edge");
        chromium.clear_and_fill("dialog [name=name]", &renamed).await;
        press(chromium, "dialog", "All of incidents").await;
        press(chromium, "dialog", "Only from these networks").await;
        chromium.fill("dialog .cidrs input[aria-label=Network]", "2001:db8:42::/48").await;
        chromium.fill("dialog .cidrs input[aria-label=Note]", "Edge").await;
        look.is_clean("keys-edit").await;
        press(chromium, "dialog", "Save changes").await;
        chromium.wait_text("tbody", &renamed).await;
        let key = desk.shown(&first).await;
        assert_eq!(
            [&key["name"], &key["scopes"], &key["allowed_cidrs"], &key["allowlist_notes"]],
            [
                &json!(renamed),
                &json!(["checks:read", "incidents:read", "incidents:write"]),
                &json!(["2001:db8:42::/48"]),
                &json!({"2001:db8:42::/48": "Edge"}),
            ]
        );
        assert_eq!(judged(&second).await, 403);

        look.chooses(&renamed, "Revoke").await;
        chromium.fill("dialog [name=typed]", "Deploy").await;
        assert!(chromium.script("document.querySelector('dialog [type=submit]').disabled").await == json!(true));
        chromium.fill("dialog [name=typed]", renamed.strip_prefix("Deploy").unwrap()).await;
        chromium.fill("dialog [name=reason]", "No longer used").await;
        look.is_clean("keys-revoke").await;
        press(chromium, "dialog", "Revoke").await;
        chromium.wait_text("dialog h2", &format!("{renamed} is revoked")).await;
        chromium.wait_text("dialog tbody", "applied").await;
        look.is_clean("keys-revoked").await;
        press(chromium, "dialog", "Close").await;
        chromium.vanishes("dialog").await;
        let inside = "2001:db8:42::1";
        let ended = [desk.verdict(&gateway, &first.token, inside).await, desk.verdict(&gateway, &second, inside).await];
        assert_eq!(ended, [(401, "revoked".to_owned()), (401, "revoked".to_owned())]);
        let key = desk.shown(&first).await;
        assert_eq!([&key["status"], &key["revoke_reason"]], [&json!("revoked"), &json!("No longer used")]);
        assert!(
            lacks(chromium, "tbody", &format!("Actions for {renamed}")).await,
            "nothing can be done with it any more"
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn presets_are_pressed_and_a_network_is_judged_while_it_is_typed() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        desk.sign_in().await;
        look.lists("").await;
        press(chromium, "#actions", "Generate New Key").await;
        for preset in ["PagerDuty sync", "Read-only", "Datadog metrics"] {
            press(chromium, "dialog", preset).await;
            chromium.wait_text("dialog .permissions .presets [aria-pressed=true]", preset).await;
        }
        // What is wrong with a network is said while it is typed.
        chromium.press("dialog input[value=list]").await;
        let network = "dialog .cidrs li:first-child input[aria-label=Network]";
        chromium.fill(network, "203.0.113.7/24").await;
        chromium.wait_text(".cidrs li:first-child .field-error", "bits set behind the length").await;
        press(chromium, "dialog", "Use 203.0.113.0/24").await;
        chromium.focuses(network).await;
        assert_eq!(chromium.text(".cidrs li:first-child .field-error").await, "");
        chromium.clear_and_fill(network, "10.").await;
        chromium.wait_text(".cidrs li:first-child .field-error", "isn't an address or a network").await;
        chromium.press("dialog [aria-label='Remove 10.']").await;
        look.is_clean("keys-new-typed").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_key_that_somebody_else_has_rotated_meanwhile_is_rotated_from_there_and_auto_rotate_is_switched() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        let name = look.own("Deploy");
        let key = desk.key(&json!({"name": name})).await;
        desk.sign_in().await;
        look.lists("").await;
        // Somebody else is faster; the press is judged by what there is by now.
        look.chooses(&name, "Rotate").await;
        press(chromium, "dialog", "Another time").await;
        chromium.clear_and_fill("dialog [name=hours]", "3").await;
        desk.asks("POST", &format!("/v1/orgs/acme/keys/{}/rotate", key.id), &json!({"overlap_seconds": 86_400})).await;
        press(chromium, "dialog", "Rotate").await;
        chromium.wait_text("dialog .problem", "Somebody has rotated this key meanwhile").await;
        look.is_clean_but_for("keys-rotated-meanwhile", &Check::default().status(412)).await;
        press(chromium, "dialog", "Rotate").await;
        press(chromium, "dialog", "I have stored it").await;
        chromium.vanishes("dialog").await;
        let versions = desk.asks("GET", &format!("/v1/orgs/acme/keys/{}/versions", key.id), &json!({})).await;
        assert_eq!((&versions["items"][0]["version"], &versions["items"][1]["state"]), (&json!(3), &json!("overlap")));

        for on in [true, false] {
            let (switch, said) = if on { ("on", "On") } else { ("off", "Off") };
            look.chooses(&name, &format!("Switch Auto-Rotate {switch}")).await;
            press(chromium, "dialog", &format!("Switch {switch}")).await;
            chromium.wait_text("#notices", &format!("Auto-Rotate of {name} is {switch}.")).await;
            chromium.wait_text(&format!("tr:has([aria-label='Actions for {name}'])"), said).await;
            assert_eq!(desk.shown(&key).await["auto_rotate"], json!(on));
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn the_list_tells_of_each_key_what_it_may_do_how_old_it_is_and_what_is_left_of_it() {
    let desk = Desk::new().await;
    let database = desk.scene.world.db.client().await;
    let used = desk.key(&json!({"name": "used", "scopes": ["checks:read", "incidents:read", "alerts:read"]})).await;
    desk.events(&used, 1).await;
    eventually("its use is told", async || desk.shown(&used).await["last_used_at"].is_string()).await;
    let ends = desk.key(&json!({"name": "ends", "expires_in_days": 10})).await;
    // No request lets eight of its ten days pass.
    for text in [
        "UPDATE keys SET created_at = created_at - interval '8 days' WHERE name = 'ends'",
        "UPDATE key_versions SET created_at = created_at - interval '8 days', expires_at = expires_at - interval '8 days',
         valid_until = valid_until - interval '8 days' WHERE key_id = (SELECT id FROM keys WHERE name = 'ends')",
    ] {
        assert_eq!(database.execute(text, &[]).await.unwrap(), 1);
    }
    let gone = desk.key(&json!({"name": "gone"})).await;
    desk.asks("POST", &format!("/v1/orgs/acme/keys/{}/revoke", gone.id), &json!({})).await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        desk.sign_in().await;
        look.lists("").await;
        let row = |name: &str| format!("tbody tr:has(a[href='/keys/{name}'])");
        let told = async |key: &Seeded| chromium.text(&row(&key.id)).await.split_whitespace().collect::<Vec<_>>().join(" ");
        let hint = desk.shown(&used).await["hint"].as_str().unwrap().to_owned();
        let first = told(&used).await;
        for part in [hint.as_str(), "production", "active", "checks:read incidents:read +1 more", "90 days left", "made ", "UTC"] {
            assert!(first.contains(part), "`{part}` is not in: {first}");
        }
        let second = told(&ends).await;
        for part in ["2 days left", "made 8 days ago", "never"] {
            assert!(second.contains(part), "`{part}` is not in: {second}");
        }
        assert!(told(&gone).await.contains("revoked"));
        let bar = |key: &Seeded| {
            format!("((it) => [Math.round(it.firstElementChild.style.getPropertyValue('--share') * 10), it.className])(document.querySelector(`{} .bar`))", row(&key.id))
        };
        let bars = json!([chromium.script(&bar(&used)).await, chromium.script(&bar(&ends)).await]);
        assert_eq!(bars, json!([[10, "bar "], [2, "bar bad"]]));
        assert_eq!(chromium.count(&format!("{} .bar", row(&gone.id))).await, 0);
        look.is_clean("keys-told").await;

        // All times have the reader's zone and say how long it is to them.
        chromium.lives_in("America/St_Johns").await;
        look.lists("").await;
        let second = told(&ends).await;
        assert!(second.contains("GMT-3:30") || second.contains("GMT-2:30") || second.contains("NST"), "{second}");
        chromium.lives_in("UTC").await;
        chromium.fill("[name=q]", &hint).await;
        look.lists_only(&["used"]).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn an_auditor_sees_the_keys_and_has_no_button_that_changes_one() {
    let desk = Desk::new().await;
    let key = desk.key(&json!({"name": "Deploy", "allowed_cidrs": ["203.0.113.0/24"]})).await;
    let made =
        desk.asks("POST", "/v1/orgs/acme/members", &json!({"email": "auditor@example.com", "role": "auditor"})).await;
    let changing = ["Generate New Key", "Rotate", "Edit", "Disable", "Revoke", "Switch Auto-Rotate on", "Add webhook"];
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        desk.enter("auditor@example.com", made["password"].as_str().unwrap()).await;
        look.lists("").await;
        look.lists_only(&["Deploy"]).await;
        look.is_clean("keys-auditor").await;
        assert_eq!(chromium.count(".menu-button").await, 0);
        press(chromium, "tbody", "Deploy").await;
        chromium.arrives(&desk.url(&format!("/keys/{}", key.id))).await;
        chromium.wait_text("main", "203.0.113.0/24").await;
        chromium.shows(".webhooks .list:not([aria-busy])").await;
        look.is_clean("key-auditor").await;
        for words in changing {
            assert!(lacks(chromium, "body", words).await, "an auditor has `{words}`");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_name_that_is_markup_shows_as_text_wherever_the_key_is_named() {
    let desk = Desk::new().await;
    let key = desk
        .key(&json!({"name": MARKUP, "allowed_cidrs": ["203.0.113.0/24"], "allowlist_notes": {"203.0.113.0/24": MARKUP}}))
        .await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        desk.sign_in().await;
        look.lists("").await;
        look.lists_only(&[MARKUP]).await;
        let mut pressed = Vec::new();
        for (words, dialog) in [("Rotate", "Rotate "), ("Edit", "Edit "), ("Revoke", "Revoke ")] {
            look.chooses(MARKUP, words).await;
            chromium.wait_text("dialog h2", &format!("{dialog}{MARKUP}")).await;
            if words == "Edit" {
                let note = meant(chromium, "dialog", "Note").await;
                pressed.push(chromium.script(&format!("document.querySelector('{note}').value")).await);
            }
            chromium.key(Key::Escape).await;
            chromium.vanishes("dialog").await;
        }
        assert_eq!(pressed, [json!(MARKUP)]);
        look.is_clean("keys-markup").await;
        desk.open(&format!("/keys/{}", key.id)).await;
        chromium.wait_text("h1", MARKUP).await;
        look.is_clean("key-markup").await;
        let seen = chromium
            .script("[document.querySelectorAll('main img, main b').length, document.title.startsWith('<img')]")
            .await;
        assert_eq!(seen, json!([0, true]));
    })
    .await;
}
