use serde_json::json;

use crate::support::Admin;

#[tokio::test]
async fn a_new_organization_is_answered_with_id_slug_and_name() {
    let created = Admin::new().await.json("org create --slug acme --name Acme%20Inc.");
    assert_eq!(
        (&created["slug"], &created["name"], created["id"].is_string()),
        (&json!("acme"), &json!("Acme Inc."), true)
    );
}

#[tokio::test]
async fn a_new_organization_is_in_the_list() {
    let admin = Admin::new().await;
    let created = admin.json("org create --slug acme --name Acme");
    assert_eq!(admin.json("org list"), json!({"items": [created]}));
}

#[tokio::test]
async fn a_slug_that_is_taken_ends_with_4() {
    let ran = Admin::with_org().await.run("org create --slug acme --name Other");
    assert_eq!(ran.refusal("error[slug_taken]: "), (4, true));
}

#[tokio::test]
async fn a_bad_slug_ends_with_4_and_names_the_field() {
    assert_eq!(Admin::new().await.run("org create --slug Acme! --name Acme").refusal("\n  slug: "), (4, true));
}

#[tokio::test]
async fn people_read_a_table() {
    let ran = Admin::with_org().await.run("org list");
    let mut lines = ran.stdout.lines();
    assert!(lines.next().unwrap().starts_with("SLUG  NAME  ID ") && lines.next().unwrap().starts_with("acme  Acme  "));
}

#[tokio::test]
async fn a_name_that_turns_the_text_is_shown_escaped() {
    let admin = Admin::new().await;
    admin.json("org create --slug acme --name a\u{202e}b");
    assert_eq!(
        (admin.run("org list").stdout.contains("a\\u{202e}b"), admin.json("org list")["items"][0]["name"].as_str()),
        (true, Some("a\u{202e}b"))
    );
}

#[tokio::test]
async fn a_change_stands_in_the_trail_under_the_operators_account() {
    let admin = Admin::with_org().await;
    let account = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    let actor = "SELECT concat_ws(' ', event->'actor'->>'kind', event->'actor'->>'id') FROM audit_outbox
        WHERE event->'detail'->>'slug' = 'acme'";
    assert_eq!(admin.value(actor).await, format!("operator {account}"));
}
