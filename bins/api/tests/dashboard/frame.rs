//! The frame of all pages: its menu, its navigation, sign-in, and what happens when the session or the network ends.

use std::{panic::AssertUnwindSafe, slice};

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use statuspulse_app::members::{self, NewMember};
use statuspulse_policy::Role;
use statuspulse_testkit::{Person, TestOrg, eventually};

use crate::{
    browser::Key,
    checks::{Check, FIRST_PAGE, assert_clean, loaded},
    desk::{Desk, Look},
    words::press,
};

/// All pages that have an address of their own.
const PAGES: [(&str, &str); 6] = [
    ("/", "Overview"),
    ("/keys", "API Credentials"),
    ("/security", "Security Controls"),
    ("/apps", "Developer Portal"),
    ("/audit", "Audit"),
    ("/alerts", "Alerts"),
];

const AVATAR: &str = ".avatar";
/// The menu while it is open.
const MENU: &str = "#menu:popover-open";
/// The dialog that asks to sign in, above another.
const AGAIN: &str = "dialog:last-of-type";

/// The names of an organization's apps.
async fn apps(desk: &Desk, org: &str) -> Vec<Value> {
    let list = desk.asks("GET", &format!("/v1/orgs/{org}/apps"), &json!({})).await;
    list["items"].as_array().unwrap().iter().map(|app| app["name"].clone()).collect()
}

/// Opens the form of an app and fills it in.
async fn begin_an_app(desk: &Desk, name: &str) {
    desk.open("/apps").await;
    desk.chromium.press("#actions button").await;
    desk.chromium.fill("dialog [name=name]", name).await;
    desk.chromium.fill("dialog [name=redirect_uri]", "https://app.example/cb").await;
    desk.chromium.press("dialog [name=scopes][value='monitoring:read']").await;
}

async fn signs_in_again(desk: &Desk, email: &str, password: &str) {
    desk.chromium.clear_and_fill(&format!("{AGAIN} [name=email]"), email).await;
    desk.chromium.clear_and_fill(&format!("{AGAIN} [name=password]"), password).await;
    press(&desk.chromium, AGAIN, "Sign in").await;
}

fn of_look(look: &Look<'_>, name: &str) -> String {
    format!("{name} {} {}", look.scheme.word(), look.width)
}

