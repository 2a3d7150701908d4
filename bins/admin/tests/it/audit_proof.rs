//! Checkpoints and proofs of single events, checked without the trail.

use serde_json::{Value, json};

use crate::{
    audit::{covered, key_file, offline, trail},
    support::{Admin, NOBODY, text},
};

/// With the proof of one of its calls, and the key, in files.
async fn proven() -> (Admin, String, String) {
    let admin = Admin::with_org().await;
    let ids = admin.calls(20, json!({})).await;
    admin.json("audit checkpoint");
    let proof = admin.file("proof.json", &admin.run(&format!("audit prove {}", ids[7])).stdout).display().to_string();
    let key = key_file(&admin);
    (admin, proof, key)
}

#[tokio::test]
async fn a_proof_is_checked_without_the_trail() {
    let (_admin, proof, key) = proven().await;
    let answer = offline(&format!("--json audit check-proof {proof} --public-key {key}")).json();
    assert_eq!((&answer["ok"], &answer["checkpoint"]), (&json!(true), &json!(1)));
}

#[tokio::test]
async fn a_proof_holds_after_the_address_was_erased() {
    let (admin, proof, key) = proven().await;
    let id = text(&serde_json::from_str::<Value>(&std::fs::read_to_string(proof).unwrap()).unwrap()["record"]["id"]);
    admin.json("audit erase --ip 203.0.113.7 --yes");
    let again = admin.path("again.json").display().to_string();
    admin.run(&format!("audit prove {id} --output {again}"));
    assert_eq!(offline(&format!("audit check-proof {again} --public-key {key}")).code, 0);
}

#[tokio::test]
async fn a_changed_proof_and_another_key_prove_nothing() {
    let (admin, proof, key) = proven().await;
    let changed = std::fs::read_to_string(&proof).unwrap().replace("\"status\":200", "\"status\":500");
    let changed = admin.file("changed.json", &changed).display().to_string();
    let stranger = covered(1).await;
    let other = key_file(&stranger);
    let codes = [(&changed, &key), (&proof, &other)]
        .map(|(proof, key)| offline(&format!("audit check-proof {proof} --public-key {key}")).code);
    assert_eq!(codes, [10, 10]);
}

/// A Python that has the library: an environment that comes first in the path may hide the one of the system.
fn python() -> &'static str {
    let has = |python: &&str| {
        let ran = std::process::Command::new(python).args(["-c", "import cryptography"]).output();
        ran.is_ok_and(|ran| ran.status.success())
    };
    ["python3", "/usr/bin/python3"].into_iter().find(has).unwrap()
}

/// The script of the documentation, with somebody else's libraries.
#[tokio::test]
#[ignore = "needs Python's cryptography"]
async fn the_script_of_the_documentation_comes_to_the_same() {
    let (admin, proof, key) = proven().await;
    let changed = std::fs::read_to_string(&proof).unwrap().replace("\"status\":200", "\"status\":500");
    let changed = admin.file("changed.json", &changed).display().to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/check-proof");
    let codes = [&proof, &changed].map(|proof| {
        let output = std::process::Command::new(python()).arg(script).args([proof, &key]).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    });
    assert_eq!(codes.each_ref().map(|(code, _)| *code), [0, 10], "{codes:?}");
}

#[tokio::test]
async fn an_event_that_no_checkpoint_covers_can_not_be_proven_yet() {
    let admin = Admin::with_org().await;
    let ids = admin.calls(2, json!({})).await;
    admin.json("audit verify");
    let ran = admin.run(&format!("audit prove {}", ids[0]));
    assert_eq!(ran.refusal("error[not_covered_yet]: "), (4, true), "{}", ran.stderr);
}

#[tokio::test]
async fn an_event_that_is_not_there_ends_with_3() {
    assert_eq!(Admin::new().await.run(&format!("audit prove {NOBODY}")).refusal("error[not_found]: "), (3, true));
}

#[tokio::test]
async fn a_checkpoint_is_printed_as_it_is_kept() {
    let admin = trail(3).await;
    let line = admin.run("--json audit checkpoint").stdout;
    assert_eq!(line, std::fs::read_to_string(admin.path("data/audit/checkpoints.jsonl")).unwrap());
}

#[tokio::test]
async fn before_the_first_checkpoint_there_is_no_key() {
    assert_eq!(Admin::new().await.run("audit public-key").refusal("error[no_key]: "), (3, true));
}
