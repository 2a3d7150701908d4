//! Verification and proofs, by the program itself on rows that somebody has changed who may change anything.

use serde_json::{Value, json};
use statuspulse_spool::{Options, Spool};
use statuspulse_testkit::Process;
use uuid::Uuid;

use crate::support::{Admin, PROGRAM, Ran, run, words};

/// A trail of `number` calls, and of what made the organization.
pub(crate) async fn trail(number: u32) -> Admin {
    let admin = Admin::with_org().await;
    admin.calls(number, json!({})).await;
    admin
}

/// The same, with a checkpoint over all of it.
pub(crate) async fn covered(number: u32) -> Admin {
    let admin = trail(number).await;
    admin.json("audit checkpoint");
    admin
}

/// Exit code of a verification, and what contradicts first: what is wrong, and where.
fn verified(admin: &Admin, more: &str) -> (i32, Value, Value) {
    judged(&admin.run(&format!("--json audit verify {more}")))
}

fn judged(ran: &Ran) -> (i32, Value, Value) {
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}{}", ran.stdout, ran.stderr));
    let finding = if report["first_bad"].is_null() { &report["incomplete"] } else { &report["first_bad"] };
    (ran.code, finding["reason"].clone(), finding["sequence"].clone())
}

fn found(code: i32, reason: &str, sequence: i64) -> (i32, Value, Value) {
    (code, json!(reason), json!(sequence))
}

/// Without configuration, database and data directory.
pub(crate) fn offline(arguments: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Process::command(PROGRAM);
    command.args(words(arguments)).current_dir(folder.path());
    let ran = run(command, "");
    assert!(folder.path().read_dir().unwrap().next().is_none(), "something was made");
    ran
}

/// The public key, in a file.
pub(crate) fn key_file(admin: &Admin) -> String {
    let pem = admin.run("audit public-key").stdout;
    admin.file("key.pem", &pem).display().to_string()
}

#[tokio::test]
async fn a_trail_that_nobody_touched_is_whole() {
    let admin = covered(30).await;
    let report = admin.json("audit verify");
    let shown = json!([report["ok"], report["verdict"], report["checkpoints"], report["drained"], report["first_bad"]]);
    assert_eq!(shown, json!([true, "whole", 1, true, null]));
}

#[tokio::test]
async fn what_waits_in_the_outbox_is_in_the_table_before_it_is_verified() {
    let admin = trail(30).await;
    let (events, waiting) = (admin.json("audit verify")["events"].clone(), "SELECT count(*)::text FROM audit_outbox");
    assert_eq!((events, admin.value(waiting).await), (json!(31), "0".to_owned()));
}

#[tokio::test]
async fn what_a_killed_server_left_in_its_spool_is_in_the_table_before_it_is_verified() {
    let admin = Admin::with_org().await;
    admin.json("audit verify");
    // As the server appends it: without a word in the outbox.
    admin.calls(3, json!({})).await;
    let events = admin.value("SELECT string_agg(event::text, E'\\n') FROM audit_outbox").await;
    admin.execute("DELETE FROM audit_outbox").await;
    let options = Options::new(admin.path("data/audit/spool"), Uuid::from_u128(7), Uuid::from_u128(8));
    let spool = Spool::open(options).unwrap();
    for event in events.lines() {
        spool.append(0, event.as_bytes()).unwrap();
    }
    drop(spool);
    let report = admin.json("audit verify");
    // What it left is told by an event of its own.
    assert_eq!((&report["verdict"], &report["events"]), (&json!("whole"), &json!(5)));
}

#[tokio::test]
async fn beside_a_server_that_does_not_write_the_trail_is_incomplete() {
    let admin = Admin::with_org().await;
    admin.json("audit verify");
    let options = Options::new(admin.path("data/audit/spool"), Uuid::from_u128(7), Uuid::from_u128(8));
    let spool = Spool::open(options).unwrap();
    spool.append(0, b"{}").unwrap();
    let (ran, waits) = (admin.run("--json audit verify"), "events still wait for the table after 30 s");
    assert_eq!((judged(&ran).0, ran.stderr.contains(waits)), (11, true), "{}", ran.stderr);
}

