//! A cluster for tests, which does not outlive the process that started it, however that one ends.

use crate::account::Account;
use crate::binaries::Binaries;
use crate::cluster::url;
use crate::place::{Layout, is_usable};
use crate::server::Server;
use crate::settings::Durability;
use crate::{EmbeddedError, init};
use nix::sys::signal::Signal;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Ends the server when the input closes, which it does in any end of this process: the pipe's only other end is here.
/// `$0` is the folder. The check of the working directory keeps a process id that is another program's by now from
/// being killed; it runs as the account of the server, whose processes not even root may look into everywhere.
const ENDER: &str = r#"
trap '' HUP INT TERM
read -r _
is_server() {
    if [ -e /proc/self/cwd ]; then [ "/proc/$1/cwd" -ef "$0/data" ]; else ps -ww -o command= -p "$1" | grep -qF "$0/data"; fi
}
pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null)
if [ "${pid:-0}" -gt 1 ] && is_server "$pid"; then
    kill -CONT "$pid"
    kill -QUIT "$pid"
    tries=0
    while [ "$tries" -lt 300 ] && is_server "$pid"; do
        tries=$((tries + 1))
        if [ "$tries" -eq 200 ]; then kill -KILL "$pid"; fi
        sleep 0.05
    done
fi
"#;

/// Removes the folder `$0` when the ender has ended, whose output is this one's input. Processes that see only now that
/// their server or their folder is gone may still create files.
const REMOVER: &str = r#"
trap '' HUP INT TERM
read -r _
tries=0
while [ "$tries" -lt 200 ]; do
    rm -rf "$0" && [ ! -e "$0" ] && break
    tries=$((tries + 1))
    sleep 0.05
done
"#;

/// How long the server of a test may take to start; a machine that runs all tests at once is slow.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A running cluster in a temporary folder of its own, which is stopped and removed when this is stopped or dropped,
/// or when the process ends in any way, `kill -9` included.
///
/// It is not durable: no `fsync`, and a commit does not wait for the log. A test that kills the server and then looks
/// for what was committed sets `synchronous_commit = on` in its session. All calls block.
#[derive(Debug)]
pub struct Ephemeral {
    server: Server,
    /// `None` once stopped.
    watchdog: Option<Watchdog>,
}

impl Ephemeral {
    /// Starts an empty cluster below `parent`, by default the system's temporary folder.
    ///
    /// # Errors
    /// Any [`EmbeddedError`] of finding, making and starting a cluster.
    pub fn start(parent: Option<&Path>) -> Result<Ephemeral, EmbeddedError> {
        let binaries = Binaries::find()?;
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let parent = parent.canonicalize().map_err(EmbeddedError::io("resolve", &parent))?;
        let home = free_name(&parent);
        let account = Account::choose(&home)?;
        if !account.may_pass(&parent) {
            return Err(EmbeddedError::Barred { path: parent, uid: account.uid() });
        }
        let layout = Layout::within(&home);
        if !is_usable(&layout.socket_dir) {
            return Err(EmbeddedError::NotOurs { path: parent, uid: account.uid() });
        }
        let watchdog = Watchdog::over(&home, account)?;
        let server = Server { layout, account, binaries, durability: Durability::None, start_timeout: START_TIMEOUT };
        let ephemeral = Ephemeral { server, watchdog: Some(watchdog) };
        init::fill(&home, account, &ephemeral.server.binaries, Durability::None)?;
        account.create_dir(&ephemeral.server.layout.socket_dir)?;
        ephemeral.server.start(true)?;
        Ok(ephemeral)
    }

    /// The folder of the socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.server.layout.socket_dir
    }

    /// The folder of the cluster, which is removed with it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.server.layout.home
    }

    /// The process id of the server, when it runs.
    #[must_use]
    pub fn server_pid(&self) -> Option<u32> {
        self.server.pid().and_then(|pid| u32::try_from(pid).ok())
    }

    /// The URL of a database of the cluster.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        url(self.socket_dir(), database)
    }

    /// Ends the server as a crash would, and waits until all of its processes are gone.
    ///
    /// # Errors
    /// [`EmbeddedError::Stop`] when they do not end.
    pub fn kill_postgres(&self) -> Result<(), EmbeddedError> {
        self.server.kill()
    }

    /// Stops the server if it runs, and starts it; what it was told to keep is still there.
    ///
    /// # Errors
    /// As [`Ephemeral::start`].
    pub fn restart(&self) -> Result<(), EmbeddedError> {
        self.server.stop()?;
        self.server.start(true)
    }

    /// Freezes all processes of the server: connections hang instead of failing, until [`Ephemeral::resume`].
    /// On systems without `/proc` only the postmaster is known: new connections hang, those that are open go on.
    pub fn pause(&self) {
        self.server.signal_all(Signal::SIGSTOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.server.signal_all(Signal::SIGCONT);
    }

    /// Stops the server and removes its folder.
    ///
    /// # Errors
    /// [`EmbeddedError::Io`] when the folder is still there afterwards.
    pub fn stop(mut self) -> Result<(), EmbeddedError> {
        self.stop_once()
    }

    fn stop_once(&mut self) -> Result<(), EmbeddedError> {
        let Some(watchdog) = self.watchdog.take() else {
            return Ok(());
        };
        self.resume();
        let home = &self.server.layout.home;
        // It does the same work in every end, so that there is one way to test.
        watchdog.release().map_err(EmbeddedError::io("wait for the removal of", home))?;
        match home.symlink_metadata() {
            Err(_) => Ok(()),
            Ok(_) => Err(EmbeddedError::io("remove", home)(std::io::Error::other("it is still in use"))),
        }
    }
}

impl Drop for Ephemeral {
    fn drop(&mut self) {
        if let Err(error) = self.stop_once() {
            tracing::warn!(%error, "could not remove a temporary postgresql");
        }
    }
}

/// The two processes that clean up when this one has ended.
#[derive(Debug)]
struct Watchdog {
    /// Its input is open as long as this process lives.
    ender: Child,
    remover: Child,
}

impl Watchdog {
    /// Watches over a folder, which need not be there yet.
    fn over(home: &Path, account: Account) -> Result<Watchdog, EmbeddedError> {
        let failed = || EmbeddedError::io("run", Path::new("sh"));
        let mut command = account.command("sh");
        command.arg("-c").arg(ENDER).arg(home).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ender = detached(&mut command).spawn().map_err(failed())?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(REMOVER).arg(home).current_dir("/").stdout(Stdio::null());
        command.stdin(ender.stdout.take().map_or_else(Stdio::null, Stdio::from));
        let remover = detached(&mut command).spawn().map_err(failed())?;
        Ok(Watchdog { ender, remover })
    }

    /// Lets it do its work now, and waits until it has.
    fn release(mut self) -> std::io::Result<()> {
        drop(self.ender.stdin.take());
        self.ender.wait()?;
        self.remover.wait().map(drop)
    }
}

/// In a process group of its own: what ends the test run must not end its cleaner. No output: whoever reads that of the
/// test run waits until all who could write it are gone.
fn detached(command: &mut Command) -> &mut Command {
    command.stderr(Stdio::null()).process_group(0)
}

/// A name that nobody can have taken by chance; that it is free is the creation's to find out.
fn free_name(parent: &Path) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    parent.join(format!("spt-{}-{number}-{nanoseconds:08x}", std::process::id()))
}
