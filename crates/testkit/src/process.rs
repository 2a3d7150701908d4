//! A program under test, run as it is run in earnest.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

use crate::wait::{PATIENCE, a_moment};

/// A running program; killed when dropped. What it writes is collected, so that it never waits for a reader.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Text,
    stderr: Text,
    /// Closed when both outputs are.
    reading: mpsc::Receiver<()>,
}

type Text = Arc<Mutex<String>>;

impl Process {
    /// A command for a program, with nothing of our own configuration left in its environment.
    pub fn command(program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("STATUSPULSE_") || text.starts_with("PG") || text == "DATABASE_URL" {
                command.env_remove(&name);
            }
        }
        command
    }

    /// Starts a program with arguments and environment; its input is empty.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start<A: AsRef<OsStr>>(
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = A>,
        environment: impl IntoIterator<Item = (A, A)>,
    ) -> Self {
        let mut command = Self::command(program);
        command.args(arguments).envs(environment);
        Self::spawn(command)
    }

    /// Starts a prepared command; its input is empty.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn spawn(command: Command) -> Self {
        Self::spawn_with_input(command, "")
    }

    /// Starts a prepared command and gives it an input.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn spawn_with_input(mut command: Command, input: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("an input");
        let input = input.to_owned();
        // One that doesn't read its input closes it.
        thread::spawn(move || stdin.write_all(input.as_bytes()));
        let (stdout, stderr) = (Text::default(), Text::default());
        let (done, reading) = mpsc::channel();
        collect(child.stdout.take().expect("an output"), &stdout, done.clone());
        collect(child.stderr.take().expect("an output for errors"), &stderr, done);
        Self { child, stdout, stderr, reading }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Waits until a line of either output fits, and answers what is made of it.
    ///
    /// # Panics
    /// With all output, when none does within [`PATIENCE`] or the program ends first.
    pub async fn line<T>(&mut self, description: &str, fits: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Asked before the look, so that the last words of a program count.
            let ended = self.child.try_wait().expect("the program can be asked").is_some();
            if ended {
                self.finish_reading();
            }
            let found = [self.stdout(), self.stderr()];
            if let Some(found) = found.iter().flat_map(|text| text.lines()).find_map(&fits) {
                return found;
            }
            assert!(
                !ended && Instant::now() < deadline,
                "no such line: {description}\n--- stdout\n{}\n--- stderr\n{}",
                self.stdout(),
                self.stderr()
            );
            a_moment().await;
        }
    }

    /// Waits until it has ended and all of its output is there.
    ///
    /// # Panics
    /// With all output, when it doesn't end within [`PATIENCE`].
    pub async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the program can be asked") {
                self.finish_reading();
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the program does not end\n--- stdout\n{}\n--- stderr\n{}",
                self.stdout(),
                self.stderr()
            );
            a_moment().await;
        }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it is gone already.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        signal::kill(Pid::from_raw(pid), signal).expect("the program is there");
    }

    /// Asks it to end, with `SIGTERM`, and waits until it has.
    ///
    /// # Panics
    /// As [`Process::ended`].
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    /// Ends it as `kill -9` does, and waits until it is gone.
    ///
    /// # Panics
    /// When it can't be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("the program can be killed");
        self.child.wait().expect("the program can be waited for");
    }

    /// The rest of the output of a program that has ended. Bounded: what it left running in the background may hold its
    /// output open.
    fn finish_reading(&self) {
        let _ = self.reading.recv_timeout(Duration::from_secs(1));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nothing is ever sent to `done`; it is closed at the end.
fn collect(from: impl Read + Send + 'static, into: &Text, done: mpsc::Sender<()>) {
    let into = Arc::clone(into);
    thread::spawn(move || {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(lines.read_until(b'\n', &mut line), Ok(read) if read > 0) {
            into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
        drop(done);
    });
}

fn read(text: &Text) -> String {
    text.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
