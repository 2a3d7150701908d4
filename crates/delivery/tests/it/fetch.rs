//! Fetching a document that the operator's settings name, and https in general. Which roots are trusted is the
//! environment's to say, so that the tests run themselves once more with a root of their own.

use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use statuspulse_delivery::{Failure, FetchError};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::server::{PLENTY, Script, local, passes, serve, target};

/// Set in the process that trusts the root: the URL of the server.
const URL: &str = "STATUSPULSE_TEST_TLS_URL";

/// Starts a server with a certificate of its own for `127.0.0.1`; its URL, and the certificate in PEM.
async fn tls_server(script: Script) -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("https://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, script) = (acceptor.clone(), script.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, script, Arc::default()).await;
                }
            });
        }
    });
    (url, cert.pem())
}

/// Whether one test of this file passes in a process that trusts the server.
async fn passes_with_trust(test: &str, script: Script) -> bool {
    let (url, pem) = tls_server(script).await;
    let folder = tempfile::tempdir().unwrap();
    let roots: &Path = &folder.path().join("roots.pem");
    std::fs::write(roots, pem).unwrap();
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", &format!("fetch::{test}")])
        .env(URL, url)
        .env("SSL_CERT_FILE", roots)
        .env_remove("SSL_CERT_DIR");
    passes(command).await
}

fn say(status: &str, headers: &str, body: &str) -> Script {
    let length = body.len();
    Script::Say(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"))
}

#[tokio::test]
async fn a_document_is_fetched_over_https() {
    if let Ok(url) = std::env::var(URL) {
        assert_eq!(local(PLENTY).get(&url, 8).await, Ok(b"document".to_vec()));
        return;
    }
    assert!(passes_with_trust("a_document_is_fetched_over_https", say("200 OK", "", "document")).await);
}

#[tokio::test]
async fn a_document_that_is_too_long_is_refused() {
    if let Ok(url) = std::env::var(URL) {
        assert_eq!(local(PLENTY).get(&url, 1_000).await, Err(FetchError::TooLong(1_000)));
        return;
    }
    assert!(passes_with_trust("a_document_that_is_too_long_is_refused", Script::Endless).await);
}

#[tokio::test]
async fn a_document_that_moved_is_not_followed() {
    if let Ok(url) = std::env::var(URL) {
        assert_eq!(local(PLENTY).get(&url, 1_000).await, Err(FetchError::Failed(Failure::Redirect)));
        return;
    }
    let moved = say("302 Found", "location: /\r\n", "");
    assert!(passes_with_trust("a_document_that_moved_is_not_followed", moved).await);
}

#[tokio::test]
async fn a_document_that_is_not_there_says_so() {
    if let Ok(url) = std::env::var(URL) {
        assert_eq!(local(PLENTY).get(&url, 1_000).await, Err(FetchError::Status(404)));
        return;
    }
    assert!(passes_with_trust("a_document_that_is_not_there_says_so", say("404 Not Found", "", "")).await);
}

#[tokio::test]
async fn a_webhook_is_delivered_over_https() {
    if let Ok(url) = std::env::var(URL) {
        let outcome = local(PLENTY).send(&target(&url), &[], "{}".to_owned()).await;
        assert_eq!((outcome.status, outcome.failure), (Some(204), None));
        return;
    }
    assert!(passes_with_trust("a_webhook_is_delivered_over_https", say("204 No Content", "", "")).await);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_a_tls_failure() {
    let (url, _) = tls_server(say("200 OK", "", "")).await;
    let outcome = local(PLENTY).send(&target(&url), &[], "{}".to_owned()).await;
    assert_eq!((outcome.status, outcome.failure), (None, Some(Failure::TlsFailed)));
}

#[tokio::test]
async fn a_document_is_fetched_over_https_only() {
    let mut outcomes = Vec::new();
    for url in ["http://127.0.0.1/", "file:///etc/hostname", "keys.json", ""] {
        outcomes.push(local(PLENTY).get(url, 10).await);
    }
    assert_eq!(outcomes, [const { Err(FetchError::NotHttps) }; 4]);
}
