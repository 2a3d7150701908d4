//! The trail while it is written, and when its days leave.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use statuspulse_app::{
    Caller,
    audit::{
        checkpoint, export, tail,
        verify::{self, Question},
    },
};
use statuspulse_audit::{
    Action, Class, Event,
    export::Format,
    verify::{Report, Verdict},
};
use statuspulse_store::audit::trail::Filter;
use statuspulse_testkit::{TestApp, TestDb};
use tempfile::TempDir;

use crate::trail::retained;

fn event(app: &TestApp, class: Class) -> Event {
    Caller::system(app).event(app, class, Action::ApiCall, None).unwrap()
}

async fn keep(app: &TestApp, number: usize, class: Class) {
    for _ in 0..number {
        app.recorder.keep(app, &event(app, class)).await.unwrap();
    }
    app.flush().await;
}

async fn verified(app: &TestApp) -> Report {
    verify::database(&app.app(), &Question::default(), true).await.unwrap()
}

/// Writes calls until it is told to stop.
fn busy(app: &TestApp) -> (Arc<AtomicBool>, tokio::task::JoinHandle<usize>) {
    let (stop, app) = (Arc::new(AtomicBool::new(false)), app.clone());
    let told = Arc::clone(&stop);
    let writing = tokio::spawn(async move {
        let mut written = 0;
        while !told.load(Ordering::Relaxed) {
            keep(&app, 2, Class::C).await;
            written += 2;
        }
        written
    });
    (stop, writing)
}

/// spec: audit A22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_that_is_being_written_is_whole() {
    let db = TestDb::new().await;
    let first = TestApp::start(&db).await;
    let apps = [first.second().await, first.second().await, first];
    let writers: Vec<_> = apps.iter().map(busy).collect();
    // A checkpoint that is made during a verification vouches for what that one doesn't read.
    let (signed, app) = (Arc::new(AtomicBool::new(false)), apps[0].clone());
    let told = Arc::clone(&signed);
    let signing = tokio::spawn(async move {
        while !told.load(Ordering::Relaxed) {
            checkpoint::now(&app, &Caller::system(&app), false).await.unwrap();
        }
    });
    let mut verdicts = Vec::new();
    for _ in 0..20 {
        let report = verified(&apps[0]).await;
        verdicts.push((report.verdict, report.first_bad, report.incomplete));
    }
    signed.store(true, Ordering::Relaxed);
    signing.await.unwrap();
    let mut written = 0;
    for (stop, writing) in writers {
        stop.store(true, Ordering::Relaxed);
        written += writing.await.unwrap();
    }
    assert_eq!((written > 0, verdicts), (true, vec![(Verdict::Whole, None, None); 20]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_a_trail_that_is_being_written_has_no_holes() {
    let (db, folder) = (TestDb::new().await, TempDir::new().unwrap());
    let first = TestApp::start(&db).await;
    let apps = [first.second().await, first];
    keep(&apps[0], 2_500, Class::C).await;
    let writers: Vec<_> = apps.iter().map(busy).collect();
    let mut verdicts = Vec::new();
    for _ in 0..5 {
        let app = &apps[0];
        let mut export = export::begin(&app.app(), &Caller::system(app), None, Format::Jsonl, Filter::default(), None)
            .await
            .unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = export.next().await.unwrap() {
            bytes.extend(chunk.bytes);
        }
        let file = folder.path().join("trail.jsonl");
        std::fs::write(&file, bytes).unwrap();
        verdicts.push(verify::export(&file, &Question::default(), app.env.now()).unwrap().verdict);
    }
    for (stop, writing) in writers {
        stop.store(true, Ordering::Relaxed);
        writing.await.unwrap();
    }
    assert_eq!(verdicts, [Verdict::Whole; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_sees_everything_once() {
    let db = TestDb::new().await;
    let first = TestApp::start(&db).await;
    let apps = [first.second().await, first];
    keep(&apps[0], 50, Class::C).await;
    let writers: Vec<_> = apps.iter().map(busy).collect();
    let app = &apps[0];
    let filter = Filter { action: Some("api.call".to_owned()), ..Filter::default() };
    let (newest, mut following) = tail::begin(&app.app(), &Caller::system(app), None, filter, 1_000_000).await.unwrap();
    let mut seen = newest;
    for round in 0..40 {
        if round % 10 == 0 {
            checkpoint::now(app, &Caller::system(app), false).await.unwrap();
        }
        seen.extend(following.next().await.unwrap());
    }
    let mut written = 50;
    for (stop, writing) in writers {
        stop.store(true, Ordering::Relaxed);
        written += writing.await.unwrap();
    }
    seen.extend(following.next().await.unwrap());
    let once: std::collections::HashSet<_> = seen.iter().map(|record| record.entry.id).collect();
    assert_eq!((seen.len(), once.len()), (written, written));
}

/// With a day of calls and refusals that has become old.
async fn with_old_day(db: &TestDb) -> TestApp {
    let app = TestApp::start(db).await;
    keep(&app, 20, Class::C).await;
    keep(&app, 5, Class::B).await;
    checkpoint::now(&app, &Caller::system(&app), false).await.unwrap();
    app.advance_days(40).await;
    app
}

/// Takes the turn of making checkpoints, which the instance would do by itself.
const NO_CHECKPOINT: &str = "SELECT pg_advisory_lock(x'535041554350'::bigint)";

/// spec: audit A14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_that_retention_has_taken_leaves_the_trail_whole() {
    let db = TestDb::new().await;
    let app = with_old_day(&db).await;
    retained(&app).await;
    checkpoint::now(&app, &Caller::system(&app), false).await.unwrap();
    let reduced = retained(&app).await;
    app.flush().await;
    let report = verified(&app).await;
    let shown = (reduced.reduced.is_empty(), report.verdict, report.first_bad, report.incomplete);
    assert_eq!(shown, (false, Verdict::Whole, None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_whose_seal_nothing_states_stays() {
    let db = TestDb::new().await;
    let app = with_old_day(&db).await;
    let held = db.client().await;
    held.execute(NO_CHECKPOINT, &[]).await.unwrap();
    retained(&app).await;
    let done = retained(&app).await;
    assert_eq!((done.reduced, done.dropped), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seal_that_no_checkpoint_has_stated_for_days_is_stated_all_the_same() {
    let db = TestDb::new().await;
    let app = with_old_day(&db).await;
    let held = db.client().await;
    held.execute(NO_CHECKPOINT, &[]).await.unwrap();
    retained(&app).await;
    app.advance_days(5).await;
    retained(&app).await;
    held.execute("SELECT pg_advisory_unlock_all()", &[]).await.unwrap();
    checkpoint::now(&app, &Caller::system(&app), false).await.unwrap();
    let done = retained(&app).await;
    app.flush().await;
    assert_eq!((done.reduced.is_empty(), verified(&app).await.verdict), (false, Verdict::Whole));
}

/// spec: audit A13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_day_that_somebody_else_has_taken_is_missed() {
    let db = TestDb::new().await;
    let app = with_old_day(&db).await;
    keep(&app, 5, Class::B).await;
    retained(&app).await;
    checkpoint::now(&app, &Caller::system(&app), false).await.unwrap();
    let oldest = "SELECT 'audit_events_' || to_char(min(occurred_at) AT TIME ZONE 'UTC', 'YYYYMMDD') FROM audit_events";
    let client = db.client().await;
    let name: String = client.query_one(oldest, &[]).await.unwrap().get(0);
    client.batch_execute(&format!("DROP TABLE {name}")).await.unwrap();
    assert_ne!(verified(&app).await.verdict, Verdict::Whole);
}
