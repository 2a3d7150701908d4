//! Checkpoints as readers get them: what they need to hold copies that vouch for the trail.

use serde_json::{Value, json};
use statuspulse_app::audit::checkpoint;
use statuspulse_audit::{PublicKey, SignedCheckpoint};

use crate::{help::CHECKPOINTS, support::World};

async fn made(number: usize, rotate_last: bool) -> World {
    let world = World::new().await;
    world.api.app.flush().await;
    for at in 1..=number {
        checkpoint::now(&world.api.app, &world.api.app.operator(), rotate_last && at == number).await.unwrap();
    }
    world
}

fn signed(item: &Value) -> SignedCheckpoint {
    SignedCheckpoint::from_line(&item.to_string()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_come_newest_first_in_pages_signed_and_chained() {
    let world = made(5, true).await;
    let mut items = Vec::new();
    let mut cursor = String::new();
    let keys = loop {
        let page = world.read(&format!("{CHECKPOINTS}?limit=2{cursor}")).await.json();
        items.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break page["keys"].clone(),
        }
    };
    let keys: Vec<PublicKey> = keys
        .as_array()
        .unwrap()
        .iter()
        .map(|key| {
            let read = PublicKey::from_pem(key["public_key_pem"].as_str().unwrap()).unwrap();
            assert_eq!(key["key_id"], json!(read.key_id()));
            read
        })
        .collect();
    let checkpoints: Vec<SignedCheckpoint> = items.iter().map(signed).collect();
    let vouched = |one: &SignedCheckpoint| keys.iter().any(|key| one.is_signed_by(key).unwrap());
    let chained = checkpoints.windows(2).all(|pair| pair[0].body.previous == pair[1].body.digest().unwrap());
    let numbers: Vec<i64> = checkpoints.iter().map(|one| one.body.number).collect();
    assert!(chained && checkpoints.iter().all(vouched) && keys.len() == 2, "{items:?}");
    assert!(numbers.len() >= 5 && numbers.windows(2).all(|pair| pair[0] == pair[1] + 1), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_first_checkpoint_there_is_an_empty_page() {
    let world = World::new().await;
    world.sql("DELETE FROM audit_checkpoints").await;
    let page = world.read(CHECKPOINTS).await;
    assert_eq!((page.status, &page.json()["next_cursor"]), (200, &Value::Null));
}

/// What is handed out is the line of the file, byte for byte as a value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_is_its_line_in_the_file() {
    let world = made(1, false).await;
    let file = std::fs::read_to_string(checkpoint::file(&world.api.app)).unwrap();
    let items = world.read(CHECKPOINTS).await.json()["items"].clone();
    let lines: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| items.as_array().unwrap().contains(line)), "{items}");
}
