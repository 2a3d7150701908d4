//! What comes of an attempt.

use std::time::Duration;

use statuspulse_delivery::{Failure, Outcome, SigningSecret, send::MOST_KEPT, signature_headers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::server::{PLENTY, Script, Server, local, target};

/// Shorter than any answer that does not come.
const SHORT: Duration = Duration::from_millis(500);

async fn sent(server: &Server, timeout: Duration) -> Outcome {
    local(timeout).send(&server.target(), &[], "{}".to_owned()).await
}

async fn answered(status: &str, headers: &str) -> Outcome {
    sent(&Server::answering(status, headers, "").await, PLENTY).await
}

#[tokio::test]
async fn a_2xx_is_a_delivery() {
    let server = Server::answering("202 Accepted", "", "thank you\n").await;
    assert_eq!(
        sent(&server, PLENTY).await,
        Outcome { status: Some(202), failure: None, answer: r"thank you\n".to_owned(), retry_after: None }
    );
}

#[tokio::test]
async fn a_request_is_a_signed_post_of_json() {
    let server = Server::answering("200 OK", "", "").await;
    let secret = SigningSecret::from_entropy([1; 32]);
    let headers = signature_headers(uuid::Uuid::nil(), 1_767_225_600, r#"{"a":1}"#, &[secret]);
    local(PLENTY).send(&server.target(), &headers, r#"{"a":1}"#.to_owned()).await;
    let request = server.requests().concat();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let expected = [
        "POST /hook?to=us HTTP/1.1",
        "content-type: application/json",
        concat!("user-agent: StatusPulse-Auth/", env!("CARGO_PKG_VERSION")),
        "webhook-id: 00000000-0000-0000-0000-000000000000",
        "webhook-timestamp: 1767225600",
    ];
    let missing: Vec<_> = expected.into_iter().filter(|line| !head.lines().any(|got| got == *line)).collect();
    assert_eq!((missing, body, head.contains("\r\nwebhook-signature: v1,")), (vec![], r#"{"a":1}"#, true));
}

#[tokio::test]
async fn no_answer_is_asked_for_in_compressed_form() {
    let server = Server::answering("200 OK", "", "").await;
    sent(&server, PLENTY).await;
    assert!(!server.requests().concat().to_lowercase().contains("accept-encoding"));
}

/// spec: keys K43
#[tokio::test]
async fn a_redirect_is_a_failure_and_not_followed() {
    let inside = Server::answering("200 OK", "", "").await;
    let location = format!("location: {}\r\n", inside.url());
    let mut outcomes = Vec::new();
    for status in
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        outcomes.push(answered(status, &location).await.failure);
    }
    assert_eq!((outcomes, inside.requests().len()), (vec![Some(Failure::Redirect); 5], 0));
}

/// spec: keys K45
#[tokio::test]
async fn an_answer_without_end_is_cut_and_its_status_counts() {
    let server = Server::start(Script::Endless).await;
    let outcome = sent(&server, PLENTY).await;
    assert_eq!((outcome.status, outcome.failure, outcome.answer), (Some(200), None, "a".repeat(MOST_KEPT)));
}

/// spec: keys K45
#[tokio::test]
async fn an_answer_without_end_is_not_read_on() {
    let server = Server::start(Script::Endless).await;
    sent(&server, PLENTY).await;
    // What both sides' socket buffers hold comes on top of the 64 KiB.
    assert!(server.sent() < 64 * 1024 * 1024, "{}", server.sent());
}

/// spec: keys K45
#[tokio::test]
async fn an_answer_that_trickles_is_cut_when_the_time_is_over() {
    let outcome = sent(&Server::start(Script::Trickle).await, SHORT).await;
    assert_eq!((outcome.status, outcome.failure, outcome.answer.len() < 20), (Some(200), None, true));
}

#[tokio::test]
async fn an_answer_that_stops_in_its_body_counts_by_its_status() {
    assert_eq!(sent(&Server::start(Script::Stall).await, SHORT).await.status, Some(200));
}

#[tokio::test]
async fn no_answer_within_the_time_is_a_timeout() {
    assert_eq!(sent(&Server::start(Script::Silent).await, SHORT).await.failure, Some(Failure::Timeout));
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_no_answer() {
    assert_eq!(sent(&Server::start(Script::Say(String::new())).await, PLENTY).await.failure, Some(Failure::NoAnswer));
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_no_answer() {
    let server = Server::start(Script::Say("SSH-2.0-OpenSSH_9.9\r\n".to_owned())).await;
    assert_eq!(sent(&server, PLENTY).await.failure, Some(Failure::NoAnswer));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_failed_connection() {
    // Bound and let go again, so that it is nobody's.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let outcome = local(PLENTY).send(&target(&format!("http://{free}/")), &[], String::new()).await;
    assert_eq!(outcome.failure, Some(Failure::ConnectFailed));
}

#[tokio::test]
async fn a_server_without_tls_behind_https_is_a_tls_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // Stays until the other side leaves: a reset would overtake the answer.
        while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
    });
    let outcome = local(PLENTY).send(&target(&url), &[], String::new()).await;
    assert_eq!(outcome.failure, Some(Failure::TlsFailed));
}

#[tokio::test]
async fn a_410_says_that_the_endpoint_is_gone() {
    let outcome = answered("410 Gone", "").await;
    assert_eq!((outcome.status, outcome.failure), (Some(410), Some(Failure::Gone)));
}

#[tokio::test]
async fn other_statuses_are_failures() {
    let mut outcomes = Vec::new();
    for status in ["400 Bad Request", "404 Not Found", "429 Too Many Requests", "500 Oops", "503 Busy"] {
        outcomes.push(answered(status, "").await.failure);
    }
    assert_eq!(outcomes, [Some(Failure::BadStatus); 5]);
}

#[tokio::test]
async fn a_429_and_a_503_say_when_to_come_back() {
    let mut waits = Vec::new();
    for status in ["429 Too Many Requests", "503 Busy", "500 Oops", "200 OK"] {
        waits.push(answered(status, "retry-after: 7200\r\n").await.retry_after);
    }
    let hour = Some(Duration::from_secs(3_600));
    assert_eq!(waits, [hour, hour, None, None]);
}
