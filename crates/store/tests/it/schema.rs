use chrono::{Duration, Utc};
use statuspulse_store::{migrations, pool::parse_url};
use statuspulse_testkit::TestDb;

/// Rows of one text column.
async fn texts(db: &TestDb, sql: &str) -> Vec<String> {
    db.client().await.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

const OURS: &str = "n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relname NOT LIKE '\\_\\_%'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_says_what_it_is_for() {
    let db = TestDb::new().await;
    let silent = format!(
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE {OURS} AND obj_description(c.oid, 'pg_class') IS NULL"
    );
    assert_eq!(texts(&db, &silent).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_column_says_what_it_holds() {
    let db = TestDb::new().await;
    let silent = format!(
        "SELECT c.relname || '.' || a.attname FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE {OURS} AND NOT c.relispartition AND col_description(c.oid, a.attnum) IS NULL"
    );
    assert_eq!(texts(&db, &silent).await, Vec::<String>::new());
}

/// Folders of `migrations/`: one a step.
fn steps() -> usize {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.filter(|entry| entry.file_type().unwrap().is_dir()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_can_be_undone_and_done_again() {
    let db = TestDb::new().await;
    let database = parse_url(db.url()).unwrap();
    migrations::revert_all(&database).await.unwrap();
    let left =
        format!("SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}");
    let left = texts(&db, &left).await;
    let applied = migrations::migrate(&database, Utc::now()).await.unwrap();
    assert_eq!((left.len(), applied.len()), (0, steps()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_instances_that_start_at_once_one_migrates() {
    let db = TestDb::new().await;
    let database = parse_url(db.url()).unwrap();
    migrations::revert_all(&database).await.unwrap();
    let starts = (0..6).map(|_| {
        let database = database.clone();
        tokio::spawn(async move { migrations::migrate(&database, Utc::now()).await.unwrap().len() })
    });
    let mut applied = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        applied.push(start.await.unwrap());
    }
    applied.sort_unstable();
    assert_eq!(applied, [0, 0, 0, 0, 0, steps()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_made_for_yesterday_to_seven_days_ahead() {
    let db = TestDb::new().await;
    let later = Utc::now() + Duration::days(100);
    migrations::migrate(&parse_url(db.url()).unwrap(), later).await.unwrap();
    let made = texts(&db, "SELECT day::text FROM audit_partitions ORDER BY day").await;
    let wanted: Vec<String> = (-1..=7).map(|day| (later + Duration::days(day)).date_naive().to_string()).collect();
    assert!(wanted.iter().all(|day| made.contains(day)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_has_exactly_one_row() {
    let db = TestDb::new().await;
    let refused = db.client().await.batch_execute("INSERT INTO key_feed (only_row, seq) VALUES (true, 5)").await;
    assert!(refused.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_edited_by_hand_takes_a_number_of_the_feed() {
    let db = TestDb::new().await;
    let client = db.client().await;
    let edits = "INSERT INTO organizations (id, slug, name, created_at, seq)
            VALUES ('00000000-0000-0000-0000-000000000001', 'acme', 'Acme', now(), 0);
        INSERT INTO keys (id, organization_id, environment, name, scopes, lifespan_seconds, current_version, created_at,
                          created_by, created_by_kind, seq)
            VALUES ('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000001', 'staging', 'k', 1, 60,
                    1, now(), 'root', 'operator', 0);
        UPDATE keys SET scopes = 0;
        UPDATE keys SET last_used_at = now();
        UPDATE organizations SET reuse_policy = 'kill'";
    client.batch_execute(edits).await.unwrap();
    let numbers =
        "SELECT concat_ws(' ', (SELECT seq FROM keys), (SELECT seq FROM organizations), (SELECT seq FROM key_feed))";
    assert_eq!(texts(&db, numbers).await, ["1 2 2"]);
}
