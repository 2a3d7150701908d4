//! The private PostgreSQL under crashes of the server and of itself.

use std::{fs, path::PathBuf};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use statuspulse_testkit::eventually;

use crate::{
    first_run::{FirstRun, first_run},
    server::{Browser, DataDir, Server, gives_up},
};

#[tokio::test]
async fn after_kill_9_of_the_server_the_next_one_takes_over_its_postgresql() {
    let dir = DataDir::new();
    let (mut server, first) = first_run(&dir).await;
    let before = dir.postgres();
    server.process.kill();
    let next = Server::start(dir.program()).await;
    assert_eq!((dir.postgres(), next.judged(&first.token).await.status), (before, 200));
}

#[tokio::test]
async fn what_was_changed_just_before_kill_9_of_both_is_there_after_the_next_start() {
    let dir = DataDir::new();
    let (mut server, first) = first_run(&dir).await;
    let owner = server.sign_in(&first.email, &first.password).await;
    let wanted = json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]});
    let created = server.as_(&owner, "POST", "/v1/orgs/demo/keys", &wanted).await.json();
    kill_postgres(&dir);
    server.process.kill();
    let next = Server::start(dir.program()).await;
    assert_eq!(next.judged(created["token"].as_str().unwrap()).await.status, 200);
}

#[tokio::test]
async fn a_second_server_on_the_same_data_directory_gives_up_with_one_line() {
    let dir = DataDir::new();
    let (server, _) = first_run(&dir).await;
    let second = gives_up(dir.program()).await;
    let wanted = format!(
        "error: data directory `{}` is in use by another server (process {}): stop that one or set \
         STATUSPULSE_DATA_DIR to another directory\n",
        dir.path().display(),
        server.process.pid()
    );
    assert_eq!((second.code, second.stderr), (Some(1), wanted));
}

#[tokio::test]
async fn a_postgresql_that_dies_under_the_server_is_started_again() {
    let dir = DataDir::new();
    let (server, first) = first_run(&dir).await;
    let owner = server.sign_in(&first.email, &first.password).await;
    let before = kill_postgres(&dir);
    let wanted = json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]});
    eventually("the control plane works again", async || {
        server.as_(&owner, "POST", "/v1/orgs/demo/keys", &wanted).await.status == 201
    })
    .await;
    assert_ne!(dir.postgres(), Some(before));
}

#[tokio::test]
async fn a_postgresql_that_is_killed_again_and_again_is_started_each_time() {
    let dir = DataDir::new();
    let (server, _) = first_run(&dir).await;
    for _ in 0..3 {
        let before = kill_postgres(&dir);
        eventually("another PostgreSQL runs", async || dir.postgres().is_some_and(|now| now != before)).await;
        server.becomes("ready", None).await;
    }
    assert_eq!(server.readiness().await.0, 200);
}

#[tokio::test]
async fn a_server_stops_in_order_while_its_postgresql_is_being_started_again() {
    let dir = DataDir::new();
    let (mut server, _) = first_run(&dir).await;
    kill_postgres(&dir);
    let status = server.process.terminate().await;
    // The one that was killed may still be on its way out, and then has to be buried by whoever inherits it.
    statuspulse_testkit::eventually("no postgresql is left", async || dir.postgres().is_none()).await;
    assert_eq!(status.code(), Some(0), "{}", server.process.stderr());
}

#[tokio::test]
async fn without_its_postgresql_calls_are_judged_from_memory_and_readiness_is_degraded() {
    let down = Down::new().await;
    let readiness = down.server.readiness().await;
    let judged = down.server.judged(&down.first.token).await.status;
    assert_eq!((judged, readiness.0, readiness.1.as_str()), (200, 200, "degraded"));
}

#[tokio::test]
async fn without_its_postgresql_the_control_plane_asks_to_try_again() {
    let down = Down::new().await;
    let wanted = json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]});
    let reply = down.server.as_(&down.owner, "POST", "/v1/orgs/demo/keys", &wanted).await;
    let headers = ["content-type", "retry-after"].map(|name| reply.header(name).map(str::to_owned));
    assert_eq!(
        (reply.outcome(), headers),
        ((503, "unavailable".into()), [Some("application/problem+json".into()), Some("1".into())])
    );
}

#[tokio::test]
async fn when_its_postgresql_can_be_started_again_both_planes_recover_by_themselves() {
    let down = Down::new().await;
    down.repair();
    down.server.becomes("ready", None).await;
    let wanted = json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]});
    let created = down.server.as_(&down.owner, "POST", "/v1/orgs/demo/keys", &wanted).await;
    let judged = down.server.judged(created.json()["token"].as_str().unwrap_or_default()).await;
    assert_eq!((created.status, judged.status), (201, 200));
}

#[tokio::test]
async fn that_its_postgresql_is_gone_is_logged_once_and_not_every_second() {
    let down = Down::new().await;
    eventually("a second try", async || postgres_log(&down.dir).matches("pg_control").count() >= 2).await;
    let log = down.server.process.stderr();
    assert_eq!(log.matches("can't be started again yet").count(), 1, "{log}");
}

/// A server whose PostgreSQL was killed and can't start, since a file of its own is missing.
struct Down {
    // Dropped before the directory is.
    server: Server,
    owner: Browser,
    first: FirstRun,
    hidden: PathBuf,
    dir: DataDir,
}

impl Down {
    async fn new() -> Self {
        let dir = DataDir::new();
        let (server, first) = first_run(&dir).await;
        let owner = server.sign_in(&first.email, &first.password).await;
        let hidden = dir.path().join("postgres/data/global/pg_control");
        fs::rename(&hidden, hidden.with_extension("hidden")).unwrap();
        kill_postgres(&dir);
        server.becomes("degraded", Some("database_away")).await;
        Self { server, owner, first, hidden, dir }
    }

    fn repair(&self) {
        fs::rename(self.hidden.with_extension("hidden"), &self.hidden).unwrap();
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        self.server.process.kill();
    }
}

fn kill_postgres(dir: &DataDir) -> i32 {
    let pid = dir.postgres().expect("a running PostgreSQL");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    pid
}

fn postgres_log(dir: &DataDir) -> String {
    fs::read_to_string(dir.path().join("postgres/log")).unwrap_or_default()
}

#[tokio::test]
async fn a_lost_master_key_is_not_replaced_by_another_one() {
    let dir = DataDir::new();
    let (mut server, _) = first_run(&dir).await;
    server.process.terminate().await;
    let file = dir.path().join("master.key");
    fs::remove_file(&file).unwrap();
    let gave_up = gives_up(dir.program()).await;
    let line = format!(
        "error: the database was set up with a master key and there is no `{}`: restore that file, or set \
         STATUSPULSE_MASTER_KEY",
        file.display()
    );
    assert_eq!(
        (gave_up.code, gave_up.errors(), file.exists(), dir.postgres()),
        (Some(1), vec![line.as_str()], false, None)
    );
}

#[tokio::test]
async fn a_master_key_that_others_can_read_is_taken_away_from_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = DataDir::new();
    let (mut server, _) = first_run(&dir).await;
    server.process.terminate().await;
    let file = dir.path().join("master.key");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let next = Server::start(dir.program()).await;
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    let warned = next.process.stderr().contains("was open to others (mode 644)");
    assert!(mode == 0o600 && warned, "{mode:o} {}", next.process.stderr());
}
