//! Following the trail by the program.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
};

use chrono::{TimeDelta, Utc};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::support::{Admin, text};

/// A program that follows, and its lines.
fn follow(admin: &Admin, arguments: &str) -> (Child, impl Iterator<Item = String>) {
    let mut command = admin.command(&format!("audit tail --follow {arguments}"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    (child, lines)
}

fn id(line: &str) -> String {
    text(&serde_json::from_str::<Value>(line).unwrap()["id"])
}

fn stop(mut child: Child) -> Option<i32> {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    child.wait().unwrap().code()
}

#[tokio::test]
async fn the_newest_are_shown_oldest_first() {
    let admin = Admin::with_org().await;
    let ids: Vec<String> = admin.calls(10, json!({})).await.iter().map(ToString::to_string).collect();
    let ran = admin.run("--json audit tail --limit 3");
    let shown: Vec<String> = ran.stdout.lines().map(id).collect();
    assert_eq!(shown, ids[7..]);
}

#[tokio::test]
async fn an_event_has_the_fields_of_the_api() {
    let admin = Admin::with_org().await;
    admin.calls(1, json!({})).await;
    let event: Value = serde_json::from_str(&admin.run("--json audit tail --limit 1").stdout).unwrap();
    let names: HashSet<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "id stream sequence occurred_at action outcome reason organization_id actor method route status ip country \
        user_agent fingerprint request_id detail";
    assert_eq!(names, expected.split_whitespace().collect());
}

#[tokio::test]
async fn a_line_for_people_says_what_matters_and_steers_nothing() {
    let admin = Admin::with_org().await;
    let fields =
        json!({"actor": {"kind": "operator", "id": "a\u{1b}[2J\u{202e}b"}, "reason": "revoked", "outcome": "denied"});
    admin.calls(1, fields).await;
    let ran = admin.run("audit tail --limit 1");
    let part = r"  revoked  operator:a\u{1b}[2J\u{202e}b  203.0.113.7  -  GET /api/v1/checks/**  200";
    assert_eq!((ran.stdout.lines().count(), ran.stdout.contains(part)), (1, true), "{}", ran.stdout);
}

#[tokio::test]
async fn what_comes_is_shown_once_however_late_and_out_of_order_it_comes() {
    let admin = Admin::with_org().await;
    admin.calls(2, json!({})).await;
    let (child, lines) = follow(&admin, "--json --limit 2 --action api.call");
    let mut lines = lines.map(|line| id(&line));
    let mut shown: Vec<String> = lines.by_ref().take(2).collect();
    let mut put: HashSet<String> = shown.iter().cloned().collect();
    // Each command that drains is a stream of its own; some of the events happened long before those that were shown.
    for (round, minutes) in [0, 30, 5, 0, 90].into_iter().enumerate() {
        let until = Utc::now() - TimeDelta::minutes(minutes);
        put.extend(admin.calls_until(until, 7, json!({})).await.iter().map(ToString::to_string));
        admin.json(if round == 2 { "audit checkpoint" } else { "audit verify" });
        shown.extend(lines.by_ref().take(7));
    }
    let once: HashSet<String> = shown.iter().cloned().collect();
    assert_eq!((stop(child), shown.len(), once == put), (Some(0), 37, true));
}

#[tokio::test]
async fn who_stops_reading_ends_it_without_another_event() {
    let admin = Admin::with_org().await;
    let (mut child, mut lines) = follow(&admin, "--limit 1");
    lines.next().unwrap();
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_tail_without_follow_ends() {
    let ran = Admin::with_org().await.run("audit tail --org acme");
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 1), "{}", ran.stderr);
}
