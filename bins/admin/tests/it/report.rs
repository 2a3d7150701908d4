//! The evidence for an audit, and what its reader can check without us.

use std::fs;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use statuspulse_audit::record::instant;

use crate::{
    audit::{covered, key_file, offline},
    support::{Admin, NOBODY, Ran, text},
};

/// `--from … --to …` of the last day.
fn last_day() -> String {
    let now = Utc::now();
    format!("--from {} --to {}", instant(now - TimeDelta::days(1)), instant(now))
}

fn report(admin: &Admin, name: &str) -> Ran {
    let folder = admin.path(name).display().to_string();
    admin.run(&format!("--json report soc2 --org acme {} --output {folder}", last_day()))
}

/// A report of the last day in the folder `report`, and the public key in a file.
fn reported(admin: &Admin) -> (String, String) {
    report(admin, "report").json();
    (admin.path("report").display().to_string(), key_file(admin))
}

fn check(folder: &str, key: &str) -> Ran {
    offline(&format!("--json report check {folder} --public-key {key}"))
}

fn content(folder: &str) -> Value {
    serde_json::from_slice(&fs::read(format!("{folder}/report.json")).unwrap()).unwrap()
}

/// A report of what was done so far.
fn told(admin: &Admin) -> Value {
    content(&reported(admin).0)
}

#[tokio::test]
async fn the_folder_has_its_files_and_is_whole() {
    let admin = covered(10).await;
    let answer = report(&admin, "report").json();
    let files = json!(["report.html", "report.json", "manifest.json", "manifest.json.sig"]);
    assert_eq!((&answer["files"], &answer["verdict"]), (&files, &json!("whole")));
    let folder = text(&answer["folder"]);
    let mut found: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, ["manifest.json", "manifest.json.sig", "report.html", "report.json"]);
    let checked = check(&folder, &key_file(&admin)).json();
    let said = [&checked["ok"], &checked["manifest"]["report"], &checked["manifest"]["organization"]["slug"]];
    assert_eq!(said, [&json!(true), &json!("soc2"), &json!("acme")]);
}

#[tokio::test]
async fn a_byte_that_was_changed_is_found_in_each_file() {
    let admin = Admin::with_org().await;
    let (folder, key) = reported(&admin);
    let mut codes = Vec::new();
    for name in ["report.html", "report.json", "manifest.json", "manifest.json.sig"] {
        let path = format!("{folder}/{name}");
        let before = fs::read(&path).unwrap();
        let mut changed = before.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(&path, changed).unwrap();
        codes.push(check(&folder, &key).code);
        fs::write(&path, before).unwrap();
    }
    codes.push(check(&folder, &key).code);
    assert_eq!(codes, [10, 10, 10, 10, 0]);
}

#[tokio::test]
async fn a_file_that_is_cut_short_or_gone_is_found() {
    let admin = Admin::with_org().await;
    let (folder, key) = reported(&admin);
    fs::write(format!("{folder}/report.html"), "").unwrap();
    let cut = check(&folder, &key);
    fs::remove_file(format!("{folder}/report.html")).unwrap();
    let gone = check(&folder, &key);
    assert_eq!(
        [cut.refusal("`report.html` has 0 bytes"), gone.refusal("`report.html` can't be read")],
        [(10, true); 2]
    );
}

#[tokio::test]
async fn without_its_signature_a_report_is_none() {
    let admin = Admin::with_org().await;
    let (folder, key) = reported(&admin);
    fs::remove_file(format!("{folder}/manifest.json.sig")).unwrap();
    assert_eq!(check(&folder, &key).refusal("`manifest.json.sig` can't be read"), (10, true));
}

#[tokio::test]
async fn by_another_key_a_report_does_not_hold() {
    let admin = Admin::with_org().await;
    let (folder, _) = reported(&admin);
    let stranger = covered(1).await;
    assert_eq!(check(&folder, &key_file(&stranger)).refusal("is not signed by the key that was given"), (10, true));
}

#[tokio::test]
async fn what_lies_beside_a_report_is_named() {
    let admin = Admin::with_org().await;
    let (folder, key) = reported(&admin);
    fs::write(format!("{folder}/other.html"), "x").unwrap();
    assert_eq!(check(&folder, &key).json()["unlisted"], json!(["other.html"]));
}

#[tokio::test]
async fn a_folder_that_is_none_can_not_be_checked() {
    let admin = covered(1).await;
    assert_eq!(check("/nowhere", &key_file(&admin)).refusal("`/nowhere` is no folder"), (2, true));
}

