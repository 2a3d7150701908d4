use statuspulse_testkit::{TestDb, eventually};

const ORGANIZATION: &str = "INSERT INTO organizations (id, slug, name, created_at, seq)
    VALUES ('01900000-0000-7000-8000-000000000000', 'acme', 'Acme', now(), 1)";

async fn organizations(db: &TestDb) -> i64 {
    let client = db.client().await;
    let row = client.query_one("SELECT count(*) FROM organizations", &[]).await;
    row.unwrap().get(0)
}

async fn databases_named(looking: &TestDb, name: &str) -> i64 {
    let client = looking.client().await;
    let row = client.query_one("SELECT count(*) FROM pg_database WHERE datname = $1", &[&name]).await;
    row.unwrap().get(0)
}

#[tokio::test]
async fn what_one_test_writes_another_does_not_see() {
    let (one, other) = tokio::join!(TestDb::new(), TestDb::new());
    one.client().await.batch_execute(ORGANIZATION).await.unwrap();
    assert_eq!((organizations(&one).await, organizations(&other).await), (1, 0));
}

#[tokio::test]
async fn a_database_goes_with_its_test() {
    let looking = TestDb::new().await;
    let gone = TestDb::new().await;
    let name = gone.name().to_owned();
    // A connection that is still open doesn't keep it.
    let _open = gone.client().await;
    drop(gone);
    eventually("the database is gone", async || databases_named(&looking, &name).await == 0).await;
}

#[tokio::test]
async fn a_cluster_of_its_own_can_be_killed_without_hurting_others() {
    let (shared, own) = tokio::join!(TestDb::new(), TestDb::on_own_cluster());
    own.cluster().kill_postgres().unwrap();
    assert_eq!(organizations(&shared).await, 0);
}
