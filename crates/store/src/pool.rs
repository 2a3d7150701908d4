//! Connections to PostgreSQL: bounded waits everywhere, and no test query at checkout (it would double the cost of a
//! look-up; a broken connection shows in the query's own error and is thrown away).

use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{
    AsyncPgConnection, SimpleAsyncConnection as _,
    pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, deadpool},
};
use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio_postgres::NoTls;

pub use tokio_postgres::Config;

pub use crate::address::UrlError;
use crate::error::StoreError;

/// A pooled connection; goes back when dropped, or away when it broke or a transaction was left open.
pub type PooledConn = deadpool::Object<AsyncPgConnection>;

/// How long a request waits for a connection, and a connection for the server.
const WAIT: Duration = Duration::from_secs(3);
/// How long a connection may be without an answer from the other machine.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a server that accepts a connection may take until it has answered the first statement: one that hangs does accept.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// How long one statement may take, in milliseconds, and how long it may wait for a lock.
const STATEMENT_TIMEOUT_MS: u32 = 10_000;
const LOCK_TIMEOUT_MS: u32 = 5_000;
/// The same for the feed, which after a mass change may have much to read.
const LONG_TIMEOUT_MS: u32 = 50_000;

/// Gives up the owner's rights for those of the service, which has no way to change what the audit trail holds. Does nothing
/// where the role can't be made (`migrations::make_role`).
/// From PostgreSQL 16 on, who has made a role is a member of it and may still not take it on.
pub(crate) const ENTER_ROLE: &str = "SELECT set_config('role', rolname, false) FROM pg_roles
    WHERE rolname = 'statuspulse_app' AND pg_has_role(oid,
        CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)";

/// The pool.
#[derive(Clone)]
pub struct Pool(deadpool::Pool<AsyncPgConnection>);

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Pool")
    }
}

/// Reads a database address. Several hosts and `target_session_attrs` are allowed.
///
/// # Errors
/// [`UrlError`] when it isn't one, or asks for TLS.
pub fn parse_url(url: &str) -> Result<Config, UrlError> {
    let mut config = crate::address::read(url)?;
    config.connect_timeout(WAIT).application_name("statuspulse-auth");
    // A host that vanished without a word must not hold a request for the quarter of an hour that TCP would.
    config.tcp_user_timeout(SILENCE).keepalives_idle(SILENCE);
    Ok(config)
}

impl Pool {
    /// Makes a pool; no connection is opened yet. Connections live on the runtime that this is called from, whichever
    /// thread asks for them.
    ///
    /// # Errors
    /// When the address can't be read.
    pub fn new(url: &str, size: usize) -> Result<Self, StoreError> {
        let database = parse_url(url).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        let runtime = Handle::current();
        config.custom_setup = Box::new(move |_| {
            let (runtime, database) = (runtime.clone(), database.clone());
            // The socket and its driver belong to the runtime that lives as long as the pool, not to the worker
            // thread that happens to need the connection first.
            let connecting = runtime.spawn(connect(database));
            async move { connecting.await.map_err(|error| ConnectionError::BadConnection(error.to_string()))? }.boxed()
        });
        let manager = AsyncDieselConnectionManager::new_with_config(url, config);
        let pool = deadpool::Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .runtime(::deadpool::Runtime::Tokio1)
            .build();
        // It can only be built without a runtime for its bounds, which it has.
        pool.map(Self).map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// A connection, waiting at most a few seconds.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when none can be had in time.
    pub async fn get(&self) -> Result<PooledConn, StoreError> {
        self.0.get().await.map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}

/// A connection outside of the pool and without bounds on its statements, for the steps of the schema. It has answered.
///
/// # Errors
/// [`StoreError::Unavailable`] when the database can't be reached, or doesn't answer within ten seconds.
pub(crate) async fn unbounded(database: &Config) -> Result<AsyncPgConnection, StoreError> {
    let connecting = async {
        let unavailable = |error: tokio_postgres::Error| StoreError::Unavailable(describe(&error));
        let (client, connection) = database.connect(NoTls).await.map_err(unavailable)?;
        let mut conn = AsyncPgConnection::try_from_client_and_connection(client, connection)
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        conn.batch_execute("SELECT 1").await?;
        Ok(conn)
    };
    let silent = |_| Err(StoreError::Unavailable(no_answer()));
    tokio::time::timeout(FIRST_ANSWER, connecting).await.unwrap_or_else(silent)
}

/// A connection with the rights of the owner, outside of the pool: for partitions, retention and erasure.
///
/// # Errors
/// [`StoreError::Unavailable`] when the database can't be reached.
pub async fn owner(database: &Config) -> Result<AsyncPgConnection, StoreError> {
    let unavailable = |error: ConnectionError| StoreError::Unavailable(error.to_string());
    let mut conn = connect(database.clone()).await.map_err(unavailable)?;
    // A day of the trail may have more rows than the bound of a request allows to copy or to look through.
    conn.batch_execute("RESET ROLE; SET statement_timeout = 0").await?;
    Ok(conn)
}

/// A connection outside of the pool, for a task that keeps it.
///
/// # Errors
/// [`StoreError::Unavailable`] when the database can't be reached.
pub async fn dedicated(database: &Config) -> Result<AsyncPgConnection, StoreError> {
    let unavailable = |error: ConnectionError| StoreError::Unavailable(error.to_string());
    let mut conn = connect(database.clone()).await.map_err(unavailable)?;
    conn.batch_execute(&format!("SET statement_timeout = {LONG_TIMEOUT_MS}")).await?;
    Ok(conn)
}

/// Bounded here as well: whoever waited may be gone, and a task that waits for a silent server would stay.
async fn connect(database: Config) -> ConnectionResult<AsyncPgConnection> {
    let silent = |_| Err(ConnectionError::BadConnection(no_answer()));
    tokio::time::timeout(FIRST_ANSWER, connect_in_time(database)).await.unwrap_or_else(silent)
}

fn no_answer() -> String {
    format!("no answer within {} s", FIRST_ANSWER.as_secs())
}

async fn connect_in_time(database: Config) -> ConnectionResult<AsyncPgConnection> {
    let bad = |error: tokio_postgres::Error| ConnectionError::BadConnection(describe(&error));
    let (client, connection) = database.connect(NoTls).await.map_err(bad)?;
    let mut conn = AsyncPgConnection::try_from_client_and_connection(client, connection).await?;
    // Statements and not start-up options, which poolers in between refuse.
    let bounds = format!("SET statement_timeout = {STATEMENT_TIMEOUT_MS}; SET lock_timeout = {LOCK_TIMEOUT_MS}");
    conn.batch_execute(&bounds).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    // Passing errors are told by their text, see `StoreError`. Only a superuser may choose its language; for others it is
    // that of the server.
    if let Err(error) = conn.batch_execute("SET lc_messages = 'C'").await {
        tracing::debug!(%error, "the language of the server's messages can't be chosen");
    }
    conn.batch_execute(ENTER_ROLE).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(conn)
}

/// The driver's own text leaves the cause out.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
