//! Stop and reload by signals.

use std::fs;

use nix::sys::signal::Signal;
use statuspulse_testkit::{TestDb, eventually};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    first_run::first_run,
    http::Reply,
    server::{DataDir, Server, World},
};

/// The built-in catalog, which a deployment starts from when it writes one of its own.
const CATALOG: &str = include_str!("../../../../crates/policy/src/catalog.toml");

async fn stops_on(signal: Signal) {
    let dir = DataDir::new();
    let (mut server, _) = first_run(&dir).await;
    server.process.signal(signal);
    let status = server.process.ended().await;
    assert_eq!((status.code(), dir.postgres()), (Some(0), None), "{}", server.process.stderr());
}

#[tokio::test]
async fn sigterm_ends_server_and_postgresql_with_exit_code_0() {
    stops_on(Signal::SIGTERM).await;
}

#[tokio::test]
async fn sigint_ends_server_and_postgresql_with_exit_code_0() {
    stops_on(Signal::SIGINT).await;
}

#[tokio::test]
async fn a_signal_during_the_start_ends_both_with_exit_code_0() {
    let dir = DataDir::new();
    let mut process = statuspulse_testkit::Process::spawn(dir.program());
    process.line("PostgreSQL runs", |line| line.contains("postgresql started").then_some(())).await;
    let status = process.terminate().await;
    assert_eq!((status.code(), dir.postgres()), (Some(0), None), "{}", process.stderr());
}

/// A request whose handler is running and waits for the second half of its body.
struct HalfSent(TcpStream);

impl HalfSent {
    const BODY: &str = r#"{"email":"nobody@acme.test","password":"not the right one"}"#;

