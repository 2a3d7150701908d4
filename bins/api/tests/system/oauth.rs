//! The token endpoint over a socket: bodies that are too large, too many or too slow.

use std::time::{Duration, Instant};

use serde_json::json;
use statuspulse_testkit::{PATIENCE, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    http::{Reply, exchange, find},
    server::World,
};

/// The head of a request whose connection could go on.
fn head(rest: &str) -> String {
    format!("POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n{rest}\r\n")
}

/// Status, `error`, and whether the connection was closed behind exactly one answer.
fn only(answered: &[u8]) -> (u16, String, usize) {
    let answers = answered.windows(9).filter(|window| window == b"HTTP/1.1 ").count();
    let first = Reply::read(answered);
    let first = first.unwrap_or_else(|| panic!("no answer but `{}`", String::from_utf8_lossy(answered)));
    (first.status, first.json()["error"].as_str().unwrap_or_default().to_owned(), answers)
}

/// spec: oauth G12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_1_mib_is_413_and_the_connection_is_closed() {
    let world = World::new().await;
    let body = "a".repeat(1_024 * 1_024);
    let told = format!("{}{body}", head(&format!("Content-Length: {}\r\n", body.len())));
    let chunk = format!("{:x}\r\n{}\r\n", 64 * 1_024, "a".repeat(64 * 1_024));
    let chunked = format!("{}{}0\r\n\r\n", head("Transfer-Encoding: chunked\r\n"), chunk.repeat(16));
    let mut outcomes = Vec::new();
    for bytes in [told, chunked] {
        outcomes.push(only(&exchange(world.server.address, bytes.as_bytes()).await));
    }
    assert_eq!(outcomes, vec![(413, "invalid_request".to_owned(), 1); 2]);
}

/// spec: oauth G12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_announced_as_too_large_is_not_waited_for() {
    let world = World::new().await;
    let bytes = head("Content-Length: 1048576\r\n");
    let answered = exchange(world.server.address, bytes.as_bytes()).await;
    assert_eq!(only(&answered), (413, "invalid_request".to_owned(), 1));
}

/// spec: oauth G12, G23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_many_bodies_that_are_too_large_the_server_goes_on() {
    let world = World::new().await;
    let bytes = format!("{}{}", head("Content-Length: 1048576\r\n"), "a".repeat(1_024 * 1_024));
    let sent = (0..50).map(|_| exchange(world.server.address, bytes.as_bytes()));
    futures_util::future::join_all(sent).await;
    let alive = world.server.ask("GET", "/healthz").send().await.status;
    let form = world.server.ask("POST", "/oauth/token").header("Content-Type", "application/x-www-form-urlencoded");
    let refused = form.body(b"grant_type=client_credentials").send().await;
    assert_eq!((alive, refused.status, refused.json()["error"].clone()), (200, 401, json!("invalid_client")));
}

/// spec: oauth G13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_parameters_are_ignored_or_refused() {
    let world = World::new().await;
    let many = format!("grant_type=client_credentials{}", "&a".repeat(5_000));
    let nested = format!("grant_type=client_credentials{}", "&a[b][c]=d".repeat(1_000));
    let mut outcomes = Vec::new();
    for body in [many, nested] {
        let ask = world.server.ask("POST", "/oauth/token").header("Content-Type", "application/x-www-form-urlencoded");
        let reply = ask.body(body.as_bytes()).send().await;
        outcomes.push((reply.status, reply.json()["error"].clone()));
    }
    assert_eq!(outcomes, vec![(401, json!("invalid_client")); 2]);
}

/// Sends one byte of a body each second until the server has enough of it: all that it answered. None when it goes on
/// reading for half a minute.
async fn dribble(world: &World) -> Option<Vec<u8>> {
    const SECOND: Duration = Duration::from_secs(1);
    let mut stream = TcpStream::connect(world.server.address).await.unwrap();
    stream.write_all(head("Content-Length: 1000\r\n").as_bytes()).await.unwrap();
    let mut answered = Vec::new();
    for _ in 0..30 {
        // It may have closed the connection; what it said before that is there to be read all the same.
        let _ = stream.write_all(b"a").await;
        let mut part = [0; 8_192];
        match tokio::time::timeout(SECOND, stream.read(&mut part)).await {
            Err(_) => {}
            Ok(Ok(count @ 1..)) => answered.extend_from_slice(&part[..count]),
            Ok(_) => return Some(answered),
        }
    }
    None
}

/// spec: oauth G21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_dribbles_is_cut_off() {
    let world = World::new().await;
    let answered = dribble(&world).await.expect("the connection is closed");
    assert!(answered.is_empty(), "{}", String::from_utf8_lossy(&answered));
}

/// spec: oauth G21, N4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_comes_is_cut_off_and_in_the_trail() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.server.address).await.unwrap();
    stream.write_all(head("Content-Length: 1000\r\n").as_bytes()).await.unwrap();
    // Nothing is said of it: 408 is no status of this endpoint.
    let (began, mut answered) = (Instant::now(), Vec::new());
    let _ = tokio::time::timeout(3 * PATIENCE, stream.read_to_end(&mut answered)).await.expect("it is closed");
    let in_time = began.elapsed() >= Duration::from_secs(19);
    let events = "SELECT coalesce(array_agg(status::int4), '{}') FROM audit_events WHERE action = 'oauth.token'";
    let client = world.db.client().await;
    let written = async || client.query_one(events, &[]).await.unwrap().get::<_, Vec<i32>>(0);
    eventually("the event is written", async || !written().await.is_empty()).await;
    let statuses = written().await;
    assert_eq!(
        (answered.is_empty(), in_time, statuses),
        (true, true, vec![400]),
        "{}",
        String::from_utf8_lossy(&answered)
    );
}

/// spec: oauth G20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_of_a_request_moves_no_url_of_the_metadata() {
    let world = World::new().await;
    let path = "/.well-known/oauth-authorization-server";
    let heads = [
        format!(
            "GET {path} HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n\r\n"
        ),
        format!("GET http://evil.example{path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
    ];
    let mut told = Vec::new();
    for head in heads {
        let answered = exchange(world.server.address, head.as_bytes()).await;
        let issuer = Reply::read(&answered).unwrap().json()["issuer"].clone();
        told.push((issuer, find(&answered, b"evil").is_some()));
    }
    assert_eq!(told, vec![(json!(format!("http://{}", world.server.address)), false); 2]);
}