#[tokio::test]
async fn what_no_checkpoint_covers_yet_is_counted() {
    let admin = covered(3).await;
    admin.calls(5, json!({})).await;
    let ran = admin.run("audit verify");
    // The five, and the event of the checkpoint itself.
    assert_eq!(
        (ran.code, ran.stdout.contains("6 events are newer than every checkpoint")),
        (0, true),
        "{}",
        ran.stdout
    );
}

/// spec: audit A9
#[tokio::test]
async fn a_changed_byte_is_found_where_it_stands() {
    let changes = [
        "route = '/api/v1/checks/*'",
        "status = 201",
        "detail = '{\"x\": 1}'",
        "occurred_at = occurred_at + interval '1 microsecond'",
        "leaf = sha256(leaf)",
        "actor_id = 'somebody'",
    ];
    let mut found_there = Vec::new();
    for change in changes {
        let admin = covered(20).await;
        admin.execute(&format!("UPDATE audit_events SET {change} WHERE sequence = 7")).await;
        found_there.push(verified(&admin, ""));
    }
    assert_eq!(found_there, vec![found(10, "changed", 7); changes.len()]);
}

/// spec: audit A9
#[tokio::test]
async fn an_address_that_was_exchanged_is_found() {
    let admin = covered(20).await;
    admin.execute("UPDATE audit_events SET ip = '203.0.113.8' WHERE sequence = 7").await;
    assert_eq!(verified(&admin, ""), found(10, "commitment", 7));
}

#[tokio::test]
async fn tampering_opens_one_alert() {
    let admin = covered(20).await;
    admin.execute("UPDATE audit_events SET status = 500 WHERE sequence = 7").await;
    verified(&admin, "");
    verified(&admin, "");
    let alerts = "SELECT string_agg(rule || ' ' || severity || ' ' || count, ',') FROM alerts";
    assert_eq!(admin.value(alerts).await, "integrity critical 2");
}

/// spec: audit A10
#[tokio::test]
async fn a_row_that_was_deleted_in_the_middle_is_found() {
    let admin = covered(20).await;
    admin.execute("DELETE FROM audit_events WHERE sequence = 7").await;
    assert_eq!(verified(&admin, ""), found(10, "missing", 7));
}

/// A copy of row 7 with another place.
fn forge(place: &str) -> String {
    let columns = "id, recorded_at, class, action, outcome, reason, organization_id, actor_kind, actor_id, actor_version, method,
        route, status, ip, ip_commit, salt, country, user_agent, user_agent_commit, fingerprint, request_id, detail, leaf, prev,
        hash";
    format!(
        "INSERT INTO audit_events (occurred_at, stream, sequence, {columns})
         SELECT {place}, {columns} FROM audit_events WHERE sequence = 7"
    )
}

/// spec: audit A10
#[tokio::test]
async fn a_row_that_was_put_in_is_found() {
    let admin = covered(20).await;
    admin.execute(&forge("occurred_at + interval '1 second', stream, 7")).await;
    assert_eq!(verified(&admin, ""), found(10, "changed", 7));
}

/// spec: audit A10
#[tokio::test]
async fn the_same_row_twice_is_found() {
    let admin = covered(20).await;
    admin.execute("ALTER TABLE audit_events DROP CONSTRAINT audit_events_occurred_at_stream_sequence_key").await;
    admin.execute(&forge("occurred_at, stream, 7")).await;
    assert_eq!(verified(&admin, ""), found(10, "repeated", 7));
}

