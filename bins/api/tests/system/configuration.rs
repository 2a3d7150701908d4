//! Bad values of the configuration: exit code 2 and one line that names the variable, the value and what is accepted.

use std::fs;

use crate::server::{GaveUp, gives_up, program};

/// Starts the program with one value and answers how it gave up.
async fn given(variable: &str, value: &str) -> (Option<i32>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command.env("STATUSPULSE_DATA_DIR", folder.path()).env(variable, value);
    let GaveUp { code, stderr } = gives_up(command).await;
    let made = folder.path().read_dir().unwrap().count();
    assert_eq!(made, 0, "nothing is touched before the configuration is judged");
    (code, stderr.lines().map(str::to_owned).collect())
}

/// Whether a value is refused in one line that names the variable and shows the value.
async fn is_refused(variable: &str, value: &str, accepted: &str) {
    let refused = given(variable, value).await;
    let line = format!("error: {variable} is `{value}`: {accepted}");
    assert_eq!(refused, (Some(2), vec![line]));
}

/// Whether a secret is refused in one line that names the variable and shows nothing of the value.
async fn is_refused_unseen(variable: &str, value: &str, accepted: &str) {
    let refused = given(variable, value).await;
    let line = format!("error: {variable}: {accepted}");
    assert_eq!(refused, (Some(2), vec![line]));
}

#[tokio::test]
async fn an_address_without_a_port_is_refused() {
    let accepted = "an address with a port such as `127.0.0.1:8080`";
    is_refused("STATUSPULSE_LISTEN", "localhost", accepted).await;
}

#[tokio::test]
async fn a_public_url_of_another_scheme_is_refused() {
    let accepted = "an absolute http or https URL without user, query and fragment";
    is_refused("STATUSPULSE_PUBLIC_URL", "ftp://auth.example.com", accepted).await;
}

#[tokio::test]
async fn a_public_url_without_a_scheme_is_refused() {
    let accepted = "an absolute http or https URL without user, query and fragment";
    is_refused("STATUSPULSE_PUBLIC_URL", "auth.example.com", accepted).await;
}

#[tokio::test]
async fn a_public_url_with_a_password_is_refused_without_showing_it() {
    let accepted = "an absolute http or https URL without user, query and fragment";
    for value in ["https://ops:hunter2@auth.example.com", "ops:hunter2@auth.example.com", "//ops:hunter2@x"] {
        is_refused_unseen("STATUSPULSE_PUBLIC_URL", value, accepted).await;
    }
}

#[tokio::test]
async fn a_database_url_is_refused_with_what_is_wrong_and_without_its_password() {
    for (value, shown, wrong) in [
        ("mysql://ops:hunter2@db/x", " is `mysql://ops:***@db/x`", "`mysql` is not its scheme"),
        (
            "postgresql://ops:hunter2@db:99999/x",
            " is `postgresql://ops:***@db:99999/x`",
            "invalid value for option `port`",
        ),
        (
            "postgresql://db/x?password=hunter2&ssl=1",
            " is `postgresql://db/x?password=***&ssl=1`",
            "unknown option `ssl`",
        ),
        ("password=hunter2", "", "it names no host"),
    ] {
        let (code, lines) = given("DATABASE_URL", value).await;
        let line = format!(
            "error: DATABASE_URL{shown}: {wrong}; give a PostgreSQL URL such as `postgresql://user@host/database`"
        );
        assert_eq!((code, lines), (Some(2), vec![line]));
    }
}

#[tokio::test]
async fn a_database_url_that_asks_for_tls_is_refused_before_anything_is_connected_to() {
    let (code, lines) = given("DATABASE_URL", "postgresql://db/x?sslmode=require").await;
    let said = lines.len() == 1 && lines[0].contains("`sslmode=require` is refused: the connection can't be encrypted");
    assert!(code == Some(2) && said, "{code:?} {lines:?}");
}

#[tokio::test]
async fn a_master_key_of_another_length_is_refused_without_showing_it() {
    let (code, lines) = given("STATUSPULSE_MASTER_KEY", "aHVudGVyMg==").await;
    let named = lines.len() == 1 && lines[0].starts_with("error: STATUSPULSE_MASTER_KEY: ");
    assert!(code == Some(2) && named && !lines[0].contains("aHVudGVyMg"), "{code:?} {lines:?}");
}

