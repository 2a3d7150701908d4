use serde_json::json;

use crate::support::{Admin, text};

/// An instance that was heard of a moment ago and has followed nothing.
pub(crate) const SILENT_INSTANCE: &str = "INSERT INTO instances
    (id, applied_seq, applied_at, max_staleness_seconds, started_at)
    VALUES ('01900000-0000-7000-8000-000000000001', 0, now(), 60, now())";

const REVOKE: &str = "key revoke-many --org acme --environment production";

/// With two keys for production and one for staging.
async fn three_keys() -> Admin {
    let admin = Admin::with_org().await;
    admin.key("one");
    admin.key("two");
    admin.json("key create --org acme --environment staging --name three --scope checks:read");
    admin
}

async fn alive(admin: &Admin) -> String {
    admin.value("SELECT count(*)::text FROM keys WHERE revoked_at IS NULL").await
}

/// spec: keys K56
#[tokio::test]
async fn a_dry_run_prints_the_set_and_changes_nothing() {
    let admin = three_keys().await;
    let answer = admin.json(&format!("{REVOKE} --dry-run"));
    let names: Vec<String> = answer["would_revoke"].as_array().unwrap().iter().map(|key| text(&key["name"])).collect();
    assert_eq!((names, alive(&admin).await), (vec!["two".to_owned(), "one".to_owned()], "3".to_owned()));
}

/// spec: keys K56
#[tokio::test]
async fn at_a_terminal_the_set_is_shown_and_somebody_is_asked() {
    let ran = three_keys().await.run_at_terminal(REVOKE, "no\n");
    let asked = ["  one  ", "  two  ", "Revoke these 2 keys of `acme` for good?"];
    assert_eq!((asked.map(|part| ran.stderr.contains(part)), ran.stdout.as_str()), ([true; 3], ""), "{}", ran.stderr);
}

/// spec: keys K56
#[tokio::test]
async fn anything_but_a_yes_changes_nothing() {
    let admin = three_keys().await;
    let ran = admin.run_at_terminal(REVOKE, "y\n");
    assert_eq!((ran.code, alive(&admin).await), (1, "3".to_owned()));
}

/// spec: keys K56
#[tokio::test]
async fn a_yes_at_the_terminal_revokes() {
    let admin = three_keys().await;
    let ran = admin.run_at_terminal(REVOKE, "yes\n");
    assert_eq!((ran.code, alive(&admin).await), (0, "1".to_owned()));
}

/// spec: keys K56
#[tokio::test]
async fn with_yes_nobody_is_asked() {
    let admin = three_keys().await;
    let answer = admin.json(&format!("{REVOKE} --yes"));
    assert_eq!((answer["revoked"].as_array().unwrap().len(), alive(&admin).await), (2, "1".to_owned()));
}

/// spec: keys K56
#[tokio::test]
async fn where_nobody_can_be_asked_yes_is_demanded() {
    let admin = three_keys().await;
    let ran = admin.run(REVOKE);
    assert_eq!((ran.refusal("give --dry-run"), alive(&admin).await), ((2, true), "3".to_owned()));
}

#[tokio::test]
async fn where_no_key_fits_there_is_nothing_to_ask() {
    let ran = Admin::with_org().await.run_at_terminal(&format!("--json {REVOKE}"), "");
    assert_eq!(ran.json(), json!({"revoked": [], "pending": []}));
}

#[tokio::test]
async fn keys_of_another_maker_stay() {
    let admin = three_keys().await;
    admin.json(&format!("{REVOKE} --created-by somebody-else --yes"));
    assert_eq!(alive(&admin).await, "3");
}

#[tokio::test]
async fn a_maker_who_is_not_there_ends_with_3() {
    let ran = three_keys().await.run(&format!("{REVOKE} --created-by nobody@acme.test --yes"));
    assert_eq!(ran.refusal("error[not_found]: "), (3, true));
}

#[tokio::test]
async fn older_keys_stay() {
    let admin = three_keys().await;
    admin.json(&format!("{REVOKE} --created-after 2999-01-01T00:00:00Z --yes"));
    assert_eq!(alive(&admin).await, "3");
}

#[tokio::test]
async fn an_instance_that_has_not_acknowledged_makes_it_end_with_1() {
    let admin = three_keys().await;
    admin.execute(SILENT_INSTANCE).await;
    let ran = admin.run(&format!("--json {REVOKE} --yes --wait 0s"));
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, answer["pending"].as_array().unwrap().len(), alive(&admin).await), (1, 1, "1".to_owned()));
}
