//! The Developer Portal: the life of an app, from its registration to its end.

use serde_json::{Value, json};
use statuspulse_policy::Role;
use statuspulse_testkit::eventually;

use crate::{
    browser::Key,
    checks::Check,
    client::{Client, basic, confidential, encoded, parameter, with},
    desk::{Desk, Look},
    http::{Ask, Reply},
    loopback::Site,
    words::{lacks, press},
};

/// A name that would be a program, were it ever read as markup.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

/// A form that a client sends, with its id and secret.
async fn exchange(desk: &Desk, path: &str, app: &Client, form: &[(&str, &str)]) -> Reply {
    Ask::new(desk.scene.world.server.address, "POST", path)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Authorization", &basic(&app.id, &app.secret))
        .body(encoded(form).as_bytes())
        .send()
        .await
}

/// Whether the token endpoint knows an app by this secret: then only the code is wrong.
async fn authenticates(desk: &Desk, id: &str, secret: &str) -> bool {
    let app = Client { app: String::new(), id: id.to_owned(), secret: secret.to_owned(), redirect: String::new() };
    let form = [("grant_type", "refresh_token"), ("refresh_token", "sp_rt_none")];
    let reply = exchange(desk, "/oauth/token", &app, &form).await;
    match reply.json()["error"].as_str() {
        Some("invalid_grant") => true,
        Some("invalid_client") => false,
        _ => panic!("{}: {}", reply.status, reply.text()),
    }
}

/// Reads the id and the secret that are shown once, and says that they are stored.
async fn store(desk: &Desk) -> (String, String) {
    desk.chromium.shows(".once + .once pre").await;
    let [id, secret] = <[String; 2]>::try_from(desk.texts(".once pre").await).unwrap();
    press(&desk.chromium, "dialog", "I have stored it").await;
    desk.chromium.vanishes("dialog").await;
    (id, secret)
}

/// A registered app with other fields than usual.
async fn app_with(desk: &Desk, fields: Value) -> Client {
    desk.scene.register(&with(confidential(), fields)).await
}

async fn read(desk: &Desk, app: &str) -> Value {
    desk.asks("GET", &format!("/v1/orgs/acme/apps/{app}"), &json!({})).await
}

