use serde_json::Value;

use crate::support::{Admin, text};

/// Status of each check that isn't `ok`.
fn complaints(answer: &Value) -> Vec<(String, String)> {
    let checks = answer["checks"].as_array().unwrap().iter();
    let told = checks.map(|check| (text(&check["name"]), text(&check["status"])));
    told.filter(|(_, status)| status != "ok").collect()
}

fn complaint(name: &str, status: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), status.to_owned())]
}

#[tokio::test]
async fn an_installation_that_is_well_has_no_complaints() {
    let admin = Admin::with_org().await;
    admin.json("audit checkpoint");
    let answer = admin.json("doctor");
    assert_eq!((&answer["ok"], complaints(&answer)), (&Value::from(true), vec![]), "{answer}");
}

#[tokio::test]
async fn what_is_only_worth_a_look_ends_with_0() {
    let admin = Admin::with_org().await;
    let answer = admin.json("doctor");
    assert_eq!(complaints(&answer), complaint("checkpoint", "warning"));
}

#[tokio::test]
async fn what_fails_is_named_and_ends_with_1() {
    let admin = Admin::with_org().await;
    admin.json("audit checkpoint");
    admin.execute("UPDATE audit_signing_keys SET sealed = '\\x00'").await;
    let ran = admin.run("--json doctor");
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, complaints(&answer)), (1, complaint("audit_key", "failed")), "{answer}");
}

#[tokio::test]
async fn rights_on_the_trail_are_found() {
    let admin = Admin::with_org().await;
    admin.json("audit checkpoint");
    // Every command takes them back; a partition that somebody has opened is found by the look at each.
    admin
        .execute("CREATE ROLE careless; GRANT UPDATE ON audit_events TO careless; GRANT careless TO statuspulse_app")
        .await;
    let ran = admin.run("--json doctor");
    admin
        .execute("REVOKE careless FROM statuspulse_app; REVOKE ALL ON audit_events FROM careless; DROP ROLE careless")
        .await;
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, complaints(&answer)), (1, complaint("role", "failed")), "{answer}");
}

#[tokio::test]
async fn a_database_that_can_not_be_opened_is_a_check_that_failed() {
    let admin = Admin::new().await;
    let mut command = admin.command("--json doctor");
    command.env("DATABASE_URL", "postgresql://u@/x?host=/nowhere");
    let ran = crate::support::run(command, "");
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, complaints(&answer)), (1, complaint("start", "failed")));
}

#[tokio::test]
async fn people_get_a_line_for_each_check() {
    let ran = Admin::with_org().await.run("doctor");
    assert!(ran.stdout.lines().any(|line| line.starts_with("ok       migrations      all ")), "{}", ran.stdout);
}
