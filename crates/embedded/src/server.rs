//! The server of one cluster: what state it is in, how it starts, how it stops.

use crate::EmbeddedError;
use crate::account::Account;
use crate::binaries::Binaries;
use crate::error::last_lines;
use crate::files::{open_log, read_small, read_tail};
use crate::place::Layout;
use crate::process::{all_in, is_alive, send, works_in};
use crate::settings::{Durability, settings};
use crate::wait::a_moment;
use nix::sys::signal::Signal;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// Above this the log of the server is set aside at its next start.
const LONGEST_LOG: u64 = 10 * 1024 * 1024;
/// How long processes whose postmaster is gone may take to see that, and again to obey.
const ORPHANS_GRACE: Duration = Duration::from_secs(5);
/// How long a fast shutdown may take before it becomes an immediate one, and that before it counts as failed.
const STOP_GRACE: Duration = Duration::from_secs(30);
/// What PostgreSQL writes when processes of a server whose postmaster is gone still use its memory.
const MEMORY_IN_USE: &str = "pre-existing shared memory block";

/// What `postmaster.pid` and the processes of the machine say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No server runs, and nothing is in the way of one.
    Down,
    /// No server runs; the file names a process that lives and is another program, or none.
    Misnamed,
    /// The server, or a single-user one, runs; and whether it says that it accepts connections.
    Running { pid: i32, ready: bool },
}

/// A cluster with all that it takes to run its server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) layout: Layout,
    pub(crate) account: Account,
    pub(crate) binaries: Binaries,
    pub(crate) durability: Durability,
    pub(crate) start_timeout: Duration,
}

impl Server {
    /// The process id of the postmaster, when it runs.
    pub(crate) fn pid(&self) -> Option<i32> {
        match self.state() {
            Ok(State::Running { pid, .. }) => Some(pid),
            _ => None,
        }
    }

