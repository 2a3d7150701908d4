use serde_json::json;

use crate::support::{Admin, text};

const CREATE: &str = "user create --org acme --email Ada@acme.test --role developer";

#[tokio::test]
async fn a_new_person_gets_a_generated_password_once() {
    let admin = Admin::with_org().await;
    let created = admin.json(CREATE);
    let password = text(&created["password"]);
    assert_eq!((password.len(), admin.run("user list --org acme").stdout.contains(&password)), (24, false));
}

#[tokio::test]
async fn a_generated_password_is_on_standard_output_only() {
    let admin = Admin::with_org().await;
    let mut command = admin.command(&format!("--json {CREATE}"));
    command.env("STATUSPULSE_LOG", "trace");
    let ran = crate::support::run(command, "");
    assert!(!ran.stderr.contains(&text(&ran.json()["password"])));
}

#[tokio::test]
async fn a_password_that_was_given_is_not_answered() {
    let admin = Admin::with_org().await;
    let ran = admin.run_with_input(&format!("--json {CREATE} --password-stdin"), "correct horse battery\n");
    let created = ran.json();
    let expected = json!({"id": created["id"], "email": "Ada@acme.test", "role": "developer"});
    assert_eq!(created, expected);
}

#[tokio::test]
async fn a_short_password_ends_with_4_and_names_the_field() {
    let ran = Admin::with_org().await.run_with_input(&format!("{CREATE} --password-stdin"), "short\n");
    assert_eq!(ran.refusal("\n  password: "), (4, true));
}

#[tokio::test]
async fn a_password_without_a_password_ends_with_2() {
    let ran = Admin::with_org().await.run(&format!("{CREATE} --password-stdin"));
    assert_eq!(ran.refusal("there is no password on standard input"), (2, true));
}

#[tokio::test]
async fn a_password_is_not_typed_where_it_would_be_shown() {
    let ran = Admin::with_org().await.run_at_terminal(&format!("{CREATE} --password-stdin"), "correct horse\n");
    assert_eq!(ran.refusal("a terminal would show the password"), (2, true));
}

#[tokio::test]
async fn a_member_is_not_made_twice() {
    let admin = Admin::with_org().await;
    admin.json(CREATE);
    assert_eq!(admin.run(CREATE).refusal("error[member_exists]: "), (4, true));
}

#[tokio::test]
async fn somebody_with_a_password_keeps_it() {
    let admin = Admin::with_org().await;
    admin.json(CREATE);
    let again = admin.run_with_input(&format!("{CREATE} --password-stdin"), "correct horse battery\n");
    assert_eq!(again.refusal("error[user_exists]: "), (4, true));
}

#[tokio::test]
async fn a_role_that_there_is_not_ends_with_2() {
    let ran = Admin::with_org().await.run("user create --org acme --email a@acme.test --role king");
    assert_eq!(ran.refusal("[possible values: owner, admin, developer, auditor]"), (2, true));
}

#[tokio::test]
async fn a_new_person_is_in_the_list_with_the_role() {
    let admin = Admin::with_org().await;
    let id = admin.json(CREATE)["id"].take();
    let person = json!({"id": id, "email": "Ada@acme.test", "name": "Ada", "role": "developer", "disabled_at": null});
    assert_eq!(admin.json("user list --org acme"), json!({"items": [person]}));
}
