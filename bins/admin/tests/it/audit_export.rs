//! Exports by the program.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::support::{Admin, text};

async fn trail(number: u32) -> (Admin, Vec<String>) {
    let admin = Admin::with_org().await;
    let ids = admin.calls(number, json!({"user_agent": "=cmd|' /C calc'!A0, \"x\""})).await;
    (admin, ids.iter().map(ToString::to_string).collect())
}

/// spec: audit A2
#[tokio::test]
async fn each_event_is_one_line_in_each_format() {
    let (admin, _) = trail(5).await;
    let lines = ["jsonl", "ocsf", "cef", "csv"]
        .map(|format| admin.run(&format!("audit export --format {format} --action api.call")).stdout.lines().count());
    assert_eq!(lines, [5, 5, 5, 6]);
}

#[tokio::test]
async fn an_export_is_narrowed_by_its_filters() {
    let (admin, _) = trail(5).await;
    admin.calls(2, json!({"ip": "198.51.100.9", "country": "DE", "outcome": "denied"})).await;
    let filters =
        ["--ip 198.51.100.0/24", "--country de", "--outcome denied", "--org acme", "--to 2020-01-01T00:00:00Z"];
    let counts = filters
        .map(|filter| admin.run(&format!("audit export --format jsonl --action api. {filter}")).stdout.lines().count());
    assert_eq!(counts, [2, 2, 2, 0, 0]);
}

#[tokio::test]
async fn an_export_goes_on_behind_an_event() {
    let (admin, ids) = trail(5).await;
    admin.json("audit verify");
    let export = admin.run(&format!("audit export --format jsonl --action api.call --after {}", ids[2])).stdout;
    let rest: Vec<String> =
        export.lines().map(|line| text(&serde_json::from_str::<Value>(line).unwrap()["id"])).collect();
    assert_eq!(rest, ids[3..]);
}

#[tokio::test]
async fn an_export_behind_nothing_ends_with_4() {
    let (admin, _) = trail(1).await;
    let ran = admin.run("audit export --format csv --after 01900000-0000-7000-8000-000000000000");
    assert_eq!(ran.refusal("\n  after: "), (4, true));
}

#[tokio::test]
async fn a_mistyped_action_is_refused() {
    assert_eq!(Admin::new().await.run("audit export --format csv --action api.calls").code, 2);
}

#[tokio::test]
async fn an_export_into_a_file_is_there_as_a_whole() {
    let (admin, _) = trail(5).await;
    let file = admin.path("out.csv");
    let written = admin.json(&format!("audit export --format csv --action api.call --output {}", file.display()));
    let lines = std::fs::read_to_string(&file).unwrap().lines().count();
    assert_eq!((&written["events"], lines), (&json!(5), 6));
}

#[tokio::test]
async fn an_export_into_no_folder_leaves_no_event() {
    let (admin, _) = trail(1).await;
    let ran = admin.run("audit export --format csv --output /nowhere/out.csv");
    let noted = "SELECT count(*)::text FROM audit_outbox WHERE event ->> 'action' = 'audit.export'";
    assert_eq!((ran.code, admin.value(noted).await), (1, "0".to_owned()));
}

#[tokio::test]
async fn who_stops_reading_ends_an_export_quietly() {
    let (admin, _) = trail(5_000).await;
    let mut command = admin.command("audit export --format jsonl");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
}
