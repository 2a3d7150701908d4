//! What the tests share: a folder that cleans up after itself, other processes, SQL, and waiting with a bound.

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use statuspulse_embedded::{Cluster, Options};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Far longer than anything here takes, so that only a failure meets it.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

/// Polls until `check` holds; panics with `what` when it does not come to hold.
#[expect(clippy::disallowed_methods, reason = "polls with a bound")]
pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !check() {
        assert!(Instant::now() < deadline, "did not happen: {what}");
        std::thread::sleep(Duration::from_millis(10)); // house: allow the poll itself
    }
}

/// A temporary folder that other accounts may pass through, and a data directory in it.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place::with_mode(0o755)
    }

    /// One that only its owner may pass through.
    pub(crate) fn barred() -> Place {
        Place::with_mode(0o700)
    }

    fn with_mode(mode: u32) -> Place {
        let place = Place { dir: tempfile::Builder::new().prefix("spe-").tempdir().unwrap() };
        set_mode(place.root(), mode);
        place
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.root().join("data")
    }

    pub(crate) fn cluster_data(&self) -> PathBuf {
        self.data_dir().join("postgres/data")
    }

    pub(crate) fn options(&self) -> Options {
        quick(&self.data_dir())
    }

    pub(crate) fn open(&self) -> Cluster {
        Cluster::open(&self.options()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Only a failed test leaves a server behind.
        let pid = std::fs::read_to_string(self.cluster_data().join("postmaster.pid")).ok();
        let pid = pid.and_then(|text| text.lines().next()?.parse().ok());
        if let Some(pid) = pid
            && works_in(pid, &self.cluster_data())
        {
            send(pid, Signal::SIGKILL);
        }
    }
}

/// Options of a cluster that is gone with the machine.
pub(crate) fn quick(data_dir: &Path) -> Options {
    Options { data_dir: data_dir.to_path_buf(), durable: false, start_timeout: BOUND }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

pub(crate) fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

pub(crate) fn is_alive(pid: u32) -> bool {
    // A zombie has ended; whoever has to collect it may take its time.
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_zombie = status.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
    !is_zombie && kill(Pid::from_raw(i32::try_from(pid).unwrap()), None) != Err(nix::errno::Errno::ESRCH)
}

fn works_in(pid: u32, data: &Path) -> bool {
    Path::new(&format!("/proc/{pid}/cwd")).canonicalize().ok() == data.canonicalize().ok()
}

/// The child processes of a server.
pub(crate) fn children(postmaster: u32) -> Vec<u32> {
    let pids =
        Path::new("/proc").read_dir().unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = status.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        parent == Some(postmaster)
    })
    .collect()
}

/// Runs SQL through the socket and answers the first column of the first row.
pub(crate) fn query(url: &str, sql: &str) -> Result<Option<String>, tokio_postgres::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        let driver = tokio::spawn(connection);
        let messages = client.simple_query(sql).await;
        drop(client);
        let _ = driver.await;
        Ok(messages?.into_iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    })
}

/// An account that is neither root nor the one that root would choose for the server.
pub(crate) fn plain_user() -> User {
    User::from_name("nobody").unwrap().unwrap()
}

/// Another process that plays a role of [`crate::roles`].
pub(crate) struct Actor {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
}

impl Actor {
    pub(crate) fn start(role: &str, dir: &Path) -> Actor {
        Actor::spawn(Command::new(std::env::current_exe().unwrap()), role, dir)
    }

    /// As an account without rights; `stage` is a folder that it can reach, for the program.
    pub(crate) fn start_as(user: &User, stage: &Path, role: &str, dir: &Path) -> Actor {
        // The folder of the build may be closed to that account.
        let program = stage.join("role");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        set_mode(&program, 0o755);
        let mut command = Command::new(program);
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw()).current_dir("/");
        Actor::spawn(command, role, dir)
    }

    fn spawn(mut command: Command, role: &str, dir: &Path) -> Actor {
        command.args(["--ignored", "--exact", "--nocapture", "roles::role_of_another_process"]);
        command.env("STATUSPULSE_TEST_ROLE", role).env("STATUSPULSE_TEST_DIR", dir);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Actor { child, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next thing that it tells.
    pub(crate) fn hears(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the other process ended and told nothing");
            if let Some(told) = line.trim_end().strip_prefix("@@ ") {
                return told.to_owned();
            }
            eprint!("{line}");
        }
    }

    /// Ends it without a chance to clean up.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it come to its end.
    pub(crate) fn finish(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success(), "the other process failed");
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
