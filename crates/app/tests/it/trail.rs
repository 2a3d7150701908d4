//! The trail as a whole: what was answered is in its table once, chained, vouched for, and kept as long as it is to be.

use std::{net::IpAddr, sync::Arc, time::Duration};

use statuspulse_app::{
    App, Caller,
    audit::{checkpoint, erase, prove, retention, verify},
    recorder::{AuditOptions, Flood},
};
use statuspulse_audit::{
    Action, Class, Event,
    verify::{Report, Verdict},
};
use statuspulse_policy::EventId;
use statuspulse_testkit::{TestApp, TestDb, eventually};
use tempfile::TempDir;

const CLIENT: &str = "203.0.113.7";

fn event(app: &TestApp, class: Class) -> Event {
    let mut event = Caller::system(app).event(app, class, Action::ApiCall, None).unwrap();
    event.origin.ip = Some(CLIENT.parse().unwrap());
    event.origin.user_agent = Some("curl/8.9".into());
    event
}

/// So many calls, and a change to each tenth.
async fn activity(app: &TestApp, calls: usize) {
    for place in 0..calls {
        app.recorder.keep(app, &event(app, Class::C)).await.unwrap();
        if place % 10 == 0 {
            app.recorder.record(&mut app.conn().await.unwrap(), event(app, Class::A)).await.unwrap();
        }
    }
    app.flush().await;
}

async fn checkpoint_now(app: &TestApp) {
    app.flush().await;
    checkpoint::now(app, &app.operator(), false).await.unwrap();
    app.flush().await;
}

/// A round of retention, once the one of the start is over.
pub(crate) async fn retained(app: &TestApp) -> retention::Done {
    let mut done = None;
    eventually("nobody else is at it", async || {
        done = retention::pass(app).await.unwrap();
        done.is_some()
    })
    .await;
    done.unwrap()
}

async fn verified(app: &TestApp) -> Report {
    let app: Arc<App> = app.app();
    verify::database(&app, &verify::Question::default(), true).await.unwrap()
}

async fn number(db: &TestDb, sql: &str) -> i64 {
    db.client().await.query_one(sql, &[]).await.unwrap().get(0)
}

