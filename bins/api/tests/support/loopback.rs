//! Small servers of the tests: an app's own pages, and a window on what a browser sends.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::http::{exchange, find};

/// A request, or an answer, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Reads until head and body are there; none when the connection ends before that.
    pub(crate) async fn read(stream: &mut TcpStream) -> Option<Self> {
        let (mut read, mut part) = (Vec::new(), [0; 8_192]);
        loop {
            if let Some(end) = find(&read, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&read[..end]).into_owned();
                let mut message = Self { head, body: read[end + 4..].to_vec() };
                let length = message.header("content-length").map_or(0, |text| text.parse().unwrap());
                if message.body.len() >= length {
                    message.body.truncate(length);
                    return Some(message);
                }
            }
            match stream.read(&mut part).await {
                Ok(count @ 1..) => read.extend_from_slice(&part[..count]),
                _ => return None,
            }
        }
    }

    /// The words of the first line: method, target and version, or version, status and its name.
    fn word(&self, index: usize) -> &str {
        self.head.lines().next().unwrap_or_default().split(' ').nth(index).unwrap_or_default()
    }

    /// Of a request: the path without its query.
    pub(crate) fn path(&self) -> &str {
        self.word(1).split('?').next().unwrap_or_default()
    }

    /// Of an answer.
    pub(crate) fn status(&self) -> &str {
        self.word(1)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

type Handler = Arc<dyn Fn(Message) -> BoxFuture<'static, Vec<u8>> + Send + Sync>;

/// A server on a free port of loopback, one request a connection; it ends with the test.
pub(crate) struct Loopback {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Message>>>,
}

impl Loopback {
    /// Starts it; `handler` makes the bytes of an answer.
    pub(crate) async fn start(
        handler: impl Fn(Message) -> BoxFuture<'static, Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (handler, requests): (Handler, _) = (Arc::new(handler), Arc::<Mutex<Vec<Message>>>::default());
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (handler, kept) = (Arc::clone(&handler), Arc::clone(&kept));
                tokio::spawn(async move {
                    // Browsers also open connections that they then don't use.
                    let Some(request) = Message::read(&mut stream).await else { return };
                    kept.lock().unwrap().push(request.clone());
                    let answer = handler(request).await;
                    let _ = stream.write_all(&answer).await;
                });
            }
        });
        Self { address, requests }
    }

    /// The last request of a method to a path.
    pub(crate) fn last(&self, method: &str, path: &str) -> Option<Message> {
        let requests = self.requests.lock().unwrap();
        requests.iter().rfind(|request| request.word(0) == method && request.path() == path).cloned()
    }
}

/// A whole answer.
pub(crate) fn answer(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

/// The pages of somebody else: of an app, or of an attacker.
pub(crate) struct Site {
    server: Loopback,
    pages: Arc<Mutex<HashMap<String, String>>>,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let pages = Arc::<Mutex<HashMap<String, String>>>::default();
        let served = Arc::clone(&pages);
        let server = Loopback::start(move |request| {
            let page = served.lock().unwrap().get(request.path()).cloned();
            Box::pin(async move {
                match page {
                    Some(page) => answer("200 OK", "text/html; charset=utf-8", &page),
                    None => answer("404 Not Found", "text/plain", "nothing here"),
                }
            })
        })
        .await;
        Self { server, pages }
    }

    /// Puts a page there; answers its URL under a host that means loopback.
    pub(crate) fn put(&self, host: &str, path: &str, body: &str) -> String {
        let page = format!("<!DOCTYPE html><html lang=\"en\"><title>{path}</title><body>{body}</body></html>");
        self.pages.lock().unwrap().insert(path.to_owned(), page);
        format!("http://{host}:{}{path}", self.server.address.port())
    }

    /// The last visit of a path.
    pub(crate) fn visit(&self, path: &str) -> Option<Message> {
        self.server.last("GET", path)
    }
}

/// Stands in front of a service, hands everything on as it comes, and remembers it.
pub(crate) struct Window {
    server: Loopback,
    behind: Arc<OnceLock<SocketAddr>>,
}

impl Window {
    pub(crate) async fn start() -> Self {
        let behind = Arc::<OnceLock<SocketAddr>>::default();
        let target = Arc::clone(&behind);
        let server = Loopback::start(move |request| {
            let target = *target.get().expect("a service behind it");
            // The service then closes the connection, which is how `exchange` knows that the answer is over.
            let head = request.head.replace("Connection: keep-alive", "Connection: close");
            Box::pin(async move { exchange(target, &[head.as_bytes(), b"\r\n\r\n", &request.body].concat()).await })
        })
        .await;
        Self { server, behind }
    }

    /// The public URL of the service behind it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Says what is behind it; answers where the service is reached from now on.
    pub(crate) fn opens_on(&self, service: SocketAddr) -> SocketAddr {
        self.behind.set(service).expect("one service");
        self.server.address
    }

    /// The last form that was sent to a path.
    pub(crate) fn form(&self, path: &str) -> Option<Message> {
        self.server.last("POST", path)
    }
}
