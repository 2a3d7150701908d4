//! The smallest client that can also say what no decent client says: one connection a request, written byte by byte.

use std::{fmt::Write as _, net::SocketAddr};

use serde_json::Value;
use statuspulse_testkit::PATIENCE;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// What came behind the body.
    pub(crate) rest: Vec<u8>,
}

impl Reply {
    /// Reads an answer out of all that a connection gave; none when that isn't a whole one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let end = find(bytes, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Self { status, headers, body: Vec::new(), rest: bytes[end + 4..].to_vec() };
        let length = match reply.header("content-length") {
            Some(length) => length.parse().ok()?,
            // Whatever comes until the connection is closed.
            None if reply.header("transfer-encoding").is_none() => reply.rest.len(),
            None => return None,
        };
        if reply.rest.len() < length {
            return None;
        }
        let rest = reply.rest.split_off(length);
        reply.body = std::mem::replace(&mut reply.rest, rest);
        Some(reply)
    }

    /// A header, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Status and the problem's `code`.
    pub(crate) fn outcome(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// A request.
pub(crate) struct Ask {
    address: SocketAddr,
    head: String,
    body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        Self { address, head, body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.head, "{name}: {value}\r\n").unwrap();
        self
    }

    pub(crate) fn key(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        let text = body.to_string();
        self.header("Content-Type", "application/json").body(text.as_bytes())
    }

    pub(crate) fn body(self, body: &[u8]) -> Self {
        let length = body.len().to_string();
        Self { body: body.to_vec(), ..self.header("Content-Length", &length) }
    }

    /// The whole answer; none from a server that ends meanwhile.
    pub(crate) async fn try_send(self) -> Option<Reply> {
        let bytes = [self.head.as_bytes(), b"\r\n", &self.body].concat();
        let stream = TcpStream::connect(self.address).await.ok()?;
        Reply::read(&over(stream, &bytes).await)
    }

    /// The whole answer.
    pub(crate) async fn send(self) -> Reply {
        let bytes = [self.head.as_bytes(), b"\r\n", &self.body].concat();
        let answered = exchange(self.address, &bytes).await;
        Reply::read(&answered).unwrap_or_else(|| {
            panic!("no answer to `{}` but `{}`", self.head.lines().next().unwrap(), String::from_utf8_lossy(&answered))
        })
    }
}

/// Sends these bytes and reads until the server closes the connection; all that came.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    over(TcpStream::connect(address).await.unwrap(), bytes).await
}

async fn over(stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let (mut from, mut to) = stream.into_split();
    let writing = async {
        // A server that refuses a request half-way need not read the other half.
        let _ = to.write_all(bytes).await;
    };
    let reading = async {
        let (mut read, mut part) = (Vec::new(), [0; 8_192]);
        while let Ok(count @ 1..) = from.read(&mut part).await {
            read.extend_from_slice(&part[..count]);
        }
        read
    };
    let both = async { tokio::join!(writing, reading).1 };
    tokio::time::timeout(PATIENCE, both).await.expect("the server closes the connection")
}

pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
