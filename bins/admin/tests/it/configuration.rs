use statuspulse_testkit::MASTER_KEY;

use crate::support::{Admin, Ran, run};

async fn run_with(variable: &str, value: &str) -> Ran {
    let admin = Admin::new().await;
    let mut command = admin.command("org list");
    command.env(variable, value);
    run(command, "")
}

#[tokio::test]
async fn a_bad_cost_ends_with_2_and_names_the_variable() {
    let ran = run_with("STATUSPULSE_BCRYPT_COST", "99").await;
    assert_eq!(ran.refusal("STATUSPULSE_BCRYPT_COST is `99`: 10, 11 or 12"), (2, true));
}

#[tokio::test]
async fn a_bad_log_form_ends_with_2_and_names_the_variable() {
    assert_eq!(run_with("STATUSPULSE_LOG_FORMAT", "xml").await.refusal("STATUSPULSE_LOG_FORMAT is `xml`"), (2, true));
}

#[tokio::test]
async fn a_bad_log_filter_ends_with_2_and_names_the_variable() {
    assert_eq!(run_with("STATUSPULSE_LOG", "a=b=c").await.refusal("STATUSPULSE_LOG is `a=b=c`"), (2, true));
}

#[tokio::test]
async fn a_bad_public_url_ends_with_2_and_names_the_variable() {
    let ran = run_with("STATUSPULSE_PUBLIC_URL", "auth.example").await;
    assert_eq!(ran.refusal("STATUSPULSE_PUBLIC_URL is `auth.example`"), (2, true));
}

#[tokio::test]
async fn a_bad_address_of_the_server_ends_with_2_and_names_the_variable() {
    assert_eq!(run_with("STATUSPULSE_LISTEN", "8080").await.refusal("STATUSPULSE_LISTEN is `8080`"), (2, true));
}

#[tokio::test]
async fn a_missing_catalog_ends_with_2_and_names_the_variable() {
    let ran = run_with("STATUSPULSE_CATALOG", "/nowhere/catalog.toml").await;
    assert_eq!(ran.refusal("STATUSPULSE_CATALOG is `/nowhere/catalog.toml`"), (2, true));
}

#[tokio::test]
async fn a_bad_master_key_is_named_and_not_shown() {
    let ran = run_with("STATUSPULSE_MASTER_KEY", "hunter2hunter2").await;
    assert_eq!((ran.refusal("STATUSPULSE_MASTER_KEY"), ran.stderr.contains("hunter2")), ((2, true), false));
}

#[tokio::test]
async fn the_password_of_a_bad_database_url_is_not_shown() {
    let ran = run_with("DATABASE_URL", "postgresql://u:hunter2@:::/x").await;
    assert_eq!((ran.refusal("DATABASE_URL"), ran.stderr.contains("hunter2")), ((2, true), false));
}

#[tokio::test]
async fn a_database_that_is_away_ends_with_1() {
    let ran = run_with("DATABASE_URL", "postgresql://u:hunter2@/x?host=/nowhere").await;
    assert_eq!((ran.refusal("error[start]: "), ran.stderr.contains("hunter2")), ((1, true), false));
}

#[tokio::test]
async fn another_master_key_than_that_of_the_database_is_refused() {
    let admin = Admin::with_org().await;
    let mut command = admin.command("org list");
    command.env("STATUSPULSE_MASTER_KEY", MASTER_KEY.replace('c', "d"));
    assert_eq!(run(command, "").refusal("set STATUSPULSE_MASTER_KEY to that one"), (1, true));
}

#[tokio::test]
async fn an_empty_variable_is_one_that_is_not_set() {
    assert_eq!(run_with("STATUSPULSE_MASTER_KEY_FILE", "").await.code, 0);
}

#[tokio::test]
async fn a_flag_goes_before_its_variable() {
    let admin = Admin::new().await;
    let mut command = admin.command("org list --bcrypt-cost 10");
    command.env("STATUSPULSE_BCRYPT_COST", "99");
    assert_eq!(run(command, "").code, 0);
}

#[tokio::test]
async fn help_names_variables_with_defaults_and_shows_no_secret() {
    let wrapped = Admin::new().await.run("key create --help").stdout;
    let help = wrapped.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = ["[env: STATUSPULSE_MASTER_KEY]", "[env: DATABASE_URL]", "[default: .statuspulse]"];
    assert_eq!((shown.map(|part| help.contains(part)), help.contains(MASTER_KEY)), ([true; 3], false), "{help}");
}

#[tokio::test]
async fn a_value_that_is_no_utf8_ends_with_2_and_names_the_variable() {
    use std::os::unix::ffi::OsStrExt as _;
    let admin = Admin::new().await;
    let mut command = admin.command("org list");
    command.env("STATUSPULSE_CATALOG", std::ffi::OsStr::from_bytes(b"/x/\xff"));
    assert_eq!(run(command, "").refusal("STATUSPULSE_CATALOG: a value in UTF-8"), (2, true));
}

#[tokio::test]
async fn a_database_that_never_answers_ends_with_1() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgresql://u@{}/x", listener.local_addr().unwrap());
    assert_eq!(run_with("DATABASE_URL", &url).await.refusal("no answer within 10 s"), (1, true));
}
