//! Who belongs to the organization, where one is signed in, and what each role is shown.

use serde_json::json;
use statuspulse_policy::Role;
use statuspulse_testkit::eventually;

use super::{HERE, KEYS, MEMBERS, OFFICE, PAGE, SETTINGS, SUBMIT};
use crate::{
    browser::{Key, Scheme},
    checks::Check,
    desk::Desk,
    words::press,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn a_member_is_added_with_a_password_changes_role_and_goes() {
    let desk = Desk::new().await;
    desk.chromium.allow_clipboard(&desk.scene.issuer()).await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let email = format!("ada-{}@example.test", look.tag());
        let role = async || {
            let members = desk.read(MEMBERS).await["items"].clone();
            let found = members.as_array().unwrap().iter().find(|member| member["email"] == email.as_str());
            found.map(|member| member["role"].as_str().unwrap().to_owned())
        };
        desk.security().await;
        desk.at("members").await;
        chromium.press("#members .panel-head button").await;
        chromium.focuses("dialog [name=email]").await;
        chromium.fill("dialog [name=email]", &email).await;
        chromium.fill("dialog [name=name]", "<img src=x onerror=alert(1)>").await;
        chromium.select("dialog [name=role]", "developer").await;
        look.is_clean("security-member").await;
        chromium.press(SUBMIT).await;
        let password = chromium.text("dialog pre").await;
        look.is_clean("security-member-password").await;
        // It is shown once: nothing closes it by mistake.
        chromium.key(Key::Escape).await;
        chromium.press("dialog .actions button").await;
        eventually("the password is copied", async || chromium.clipboard().await == password).await;
        chromium.press("dialog .actions .strong").await;
        chromium.vanishes("dialog").await;
        chromium.wait_text("#members", "<img src=x onerror=alert(1)>").await;
        assert_eq!(chromium.count("#members img").await, 0, "a name is markup");
        assert!(!chromium.text("body").await.contains(&password), "the password is still there");
        let ada = desk.scene.world.server.sign_in(&email, &password).await;
        let reads = async |path: &str| desk.scene.world.server.as_(&ada, "GET", path, &json!({})).await.status;
        assert_eq!((role().await.as_deref(), reads(SETTINGS).await), (Some("developer"), 403));

        let change = format!("button[aria-label='Change role: {email}']");
        chromium.press(&change).await;
        chromium.select("dialog [name=role]", "auditor").await;
        look.is_clean("security-member-role").await;
        chromium.press(SUBMIT).await;
        chromium.vanishes("dialog").await;
        assert_eq!((role().await.as_deref(), reads(SETTINGS).await), (Some("auditor"), 200));
        chromium.focuses(&change).await;

        chromium.press(&format!("button[aria-label='Remove: {email}']")).await;
        chromium.shows("dialog .danger").await;
        look.is_clean("security-member-remove").await;
        chromium.press("dialog .danger").await;
        chromium.vanishes(&change).await;
        assert_eq!((role().await, reads(KEYS).await), (None, 404));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn the_last_owner_can_neither_step_down_nor_leave() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let email = &desk.scene.world.owner().email;
        desk.security().await;
        desk.at("members").await;
        chromium.press(&format!("button[aria-label='Change role: {email}']")).await;
        chromium.select("dialog [name=role]", "admin").await;
        chromium.press(SUBMIT).await;
        chromium.wait_text("dialog .problem", "last owner of the organization").await;
        look.is_clean_but_for("security-last-owner", &Check::default().status(409)).await;
        chromium.key(Key::Escape).await;
        chromium.vanishes("dialog").await;
        chromium.press(&format!("button[aria-label='Remove: {email}']")).await;
        assert!(chromium.attribute(SUBMIT, "disabled").await.is_some(), "the address has to be typed");
        chromium.fill("dialog [name=typed]", email).await;
        chromium.press(SUBMIT).await;
        chromium.wait_text("dialog .problem", "last owner of the organization").await;
        let members = desk.read(MEMBERS).await;
        assert_eq!(members["items"][0]["role"], "owner", "{members}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn sessions_elsewhere_are_seen_and_ended() {
    let desk = Desk::new().await;
    let (server, owner) = (&desk.scene.world.server, desk.scene.world.owner());
    let signs_in = async |agent: &str| {
        let body = json!({"email": owner.email, "password": owner.password});
        let reply = server.ask("POST", "/v1/session").header("User-Agent", agent).json(&body).send().await;
        reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    };
    let lives =
        async |cookie: &String| server.ask("GET", "/v1/session").header("Cookie", cookie).send().await.status == 200;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let first = signs_in("Mozilla/5.0 (X11; Linux x86_64; <img src=x onerror=alert(1)>) Firefox/128.0").await;
        let second = signs_in("curl/8.9.1").await;
        desk.security().await;
        desk.at("sessions").await;
        let end = "button[aria-label='End the session of Firefox on Linux from 127.0.0.1']";
        chromium.press(&format!("#sessions tr:has({end}) summary")).await;
        chromium.wait_text(&format!("#sessions tr:has({end}) details"), "<img src=x").await;
        assert_eq!(chromium.count("#sessions img").await, 0, "the name of a browser is markup");
        chromium.press(end).await;
        chromium.shows("dialog .danger").await;
        look.is_clean("security-session").await;
        chromium.press("dialog .danger").await;
        chromium.vanishes(end).await;
        assert_eq!([lives(&first).await, lives(&second).await], [false, true]);

        chromium.shows("button[aria-label='End the session of curl from 127.0.0.1']").await;
        chromium.press("#sessions .panel-head button").await;
        chromium.press("dialog .danger").await;
        chromium.vanishes("dialog").await;
        chromium.vanishes("#sessions td button").await;
        assert!(!lives(&second).await);
        // This one goes on.
        desk.open(PAGE).await;
        desk.at("sessions").await;
        assert_eq!(chromium.count("#sessions tbody tr").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn the_own_password_is_changed_and_who_is_signed_in_elsewhere_is_out() {
    let desk = Desk::new().await;
    let (world, server) = (&desk.scene.world, &desk.scene.world.server);
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let person = world.app.person(&world.org, &format!("ada-{}", look.tag()), Role::Developer).await;
        let elsewhere = server.sign_in(&person.email, &person.password).await;
        let new = "a new password of some length";
        desk.security_of(&person).await;
        desk.at("sessions").await;
        press(chromium, "#sessions", "Change your password").await;
        chromium.focuses("dialog [name=current_password]").await;
        chromium.fill("dialog [name=current_password]", "a wrong password").await;
        chromium.fill("dialog [name=new_password]", new).await;
        chromium.fill("dialog [name=again]", "a new password of som lenght").await;
        chromium.press(SUBMIT).await;
        chromium.wait_text("dialog [data-field=again] .field-error", "not the same").await;
        chromium.focuses("dialog [name=again]").await;
        look.is_clean("security-password").await;
        chromium.clear_and_fill("dialog [name=again]", new).await;
        chromium.press(SUBMIT).await;
        chromium.wait_text("dialog [data-field=current_password] .field-error", "not your password").await;
        look.is_clean_but_for("security-password-refused", &Check::default().status(422)).await;
        chromium.clear_and_fill("dialog [name=current_password]", &person.password).await;
        chromium.press(SUBMIT).await;
        chromium.vanishes("dialog").await;
        chromium.wait_text("#notices", "Your password is changed, and 1 other session has ended.").await;
        assert_eq!(server.as_(&elsewhere, "GET", "/v1/session", &json!({})).await.status, 401);
        server.sign_in(&person.email, new).await;
        // This one goes on, and so does the page.
        chromium.press(".avatar").await;
        press(chromium, "#menu", "Sign out").await;
        chromium.arrives(&desk.url("/login")).await;
        chromium.shows("#password").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn an_auditor_sees_all_and_is_offered_nothing_that_is_refused() {
    let desk = Desk::new().await;
    let world = &desk.scene.world;
    let auditor = world.app.person(&world.org, "vera", Role::Auditor).await;
    desk.key(&json!({"allowed_cidrs": [OFFICE]})).await;
    desk.asks("PATCH", SETTINGS, &json!({"allowed_cidrs": [OFFICE, HERE]})).await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.security_of(&auditor).await;
        desk.all_sections().await;
        chromium.wait_text("#organization-list", OFFICE).await;
        chromium.wait_text("#key-lists table", OFFICE).await;
        chromium.wait_text("#lifespans", "90 days").await;
        chromium.wait_text("#members", "owner@acme.test").await;
        look.is_clean("security-auditor").await;
        let offered = chromium
            .script(
                "[...document.querySelectorAll('#actions button, main section:not(#sessions) button')]\
            .filter((button) => button.checkVisibility()).map((button) => button.textContent)",
            )
            .await;
        assert_eq!(offered, json!([]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn a_developer_is_told_who_sees_the_rest() {
    let desk = Desk::new().await;
    let world = &desk.scene.world;
    let developer = world.app.person(&world.org, "dan", Role::Developer).await;
    let key = desk.key(&json!({"allowed_cidrs": [HERE]})).await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.security_of(&developer).await;
        desk.all_sections().await;
        chromium.wait_text("#organization-list", "Owners, admins and auditors see this list.").await;
        chromium.wait_text("#lifespans", "Owners, admins and auditors see these settings.").await;
        look.is_clean("security-developer").await;
        assert_eq!(chromium.count(":is(#lifespans, #members, #alert-rules) button:not([hidden])").await, 0);
        let range = if look.width == 360 { "203.0.113.0/25" } else { OFFICE };
        chromium.press("#key-lists td button").await;
        chromium.wait_text("dialog .chosen", "1 key chosen").await;
        chromium.fill("dialog [name=add]", range).await;
        chromium.press(SUBMIT).await;
        chromium.press("dialog .actions .strong:enabled").await;
        chromium
            .wait_text("dialog", if look.scheme == Scheme::Light { "1 key changed" } else { "0 keys changed" })
            .await;
        let list = desk.shown(&key).await["allowed_cidrs"].clone();
        assert!(list.as_array().unwrap().contains(&json!(range)), "{list}");
    })
    .await;
}
