//! A receiver of webhooks: keeps what it got, and answers as it is told.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Listens until it is dropped.
pub(crate) struct Receiver {
    pub(crate) url: String,
    got: Arc<Mutex<Vec<Got>>>,
    answer: Arc<Mutex<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// One that answers 204.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (got, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new("204 No Content".to_owned())));
        let shared = (Arc::clone(&got), Arc::clone(&answer));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (got, answer) = (Arc::clone(&shared.0), Arc::clone(&shared.1));
                tokio::spawn(async move { serve(stream, &got, &answer).await });
            }
        });
        Self { url, got, answer, task }
    }

    /// Status line and headers from now on, such as `410 Gone`.
    pub(crate) fn answer(&self, head: &str) {
        *self.answer.lock().unwrap() = head.to_owned();
    }

    /// The same with a body.
    pub(crate) fn answer_with(&self, head: &str, body: &str) {
        self.answer(&format!("{head}\0{body}"));
    }

    /// Takes requests from now on and never answers them.
    pub(crate) fn hang(&self) {
        self.answer("");
    }

    /// What came, in the order in which it came.
    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// The types of the events that came.
    pub(crate) fn types(&self) -> Vec<String> {
        self.got().iter().map(|got| got.json()["type"].as_str().unwrap_or("slack").to_owned()).collect()
    }

    /// The data of the events of a type.
    pub(crate) fn data_of(&self, kind: &str) -> Vec<Value> {
        let all = self.got();
        all.iter().map(Got::json).filter(|body| body["type"] == kind).map(|body| body["data"].clone()).collect()
    }
}

async fn serve(mut stream: TcpStream, got: &Mutex<Vec<Got>>, answer: &Mutex<String>) {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let headers: Vec<(String, String)> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
    while bytes.len() < head + length {
        stream.read_buf(&mut bytes).await.unwrap();
    }
    let body = String::from_utf8(bytes[head..].to_vec()).unwrap();
    got.lock().unwrap().push(Got { headers, body });
    let head = answer.lock().unwrap().clone();
    if head.is_empty() {
        // Until the other side gives up.
        while stream.read_buf(&mut Vec::new()).await.is_ok_and(|read| read > 0) {}
        return;
    }
    let (head, body) = head.split_once('\0').unwrap_or((&head, "no"));
    let reply = if head.starts_with("204") {
        format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n")
    } else {
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    };
    stream.write_all(reply.as_bytes()).await.unwrap();
}
