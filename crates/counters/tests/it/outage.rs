//! A server that goes away, hangs and comes back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use statuspulse_counters::{Shared, SharedError};
use statuspulse_testkit::{RedisServer, eventually};
use tokio::net::TcpListener;

use crate::cases::{NOW, admit, key, shared};

/// A server that is gone, and a client that has noticed.
async fn gone() -> (RedisServer, Shared) {
    let mut server = RedisServer::start().await;
    let shared = shared(&server.url());
    admit(&shared, NOW, 5).await;
    server.kill();
    eventually("the client notices", async || shared.admit(key(1), NOW, 5).await.is_err()).await;
    (server, shared)
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_server_that_was_killed_fails_the_next_call_quickly() {
    let mut server = RedisServer::start().await;
    let shared = shared(&server.url());
    admit(&shared, NOW, 5).await;
    server.kill();
    let began = Instant::now();
    let answer = shared.admit(key(1), NOW, 5).await;
    assert!(answer.is_err() && began.elapsed() < Duration::from_secs(1), "{answer:?} {:?}", began.elapsed());
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn after_a_failure_calls_fail_without_asking() {
    let (_server, shared) = gone().await;
    assert_eq!(shared.admit(key(1), NOW, 5).await, Err(SharedError::Resting));
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn the_watch_rests_together_with_the_limits() {
    let (_server, shared) = gone().await;
    assert_eq!(shared.lately(NOW).await, Err(SharedError::Resting));
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_server_that_is_back_is_used_again() {
    let (mut server, shared) = gone().await;
    server.restart().await;
    eventually("calls are counted again", async || shared.admit(key(1), NOW, 5).await.is_ok()).await;
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_server_that_comes_only_later_is_used_then() {
    let mut server = RedisServer::start().await;
    server.kill();
    let shared = shared(&server.url());
    eventually("the client notices", async || shared.admit(key(1), NOW, 5).await.is_err()).await;
    server.restart().await;
    eventually("calls are counted", async || shared.admit(key(1), NOW, 5).await.is_ok()).await;
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_server_that_hangs_costs_a_call_a_tenth_of_a_second() {
    let server = RedisServer::start().await;
    let shared = shared(&server.url());
    admit(&shared, NOW, 5).await;
    server.pause();
    assert_eq!(shared.admit(key(1), NOW, 5).await, Err(SharedError::Late(Duration::from_millis(100))));
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_server_that_hung_is_used_again() {
    let server = RedisServer::start().await;
    let shared = shared(&server.url());
    admit(&shared, NOW, 5).await;
    server.pause();
    eventually("the client notices", async || shared.admit(key(1), NOW, 5).await.is_err()).await;
    server.resume();
    eventually("calls are counted again", async || shared.admit(key(1), NOW, 5).await.is_ok()).await;
}

/// A listener that never answers, and a client that has found that out.
async fn silent() -> (TcpListener, Shared) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shared = shared(&format!("redis://{}", listener.local_addr().unwrap()));
    (listener, shared)
}

#[tokio::test]
async fn a_server_that_never_answers_costs_half_a_second_at_first() {
    let (_listener, shared) = silent().await;
    assert_eq!(shared.admit(key(1), NOW, 5).await, Err(SharedError::Late(Duration::from_millis(500))));
}

#[tokio::test]
async fn callers_that_waited_for_the_same_connection_fail_with_it() {
    let (_listener, shared) = silent().await;
    let (shared, began) = (Arc::new(shared), Instant::now());
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move { shared.admit(key(1), NOW, 5).await.is_err() })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap());
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn while_one_caller_tries_the_others_fail_at_once() {
    let (_listener, shared) = silent().await;
    let _ = shared.admit(key(1), NOW, 5).await;
    let mut answers = Vec::new();
    eventually("the rest is over", async || {
        answers = join_all((0..50).map(|_| shared.admit(key(1), NOW, 5))).await;
        answers.iter().any(|answer| *answer != Err(SharedError::Resting))
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| **answer == Err(SharedError::Resting)).count(), 49);
}

#[tokio::test]
async fn no_server_at_all_is_an_error() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let answer = shared(&format!("redis://{free}")).admit(key(1), NOW, 5).await;
    assert!(matches!(answer, Err(SharedError::Failed(_))), "{answer:?}");
}
