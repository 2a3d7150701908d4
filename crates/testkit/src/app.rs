//! An instance for tests.

use std::{ops::Deref, path::Path, sync::Arc, time::Duration};

use statuspulse_app::{App, Clock, Entropy, Env, Options, env::SystemClock, recorder::AuditOptions};
use statuspulse_counters::{Shared, Target};
use statuspulse_keys::{BcryptCost, MasterKeys};
use statuspulse_policy::{Catalog, InstanceId};
use statuspulse_store::{Pool, migrations};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{CountingEntropy, FixedClock, TestDb};

/// The master key of every test: instances on one database have the same.
pub const MASTER_KEY: &str = "c3RhdHVzcHVsc2UtdGVzdC1tYXN0ZXIta2V5LTMyYnk=";
const CONNECTIONS: usize = 8;

/// A started instance, as a server has it, with the clock that it goes by.
#[derive(Debug, Clone)]
pub struct TestApp {
    app: Arc<App>,
    clock: Option<Arc<FixedClock>>,
    builder: Builder,
    folder: Arc<TempDir>,
}

/// How an instance for tests differs from the usual one.
#[derive(Debug, Clone)]
pub struct Builder {
    url: String,
    master_key: String,
    max_staleness: Duration,
    instance: Option<InstanceId>,
    clock: Option<Arc<FixedClock>>,
    catalog: Option<Catalog>,
    connections: usize,
    bcrypt_cost: Option<BcryptCost>,
    audit: Option<AuditOptions>,
    redis: Option<String>,
}

impl TestApp {
    /// The usual instance: a clock of its own that stands still, 60 s of staleness, the built-in catalog.
    ///
    /// # Panics
    /// When it can't be started.
    pub async fn start(db: &TestDb) -> Self {
        Self::builder(db).start().await
    }

    /// An instance that differs from the usual one.
    #[must_use]
    pub fn builder(db: &TestDb) -> Builder {
        Builder {
            url: db.url().to_owned(),
            master_key: MASTER_KEY.to_owned(),
            max_staleness: Duration::from_secs(60),
            instance: None,
            clock: Some(Arc::default()),
            catalog: None,
            connections: CONNECTIONS,
            bcrypt_cost: None,
            audit: None,
            redis: None,
        }
    }

    /// One more instance on the same database: the same clock and master key, another id.
    ///
    /// # Panics
    /// When it can't be started.
    pub async fn second(&self) -> Self {
        let builder = Builder { instance: None, ..self.builder.clone() };
        builder.start().await
    }

    /// The folder of its spool and checkpoints.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The instance.
    #[must_use]
    pub fn app(&self) -> Arc<App> {
        Arc::clone(&self.app)
    }

    /// The clock that it goes by.
    ///
    /// # Panics
    /// When it goes by the machine's.
    #[must_use]
    pub fn clock(&self) -> Arc<FixedClock> {
        let clock = self.clock.as_ref().expect("this instance goes by the machine's clock");
        Arc::clone(clock)
    }

    /// Lets time pass, and brings the instance there: what waits is written first, the partitions of the new days are
    /// made, and the replica looks at the feed, as a running server has done long before.
    ///
    /// # Panics
    /// When the database can't be reached.
    pub async fn advance(&self, by: Duration) {
        self.flush().await;
        self.clock().advance(by);
        let mut conn = self.app.owner().await.expect("a connection");
        let made = migrations::make_partitions(&mut conn, self.app.env.now()).await;
        made.expect("partitions of the new days");
        self.app.replica.catch_up().await;
    }

    /// [`TestApp::advance`] by whole days.
    ///
    /// # Panics
    /// When the database can't be reached.
    pub async fn advance_days(&self, days: u32) {
        self.advance(Duration::from_secs(86_400) * days).await;
    }

    /// Waits until every event and alert that was queued is written.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn flush(&self) {
        let written = self.app.recorder.flush(crate::PATIENCE).await;
        assert!(written, "what was queued could not be written");
    }
}

impl Deref for TestApp {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl Builder {
    /// How long the instance answers from memory without its database.
    #[must_use]
    pub const fn max_staleness(mut self, bound: Duration) -> Self {
        self.max_staleness = bound;
        self
    }

    /// Master keys, as the configuration has them.
    #[must_use]
    pub fn master_key(mut self, text: impl Into<String>) -> Self {
        self.master_key = text.into();
        self
    }

