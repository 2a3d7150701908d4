//! What arrives over a socket and is no decent request.

use std::time::{Duration, Instant};

use serde_json::json;
use statuspulse_testkit::{PATIENCE, key_of};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    http::{Reply, exchange, find},
    server::{CHECKS, Server, World},
};

/// Sends bytes and reads until the server closes the connection: how many answers came, and the first one.
async fn raw(server: &Server, bytes: &[u8]) -> (usize, Reply) {
    let answered = exchange(server.address, bytes).await;
    let answers = answered.windows(9).filter(|window| window == b"HTTP/1.1 ").count();
    let first = Reply::read(&answered);
    (answers, first.unwrap_or_else(|| panic!("no answer but `{}`", String::from_utf8_lossy(&answered))))
}

/// spec: keys K11
#[tokio::test]
async fn contradictory_framing_is_refused_and_the_connection_closed() {
    let world = World::new().await;
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let framings = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        "Content-Length: 5, 6\r\n\r\nabcde",
        "Content-Length: +5\r\n\r\nabcde",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ];
    let mut outcomes = Vec::new();
    for framing in framings {
        let bytes = format!("POST /v1/session HTTP/1.1\r\nHost: x\r\n{framing}{smuggled}");
        let (answers, first) = raw(&world.server, bytes.as_bytes()).await;
        outcomes.push((framing, answers, first.status));
    }
    assert_eq!(outcomes, framings.map(|framing| (framing, 1, 400)));
}

/// spec: keys K8
#[tokio::test]
async fn an_authorization_of_100_kib_is_refused_and_nothing_is_hashed() {
    let world = World::new().await;
    let refused = world.server.ask("GET", CHECKS).key(&"x".repeat(100 * 1024)).send().await.status;
    assert!(matches!(refused, 401 | 431), "{refused}");
}

#[tokio::test]
async fn a_header_block_over_128_kib_is_431() {
    let world = World::new().await;
    let bytes = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(160 * 1024));
    assert_eq!(raw(&world.server, bytes.as_bytes()).await.1.status, 431);
}

#[tokio::test]
async fn more_headers_than_96_are_431() {
    let world = World::new().await;
    let bytes = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-One: 1\r\n".repeat(200));
    assert_eq!(raw(&world.server, bytes.as_bytes()).await.1.status, 431);
}