/// spec: audit A22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_of_several_instances_is_whole() {
    let db = TestDb::new().await;
    let first = TestApp::start(&db).await;
    let second = first.second().await;
    for _ in 0..3 {
        activity(&first, 50).await;
        activity(&second, 50).await;
        checkpoint_now(&first).await;
        checkpoint_now(&second).await;
    }
    let report = verified(&first).await;
    let table = number(&db, "SELECT count(*) FROM audit_events").await;
    assert_eq!((report.verdict, report.events, report.first_bad), (Verdict::Whole, table.unsigned_abs(), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_a_checkpoint_covers_is_proven_to_whoever_has_the_key() {
    let db = TestDb::new().await;
    let app = TestApp::start(&db).await;
    activity(&app, 37).await;
    checkpoint_now(&app).await;
    activity(&app, 23).await;
    checkpoint_now(&app).await;
    let mut conn = app.conn().await.unwrap();
    let keys = statuspulse_app::audit::keys::all(&app, &mut conn).await.unwrap();
    let rows = db.client().await.query("SELECT id FROM audit_events", &[]).await.unwrap();
    let mut proven = 0;
    for row in &rows {
        // The event of the last checkpoint itself is not covered by one yet.
        if let Ok(proof) = prove::prove(&app, EventId::from_uuid(row.get(0))).await {
            proof.verify(&keys[0].public).unwrap();
            proven += 1;
        }
    }
    assert_eq!((proven, keys.len()), (rows.len() - 1, 1));
}

/// spec: audit A18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_partition_for_today_events_wait_and_an_alert_opens() {
    let db = TestDb::new().await;
    let app = TestApp::start(&db).await;
    let day = app.env.now().date_naive();
    let name = format!("audit_events_{}", day.format("%Y%m%d"));
    let sql = db.client().await;
    app.flush().await;
    sql.batch_execute(&format!("DROP TABLE {name}")).await.unwrap();
    for _ in 0..24 {
        app.recorder.keep(&app, &event(&app, Class::C)).await.unwrap();
    }
    let open = "SELECT count(*) FROM alerts WHERE rule = 'watch_impaired' AND status = 'open'";
    eventually("an alert opens", async || {
        // The housekeeping of the start may have made it again.
        sql.batch_execute(&format!("DROP TABLE IF EXISTS {name}")).await.unwrap();
        number(&db, open).await == 1
    })
    .await;
    app.recorder.keep(&app, &event(&app, Class::C)).await.unwrap();
    let before = number(&db, "SELECT count(*) FROM audit_events WHERE action = 'api.call'").await;
    let next = day.succ_opt().unwrap();
    let create = format!(
        "CREATE TABLE {name} PARTITION OF audit_events FOR VALUES FROM ('{day} 00:00+00') TO ('{next} 00:00+00')"
    );
    sql.batch_execute(&create).await.unwrap();
    app.flush().await;
    let after = number(&db, "SELECT count(*) FROM audit_events WHERE action = 'api.call'").await;
    assert!(before == 0 && after >= 1, "{before} before, {after} after");
}

/// spec: audit A20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_tokens_becomes_folds_that_add_up() {
    let db = TestDb::new().await;
    let app = TestApp::start(&db).await;
    for place in 0..5_000_u32 {
        let mut garbage = event(&app, Class::B);
        garbage.reason = Some("unknown");
        garbage.origin.user_agent = Some(format!("bot/{}", place % 9));
        let flood = Flood::new(garbage.origin.ip, "unknown");
        app.recorder.keep_of_stranger(&app, &garbage, flood).await.unwrap();
        if place % 100 == 0 {
            app.recorder.keep(&app, &event(&app, Class::C)).await.unwrap();
            app.clock().advance(Duration::from_millis(200));
        }
    }
    app.flush().await;
    let single =
        number(&db, "SELECT count(*) FROM audit_events WHERE reason = 'unknown' AND action = 'api.call'").await;
    let folded = "SELECT sum((detail->>'count')::bigint)::bigint FROM audit_events WHERE action = 'audit.fold'";
    let valid = number(
        &db,
        "SELECT count(*) FROM audit_events WHERE action = 'api.call' AND outcome = 'allowed' AND class = 3",
    )
    .await;
    let agents =
        "SELECT max(jsonb_array_length(detail->'user_agents'))::bigint FROM audit_events WHERE action = 'audit.fold'";
    let rows = number(&db, "SELECT count(*) FROM audit_events WHERE action = 'audit.fold'").await;
    assert_eq!((single + number(&db, folded).await, valid, number(&db, agents).await), (5_000, 50, 5));
    assert!(rows <= 12 && single <= 12 * 20, "{rows} folds, {single} single events");
}

/// spec: audit A14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_leave_after_a_month_and_everything_after_a_year_and_the_rest_is_whole() {
    let (db, folder) = (TestDb::new().await, TempDir::new().unwrap());
    let archive = folder.path().join("archive");
    let options =
        AuditOptions { archive_dir: Some(archive.clone()), ..AuditOptions::in_dir(folder.path().join("audit")) };
    let app = TestApp::builder(&db).audit(options).start().await;
    activity(&app, 40).await;
    checkpoint_now(&app).await;
    app.advance_days(2).await;
    retained(&app).await;
    // The round of the start may have been the one that sealed them.
    let sealed = number(&db, "SELECT count(*) FROM audit_partitions WHERE state = 'sealed'").await;
    activity(&app, 10).await;
    checkpoint_now(&app).await;
    let reports = [verified(&app).await.verdict];
    app.advance_days(31).await;
    // What is sealed now leaves once a checkpoint states it.
    let mut reduced = retained(&app).await.reduced;
    checkpoint_now(&app).await;
    reduced.extend(retained(&app).await.reduced);
    checkpoint_now(&app).await;
    let calls = number(&db, "SELECT count(*) FROM audit_events WHERE class = 3").await;
    let changes = number(&db, "SELECT count(*) FROM audit_events WHERE class = 1 AND action = 'api.call'").await;
    let reports = [reports[0], verified(&app).await.verdict];
    app.advance_days(400).await;
    let mut dropped = retained(&app).await.dropped;
    checkpoint_now(&app).await;
    dropped.extend(retained(&app).await.dropped);
    checkpoint_now(&app).await;
    let last = verified(&app).await;
    let archived = std::fs::read_dir(&archive).unwrap().count();
    assert_eq!((sealed >= 2, reduced.len() >= 2, dropped.len() >= 2), (true, true, true));
    assert_eq!((calls, changes), (0, 5));
    assert_eq!((reports, last.verdict, last.first_bad), ([Verdict::Whole; 2], Verdict::Whole, None));
    assert!(archived >= 4, "{archived} files of archives");
}

