use argon2::{Argon2, password_hash::PasswordVerifier as _};
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
    assert_eq!(admin.run(CREATE).refusal("error[already_member]: "), (4, true));
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
    let list = admin.json("user list --org acme");
    let person = json!({"id": id, "email": "Ada@acme.test", "name": "Ada", "role": "developer",
        "created_at": list["items"][0]["created_at"], "last_sign_in_at": null, "disabled_at": null});
    assert_eq!(list, json!({"items": [person], "next_cursor": null}));
}

#[tokio::test]
async fn pages_of_people_go_on_where_the_one_before_ended() {
    let admin = Admin::with_org().await;
    admin.json(CREATE);
    admin.json("user create --org acme --email bob@acme.test --role auditor");
    let first = admin.json("user list --org acme --limit 1");
    let next = admin.json(&format!("user list --org acme --limit 1 --cursor {}", text(&first["next_cursor"])));
    let emails = [&first, &next].map(|page| text(&page["items"][0]["email"]));
    assert_eq!((emails, &next["next_cursor"]), (["bob@acme.test".into(), "Ada@acme.test".into()], &json!(null)));
}

/// `acme` with an owner and Ada, who has authorized an app.
async fn with_owner() -> Admin {
    let admin = Admin::with_org().await;
    admin.json("user create --org acme --email owner@acme.test --role owner");
    admin.json(CREATE);
    admin.json("app create --org acme --redirect-uri https://app.example/cb --scope monitoring:read --name First");
    admin
        .execute(
            "INSERT INTO oauth_grants (id, user_id, organization_id, app_id, scopes, resources, status, created_at,
                 absolute_expires_at)
             SELECT gen_random_uuid(), u.id, a.organization_id, a.id, a.scopes, '{}', 'active', clock_timestamp(),
                 clock_timestamp() + interval '180 days'
             FROM oauth_apps a, users u WHERE u.email = 'Ada@acme.test'",
        )
        .await;
    admin
}

async fn people_and_grants(admin: &Admin) -> String {
    let query = "SELECT (SELECT string_agg(u.email || ' ' || m.role, ', ' ORDER BY u.email) FROM memberships m
                     JOIN users u ON u.id = m.user_id)
                 || ': ' || (SELECT count(*) FROM oauth_grants WHERE status = 'active')";
    admin.value(query).await
}

#[tokio::test]
async fn another_role_is_answered_and_in_force() {
    let admin = with_owner().await;
    let changed = admin.json("user set-role --org acme --email ADA@acme.test --role auditor");
    let expected = "Ada@acme.test auditor, owner@acme.test owner: 0";
    assert_eq!((text(&changed["role"]), people_and_grants(&admin).await), ("auditor".into(), expected.into()));
}

#[tokio::test]
async fn a_member_who_is_removed_leaves_no_grant_and_keeps_the_account() {
    let admin = with_owner().await;
    let answer = admin.json("user remove --org acme --email ada@acme.test --yes");
    let left = people_and_grants(&admin).await;
    let accounts = admin.value("SELECT count(*)::text FROM users").await;
    assert_eq!(
        (text(&answer["removed"]["email"]), &answer["ended_grants"], left, accounts),
        ("Ada@acme.test".into(), &json!(1), "owner@acme.test owner: 0".into(), "2".into())
    );
}

#[tokio::test]
async fn a_dry_run_of_a_removal_tells_who_and_changes_nothing() {
    let admin = with_owner().await;
    let before = people_and_grants(&admin).await;
    let answer = admin.json("user remove --org acme --email ada@acme.test --dry-run");
    let told = (text(&answer["would_remove"]["email"]), &answer["would_end_grants"]);
    assert_eq!((told, people_and_grants(&admin).await), (("Ada@acme.test".into(), &json!(1)), before));
}

#[tokio::test]
async fn a_removal_asks_at_a_terminal_and_takes_anything_but_yes_for_no() {
    let admin = with_owner().await;
    let remove = "user remove --org acme --email ada@acme.test";
    let refused = admin.run_at_terminal(remove, "y\n").refusal("Take Ada@acme.test out of acme, and end 1 grants?");
    let done = admin.run_at_terminal(remove, "yes\n").code;
    assert_eq!((refused, done, people_and_grants(&admin).await), ((1, true), 0, "owner@acme.test owner: 0".into()));
}

#[tokio::test]
async fn a_removal_where_nobody_can_be_asked_wants_a_word() {
    let ran = with_owner().await.run("user remove --org acme --email ada@acme.test");
    assert_eq!(ran.refusal("give --dry-run to see who it would be, or --yes"), (2, true));
}