#[tokio::test]
async fn a_body_over_64_kib_is_413_whether_its_length_is_told_or_not() {
    let world = World::new().await;
    let long = format!(r#"{{"email":"{}","password":"x"}}"#, "x".repeat(64 * 1024));
    let told = world.server.ask("POST", "/v1/session").body(long.as_bytes()).send().await.outcome();
    let chunk = format!("{:x}\r\n{}\r\n", 16 * 1024, "x".repeat(16 * 1024));
    let bytes = format!(
        "POST /v1/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(5)
    );
    let chunked = raw(&world.server, bytes.as_bytes()).await.1.outcome();
    assert_eq!([told, chunked], [(413, "body_too_large".to_owned()), (413, "body_too_large".to_owned())]);
}

#[tokio::test]
async fn a_body_of_64_kib_and_no_more_is_read() {
    let world = World::new().await;
    let rest = r#"{"email":"","password":"x"}"#.len();
    let long = format!(r#"{{"email":"{}","password":"x"}}"#, "x".repeat(64 * 1024 - rest));
    let status = world.server.ask("POST", "/v1/session").body(long.as_bytes()).send().await.status;
    assert!(matches!(status, 401 | 422), "{status}");
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_400() {
    let world = World::new().await;
    let bytes =
        b"POST /v1/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    assert_eq!(raw(&world.server, bytes).await.1.status, 400);
}

#[tokio::test]
async fn bytes_that_are_no_utf8_in_a_body_are_400() {
    let world = World::new().await;
    let body = b"{\"email\":\"\xff\xfe\",\"password\":\"x\"}";
    assert_eq!(world.server.ask("POST", "/v1/session").body(body).send().await.outcome(), (400, "invalid_json".into()));
}

#[tokio::test]
async fn bytes_that_are_no_utf8_are_nowhere_an_error_of_ours() {
    let world = World::new().await;
    let (_, gateway) = world.app.key(&world.org, key_of("production", &["credentials:verify", "keys:read"])).await;
    let auth = format!("Authorization: Bearer {gateway}\r\n");
    let heads: Vec<Vec<u8>> = [
        &b"GET /v1/forward-auth/\xff HTTP/1.1\r\n"[..],
        b"GET /v1/forward-auth/%ff%fe HTTP/1.1\r\n",
        b"GET /%ff HTTP/1.1\r\n",
        b"GET /\xc3\x28 HTTP/1.1\r\n",
        b"GET /v1/orgs/%ff/keys HTTP/1.1\r\n",
        b"GET /v1/orgs/acme/keys/%ff HTTP/1.1\r\n",
        b"GET /v1/orgs/acme/keys?q=%ff&cursor=%fe HTTP/1.1\r\n",
        b"GET /v1/orgs/acme/keys?%ff=1 HTTP/1.1\r\n",
        b"GET /v1/orgs/acme/keys?status=%00 HTTP/1.1\r\n",
        b"GET /v1/forward-auth?environment=%ff HTTP/1.1\r\nX-Original-Method: GET\r\nX-Original-URI: /api/v1/checks\r\n",
        b"GET /v1/forward-auth HTTP/1.1\r\nX-Original-Method: GET\r\nX-Original-URI: /\xff\r\n",
        b"GET /v1/forward-auth HTTP/1.1\r\nX-Original-Method: \xff\r\nX-Original-URI: /\r\n",
        b"GET /v1/forward-auth/api/v1/checks HTTP/1.1\r\nX-Served-Environments: \xff\r\n",
        b"GET /v1/forward-auth/api/v1/checks HTTP/1.1\r\nX-Forwarded-For: \xff\r\n",
        b"GET /v1/forward-auth/api/v1/checks HTTP/1.1\r\nUser-Agent: \xff\xfe\r\nAccept: \xff\r\nAccept-Language: \xff\r\n",
        b"GET /v1/session HTTP/1.1\r\nCookie: statuspulse_session=\xff\r\n",
        b"GET /v1/session HTTP/1.1\r\nCookie: \xff\xfe=\xff; statuspulse_session=%ff\r\n",
        b"DELETE /v1/session HTTP/1.1\r\nOrigin: \xff\r\nX-CSRF-Token: \xff\r\n",
        b"POST /v1/orgs/acme/keys HTTP/1.1\r\nIdempotency-Key: \xff\r\nContent-Length: 0\r\n",
        b"POST /v1/verify HTTP/1.1\r\nContent-Type: \xff\r\nContent-Length: 0\r\n",
        b"\xff\xfe / HTTP/1.1\r\n",
    ]
    .iter()
    .map(|head| [head, &b"Host: x\r\nConnection: close\r\n"[..]].concat())
    .collect();
    let mut faults = Vec::new();
    for head in heads {
        for credential in ["", &auth, "Authorization: Bearer \u{e9}\r\n"] {
            let bytes = [&head, credential.as_bytes(), b"\r\n"].concat();
            let (_, reply) = raw(&world.server, &bytes).await;
            if reply.status >= 500 {
                faults.push(format!("{} for {}", reply.status, String::from_utf8_lossy(&head).lines().next().unwrap()));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

/// spec: keys K7
#[tokio::test]
async fn what_is_no_token_is_malformed_and_not_an_error() {
    let world = World::new().await;
    let gateway = world.token(&["credentials:verify"]).await;
    let mut outcomes = Vec::new();
    for token in ["a\u{0}b", "\u{fffd}", "sp_live_\u{0}", "\u{1f511}", ""] {
        let question = json!({"token": token, "method": "GET\u{0}", "path": "/\u{0}", "user_agent": "\u{0}"});
        let reply = world.server.ask("POST", "/v1/verify").key(&gateway).json(&question).send().await;
        outcomes.push(reply.outcome());
    }
    assert_eq!(outcomes, vec![(200, "malformed".to_owned()); 5]);
}

/// Sends these bytes and not a word more: what came, and how long it took until the server closed the connection.
async fn silent_behind(server: &Server, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let (began, mut read) = (Instant::now(), Vec::new());
    // A connection that is broken, and not ended, is closed too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("the connection is closed");
    (read, began.elapsed())
}

async fn is_closed_soon_behind_413(path: &str, rest: &str) {
    let world = World::new().await;
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n");
    let bytes = format!("{head}{rest}");
    // The fastest of a few: a busy machine is no fault of the server's.
    let mut fastest = (None, Duration::MAX);
    for _ in 0..5 {
        let (read, took) = silent_behind(&world.server, bytes.as_bytes()).await;
        if took < fastest.1 {
            fastest = (Reply::read(&read).map(|reply| reply.status), took);
        }
    }
    assert!(fastest.0 == Some(413) && fastest.1 < Duration::from_secs(1), "{fastest:?}");
}

/// spec: oauth G12
#[tokio::test]
async fn behind_a_413_the_connection_is_closed_though_the_body_has_not_ended() {
    is_closed_soon_behind_413("/oauth/token", &format!("Content-Length: 1048576\r\n\r\n{}", "a".repeat(1_000))).await;
}

/// spec: oauth G12
#[tokio::test]
async fn so_it_is_in_the_middle_of_a_chunked_body() {
    let chunk = format!("{:x}\r\n{}\r\n", 64 * 1_024, "a".repeat(64 * 1_024));
    is_closed_soon_behind_413("/oauth/token", &format!("Transfer-Encoding: chunked\r\n\r\n{chunk}")).await;
}

#[tokio::test]
async fn a_client_that_is_still_writing_can_read_the_413() {
    let world = World::new().await;
    let body = vec![b'a'; 8 * 1024 * 1024];
    let reply = world.server.ask("POST", "/v1/session").body(&body).send().await;
    assert_eq!(reply.outcome(), (413, "body_too_large".to_owned()));
}

#[tokio::test]
async fn what_strangers_send_is_no_error_in_the_log() {
    let mut world = World::new().await;
    for bytes in
        [&b"\x16\x03\x01\x02garbage\r\n\r\n"[..], b"GET / HTTP/9.9\r\n\r\n", b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n"]
    {
        exchange(world.server.address, bytes).await;
    }
    world.server.process.terminate().await;
    let log = world.server.process.stderr();
    assert!(!log.contains("ERROR") && !log.contains("actix_http"), "{log}");
}

#[tokio::test]
async fn a_head_that_dribbles_is_cut_off() {
    let world = World::new().await;
    let answered = exchange(world.server.address, b"GET /healthz HTTP/1.1\r\nHost").await;
    assert!(find(&answered, b"408").is_some() || answered.is_empty(), "{}", String::from_utf8_lossy(&answered));
}
