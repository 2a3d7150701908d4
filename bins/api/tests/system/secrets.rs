//! Nothing secret in the log, however much is logged.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use statuspulse_keys::{Token, token::Prefix};
use statuspulse_testkit::{TestDb, eventually};

use crate::{
    first_run::first_run_of,
    server::{CHECKS, DataDir, Server, World},
};

const DATABASE_PASSWORD: &str = "hunter2-of-the-database";
const WRONG_PASSWORD: &str = "a wrong password that is a right one elsewhere";

/// The runs of 16 characters of a token behind its prefix that stand in a text.
fn parts_in(text: &str, token: &str) -> BTreeSet<String> {
    let body = &token[8..];
    let parts = (0..=body.len() - 16).map(|at| &body[at..at + 16]);
    parts.filter(|part| text.contains(part)).map(str::to_owned).collect()
}

/// Everything that a token may meet on its way through a server.
async fn use_everywhere(server: &Server, token: &str, gateway: &str) {
    let cut = &token[..token.len() - 1];
    let escaped = token.replace("sp_", "sp%5F");
    for text in [token, cut, &escaped] {
        let paths =
            ["/{}", "/v1/{}/x", "/healthz?token={}", "/v1/forward-auth/api/v1/checks?key={}", "/v1/orgs/{}/keys"];
        for path in paths {
            server.ask("GET", &path.replace("{}", text)).send().await;
        }
        let forwarded = server.ask("GET", "/v1/forward-auth").header("X-Original-Method", "GET").key(token);
        forwarded.header("X-Original-URI", &format!("/api/v1/checks?key={text}")).send().await;
        let question = json!({"token": token, "method": "GET", "path": format!("/api/v1/checks/{text}?key={text}")});
        server.ask("POST", "/v1/verify").key(gateway).json(&question).send().await;
    }
    for text in [token, cut] {
        server.judged(text).await;
        server.ask("GET", CHECKS).header("Authorization", &format!("Basic {text}")).send().await;
        server.ask("GET", CHECKS).header("Cookie", &format!("statuspulse_session={text}")).send().await;
        server.ask("GET", CHECKS).header("User-Agent", text).header("X-Forwarded-For", text).send().await;
        server.ask(text, "/v1/session").send().await;
        let questions = [
            json!({"token": text, "method": text, "path": format!("/{text}"), "user_agent": text}),
            json!({"token": text, "scope": text, "environments": [text], "client_ip": text}),
            json!({"token": "x", text: text}),
        ];
        for question in questions {
            server.ask("POST", "/v1/verify").key(gateway).json(&question).send().await;
        }
    }
}

/// spec: keys K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_at_trace_holds_no_part_of_a_token_and_no_password() {
    let db = TestDb::new().await;
    let url = db.url().replacen("postgres@", &format!("postgres:{DATABASE_PASSWORD}@"), 1);
    assert!(url.contains(DATABASE_PASSWORD));
    let mut world = World::with(db, |command| {
        command.env("DATABASE_URL", &url).env("STATUSPULSE_LOG", "trace");
    })
    .await;
    let (email, password) = (world.owner().email.clone(), world.owner().password.clone());
    let gateway = world.token(&["credentials:verify"]).await;
    let owner = world.server.sign_in(&email, &password).await;
    for wrong in [json!({"email": email, "password": WRONG_PASSWORD}), json!({"email": 1, "password": WRONG_PASSWORD})]
    {
        world.server.ask("POST", "/v1/session").json(&wrong).send().await;
    }
    let wanted = json!({"name": "ci", "environment": "production", "scopes": ["checks:read"]});
    let created = world.server.as_(&owner, "POST", "/v1/orgs/acme/keys", &wanted).await.json();
    let path = format!("/v1/orgs/acme/keys/{}", created["key"]["id"].as_str().unwrap());
    let rotated = world.server.as_(&owner, "POST", &format!("{path}/rotate"), &json!({})).await.json();
    let token_in = |json: &Value| json["token"].as_str().expect("a token").to_owned();
    let unknown = Token::from_entropy(Prefix::Live, &std::array::from_fn(|at| (at * 37 % 251) as u8));
    let tokens = [token_in(&created), token_in(&rotated), gateway.clone(), unknown.expose().to_owned()];
    for token in &tokens {
        use_everywhere(&world.server, token, &gateway).await;
    }
    world.server.process.terminate().await;
    let log = world.server.process.stderr() + &world.server.process.stdout();
    assert!(log.contains("\"TRACE\""), "the log is at trace");
    let found: Vec<BTreeSet<String>> = tokens.iter().map(|token| parts_in(&log, token)).collect();
    let passwords = [DATABASE_PASSWORD, WRONG_PASSWORD, &password].map(|password| log.contains(password));
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| {
            tokens.iter().any(|token| !parts_in(line, token).is_empty())
                || [DATABASE_PASSWORD, WRONG_PASSWORD, &password].iter().any(|password| line.contains(password))
        })
        .take(5)
        .collect();
    assert_eq!((found, passwords), (vec![BTreeSet::new(); 4], [false; 3]), "{lines:#?}");
}

/// spec: keys K13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn error_bodies_and_audit_rows_hold_no_part_of_a_token() {
    let world = World::new().await;
    let gateway = world.token(&["credentials:verify"]).await;
    let token = world.token(&["checks:read"]).await;
    use_everywhere(&world.server, &token, &gateway).await;
    let mut bodies = Vec::new();
    for question in [
        json!({"token": "x", "scope": "y", &*token: 1}),
        json!({"token": "x", "client_ip": token, "environments": [token]}),
    ] {
        bodies.push(world.server.ask("POST", "/v1/verify").key(&gateway).json(&question).send().await.text());
    }
    bodies.push(world.server.ask("GET", &format!("/{token}")).send().await.text());
    let client = world.db.client().await;
    let noted = "SELECT count(*) FROM audit_events WHERE action = 'credential.in_url'";
    eventually("the events are written", async || client.query_one(noted, &[]).await.unwrap().get::<_, i64>(0) >= 4)
        .await;
    let rows = "SELECT to_jsonb(e)::text FROM audit_events e UNION ALL SELECT to_jsonb(a)::text FROM alerts a";
    let rows = client.query(rows, &[]).await.unwrap();
    let texts = rows.iter().map(|row| row.get::<_, String>(0)).chain(bodies);
    let holding = texts.filter(|text| [&token, &gateway].iter().any(|token| !parts_in(text, token).is_empty()));
    assert_eq!(holding.collect::<Vec<_>>(), Vec::<String>::new());
}

/// spec: keys K13
#[tokio::test]
async fn the_log_of_the_first_start_at_trace_holds_neither_password_nor_key_nor_master_key() {
    let dir = DataDir::new();
    let (mut server, first) = {
        let mut command = dir.program();
        command.env("STATUSPULSE_LOG", "trace");
        first_run_of(command).await
    };
    server.sign_in(&first.email, &first.password).await;
    server.judged(&first.token).await;
    server.process.terminate().await;
    let master = std::fs::read_to_string(dir.path().join("master.key")).unwrap();
    let log = server.process.stderr();
    let found = [first.password.as_str(), master.trim()].map(|secret| log.contains(secret));
    assert_eq!((parts_in(&log, &first.token), found), (BTreeSet::new(), [false; 2]));
}