/// spec: audit A10
#[tokio::test]
async fn rows_of_a_stream_that_nobody_writes_are_found() {
    let admin = covered(20).await;
    let stream = "'01900000-0000-7000-8000-000000000009'::uuid";
    admin.execute(&forge(&format!("occurred_at, {stream}, 1"))).await;
    assert_eq!(verified(&admin, ""), found(10, "changed", 1));
}

/// What somebody does who also sets back how far the database says that its streams have come.
const SET_BACK: &str =
    "UPDATE audit_streams s SET sequence = e.sequence, hash = e.hash, covered = least(covered, e.sequence)
    FROM (SELECT DISTINCT ON (stream) stream, sequence, hash FROM audit_events ORDER BY stream, sequence DESC) e
    WHERE s.stream = e.stream";

/// spec: audit A11
#[tokio::test]
async fn the_newest_hundred_that_are_gone_are_missed_by_the_checkpoint() {
    let admin = covered(150).await;
    // 151 events are covered.
    admin.execute(&format!("DELETE FROM audit_events WHERE sequence > 51; {SET_BACK}")).await;
    assert_eq!(verified(&admin, ""), found(11, "truncated", 52));
}

/// spec: audit A11
#[tokio::test]
async fn without_any_checkpoint_the_newest_hundred_are_not_missed_and_that_is_said() {
    let admin = trail(150).await;
    admin.json("audit verify");
    admin.execute(&format!("DELETE FROM audit_events WHERE sequence > 51; {SET_BACK}")).await;
    let ran = admin.run("audit verify");
    assert_eq!((ran.code, ran.stdout.contains("no checkpoint was looked at")), (0, true), "{}", ran.stdout);
}

#[tokio::test]
async fn a_head_that_was_not_set_back_misses_them_even_without_a_checkpoint() {
    let admin = trail(150).await;
    admin.json("audit verify");
    admin.execute("DELETE FROM audit_events WHERE sequence > 51").await;
    assert_eq!(verified(&admin, ""), found(11, "truncated", 52));
}

/// spec: audit A12
#[tokio::test]
async fn a_checkpoint_that_was_changed_is_found() {
    let admin = covered(20).await;
    admin.execute("UPDATE audit_checkpoints SET body = jsonb_set(body, '{leaves}', '20')").await;
    assert_eq!(verified(&admin, ""), (10, json!("checkpoint_signature"), json!(null)));
}

/// spec: audit A12
#[tokio::test]
async fn a_checkpoint_by_another_key_is_found() {
    let (admin, other) = (covered(20).await, covered(20).await);
    let row = "SELECT format('(%s, %L, %L, %L, %L)', number, at, body, key_id, signature) FROM audit_checkpoints";
    let foreign = other.value(row).await;
    admin
        .execute(&format!(
            "DELETE FROM audit_checkpoints;
             INSERT INTO audit_checkpoints (number, at, body, key_id, signature) VALUES {foreign}"
        ))
        .await;
    assert_eq!(verified(&admin, ""), (10, json!("checkpoint_key"), json!(null)));
}

/// spec: audit A12
#[tokio::test]
async fn a_history_that_was_written_anew_is_found_by_the_key_that_somebody_else_holds() {
    let (admin, other) = (covered(20).await, covered(20).await);
    let key = key_file(&other);
    assert_eq!(verified(&admin, &format!("--public-key {key}")), (10, json!("checkpoint_key"), json!(null)));
}

/// Makes the newest checkpoint once more, over fewer events, as who has the database and its key could.
async fn exchange(admin: &Admin) {
    let delete = "DELETE FROM audit_checkpoints; DELETE FROM audit_events WHERE sequence > 11;
        DELETE FROM audit_outbox; DELETE FROM audit_streams WHERE stream NOT IN (SELECT stream FROM audit_events)";
    admin
        .execute(&format!("{delete}; {SET_BACK}; UPDATE audit_streams SET covered = 0, uncovered_since = '2000-01-01'"))
        .await;
    std::fs::rename(admin.path("data/audit/checkpoints.jsonl"), admin.path("held.jsonl")).unwrap();
    admin.json("audit checkpoint");
}

