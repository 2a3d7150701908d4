//! Servers behind TLS.

use std::{env, fs, net::TcpListener, path::PathBuf};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use statuspulse_counters::SharedError;
use statuspulse_testkit::{Process, RedisServer};
use tempfile::TempDir;

use crate::cases::{NOW, admit, key, shared};

/// Where the test finds its server when it runs for the second time.
const URL: &str = "STATUSPULSE_TEST_TLS_URL";

/// A server with a certificate of its own, its URL, and the file of the certificate.
async fn start() -> (RedisServer, String, PathBuf, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, secret) = (folder.path().join("certificate.pem"), folder.path().join("secret.pem"));
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(&certificate, cert.pem()).unwrap();
    fs::write(&secret, signing_key.serialize_pem()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (number, certificate_file) = (port.to_string(), certificate.to_str().unwrap());
    let server = RedisServer::start_with(&[
        "--tls-port",
        &number,
        "--tls-cert-file",
        certificate_file,
        "--tls-ca-cert-file",
        certificate_file,
        "--tls-key-file",
        secret.to_str().unwrap(),
        "--tls-auth-clients",
        "no",
    ])
    .await;
    (server, format!("rediss://127.0.0.1:{port}"), certificate, folder)
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_server_is_known_by_an_authority_of_the_system() {
    // The authorities stand in the environment, which a test can't change for itself: it runs itself with another one.
    if let Ok(url) = env::var(URL) {
        assert!(admit(&shared(&url), NOW, 1).await.accepted);
        return;
    }
    let (_server, url, certificate, _folder) = start().await;
    let mut command = Process::command(env::current_exe().unwrap());
    command.args(["--exact", "tls::a_server_is_known_by_an_authority_of_the_system", "--include-ignored"]);
    command.env(URL, url).env("SSL_CERT_FILE", certificate).env_remove("SSL_CERT_DIR");
    let mut process = Process::spawn(command);
    let status = process.ended().await;
    assert!(status.success() && process.stdout().contains("1 passed"), "{}", process.stdout());
}

#[tokio::test]
#[ignore = "needs Redis"]
async fn a_server_that_no_authority_knows_is_refused() {
    let (_server, url, _, _folder) = start().await;
    let answer = shared(&url).admit(key(1), NOW, 1).await;
    assert!(matches!(&answer, Err(SharedError::Failed(reason)) if reason.contains("certificate")), "{answer:?}");
}
