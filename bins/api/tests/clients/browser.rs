//! Chromium, led by chromedriver (W3C WebDriver over HTTP).

use std::{
    io::{Read as _, Write as _},
    net::{self, SocketAddr},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use statuspulse_testkit::{PATIENCE, Process, eventually};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use crate::loopback::Message;

/// The name of a reference to an element in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running chromedriver with a folder for its browser.
struct Driver {
    address: SocketAddr,
    home: TempDir,
    _process: Process,
}

impl Driver {
    async fn start() -> Self {
        let home = tempfile::Builder::new().prefix("spc-").tempdir().unwrap();
        let mut command = Process::command("chromedriver");
        // Caches and certificates too belong to this browser alone.
        command.arg("--port=0").env("HOME", home.path());
        for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
            command.env_remove(name);
        }
        let mut process = Process::spawn(command);
        let port = process
            .line("the port of chromedriver", |line| {
                line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
            })
            .await;
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), home, _process: process }
    }

    /// The value that it answers. It leaves the connection open, whatever it is asked.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request(self.address, method, path, &body);
        let answered = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            Message::read(&mut stream).await
        };
        // Twice what a page may take to load.
        let answer = timeout(PATIENCE * 2, answered).await.ok().flatten();
        let answer = answer.unwrap_or_else(|| panic!("chromedriver does not answer: {method} {path}"));
        assert_eq!(answer.status(), "200", "{method} {path}: {}", answer.text());
        let mut json: Value = serde_json::from_slice(&answer.body).unwrap();
        json["value"].take()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Chromium outlives a chromedriver that is killed. Told to go, that closes its browser and answers when nothing of it
        // is left. No runtime can be waited for here.
        if let Ok(mut stream) = net::TcpStream::connect(self.address) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.write_all(request(self.address, "GET", "/shutdown", "").as_bytes());
            let _ = stream.read(&mut [0; 64]);
        }
    }
}

fn request(driver: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: {driver}\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A browser with a profile of its own; closed when dropped.
pub(crate) struct Chromium {
    driver: Driver,
    session: String,
}

impl Chromium {
    /// Starts one. Which program that is, chromedriver knows.
    pub(crate) async fn start() -> Self {
        let driver = Driver::start().await;
        let profile = format!("--user-data-dir={}", driver.home.path().join("profile").display());
        // It sees nothing but our own pages, and root has no sandbox.
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &profile,
        ];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "timeouts": {"pageLoad": PATIENCE.as_millis()},
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let started = driver.ask("POST", "/session", &capabilities).await;
        let session = started["sessionId"].as_str().unwrap().to_owned();
        Self { driver, session }
    }

    async fn command(&self, method: &str, command: &str, body: &Value) -> Value {
        self.driver.ask(method, &format!("/session/{}/{command}", self.session), body).await
    }

    async fn value(&self, command: &str) -> Value {
        self.command("GET", command, &Value::Null).await
    }

    /// Opens an address, frames included.
    pub(crate) async fn open(&self, url: &str) {
        self.command("POST", "url", &json!({"url": url})).await;
    }

    /// What stands in the address bar.
    pub(crate) async fn url(&self) -> String {
        self.value("url").await.as_str().unwrap().to_owned()
    }

    /// Waits until the address begins like this; answers all of it.
    pub(crate) async fn arrives(&self, start: &str) -> String {
        eventually(&format!("the browser is at {start}"), async || self.url().await.starts_with(start)).await;
        self.url().await
    }

    async fn elements(&self, selector: &str) -> Vec<String> {
        let found = self.command("POST", "elements", &json!({"using": "css selector", "value": selector})).await;
        found.as_array().unwrap().iter().map(|element| element[ELEMENT].as_str().unwrap().to_owned()).collect()
    }

    /// How many there are now.
    pub(crate) async fn count(&self, selector: &str) -> usize {
        self.elements(selector).await.len()
    }

    /// Waits until one is there.
    async fn element(&self, selector: &str) -> String {
        eventually(&format!("the page has {selector}"), async || self.count(selector).await > 0).await;
        self.elements(selector).await.remove(0)
    }

    /// Waits until it is there, and presses it.
    pub(crate) async fn press(&self, selector: &str) {
        let element = self.element(selector).await;
        self.command("POST", &format!("element/{element}/click"), &json!({})).await;
    }

    /// Waits until it is there, and types into it.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.command("POST", &format!("element/{element}/value"), &json!({"text": text})).await;
    }

    /// Waits until it is there.
    pub(crate) async fn shows(&self, selector: &str) {
        self.element(selector).await;
    }

    /// What an expression is worth in the page.
    pub(crate) async fn script(&self, expression: &str) -> Value {
        let script = format!("return {expression}");
        self.command("POST", "execute/sync", &json!({"script": script, "args": []})).await
    }

    /// From here on, everything is about the document in a frame.
    pub(crate) async fn enter_frame(&self, selector: &str) {
        let element = self.element(selector).await;
        self.command("POST", "frame", &json!({"id": {ELEMENT: element}})).await;
    }

    /// Makes the page this wide and high, in pixels of CSS; a narrow one is a telephone's, as which no window is that narrow.
    pub(crate) async fn measure(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
        self.command("POST", "goog/cdp/execute", &command).await;
    }

    /// A PNG of what is seen.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        STANDARD.decode(self.value("screenshot").await.as_str().unwrap()).unwrap()
    }

    /// What the browser has complained about since the last time.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.command("POST", "se/log", &json!({"type": "browser"})).await;
        log.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }
}
