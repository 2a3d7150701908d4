use statuspulse_app::Caller;
use statuspulse_audit::{Action, Class};
use statuspulse_testkit::{TestApp, TestDb};

/// More than the queue holds.
const MANY: u64 = 80_000;

async fn number(db: &TestDb, sql: &str) -> i64 {
    db.client().await.query_one(sql, &[]).await.unwrap().get(0)
}

/// Queues more events than fit while the database does not answer; answers how many were lost.
async fn overflow(db: &TestDb, app: &TestApp) -> u64 {
    let event = Caller::system(app).event(app, Class::C, Action::ApiCall, None).unwrap();
    db.cluster().pause();
    for _ in 0..MANY {
        app.recorder.queue(event.clone());
    }
    db.cluster().resume();
    app.flush().await;
    // A gap is written with the first batch that the database takes after it.
    app.recorder.queue(event);
    app.flush().await;
    app.recorder.lost()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_queue_cannot_take_is_told_by_a_gap_record() {
    let db = TestDb::on_own_cluster().await;
    let app = TestApp::start(&db).await;
    let lost = overflow(&db, &app).await;
    let told =
        "SELECT coalesce(sum((detail->>'count')::bigint), 0)::bigint FROM audit_events WHERE action = 'audit.gap'";
    assert_eq!((lost > 0, number(&db, told).await), (true, lost.cast_signed()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_events_open_a_critical_alert() {
    let db = TestDb::on_own_cluster().await;
    let app = TestApp::start(&db).await;
    overflow(&db, &app).await;
    let open = "SELECT count(*) FROM alerts WHERE rule = 'audit_gap' AND severity = 'critical' AND status = 'open'";
    assert_eq!(number(&db, open).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_the_database_refuses_is_lost_alone_and_counted() {
    let db = TestDb::new().await;
    let app = TestApp::start(&db).await;
    let caller = Caller::system(&app);
    for place in 0..100 {
        let mut event = caller.event(&app, Class::B, Action::ApiCall, None).unwrap();
        // PostgreSQL's text can't hold it; nothing that comes through the API gets this far.
        event.origin.route = Some(if place == 50 { "a\0b" } else { "/api" }.to_owned());
        app.recorder.queue(event);
    }
    app.flush().await;
    let written = number(&db, "SELECT count(*) FROM audit_events WHERE route = '/api'").await;
    assert_eq!((written, app.recorder.lost()), (99, 1));
}
