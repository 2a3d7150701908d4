//! Everything that the use cases share.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use statuspulse_counters::Shared;
use statuspulse_keys::{BcryptCost, MasterKeys};
use statuspulse_policy::{Catalog, InstanceId};
use statuspulse_store::{Conn, Pool, PooledConn, StoreError, pool};

use crate::{
    alerts,
    counters::{self, Counters},
    env::Env,
    error::AppError,
    gate::HashGate,
    geo::Geo,
    leaks::Reports,
    maintenance,
    oauth::{
        FailureLimiter, SignInLimiter,
        cleanup::{self, Tally},
    },
    recorder::{self, AuditOptions, Recorder},
    replica::Replica,
    secrets::Secrets,
    signing::{self, Signing},
    verify,
    webhooks::worker::Counts,
};

/// What an instance is started with.
#[derive(Debug)]
pub struct Options {
    /// Connections to a migrated database.
    pub pool: Pool,
    /// The same database, for the listening connection.
    pub database_url: String,
    /// Master keys, newest first.
    pub masters: MasterKeys,
    /// Resources, scopes, presets and endpoint rules.
    pub catalog: Catalog,
    /// Cost of new bcrypt hashes.
    pub bcrypt_cost: BcryptCost,
    /// How long this instance answers from memory without its database.
    pub max_staleness: Duration,
    /// Id of this instance; the same after a restart.
    pub instance: InstanceId,
    /// Cores of the machine, for the hashing gate.
    pub cores: usize,
    /// How the audit trail is kept.
    pub audit: AuditOptions,
    /// What several instances count together; through the database where there is none.
    pub shared: Option<Shared>,
}

/// An instance: shared by all requests, all background tasks and the command line.
#[derive(Debug)]
pub struct App {
    /// Time and randomness.
    pub env: Env,
    /// Connections.
    pub pool: Pool,
    /// The catalog in force; swapped as a whole.
    pub catalog: ArcSwap<Catalog>,
    /// Derived secrets.
    pub secrets: Secrets,
    /// The hashing gate.
    pub gate: HashGate,
    /// The replica of all keys.
    pub replica: Replica,
    /// The audit trail's writer.
    pub recorder: Recorder,
    /// How the audit trail is kept.
    pub audit: AuditOptions,
    /// Where addresses are.
    pub geo: Geo,
    /// Cost of new bcrypt hashes.
    pub bcrypt_cost: BcryptCost,
    /// Id of this instance.
    pub instance: InstanceId,
    /// How often each credential calls.
    pub counters: Counters,
    /// Keys of signed access tokens.
    pub signing: Signing,
    /// Failed client authentications of late.
    pub client_failures: FailureLimiter,
    /// Authorization requests that wait for a sign-in.
    pub sign_ins: SignInLimiter,
    /// What the clean-up of OAuth has taken.
    pub oauth_cleaned: Tally,
    /// What this instance has delivered.
    pub deliveries: Counts,
    /// What the watch over alerts has seen last.
    pub alert_watch: alerts::watch::Figures,
    pub(crate) checks: verify::SecretChecks,
    pub(crate) leaks: Reports,
}

impl App {
    /// Prepares an instance on a migrated database: judges the master key, brings the peppers in force. Loads no keys and
    /// starts no task; the command line needs neither.
    ///
    /// # Errors
    /// When the database can't be reached or was set up with another master key.
    pub async fn open(options: Options, env: Env) -> Result<Self, AppError> {
        let secrets = Secrets::new(options.masters).ok_or_else(|| AppError::internal("no master key is given"))?;
        let stream = env.id()?;
        signing::self_test(env.now())?;
        let app = Self {
            replica: Replica::new(options.max_staleness, options.database_url, env.monotonic()),
            pool: options.pool,
            catalog: ArcSwap::from_pointee(options.catalog),
            secrets,
            gate: HashGate::new(options.cores),
            recorder: Recorder::new(stream, options.audit.mode),
            geo: Geo::open(options.audit.geo_database.clone()),
            audit: options.audit,
            bcrypt_cost: options.bcrypt_cost,
            instance: options.instance,
            counters: Counters::new(&env, options.shared),
            signing: Signing::default(),
            client_failures: FailureLimiter::default(),
            sign_ins: SignInLimiter::default(),
            oauth_cleaned: Tally::default(),
            deliveries: Counts::default(),
            alert_watch: alerts::watch::Figures::default(),
            checks: verify::SecretChecks::new(options.cores),
            leaks: Reports::default(),
            env,
        };
        crate::peppers::open(&app).await?;
        Ok(app)
    }

    /// Loads all keys and starts the background tasks of a server: the change feed, the audit writer, housekeeping. They end with the runtime.
    ///
    /// # Errors
    /// When the database can't be reached: an instance starts with everything or not at all.
    pub async fn start(self) -> Result<Arc<Self>, AppError> {
        let app = Arc::new(self);
        if !app.geo.is_named() {
            tracing::info!("no STATUSPULSE_GEO_DATABASE is set: events have no country");
        }
        app.recorder.open_spool(&app.audit, app.env.id()?)?;
        app.replica.load(&app).await?;
        tokio::spawn(crate::replica::follow(Arc::clone(&app)));
        tokio::spawn(recorder::write_events(Arc::clone(&app)));
        tokio::spawn(counters::run(Arc::clone(&app)));
        tokio::spawn(maintenance::run(Arc::clone(&app)));
        tokio::spawn(crate::audit::checkpoint::run(Arc::clone(&app)));
        tokio::spawn(cleanup::run(Arc::clone(&app)));
        tokio::spawn(cleanup::wipe(Arc::clone(&app)));
        tokio::spawn(crate::keys::successor::run(Arc::clone(&app)));
        tokio::spawn(crate::keys::notices::run(Arc::clone(&app)));
        tokio::spawn(alerts::watch::run(Arc::clone(&app)));
        Ok(app)
    }

    /// A connection.
    ///
    /// # Errors
    /// 503 when none can be had in time, and at once while the feed's task finds that the database hangs: one that does
    /// takes the connections and the time of everybody who asks, and that task sees by itself when it is there again.
    pub async fn conn(&self) -> Result<PooledConn, AppError> {
        if !self.replica.database_answers().await {
            return Err(AppError::Unavailable { cause: "the database hangs, as the change feed has found".into() });
        }
        Ok(self.pool.get().await?)
    }

    /// A connection with the owner's rights, for partitions, retention and erasure; nothing that a request asks for.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn owner(&self) -> Result<Conn, StoreError> {
        let database = pool::parse_url(self.replica.database_url());
        pool::owner(&database.map_err(|error| StoreError::Unavailable(error.to_string()))?).await
    }

    /// Whether this is a server, whose tasks run, and not the command line.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.recorder.figures().is_some()
    }

    /// Puts the checks of stored hashes off for as long as the answer is held: calls are then judged by the keyed digest,
    /// as under a flood of first uses. None when a check is under way.
    #[must_use]
    pub fn put_checks_off(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        self.checks.hold()
    }

    /// Leaves in order: writes what waits, takes the heartbeat away.
    pub async fn stop(&self) {
        if !self.recorder.flush(Duration::from_secs(8)).await {
            tracing::error!("audit events wait in the spool for the next start");
        }
        if let Err(error) = self.recorder.close_spool() {
            tracing::error!(%error, "the spool could not be synced at the end");
        }
        cleanup::leave(self).await;
        alerts::watch::leave(self).await;
        self.replica.leave(self).await;
    }
}
