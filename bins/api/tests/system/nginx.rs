//! The configuration of docs/gateways.md, as it stands there, in a real nginx between a client and an API.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use statuspulse_app::keys::CreateKey;
use statuspulse_testkit::{Process, TestDb, eventually, key_of};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    http::{Ask, Reply, find},
    server::World,
};

const DOCUMENT: &str = include_str!("../../../../docs/gateways.md");
const MARK: &str = "<!-- test: nginx -->\n```nginx\n";

/// The text of the document's configuration with addresses of the test in place of its own.
fn configuration(nginx: SocketAddr, auth: SocketAddr, api: SocketAddr) -> String {
    let (_, behind) = DOCUMENT.split_once(MARK).expect("the marked block");
    let (text, _) = behind.split_once("\n```\n").expect("the end of the block");
    let replaced = [
        ("listen 80;", format!("listen {nginx};")),
        ("server 127.0.0.1:8080;", format!("server {auth};")),
        ("server 127.0.0.1:3000;", format!("server {api};")),
    ];
    replaced.into_iter().fold(text.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, &to)
    })
}

/// A server that keeps the heads of the requests that it gets and answers all of them the same.
struct Stub {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

/// Whether the head has ended, and as much of a body has come as it announces.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = find(request, b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.parse().ok());
    request.len() >= end + 4 + length.unwrap_or(0_usize)
}

impl Stub {
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let (mut head, mut part) = (Vec::new(), [0; 4_096]);
                    // To the end of the body: who answers and hangs up before it resets the connection.
                    while !is_whole(&head) {
                        match stream.read(&mut part).await {
                            Ok(count @ 1..) => head.extend_from_slice(&part[..count]),
                            _ => return,
                        }
                    }
                    kept.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { address, heads }
    }

    /// The values of a header in the last request.
    fn last(&self, name: &str) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        let head = heads.last().expect("a request");
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
    }

    fn count(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

/// A running nginx; killed with its workers when dropped.
struct Nginx {
    address: SocketAddr,
    process: Process,
    _folder: TempDir,
}

impl Nginx {
    async fn start(auth: SocketAddr, api: SocketAddr) -> Self {
        loop {
            // nginx can't pick a port itself; somebody else may take this one in between.
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            if let Some(started) = Self::try_start(free, auth, api).await {
                return started;
            }
        }
    }

    async fn try_start(address: SocketAddr, auth: SocketAddr, api: SocketAddr) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("spn-").tempdir().unwrap();
        // Started by root, it works as another user.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let text = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr notice;\nevents {{}}\nhttp {{\naccess_log off;\n\
             client_body_temp_path t1;\nproxy_temp_path t2;\nfastcgi_temp_path t3;\nuwsgi_temp_path t4;\n\
             scgi_temp_path t5;\n{}\n}}\n",
            configuration(address, auth, api)
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(program());
        command.arg("-p").arg(folder.path()).arg("-c").arg(&file).arg("-e").arg("stderr");
        let mut process = Process::spawn(command);
        let taken = process
            .line("nginx's start", |line| {
                let taken = line.contains("Address already in use");
                (taken || line.contains("start worker") || line.contains("using the \"")).then_some(taken)
            })
            .await;
        if taken {
            return None;
        }
        eventually("nginx listens", async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
        Some(Self { address, process, _folder: folder })
    }

    fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(self.address, method, path)
    }
}

/// Debian keeps it where only root's `PATH` looks.
fn program() -> &'static Path {
    ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/opt/homebrew/bin/nginx", "/usr/bin/nginx"]
        .into_iter()
        .map(Path::new)
        .find(|path| path.exists())
        .unwrap_or_else(|| Path::new("nginx"))
}

/// Client, nginx, the service and an API.
struct Behind {
    world: World,
    api: Stub,
    nginx: Nginx,
    /// A production key with `checks:read`.
    token: String,
}

const SERVED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nserved";

impl Behind {
    async fn new() -> Self {
        Self::around(World::new().await).await
    }

    async fn around(world: World) -> Self {
        let api = Stub::start(SERVED).await;
        let nginx = Nginx::start(world.server.address, api.address).await;
        let token = world.token(&["checks:read"]).await;
        Self { world, api, nginx, token }
    }

