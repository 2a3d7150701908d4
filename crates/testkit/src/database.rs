//! Databases of tests.

use std::{
    future::Future,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use chrono::Utc;
use statuspulse_embedded::ephemeral::Ephemeral;
use statuspulse_store::{migrations, pool};
use tokio_postgres::{Client, NoTls};

const TEMPLATE: &str = "statuspulse_template";
/// The database that each cluster has, from which others are made and dropped.
const MAINTENANCE: &str = "postgres";

/// The cluster of this process. Statics aren't dropped: its watchdog removes it when the process is gone.
static SHARED: LazyLock<Ephemeral> = LazyLock::new(cluster_with_template);

/// A migrated, empty database of its own for one test; dropped with this value, unless the test fails.
#[derive(Debug)]
pub struct TestDb {
    name: String,
    url: String,
    /// None: the cluster that all tests of the process share.
    own: Option<Ephemeral>,
}

impl TestDb {
    /// A database on the cluster of this process, which the first test starts.
    ///
    /// # Panics
    /// When there is no PostgreSQL on this machine, or it refuses.
    pub async fn new() -> Self {
        let cluster = tokio::task::spawn_blocking(|| LazyLock::force(&SHARED));
        let cluster = cluster.await.expect("the shared cluster starts");
        let (name, url) = database_on(cluster).await;
        Self { name, url, own: None }
    }

    /// A database on a cluster of its own, for a test that kills or pauses PostgreSQL.
    ///
    /// # Panics
    /// When there is no PostgreSQL on this machine, or it refuses.
    pub async fn on_own_cluster() -> Self {
        let cluster = tokio::task::spawn_blocking(cluster_with_template);
        let cluster = cluster.await.expect("a cluster starts");
        let (name, url) = database_on(&cluster).await;
        let own = Some(cluster);
        Self { name, url, own }
    }

    /// The address of the database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the database.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster; shared with other tests but for [`TestDb::on_own_cluster`].
    #[must_use]
    pub fn cluster(&self) -> &Ephemeral {
        self.own.as_ref().unwrap_or_else(|| &SHARED)
    }

    /// A connection for looking at what was written. It ends with the value or the runtime.
    ///
    /// # Panics
    /// When PostgreSQL can't be reached.
    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }

    /// Drops the database and waits until it is gone.
    ///
    /// # Panics
    /// When PostgreSQL refuses.
    pub async fn remove(self) {
        drop_database(&self.cluster().url(MAINTENANCE), &self.name).await;
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        // What a failed test left is worth a look as long as the process lives.
        if thread::panicking() {
            return;
        }
        // Nobody waits for it: where the process is faster, the whole cluster goes with it.
        if let Some(cluster) = self.own.take() {
            thread::spawn(move || drop(cluster));
        } else {
            let (url, name) = (self.cluster().url(MAINTENANCE), self.name.clone());
            thread::spawn(move || on_a_runtime(drop_database(&url, &name)));
        }
    }
}

fn cluster_with_template() -> Ephemeral {
    let cluster = Ephemeral::start(None).expect("a private PostgreSQL for tests");
    let (maintenance, template) = (cluster.url(MAINTENANCE), cluster.url(TEMPLATE));
    // A thread of its own, since this one may belong to a runtime already.
    let filling = thread::spawn(move || {
        on_a_runtime(async {
            execute(&maintenance, &format!("CREATE DATABASE {TEMPLATE}")).await;
            let database = pool::parse_url(&template).expect("the address of the template");
            let migrated = migrations::migrate(&database, Utc::now()).await;
            migrated.expect("the migrations fit an empty database");
            // A template that somebody is connected to can't be copied.
            execute(&maintenance, &format!("ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")).await;
        });
    });
    filling.join().expect("the template is filled");
    cluster
}

async fn database_on(cluster: &Ephemeral) -> (String, String) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let create = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}");
    execute(&cluster.url(MAINTENANCE), &create).await;
    let url = cluster.url(&name);
    (name, url)
}

async fn drop_database(url: &str, name: &str) {
    execute(url, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
}

async fn execute(url: &str, statement: &str) {
    let done = connect(url).await.batch_execute(statement).await;
    done.unwrap_or_else(|error| panic!("`{statement}`: {error:?}"));
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// Runs something to its end on a runtime of its own; migrations need one with several threads.
fn on_a_runtime(work: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(work);
}