fn of_look(look: &Look<'_>, name: &str) -> String {
    format!("{name} {} {}", look.scheme.word(), look.width)
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn an_app_is_registered_with_what_was_chosen_and_a_bad_address_is_told_at_its_row() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let name = of_look(look, HOSTILE);
        desk.sign_in().await;
        desk.open("/apps").await;
        chromium.press("#actions button").await;
        chromium.focuses("dialog [name=name]").await;
        chromium.fill("dialog [name=name]", &name).await;
        for scope in ["monitoring:read", "alerts:write"] {
            chromium.press(&format!("dialog [name=scopes][value='{scope}']")).await;
        }
        chromium.press("dialog [name=default_scopes][value='monitoring:read']").await;
        chromium.press("dialog [name=require_state]").await;
        let uris = ["https://app.example/cb", "http://app.example/cb", "https://app.example/other"];
        for (index, uri) in uris.iter().enumerate() {
            if index > 0 {
                press(chromium, "dialog", "Add another").await;
            }
            chromium.fill(&format!("dialog .uri:nth-child({}) input", index + 1), uri).await;
        }
        chromium.wait_text("dialog .uri:nth-child(2) .field-error", "Plain http is for 127.0.0.1 and [::1] only").await;
        press(chromium, "dialog", "Register").await;
        let row = "[data-field='redirect_uris[1]']";
        chromium.wait_text(&format!("{row} .field-error"), "A redirect uri is https").await;
        chromium.focuses(&format!("{row} input")).await;
        assert_eq!(desk.values("dialog [name=redirect_uri]").await, uris);
        let kept = "['scopes', 'require_state', 'require_pkce'].map((name) => document.querySelectorAll(`dialog [name=${name}]:checked`).length)";
        assert_eq!((chromium.script(kept).await, desk.values("dialog [name=name]").await), (json!([2, 0, 1]), vec![name.clone()]));
        look.is_clean_but_for("app-refused", &Check::default().status(422)).await;

        chromium.clear_and_fill(&format!("{row} input"), "https://app.example/two").await;
        press(chromium, "dialog", "Register").await;
        chromium.shows(".once pre").await;
        chromium.key(Key::Escape).await;
        chromium.key(Key::Escape).await;
        look.is_clean("app-secret").await;
        let (id, secret) = store(desk).await;
        assert!(authenticates(desk, &id, &secret).await && !authenticates(desk, &id, &secret.replace("sp_cs_", "sp_cs_0")).await);

        let page = chromium.arrives(&desk.url("/apps?app=")).await;
        chromium.wait_text("main", &name).await;
        let app = read(desk, &parameter(&page, "app").unwrap()).await;
        let chosen = ["name", "kind", "scopes", "default_scopes", "redirect_uris", "require_state", "require_pkce"].map(|field| &app[field]);
        let two = ["https://app.example/cb", "https://app.example/two", "https://app.example/other"];
        assert_eq!(
            json!(chosen),
            json!([name, "confidential", ["monitoring:read", "alerts:write"], ["monitoring:read"], two, false, true])
        );
        chromium.vanishes("main [aria-busy=true]").await;
        let leaks = format!("document.documentElement.outerHTML.includes({})", json!(secret));
        assert_eq!((chromium.script(&leaks).await, chromium.count("main img").await), (json!(false), 0));
        look.is_clean("app").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_public_app_has_no_secret_and_no_way_around_pkce() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let name = of_look(look, "Command line");
        desk.sign_in().await;
        desk.open("/apps").await;
        chromium.press("#actions button").await;
        chromium.fill("dialog [name=name]", &name).await;
        chromium.fill("dialog [name=redirect_uri]", "http://localhost/cb").await;
        chromium.key(Key::Tab).await;
        chromium.wait_text("dialog .uri .field-error", "Only public apps may use localhost").await;
        chromium.press("dialog [name=require_pkce]").await;
        chromium.press("dialog [name=kind][value=public]").await;
        let pkce =
            "(({ checked, disabled }) => [checked, disabled])(document.querySelector('dialog [name=require_pkce]'))";
        assert_eq!(chromium.script(pkce).await, json!([true, true]));
        assert_eq!(desk.texts("dialog .uri .field-error").await, [""]);
        chromium.press("dialog [name=scopes][value='monitoring:read']").await;
        look.is_clean("app-public").await;
        press(chromium, "dialog", "Register").await;
        press(chromium, "dialog", "Go on").await;
        let page = chromium.arrives(&desk.url("/apps?app=")).await;
        chromium.wait_text("main", &name).await;
        let app = read(desk, &parameter(&page, "app").unwrap()).await;
        assert_eq!(
            (&app["kind"], &app["require_pkce"], &app["require_state"]),
            (&json!("public"), &json!(true), &json!(true))
        );
        assert_eq!(
            chromium.count("main table[aria-label], main .rows").await,
            0,
            "a public app has no table of secrets"
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_second_secret_takes_over_and_the_true_reason_of_a_failure_is_told() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let app = app_with(desk, json!({"name": of_look(look, "Rotating")})).await;
        desk.sign_in().await;
        desk.open(&format!("/apps?app={}", app.app)).await;
        press(chromium, "main", "Add a secret").await;
        chromium.fill("dialog [name=label]", HOSTILE).await;
        chromium.select("dialog [name=overlap_seconds]", "3600").await;
        look.is_clean("app-add-secret").await;
        press(chromium, "dialog", "Add the secret").await;
        let (_, second) = store(desk).await;
        assert!(authenticates(desk, &app.id, &app.secret).await && authenticates(desk, &app.id, &second).await);

        let first = format!("Revoke Secret …{}", &app.secret[app.secret.len() - 4..]);
        press(chromium, "main", &first).await;
        chromium.wait_text("dialog", "It stops working at once").await;
        press(chromium, "dialog", "Revoke the secret").await;
        chromium.wait_text("main", "the only one").await;
        assert_eq!(chromium.count("main img").await, 0);
        assert!(lacks(chromium, "main", &first).await);
        eventually("the first has ended", async || !authenticates(desk, &app.id, &app.secret).await).await;
        assert!(authenticates(desk, &app.id, &second).await);

        // What the app is told is the same; its owner reads which it was.
        authenticates(desk, &app.id, &second.replace("sp_cs_", "sp_cs_0")).await;
        let reasons = ["secret_unknown", "secret_ended"];
        eventually("the reasons are on the page", async || {
            press(chromium, "main", "Look again").await;
            let told = chromium.text("main").await;
            reasons.iter().all(|reason| told.contains(reason))
        })
        .await;
        look.is_clean("app-failures").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn the_flow_is_tried_from_the_page_and_all_access_is_ended_there() {
    let desk = Desk::new().await;
    let site = Site::start().await;
    let redirect = site.put("127.0.0.1", "/cb", "<h1>Welcome back</h1>");
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let app = app_with(desk, json!({"name": of_look(look, "Tried"), "redirect_uris": [redirect]})).await;
        let page = format!("/apps?app={}", app.app);
        desk.sign_in().await;
        desk.open(&page).await;
        press(chromium, "main", "Try the flow").await;
        chromium.shows("dialog pre").await;
        look.is_clean("app-try").await;
        let link = "dialog a.button.strong";
        assert_eq!(chromium.attribute(link, "target").await.as_deref(), Some("_blank"));
        let address = chromium.attribute(link, "href").await.unwrap();
        let command = chromium.text("dialog pre").await;
        let verifier = command.split_once("code_verifier=").unwrap().1.trim().to_owned();
        chromium.open(&address).await;
        chromium.wait_text("h1", &of_look(look, "Tried")).await;
        chromium.press("button[value=allow]").await;
        let back = chromium.arrives(&app.redirect).await;
        assert_eq!(parameter(&back, "state"), parameter(&address, "state"));
        assert_eq!(parameter(&back, "iss"), Some(desk.scene.issuer()));
        let code = parameter(&back, "code").unwrap();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &app.redirect),
            ("code_verifier", &verifier),
        ];
        let tokens = exchange(desk, "/oauth/token", &app, &form).await.json();
        let token = tokens["access_token"].as_str().unwrap_or_else(|| panic!("{tokens}"));
        let active = async || {
            exchange(desk, "/oauth/introspect", &app, &[("token", token)]).await.json()["active"] == json!(true)
        };
        assert!(active().await);

        desk.open(&page).await;
        press(chromium, "main", "End all access of this app").await;
        press(chromium, "dialog", "End all access").await;
        chromium.wait_text("#notices", "1 access ended").await;
        eventually("the token is dead", async || !active().await).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn an_app_is_changed_suspended_resumed_and_deleted_by_its_name() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        let name = of_look(look, HOSTILE);
        let app = app_with(desk, json!({"name": of_look(look, "Before")})).await;
        desk.sign_in().await;
        desk.open(&format!("/apps?app={}", app.app)).await;
        press(chromium, "main", "Edit").await;
        chromium.clear_and_fill("dialog [name=name]", &name).await;
        chromium.press("dialog [name=require_pkce]").await;
        press(chromium, "dialog", "Save").await;
        chromium.wait_text("main h2", &name).await;
        let after = read(desk, &app.app).await;
        assert_eq!(
            (&after["name"], &after["require_pkce"], &after["require_state"]),
            (&json!(name), &json!(false), &json!(true))
        );

        press(chromium, "main", "Suspend").await;
        chromium.wait_text("dialog", "Nothing is issued any more").await;
        look.is_clean("app-suspend").await;
        press(chromium, "dialog", "Suspend").await;
        chromium.wait_text("main", "all of its tokens are refused").await;
        assert!(lacks(chromium, "main", "Try the flow").await);
        eventually("it is refused", async || !authenticates(desk, &app.id, &app.secret).await).await;
        look.is_clean("app-suspended").await;
        press(chromium, "main", "Resume").await;
        press(chromium, "dialog", "Resume").await;
        chromium.vanishes("main .note.warn").await;
        eventually("it is let in", async || authenticates(desk, &app.id, &app.secret).await).await;

        press(chromium, "main", "Delete the app").await;
        chromium.fill("dialog [name=typed]", "something else").await;
        assert_eq!(chromium.attribute("dialog [type=submit]", "disabled").await.as_deref(), Some(""));
        chromium.clear_and_fill("dialog [name=typed]", &name).await;
        look.is_clean("app-delete").await;
        press(chromium, "dialog", "Delete the app").await;
        eventually("the list is back", async || chromium.url().await == desk.url("/apps")).await;
        chromium.wait_text("main", "No app yet").await;
        let left = desk.asks("GET", "/v1/orgs/acme/apps", &json!({})).await;
        assert_eq!((left["items"].as_array().unwrap().len(), chromium.count("main img").await), (0, 0));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn the_list_is_narrowed_by_its_filters_which_the_address_keeps() {
    let desk = Desk::new().await;
    desk.apps(2, "https://app.example/cb").await;
    app_with(
        &desk,
        json!({"name": HOSTILE, "scopes": ["monitoring:read", "alerts:read", "alerts:write", "incidents:write"]}),
    )
    .await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in().await;
        desk.open("/apps").await;
        chromium.wait_text("main", HOSTILE).await;
        assert_eq!((chromium.count("main tbody tr").await, chromium.count("main img").await), (3, 0));
        look.is_clean("apps").await;
        chromium.fill("[name=q]", "app 2").await;
        eventually("one is left", async || desk.texts("tbody a.name").await == ["App 2"]).await;
        chromium.arrives(&desk.url("/apps?q=app+2")).await;
        chromium.open(&chromium.url().await).await;
        eventually("one is found again", async || desk.texts("tbody a.name").await == ["App 2"]).await;
        chromium.select("[name=status]", "suspended").await;
        chromium.wait_text("main", "No app fits").await;
        look.is_clean("apps-none").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn an_auditor_reads_apps_and_is_offered_no_change() {
    let desk = Desk::new().await;
    let auditor = desk.scene.world.app.person(&desk.scene.world.org, "auditor", Role::Auditor).await;
    let app = desk.apps(1, "https://app.example/cb").await.remove(0);
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.open(&format!("/apps?app={}", app.app)).await;
        desk.signs_in(&auditor).await;
        chromium.wait_text("main", "Nothing was refused").await;
        for words in ["Edit", "Suspend", "Add a secret", "Delete the app", "End all access of this app"] {
            assert!(lacks(chromium, "main", words).await, "{words}");
        }
        look.is_clean("app-of-an-auditor").await;
        press(chromium, "main", "All apps").await;
        chromium.wait_text("main", "App 1").await;
        assert_eq!(chromium.count("#actions button").await, 0);
    })
    .await;
}
