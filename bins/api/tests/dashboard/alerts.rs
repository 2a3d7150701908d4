//! Alerts, `/alerts`: what is open first, with what was seen, and the steps of those who look after it.

use serde_json::{Value, json};
use statuspulse_policy::Role;
use statuspulse_testkit::eventually;

use crate::{
    browser::Key,
    checks::Check,
    desk::{Desk, Look, Seeded},
    server::CHECKS,
    words::press,
};

/// A name that would be more than text if a page let it.
const HOSTILE: &str = "<b id=planted>ci</b>\u{202e}";
/// How it is shown.
const SHOWN: &str = "<b id=planted>ci</b>\\u{202e}";
/// Where a step says what it came to.
const DONE: &str = "dialog [role=status]";
const NOTE: &str = "dialog [name=note]";
/// A rule's title.
const TITLE: &str = "Calls outside of the declared scope";

impl Desk {
    /// The only alert about a key.
    async fn alert_about(&self, key: &Seeded) -> Value {
        let list = self.asks("GET", &format!("/v1/orgs/acme/alerts?subject={}", key.id), &json!({})).await;
        let items = list["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{list}");
        items[0].clone()
    }

    /// The same alone: a key of this name that was used outside of its scopes.
    async fn suspect(&self, name: &str) -> (Seeded, String) {
        let key = self.key(&json!({"name": name})).await;
        let judged = self.scene.world.server.ask("POST", CHECKS).key(&key.token).send().await;
        assert_eq!(judged.status, 403, "{}", judged.text());
        let path = format!("/v1/orgs/acme/alerts?subject={}", key.id);
        eventually("the alert is open", async || self.asks("GET", &path, &json!({})).await["items"][0].is_object())
            .await;
        let id = self.alert_about(&key).await["id"].as_str().unwrap().to_owned();
        (key, id)
    }
}

fn row(list: &str, alert: &str) -> String {
    format!("#{list} a.row-link[data-alert=\"{alert}\"]")
}