/// spec: audit A12
#[tokio::test]
async fn an_exchanged_checkpoint_is_found_by_the_copy_that_was_held_elsewhere() {
    let admin = covered(20).await;
    exchange(&admin).await;
    let held = format!("--checkpoints {}", admin.path("held.jsonl").display());
    let (alone, compared) = (verified(&admin, "").0, verified(&admin, &held));
    assert_eq!((alone, compared), (0, (10, json!("checkpoint_exchanged"), json!(null))));
}

/// spec: audit A12
#[tokio::test]
async fn an_exchanged_checkpoint_is_found_by_the_file_of_the_data_directory() {
    let admin = covered(20).await;
    exchange(&admin).await;
    std::fs::rename(admin.path("held.jsonl"), admin.path("data/audit/checkpoints.jsonl")).unwrap();
    assert_eq!(verified(&admin, ""), (10, json!("checkpoint_exchanged"), json!(null)));
}

#[tokio::test]
async fn a_key_that_was_exchanged_in_the_table_is_found() {
    let admin = covered(20).await;
    admin.execute("UPDATE audit_signing_keys SET public_key = decode(repeat('05', 32), 'hex')").await;
    assert_eq!(verified(&admin, ""), (10, json!("checkpoint_key"), json!(null)));
}

#[tokio::test]
async fn a_key_may_be_changed() {
    let admin = covered(5).await;
    let old = key_file(&admin);
    admin.json("audit checkpoint --rotate-key");
    let new = admin.file("new.pem", &admin.run("audit public-key").stdout).display().to_string();
    admin.calls(5, json!({})).await;
    let codes = [&old, &new].map(|key| verified(&admin, &format!("--public-key {key}")).0);
    admin.json("audit checkpoint");
    let later = [&old, &new].map(|key| verified(&admin, &format!("--public-key {key}")).0);
    assert_eq!((codes, later), ([0, 0], [0, 0]));
}

/// spec: audit A13
#[tokio::test]
async fn a_day_that_is_gone_without_a_seal_is_missed() {
    let admin = Admin::new().await;
    let day = "(now() AT TIME ZONE 'UTC')::date - 3";
    let name = admin.value(&format!("SELECT 'audit_events_' || to_char({day}, 'YYYYMMDD')")).await;
    admin
        .execute(&format!(
            "DO $$ BEGIN EXECUTE format('CREATE TABLE {name} PARTITION OF audit_events FOR VALUES FROM (%L) TO (%L)',
                 ({day}) || ' 00:00:00+00', ({day} + 1) || ' 00:00:00+00'); END $$;
             INSERT INTO audit_partitions (day, state) VALUES ({day}, 'open')"
        ))
        .await;
    let then = (chrono::Utc::now().date_naive() - chrono::Days::new(3)).and_hms_opt(12, 0, 0).unwrap().and_utc();
    admin.calls_until(then, 10, json!({})).await;
    admin.calls(10, json!({})).await;
    admin.json("audit checkpoint");
    let before = verified(&admin, "").0;
    admin.execute(&format!("DROP TABLE {name}")).await;
    assert_eq!((before, verified(&admin, "")), (0, (11, json!("day_unsealed"), json!(null))));
}

/// spec: audit A15
#[tokio::test]
async fn an_erased_address_leaves_the_trail_whole() {
    let admin = covered(20).await;
    let would = admin.json("audit erase --ip 203.0.113.7 --dry-run");
    let erased = admin.json("audit erase --ip 203.0.113.7 --yes");
    let report = admin.json("audit verify");
    let left = admin.value("SELECT count(ip)::text || count(user_agent) || count(salt) FROM audit_events").await;
    let shown = json!([would["would_erase"], erased["erased"], report["verdict"], report["unaddressed"], left]);
    assert_eq!(shown, json!([20, 20, "whole", 20, "000"]));
}

