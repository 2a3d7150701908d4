//! The pages that there are without the dashboard.

use serde_json::json;

use crate::{
    checks::{Check, FIRST_PAGE, loaded},
    client::authorize_path,
    desk::Desk,
    loopback::Site,
    words::press,
};

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn sign_in_is_clean_in_every_look() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        look.desk.open("/login").await;
        look.desk.chromium.shows("#email").await;
        look.is_clean("login").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_refused_sign_in_is_clean_in_every_look() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        look.desk.open("/login").await;
        chromium.fill("#email", "nobody@example.com").await;
        chromium.fill("#password", "not the password").await;
        chromium.press("form[action='/login'] button").await;
        chromium.shows("#problem").await;
        look.is_clean_but_for("login-refused", &Check::default().status(401)).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn authorized_apps_are_clean_in_every_look() {
    let desk = Desk::new().await;
    let site = Site::start().await;
    let back = site.put("127.0.0.1", "/cb", "<h1>Welcome back</h1>");
    let app = desk.apps(1, &back).await.remove(0);
    desk.sign_in().await;
    desk.allow(&app).await;
    desk.in_every_look(async |look| {
        look.desk.sign_in().await;
        look.desk.open("/authorized-apps").await;
        look.desk.chromium.wait_text("main", "App 1").await;
        look.is_clean("authorized-apps").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn the_access_of_an_app_is_ended_by_the_person_who_gave_it() {
    let desk = Desk::new().await;
    let site = Site::start().await;
    let back = site.put("127.0.0.1", "/cb", "<h1>Welcome back</h1>");
    let app = desk.apps(1, &back).await.remove(0);
    desk.in_every_look(async |look| {
        let chromium = &look.desk.chromium;
        desk.sign_in().await;
        desk.allow(&app).await;
        desk.open("/authorized-apps").await;
        chromium.wait_text("main", "App 1").await;
        // A press after the end of the session is asked to sign in, and comes back to the list.
        desk.session_ends().await;
        press(chromium, "main", "End this access").await;
        desk.signs_in(desk.scene.world.owner()).await;
        chromium.arrives(&desk.url("/authorized-apps")).await;
        press(chromium, "main", "End this access").await;
        chromium.wait_text("main", "No app has access at the moment.").await;
        assert_eq!(desk.asks("GET", "/v1/me/grants", &json!({})).await["items"], json!([]));
        look.is_clean("authorized-apps-none").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn who_is_signed_in_is_told_so_at_the_sign_in() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        desk.sign_in().await;
        desk.open("/login").await;
        desk.chromium.wait_text("main", &desk.scene.world.owner().email).await;
        look.is_clean("login-signed-in").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn consent_is_clean_in_every_look() {
    let desk = Desk::new().await;
    let app = desk.apps(1, "https://app.example/cb").await.remove(0);
    desk.in_every_look(async |look| {
        look.desk.sign_in().await;
        look.desk.open(&authorize_path(&app, &[])).await;
        look.desk.chromium.shows("fieldset").await;
        look.is_clean("consent").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn the_description_of_the_api_is_clean_in_every_look() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        look.desk.open("/docs").await;
        look.desk.chromium.shows("h1").await;
        look.is_clean("docs").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn an_error_is_clean_in_every_look() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        look.desk.open("/oauth/authorize?client_id=nobody").await;
        look.desk.chromium.wait_text("main", "Request id").await;
        look.is_clean_but_for("error", &Check::default().status(400)).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn the_first_page_is_light() {
    let desk = Desk::new().await;
    desk.open("/login").await;
    let load = loaded(&desk.chromium).await;
    assert!((1..=FIRST_PAGE).contains(&load.bytes), "{} bytes: {:#?}", load.bytes, load.answers);
}
