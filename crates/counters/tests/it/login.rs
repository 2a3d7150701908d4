//! Servers that want a password, another database or TLS.

use statuspulse_counters::SharedError;
use statuspulse_testkit::RedisServer;

use crate::cases::{NOW, admit, key, shared};

fn reason(error: SharedError) -> String {
    let SharedError::Failed(reason) = error else { panic!("another error: {error:?}") };
    reason
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn the_password_of_the_url_opens_the_server() {
    let server = RedisServer::start_with(&["--requirepass", "hunter2"]).await;
    let url = format!("redis://:hunter2@127.0.0.1:{}", server.port());
    assert!(admit(&shared(&url), NOW, 1).await.accepted);
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_wrong_password_is_an_error_that_does_not_show_it() {
    let server = RedisServer::start_with(&["--requirepass", "hunter2"]).await;
    let url = format!("redis://:swordfish@127.0.0.1:{}", server.port());
    let reason = reason(shared(&url).admit(key(1), NOW, 1).await.unwrap_err());
    assert!(reason.to_lowercase().contains("pass") && !reason.contains("swordfish"), "{reason}");
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn the_database_of_the_url_is_the_one_that_is_used() {
    let server = RedisServer::start().await;
    admit(&shared(&format!("{}/3", server.url())), NOW, 1).await;
    assert_eq!(server.cli(&["-n", "3", "dbsize"]).await.trim(), "1");
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn servers_that_are_no_cluster_are_refused_together() {
    let (one, other) = (RedisServer::start().await, RedisServer::start().await);
    let answer = shared(&format!("{},{}", one.url(), other.url())).admit(key(1), NOW, 1).await;
    assert_eq!(answer, Err(SharedError::NoCluster));
}
