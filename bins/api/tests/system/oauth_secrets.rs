//! After a whole OAuth flow, and every careless use of what it gives, neither the database nor the log holds a secret.

use std::{
    collections::{BTreeMap, HashMap},
    process::Command,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use statuspulse_embedded::Binaries;
use statuspulse_testkit::{TestDb, eventually};

use crate::{
    http::Reply,
    server::{Browser, CHECKS, Server, World},
};

const REDIRECT: &str = "https://app.example/cb";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// Characters of a form that are looked for: ten of a secret's own behind its prefix, at least.
const PIECE: usize = 16;

/// Something that nobody may find.
struct Secret {
    name: &'static str,
    /// As it is presented.
    whole: String,
    /// What of it is secret: of a signed token the signature. That this one was issued, and what it says, the trail knows.
    own: String,
}

impl Secret {
    fn new(name: &'static str, whole: String) -> Self {
        let own = whole.rsplit_once('.').map_or_else(|| whole.clone(), |(_, signature)| format!("......{signature}"));
        Self { name, whole, own }
    }
}

/// A secret in the forms in which it might lie around: as it is, in base64 at each of its three places, in hexadecimal as
/// text and as the bytes that it stands for, percent-encoded.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let body = &secret.as_bytes()[6..];
    let stands_for = URL_SAFE_NO_PAD.decode(&body[..40]).unwrap_or_default();
    let percent: String = body.iter().map(|byte| format!("%{byte:02x}")).collect();
    let mut forms = vec![secret.to_owned(), hex(body), hex(&stands_for), percent];
    forms.extend(forms.clone().iter().skip(1).map(|form| form.to_uppercase()));
    for place in 0..3 {
        // What stands in front and behind decides about the first and the last character.
        let encoded = STANDARD_NO_PAD.encode(&secret.as_bytes()[place..]);
        forms.push(encoded[..encoded.len() - 2].to_owned());
        forms.push(encoded[..encoded.len() - 2].replace('+', "-").replace('/', "_"));
    }
    forms.into_iter().map(String::into_bytes).filter(|form| form.len() >= PIECE).collect()
}

/// The secrets of which a piece stands in a text, each with the place.
fn found_in(text: &[u8], secrets: &[Secret]) -> Vec<String> {
    let all: Vec<(&str, Vec<Vec<u8>>)> = secrets.iter().map(|secret| (secret.name, forms(&secret.own))).collect();
    let mut pieces: HashMap<&[u8], &str> = HashMap::new();
    // Three bytes of each piece: most of a long text is passed over by a look at them.
    let mut begins = vec![false; 1 << 24];
    let key = |piece: &[u8]| usize::from(piece[0]) | usize::from(piece[7]) << 8 | usize::from(piece[15]) << 16;
    for (name, forms) in &all {
        for piece in forms.iter().flat_map(|form| form.windows(PIECE)) {
            begins[key(piece)] = true;
            pieces.insert(piece, name);
        }
    }
    let mut found = BTreeMap::new();
    for (at, window) in text.windows(PIECE).enumerate() {
        if !begins[key(window)] {
            continue;
        }
        if let Some(name) = pieces.get(window) {
            let around = &text[at.saturating_sub(200)..(at + 100).min(text.len())];
            found.entry(*name).or_insert_with(|| format!("{name}: {}", String::from_utf8_lossy(around)));
        }
    }
    found.into_values().collect()
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no `{before}` in {text}"));
    rest.split_once(after).unwrap().0
}

/// An app as its developer knows it.
struct Client {
    id: String,
    secret: String,
}

impl Client {
    async fn registered(server: &Server, owner: &Browser, format: &str) -> Self {
        let app = json!({
            "name": format!("App of {format} tokens"), "kind": "confidential", "redirect_uris": [REDIRECT],
            "scopes": ["monitoring:read", "checks:read"], "default_scopes": ["checks:read"],
            "access_token_format": format, "refresh_retry_seconds": 60,
        });
        let made = server.as_(owner, "POST", "/v1/orgs/acme/apps", &app).await.json();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self { id: text("client_id"), secret: text("client_secret") }
    }