/// One more organization of the same owner.
async fn second_organization(desk: &Desk, owner: &Person) -> TestOrg {
    let app = &desk.scene.world.app;
    let org = app.organization("globex").await;
    let member = NewMember { email: owner.email.clone(), name: None, role: Role::Owner.to_string(), password: None };
    members::add(app, &app.operator(), &org.access, member).await.unwrap();
    org
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn the_menu_at_the_avatar_opens_by_mouse_and_by_keyboard_and_closes_by_escape() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in().await;
        desk.open("/apps").await;
        chromium.wait_text("main", "No app yet").await;
        chromium.press(AVATAR).await;
        chromium.shows(MENU).await;
        let email = &desk.scene.world.owner().email;
        chromium.wait_text(MENU, email).await;
        let links = desk.texts(&format!("{MENU} a")).await;
        assert_eq!(
            links,
            ["API Credentials", "Developer Portal", "Integrations", "Security Controls", "Authorized apps"]
        );
        assert_eq!(desk.texts("#menu-settings + ul a").await[0], "Integrations");
        look.is_clean("menu").await;
        chromium.key(Key::Escape).await;
        chromium.vanishes(MENU).await;
        chromium.focuses(AVATAR).await;

        chromium.key(Key::Enter).await;
        chromium.shows(MENU).await;
        chromium.key(Key::Tab).await;
        chromium.focuses(&format!("{MENU} li:first-child a")).await;
        chromium.key(Key::Enter).await;
        chromium.arrives(&desk.url("/keys")).await;
        chromium.press(AVATAR).await;
        press(chromium, MENU, "Security Controls").await;
        chromium.arrives(&desk.url("/security")).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn the_skip_link_is_the_first_stop_and_leads_past_the_frame() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in().await;
        desk.open("/apps").await;
        chromium.wait_text("main", "No app yet").await;
        chromium.key(Key::Tab).await;
        chromium.focuses(".skip").await;
        look.is_clean("skip").await;
        chromium.key(Key::Enter).await;
        chromium.focuses("#main").await;
        chromium.key(Key::Tab).await;
        chromium.focuses("#actions button").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn sign_in_leads_back_to_the_page_with_its_filters_and_sign_out_to_sign_in() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let page = "/audit?action=key.&outcome=denied";
        desk.open(page).await;
        desk.signs_in(desk.scene.world.owner()).await;
        chromium.arrives(&desk.url(page)).await;
        chromium.shows("[name=outcome]").await;
        assert_eq!(desk.values("[name=action], [name=outcome]").await, ["key.", "denied"]);
        let cookies = chromium.cookies().await;
        assert!(cookies.iter().any(|name| name == "statuspulse_session"), "{cookies:?}");
        chromium.press(AVATAR).await;
        press(chromium, MENU, "Sign out").await;
        chromium.shows("form[action='/login']").await;
        desk.open("/apps").await;
        chromium.shows("form[action='/login']").await;
        look.is_clean("signed-out").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_session_that_ends_amid_a_change_is_asked_for_and_the_change_goes_on_once() {
    let desk = Desk::new().await;
    let owner = desk.scene.world.owner().clone();
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let name = of_look(look, "Kept");
        desk.sign_in().await;
        begin_an_app(desk, &name).await;
        desk.session_ends().await;
        press(chromium, "dialog", "Register").await;
        chromium.wait_text(AGAIN, "Your session has ended").await;
        chromium.focuses(&format!("{AGAIN} [name=password]")).await;
        chromium.key(Key::Escape).await;
        chromium.key(Key::Escape).await;
        assert_eq!(desk.values(&format!("{AGAIN} [name=email]")).await, slice::from_ref(&owner.email));
        look.is_clean_but_for("sign-in-again", &Check::default().status(401)).await;
        signs_in_again(desk, &owner.email, "not the password").await;
        chromium.shows(&format!("{AGAIN} .problem:not([hidden])")).await;
        look.is_clean_but_for("sign-in-again-refused", &Check::default().status(401)).await;
        assert!(!apps(desk, "acme").await.contains(&json!(name)));

        signs_in_again(desk, &owner.email, &owner.password).await;
        press(chromium, "dialog", "I have stored it").await;
        chromium.arrives(&desk.url("/apps?app=")).await;
        let made = apps(desk, "acme").await;
        assert_eq!(made.iter().filter(|one| **one == json!(name)).count(), 1, "{made:?}");
        // Its token against forgery is that of the new session.
        press(chromium, "main", "Suspend").await;
        press(chromium, "dialog", "Suspend").await;
        chromium.wait_text("main", "all of its tokens are refused").await;
        assert_clean(chromium, "after the sign-in").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn another_person_who_signs_in_there_gets_the_page_anew_and_nothing_goes_on_in_their_name() {
    let desk = Desk::new().await;
    let world = &desk.scene.world;
    let other = world.app.person(&world.org, "admin", Role::Admin).await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in().await;
        begin_an_app(desk, "Somebody else's").await;
        desk.session_ends().await;
        press(chromium, "dialog", "Register").await;
        chromium.shows(&format!("{AGAIN} [name=password]")).await;
        signs_in_again(desk, &other.email, &other.password).await;
        chromium.shows(&format!("body[data-email='{}']", other.email)).await;
        chromium.wait_text("main", "No app yet").await;
        assert_eq!((chromium.count("dialog").await, apps(desk, "acme").await.len()), (0, 0));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn without_a_network_the_input_is_kept_and_the_change_is_made_once_when_it_is_back() {
    let desk = Desk::new().await;
    let owner = desk.scene.world.owner().clone();
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let name = of_look(look, "Offline");
        desk.sign_in().await;
        begin_an_app(desk, &name).await;
        chromium.offline(true).await;
        press(chromium, "dialog", "Register").await;
        let told = "The server can't be reached. What you have entered is still here";
        chromium.wait_text("dialog .problem", told).await;
        look.is_clean_but_for("offline", &Check::default().offline()).await;
        assert_eq!(
            desk.values("dialog [name=name], dialog [name=redirect_uri]").await,
            [&*name, "https://app.example/cb"]
        );
        chromium.offline(false).await;
        // Also while somebody signs in again.
        desk.session_ends().await;
        press(chromium, "dialog", "Register").await;
        chromium.shows(&format!("{AGAIN} [name=password]")).await;
        chromium.offline(true).await;
        signs_in_again(desk, &owner.email, &owner.password).await;
        chromium.wait_text(&format!("{AGAIN} .problem"), told).await;
        chromium.offline(false).await;
        press(chromium, AGAIN, "Sign in").await;
        press(chromium, "dialog", "I have stored it").await;
        chromium.arrives(&desk.url("/apps?app=")).await;
        let made = apps(desk, "acme").await;
        assert_eq!(made.iter().filter(|one| **one == json!(name)).count(), 1, "{made:?}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn what_takes_longer_than_a_second_says_that_it_goes_on() {
    let desk = Desk::new().await;
    desk.key(&json!({"name": "ci"})).await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        desk.sign_in().await;
        desk.open("/keys").await;
        chromium.wait_text("tbody", "ci").await;
        chromium.shows(".filters").await;
        chromium.slow(4_000).await;
        chromium.fill("[name=q]", "c").await;
        let shown = "((style) => style && [style.content, style.visibility, style.opacity])(getComputedStyle(document.querySelector('.list[aria-busy]') ?? document.body, '::after'))";
        eventually("the list says that it is loading", async || {
            chromium.script(shown).await == json!(["\"Loading…\"", "visible", "1"])
        })
        .await;
        chromium.vanishes(".list[aria-busy]").await;
        press(chromium, "tbody", "Actions for ci").await;
        press(chromium, ".menu.at", "Switch Auto-Rotate on").await;
        press(chromium, "dialog", "Switch on").await;
        chromium.shows("dialog .button.slow").await;
        // Nothing leaves the dialog: what was asked for happens anyway.
        chromium.key(Key::Escape).await;
        chromium.shows("dialog[open]").await;
        chromium.slow(0).await;
        chromium.vanishes("dialog").await;
        let key = desk.asks("GET", "/v1/orgs/acme/keys", &json!({})).await["items"][0].take();
        assert_eq!(key["auto_rotate"], json!(true));
        desk.asks("PATCH", &format!("/v1/orgs/acme/keys/{}", key["id"].as_str().unwrap()), &json!({"auto_rotate": false})).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_person_of_two_organizations_switches_between_them_and_stays_there() {
    let desk = Desk::new().await;
    let owner = desk.scene.world.owner().clone();
    desk.apps(1, "https://app.example/cb").await;
    second_organization(&desk, &owner).await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in().await;
        desk.open("/apps?org=acme").await;
        chromium.wait_text("main", "App 1").await;
        chromium.press(AVATAR).await;
        look.is_clean("menu-of-two").await;
        press(chromium, MENU, "The globex company").await;
        chromium.arrives(&desk.url("/apps?org=globex")).await;
        chromium.wait_text("header.top", "The globex company").await;
        chromium.wait_text("main", "No app yet").await;
        // Each way on names it.
        let leaving =
            desk.texts("nav.sections a:not([href$='org=globex']), main a[href^='/']:not([href*='org=globex'])").await;
        assert_eq!(leaving, Vec::<String>::new());
        chromium.press("nav.sections a[href^='/alerts']").await;
        chromium.arrives(&desk.url("/alerts?org=globex")).await;
        chromium.wait_text("header.top", "The globex company").await;
        // A stranger's is none of theirs.
        desk.open("/apps?org=initech").await;
        look.is_clean_but_for("foreign-organization", &Check::default().status(404)).await;
        assert_eq!(chromium.count("#content").await, 0);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn the_first_load_of_a_page_is_light() {
    let desk = Desk::new().await;
    desk.sign_in().await;
    for (page, done) in [("/", "No change yet"), ("/keys", "key"), ("/apps", "No app yet")] {
        desk.open(page).await;
        desk.chromium.wait_text("main", done).await;
        desk.chromium.vanishes("main [aria-busy=true]").await;
        let load = loaded(&desk.chromium).await;
        assert!((1..=FIRST_PAGE).contains(&load.bytes), "{page}: {} bytes: {:#?}", load.bytes, load.answers);
    }
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn every_page_is_clean_while_there_is_nothing() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in().await;
        let mut failed = Vec::new();
        for (path, title) in PAGES {
            desk.open(path).await;
            chromium.wait_text("h1", title).await;
            chromium.shows(&format!("nav.sections a[href='{path}'][aria-current=page]")).await;
            chromium.shows("#content > *").await;
            chromium.vanishes("main [aria-busy=true]").await;
            let page = format!("empty-{}", title.to_lowercase().replace(' ', "-"));
            // All pages at once: one that isn't clean says nothing about the others.
            if let Err(cause) = AssertUnwindSafe(look.is_clean(&page)).catch_unwind().await {
                failed.push(cause.downcast_ref::<String>().cloned().unwrap_or_default());
            }
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn the_page_of_a_key_is_clean_before_its_first_use() {
    let desk = Desk::new().await;
    let key = desk.key(&json!({"name": "<img src=x onerror=alert(1)>"})).await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in().await;
        desk.open(&format!("/keys/{}", key.id)).await;
        chromium.wait_text("main", "<img src=x onerror=alert(1)>").await;
        chromium.vanishes("main [aria-busy=true]").await;
        assert_eq!(chromium.count("main img").await, 0);
        look.is_clean("empty-key").await;
    })
    .await;
}