#[tokio::test]
async fn a_master_key_file_that_is_not_there_is_refused() {
    let accepted = "a readable file (No such file or directory (os error 2))";
    is_refused("STATUSPULSE_MASTER_KEY_FILE", "/nonexistent/master.key", accepted).await;
}

#[tokio::test]
async fn a_master_key_file_without_a_key_is_refused_without_showing_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    fs::write(&file, "hunter2").unwrap();
    let (code, lines) = given("STATUSPULSE_MASTER_KEY_FILE", &file.display().to_string()).await;
    let starts = format!("error: STATUSPULSE_MASTER_KEY_FILE is `{}`: ", file.display());
    let named = lines.len() == 1 && lines[0].starts_with(&starts);
    assert!(code == Some(2) && named && !lines[0].contains("hunter2"), "{code:?} {lines:?}");
}

#[tokio::test]
async fn two_sources_of_the_master_key_are_refused() {
    let mut command = program();
    command.env("STATUSPULSE_MASTER_KEY", "x").env("STATUSPULSE_MASTER_KEY_FILE", "y");
    let GaveUp { code, stderr } = gives_up(command).await;
    let line = "error: STATUSPULSE_MASTER_KEY: give this or STATUSPULSE_MASTER_KEY_FILE, not both\n";
    assert_eq!((code, stderr.as_str()), (Some(2), line));
}

#[tokio::test]
async fn a_catalog_that_is_not_there_is_refused() {
    let accepted = "a readable file (No such file or directory (os error 2))";
    is_refused("STATUSPULSE_CATALOG", "/nonexistent/catalog.toml", accepted).await;
}

#[tokio::test]
async fn a_catalog_with_two_equal_rules_is_refused_in_one_line_that_names_the_rule() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.toml");
    let rule = "[[rules]]\nmethods = [\"GET\"]\npath = \"/x\"\nscope = \"checks:read\"\n";
    let builtin = include_str!("../../../../crates/policy/src/catalog.toml");
    fs::write(&file, format!("{builtin}\n{rule}\n{rule}")).unwrap();
    let (code, lines) = given("STATUSPULSE_CATALOG", &file.display().to_string()).await;
    let starts = format!("error: STATUSPULSE_CATALOG is `{}`: ", file.display());
    let named = lines.len() == 1 && lines[0].starts_with(&starts) && lines[0].contains("/x");
    assert!(code == Some(2) && named, "{code:?} {lines:?}");
}

#[tokio::test]
async fn a_trusted_proxy_with_host_bits_is_refused_with_what_was_meant() {
    let (code, lines) = given("STATUSPULSE_TRUSTED_PROXIES", "192.0.2.1/32,10.0.0.1/8").await;
    let starts = "error: STATUSPULSE_TRUSTED_PROXIES is `192.0.2.1/32,10.0.0.1/8`: trusted proxy 2: ";
    let named = lines.len() == 1 && lines[0].starts_with(starts) && lines[0].contains("10.0.0.0/8");
    assert!(code == Some(2) && named, "{code:?} {lines:?}");
}

#[tokio::test]
async fn a_client_address_header_that_no_message_can_carry_is_refused() {
    let accepted = "`x y` is not a header name; use one such as `x-forwarded-for`";
    is_refused("STATUSPULSE_CLIENT_IP_HEADER", "x y", accepted).await;
}

#[tokio::test]
async fn a_client_address_header_that_means_something_else_is_refused() {
    let accepted = "a header into which proxies write addresses, such as `x-forwarded-for`";
    for name in ["authorization", "Cookie", "host", "content-length", "x-forwarded-proto"] {
        is_refused("STATUSPULSE_CLIENT_IP_HEADER", name, accepted).await;
    }
}

#[tokio::test]
async fn a_value_that_is_no_utf8_is_refused_in_one_line_that_names_its_variable() {
    use std::os::unix::ffi::OsStrExt as _;
    let mut command = program();
    command.env("STATUSPULSE_CATALOG", std::ffi::OsStr::from_bytes(b"/x/\xff"));
    let GaveUp { code, stderr } = gives_up(command).await;
    assert_eq!((code, stderr.as_str()), (Some(2), "error: STATUSPULSE_CATALOG: a value in UTF-8\n"));
}

#[tokio::test]
async fn a_staleness_out_of_bounds_or_without_a_unit_is_refused() {
    for value in ["0s", "999ms", "601s", "60", "-1s"] {
        is_refused("STATUSPULSE_MAX_STALENESS", value, "`1s` to `10m`").await;
    }
}

