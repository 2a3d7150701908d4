//! Reports of GitHub's secret scanning.

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use statuspulse_app::leaks::github::{GithubKeys, Source};
use statuspulse_auth::Outgoing;
use statuspulse_testkit::{TestDb, eventually};

use crate::{
    help::Scene,
    support::{Reply, World},
};

const PATH: &str = "/v1/leaks/github";

struct Github {
    scene: Scene,
    pair: EcdsaKeyPair,
    _folder: tempfile::TempDir,
}

fn pair() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
}

fn pem(pair: &EcdsaKeyPair) -> String {
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
}

impl Github {
    async fn new() -> Self {
        let (folder, current, old) = (tempfile::tempdir().unwrap(), pair(), pair());
        let keys = json!({"public_keys": [
            {"key_identifier": "old", "key": pem(&old), "is_current": false},
            {"key_identifier": "now", "key": pem(&current), "is_current": true},
            // Signed by the key of now, under the id of one that is current no more.
            {"key_identifier": "was", "key": pem(&current), "is_current": false},
        ]});
        let file = folder.path().join("keys.json");
        std::fs::write(&file, keys.to_string()).unwrap();
        let github = Some(GithubKeys::new(Source::File(file), None));
        let scene = Scene::over(TestDb::new().await, Outgoing { github, ..Outgoing::default() }).await;
        Self { scene, pair: current, _folder: folder }
    }

    fn body(token: &str) -> String {
        json!([{"token": token, "type": "statuspulse_key", "url": "https://github.com/o/r", "source": "content"}])
            .to_string()
    }

    fn sign(&self, body: &str) -> String {
        STANDARD.encode(self.pair.sign(&SystemRandom::new(), body.as_bytes()).unwrap())
    }

    async fn report(&self, id: &str, signature: &str, body: &str) -> Reply {
        let ask = self.scene.world.api.post(PATH).peer("192.0.2.1").header("content-type", "application/json");
        ask.header("github-public-key-identifier", id)
            .header("github-public-key-signature", signature)
            .body(body.to_owned())
            .send()
            .await
    }
}

/// spec: keys K50
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_report_ends_the_token() {
    let github = Github::new().await;
    let (_, token) = github.scene.key().await;
    let body = Github::body(&token);
    let taken = github.report("now", &github.sign(&body), &body).await.status;
    eventually("the key is revoked", async || github.scene.judged(&token).await == "revoked").await;
    assert_eq!(taken, 202);
}

/// spec: keys K50
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_byte_another_key_and_a_missing_header_are_refused_and_end_nothing() {
    let github = Github::new().await;
    let (_, token) = github.scene.key().await;
    let body = Github::body(&token);
    let signature = github.sign(&body);
    let mut told = Vec::new();
    for (id, body) in [
        ("now", body.replace("content", "contenT")),
        ("old", body.clone()),
        ("was", body.clone()),
        ("nobody", body.clone()),
    ] {
        told.push(github.report(id, &signature, &body).await.status);
    }
    told.push(github.report("now", "not base64", &body).await.status);
    told.push(github.scene.world.api.post(PATH).body(body).send().await.status);
    assert_eq!((told, github.scene.judged(&token).await), (vec![400; 6], "allowed".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_body_that_is_no_report_is_told_so() {
    let github = Github::new().await;
    let mut told = Vec::new();
    for body in ["{}", "[]", "[{\"type\":\"x\"}]", "[{\"token\":7}]"] {
        told.push(github.report("now", &github.sign(body), body).await.status);
    }
    assert_eq!(told, [400, 422, 400, 400]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_reports_are_not_taken() {
    let world = World::new().await;
    let refused = world.api.post(PATH).body("[]").send().await;
    assert_eq!(refused.outcome(), (503, "github_not_configured".to_owned()));
}