    /// Its id; by default a new one.
    #[must_use]
    pub const fn instance(mut self, id: InstanceId) -> Self {
        self.instance = Some(id);
        self
    }

    /// Another catalog.
    #[must_use]
    pub fn catalog(mut self, catalog: Catalog) -> Self {
        self.catalog = Some(catalog);
        self
    }

    /// Connections of its pool.
    #[must_use]
    pub const fn connections(mut self, number: usize) -> Self {
        self.connections = number;
        self
    }

    /// A cost of new bcrypt hashes as in earnest; by default the cheap one.
    #[must_use]
    pub const fn bcrypt_cost(mut self, cost: BcryptCost) -> Self {
        self.bcrypt_cost = Some(cost);
        self
    }

    /// A clock that others share.
    #[must_use]
    pub fn clock(mut self, clock: Arc<FixedClock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The Redis in which it counts together with others.
    #[must_use]
    pub fn redis(mut self, url: &str) -> Self {
        self.redis = Some(url.to_owned());
        self
    }

    /// How the audit trail is kept, but for its folder; one that is given here is used as it is and not removed.
    #[must_use]
    pub fn audit(mut self, options: AuditOptions) -> Self {
        self.audit = Some(options);
        self
    }

    /// The machine's clock.
    #[must_use]
    pub fn real_clock(mut self) -> Self {
        self.clock = None;
        self
    }

    /// Opens the instance as the command line does: no keys loaded, no background tasks.
    ///
    /// # Panics
    /// When it can't be opened.
    pub async fn open(&self) -> App {
        self.try_open().await.expect("an instance opens")
    }

    /// As [`Builder::open`], for tests of what is refused.
    ///
    /// # Errors
    /// As [`App::open`].
    ///
    /// # Panics
    /// When the database's address or the master key can't be read.
    pub async fn try_open(&self) -> Result<App, statuspulse_app::AppError> {
        // Only a started instance writes there.
        self.open_in(Path::new("/nonexistent")).await
    }

    async fn open_in(&self, folder: &Path) -> Result<App, statuspulse_app::AppError> {
        let clock: Arc<dyn Clock> = match &self.clock {
            Some(clock) => Arc::<FixedClock>::clone(clock),
            None => Arc::new(SystemClock::default()),
        };
        let env = Env::new(clock, Arc::new(CountingEntropy));
        let options = Options {
            pool: Pool::new(&self.url, self.connections).expect("the address of the database"),
            database_url: self.url.clone(),
            masters: MasterKeys::parse(&self.master_key).expect("a master key"),
            catalog: self.catalog.clone().unwrap_or_else(|| Catalog::builtin().expect("the built-in catalog")),
            bcrypt_cost: self.bcrypt_cost.unwrap_or_else(cheap_bcrypt),
            max_staleness: self.max_staleness,
            instance: self.instance.unwrap_or_else(new_instance),
            cores: 2,
            audit: self.audit.clone().unwrap_or_else(|| AuditOptions::in_dir(folder.join("audit"))),
            shared: self.redis.as_deref().map(|url| Shared::new(Target::parse(url).expect("the address of a Redis"))),
        };
        App::open(options, env).await
    }

    /// Opens and starts the instance, as a server does.
    ///
    /// # Panics
    /// When it can't be started.
    pub async fn start(self) -> TestApp {
        let folder = Arc::new(TempDir::with_prefix("statuspulse-test-").expect("a folder"));
        let app = self.open_in(folder.path()).await.expect("an instance opens").start().await;
        TestApp { app: app.expect("an instance starts"), clock: self.clock.clone(), builder: self, folder }
    }
}

/// The cost at which hashing takes a millisecond.
///
/// # Panics
/// When the crate that is tested doesn't switch the feature on.
#[must_use]
pub fn cheap_bcrypt() -> BcryptCost {
    "4".parse().unwrap_or_else(|_| {
        panic!(
            "bcrypt cost 4 is refused: add `statuspulse-keys = {{ workspace = true, features = [\"test-build\"] }}` \
             to the [dev-dependencies] of the crate whose tests these are"
        )
    })
}

fn new_instance() -> InstanceId {
    let mut bytes = [0; 16];
    CountingEntropy.fill(&mut bytes).expect("counted bytes");
    InstanceId::from_uuid(Uuid::from_bytes(bytes))
}
