use statuspulse_app::{
    AppError, Caller,
    recorder::{AuditOptions, Mode},
};
use statuspulse_audit::{Action, Class, Event};
use statuspulse_testkit::{TestApp, TestDb};
use tempfile::TempDir;

/// Far less than the calls of a test need.
const SMALL: u64 = 64 << 10;

async fn number(db: &TestDb, sql: &str) -> i64 {
    db.client().await.query_one(sql, &[]).await.unwrap().get(0)
}

fn event(app: &TestApp, class: Class) -> Event {
    Caller::system(app).event(app, class, Action::ApiCall, None).unwrap()
}

async fn with_small_spool(db: &TestDb, folder: &TempDir, mode: Mode) -> TestApp {
    let options = AuditOptions { mode, spool_limit: SMALL, ..AuditOptions::in_dir(folder.path().join("audit")) };
    TestApp::builder(db).audit(options).start().await
}

/// Keeps more calls than the spool has room for while the database does not answer; answers how many were refused.
async fn overflow(db: &TestDb, app: &TestApp) -> usize {
    let event = event(app, Class::C);
    db.cluster().pause();
    let mut refused = 0;
    for _ in 0..1_000 {
        match app.recorder.keep(app, &event).await {
            Ok(()) => {}
            Err(AppError::Unavailable { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    db.cluster().resume();
    app.flush().await;
    // A gap is written with the first batch that the database takes after it.
    app.recorder.keep(app, &event).await.unwrap();
    app.flush().await;
    refused
}

/// spec: audit A8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_refused_while_the_spool_is_full() {
    let (db, folder) = (TestDb::on_own_cluster().await, TempDir::new().unwrap());
    let app = with_small_spool(&db, &folder, Mode::Strict).await;
    let refused = overflow(&db, &app).await;
    let written = number(&db, "SELECT count(*) FROM audit_events WHERE action = 'api.call'").await;
    assert_eq!((refused > 0, written, app.recorder.lost()), (true, 1_001 - refused as i64, 0));
}

/// spec: audit A8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_best_effort_a_gap_record_counts_what_the_spool_could_not_take() {
    let (db, folder) = (TestDb::on_own_cluster().await, TempDir::new().unwrap());
    let app = with_small_spool(&db, &folder, Mode::BestEffort).await;
    let refused = overflow(&db, &app).await;
    let told =
        "SELECT coalesce(sum((detail->>'count')::bigint), 0)::bigint FROM audit_events WHERE action = 'audit.gap'";
    let lost = app.recorder.lost().cast_signed();
    assert_eq!((refused, lost > 0, number(&db, told).await), (0, true, lost));
}

/// spec: audit A8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_events_open_a_critical_alert() {
    let (db, folder) = (TestDb::on_own_cluster().await, TempDir::new().unwrap());
    let app = with_small_spool(&db, &folder, Mode::BestEffort).await;
    overflow(&db, &app).await;
    app.flush().await;
    let open = "SELECT count(*) FROM alerts WHERE rule = 'audit_gap' AND severity = 'critical' AND status = 'open'";
    assert_eq!(number(&db, open).await, 1);
}

/// spec: audit A8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_whose_event_cannot_be_kept_is_none_in_best_effort_either() {
    let (db, folder) = (TestDb::on_own_cluster().await, TempDir::new().unwrap());
    let app = with_small_spool(&db, &folder, Mode::BestEffort).await;
    let event = event(&app, Class::B);
    db.cluster().pause();
    let mut refused = None;
    for _ in 0..1_000 {
        refused = app.recorder.keep(&app, &event).await.err();
        if refused.is_some() {
            break;
        }
    }
    db.cluster().resume();
    assert!(matches!(refused, Some(AppError::Unavailable { .. })));
}

/// spec: audit A19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_the_database_refuses_goes_into_quarantine_alone() {
    let db = TestDb::new().await;
    let app = TestApp::start(&db).await;
    for place in 0..2_000 {
        let mut event = event(&app, Class::C);
        // PostgreSQL's text can't hold it; nothing that comes through the API gets this far.
        event.origin.route = Some(if place == 1_234 { "a\0b" } else { "/api" }.to_owned());
        app.recorder.keep(&app, &event).await.unwrap();
    }
    app.flush().await;
    let counts = [
        "SELECT count(*) FROM audit_events WHERE route = '/api'",
        "SELECT count(*) FROM audit_quarantine WHERE convert_from(bytes, 'UTF8') LIKE '%a\\\\u0000b%'",
        "SELECT count(*) FROM audit_events e JOIN audit_quarantine q USING (stream, sequence) WHERE e.action = 'audit.gap'",
    ];
    let mut found = Vec::new();
    for sql in counts {
        found.push(number(&db, sql).await);
    }
    assert_eq!(found, [1_999, 1, 1]);
}

/// spec: audit A22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_on_one_database_write_streams_of_their_own_without_a_hole() {
    let db = TestDb::new().await;
    let first = TestApp::start(&db).await;
    let apps = [first.clone(), first.second().await, first.second().await];
    for _ in 0..50 {
        for app in &apps {
            app.recorder.keep(app, &event(app, Class::C)).await.unwrap();
            app.recorder.record(&mut app.conn().await.unwrap(), event(app, Class::A)).await.unwrap();
        }
    }
    for app in &apps {
        app.flush().await;
    }
    let whole = "SELECT count(*) FROM (SELECT stream FROM audit_events GROUP BY stream
                 HAVING max(sequence) = count(*) AND min(sequence) = 1 AND count(DISTINCT sequence) = count(*)) s";
    let calls = "SELECT count(*) FROM audit_events WHERE action = 'api.call'";
    assert_eq!((number(&db, whole).await, number(&db, calls).await), (3, 300));
}
