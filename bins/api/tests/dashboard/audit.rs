//! The audit trail, `/audit`: found again by its address, read to its end, followed, exported and vouched for.

use serde_json::{Value, json};
use statuspulse_app::audit::checkpoint;
use statuspulse_policy::Role;
use statuspulse_testkit::eventually;

use crate::{
    browser::{Chromium, Key},
    checks::Check,
    desk::{Desk, Look, Seeded},
    server::CHECKS,
    words::press,
};

/// What somebody may call a key, or call itself, to be more than text: markup, a text that turns round, one that can't be seen.
const HOSTILE: &str = "<img src=x onerror=\"document.title='mine'\">\u{202e}gnp\u{200b}";
/// Its rows.
const ROWS: &str = "table.events tbody tr";
/// The switch.
const FOLLOW: &str = ".live [role=switch]";
/// A network with bits behind its prefix.
const BAD_NETWORK: &str = "10.0.0.1/8";

/// What a person sees of each row.
async fn rows(chromium: &Chromium) -> Vec<String> {
    texts(chromium, ROWS, "it.innerText").await
}

/// The ids of the rows' events.
async fn shown_ids(chromium: &Chromium) -> Vec<String> {
    texts(chromium, &format!("{ROWS} .row-link"), "it.dataset.event").await
}

async fn texts(chromium: &Chromium, selector: &str, what: &str) -> Vec<String> {
    let expression = format!("[...document.querySelectorAll({})].map((it) => {what})", json!(selector));
    let texts = chromium.script(&expression).await;
    texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap_or_default().to_owned()).collect()
}

/// Waits until there are so many rows, and each says this.
async fn lists(chromium: &Chromium, count: usize, part: &str) {
    eventually(&format!("{count} events are listed, each with `{part}`"), async || {
        let rows = rows(chromium).await;
        rows.len() == count && rows.iter().all(|row| row.contains(part))
    })
    .await;
}

/// Waits until the address has this parameter, or hasn't got it any more.
async fn says(chromium: &Chromium, name: &str, value: Option<&str>) {
    let expression = format!("new URL(location.href).searchParams.get({})", json!(name));
    eventually(&format!("the address says {name}={value:?}"), async || {
        chromium.script(&expression).await == value.map_or(Value::Null, Value::from)
    })
    .await;
}

impl Desk {
    /// A key that was used twice within its scopes and once outside of them.
    async fn busy_key(&self, name: &str) -> Seeded {
        let key = self.key(&json!({"name": name})).await;
        self.calls(&key, "GET", 2, 200).await;
        self.calls(&key, "POST", 1, 403).await;
        self.has_events(&key, 3).await;
        key
    }

    async fn calls(&self, key: &Seeded, method: &str, count: usize, status: u16) {
        for _ in 0..count {
            let judged = self.scene.world.server.ask(method, CHECKS).key(&key.token).send().await;
            assert_eq!(judged.status, status, "{}", judged.text());
        }
    }

