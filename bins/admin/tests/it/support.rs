//! What the tests share: the program with a database, and what came of a run.

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use statuspulse_audit::record::instant;
use statuspulse_testkit::{MASTER_KEY, Process, TestDb};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_statuspulse-admin");
/// Fits no key.
pub(crate) const NOBODY: &str = "01900000-0000-7000-8000-000000000000";

/// The program with a database and a data directory of its own.
pub(crate) struct Admin {
    pub(crate) db: TestDb,
    folder: TempDir,
}

/// What came of a run.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Admin {
    /// On an empty database.
    pub(crate) async fn new() -> Self {
        Self { db: TestDb::new().await, folder: folder() }
    }

    /// With the organization `acme`.
    pub(crate) async fn with_org() -> Self {
        let admin = Self::new().await;
        admin.json("org create --slug acme --name Acme");
        admin
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Process::command(PROGRAM);
        command
            .args(words(arguments))
            .env("DATABASE_URL", self.db.url())
            .env("STATUSPULSE_DATA_DIR", self.folder.path().join("data"))
            .env("STATUSPULSE_MASTER_KEY", MASTER_KEY)
            .env("STATUSPULSE_BCRYPT_COST", "4");
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Ran {
        self.run_with_input(arguments, "")
    }

    pub(crate) fn run_with_input(&self, arguments: &str, input: &str) -> Ran {
        run(self.command(arguments), input)
    }

    /// The JSON answer of a command that succeeds.
    pub(crate) fn json(&self, arguments: &str) -> Value {
        self.run(&format!("--json {arguments}")).json()
    }

    /// Makes a key of `acme` for production; answers its id and token.
    pub(crate) fn key(&self, name: &str) -> (String, String) {
        let create = "key create --org acme --environment production --scope monitoring:read --name";
        let issued = self.json(&format!("{create} {name}"));
        (text(&issued["key"]["id"]), text(&issued["token"]))
    }

    /// Puts calls into the outbox, a microsecond after the other, the last one now; answers their ids. `fields` changes what
    /// each of them says.
    pub(crate) async fn calls(&self, number: u32, fields: Value) -> Vec<Uuid> {
        self.calls_until(Utc::now(), number, fields).await
    }

    /// The same, the last one at some other time.
    pub(crate) async fn calls_until(&self, until: DateTime<Utc>, number: u32, fields: Value) -> Vec<Uuid> {
        let mut ids = Vec::new();
        let mut events = Vec::new();
        for number in (0..number).rev() {
            let at = until - TimeDelta::microseconds(number.into());
            let id = statuspulse_policy::uuid_v7(at, unique());
            let mut event = json!({
                "id": id, "occurred_at": instant(at), "class": 3, "action": "api.call", "outcome": "allowed",
                "reason": null, "organization_id": null, "actor": {"kind": "unknown", "id": null}, "method": "GET",
                "route": "/api/v1/checks/**", "status": 200, "ip": "203.0.113.7", "country": null, "user_agent": "probe/1.0",
                "fingerprint": null, "request_id": null, "detail": {},
            });
            for (name, value) in fields.as_object().unwrap() {
                event[name] = value.clone();
            }
            ids.push(id);
            events.push(event);
        }
        let put = "INSERT INTO audit_outbox (event) SELECT * FROM jsonb_array_elements($1::text::jsonb)";
        self.db.client().await.execute(put, &[&Value::from(events).to_string()]).await.unwrap();
        ids
    }

    /// A file in the folder of this program.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same, with a text.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// The text of one row.
    pub(crate) async fn value(&self, query: &str) -> String {
        self.db.client().await.query_one(query, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn execute(&self, statement: &str) {
        self.db.client().await.batch_execute(statement).await.unwrap();
    }

    /// Runs with a terminal as standard input, at which somebody types these lines.
    pub(crate) fn run_at_terminal(&self, arguments: &str, typed: &str) -> Ran {
        let terminal = nix::pty::openpty(None, None).unwrap();
        File::from(terminal.master.try_clone().unwrap()).write_all(typed.as_bytes()).unwrap();
        let mut command = self.command(arguments);
        command.stdin(Stdio::from(terminal.slave));
        let output = command.output().unwrap();
        drop(terminal.master);
        Ran::from(output)
    }
}

impl Ran {
    /// The one JSON document of a run that succeeded.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Exit code, and whether standard error names something.
    pub(crate) fn refusal(&self, named: &str) -> (i32, bool) {
        (self.code, self.stderr.contains(named))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs a command with an input that is no terminal.
pub(crate) fn run(mut command: Command, input: &str) -> Ran {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that doesn't read its input closes it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Ran::from(child.wait_with_output().unwrap())
}

/// A temporary folder that other accounts may pass through: for root, PostgreSQL runs under another one.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("spa-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Bytes that no other event of this process has.
fn unique() -> [u8; 10] {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

/// Words of a command line; `%20` stands for a space within one.
pub(crate) fn words(line: &str) -> impl Iterator<Item = String> {
    line.split_whitespace().map(|word| word.replace("%20", " "))
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