#[tokio::test]
async fn a_key_stands_in_the_inventory_without_its_token() {
    let admin = Admin::with_org().await;
    let (id, token) = admin.key("deploy");
    let (folder, _) = reported(&admin);
    let key = content(&folder)["keys"]["items"][0].take();
    let fields = ["id", "name", "environment", "scopes", "status", "version", "rotations", "allowlist", "age_days"];
    let expected = json!([id, "deploy", "production", ["monitoring:read"], "active", 1, 0, "none", 0]);
    assert_eq!(json!(fields.map(|field| &key[field])), expected);
    let secret = &token[token.len() - 20..];
    let texts = ["report.html", "report.json", "manifest.json"]
        .map(|name| fs::read_to_string(format!("{folder}/{name}")).unwrap());
    assert!(!texts.iter().any(|text| text.contains(secret)), "the token is in the report");
}

#[tokio::test]
async fn a_name_is_text_and_no_html() {
    let admin = Admin::with_org().await;
    admin.key("<script>alert(1)</script>");
    let (folder, _) = reported(&admin);
    let html = fs::read_to_string(format!("{folder}/report.html")).unwrap();
    assert_eq!((html.contains("<script"), html.contains("&#60;script&#62;alert(1)")), (false, true));
}

#[tokio::test]
async fn rotations_and_changes_stand_there_with_who_made_them() {
    let admin = Admin::with_org().await;
    let (id, _) = admin.key("deploy");
    admin.json(&format!("key rotate {id}"));
    admin.json(&format!("key disable {id}"));
    let report = told(&admin);
    let rotation = &report["rotations"]["items"][0];
    assert_eq!(
        (&rotation["key_id"], &rotation["version"], &rotation["how"]),
        (&json!(id), &json!(2), &json!("rotated"))
    );
    let changes = report["access"]["changes"]["items"].as_array().unwrap();
    let actions: Vec<&str> = changes.iter().map(|change| change["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["settings.create", "key.create", "key.rotate", "key.disable"]);
    let last = &changes[3];
    let said = json!([last["actor"]["kind"], last["subject"]["name"], last["outcome"]]);
    assert_eq!(said, json!(["operator", "deploy", "allowed"]));
}

#[tokio::test]
async fn only_staging_may_have_secrets_that_live_longer_than_90_days() {
    let admin = Admin::with_org().await;
    let create = "key create --org acme --environment staging --name long --scope monitoring:read";
    admin.json(&format!("{create} --expires-in 180d"));
    admin.key("short");
    let report = told(&admin);
    let version = &report["long_lived"]["items"][0];
    let said = json!([report["long_lived"]["total"], report["long_lived"]["beyond_limit"], version["days"]]);
    assert_eq!((said, &version["is_allowed"]), (json!([1, 0, 180]), &json!(true)));
}

const ALERT: &str = "INSERT INTO alerts (id, organization_id, rule, subject_kind, subject, severity, status, opened_at, \
    last_seen_at, count, evidence, acknowledged_at, resolved_at, resolution) VALUES ";

#[tokio::test]
async fn alerts_stand_there_with_how_long_each_took() {
    let admin = Admin::with_org().await;
    let org = "(SELECT id FROM organizations)";
    let times = "now() - interval '60 minutes', now(), 3, '{\"control\": [\"CC6.6\", \"CC7.2\"]}'";
    let taken = "now() - interval '50 minutes', now() - interval '30 minutes', \
        '{\"kind\": \"manual\", \"by\": {\"kind\": \"user\", \"id\": \"x\"}, \"note\": \"a test\"}'";
    admin
        .execute(&format!(
            "{ALERT} (gen_random_uuid(), {org}, 'ip_denied', 'key', 'a', 'high', 'resolved', {times}, {taken}),
                     (gen_random_uuid(), {org}, 'ip_denied', 'key', 'b', 'high', 'open', {times}, NULL, NULL, NULL),
                     (gen_random_uuid(), NULL, 'audit_gap', 'instance', 'c', 'critical', 'open', {times}, NULL, NULL, NULL)"
        ))
        .await;
    let report = told(&admin);
    let alerts = &report["alerts"];
    let figures =
        ["total", "open", "acknowledged", "resolved", "median_minutes_to_acknowledge", "median_minutes_to_resolve"];
    assert_eq!(json!(figures.map(|figure| &alerts[figure])), json!([2, 1, 1, 1, 10.0, 30.0]));
    let closed = alerts["items"].as_array().unwrap().iter().find(|alert| alert["status"] == "resolved").unwrap();
    let said = json!([
        closed["controls"],
        closed["resolved"]["how"],
        closed["resolved"]["note"],
        closed["acknowledged"]["minutes"]
    ]);
    assert_eq!(said, json!([["CC6.6", "CC7.2"], "manual", "a test", 10.0]));
    assert_eq!((&report["service_alerts"]["total"], &report["summary"]["alerts_open"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn of_webhooks_totals_and_every_failure_stand_there_and_no_secret_path() {
    let admin = Admin::with_org().await;
    admin
        .execute(
            "INSERT INTO webhook_endpoints (id, organization_id, url, kind, events, status, secret_sealed, secret_key_version,
                 created_at, created_by, created_by_kind)
             SELECT '01900000-0000-7000-8000-000000000001', id, 'https://hooks.example.test/T0/very-secret', 'standard',
                 '{key.created}', 'active', '', 1, now() - interval '2 hours', 'root', 'operator' FROM organizations;
             INSERT INTO webhook_events (id, organization_id, type, occurred_at, data)
             SELECT ('01900000-0000-7000-8000-00000000010' || n)::uuid, id, 'key.created', now() - interval '1 hour', '{}'
             FROM organizations, generate_series(1, 3) n;
             INSERT INTO webhook_deliveries (id, organization_id, endpoint_id, event_id, status, attempts, response_status, error,
                 created_at)
             SELECT gen_random_uuid(), organization_id, '01900000-0000-7000-8000-000000000001', id,
                 CASE WHEN id::text LIKE '%1' THEN 'failed' ELSE 'succeeded' END, 9, 500, 'status', occurred_at
             FROM webhook_events;",
        )
        .await;
    let (folder, _) = reported(&admin);
    let webhooks = content(&folder)["webhooks"].take();
    let endpoint = &webhooks["endpoints"][0];
    let totals = json!([endpoint["origin"], endpoint["succeeded"], endpoint["failed"], endpoint["pending"]]);
    assert_eq!(totals, json!(["https://hooks.example.test", 2, 1, 0]));
    let failed = &webhooks["failed"]["items"][0];
    assert_eq!((&failed["error"], &failed["response_status"]), (&json!("status"), &json!(500)));
    assert!(!fs::read_to_string(format!("{folder}/report.html")).unwrap().contains("very-secret"));
}

#[tokio::test]
async fn a_trail_that_was_changed_makes_a_report_that_says_so_and_ends_with_10() {
    let admin = covered(10).await;
    admin.execute("UPDATE audit_events SET status = 201 WHERE action = 'api.call' AND sequence = 5").await;
    let ran = report(&admin, "report");
    let folder = admin.path("report").display().to_string();
    let trail = content(&folder)["trail"].take();
    let said = (ran.code, &trail["verdict"], &trail["first_bad"]["reason"]);
    assert_eq!(said, (10, &json!("tampered"), &json!("changed")), "{}", ran.stderr);
    assert_eq!(check(&folder, &key_file(&admin)).code, 0);
}

#[tokio::test]
async fn a_period_in_which_nothing_happened_says_so() {
    let admin = Admin::with_org().await;
    let folder = admin.path("report").display().to_string();
    let period = "--from 2020-01-01T00:00:00Z --to 2020-02-01T00:00:00Z";
    admin.json(&format!("report soc2 --org acme {period} --output {folder}"));
    let report = content(&folder);
    let summary = &report["summary"];
    assert_eq!((&summary["nothing_happened"], &summary["keys"]), (&json!(true), &json!(0)));
    let html = fs::read_to_string(format!("{folder}/report.html")).unwrap();
    assert!(html.contains("Nothing happened in this period"));
}

#[tokio::test]
async fn the_report_itself_is_in_the_trail() {
    let admin = Admin::with_org().await;
    reported(&admin);
    let exports = admin.run("audit export --format jsonl --org acme --action audit.export").stdout;
    let events: Vec<Value> = exports.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["detail"]["report"], json!("soc2"));
}

#[tokio::test]
async fn an_organization_that_is_not_there_ends_with_3_and_leaves_no_folder() {
    let admin = Admin::with_org().await;
    let folder = admin.path("report");
    let ran = admin.run(&format!("report soc2 --org {NOBODY} {} --output {}", last_day(), folder.display()));
    assert_eq!((ran.code, folder.exists()), (3, false));
}

#[tokio::test]
async fn a_folder_that_holds_something_is_refused() {
    let admin = Admin::with_org().await;
    assert_eq!(report(&admin, "report").code, 0);
    assert_eq!(report(&admin, "report").refusal("error[folder_not_empty]: "), (4, true));
}

#[tokio::test]
async fn without_a_name_the_folder_is_named_by_organization_and_period() {
    let admin = Admin::with_org().await;
    let mut command =
        admin.command("--json report soc2 --org acme --from 2020-01-01T00:00:00Z --to 2020-02-01T00:00:00Z");
    command.current_dir(admin.path(""));
    assert_eq!(crate::support::run(command, "").json()["folder"], json!("soc2-acme-2020-01-01-2020-02-01"));
    assert!(admin.path("soc2-acme-2020-01-01-2020-02-01").join("manifest.json.sig").is_file());
}

#[tokio::test]
async fn a_period_that_is_turned_or_not_over_is_wrong_usage() {
    let admin = Admin::with_org().await;
    let periods = [
        ("2020-02-01T00:00:00Z", "2020-01-01T00:00:00Z", "has to end after it begins"),
        ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "lies in the future"),
        ("yesterday", "2020-01-01T00:00:00Z", "a moment such as"),
    ];
    let refused = periods
        .map(|(from, to, why)| admin.run(&format!("report soc2 --org acme --from {from} --to {to}")).refusal(why));
    assert_eq!(refused, [(2, true); 3]);
}