    /// Whether the server runs and its socket answers.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state(), Ok(State::Running { ready: true, .. })) && self.answers()
    }

    fn answers(&self) -> bool {
        UnixStream::connect(self.layout.socket()).is_ok()
    }

    fn state(&self) -> Result<State, EmbeddedError> {
        let path = self.layout.pid_file();
        let Some(text) = read_small(&path).map_err(EmbeddedError::io("read", &path))? else {
            return Ok(State::Down);
        };
        let mut lines = text.lines();
        // A single-user server writes its id with a minus.
        let pid = lines.next().and_then(|line| line.trim().trim_start_matches('-').parse::<i32>().ok());
        // PostgreSQL refuses to start on a file without an id, which a loss of power may leave.
        let Some(pid) = pid.filter(|pid| *pid > 0) else {
            return Ok(State::Misnamed);
        };
        if works_in(pid, &self.layout.data, self.account) {
            let ready = lines.nth(6).is_some_and(|status| status.trim() == "ready");
            return Ok(State::Running { pid, ready });
        }
        Ok(if is_alive(pid) { State::Misnamed } else { State::Down })
    }

    /// Makes sure that the server runs and accepts connections: re-uses the one that runs, starts one otherwise.
    /// `may_restart` says that nobody else uses the cluster, so that a server that cannot be reached may be ended.
    pub(crate) fn start(&self, may_restart: bool) -> Result<(), EmbeddedError> {
        let deadline = Instant::now() + self.start_timeout;
        loop {
            match self.state()? {
                State::Running { ready: true, .. } if self.answers() => return Ok(()),
                State::Running { pid, ready: true } => self.end_unreachable(pid, may_restart)?,
                State::Running { pid, .. } => {
                    tracing::debug!(pid, "postgresql is starting or stopping");
                    self.check(deadline)?;
                }
                State::Misnamed if self.is_deserted()? => self.remove_stale()?,
                State::Down if self.is_deserted()? => {
                    if self.launch(deadline)? {
                        return Ok(());
                    }
                }
                // A server whose starter was killed has written its file meanwhile.
                State::Misnamed | State::Down => {}
            }
            a_moment();
        }
    }

    fn check(&self, deadline: Instant) -> Result<(), EmbeddedError> {
        if Instant::now() < deadline {
            return Ok(());
        }
        let detail = last_lines(&read_tail(&self.layout.log, 0), 3);
        Err(EmbeddedError::NotReady { log: self.layout.log.clone(), seconds: self.start_timeout.as_secs(), detail })
    }

    /// Ends a server whose socket is gone, which a cleaner of temporary folders may bring about.
    fn end_unreachable(&self, pid: i32, may_restart: bool) -> Result<(), EmbeddedError> {
        // Its socket answers late when it is being stopped.
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            if self.answers() || self.pid() != Some(pid) {
                return Ok(());
            }
            a_moment();
        }
        if !may_restart {
            return Err(EmbeddedError::Unreachable { pid, socket: self.layout.socket_dir.clone() });
        }
        tracing::warn!(pid, "the socket of postgresql is gone; starting it again");
        self.stop()
    }

    /// Removes a `postmaster.pid` that names another program. PostgreSQL removes it itself when the process it names
    /// is gone, but refuses to start when that id belongs to any other program of the same user.
    fn remove_stale(&self) -> Result<(), EmbeddedError> {
        tracing::warn!(file = %self.layout.pid_file().display(), "removing a postmaster.pid that names another program");
        self.account.remove_files(&[self.layout.pid_file()])
    }

    /// Waits until no process of a server whose postmaster was killed works on the cluster; such processes see that by
    /// themselves, unless they are stuck. `false`: a server runs after all.
    fn is_deserted(&self) -> Result<bool, EmbeddedError> {
        let begin = Instant::now();
        let mut ended: u32 = 0;
        loop {
            let left = all_in(&self.layout.data, self.account);
            let Some(first) = left.first() else { return Ok(true) };
            if let State::Running { .. } = self.state()? {
                return Ok(false);
            }
            match [Signal::SIGQUIT, Signal::SIGKILL].get(ended as usize) {
                Some(signal) if begin.elapsed() > ORPHANS_GRACE * (ended + 1) => {
                    tracing::warn!(?left, %signal, "ending processes of a killed postgresql");
                    left.iter().for_each(|pid| send(*pid, *signal));
                    ended += 1;
                }
                None if begin.elapsed() > ORPHANS_GRACE * 4 => {
                    return Err(EmbeddedError::Stop { pid: *first, log: self.layout.log.clone() });
                }
                _ => {}
            }
            a_moment();
        }
    }

    /// Starts the server and waits until it accepts connections. `false`: it met the remains of its predecessor, which
    /// need time to go away.
    fn launch(&self, deadline: Instant) -> Result<bool, EmbeddedError> {
        self.remove_stale_socket()?;
        let (mut child, log_start) = self.spawn()?;
        let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        loop {
            if let Some(status) = child.try_wait().map_err(EmbeddedError::io("wait for", &self.binaries.postgres()))? {
                let written = read_tail(&self.layout.log, log_start);
                if written.contains(MEMORY_IN_USE) && Instant::now() < deadline {
                    return Ok(false);
                }
                let detail = format!("{status}: {}", last_lines(&written, 5));
                return Err(EmbeddedError::Start { log: self.layout.log.clone(), detail });
            }
            if self.state()? == (State::Running { pid, ready: true }) && self.answers() {
                break;
            }
            if let Err(error) = self.check(deadline) {
                reap_at_its_end(child);
                return Err(error);
            }
            a_moment();
        }
        reap_at_its_end(child);
        tracing::info!(pid, cluster = %self.layout.home.display(), major = self.binaries.major(), "postgresql started");
        Ok(true)
    }

    /// Removes a socket that no server listens on, and its lock file. PostgreSQL does so itself, unless the process
    /// that the lock file names is another program of the same user by now.
    fn remove_stale_socket(&self) -> Result<(), EmbeddedError> {
        let socket = self.layout.socket();
        let mut lock = socket.clone().into_os_string();
        lock.push(".lock");
        let paths = [socket, lock.into()];
        if paths.iter().all(|path| path.symlink_metadata().is_err()) {
            return Ok(());
        }
        self.account.remove_files(&paths)
    }

    fn spawn(&self) -> Result<(Child, u64), EmbeddedError> {
        let program = self.binaries.postgres();
        let log_path = &self.layout.log;
        if log_path.symlink_metadata().is_ok_and(|found| found.len() > LONGEST_LOG) {
            let old = log_path.with_extension("old");
            std::fs::rename(log_path, &old).map_err(EmbeddedError::io("set aside", log_path))?;
        }
        let log = open_log(log_path, self.account.uid())?;
        let log_start = log.metadata().map_err(EmbeddedError::io("look at", log_path))?.len();
        let also_log = log.try_clone().map_err(EmbeddedError::io("open", log_path))?;
        let mut command = self.account.command(&program);
        command.arg("-D").arg(&self.layout.data);
        for setting in settings(&self.layout.socket_dir, self.durability) {
            command.arg("-c").arg(setting);
        }
        // A process group of its own: the signals of a terminal are for the service, which stops the server after its
        // own last words.
        command.stdout(log).stderr(also_log).process_group(0);
        let child = command.spawn().map_err(EmbeddedError::io("run", &program))?;
        Ok((child, log_start))
    }

    /// Stops the server, if it runs: open transactions are rolled back, and the cluster is left as after a clean end.
    pub(crate) fn stop(&self) -> Result<(), EmbeddedError> {
        for signal in [Signal::SIGINT, Signal::SIGQUIT] {
            let Some(pid) = self.pid() else { break };
            send(pid, signal);
            if self.wait_for_end(pid) {
                tracing::info!(pid, "postgresql stopped");
                break;
            }
        }
        match self.pid() {
            Some(pid) => Err(EmbeddedError::Stop { pid, log: self.layout.log.clone() }),
            None => Ok(()),
        }
    }

    /// Ends the postmaster as a crash would; the processes below it see that and end by themselves.
    pub(crate) fn kill(&self) -> Result<(), EmbeddedError> {
        if let Some(pid) = self.pid() {
            send(pid, Signal::SIGKILL);
            self.wait_for_end(pid);
        }
        self.is_deserted().map(drop)
    }

    /// Sends a signal to every process of the server, the postmaster first.
    pub(crate) fn signal_all(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            send(pid, signal);
        }
        for pid in all_in(&self.layout.data, self.account) {
            send(pid, signal);
        }
    }

    fn wait_for_end(&self, pid: i32) -> bool {
        let deadline = Instant::now() + STOP_GRACE;
        while works_in(pid, &self.layout.data, self.account) {
            if Instant::now() >= deadline {
                return false;
            }
            a_moment();
        }
        true
    }
}

/// Collects the exit status of a server that outlives the call that started it, so that it leaves no zombie.
fn reap_at_its_end(mut child: Child) {
    let reaper = std::thread::Builder::new().name("postgresql-reaper".to_owned());
    let spawned = reaper.spawn(move || {
        let _ = child.wait();
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "could not start a thread; an ended postgresql will show as a zombie");
    }
}

/// The major version that made the cluster in `data`, `None` when it is not whole.
pub(crate) fn cluster_major(data: &Path) -> Option<u32> {
    let version = read_small(&data.join("PG_VERSION")).ok().flatten()?;
    let is_whole = data.join("global/pg_control").symlink_metadata().is_ok();
    is_whole.then(|| version.trim().split('.').next()?.parse().ok()).flatten()
}
