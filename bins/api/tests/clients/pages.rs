//! The pages that people see, in a real browser: sign-in, consent, and the ways out of them.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    browser::Chromium,
    client::{Client, authorize_path, parameter, with},
    loopback::{Site, Window},
    scene::{SCOPE, Scene, confidential, public},
};

/// The host of an app, another site than the service at `127.0.0.1`.
const ELSEWHERE: &str = "localhost";
const ALLOW: &str = "button[value=allow]";
const DENY: &str = "button[value=deny]";

/// Somebody at a browser, who comes from an app.
struct Visit {
    scene: Scene,
    /// The app's own pages.
    site: Site,
    app: Client,
    chromium: Chromium,
}

impl Visit {
    async fn of(app: Value) -> Self {
        Self::at(Scene::new().await, app).await
    }

    /// Of a service that runs already.
    async fn at(scene: Scene, app: Value) -> Self {
        let site = Site::start().await;
        let redirect = site.put("127.0.0.1", "/cb", "<h1>Welcome back</h1>");
        let app = scene.register(&with(app, json!({"redirect_uris": [redirect]}))).await;
        Self { scene, site, app, chromium: Chromium::start().await }
    }

    /// Where the app sends people.
    fn authorization(&self, scope: &str) -> String {
        self.scene.issuer() + &authorize_path(&self.app, &[("scope", scope)])
    }

    /// Follows the app's link.
    async fn comes_for(&self, scope: &str) {
        let link = format!("<a href=\"{}\">Connect</a>", self.authorization(scope).replace('&', "&amp;"));
        self.chromium.open(&self.site.put(ELSEWHERE, "/start", &link)).await;
        self.chromium.press("a").await;
    }

    async fn signs_in(&self) {
        self.signs_in_with(&self.scene.world.owner().password).await;
    }

    async fn signs_in_with(&self, password: &str) {
        self.chromium.shows("#email").await;
        // At a second try the address still stands there.
        if self.chromium.count("#problem").await == 0 {
            self.chromium.fill("#email", &self.scene.world.owner().email).await;
        }
        self.chromium.fill("#password", password).await;
        self.chromium.press("form[action='/login'] button").await;
    }

    async fn comes_for_and_signs_in(&self, scope: &str) {
        self.comes_for(scope).await;
        self.signs_in().await;
    }

    /// Waits until the browser is back at the app; answers with what.
    async fn is_back(&self) -> String {
        self.chromium.arrives(&self.app.redirect).await
    }

    /// What the code of an answer is worth.
    async fn redeems(&self, back: &str) -> Value {
        self.scene.redeems(&self.app, back).await
    }
}

/// spec: oauth E24
#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn an_app_gets_the_scopes_that_stayed_ticked() {
    let visit = Visit::of(confidential()).await;
    visit.comes_for_and_signs_in(&format!("{SCOPE} alerts:write")).await;
    visit.chromium.press("input[value='alerts:write']").await;
    visit.chromium.press(ALLOW).await;
    let tokens = visit.redeems(&visit.is_back().await).await;
    assert_eq!(tokens["scope"], json!(SCOPE), "{tokens}");
}

/// spec: oauth A12
#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn a_command_line_program_gets_a_token() {
    let visit = Visit::of(public()).await;
    visit.comes_for_and_signs_in(SCOPE).await;
    visit.chromium.press(ALLOW).await;
    let tokens = visit.redeems(&visit.is_back().await).await;
    assert_eq!(visit.scene.judged(&tokens).await, 200);
}

/// spec: oauth B21
#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn an_app_is_told_that_somebody_denied() {
    let visit = Visit::of(confidential()).await;
    visit.comes_for_and_signs_in(SCOPE).await;
    visit.chromium.press(DENY).await;
    assert_eq!(parameter(&visit.is_back().await, "error").as_deref(), Some("access_denied"));
}

/// Whoever leans on the keyboard gives nothing away.
#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn enter_denies() {
    let visit = Visit::of(confidential()).await;
    visit.comes_for_and_signs_in(SCOPE).await;
    visit.chromium.fill("input[name=scope]", "\u{e007}").await;
    assert_eq!(parameter(&visit.is_back().await, "error").as_deref(), Some("access_denied"));
}

/// Under `Referrer-Policy: no-referrer` a browser sends no origin with a form of our own page. It has to be let through
/// nevertheless, by what the browser says about the site.
///
/// spec: oauth D3, D5
#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn the_decision_comes_without_an_origin_and_is_accepted() {
    let window = Window::start().await;
    let visit = Visit::at(Scene::behind(&window).await, confidential()).await;
    visit.comes_for_and_signs_in(SCOPE).await;
    visit.chromium.press(ALLOW).await;
    let back = visit.is_back().await;
    let form = window.form("/oauth/authorize").unwrap();
    assert_eq!(
        (form.header("origin"), form.header("sec-fetch-site"), parameter(&back, "code").is_some()),
        (Some("null"), Some("same-origin"), true)
    );
}

/// spec: oauth B27
#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn the_app_is_not_told_the_address_of_the_consent_page() {
    let visit = Visit::of(confidential()).await;
    visit.comes_for_and_signs_in(SCOPE).await;
    visit.chromium.press(ALLOW).await;
    visit.is_back().await;
    assert_eq!(visit.site.visit("/cb").unwrap().header("referer"), None);
}

