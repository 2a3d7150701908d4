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

/// What chromedriver says of an element that a page replaces, hides or moves at this moment: another look may help.
const PASSING: [&str; 6] = [
    "stale element reference",
    "no such element",
    "element not interactable",
    "element click intercepted",
    "detached shadow root",
    "javascript error",
];

/// Why something was not done.
struct Refusal {
    /// One of the protocol's words.
    error: String,
    message: String,
}

impl Refusal {
    fn may_pass(&self) -> bool {
        PASSING.contains(&self.error.as_str())
    }
}

/// A running chromedriver with a folder for its browser.
struct Driver {
    address: SocketAddr,
    home: TempDir,
    _process: Process,
}

impl Driver {
    async fn start() -> Self {
        // It takes a free port of IPv6 and then the same one of IPv4, which somebody else may have got meanwhile.
        for _ in 0..5 {
            if let Some(started) = Self::try_start().await {
                return started;
            }
        }
        panic!("chromedriver finds no port");
    }

    /// None when its port was taken.
    async fn try_start() -> Option<Self> {
        let home = tempfile::Builder::new().prefix("spc-").tempdir().unwrap();
        let mut command = Process::command("chromedriver");
        // Caches and certificates too belong to this browser alone.
        command.arg("--port=0").env("HOME", home.path());
        for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
            command.env_remove(name);
        }
        let mut process = Process::spawn(command);
        let port: Option<u16> = process
            .line("the port of chromedriver", |line| {
                let started = line.split_once("started successfully on port ");
                let port = started.and_then(|(_, port)| port.trim_end_matches('.').parse().ok());
                port.map(Some).or_else(|| line.contains("port not available").then_some(None))
            })
            .await;
        Some(Self { address: SocketAddr::from(([127, 0, 0, 1], port?)), home, _process: process })
    }

    /// The value that it answers. It leaves the connection open, whatever it is asked.
    async fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, Refusal> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request(self.address, method, path, &body);
        let answered = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            Message::read(&mut stream).await
        };
        // More than a page may take to load, or a script to end.
        let answer = timeout(PATIENCE * 3, answered).await.ok().flatten();
        let answer = answer.unwrap_or_else(|| panic!("chromedriver does not answer: {method} {path}"));
        let mut json: Value = serde_json::from_slice(&answer.body).unwrap();
        let value = json["value"].take();
        if answer.status() == "200" {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Err(Refusal { error: text("error"), message: text("message") })
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

/// What a person's system is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

impl Scheme {
    /// The word for it in CSS.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// A key that types nothing by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Tab,
    Enter,
    Space,
    Escape,
    Shift,
    Control,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
}

impl Key {
    /// Its character in the protocol.
    const fn code(self) -> char {
        match self {
            Self::Tab => '\u{e004}',
            Self::Enter => '\u{e006}',
            Self::Space => ' ',
            Self::Escape => '\u{e00c}',
            Self::Shift => '\u{e008}',
            Self::Control => '\u{e009}',
            Self::Up => '\u{e013}',
            Self::Down => '\u{e015}',
            Self::Left => '\u{e012}',
            Self::Right => '\u{e014}',
            Self::Home => '\u{e011}',
            Self::End => '\u{e010}',
        }
    }
}

/// A line of the browser's log.
#[derive(Clone, Debug)]
pub(crate) struct Complaint {
    /// `SEVERE`, `WARNING`, `INFO` or `DEBUG`.
    pub(crate) level: String,
    /// Who says it: `network`, `security`, `javascript`, `console-api` and others.
    pub(crate) source: String,
    pub(crate) text: String,
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
            "timeouts": {"pageLoad": PATIENCE.as_millis(), "script": (PATIENCE * 2).as_millis()},
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let started = driver.ask("POST", "/session", &capabilities).await;
        let started = started.unwrap_or_else(|refusal| panic!("no browser: {}", refusal.message));
        let session = started["sessionId"].as_str().unwrap().to_owned();
        Self { driver, session }
    }

    async fn try_command(&self, method: &str, command: &str, body: &Value) -> Result<Value, Refusal> {
        self.driver.ask(method, &format!("/session/{}/{command}", self.session), body).await
    }

    async fn command(&self, method: &str, command: &str, body: &Value) -> Value {
        let done = self.try_command(method, command, body).await;
        done.unwrap_or_else(|refusal| panic!("{method} {command}: {}: {}", refusal.error, refusal.message))
    }

    /// A command of the browser's own protocol.
    async fn cdp(&self, command: &str, parameters: &Value) -> Value {
        self.command("POST", "goog/cdp/execute", &json!({"cmd": command, "params": parameters})).await
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

    async fn try_elements(&self, selector: &str) -> Result<Vec<String>, Refusal> {
        let wanted = json!({"using": "css selector", "value": selector});
        let found = self.try_command("POST", "elements", &wanted).await?;
        Ok(found.as_array().unwrap().iter().map(|element| element[ELEMENT].as_str().unwrap().to_owned()).collect())
    }

    /// How many there are now.
    pub(crate) async fn count(&self, selector: &str) -> usize {
        let found = self.try_elements(selector).await;
        found.unwrap_or_else(|refusal| panic!("{selector}: {}", refusal.message)).len()
    }

    /// Waits until one is there and a command about it is carried out. A page may replace it meanwhile.
    async fn at(&self, selector: &str, command: &str, body: &Value) {
        self.at_first_of(selector, async |element| {
            self.try_command("POST", &format!("element/{element}/{command}"), body).await
        })
        .await;
    }

    async fn at_first_of<T>(&self, selector: &str, act: impl AsyncFn(String) -> Result<T, Refusal>) -> T {
        let mut done = None;
        eventually(&format!("the page has {selector} and lets it be used"), async || {
            let tried = match self.try_elements(selector).await {
                Ok(found) => match found.into_iter().next() {
                    Some(element) => act(element).await,
                    None => return false,
                },
                Err(refusal) => Err(refusal),
            };
            match tried {
                Ok(value) => done = Some(value),
                Err(refusal) if refusal.may_pass() => {}
                Err(refusal) => panic!("{selector}: {}: {}", refusal.error, refusal.message),
            }
            done.is_some()
        })
        .await;
        done.unwrap()
    }

    /// Waits until it is there, and presses it.
    pub(crate) async fn press(&self, selector: &str) {
        self.at(selector, "click", &json!({})).await;
    }

    /// Waits until it is there, and types into it.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        self.at(selector, "value", &json!({"text": text})).await;
    }

    /// The same in place of what stands there.
    pub(crate) async fn clear_and_fill(&self, selector: &str, text: &str) {
        self.at(selector, "clear", &json!({})).await;
        self.fill(selector, text).await;
    }

    /// Waits until the option of a `select` is there, and chooses it as a person does, by typing its words: what chromedriver
    /// presses tells the page of a `change` but of no `input`.
    pub(crate) async fn select(&self, selector: &str, value: &str) {
        let words = self.text(&format!("{selector} option[value=\"{value}\"]")).await;
        self.fill(selector, &words).await;
    }

    /// Waits until it is there.
    pub(crate) async fn shows(&self, selector: &str) {
        self.at_first_of(selector, async |_| Ok(())).await;
    }

    /// Waits until none is there any more.
    pub(crate) async fn vanishes(&self, selector: &str) {
        eventually(&format!("the page has no {selector}"), async || {
            self.try_elements(selector).await.is_ok_and(|found| found.is_empty())
        })
        .await;
    }

    async fn try_script(&self, expression: &str, arguments: &Value) -> Result<Value, Refusal> {
        let script = format!("return (\n{expression}\n)");
        self.try_command("POST", "execute/sync", &json!({"script": script, "args": arguments})).await
    }

    /// What an expression is worth in the page.
    pub(crate) async fn script(&self, expression: &str) -> Value {
        let worth = self.try_script(expression, &json!([])).await;
        worth.unwrap_or_else(|refusal| panic!("{expression}: {}", refusal.message))
    }

    /// What the promise that an expression gives is kept with.
    pub(crate) async fn script_async(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];\n\
             (async () => (\n{expression}\n))().then((value) => done({{ value }}), (error) => done({{ error: String(error) }}));"
        );
        let mut kept = self.command("POST", "execute/async", &json!({"script": script, "args": []})).await;
        assert!(kept["error"].is_null(), "{expression}: {}", kept["error"]);
        kept["value"].take()
    }

    /// Runs the text of a program in the page, past the page's policy.
    pub(crate) async fn runs(&self, program: &str) {
        self.command("POST", "execute/sync", &json!({"script": program, "args": []})).await;
    }

    /// Something of the first such element; found and read at one moment, so that no reference can go stale between.
    async fn read(&self, selector: &str, what: &str) -> Option<Value> {
        let expression = format!("((it) => it && [{what}])(document.querySelector(arguments[0]))");
        match self.try_script(&expression, &json!([selector])).await {
            Ok(Value::Array(mut read)) => read.pop(),
            Ok(_) => None,
            Err(refusal) if refusal.may_pass() => None,
            Err(refusal) => panic!("{selector}: {}: {}", refusal.error, refusal.message),
        }
    }

    /// Waits until it is there; its text as a person sees it.
    pub(crate) async fn text(&self, selector: &str) -> String {
        self.shows(selector).await;
        let read = self.read(selector, "it.innerText").await;
        read.and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_else(|| panic!("no text of {selector}"))
    }

    /// Waits until a part of its text is this.
    pub(crate) async fn wait_text(&self, selector: &str, part: &str) {
        eventually(&format!("{selector} says `{part}`"), async || {
            let read = self.read(selector, "it.innerText").await;
            read.is_some_and(|text| text.as_str().is_some_and(|text| text.contains(part)))
        })
        .await;
    }

    /// Waits until it is there; an attribute of it.
    pub(crate) async fn attribute(&self, selector: &str, name: &str) -> Option<String> {
        self.shows(selector).await;
        let read = self.read(selector, &format!("it.getAttribute({})", json!(name))).await;
        read.and_then(|value| value.as_str().map(str::to_owned))
    }

    /// What has the keyboard, as `button#save`, `input[name=q]` or `body`.
    pub(crate) async fn active_element(&self) -> String {
        let named = "((it) => it.localName + (it.id ? `#${it.id}` : it.name ? `[name=${it.name}]` : ''))\
                     (document.activeElement ?? document.body)";
        self.script(named).await.as_str().unwrap().to_owned()
    }

    /// Waits until what has the keyboard is this.
    pub(crate) async fn focuses(&self, selector: &str) {
        eventually(&format!("{selector} has the keyboard"), async || {
            self.read(selector, "it === document.activeElement").await == Some(Value::Bool(true))
        })
        .await;
    }

    /// Presses a key, wherever the keyboard is.
    pub(crate) async fn key(&self, key: Key) {
        self.chord(&[key]).await;
    }

    /// Presses keys one on top of the other, and lets go of them.
    pub(crate) async fn chord(&self, keys: &[Key]) {
        let action = |kind: &str, key: &Key| json!({"type": kind, "value": key.code().to_string()});
        let mut actions: Vec<Value> = keys.iter().map(|key| action("keyDown", key)).collect();
        actions.extend(keys.iter().rev().map(|key| action("keyUp", key)));
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.command("POST", "actions", &json!({"actions": [keyboard]})).await;
    }

    /// From here on, everything is about the document in a frame.
    pub(crate) async fn enter_frame(&self, selector: &str) {
        self.at_first_of(selector, async |element| {
            self.try_command("POST", "frame", &json!({"id": {ELEMENT: element}})).await
        })
        .await;
    }

    /// Makes the page this wide and high, in pixels of CSS; a narrow one is a telephone's, as which no window is that narrow.
    pub(crate) async fn measure(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.cdp("Emulation.setDeviceMetricsOverride", &metrics).await;
    }

    /// Sets the colours that a person's system prefers.
    pub(crate) async fn prefers(&self, scheme: Scheme) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme.word()});
        self.cdp("Emulation.setEmulatedMedia", &json!({"features": [feature]})).await;
    }

    /// Takes the network away from the page, or gives it back.
    pub(crate) async fn offline(&self, offline: bool) {
        self.network(offline, 0).await;
    }

    /// Lets each answer take so many milliseconds more.
    pub(crate) async fn slow(&self, latency: u32) {
        self.network(false, latency).await;
    }

    async fn network(&self, offline: bool, latency: u32) {
        self.cdp("Network.enable", &json!({})).await;
        let conditions =
            json!({"offline": offline, "latency": latency, "downloadThroughput": -1, "uploadThroughput": -1});
        self.cdp("Network.emulateNetworkConditions", &conditions).await;
    }

    /// Puts the reader into a time zone.
    pub(crate) async fn lives_in(&self, zone: &str) {
        self.cdp("Emulation.setTimezoneOverride", &json!({"timezoneId": zone})).await;
    }

    /// Has a program run in each document from here on before the document's own.
    pub(crate) async fn before_every_page(&self, program: &str) {
        self.cdp("Page.addScriptToEvaluateOnNewDocument", &json!({"source": program})).await;
    }

    /// Lets the pages of an origin read and write the clipboard.
    pub(crate) async fn allow_clipboard(&self, origin: &str) {
        let permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"];
        self.cdp("Browser.grantPermissions", &json!({"origin": origin, "permissions": permissions})).await;
    }

    /// The text in the clipboard, which the page must be allowed to read.
    pub(crate) async fn clipboard(&self) -> String {
        self.script_async("navigator.clipboard.readText()").await.as_str().unwrap().to_owned()
    }

    /// The names of the cookies that go with a request of this page.
    pub(crate) async fn cookies(&self) -> Vec<String> {
        let cookies = self.value("cookie").await;
        cookies.as_array().unwrap().iter().map(|cookie| cookie["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Deletes a cookie of this page, as if its time were over.
    pub(crate) async fn forget_cookie(&self, name: &str) {
        self.command("DELETE", &format!("cookie/{name}"), &Value::Null).await;
    }

    /// Makes it a browser that has never been at this origin: no cookies, nothing stored, an empty page, an empty log.
    pub(crate) async fn forget_all(&self, origin: &str) {
        self.open("about:blank").await;
        self.cdp("Network.clearBrowserCookies", &json!({})).await;
        self.cdp("Network.clearBrowserCache", &json!({})).await;
        self.cdp("Storage.clearDataForOrigin", &json!({"origin": origin, "storageTypes": "all"})).await;
        self.log().await;
    }

    /// A PNG of what is seen.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        STANDARD.decode(self.value("screenshot").await.as_str().unwrap()).unwrap()
    }

    /// A PNG of all of the page, also of what one has to scroll to.
    pub(crate) async fn picture(&self) -> Vec<u8> {
        let taken = self.cdp("Page.captureScreenshot", &json!({"captureBeyondViewport": true})).await;
        STANDARD.decode(taken["data"].as_str().unwrap()).unwrap()
    }

    /// What the browser has logged since the last time.
    pub(crate) async fn log(&self) -> Vec<Complaint> {
        let log = self.command("POST", "se/log", &json!({"type": "browser"})).await;
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let complaint = |entry| Complaint {
            level: text(entry, "level"),
            source: text(entry, "source"),
            text: text(entry, "message"),
        };
        log.as_array().unwrap().iter().map(complaint).collect()
    }

    /// What the browser has complained about since the last time.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        self.log().await.into_iter().map(|complaint| complaint.text).collect()
    }
}
