use crate::support::{Admin, NOBODY};

#[tokio::test]
async fn an_id_that_is_none_ends_with_2() {
    assert_eq!(Admin::new().await.run("key show 17").refusal("the id of a key is wanted"), (2, true));
}

#[tokio::test]
async fn a_token_in_place_of_an_id_is_not_repeated() {
    let token = format!("sp_live_{}", "Ab3-".repeat(16));
    let ran = Admin::new().await.run(&format!("key show {token}"));
    assert_eq!((ran.code, ran.stderr.contains("Ab3-Ab3-Ab3-")), (2, false));
}

#[tokio::test]
async fn a_key_that_is_not_there_ends_with_3() {
    assert_eq!(Admin::new().await.run(&format!("key show {NOBODY}")).refusal("error[not_found]: "), (3, true));
}

#[tokio::test]
async fn an_organization_that_is_not_there_ends_with_3() {
    assert_eq!(Admin::new().await.run("key list --org nobody").refusal("error[not_found]: "), (3, true));
}

#[tokio::test]
async fn a_lifespan_of_half_days_is_explained() {
    let create = "key create --org acme --environment staging --name x --scope checks:read --expires-in 36h";
    assert_eq!(Admin::new().await.run(create).refusal("`36h` is not a whole number of them"), (2, true));
}

#[tokio::test]
async fn a_wait_beyond_thirty_seconds_ends_with_2() {
    let ran = Admin::new().await.run(&format!("key revoke {NOBODY} --wait 31s"));
    assert_eq!(ran.refusal("a wait of `0s` to `30s` is wanted"), (2, true));
}

#[tokio::test]
async fn wrong_usage_with_json_is_one_line() {
    let ran = Admin::new().await.run("--json org create --slug acme");
    assert_eq!((ran.code, ran.stderr.lines().count(), ran.stderr.starts_with("error: ")), (2, 1, true));
}

#[tokio::test]
async fn an_error_with_json_leaves_standard_output_empty() {
    let ran = Admin::new().await.run("--json key list --org nobody");
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        ("", "error[not_found]: there is no such organization here\n")
    );
}

#[tokio::test]
async fn a_broken_cursor_is_wrong_usage() {
    let admin = Admin::with_org().await;
    assert_eq!(admin.run("key list --org acme --cursor AAAA").refusal("error[invalid_cursor]: "), (2, true));
}

#[tokio::test]
async fn every_wrong_field_has_its_line() {
    let create = "key create --org acme --environment production --name x --scope nonsense --allow-cidr 10.0.0.1/8,x";
    let ran = Admin::with_org().await.run(create);
    let lines = ["\n  scopes[0]: ", "\n  allowed_cidrs[0]: ", "\n  allowed_cidrs[1]: "];
    assert_eq!((ran.code, lines.map(|line| ran.stderr.contains(line))), (4, [true; 3]), "{}", ran.stderr);
}

#[tokio::test]
async fn a_current_database_needs_no_migration() {
    assert_eq!(Admin::new().await.json("migrate"), serde_json::json!({"applied": []}));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_answer_that_can_not_be_written_ends_with_1() {
    let admin = Admin::new().await;
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ended = admin.command("--json org list").stdout(full).stderr(std::process::Stdio::null()).status().unwrap();
    assert_eq!(ended.code(), Some(1));
}