    /// A call with the key.
    fn call(&self, method: &str, path: &str) -> Ask {
        self.nginx.ask(method, path).key(&self.token)
    }

    /// A call with a key that only this network may use.
    async fn call_from_network(&self, network: &str) -> Ask {
        let wanted = CreateKey { allowed_cidrs: Some(vec![network.into()]), ..key_of("production", &["checks:read"]) };
        let token = self.world.token_of(wanted).await;
        self.nginx.ask("GET", "/api/v1/checks").key(&token)
    }
}

fn challenge(reply: &Reply) -> &str {
    reply.header("www-authenticate").unwrap_or_default()
}

/// spec: policy P55
#[tokio::test]
#[ignore = "needs nginx"]
async fn a_call_with_the_right_key_reaches_the_api() {
    let behind = Behind::new().await;
    let reply = behind.call("GET", "/api/v1/checks?page=2").send().await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "served"), "{}", behind.nginx.process.stderr());
}

/// spec: policy P55
#[tokio::test]
#[ignore = "needs nginx"]
async fn a_call_without_a_key_is_401_with_a_challenge_and_does_not_reach_the_api() {
    let behind = Behind::new().await;
    let reply = behind.nginx.ask("GET", "/api/v1/checks").send().await;
    let challenged = challenge(&reply).starts_with("Bearer realm=\"StatusPulse\", resource_metadata=");
    assert_eq!((reply.status, challenged, behind.api.count()), (401, true, 0), "{}", challenge(&reply));
}

/// spec: policy P55
#[tokio::test]
#[ignore = "needs nginx"]
async fn a_call_without_the_scope_is_403_and_names_it() {
    let behind = Behind::new().await;
    let reply = behind.call("POST", "/api/v1/incidents").body(b"{}").send().await;
    let named = challenge(&reply).contains("error=\"insufficient_scope\", scope=\"incidents:write\"");
    assert_eq!((reply.status, named, behind.api.count()), (403, true, 0), "{}", challenge(&reply));
}

