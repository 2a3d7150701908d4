//! Redis servers for tests: started on loopback, kept in memory, gone with the test.

use std::{net::TcpListener, path::PathBuf};

use tempfile::TempDir;

use crate::{
    process::Process,
    wait::{PATIENCE, eventually},
};

/// The ports of a cluster's nodes among each other lie so far above those of their clients.
const BUS: u16 = 10_000;

/// A Redis on a free port of loopback, which keeps nothing on disk. Killed when dropped, also by a test that panics.
/// `redis-server` must be in the path.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    port: u16,
    options: Vec<String>,
    folder: TempDir,
}

impl RedisServer {
    /// Starts an empty one.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts an empty one with further options, such as `["--requirepass", "secret"]`.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start_with(options: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("spr-").tempdir().expect("a folder");
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        loop {
            // It can't pick a port itself; somebody else may take this one in between.
            let port = free_port();
            if let Some(process) = launch(port, folder.path().to_owned(), &options).await {
                return Self { process, port, options, folder };
            }
        }
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL, without user and password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it as `kill -9` does. What it held is lost.
    ///
    /// # Panics
    /// When it can't be killed.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Freezes it: connections stay open and nothing is answered, until [`RedisServer::resume`].
    ///
    /// # Panics
    /// When it doesn't run.
    pub fn pause(&self) {
        self.process.signal(nix::sys::signal::Signal::SIGSTOP);
    }

    /// Lets a frozen one go on.
    ///
    /// # Panics
    /// When it doesn't run.
    pub fn resume(&self) {
        self.process.signal(nix::sys::signal::Signal::SIGCONT);
    }

    /// Kills it if it runs, and starts it on the same port, empty.
    ///
    /// # Panics
    /// When it doesn't start: its port may have been taken meanwhile.
    pub async fn restart(&mut self) {
        self.process.kill();
        let (port, folder, options) = (self.port, self.folder.path().to_owned(), self.options.clone());
        let process = &mut self.process;
        eventually("the server starts on its port again", async || {
            launch(port, folder.clone(), &options).await.map(|started| *process = started).is_some()
        })
        .await;
    }

    /// What `redis-cli` answers to a command of this server.
    ///
    /// # Panics
    /// When it fails.
    pub async fn cli(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        cli(&[&["-h", "127.0.0.1", "-p", &port], arguments].concat()).await
    }
}

/// A Redis Cluster of three masters on loopback.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts an empty one, and waits until all of its nodes answer for all keys.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(RedisServer::start_with(&["--cluster-enabled", "yes"]).await);
        }
        let addresses: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let mut arguments = vec!["--cluster", "create"];
        arguments.extend(addresses.iter().map(String::as_str));
        arguments.push("--cluster-yes");
        cli(&arguments).await;
        for node in &nodes {
            eventually("a node knows that the cluster works", async || {
                node.cli(&["cluster", "info"]).await.contains("cluster_state:ok")
            })
            .await;
        }
        Self { nodes }
    }

    /// The URLs of all nodes, with commas in between.
    #[must_use]
    pub fn url(&self) -> String {
        self.nodes.iter().map(RedisServer::url).collect::<Vec<_>>().join(",")
    }

    /// Its nodes.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// Its nodes, to be killed and restarted; one that restarts is a node of the cluster again.
    #[must_use]
    pub fn nodes_mut(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }
}

/// A port that nobody listens on, nor on the one that a node of a cluster takes beside it.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let beside = port.checked_add(BUS).and_then(|bus| TcpListener::bind(("127.0.0.1", bus)).ok());
        if beside.is_some() {
            return port;
        }
    }
}

/// A server that listens on a port; `None` when somebody else does.
async fn launch(port: u16, folder: PathBuf, options: &[String]) -> Option<Process> {
    let mut command = Process::command("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--daemonize", "no", "--logfile", ""]).arg("--dir").arg(&folder).args(options).current_dir(&folder);
    let mut process = Process::spawn(command);
    let is_ready = process
        .line("the server says whether it has its port", |line| {
            let is_taken = line.contains("in use") || line.contains("Failed listening");
            (is_taken || line.contains("Ready to accept connections")).then_some(!is_taken)
        })
        .await;
    is_ready.then_some(process)
}

async fn cli(arguments: &[&str]) -> String {
    let mut process = Process::start("redis-cli", arguments.iter().copied(), []);
    let status = tokio::time::timeout(PATIENCE, process.ended()).await.expect("redis-cli ends");
    assert!(status.success(), "redis-cli {arguments:?}: {}{}", process.stdout(), process.stderr());
    process.stdout()
}
