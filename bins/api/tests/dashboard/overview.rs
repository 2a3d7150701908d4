//! The overview: what needs a look first.

use serde_json::json;
use statuspulse_policy::Role;

use crate::{
    desk::{Desk, Seeded},
    words::press,
};

/// A name that would be a program, were it ever read as markup.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_new_organization_is_led_to_its_first_key() {
    let desk = Desk::new().await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in().await;
        desk.open("/").await;
        chromium.wait_text("main", "First steps").await;
        chromium.wait_text("main", "No open alert").await;
        chromium.wait_text("main", "The service works as it should").await;
        chromium.wait_text("main", "No change yet").await;
        look.is_clean("overview-new").await;
        press(chromium, "main", "Generate New Key").await;
        chromium.arrives(&desk.url("/keys")).await;
        chromium.wait_text("dialog h2", "Generate New Key").await;
        // Asked for once: not by who comes here again.
        assert_eq!(chromium.url().await, desk.url("/keys"));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn open_alerts_and_keys_that_want_attention_lead_to_their_pages() {
    let desk = Desk::new().await;
    desk.alerts(6).await;
    // The newest, which stands first.
    let Seeded { id, .. } = desk.key(&json!({"name": HOSTILE})).await;
    let open = desk.asks("GET", "/v1/orgs/acme/alerts?status=open", &json!({})).await;
    let known: Vec<&str> =
        open["items"].as_array().unwrap().iter().map(|alert| alert["id"].as_str().unwrap()).collect();
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.sign_in().await;
        desk.open("/").await;
        chromium.wait_text("main", "1 more open alert").await;
        chromium.wait_text("main", "Usable from any address").await;
        chromium.wait_text("main", "Latest changes of keys").await;
        chromium.wait_text("main", "created by you").await;
        assert!(!chromium.text("main").await.contains("First steps"));
        look.is_clean("overview").await;

        chromium.press("main a[href^='/alerts?alert=']").await;
        let at = chromium.arrives(&desk.url("/alerts?alert=")).await;
        assert!(known.iter().any(|id| at.ends_with(id)), "{at}");
        desk.open("/").await;
        press(chromium, "main", "1 more open alert").await;
        chromium.arrives(&desk.url("/alerts?status=open")).await;

        desk.open("/").await;
        let link = format!("main .names a[href='/keys/{id}']");
        assert!(chromium.text("main").await.contains("Open alerts") && chromium.count("main img").await == 0);
        assert_eq!(chromium.text(&link).await, HOSTILE);
        chromium.press(&link).await;
        let at = chromium.arrives(&desk.url("/keys/")).await;
        let key = desk.asks("GET", &at.replace(&desk.url("/keys/"), "/v1/orgs/acme/keys/"), &json!({})).await;
        assert_eq!((&key["id"], &key["allowed_cidrs"]), (&json!(id), &json!(null)));

        desk.open("/").await;
        chromium.press("main .names a[href='/security#attention-no_allowlist']").await;
        chromium.arrives(&desk.url("/security#attention-no_allowlist")).await;
        chromium.wait_text("#attention-no_allowlist[open]", "key 1").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn a_developer_sees_alerts_and_keys_and_is_asked_for_nothing_more() {
    let desk = Desk::new().await;
    let world = &desk.scene.world;
    let developer = world.app.person(&world.org, "developer", Role::Developer).await;
    desk.in_every_look(async |look| {
        let (desk, chromium) = (look.desk, &look.desk.chromium);
        desk.open("/").await;
        desk.signs_in(&developer).await;
        chromium.wait_text("main", "No open alert").await;
        chromium.wait_text("main", "First steps").await;
        assert_eq!((chromium.count("main img").await, chromium.count(".readiness").await), (0, 0));
        look.is_clean("overview-developer").await;
    })
    .await;
}
