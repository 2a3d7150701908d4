//! Running servers, with a private PostgreSQL or over a database of the test.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, ExitStatus},
};

use nix::{sys::signal::kill, unistd::Pid};
use serde_json::{Value, json};
use statuspulse_app::keys::CreateKey;
use statuspulse_embedded::{Cluster, Options};
use statuspulse_testkit::{MASTER_KEY, Person, Process, TestApp, TestDb, TestOrg, eventually, key_of};
use tempfile::TempDir;

use crate::http::{Ask, Reply};

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_statuspulse-auth");
/// A call that `checks:read` covers.
pub(crate) const CHECKS: &str = "/v1/forward-auth/api/v1/checks";

/// The program on a free port of loopback, with a log that programs read.
pub(crate) fn program() -> Command {
    let mut command = Process::command(PROGRAM);
    command.env("STATUSPULSE_LISTEN", "127.0.0.1:0").env("STATUSPULSE_LOG_FORMAT", "json");
    command
}

/// A data directory. A PostgreSQL that a killed server left in it is stopped before it is removed.
pub(crate) struct DataDir(TempDir);

impl DataDir {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("sps-").tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program with this data directory and a private PostgreSQL.
    pub(crate) fn program(&self) -> Command {
        let mut command = program();
        command.env("STATUSPULSE_DATA_DIR", self.path());
        command
    }

    /// The process id of its PostgreSQL, if that runs.
    pub(crate) fn postgres(&self) -> Option<i32> {
        let text = fs::read_to_string(self.path().join("postgres/data/postmaster.pid")).ok()?;
        let pid = text.lines().next()?.trim().parse().ok()?;
        kill(Pid::from_raw(pid), None).is_ok().then_some(pid)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if self.postgres().is_some()
            && let Ok(cluster) = Cluster::open(&Options::new(self.path()))
        {
            let _ = cluster.close();
        }
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it and waits until it answers.
    pub(crate) async fn start(command: Command) -> Self {
        let mut process = Process::spawn(command);
        let address = process
            .line("the address", |line| line.strip_prefix("StatusPulse Auth is listening on http://")?.parse().ok())
            .await;
        Self { process, address }
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(self.address, method, path)
    }

    /// What a gateway is told about a call with a token to [`CHECKS`].
    pub(crate) async fn judged(&self, token: &str) -> Reply {
        self.ask("GET", CHECKS).key(token).send().await
    }

    pub(crate) async fn readiness(&self) -> (u16, String, Vec<String>) {
        let reply = self.ask("GET", "/readyz").send().await;
        let json = reply.json();
        let reasons = json["reasons"].as_array().cloned().unwrap_or_default();
        let codes = reasons.iter().map(|reason| reason["code"].as_str().unwrap().to_owned()).collect();
        (reply.status, json["status"].as_str().unwrap_or_default().to_owned(), codes)
    }

    /// Waits until readiness is this, with a reason of this code if one is named.
    pub(crate) async fn becomes(&self, status: &str, reason: Option<&str>) {
        eventually(&format!("readiness `{status}` for {reason:?}"), async || {
            let (_, word, codes) = self.readiness().await;
            word == status && reason.is_none_or(|reason| codes.iter().any(|code| code == reason))
        })
        .await;
    }

    /// Signs in.
    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Browser {
        let reply = self.ask("POST", "/v1/session").json(&json!({"email": email, "password": password})).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let csrf = reply.json()["csrf_token"].as_str().unwrap().to_owned();
        Browser { cookie, csrf, origin: format!("http://{}", self.address) }
    }

    /// A request as somebody who is signed in.
    pub(crate) async fn as_(&self, browser: &Browser, method: &str, path: &str, body: &Value) -> Reply {
        browser.on(self.ask(method, path)).json(body).send().await
    }
}

/// Somebody who is signed in.
pub(crate) struct Browser {
    cookie: String,
    csrf: String,
    origin: String,
}

impl Browser {
    /// What the dashboard sends with a request.
    pub(crate) fn on(&self, ask: Ask) -> Ask {
        ask.header("Cookie", &self.cookie).header("X-CSRF-Token", &self.csrf).header("Origin", &self.origin)
    }
}

/// What a server wrote before it gave up.
pub(crate) struct GaveUp {
    pub(crate) code: Option<i32>,
    pub(crate) stderr: String,
}

impl GaveUp {
    /// Its lines for people, without the log.
    pub(crate) fn errors(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| !line.starts_with('{')).collect()
    }
}

/// Starts the program and waits until it gives up.
pub(crate) async fn gives_up(command: Command) -> GaveUp {
    let mut process = Process::spawn(command);
    let status: ExitStatus = process.ended().await;
    GaveUp { code: status.code(), stderr: process.stderr() }
}

/// A server over a database of the test, with an organization, its owner and keys in it.
pub(crate) struct World {
    pub(crate) db: TestDb,
    /// The same database in this process: for what can't be had through the server.
    pub(crate) app: TestApp,
    pub(crate) org: TestOrg,
    pub(crate) server: Server,
    data: DataDir,
}

fn command(db: &TestDb, data: &DataDir, more: impl FnOnce(&mut Command)) -> Command {
    let mut command = data.program();
    command.env("DATABASE_URL", db.url()).env("STATUSPULSE_MASTER_KEY", MASTER_KEY);
    more(&mut command);
    command
}

impl World {
    /// The usual one.
    pub(crate) async fn new() -> Self {
        Self::with(TestDb::new().await, |_| {}).await
    }

    /// One whose server is started with more in its environment.
    pub(crate) async fn with(db: TestDb, more: impl FnOnce(&mut Command)) -> Self {
        let app = TestApp::builder(&db).real_clock().start().await;
        let org = app.organization("acme").await;
        let data = DataDir::new();
        let server = Server::start(command(&db, &data, more)).await;
        Self { db, app, org, server, data }
    }

    /// Starts the server again, over the same database and data directory.
    pub(crate) async fn start_again(&mut self, more: impl FnOnce(&mut Command)) {
        self.server = Server::start(command(&self.db, &self.data, more)).await;
    }

    /// Folder of the server's audit spool.
    pub(crate) fn spool(&self) -> std::path::PathBuf {
        self.data.path().join("audit/spool")
    }

    pub(crate) fn owner(&self) -> &Person {
        &self.org.owner
    }

    /// The token of a new production key with these scopes, which the server knows already.
    pub(crate) async fn token(&self, scopes: &[&str]) -> String {
        self.token_of(key_of("production", scopes)).await
    }

    /// The same of any key.
    pub(crate) async fn token_of(&self, wanted: CreateKey) -> String {
        let (_, token) = self.app.key(&self.org, wanted).await;
        // One call, so that it is in the server's memory and its secret is checked.
        self.server.judged(&token).await;
        token
    }
}