/// A browser holds all redirects behind a form to the policy of its page: that of sign-in has to let the app through too.
///
/// spec: oauth D13
#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn who_has_allowed_it_before_gets_from_sign_in_to_the_app() {
    let visit = Visit::of(confidential()).await;
    visit.comes_for_and_signs_in(SCOPE).await;
    visit.chromium.press(ALLOW).await;
    visit.is_back().await;
    visit.chromium.open(&format!("{}/login", visit.scene.issuer())).await;
    visit.chromium.press("form[action='/logout'] button").await;
    visit.chromium.shows("form[action='/login']").await;
    visit.comes_for_and_signs_in(SCOPE).await;
    assert!(parameter(&visit.is_back().await, "code").is_some());
}

/// spec: oauth A11, B8
#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn a_mistake_of_the_app_reaches_it_after_sign_in() {
    let visit = Visit::of(confidential()).await;
    visit.comes_for_and_signs_in("bogus").await;
    assert_eq!(parameter(&visit.is_back().await, "error").as_deref(), Some("invalid_scope"));
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn a_wrong_password_can_be_corrected_on_the_way_to_the_app() {
    let visit = Visit::of(confidential()).await;
    visit.comes_for(SCOPE).await;
    visit.signs_in_with("not the password").await;
    visit.chromium.shows("#problem").await;
    visit.signs_in().await;
    visit.chromium.press(ALLOW).await;
    assert!(parameter(&visit.is_back().await, "code").is_some());
}

/// Where a frame of another page shows a document, and how many forms are in it.
async fn framed(chromium: &Chromium, site: &Site, host: &str, url: &str) -> (String, usize) {
    let frame = format!("<iframe width=\"800\" height=\"600\" src=\"{}\"></iframe>", url.replace('&', "&amp;"));
    chromium.open(&site.put(host, "/attack", &frame)).await;
    chromium.enter_frame("iframe").await;
    let shown = chromium.script("location.href").await.as_str().unwrap().to_owned();
    (shown, chromium.count("form").await)
}

/// What a browser shows in place of a document that it refuses.
const REFUSED: &str = "chrome-error://chromewebdata/";

/// spec: oauth D1
#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn sign_in_is_not_shown_in_a_frame_of_another_site() {
    let visit = Visit::of(confidential()).await;
    let login = format!("{}/login", visit.scene.issuer());
    let seen = framed(&visit.chromium, &visit.site, ELSEWHERE, &login).await;
    assert_eq!(seen, (REFUSED.to_owned(), 0));
}

/// From another port of the same host, so that the browser sends the session's cookie along and there would be something
/// to see.
///
/// spec: oauth D1
#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn consent_is_not_shown_in_a_frame_of_another_origin() {
    let visit = Visit::of(confidential()).await;
    visit.comes_for_and_signs_in(SCOPE).await;
    visit.chromium.shows("fieldset").await;
    let seen = framed(&visit.chromium, &visit.site, "127.0.0.1", &visit.authorization(SCOPE)).await;
    assert_eq!(seen, (REFUSED.to_owned(), 0));
}

/// Otherwise the two tests before would show nothing.
#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn a_form_that_allows_it_is_seen_in_a_frame() {
    let visit = Visit::of(confidential()).await;
    let form = visit.site.put("127.0.0.1", "/form", "<form></form>");
    let seen = framed(&visit.chromium, &visit.site, ELSEWHERE, &form).await;
    assert_eq!(seen, (form, 1));
}

/// spec: oauth D2
#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn no_page_breaks_the_rules_that_it_brings_along() {
    let visit = Visit::of(confidential()).await;
    visit.comes_for_and_signs_in(SCOPE).await;
    visit.chromium.press(ALLOW).await;
    visit.is_back().await;
    let mut complaints = visit.chromium.complaints().await;
    complaints.retain(|text| !text.contains("/favicon.ico"));
    assert_eq!(complaints, <[String; 0]>::default());
}

/// Saves pictures of a page as a telephone and a desk see it, and answers by how many pixels it is too wide for each.
async fn pictures(chromium: &Chromium, page: &str) -> [i64; 2] {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients/pictures");
    fs::create_dir_all(&folder).unwrap();
    let mut too_wide = [0; 2];
    for (index, (width, height)) in [(360, 740), (1_280, 900)].into_iter().enumerate() {
        chromium.measure(width, height).await;
        let wide = chromium.script("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
        too_wide[index] = wide.as_i64().unwrap();
        let file = folder.join(format!("{page}-{width}x{height}.png"));
        fs::write(&file, chromium.screenshot().await).unwrap();
        println!("a picture of it: {}", file.display());
    }
    too_wide
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn sign_in_fits_a_telephone_and_a_desk() {
    let visit = Visit::of(confidential()).await;
    visit.comes_for(SCOPE).await;
    visit.chromium.shows("#email").await;
    assert_eq!(pictures(&visit.chromium, "sign-in").await, [0, 0]);
}

#[tokio::test]
#[ignore = "needs chromium and chromedriver"]
async fn consent_fits_a_telephone_and_a_desk() {
    let visit = Visit::of(confidential()).await;
    visit.comes_for_and_signs_in(&format!("{SCOPE} alerts:write")).await;
    visit.chromium.shows("fieldset").await;
    assert_eq!(pictures(&visit.chromium, "consent").await, [0, 0]);
}