/// spec: policy P55
#[tokio::test]
#[ignore = "needs nginx"]
async fn a_call_from_an_unlisted_address_is_403_and_names_none() {
    let behind = Behind::new().await;
    let reply = behind.call_from_network("203.0.113.0/24").await.send().await;
    let told = format!("{:?}{}", reply.headers, reply.text());
    assert_eq!((reply.status, told.contains("203.0.113"), behind.api.count()), (403, false, 0));
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn a_call_from_a_listed_address_reaches_the_api() {
    let behind = Behind::new().await;
    assert_eq!(behind.call_from_network("127.0.0.0/8").await.send().await.status, 200);
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn an_address_that_a_client_claims_is_not_believed() {
    let behind = Behind::new().await;
    let mut statuses = Vec::new();
    for header in ["X-Forwarded-For", "x-forwarded-for", "X-Real-IP", "Forwarded"] {
        let value = if header == "Forwarded" { "for=203.0.113.7" } else { "203.0.113.7" };
        let call = behind.call_from_network("203.0.113.0/24").await;
        statuses.push(call.header(header, value).send().await.status);
    }
    assert_eq!(statuses, [403; 4]);
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn a_route_that_a_client_claims_is_not_believed() {
    let behind = Behind::new().await;
    let mut statuses = Vec::new();
    for (method, path) in [("X-Original-Method", "X-Original-URI"), ("X-Forwarded-Method", "X-Forwarded-Uri")] {
        let allowed = behind.call("POST", "/api/v1/incidents").header(method, "GET").header(path, "/api/v1/checks");
        let refused = behind.call("GET", "/api/v1/checks").header(method, "POST").header(path, "/api/v1/incidents");
        statuses.push((allowed.body(b"").send().await.status, refused.send().await.status));
    }
    assert_eq!(statuses, [(403, 200); 2]);
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn environments_that_a_client_claims_are_not_believed() {
    let behind = Behind::new().await;
    let staging = behind.world.token_of(key_of("staging", &["checks:read"])).await;
    let claimed = behind.nginx.ask("GET", "/api/v1/checks?environment=staging").key(&staging);
    assert_eq!(claimed.header("X-Served-Environments", "staging").send().await.status, 401);
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn the_api_sees_who_calls_as_the_service_says_and_never_as_the_client_does() {
    let behind = Behind::new().await;
    let names = ["X-Auth-Credential-Id", "X-Auth-Organization", "X-Auth-Environment", "X-Auth-Scopes"];
    let call = names.iter().fold(behind.call("GET", "/api/v1/checks"), |call, name| call.header(name, "forged"));
    let call = call.header("X_Auth_Scopes", "forged").header("x-auth-scopes", "forged");
    call.send().await;
    let [id, organization, environment, scopes] = names.map(|name| behind.api.last(name));
    let known = id.len() == 1 && id[0].parse::<uuid::Uuid>().is_ok();
    assert_eq!(
        (known, organization, environment, scopes, behind.api.last("X_Auth_Scopes")),
        (true, vec!["acme".into()], vec!["production".into()], vec!["checks:read".into()], vec![])
    );
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn the_api_never_sees_the_key() {
    let behind = Behind::new().await;
    behind.call("GET", "/api/v1/checks").send().await;
    assert_eq!(behind.api.last("Authorization"), Vec::<String>::new());
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn odd_spellings_of_a_path_are_refused() {
    let behind = Behind::new().await;
    let mut statuses = Vec::new();
    for path in ["/api/v1//checks", "/api/v1/checks/../incidents", "/api/v1/checks%2f..%2fincidents"] {
        statuses.push(behind.call("GET", path).send().await.status);
    }
    assert_eq!((statuses, behind.api.count()), (vec![403; 3], 0));
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn a_client_cannot_ask_the_question_itself() {
    let behind = Behind::new().await;
    let reply = behind.call("GET", "/_statuspulse").header("X-Original-URI", "/api/v1/checks").send().await;
    assert_eq!((reply.status, behind.api.count()), (404, 0));
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn the_body_of_a_call_reaches_the_api_and_not_the_service() {
    let behind = Behind::new().await;
    let token = behind.world.token(&["checks:write"]).await;
    // Longer than the service reads of any body.
    let reply = behind.nginx.ask("POST", "/api/v1/checks").key(&token).body(&[b'x'; 100 * 1024]).send().await;
    assert_eq!((reply.status, behind.api.last("Content-Length")), (200, vec!["102400".into()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx"]
async fn when_calls_cannot_be_judged_the_client_is_asked_to_try_again() {
    let db = TestDb::on_own_cluster().await;
    let world = World::with(db, |command| {
        command.env("STATUSPULSE_MAX_STALENESS", "1s");
    })
    .await;
    let behind = Behind::around(world).await;
    behind.world.db.cluster().pause();
    behind.world.server.becomes("unavailable", None).await;
    let reply = behind.call("GET", "/api/v1/checks").send().await;
    assert_eq!((reply.status, reply.header("retry-after"), behind.api.count()), (503, Some("1"), 0));
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn without_the_service_nobody_gets_in_and_the_client_is_asked_to_try_again() {
    let mut behind = Behind::new().await;
    behind.world.server.process.kill();
    let reply = behind.call("GET", "/api/v1/checks").send().await;
    assert_eq!((reply.status, reply.header("retry-after"), behind.api.count()), (503, Some("1"), 0));
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn a_429_of_the_service_reaches_the_client_with_its_wait() {
    let auth = Stub::start(
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 17\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    let (auth, api) = (auth.await, Stub::start(SERVED).await);
    let nginx = Nginx::start(auth.address, api.address).await;
    let reply = nginx.ask("GET", "/api/v1/checks").key("x").send().await;
    assert_eq!((reply.status, reply.header("retry-after"), api.count()), (429, Some("17"), 0));
}

/// spec: policy P55
#[tokio::test]
#[ignore = "needs nginx"]
async fn a_call_over_the_limit_is_429_and_says_when_to_come_back() {
    let behind = Behind::new().await;
    // One call has waited until the key was known.
    let wanted = CreateKey { rate_limit_per_minute: Some(3), ..key_of("production", &["checks:read"]) };
    let token = behind.world.token_of(wanted).await;
    let mut replies = Vec::new();
    for _ in 0..3 {
        let reply = behind.nginx.ask("GET", "/api/v1/checks").key(&token).send().await;
        let wait = reply.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
        replies.push((reply.status, wait.is_some_and(|wait| (1..=61).contains(&wait))));
    }
    assert_eq!((replies, behind.api.count()), (vec![(200, false), (200, false), (429, true)], 2));
}