/// spec: audit A15
#[tokio::test]
async fn an_address_that_is_nulled_without_an_event_is_found() {
    let admin = covered(20).await;
    admin.execute("UPDATE audit_events SET ip = NULL, salt = NULL, user_agent = NULL WHERE sequence = 7").await;
    assert_eq!(verified(&admin, ""), found(10, "erased_without_event", 7));
}

#[tokio::test]
async fn what_waits_is_erased_too_and_other_addresses_stay() {
    let admin = Admin::with_org().await;
    admin.calls(3, json!({})).await;
    admin.calls(2, json!({"ip": "203.0.113.70"})).await;
    assert_eq!(admin.json("audit erase --ip ::ffff:203.0.113.7 --yes"), json!({"erased": 3}));
}

#[tokio::test]
async fn an_erasure_stays_within_its_organization() {
    let admin = trail(3).await;
    assert_eq!(admin.json("audit erase --ip 203.0.113.7 --org acme --yes"), json!({"erased": 0}));
}

#[tokio::test]
async fn an_erasure_is_asked_about() {
    let admin = trail(3).await;
    let ran = admin.run_at_terminal("audit erase --ip 203.0.113.7", "no\n");
    let asked = ran.stderr.contains("from 3 events of every organization");
    let left = admin.value("SELECT count(ip)::text FROM audit_events").await;
    assert_eq!((ran.code, asked, left), (1, true, "3".to_owned()), "{}", ran.stderr);
}

#[tokio::test]
async fn where_nobody_can_be_asked_an_erasure_demands_a_yes() {
    let ran = Admin::with_org().await.run("audit erase --ip 203.0.113.7");
    assert_eq!(ran.refusal("give --dry-run"), (2, true));
}

/// spec: audit A17
#[tokio::test]
async fn the_services_role_can_not_change_the_trail() {
    let admin = Admin::with_org().await;
    let mut may = Vec::new();
    for right in ["INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE"] {
        for table in ["audit_events", "audit_checkpoints"] {
            may.push(
                admin
                    .value(&format!("SELECT has_table_privilege('statuspulse_app', '{table}', '{right}')::text"))
                    .await,
            );
        }
    }
    assert_eq!(may, ["true", "true", "true", "true", "false", "false", "false", "false", "false", "false"]);
}

/// spec: audit A17
#[tokio::test]
async fn a_pooled_connection_runs_as_that_role_and_is_refused() {
    use statuspulse_store::doctor;
    let admin = covered(3).await;
    let pool = statuspulse_store::Pool::new(admin.db.url(), 1).unwrap();
    let mut conn = pool.get().await.unwrap();
    let role = doctor::server(&mut conn).await.unwrap().role;
    // Erasing needs the owner.
    let erased = statuspulse_store::audit::erase::erase(&mut conn, [203, 0, 113, 7].into(), None, 10).await;
    let refused = erased.unwrap_err().to_string().contains("permission denied");
    assert_eq!((role.as_str(), refused), ("statuspulse_app", true));
}

/// spec: audit A23
#[tokio::test]
async fn a_restored_backup_is_whole_up_to_it_and_misses_the_rest() {
    let admin = covered(20).await;
    let backup = format!("CREATE SCHEMA backup; {}", copies("CREATE TABLE backup.{0} AS SELECT * FROM {0}"));
    admin.execute(&backup).await;
    admin.calls(20, json!({})).await;
    admin.json("audit checkpoint");
    let restore = copies("DELETE FROM {0}; INSERT INTO {0} SELECT * FROM backup.{0}");
    admin.execute(&format!("DELETE FROM audit_outbox; {restore}")).await;
    let report: Value = serde_json::from_str(&admin.run("--json audit verify").stdout).unwrap();
    // Covered before the backup were the twenty and the organization.
    let shown = json!([report["verdict"], report["incomplete"]["reason"], report["first_bad"], report["events"]]);
    assert_eq!(shown, json!(["incomplete", "truncated", null, 21]));
}