fn named(look: &Look<'_>, name: &str) -> String {
    format!("{name} {}-{}", look.scheme.word(), look.width)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn a_quiet_organization_is_told_so_and_where_alerts_can_be_sent() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in().await;
        desk.open("/alerts").await;
        chromium.wait_text("#open", "Nothing is open").await;
        chromium.wait_text("#resolved", "Nothing was resolved yet").await;
        chromium.wait_text("main .note", "Nobody is told of alerts yet").await;
        let leads = chromium.attribute("main .note a", "href").await;
        assert_eq!(leads.as_deref(), Some("/security#webhooks"));
        look.is_clean("alerts-empty").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn an_open_alert_stands_first_and_tells_what_was_seen() {
    let desk = Desk::new().await;
    desk.alerts(2).await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let (key, id) = desk.suspect(&named(look, HOSTILE)).await;
        desk.sign_in().await;
        desk.open("/alerts").await;
        chromium.wait_text("#open", SHOWN).await;
        // The newest is the first of the list.
        let first = chromium.text("#open tbody tr").await;
        for part in [TITLE, "medium", "open", &named(look, SHOWN)] {
            assert!(first.contains(part), "`{part}` is not in {first}");
        }
        assert_eq!(chromium.count("#planted").await, 0, "a name is text");
        look.is_clean("alerts").await;

        chromium.press(&row("open", &id)).await;
        chromium.wait_text("dialog h2", TITLE).await;
        for part in [
            "What to do:",
            "Opened",
            SHOWN,
            "CC6",
            "Happenings",
            "First seen",
            CHECKS.trim_start_matches("/v1/forward-auth"),
        ] {
            chromium.wait_text("dialog", part).await;
        }
        assert_eq!(chromium.count("dialog .timeline svg circle").await, 1, "one moment: it was opened");
        assert!(chromium.url().await.contains(&format!("alert={id}")));
        look.is_clean("alert").await;

        chromium.key(Key::Escape).await;
        chromium.vanishes("dialog").await;
        chromium.focuses(&row("open", &id)).await;
        assert!(!chromium.url().await.contains("alert="));

        // The address opens it too, and its link leads to what was refused.
        desk.open(&format!("/alerts?alert={id}")).await;
        chromium.wait_text("dialog", "See the events around it").await;
        chromium.press("dialog a[href*='/audit?actor=']").await;
        chromium.arrives(&desk.url("/audit?")).await;
        chromium.wait_text("table.events", "insufficient_scope").await;
        let asked =
            "[...new URLSearchParams(location.search)].filter(([, value]) => value).map(([name]) => name).sort()";
        assert_eq!(chromium.script(asked).await, json!(["actor", "from", "to"]));
        assert!(chromium.url().await.contains(&key.id));
        assert_eq!(chromium.count("table.events tbody tr").await, 1, "the one call that was refused");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn an_alert_is_taken_and_then_resolved_with_a_note() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let (key, id) = desk.suspect(&named(look, "suspect")).await;
        desk.sign_in().await;
        desk.open("/alerts").await;
        chromium.press(&row("open", &id)).await;
        press(chromium, "dialog", "Acknowledge").await;
        chromium.wait_text(DONE, "Acknowledged").await;
        let owner = json!(desk.scene.world.owner().email);
        let taken = desk.alert_about(&key).await;
        assert_eq!((&taken["status"], &taken["acknowledged_by"]["email"]), (&json!("acknowledged"), &owner));
        chromium.wait_text("dialog .history", "Acknowledged by").await;

        // No note, blanks, a secret: told at the field, and nothing is lost.
        chromium.fill(NOTE, "  ").await;
        press(chromium, "dialog", "Resolve").await;
        chromium.wait_text("dialog [data-field=note] .field-error", " ").await;
        chromium.focuses(NOTE).await;
        let note = format!("It was the key {}", key.token);
        chromium.clear_and_fill(NOTE, &note).await;
        press(chromium, "dialog", "Resolve").await;
        chromium.wait_text("dialog [data-field=note] .field-error", "hint or ID").await;
        let kept = "document.querySelector('dialog [name=note]').value";
        assert_eq!(chromium.script(kept).await, json!(note));
        assert_eq!(desk.alert_about(&key).await["status"], "acknowledged");
        look.is_clean_but_for("alert-note-refused", &Check::default().status(422)).await;

        // By keyboard.
        chromium.clear_and_fill(NOTE, "The build asked for <i>too much</i>.").await;
        chromium.key(Key::Tab).await;
        chromium.key(Key::Enter).await;
        chromium.wait_text(DONE, "Resolved").await;
        chromium.wait_text("dialog .history", "<i>too much</i>").await;
        assert_eq!(chromium.count(NOTE).await, 0, "nothing is left to be done");
        look.is_clean("alert-resolved").await;
        chromium.key(Key::Escape).await;
        chromium.shows(&row("resolved", &id)).await;
        chromium.vanishes(&row("open", &id)).await;
        chromium.vanishes(&row("acknowledged", &id)).await;
        chromium.focuses(&row("resolved", &id)).await;
        let closed = desk.alert_about(&key).await;
        assert_eq!(
            (&closed["status"], &closed["resolution"]["note"], &closed["resolution"]["by"]["email"]),
            (&json!("resolved"), &json!("The build asked for <i>too much</i>."), &owner)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and chromedriver"]
async fn somebody_else_takes_over_what_was_acknowledged() {
    let desk = Desk::new().await;
    let (key, id) = desk.suspect("suspect").await;
    desk.asks("POST", &format!("/v1/orgs/acme/alerts/{id}/acknowledge"), &json!({})).await;
    let world = &desk.scene.world;
    let admin = world.app.person(&world.org, "admin", Role::Admin).await;
    desk.sign_in_as(&admin).await;
    desk.open("/alerts").await;
    desk.chromium.press(&row("acknowledged", &id)).await;
    press(&desk.chromium, "dialog", "Take over").await;
    desk.chromium.wait_text(DONE, "the alert is yours").await;
    assert_eq!(desk.alert_about(&key).await["acknowledged_by"]["email"], json!(admin.email));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn an_auditor_reads_alerts_and_is_offered_no_step() {
    let desk = Desk::new().await;
    let (_, id) = desk.suspect("suspect").await;
    let world = &desk.scene.world;
    let auditor = world.app.person(&world.org, "auditor", Role::Auditor).await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in_as(&auditor).await;
        desk.open("/alerts").await;
        chromium.press(&row("open", &id)).await;
        chromium.wait_text("dialog", "Owners and admins acknowledge and resolve alerts.").await;
        chromium.wait_text("dialog", "Happenings").await;
        let offered =
            "[...document.querySelectorAll('dialog button, dialog form')].map((it) => it.ariaLabel ?? it.innerText)";
        assert_eq!(chromium.script(offered).await, json!(["Close", "Copy alert ID"]));
        look.is_clean("alert-auditor").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and chromedriver"]
async fn a_view_of_alerts_is_kept_in_its_address() {
    let desk = Desk::new().await;
    let (_, open) = desk.suspect("open").await;
    let (_, taken) = desk.suspect("taken").await;
    desk.asks("POST", &format!("/v1/orgs/acme/alerts/{taken}/acknowledge"), &json!({})).await;
    desk.sign_in().await;
    desk.open("/alerts").await;
    desk.chromium.shows(&row("open", &open)).await;
    desk.chromium.shows(&row("acknowledged", &taken)).await;
    desk.chromium.select("[name=status]", "acknowledged").await;
    let hidden = "['open', 'acknowledged', 'resolved'].map((id) => document.getElementById(id)?.hidden)";
    eventually("only one list is shown", async || desk.chromium.script(hidden).await == json!([true, false, true]))
        .await;
    desk.chromium.script("location.reload()").await;
    desk.chromium.shows(&row("acknowledged", &taken)).await;
    assert_eq!(desk.chromium.script(hidden).await, json!([true, false, true]));
    desk.chromium.select("[name=severity]", "critical").await;
    desk.chromium.wait_text("#acknowledged", "No acknowledged alert matches").await;
    assert!(desk.chromium.url().await.contains("status=acknowledged&severity=critical"));
}
