//! The whole life of a key that renews itself, as people see it in Slack; the same text stands in docs/OPERATIONS.md.

use serde_json::{Value, json};

use crate::{
    help::{ALL, KEYS, Scene},
    receiver::Receiver,
};

/// What a message says to people: its title, its fields, its advice. What differs from run to run is left out: hints, dates
/// and the link with the key's id.
fn said(message: &Value) -> String {
    let blocks = message["blocks"].as_array().unwrap();
    let text = |value: &Value| value["text"].as_str().unwrap_or_default().replace('\n', ": ");
    let mut lines = Vec::new();
    for block in blocks {
        match block["type"].as_str().unwrap() {
            "header" => lines.push(text(&block["text"])),
            "section" => {
                let fields = block["fields"].as_array().into_iter().flatten().map(text);
                let wanted = fields.filter(|field| {
                    ["Key: ", "Environment: ", "Version: ", "Time left: "].iter().any(|label| field.starts_with(label))
                });
                let joined = wanted.collect::<Vec<_>>().join(" · ");
                let both = [joined, text(&block["text"])];
                lines.extend(both.into_iter().filter(|line| !line.is_empty() && !line.starts_with('<')));
            }
            _ => {}
        }
    }
    lines.join("\n           ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_renews_itself_is_told_of_as_the_documentation_shows() {
    let scene = Scene::new().await;
    let client = scene.world.db.client().await;
    client.execute("UPDATE keys SET revoked_at = created_at", &[]).await.unwrap();
    let receiver = Receiver::start().await;
    let (_, mut token) = scene
        .key_like(|key| {
            key.name = "deploy".into();
            key.auto_rotate = true;
        })
        .await;
    let slack = json!({"url": receiver.url, "kind": "slack", "events": ALL});
    scene.endpoint_like(&slack).await;
    let (mut told, mut said_so_far) = (Vec::new(), 0);
    for day in 0..=181 {
        if day > 0 {
            scene.days(1).await;
        }
        scene.prepare_successors().await;
        scene.give_notices().await;
        scene.send().await;
        // The holder looks in on the second day after the slot is there, the first time; nobody does the second time.
        if day == 85 {
            let claimed = scene.world.api.post("/v1/keys/self/successor").key(&token).send().await;
            token = claimed.json()["token"].as_str().unwrap().to_owned();
            scene.send().await;
        }
        let got = receiver.got();
        for message in &got[said_so_far..] {
            told.push(format!("day {day:>3}    {}", said(&message.json())));
        }
        said_so_far = got.len();
    }
    let status = scene.shown(&format!("{KEYS}?q=deploy")).await["items"][0]["status"].clone();
    let documented = include_str!("../../../../docs/OPERATIONS.md");
    let told = told.join("\n");
    assert!(status == "expired" && documented.contains(&told), "docs/OPERATIONS.md must hold this:\n\n{told}\n");
}
