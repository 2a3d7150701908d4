//! The first start on an empty data directory, and the starts after it.

use std::process::Command;

use serde_json::json;

use crate::{
    http::Reply,
    server::{DataDir, GaveUp, Server, gives_up},
};

/// What the first start printed.
pub(crate) struct FirstRun {
    pub(crate) printed: String,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) token: String,
}

/// Starts a server on an empty data directory and reads what it prints.
pub(crate) async fn first_run(dir: &DataDir) -> (Server, FirstRun) {
    first_run_of(dir.program()).await
}

/// The same of a prepared command.
pub(crate) async fn first_run_of(command: Command) -> (Server, FirstRun) {
    let mut server = Server::start(command).await;
    server.process.line("the last command", |line| line.contains("key list --org").then_some(())).await;
    let printed = server.process.stdout();
    let value = |name: &str| {
        let line = printed.lines().find_map(|line| line.trim_start().strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {printed}")).trim().to_owned()
    };
    let (email, password, token) = (value("owner "), value("password "), value("first key "));
    (server, FirstRun { email, password, token, printed })
}

#[tokio::test]
async fn a_full_standard_output_keeps_the_server_from_nothing() {
    let dir = DataDir::new();
    let prepared = dir.program();
    let mut command = statuspulse_testkit::Process::command("sh");
    command.args(["-c", r#"exec "$0" > /dev/full"#, crate::server::PROGRAM]);
    command.envs(prepared.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut process = statuspulse_testkit::Process::spawn(command);
    let address = process
        .line("the address in the log", |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            line["fields"]["address"].as_str()?.parse().ok()
        })
        .await;
    let server = Server { process, address };
    assert_eq!(server.ask("GET", "/healthz").send().await.status, 200);
}

/// The words of a command line as a shell reads them: blanks part them, single quotes keep them.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted, mut word) = (Vec::new(), false, None::<String>);
    for character in line.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

/// Does what a printed `curl` command would.
async fn perform(server: &Server, command: &str) -> Reply {
    let words = words(command);
    let (mut method, mut headers, mut path) = ("GET", Vec::new(), "");
    let mut rest = words.iter().map(String::as_str);
    assert_eq!(rest.next(), Some("curl"));
    while let Some(word) = rest.next() {
        match word {
            "-i" => {}
            "-X" => method = rest.next().unwrap(),
            "-H" => headers.push(rest.next().unwrap().split_once(": ").unwrap()),
            url => path = url.strip_prefix(&format!("http://{}", server.address)).expect("the server's own URL"),
        }
    }
    let ask = server.ask(method, path);
    headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value)).send().await
}

#[tokio::test]
async fn of_the_printed_commands_one_call_is_let_through_and_one_refused() {
    let dir = DataDir::new();
    let (server, first) = first_run(&dir).await;
    let mut statuses = Vec::new();
    for command in first.printed.lines().map(str::trim).filter(|line| line.starts_with("curl ")) {
        statuses.push(perform(&server, command).await.status);
    }
    assert_eq!(statuses, [200, 403]);
}

#[tokio::test]
async fn the_third_command_names_the_data_directory_for_the_operators_program() {
    let dir = DataDir::new();
    let (_server, first) = first_run(&dir).await;
    let wanted = format!(
        "STATUSPULSE_DATA_DIR='{}' cargo run -q -p statuspulse-admin -- key list --org demo",
        dir.path().display()
    );
    assert_eq!(first.printed.lines().map(str::trim).rfind(|line| !line.is_empty()), Some(wanted.as_str()));
}

#[tokio::test]
async fn the_printed_owner_can_sign_in_and_create_a_key_that_is_accepted() {
    let dir = DataDir::new();
    let (server, first) = first_run(&dir).await;
    let owner = server.sign_in(&first.email, &first.password).await;
    let wanted = json!({"name": "ci", "environment": "staging", "scopes": ["checks:read"]});
    let created = server.as_(&owner, "POST", "/v1/orgs/demo/keys", &wanted).await.json();
    assert_eq!(server.judged(created["token"].as_str().unwrap()).await.status, 200);
}

#[tokio::test]
async fn a_second_start_prints_no_secret_and_the_first_key_still_works() {
    let dir = DataDir::new();
    let (mut server, first) = first_run(&dir).await;
    server.process.terminate().await;
    let again = Server::start(dir.program()).await;
    let status = again.judged(&first.token).await.status;
    let printed = again.process.stdout() + &again.process.stderr();
    let secrets = [first.token.as_str(), &first.password].map(|secret| printed.contains(secret));
    let lines = again.process.stdout().lines().count();
    assert_eq!((status, secrets, lines), (200, [false; 2], 1), "{printed}");
}

#[tokio::test]
async fn another_master_key_on_a_used_database_ends_the_start_with_one_line() {
    let dir = DataDir::new();
    let (mut server, _) = first_run(&dir).await;
    server.process.terminate().await;
    let mut command = dir.program();
    command.env("STATUSPULSE_MASTER_KEY", "YW5vdGhlci1tYXN0ZXIta2V5LW9mLTMyLWJ5dGVzISE=");
    let GaveUp { code, stderr } = gives_up(command).await;
    let wanted = "error: version 1 of the master key is not the one that this database was set up with; \
                  set STATUSPULSE_MASTER_KEY to that one";
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!((code, lines, dir.postgres()), (Some(1), vec![wanted], None));
}

#[tokio::test]
async fn a_port_in_use_ends_the_start_with_one_line_and_prints_no_secret() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = DataDir::new();
    let mut command = dir.program();
    command.env("STATUSPULSE_LISTEN", &address);
    let gave_up = gives_up(command).await;
    let errors = gave_up.errors();
    let starts = format!("error: can't listen on {address}: Address already in use");
    assert!(
        gave_up.code == Some(1) && errors.len() == 1 && errors[0].starts_with(&starts) && dir.postgres().is_none(),
        "{}",
        gave_up.stderr
    );
}

#[tokio::test]
async fn an_address_that_was_taken_at_the_first_start_does_not_cost_the_secrets() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = DataDir::new();
    let mut command = dir.program();
    command.env("STATUSPULSE_LISTEN", taken.local_addr().unwrap().to_string());
    gives_up(command).await;
    let (server, first) = first_run(&dir).await;
    assert_eq!(server.judged(&first.token).await.status, 200);
}
