//! A server that says what it is told to, byte for byte, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use statuspulse_delivery::{AllowedNetworks, Courier, Kind, SystemNames, Target};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// Enough for an answer on the loopback address of a busy machine; a test that waits for it to pass takes a short one.
pub(crate) const PLENTY: Duration = Duration::from_secs(60);

/// How the server answers.
#[derive(Clone)]
pub(crate) enum Script {
    /// These bytes, then the end of the connection.
    Say(String),
    /// These bytes to each request of a connection, which stays.
    Stay(String),
    /// This head, then `a` without end.
    Endless,
    /// This head, then nothing while the other side stays.
    Stall,
    /// Nothing at all while the other side stays.
    Silent,
    /// A head, then a byte each time a tenth of a second has passed.
    Trickle,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
}

/// What a server got and gave.
#[derive(Default)]
pub(crate) struct Log {
    requests: Mutex<Vec<String>>,
    /// Bytes of an endless body.
    sent: AtomicUsize,
}

impl Server {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let shared = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), Arc::clone(&shared)));
            }
        });
        Self { address, log }
    }

    /// A server whose answer has this head and body.
    pub(crate) async fn answering(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::start(Script::Say(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"))).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?to=us", self.address)
    }

    pub(crate) fn target(&self) -> Target {
        target(&self.url())
    }

    /// What was asked, head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.log.requests.lock().unwrap().clone()
    }

    /// How many bytes of an endless body left the server.
    pub(crate) fn sent(&self) -> usize {
        self.log.sent.load(Ordering::SeqCst)
    }
}

pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, script: Script, log: Arc<Log>) {
    let Some(request) = read_request(&mut stream).await else { return };
    log.requests.lock().unwrap().push(request);
    let endless = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000000\r\n\r\n";
    // The courier hangs up when it has enough: that ends the loops, and is no failure of the test.
    let _ = match script {
        Script::Say(answer) => stream.write_all(answer.as_bytes()).await,
        Script::Stay(answer) => {
            let mut sent = stream.write_all(answer.as_bytes()).await;
            while let Some(request) = read_request(&mut stream).await {
                log.requests.lock().unwrap().push(request);
                sent = stream.write_all(answer.as_bytes()).await;
            }
            sent
        }
        Script::Endless => {
            let mut sent = stream.write_all(endless.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(&[b'a'; 4_096]).await;
                log.sent.fetch_add(4_096, Ordering::SeqCst);
            }
            sent
        }
        Script::Stall => {
            let sent = stream.write_all(endless.as_bytes()).await;
            while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
            sent
        }
        Script::Silent => {
            while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
            Ok(())
        }
        Script::Trickle => {
            let mut sent = stream.write_all(endless.as_bytes()).await;
            let mut pace = tokio::time::interval(Duration::from_millis(100));
            while sent.is_ok() {
                pace.tick().await;
                sent = stream.write_all(b"a").await;
            }
            sent
        }
    };
    let _ = stream.shutdown().await;
}

/// Reads a head and as much body as it announces; none when the connection ends before.
async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let announced =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= announced.unwrap_or(0_usize) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

pub(crate) fn target(url: &str) -> Target {
    Target::from_stored(url, Kind::Standard).unwrap()
}

pub(crate) fn courier(allowed: &str, timeout: Duration) -> Courier {
    Courier::new(AllowedNetworks::parse(allowed).unwrap(), Arc::new(SystemNames), timeout).unwrap()
}

/// A courier that may reach the test's servers.
pub(crate) fn local(timeout: Duration) -> Courier {
    courier("127.0.0.0/8", timeout)
}

/// Whether a test that runs in a process of its own passes; shows what it printed when it does not.
pub(crate) async fn passes(mut command: tokio::process::Command) -> bool {
    let done = command.output().await.unwrap();
    if !done.status.success() {
        println!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    }
    done.status.success()
}