fn copies(statement: &str) -> String {
    ["audit_events", "audit_streams", "audit_checkpoints"].map(|table| statement.replace("{0}", table)).join("; ")
}

#[tokio::test]
async fn an_export_verifies_without_the_database_as_the_tables_do() {
    let admin = covered(20).await;
    admin.calls(5, json!({})).await;
    let (key, export) = (key_file(&admin), admin.path("trail.jsonl").display().to_string());
    let held = admin.path("data/audit/checkpoints.jsonl").display().to_string();
    admin.json(&format!("audit export --format jsonl --output {export}"));
    let mut there = admin.json("audit verify");
    let mut here =
        offline(&format!("--json audit verify --jsonl {export} --checkpoints {held} --public-key {key}")).json();
    // The event of the export itself came behind it; only the tables can wait.
    let behind = there["events"].as_i64().unwrap() - here["events"].as_i64().unwrap();
    for report in [&mut there, &mut here] {
        for name in ["events", "uncovered", "drained"] {
            report.as_object_mut().unwrap().remove(name);
        }
    }
    assert_eq!((behind, here), (1, there));
}

#[tokio::test]
async fn a_changed_export_is_found_without_the_database() {
    let admin = covered(20).await;
    let export = admin.path("trail.jsonl").display().to_string();
    admin.json(&format!("audit export --format jsonl --output {export}"));
    let text = std::fs::read_to_string(&export).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = lines.iter().filter(|line| !line.contains("\"sequence\":7,")).copied().collect::<Vec<_>>().join("\n");
    let other = text.replacen("\"status\":200", "\"status\":500", 1);
    let files = [admin.file("other.jsonl", &other), admin.file("without.jsonl", &without)];
    let judged = files.map(|file| {
        let (code, reason, _) = judged(&offline(&format!("--json audit verify --jsonl {}", file.display())));
        (code, reason)
    });
    assert_eq!(judged, [(10, json!("changed")), (10, json!("missing"))]);
}

#[tokio::test]
async fn an_export_of_one_organization_is_verified_as_a_part() {
    let admin = Admin::with_org().await;
    admin.calls(5, json!({})).await;
    admin.key("one");
    admin.calls(5, json!({})).await;
    admin.key("two");
    let export = admin.path("acme.jsonl").display().to_string();
    admin.json(&format!("audit export --format jsonl --org acme --output {export}"));
    let codes = ["--partial", ""].map(|more| offline(&format!("audit verify --jsonl {export} {more}")).code);
    assert_eq!(codes, [0, 10]);
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_checkpoints_line_is_no_forgery() {
    let admin = covered(5).await;
    let own = admin.path("data/audit/checkpoints.jsonl");
    let text = std::fs::read_to_string(&own).unwrap();
    let torn = format!("{}\n{text}{text}", &text[..40]);
    let (key, held) = (key_file(&admin), admin.file("held.jsonl", &torn).display().to_string());
    let export = admin.path("trail.jsonl").display().to_string();
    admin.json(&format!("audit export --format jsonl --output {export}"));
    let ran = offline(&format!("audit verify --jsonl {export} --checkpoints {held} --public-key {key}"));
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn files_that_can_not_be_read_and_wrong_usage_end_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.jsonl");
    std::fs::write(&file, "no record\n").unwrap();
    let shown = file.display();
    let codes = [
        "audit verify --jsonl /nowhere/trail.jsonl".to_owned(),
        format!("audit verify --jsonl {shown}"),
        format!("audit verify --jsonl {shown} --checkpoints {shown}"),
        format!("audit verify --jsonl {shown} --public-key {shown}"),
        "audit verify --partial".to_owned(),
        format!("audit check-proof {shown} --public-key {shown}"),
    ]
    .map(|arguments| offline(&arguments).code);
    assert_eq!(codes, [2; 6]);
}