    fn basic(&self) -> String {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", self.id, self.secret)))
    }
}

async fn form(server: &Server, client: &Client, path: &str, pairs: &[(&str, &str)]) -> Reply {
    let ask = server.ask("POST", path).header("Authorization", &client.basic());
    ask.header("Content-Type", "application/x-www-form-urlencoded").body(encoded(pairs).as_bytes()).send().await
}

/// The code of a decision; the page that asks for it, when there is one, gives its handle away too.
async fn code(server: &Server, owner: &Browser, client: &Client) -> String {
    let query = encoded(&[
        ("response_type", "code"),
        ("client_id", &client.id),
        ("redirect_uri", REDIRECT),
        ("state", "st-12345678"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    let mut reply = owner.on(server.ask("GET", &format!("/oauth/authorize?{query}"))).send().await;
    if reply.status == 200 {
        let page = reply.text();
        let hidden =
            |name: &str| between(between(&page, &format!("name=\"{name}\""), ">"), "value=\"", "\"").to_owned();
        let (handle, csrf) = (hidden("request"), hidden("csrf_token"));
        let body =
            encoded(&[("request", &handle), ("csrf_token", &csrf), ("decision", "allow"), ("scope", "checks:read")]);
        let ask = owner.on(server.ask("POST", "/oauth/authorize"));
        reply = ask.header("Content-Type", "application/x-www-form-urlencoded").body(body.as_bytes()).send().await;
    }
    let location = url::Url::parse(reply.header("location").unwrap()).unwrap();
    location.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
}

/// Everything that a secret may meet on its way through a server.
async fn use_everywhere(server: &Server, client: &Client, secret: &str, gateway: &str) {
    for path in ["/{}", "/healthz?access_token={}", "/v1/forward-auth/api/v1/checks?code={}", "/v1/orgs/{}/apps"] {
        server.ask("GET", &path.replace("{}", &encoded(&[("x", secret)])[2..])).send().await;
    }
    let query = encoded(&[("client_id", &client.id), ("redirect_uri", secret), ("state", secret), ("scope", secret)]);
    server.ask("GET", &format!("/oauth/authorize?{query}")).send().await;
    server.judged(secret).await;
    server.ask("GET", CHECKS).header("Authorization", &format!("Basic {secret}")).send().await;
    server.ask("GET", CHECKS).header("Cookie", &format!("statuspulse_session={secret}")).send().await;
    server.ask("GET", CHECKS).header("User-Agent", secret).header("X-Forwarded-For", secret).send().await;
    for path in ["/oauth/token", "/oauth/refresh", "/oauth/revoke", "/oauth/introspect"] {
        let pairs = ["token", "code", "refresh_token", "code_verifier", "scope", "resource", "grant_type"];
        for name in pairs {
            form(server, client, path, &[("grant_type", "refresh_token"), (name, secret)]).await;
        }
        let ask = server.ask("POST", path).header("Content-Type", "application/json");
        ask.body(json!({"token": secret}).to_string().as_bytes()).send().await;
        let id = encoded(&[("client_id", secret), ("client_secret", secret), ("token", "x")]);
        let ask = server.ask("POST", path).header("Content-Type", "application/x-www-form-urlencoded");
        ask.body(id.as_bytes()).send().await;
        server.ask("POST", &format!("{path}?token={secret}")).key(secret).send().await;
    }
    for question in [
        json!({"token": secret, "method": "GET", "path": format!("/api/v1/checks?access_token={secret}")}),
        json!({"token": secret, "method": secret, "path": format!("/{secret}"), "user_agent": secret}),
        json!({"token": secret, "scope": secret, "environments": [secret], "client_ip": secret}),
    ] {
        server.ask("POST", "/v1/verify").key(gateway).json(&question).send().await;
    }
}

fn dump(db: &TestDb) -> Vec<u8> {
    let binaries = Binaries::find().unwrap();
    let dumped = Command::new(binaries.dir().join("pg_dump")).args(["--dbname", db.url()]).output().unwrap();
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
    dumped.stdout
}

/// The control of the test below: the search finds each form that there is.
#[test]
fn every_form_of_a_secret_would_be_found() {
    let secret =
        format!("sp_at_{}", URL_SAFE_NO_PAD.encode(std::array::from_fn::<u8, 48, _>(|at| (at * 37 % 251) as u8)));
    let known = [Secret::new("token", secret.clone())];
    let all = forms(&secret);
    let missed = all.iter().filter(|form| found_in(&[b"x".as_slice(), form, b"y"].concat(), &known).is_empty()).count();
    assert_eq!((all.len(), missed, found_in(b"a text without any of them at all", &known)), (13, 0, Vec::new()));
}

/// spec: oauth N1, N16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_dump_of_the_database_nor_the_log_at_trace_holds_a_code_a_token_or_a_secret() {
    let mut world = World::with(TestDb::new().await, |command| {
        command.env("STATUSPULSE_LOG", "trace");
    })
    .await;
    let (email, password) = (world.owner().email.clone(), world.owner().password.clone());
    let gateway = world.token(&["credentials:verify"]).await;
    let server = &world.server;
    let owner = server.sign_in(&email, &password).await;
    let mut secrets: Vec<Secret> = Vec::new();
    for format in ["opaque", "jwt"] {
        let client = Client::registered(server, &owner, format).await;
        let code = code(server, &owner, &client).await;
        let redemption = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        let text = |json: &Value, name: &str| json[name].as_str().expect("a token").to_owned();
        let first = form(server, &client, "/oauth/token", &redemption).await.json();
        let refresh = text(&first, "refresh_token");
        let rotation = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
        let second = form(server, &client, "/oauth/token", &rotation).await.json();
        // Inside the retry window: the sealed successor is opened.
        let retried = form(server, &client, "/oauth/refresh", &rotation).await.json();
        assert_eq!(retried["refresh_token"], second["refresh_token"]);
        let access = text(&first, "access_token");
        let own = form(server, &client, "/oauth/token", &[("grant_type", "client_credentials")]).await.json();
        let active = form(server, &client, "/oauth/introspect", &[("token", &access)]).await.json()["active"].clone();
        assert_eq!((active, server.judged(&access).await.status), (json!(true), 200));
        let issued = [
            Secret::new("code", code),
            Secret::new("refresh token", refresh),
            Secret::new("its successor", text(&second, "refresh_token")),
            Secret::new("client secret", client.secret.clone()),
            Secret::new("access token", access),
            Secret::new("the next access token", text(&second, "access_token")),
            Secret::new("the app's own access token", text(&own, "access_token")),
        ];
        for secret in &issued {
            use_everywhere(server, &client, &secret.whole, &gateway).await;
        }
        form(server, &client, "/oauth/revoke", &[("token", &text(&second, "refresh_token"))]).await;
        secrets.extend(issued);
    }
    let reported: Vec<&String> = secrets.iter().map(|secret| &secret.whole).collect();
    server.ask("POST", "/v1/leaks").json(&json!({"tokens": reported})).send().await;
    let client = world.db.client().await;
    let worked = "SELECT count(*) FROM audit_events WHERE action = 'key.leaked'";
    eventually("the report is worked on", async || client.query_one(worked, &[]).await.unwrap().get::<_, i64>(0) == 1)
        .await;
    // Stopped in order, it has written everything that waited.
    world.server.process.terminate().await;
    let dump = dump(&world.db);
    let log = world.server.process.stderr() + &world.server.process.stdout();
    let text = String::from_utf8_lossy(&dump);
    assert!(log.contains("\"TRACE\"") && text.contains("oauth.refresh") && text.contains("refresh_retry"));
    assert!(text.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "passwords are PHC strings");
    let found = [found_in(&dump, &secrets), found_in(log.as_bytes(), &secrets)];
    let password = [text.contains(&password), log.contains(&password)];
    assert_eq!((secrets.len(), found, password), (14, [Vec::new(), Vec::new()], [false; 2]));
}