    async fn start(server: &Server) -> Self {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST /v1/session HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Expect: 100-continue\r\n\r\n",
            server.address,
            Self::BODY.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // With this the server says that it has taken the request on.
        let mut answered = [0; 25];
        stream.read_exact(&mut answered).await.unwrap();
        assert_eq!(&answered, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(&Self::BODY.as_bytes()[..20]).await.unwrap();
        Self(stream)
    }

    async fn finish(mut self) -> Option<Reply> {
        self.0.write_all(&Self::BODY.as_bytes()[20..]).await.ok()?;
        let mut answered = Vec::new();
        self.0.read_to_end(&mut answered).await.ok()?;
        Reply::read(&answered)
    }
}

async fn has_been_told_to_stop(server: &mut Server) {
    server.process.signal(Signal::SIGTERM);
    server.process.line("that it stops", |line| line.contains("requests in flight").then_some(())).await;
}

#[tokio::test]
async fn a_request_in_flight_is_finished_before_the_server_stops() {
    let mut world = World::new().await;
    let request = HalfSent::start(&world.server).await;
    has_been_told_to_stop(&mut world.server).await;
    let status = request.finish().await.map(|reply| reply.status);
    assert_eq!((status, world.server.process.ended().await.code()), (Some(401), Some(0)));
}

#[tokio::test]
async fn while_a_request_is_finished_no_new_connection_is_taken() {
    let mut world = World::new().await;
    let request = HalfSent::start(&world.server).await;
    has_been_told_to_stop(&mut world.server).await;
    let address = world.server.address;
    eventually("connections are refused", async || TcpStream::connect(address).await.is_err()).await;
    assert!(request.finish().await.is_some());
}

#[tokio::test]
async fn a_request_that_never_ends_holds_the_server_no_longer_than_its_grace() {
    let mut world = World::new().await;
    let request = HalfSent::start(&world.server).await;
    has_been_told_to_stop(&mut world.server).await;
    let code = world.server.process.ended().await.code();
    drop(request);
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_a_server_that_stops() {
    let mut world = World::new().await;
    let mut idle = TcpStream::connect(world.server.address).await.unwrap();
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", world.server.address);
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut part = [0; 4_096];
    assert!(idle.read(&mut part).await.unwrap() > 0);
    has_been_told_to_stop(&mut world.server).await;
    let code = world.server.process.ended().await.code();
    assert_eq!(code, Some(0));
}

/// A server with a catalog of its own, which the test rewrites, and a key with `checks:read`.
struct Reloading {
    world: World,
    token: String,
    file: std::path::PathBuf,
    _folder: TempDir,
}

impl Reloading {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalog.toml");
        fs::write(&file, CATALOG).unwrap();
        let world = World::with(TestDb::new().await, |command| {
            command.env("STATUSPULSE_CATALOG", &file);
        })
        .await;
        let token = world.token(&["checks:read"]).await;
        Self { world, token, file, _folder: folder }
    }

    async fn reload(&mut self, catalog: &str, until: &str) {
        fs::write(&self.file, catalog).unwrap();
        let process = &mut self.world.server.process;
        process.signal(Signal::SIGHUP);
        process.line(until, |line| line.contains(until).then_some(())).await;
    }

    async fn status_of(&self, path: &str) -> u16 {
        self.world.server.ask("GET", &format!("/v1/forward-auth{path}")).key(&self.token).send().await.status
    }
}

fn with_rule(path: &str) -> String {
    format!("{CATALOG}\n[[rules]]\nmethods = [\"GET\"]\npath = \"{path}\"\nscope = \"checks:read\"\n")
}

#[tokio::test]
async fn sighup_puts_a_changed_catalog_in_force() {
    let mut reloading = Reloading::new().await;
    let before = reloading.status_of("/api/v2/checks").await;
    reloading.reload(&with_rule("/api/v2/checks"), "the catalog was read again").await;
    assert_eq!((before, reloading.status_of("/api/v2/checks").await), (403, 200));
}

#[tokio::test]
async fn sighup_with_a_bad_catalog_keeps_the_old_one_and_readiness_says_so() {
    let mut reloading = Reloading::new().await;
    reloading.reload("resources = 1", "the catalog was refused").await;
    let readiness = reloading.world.server.readiness().await;
    assert_eq!(
        (reloading.status_of("/api/v1/checks").await, readiness),
        (200, (200, "degraded".into(), vec!["catalog_refused".into()]))
    );
}

#[tokio::test]
async fn a_good_catalog_after_a_bad_one_makes_readiness_whole_again() {
    let mut reloading = Reloading::new().await;
    reloading.reload("resources = 1", "the catalog was refused").await;
    reloading.reload(CATALOG, "the catalog was read again").await;
    assert_eq!(reloading.world.server.readiness().await, (200, "ready".into(), vec![]));
}

#[tokio::test]
async fn sighup_with_a_catalog_that_gives_a_bit_to_another_scope_is_refused() {
    let mut reloading = Reloading::new().await;
    let swapped = CATALOG.replace("action = \"read\", bit = 1,", "action = \"look\", bit = 1,");
    reloading.reload(&swapped, "the catalog was refused").await;
    assert_eq!(reloading.status_of("/api/v1/checks").await, 200);
}

/// Something that takes connections and never answers, as a database does that hangs.
async fn silent() -> (tokio::net::TcpListener, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgresql://u:hunter2@{}/x", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn a_database_that_never_answers_ends_the_start_with_one_line() {
    let (dir, (_listener, url)) = (DataDir::new(), silent().await);
    let mut command = dir.program();
    command.env("DATABASE_URL", url);
    let gave_up = crate::server::gives_up(command).await;
    let line = "error: the database is not available: no answer within 10 s";
    assert_eq!((gave_up.code, gave_up.errors()), (Some(1), vec![line]));
}

#[tokio::test]
async fn a_signal_ends_a_start_that_waits_for_such_a_database() {
    let (dir, (listener, url)) = (DataDir::new(), silent().await);
    let mut command = dir.program();
    command.env("DATABASE_URL", url);
    let mut process = statuspulse_testkit::Process::spawn(command);
    let _connection = listener.accept().await.unwrap();
    let status = process.terminate().await;
    assert_eq!(status.code(), Some(1), "{}", process.stderr());
}