#[tokio::test]
async fn the_last_owner_ends_with_4() {
    let admin = with_owner().await;
    let owner = "--org acme --email owner@acme.test";
    let commands = [
        format!("user set-role {owner} --role admin"),
        format!("user remove {owner} --yes"),
        format!("user remove {owner} --dry-run"),
    ];
    assert_eq!(commands.map(|command| admin.run(&command).refusal("error[last_owner]: ")), [(4, true); 3]);
}

#[tokio::test]
async fn who_is_no_member_ends_with_3() {
    let admin = with_owner().await;
    admin.json("org create --slug other --name Other");
    let ada = "--email ada@acme.test";
    let commands = [
        "user set-role --org acme --email nobody@acme.test --role admin".to_owned(),
        format!("user set-role --org other {ada} --role admin"),
        format!("user remove --org other {ada} --yes"),
        format!("user remove --org nowhere {ada} --yes"),
    ];
    assert_eq!(commands.map(|command| admin.run(&command).code), [3; 4]);
}

#[tokio::test]
async fn what_an_operator_does_to_members_is_in_the_trail() {
    let admin = with_owner().await;
    admin.json("user set-role --org acme --email ada@acme.test --role admin");
    admin.json("user set-password --org acme --email ada@acme.test");
    admin.json("user remove --org acme --email ada@acme.test --yes");
    let query =
        "SELECT string_agg(event->>'action' || ' ' || (event->'actor'->>'kind'), ', ' ORDER BY event->>'occurred_at')
                 FROM audit_outbox WHERE event->>'action' IN ('member.change', 'member.remove', 'user.password_change')";
    assert_eq!(
        admin.value(query).await,
        "member.change operator, user.password_change operator, member.remove operator"
    );
}

fn fits(password: &str, hash: &str) -> bool {
    Argon2::default().verify_password(password.as_bytes(), hash).is_ok()
}

async fn password_and_sessions(admin: &Admin) -> (String, String) {
    let hash = "SELECT password_hash FROM users WHERE email = 'Ada@acme.test'";
    let sessions =
        "SELECT count(*)::text FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.email = 'Ada@acme.test'";
    (admin.value(hash).await, admin.value(sessions).await)
}

async fn with_session() -> Admin {
    let admin = with_owner().await;
    admin
        .execute(
            "INSERT INTO sessions (id, token_digest, user_id, created_at, last_seen_at, expires_at)
             SELECT gen_random_uuid(), sha256('a cookie'), id, now(), now(), now() + interval '1 day'
             FROM users WHERE email = 'Ada@acme.test'",
        )
        .await;
    admin
}

#[tokio::test]
async fn a_lost_password_is_replaced_by_a_generated_one_and_all_sessions_end() {
    let admin = with_session().await;
    let before = password_and_sessions(&admin).await;
    let answer = admin.json("user set-password --org acme --email ada@acme.test");
    let after = password_and_sessions(&admin).await;
    let told = (text(&answer["email"]), &answer["ended_sessions"], text(&answer["password"]).len());
    assert_eq!((told, before.1, after.1), (("Ada@acme.test".into(), &json!(1), 24), "1".into(), "0".into()));
    assert!(fits(&text(&answer["password"]), &after.0));
}

#[tokio::test]
async fn a_password_that_was_set_is_not_answered_and_a_short_one_changes_nothing() {
    let admin = with_session().await;
    let set = "user set-password --org acme --email ada@acme.test --password-stdin";
    let before = password_and_sessions(&admin).await;
    let short = admin.run_with_input(set, "short\n").refusal("\n  password: ");
    let between = password_and_sessions(&admin).await;
    let answer = admin.run_with_input(&format!("--json {set}"), "correct horse battery\n").json();
    assert_eq!((short, between), ((4, true), before));
    assert_eq!(answer, json!({"id": answer["id"], "email": "Ada@acme.test", "ended_sessions": 1}));
    assert!(fits("correct horse battery", &password_and_sessions(&admin).await.0));
}

#[tokio::test]
async fn nobody_elses_password_is_set_by_a_wrong_organization() {
    let admin = with_session().await;
    admin.json("org create --slug other --name Other");
    let before = password_and_sessions(&admin).await;
    let codes = ["--org other --email ada@acme.test", "--org acme --email nobody@acme.test"]
        .map(|who| admin.run(&format!("user set-password {who}")).code);
    assert_eq!((codes, password_and_sessions(&admin).await), ([3; 2], before));
}
