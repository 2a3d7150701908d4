//! A proxy of the environment. A process's environment is set before it starts: the tests run themselves once more.

use crate::server::{PLENTY, Server, local, passes, target};

/// Set in the process that makes the request: where to.
const URL: &str = "STATUSPULSE_TEST_URL";

/// Runs one test of this file again, behind a proxy, and tells how many requests the proxy and the server got.
async fn behind_a_proxy(test: &str) -> (usize, usize) {
    let (proxy, server) = (Server::answering("200 OK", "", "").await, Server::answering("200 OK", "", "").await);
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("proxy::{test}")]).env(URL, server.url());
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, format!("http://{}", proxy.address));
    }
    // The first would let loopback addresses through, the second makes clients distrust the others.
    for name in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
        command.env_remove(name);
    }
    assert!(passes(command).await);
    (proxy.requests().len(), server.requests().len())
}

/// spec: keys K44
#[tokio::test]
async fn a_proxy_of_the_environment_is_ignored() {
    if let Ok(url) = std::env::var(URL) {
        local(PLENTY).send(&target(&url), &[], String::new()).await;
        return;
    }
    assert_eq!(behind_a_proxy("a_proxy_of_the_environment_is_ignored").await, (0, 1));
}

/// The test above could otherwise pass because nothing looks at those variables.
#[tokio::test]
async fn a_client_that_is_not_told_to_ignore_it_uses_that_proxy() {
    if let Ok(url) = std::env::var(URL) {
        reqwest::get(url).await.unwrap();
        return;
    }
    assert_eq!(behind_a_proxy("a_client_that_is_not_told_to_ignore_it_uses_that_proxy").await, (1, 0));
}