#[tokio::test]
async fn a_bcrypt_cost_out_of_bounds_is_refused() {
    for value in ["9", "13", "31", "ten"] {
        is_refused("STATUSPULSE_BCRYPT_COST", value, "10, 11 or 12").await;
    }
}

#[tokio::test]
async fn a_number_of_workers_that_is_none_is_refused() {
    for value in ["0", "1025", "-1", "many"] {
        is_refused("STATUSPULSE_WORKERS", value, "a number from 1 to 1024").await;
    }
}

#[tokio::test]
async fn a_log_filter_that_is_none_is_refused() {
    let accepted = "a filter such as `info` or `statuspulse_app=debug,warn`";
    is_refused("STATUSPULSE_LOG", "a=b=c", accepted).await;
}

#[tokio::test]
async fn a_log_form_that_is_none_is_refused() {
    is_refused("STATUSPULSE_LOG_FORMAT", "xml", "`pretty` or `json`").await;
}

#[tokio::test]
async fn a_data_directory_that_is_a_file_is_refused_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = program();
    command.env("STATUSPULSE_DATA_DIR", file.path());
    let GaveUp { code, stderr } = gives_up(command).await;
    let line = format!(
        "error: `{}` is not a directory: move it away or set STATUSPULSE_DATA_DIR to a directory\n",
        file.path().display()
    );
    assert_eq!((code, stderr), (Some(1), line));
}

#[tokio::test]
async fn a_value_with_line_breaks_is_still_refused_in_one_line() {
    let (code, lines) = given("STATUSPULSE_LISTEN", "a\nb\rc").await;
    assert_eq!((code, lines.len()), (Some(2), 1), "{lines:?}");
}

#[tokio::test]
async fn an_empty_variable_counts_as_not_set() {
    let mut command = program();
    for name in
        ["PUBLIC_URL", "MASTER_KEY", "MASTER_KEY_FILE", "CATALOG", "MAX_STALENESS", "WORKERS", "TRUSTED_PROXIES"]
    {
        command.env(format!("STATUSPULSE_{name}"), "");
    }
    // The last to be judged.
    command.env("STATUSPULSE_BCRYPT_COST", "9");
    let GaveUp { code, stderr } = gives_up(command).await;
    assert_eq!((code, stderr.as_str()), (Some(2), "error: STATUSPULSE_BCRYPT_COST is `9`: 10, 11 or 12\n"));
}

#[tokio::test]
async fn a_bad_value_of_a_flag_is_named_by_its_variable() {
    let mut command = program();
    command.args(["--max-staleness", "1h"]);
    let GaveUp { code, stderr } = gives_up(command).await;
    assert_eq!((code, stderr.as_str()), (Some(2), "error: STATUSPULSE_MAX_STALENESS is `1h`: `1s` to `10m`\n"));
}

#[tokio::test]
async fn the_help_names_every_variable_and_shows_no_secret_from_the_environment() {
    let mut command = program();
    command.arg("--help").env("DATABASE_URL", "postgresql://ops:hunter2@db/x").env("STATUSPULSE_MASTER_KEY", "hunter2");
    let mut process = statuspulse_testkit::Process::spawn(command);
    let code = process.ended().await.code();
    // Long lines are wrapped.
    let help = process.stdout().split_whitespace().collect::<Vec<_>>().join(" ");
    let names = [
        "STATUSPULSE_LISTEN",
        "STATUSPULSE_PUBLIC_URL",
        "DATABASE_URL",
        "STATUSPULSE_DATA_DIR",
        "STATUSPULSE_MASTER_KEY",
        "STATUSPULSE_MASTER_KEY_FILE",
        "STATUSPULSE_CATALOG",
        "STATUSPULSE_TRUSTED_PROXIES",
        "STATUSPULSE_CLIENT_IP_HEADER",
        "STATUSPULSE_MAX_STALENESS",
        "STATUSPULSE_BCRYPT_COST",
        "STATUSPULSE_WORKERS",
        "STATUSPULSE_LOG",
        "STATUSPULSE_LOG_FORMAT",
    ];
    let missing: Vec<&str> = names.into_iter().filter(|name| !help.contains(&format!("[env: {name}"))).collect();
    assert!(code == Some(0) && missing.is_empty() && !help.contains("hunter2"), "{missing:?}\n{help}");
}
