//! What a test finds prepared: things in the organization, and every look of a page.

use std::{panic::AssertUnwindSafe, sync::Mutex};

use futures_util::FutureExt as _;
use serde_json::json;

use crate::{
    checks::assert_clean,
    desk::{Desk, Seeded},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and chromedriver"]
async fn an_organization_has_what_was_prepared() {
    let desk = Desk::new().await;
    let key = desk.keys(2).await.remove(0);
    desk.apps(2, "https://app.example/cb").await;
    let suspects = desk.alerts(2).await;
    desk.events(&key, 3).await;
    let names = async |kind: &str, name: &str| {
        let list = desk.asks("GET", &format!("/v1/orgs/acme/{kind}"), &json!({})).await;
        let items = list["items"].as_array().unwrap().clone();
        let mut names: Vec<String> = items.iter().map(|item| item.pointer(name).unwrap().to_string()).collect();
        names.sort();
        names
    };
    let mut ids: Vec<String> = suspects.iter().map(|Seeded { id, .. }| json!(id).to_string()).collect();
    ids.sort();
    assert_eq!(names("alerts", "/subject/id").await, ids);
    assert_eq!(names("keys", "/id").await.len(), 4);
    assert_eq!(names("apps", "/name").await, ["\"App 1\"", "\"App 2\""]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and npm"]
async fn a_session_that_ends_is_asked_for_again() {
    let desk = Desk::new().await;
    desk.sign_in().await;
    desk.open("/authorized-apps").await;
    desk.chromium.shows("h1").await;
    desk.session_ends().await;
    desk.open("/authorized-apps").await;
    desk.chromium.shows("form[action='/login']").await;
    assert_clean(&desk.chromium, "sign-in after the end of a session").await;
    desk.signs_in(desk.scene.world.owner()).await;
    desk.chromium.arrives(&desk.url("/authorized-apps")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs chromium and chromedriver"]
async fn a_failure_is_told_with_the_look_in_which_it_was_seen() {
    let desk = Desk::new().await;
    let seen = Mutex::new(Vec::new());
    let looked = desk.in_every_look(async |look| {
        look.desk.open("/login").await;
        seen.lock().unwrap().push((look.scheme, look.width));
        assert!(look.width > 360, "too narrow for me");
    });
    let failure = AssertUnwindSafe(looked).catch_unwind().await.unwrap_err();
    let text = failure.downcast_ref::<String>().unwrap();
    assert_eq!(
        (text.as_str(), seen.lock().unwrap().len()),
        ("light-360: too narrow for me\n\ndark-360: too narrow for me", 4)
    );
}