    /// The ids of a key's calls as the API lists them, newest first.
    async fn events_of(&self, key: &Seeded) -> Vec<String> {
        let path = format!("/v1/orgs/acme/audit/events?limit=200&actor={}", key.id);
        let page = self.asks("GET", &path, &json!({})).await;
        page["items"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    }

    async fn has_events(&self, key: &Seeded, count: usize) {
        eventually("the events are written", async || self.events_of(key).await.len() >= count).await;
    }
}

/// A key's own name in each look.
fn named(look: &Look<'_>, name: &str) -> String {
    format!("{name} {}-{}", look.scheme.word(), look.width)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn a_view_of_the_trail_is_kept_in_its_address() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let key = desk.busy_key(&named(look, "reader")).await;
        desk.sign_in().await;
        desk.open("/audit").await;
        chromium.shows(ROWS).await;
        look.is_clean("audit").await;

        // Who, then what came of it.
        chromium.press(&format!("{ROWS} a[aria-label='Only events of {}']", named(look, "reader"))).await;
        lists(chromium, 3, "reader").await;
        chromium.select("[name=outcome]", "denied").await;
        lists(chromium, 1, "insufficient_scope").await;
        says(chromium, "actor", Some(&key.id)).await;
        says(chromium, "outcome", Some("denied")).await;

        chromium.script("location.reload()").await;
        lists(chromium, 1, "insufficient_scope").await;
        desk.open("/alerts").await;
        chromium.shows("#open").await;
        chromium.script("history.back()").await;
        lists(chromium, 1, "insufficient_scope").await;
        let values = "[document.querySelector('[name=outcome]').value, document.querySelector('[name=actor]').value]";
        assert_eq!(chromium.script(values).await, json!(["denied", key.id]));

        // An action that has not happened, and the way out of it.
        chromium.clear_and_fill("[name=action]", "key.create").await;
        chromium.key(Key::Enter).await;
        chromium.wait_text(".list .empty", "No event matches").await;
        press(chromium, "body", "Clear filters").await;
        says(chromium, "actor", None).await;
        says(chromium, "action", None).await;

        // Addresses and times.
        chromium.clear_and_fill("[name=ip]", "127.0.0.0/8").await;
        chromium.clear_and_fill("[name=action]", "api.").await;
        chromium.key(Key::Enter).await;
        eventually("all calls are listed", async || {
            let rows = rows(chromium).await;
            rows.len() > 2 && rows.iter().all(|row| row.contains("127.0.0.1") && row.contains("api.call"))
        })
        .await;
        press(chromium, "body", "15 minutes").await;
        let since = "Date.now() - new Date(new URL(location.href).searchParams.get('from')) - 900_000";
        eventually("the address says since when", async || {
            chromium.script(since).await.as_i64().is_some_and(|late| (-1_000..60_000).contains(&late))
        })
        .await;
        says(chromium, "ip", Some("127.0.0.0/8")).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn a_bad_network_is_told_once_and_at_its_field() {
    let desk = Desk::new().await;
    let key = desk.busy_key("reader").await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in().await;
        desk.open(&format!("/audit?actor={}", key.id)).await;
        lists(chromium, 3, "reader").await;
        chromium.fill("[name=ip]", BAD_NETWORK).await;
        chromium.key(Key::Enter).await;
        chromium.wait_text("[data-field=ip] .field-error", "10.0.0.0/8").await;
        chromium.focuses("[name=ip]").await;
        assert_eq!(chromium.attribute("[name=ip]", "aria-invalid").await.as_deref(), Some("true"));
        chromium.wait_text(".list", "Nothing was looked for").await;
        let told = texts(chromium, ".problem:not([hidden])", "it.innerText").await;
        assert!(told.is_empty() && rows(chromium).await.is_empty(), "it is told once: {told:?}");
        look.is_clean_but_for("audit-bad-network", &Check::default().status(422)).await;

        // As somebody gets it who is sent the address.
        chromium.script("location.reload()").await;
        chromium.focuses("[name=ip]").await;
        chromium.clear_and_fill("[name=ip]", "127.0.0.1").await;
        chromium.key(Key::Enter).await;
        lists(chromium, 3, "reader").await;
        chromium.vanishes("[aria-invalid]").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and chromedriver"]
async fn show_more_goes_on_without_repeating_or_leaving_out_while_events_come() {
    let desk = Desk::new().await;
    let key = desk.key(&json!({"name": "reader"})).await;
    desk.calls(&key, "GET", 120, 200).await;
    desk.has_events(&key, 120).await;
    let before = desk.events_of(&key).await;
    desk.sign_in().await;
    desk.open(&format!("/audit?actor={}&action=api.call", key.id)).await;
    lists(&desk.chromium, 50, "reader").await;
    desk.calls(&key, "GET", 3, 200).await;
    desk.has_events(&key, 123).await;
    press(&desk.chromium, "body", "Show more").await;
    lists(&desk.chromium, 100, "reader").await;
    press(&desk.chromium, "body", "Show more").await;
    lists(&desk.chromium, 120, "reader").await;
    assert_eq!(shown_ids(&desk.chromium).await, before);
    assert_eq!(desk.chromium.script("document.querySelector('.more button').hidden").await, json!(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn an_event_opens_by_its_row_and_its_address_and_what_callers_chose_is_inert() {
    let desk = Desk::new().await;
    desk.chromium.allow_clipboard(&desk.scene.issuer()).await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let key = desk.key(&json!({"name": format!("{HOSTILE}{}", named(look, ""))})).await;
        let call = desk.scene.world.server.ask("GET", CHECKS).key(&key.token).header("User-Agent", HOSTILE);
        let judged = call.send().await;
        assert_eq!(judged.status, 200, "{}", judged.text());
        desk.has_events(&key, 1).await;
        let [id] = <[String; 1]>::try_from(desk.events_of(&key).await).unwrap();

        desk.sign_in().await;
        desk.open(&format!("/audit?actor={}", key.id)).await;
        lists(chromium, 1, "<img src=x onerror=\"document.title='mine'\">\\u{202e}gnp\\u{200b}").await;
        // Anywhere in the row.
        chromium.press(&format!("{ROWS} td:nth-of-type(3)")).await;
        chromium.wait_text("dialog h2", "Event").await;
        let request = judged.header("x-request-id").unwrap();
        chromium.wait_text("dialog", request).await;
        says(chromium, "event", Some(&id)).await;
        let told = chromium.text("dialog").await;
        assert!(told.contains("<img src=x") && told.contains("\\u{202e}gnp"), "{told}");
        let unseen = "[document.images.length, /[\\u202e\\u200b]/.test(document.body.innerText), document.title.includes('mine')]";
        assert_eq!(chromium.script(unseen).await, json!([0, false, false]));
        press(chromium, "body", "Copy request ID").await;
        eventually("the request id is copied", async || chromium.clipboard().await == request).await;
        look.is_clean("audit-event").await;

        // By keyboard, there and back.
        chromium.key(Key::Escape).await;
        chromium.vanishes("dialog").await;
        says(chromium, "event", None).await;
        chromium.script(&format!("document.querySelector('a.row-link[data-event=\"{id}\"]').focus()")).await;
        chromium.key(Key::Enter).await;
        chromium.wait_text("dialog", request).await;
        chromium.key(Key::Escape).await;
        chromium.focuses(&format!("a.row-link[data-event=\"{id}\"]")).await;

        desk.open(&format!("/audit?event={id}")).await;
        chromium.wait_text("dialog", request).await;
        desk.open("/audit?event=01890000-0000-7000-8000-000000000000").await;
        chromium.shows("dialog .problem").await;
        look.is_clean_but_for("audit-no-event", &Check::default().status(404)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn following_shows_what_comes_without_a_reload_until_it_is_stopped() {
    let desk = Desk::new().await;
    let key = desk.busy_key("reader").await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in().await;
        desk.open("/audit").await;
        chromium.shows(ROWS).await;
        chromium.script("window.stays = true").await;
        let before = shown_ids(chromium).await;
        chromium.press(FOLLOW).await;
        chromium.wait_text(".live [role=status]", "Following").await;
        let count = desk.events_of(&key).await.len();
        desk.calls(&key, "GET", 2, 200).await;
        desk.has_events(&key, count + 2).await;
        let calls = desk.events_of(&key).await;
        eventually("both calls stand first", async || shown_ids(chromium).await.starts_with(&calls[..2])).await;
        // What this page and the one before have asked for may come late, but none of the looks, which would never end.
        let seen = "[document.querySelector('.live [role=status]').innerText, \
                    [...document.querySelectorAll('table.events tbody tr')].map((row) => row.innerText)]";
        let seen = chromium.script(seen).await;
        let rows = seen[1].as_array().unwrap();
        let new = &rows[..rows.len() - before.len()];
        assert!(seen[0].as_str().unwrap().contains(&format!(" {} since you follow", new.len())), "{seen}");
        assert!(new.iter().all(|row| !row.as_str().unwrap().contains("audit.read")), "{new:?}");
        assert!(chromium.count(&format!("{ROWS}.fresh")).await >= 1, "what is new is marked");
        look.is_clean("audit-following").await;

        chromium.press(FOLLOW).await;
        chromium.wait_text(".live [role=status]", "Not following").await;
        let stopped = "[window.stays, document.querySelector('.live [role=switch]').checked]";
        assert_eq!(chromium.script(stopped).await, json!([true, false]));

        // What has an end can't be followed.
        desk.open("/audit?to=2030-01-01T00:00:00.000Z").await;
        chromium.wait_text(".live [role=status]", "open end").await;
        assert_eq!(chromium.script("document.querySelector('.live [role=switch]').disabled").await, json!(true));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and chromedriver"]
async fn an_export_holds_what_the_filters_let_through() {
    let desk = Desk::new().await;
    let key = desk.busy_key("reader").await;
    desk.busy_key("other").await;
    desk.sign_in().await;
    desk.open(&format!("/audit?actor={}", key.id)).await;
    desk.chromium.shows(ROWS).await;
    desk.chromium.select("[name=outcome]", "allowed").await;
    lists(&desk.chromium, 2, "allowed").await;
    let ids = desk.events_of(&key).await;
    for (name, kind, ending) in [
        ("JSONL", "application/x-ndjson", "jsonl"),
        ("OCSF", "application/x-ndjson", "ocsf.jsonl"),
        ("CEF", "text/plain", "cef"),
        ("CSV", "text/csv", "csv"),
    ] {
        let fetched = desk
            .chromium
            .script_async(&format!(
                "fetch(document.querySelector(\"a[aria-label='Export {name}']\").href).then(async (answer) => \
                 ({{ status: answer.status, kind: answer.headers.get('content-type'), \
                 name: answer.headers.get('content-disposition'), body: await answer.text() }}))"
            ))
            .await;
        let body = fetched["body"].as_str().unwrap();
        let held: Vec<bool> = ids.iter().map(|id| body.contains(id)).collect();
        assert!(fetched["kind"].as_str().unwrap().starts_with(kind), "{fetched}");
        assert_eq!(
            (&fetched["status"], &fetched["name"], held),
            (
                &json!(200),
                &json!(format!("attachment; filename=\"audit-acme.{ending}\"")),
                // Newest first: the refused one is left out.
                vec![false, true, true]
            ),
            "{name}: {body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn the_newest_checkpoint_is_told_with_how_to_check_it() {
    let desk = Desk::new().await;
    desk.busy_key("reader").await;
    let app = &desk.scene.world.app;
    let sign = async || checkpoint::now(app, &app.operator(), false).await.unwrap().body.number;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let first = sign().await;
        desk.sign_in().await;
        desk.open("/audit").await;
        chromium.wait_text("#verification", "Checkpoint").await;
        chromium.wait_text("#verification", "up to date").await;
        press(chromium, "body", "What it covers, and how to check it yourself").await;
        chromium.wait_text("#verification", "statuspulse-admin audit verify").await;
        look.is_clean("audit-verification").await;

        // The server signs one by itself now and then.
        let next = sign().await;
        assert!(next > first);
        press(chromium, "body", "Look again").await;
        eventually("the newest one is told", async || {
            let asked = desk.asks("GET", "/v1/orgs/acme/audit/checkpoints?limit=1", &json!({})).await;
            let told = chromium.text("#verification").await;
            let number = asked["items"][0]["number"].as_i64().unwrap();
            number >= next && (next..=number).any(|number| told.contains(&format!("Checkpoint {number} ")))
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn a_developer_chooses_an_own_key_first() {
    let desk = Desk::new().await;
    desk.busy_key("of the owner").await;
    let world = &desk.scene.world;
    let developer = world.app.person(&world.org, "dev", Role::Developer).await;
    let session = world.server.sign_in(&developer.email, &developer.password).await;
    let wanted = json!({"name": "my own", "environment": "production", "scopes": ["checks:read"]});
    let made = world.server.as_(&session, "POST", "/v1/orgs/acme/keys", &wanted).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let text = |at: &str| made.json().pointer(at).unwrap().as_str().unwrap().to_owned();
    let key = Seeded { id: text("/key/id"), token: text("/token") };
    world.server.judged(&key.token).await;
    desk.has_events(&key, 1).await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in_as(&developer).await;
        desk.open("/audit").await;
        chromium.wait_text(".list", "As a developer you see the events of your own keys").await;
        let offered = texts(chromium, "[name=actor] option", "it.text.replace(/ \\(.*/, '')").await;
        assert_eq!(offered, ["Choose a key", "my own"]);
        let hidden = "[document.querySelector('.exports').hidden, document.querySelector('.live [role=switch]').disabled, \
                      document.querySelectorAll('#verification').length]";
        assert_eq!(chromium.script(hidden).await, json!([true, true, 0]));
        look.is_clean("audit-developer").await;

        chromium.select("[name=actor]", &key.id).await;
        lists(chromium, 1, "my own").await;
        assert_eq!(shown_ids(chromium).await, desk.events_of(&key).await);
        chromium.shows("a[aria-label='Export CSV']").await;
    })
    .await;
}