/// spec: audit A15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_address_leaves_the_chain_whole() {
    let db = TestDb::new().await;
    let app = TestApp::start(&db).await;
    activity(&app, 30).await;
    checkpoint_now(&app).await;
    let ip: IpAddr = CLIENT.parse().unwrap();
    let counted = erase::count(&app, ip, None).await.unwrap();
    let erased = erase::erase(&app, &app.operator(), ip, None).await.unwrap();
    checkpoint_now(&app).await;
    let left = number(&db, "SELECT count(*) FROM audit_events WHERE ip = '203.0.113.7'").await;
    let report = verified(&app).await;
    assert_eq!((counted, erased, left, report.unaddressed, report.verdict), (33, 33, 0, 33, Verdict::Whole));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_somebody_has_nulled_without_an_event_is_found() {
    let db = TestDb::new().await;
    let app = TestApp::start(&db).await;
    activity(&app, 30).await;
    checkpoint_now(&app).await;
    db.client().await.batch_execute("UPDATE audit_events SET ip = NULL, salt = NULL, user_agent = NULL").await.unwrap();
    let report = verified(&app).await;
    let reason = report.first_bad.map(|bad| bad.reason.as_str());
    assert_eq!((report.verdict, reason), (Verdict::Tampered, Some("erased_without_event")));
}

/// spec: audit A33
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_geo_file_or_with_a_broken_one_events_have_no_country() {
    let (db, folder) = (TestDb::new().await, TempDir::new().unwrap());
    let broken = folder.path().join("broken.mmdb");
    std::fs::write(&broken, b"no database").unwrap();
    let with = |file: Option<std::path::PathBuf>, name: &str| AuditOptions {
        geo_database: file,
        ..AuditOptions::in_dir(folder.path().join(name))
    };
    let none = TestApp::builder(&db).audit(with(None, "none")).start().await;
    let bad = TestApp::builder(&db).audit(with(Some(broken), "bad")).start().await;
    for app in [&none, &bad] {
        activity(app, 1).await;
    }
    let countries = number(&db, "SELECT count(country) FROM audit_events").await;
    assert_eq!((countries, none.geo.is_broken(), bad.geo.is_broken()), (0, false, true));
}

/// A machine that was off for days comes back with a spool of then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_after_its_day_was_sealed_has_it_sealed_again() {
    let db = TestDb::new().await;
    let app = TestApp::start(&db).await;
    activity(&app, 20).await;
    let late = event(&app, Class::C);
    app.advance_days(3).await;
    retained(&app).await;
    checkpoint_now(&app).await;
    app.recorder.keep(&app, &late).await.unwrap();
    app.flush().await;
    let again = retained(&app).await.sealed;
    checkpoint_now(&app).await;
    let report = verified(&app).await;
    assert_eq!((again, report.verdict, report.first_bad), (vec![late.occurred_at.date_naive()], Verdict::Whole, None));
}

/// spec: audit A13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_somebody_has_dropped_is_missed_sealed_or_not() {
    let db = TestDb::new().await;
    let app = TestApp::start(&db).await;
    activity(&app, 20).await;
    let day = app.env.now().date_naive();
    checkpoint_now(&app).await;
    app.advance_days(3).await;
    activity(&app, 20).await;
    checkpoint_now(&app).await;
    let drop = format!("DROP TABLE audit_events_{}", day.format("%Y%m%d"));
    db.client().await.batch_execute(&drop).await.unwrap();
    let report = verified(&app).await;
    assert_eq!((report.verdict, report.incomplete.and_then(|missing| missing.day)), (Verdict::Incomplete, Some(day)));
}
