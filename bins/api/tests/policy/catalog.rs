//! The catalog at start and when it is read again (policy §3.1 and §3.5).

use std::{fs, path::Path};

use statuspulse_auth::config::ServeArgs;
use statuspulse_policy::Catalog;
use statuspulse_testkit::{MASTER_KEY, Process, TestDb};

/// Starts the program with a catalog that has this after the built-in one: its exit code and what it wrote.
async fn started_with(more: &str) -> (Option<i32>, Vec<String>) {
    started_with_text(&format!("{}\n{more}", Catalog::BUILTIN_TOML)).await
}

async fn started_with_text(text: &str) -> (Option<i32>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.toml");
    fs::write(&file, text).unwrap();
    let mut command = Process::command(env!("CARGO_BIN_EXE_statuspulse-auth"));
    command.env("STATUSPULSE_CATALOG", &file).env("STATUSPULSE_DATA_DIR", folder.path().join("data"));
    let mut process = Process::spawn(command);
    let status = process.ended().await;
    let lines = [process.stdout(), process.stderr()].concat();
    (status.code(), lines.lines().map(str::to_owned).collect())
}

/// The server does not start and one line says each of these words.
fn refused(started: &(Option<i32>, Vec<String>), words: &[&str]) -> bool {
    let (code, lines) = started;
    *code == Some(2) && lines.len() == 1 && words.iter().all(|word| lines[0].contains(word))
}

/// spec: policy P2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_without_a_scope_stops_the_start() {
    let started = started_with("[[rules]]\nmethods = [\"GET\"]\npath = \"/api/v1/status\"").await;
    assert!(refused(&started, &["STATUSPULSE_CATALOG", "GET /api/v1/status"]), "{started:?}");
}

/// spec: policy P2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_equal_rules_stop_the_start() {
    let rule =
        |name| format!("[[rules]]\nmethods = [\"GET\"]\npath = \"/api/v1/teams/{{{name}}}\"\nscope = \"keys:read\"\n");
    let started = started_with(&[rule("team"), rule("other")].concat()).await;
    assert!(refused(&started, &["/api/v1/teams/{team}", "/api/v1/teams/{other}", "GET"]), "{started:?}");
}

/// spec: policy P2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bit_that_two_scopes_have_stops_the_start() {
    let more = "[[resources]]\nname = \"reports\"\ndescription = \"Reports\"\n\
        scopes = [{ action = \"read\", bit = 4, description = \"See reports\" }]";
    let started = started_with(more).await;
    assert!(refused(&started, &["bit 4", "`reports:read`", "`incidents:write`"]), "{started:?}");
}

/// spec: policy P2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_bit_that_is_used_again_stops_the_start() {
    let started = started_with_text(&Catalog::BUILTIN_TOML.replace("retired = []", "retired = [16]")).await;
    assert!(refused(&started, &["bit 16", "`credentials:verify`", "retired"]), "{started:?}");
}

/// spec: policy P2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_is_not_there_stops_the_start() {
    let mut command = Process::command(env!("CARGO_BIN_EXE_statuspulse-auth"));
    command.env("STATUSPULSE_CATALOG", "/nowhere/catalog.toml");
    let mut process = Process::spawn(command);
    let started = (process.ended().await.code(), vec![process.stderr().trim_end().to_owned()]);
    assert!(refused(&started, &["STATUSPULSE_CATALOG", "/nowhere/catalog.toml"]), "{started:?}");
}

/// What a running server has of a catalog before and after its file changed and `SIGHUP`: whether the new scope is there,
/// and whether readiness says that the file was refused.
async fn read_again(text: &str) -> [(bool, bool); 2] {
    let db = TestDb::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.toml");
    fs::write(&file, Catalog::BUILTIN_TOML).unwrap();
    let running =
        statuspulse_auth::start(arguments(&db, folder.path(), &file).read().unwrap(), statuspulse_app::Env::system());
    let running = running.await.map_err(|error| error.to_string()).unwrap();
    let seen = || {
        let has = running.state.app.catalog.load().scope("reports:read").is_some();
        (has, running.state.catalog_refused())
    };
    let before = seen();
    fs::write(&file, text).unwrap();
    running.reload();
    let after = seen();
    running.stop().await.map_err(|error| error.to_string()).unwrap();
    [before, after]
}

fn arguments(db: &TestDb, folder: &Path, file: &Path) -> ServeArgs {
    ServeArgs {
        listen: "127.0.0.1:0".into(),
        database_url: Some(db.url().to_owned()),
        data_dir: Some(folder.join("data").display().to_string()),
        master_key: Some(MASTER_KEY.into()),
        catalog: Some(file.display().to_string()),
        client_ip_header: "x-forwarded-for".into(),
        log: "off".into(),
        ..ServeArgs::default()
    }
}

const REPORTS: &str = "[[resources]]\nname = \"reports\"\ndescription = \"Reports\"\n\
    scopes = [{ action = \"read\", bit = 17, description = \"See reports\" }]";

/// spec: policy §3.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_is_read_again_is_swapped_as_a_whole() {
    let seen = read_again(&format!("{}\n{REPORTS}", Catalog::BUILTIN_TOML)).await;
    assert_eq!(seen, [(false, false), (true, false)]);
}

/// spec: policy §3.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_catalog_keeps_the_old_one_and_says_so() {
    let seen = read_again(&format!("{}\n{REPORTS}\nnonsense", Catalog::BUILTIN_TOML)).await;
    assert_eq!(seen, [(false, false), (false, true)]);
}

/// spec: policy §1.1, §3.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_gives_a_bit_to_another_scope_keeps_the_old_one() {
    let text = format!("{}\n{REPORTS}", Catalog::BUILTIN_TOML);
    let moved = text.replace("bit = 16,", "bit = 18,").replace("bit = 17,", "bit = 16,");
    assert_eq!(read_again(&moved).await, [(false, false), (false, true)]);
}
