//! From configuration to an open instance; the same for the server and the command line.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use statuspulse_counters::{Shared, Target};
use statuspulse_embedded::{Cluster, DATABASE, DataDirLock, EmbeddedError, Options as ClusterOptions};
use statuspulse_keys::{BcryptCost, MasterKeys};
use statuspulse_policy::Catalog;
use statuspulse_store::{Pool, migrations, peppers, pool};
use url::Url;
use zeroize::Zeroizing;

use crate::{
    app::{App, Options},
    env::Env,
    error::AppError,
    recorder::AuditOptions,
};

mod audit;
mod files;
mod keeper;

pub use audit::RawAudit;
use files::{MASTER_KEY_FILE, generated_master_key, instance_id};

/// Connections of a server, and of the command line.
const SERVER_CONNECTIONS: usize = 16;
const TOOL_CONNECTIONS: usize = 2;
/// How long a database that is there may take to answer what is asked first.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a start that is given up may take to let go.
const LET_GO: Duration = Duration::from_secs(1);
const DATABASE_URL: &str = "DATABASE_URL";
const REDIS_URL: &str = "STATUSPULSE_REDIS_URL";

/// A value of the configuration that can't be used. One line: the variable, the value unless it is a secret, and what is
/// accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}{}: {accepted}", value.as_ref().map(|value| format!(" is `{value}`")).unwrap_or_default())]
pub struct ConfigError {
    /// Name of the environment variable.
    pub variable: &'static str,
    /// The value; never that of a secret.
    pub value: Option<String>,
    /// What is accepted.
    pub accepted: String,
}

impl ConfigError {
    /// A bad value that may be shown.
    pub fn new(variable: &'static str, value: &str, accepted: impl Into<String>) -> Self {
        let value: String = value.chars().filter(|character| !character.is_control()).take(200).collect();
        Self { variable, value: Some(value), accepted: accepted.into() }
    }

    /// A bad value that is a secret.
    pub fn secret(variable: &'static str, accepted: impl Into<String>) -> Self {
        Self { variable, value: None, accepted: accepted.into() }
    }
}

/// The environment variables of both programs.
const VARIABLES: [&str; 23] = [
    "STATUSPULSE_LISTEN",
    "STATUSPULSE_PUBLIC_URL",
    DATABASE_URL,
    "STATUSPULSE_DATA_DIR",
    "STATUSPULSE_MASTER_KEY",
    "STATUSPULSE_MASTER_KEY_FILE",
    "STATUSPULSE_CATALOG",
    "STATUSPULSE_TRUSTED_PROXIES",
    "STATUSPULSE_CLIENT_IP_HEADER",
    "STATUSPULSE_WEBHOOK_ALLOWED_CIDRS",
    "STATUSPULSE_GITHUB_KEYS",
    "STATUSPULSE_MAX_STALENESS",
    "STATUSPULSE_BCRYPT_COST",
    "STATUSPULSE_GEO_DATABASE",
    REDIS_URL,
    "STATUSPULSE_AUDIT_MODE",
    "STATUSPULSE_AUDIT_SPOOL_LIMIT",
    "STATUSPULSE_AUDIT_KEEP_CALLS",
    "STATUSPULSE_AUDIT_KEEP_CHANGES",
    "STATUSPULSE_AUDIT_ARCHIVE_DIR",
    "STATUSPULSE_WORKERS",
    "STATUSPULSE_LOG",
    "STATUSPULSE_LOG_FORMAT",
];

/// Whether every variable can be read. Asked before the arguments are: their parser does not say which one can't.
///
/// # Errors
/// The first variable that isn't UTF-8; its value isn't shown.
pub fn check_environment() -> Result<(), ConfigError> {
    let unreadable = |name: &&&str| std::env::var_os(name).is_some_and(|value| value.to_str().is_none());
    match VARIABLES.iter().find(unreadable) {
        Some(name) => Err(ConfigError::secret(name, "a value in UTF-8")),
        None => Ok(()),
    }
}

/// Why an instance could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A bad value: exit code 2.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The private PostgreSQL or the data directory.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// A file of the data directory.
    #[error("{what} `{}`: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The command line looks for an installation where there is none.
    #[error(
        "nothing is installed in `{}`: set STATUSPULSE_DATA_DIR to the folder of the server, or begin with `migrate`",
        path.display()
    )]
    NothingInstalled {
        /// The data directory.
        path: PathBuf,
    },
    /// The database refused or is away.
    #[error("{0}")]
    Database(String),
}

impl From<AppError> for BootError {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Unavailable { cause } | AppError::Internal { cause } => Self::Database(cause),
            other => Self::Database(other.to_string()),
        }
    }
}

/// What both programs are configured with, as it comes from flags and environment.
#[derive(Clone, Default)]
pub struct Raw {
    /// `DATABASE_URL`.
    pub database_url: Option<String>,
    /// `STATUSPULSE_DATA_DIR`.
    pub data_dir: Option<String>,
    /// `STATUSPULSE_MASTER_KEY`.
    pub master_key: Option<String>,
    /// `STATUSPULSE_MASTER_KEY_FILE`.
    pub master_key_file: Option<String>,
    /// `STATUSPULSE_CATALOG`.
    pub catalog: Option<String>,
    /// `STATUSPULSE_MAX_STALENESS`.
    pub max_staleness: Option<String>,
    /// `STATUSPULSE_BCRYPT_COST`.
    pub bcrypt_cost: Option<String>,
    /// `STATUSPULSE_REDIS_URL`.
    pub redis_url: Option<String>,
    /// How the audit trail is kept.
    pub audit: RawAudit,
}

impl fmt::Debug for Raw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Raw(…)")
    }
}

/// The same, read and judged.
pub struct Settings {
    database_url: Option<Zeroizing<String>>,
    data_dir: PathBuf,
    master_keys: Option<MasterKeys>,
    /// File of the catalog; none means the built-in one.
    pub catalog_file: Option<PathBuf>,
    /// The catalog.
    pub catalog: Catalog,
    max_staleness: Duration,
    bcrypt_cost: BcryptCost,
    redis: Option<Target>,
    audit: AuditOptions,
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Settings").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

impl Settings {
    /// Whether the database is a private one.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.database_url.is_none()
    }
}

impl Raw {
    /// Reads and judges every value before anything is touched.
    ///
    /// # Errors
    /// The first bad value.
    pub fn read(self) -> Result<Settings, ConfigError> {
        if let Some(Err(error)) = self.database_url.as_deref().map(pool::parse_url) {
            let text = error.to_string();
            return Err(match &error.shown {
                Some(shown) => ConfigError::new(DATABASE_URL, shown, text),
                None => ConfigError::secret(DATABASE_URL, text),
            });
        }
        let master_keys = match (self.master_key, self.master_key_file) {
            (Some(_), Some(_)) => {
                let accepted = "give this or STATUSPULSE_MASTER_KEY_FILE, not both";
                return Err(ConfigError::secret("STATUSPULSE_MASTER_KEY", accepted));
            }
            (Some(text), None) => {
                let text = Zeroizing::new(text);
                let read = MasterKeys::parse(&text);
                Some(read.map_err(|error| ConfigError::secret("STATUSPULSE_MASTER_KEY", error.to_string()))?)
            }
            (None, Some(path)) => {
                const NAME: &str = "STATUSPULSE_MASTER_KEY_FILE";
                let text = fs::read_to_string(&path).map(Zeroizing::new);
                let text = text.map_err(|error| ConfigError::new(NAME, &path, format!("a readable file ({error})")))?;
                Some(MasterKeys::parse(&text).map_err(|error| ConfigError::new(NAME, &path, error.to_string()))?)
            }
            (None, None) => None,
        };
        let catalog_file = self.catalog.map(PathBuf::from);
        let catalog = read_catalog(catalog_file.as_deref())?;
        let max_staleness = match self.max_staleness.as_deref() {
            None => Duration::from_secs(60),
            Some(text) => parse_duration(text)
                .filter(|span| (Duration::from_secs(1)..=Duration::from_secs(600)).contains(span))
                .ok_or_else(|| ConfigError::new("STATUSPULSE_MAX_STALENESS", text, "`1s` to `10m`"))?,
        };
        let bcrypt_cost = match self.bcrypt_cost.as_deref() {
            None => BcryptCost::DEFAULT,
            Some(text) => {
                text.parse().map_err(|_| ConfigError::new("STATUSPULSE_BCRYPT_COST", text, "10, 11 or 12"))?
            }
        };
        let data_dir = self.data_dir.unwrap_or_else(|| ".statuspulse".into());
        if data_dir.is_empty() {
            return Err(ConfigError::new("STATUSPULSE_DATA_DIR", "", "a folder"));
        }
        let audit = self.audit.read(Path::new(&data_dir).join("audit"))?;
        // Its password is a part of the address.
        let redis = self.redis_url.as_deref().map(Target::parse).transpose();
        let redis = redis.map_err(|error| ConfigError::secret(REDIS_URL, error.to_string()))?;
        Ok(Settings {
            audit,
            redis,
            database_url: self.database_url.map(Zeroizing::new),
            data_dir: data_dir.into(),
            master_keys,
            catalog_file,
            catalog,
            max_staleness,
            bcrypt_cost,
        })
    }
}

/// Reads a catalog, or the built-in one.
///
/// # Errors
/// One line that says which rule or scope is wrong.
pub fn read_catalog(file: Option<&Path>) -> Result<Catalog, ConfigError> {
    const NAME: &str = "STATUSPULSE_CATALOG";
    let Some(file) = file else {
        return Catalog::builtin().map_err(|error| ConfigError::secret(NAME, error.to_string()));
    };
    let shown = file.display().to_string();
    let text = fs::read_to_string(file)
        .map_err(|error| ConfigError::new(NAME, &shown, format!("a readable file ({error})")))?;
    let one_line = |error: &dyn fmt::Display| error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    Catalog::from_toml(&text).map_err(|error| ConfigError::new(NAME, &shown, one_line(&error)))
}

/// `STATUSPULSE_LISTEN`.
///
/// # Errors
/// When it is no address with a port.
pub fn read_listen(text: &str) -> Result<SocketAddr, ConfigError> {
    let refused = |_| ConfigError::new("STATUSPULSE_LISTEN", text, "an address with a port such as `127.0.0.1:8080`");
    text.parse().map_err(refused)
}

/// `STATUSPULSE_PUBLIC_URL`, without a closing slash.
///
/// # Errors
/// When nothing can be served under it.
pub fn read_public_url(text: &str) -> Result<String, ConfigError> {
    const NAME: &str = "STATUSPULSE_PUBLIC_URL";
    const ACCEPTED: &str = "an absolute http or https URL without user, query and fragment";
    // What stands before an `@` may be a password, so the value of such a one isn't repeated.
    let refused = || {
        if text.contains('@') { ConfigError::secret(NAME, ACCEPTED) } else { ConfigError::new(NAME, text, ACCEPTED) }
    };
    let url = Url::parse(text).map_err(|_| refused())?;
    let plain = url.username().is_empty() && url.password().is_none();
    let usable = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !plain || !usable || url.query().is_some() || url.fragment().is_some() {
        return Err(refused());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Reads a span of time such as `500ms`, `60s`, `5m`, `24h` or `90d`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Who opens an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The server: the data directory is its own.
    Server,
    /// The command line: beside a server or without one. It looks for what is there.
    Tool,
    /// The command line, at a command that may be the first one of an installation.
    FirstTool,
}

/// An open instance and what has to be closed after it.
#[derive(Debug)]
pub struct Instance {
    /// The instance.
    pub app: App,
    /// Steps that were applied to the database.
    pub migrated: Vec<String>,
    /// What has to be closed.
    pub resources: Resources,
}

/// The private PostgreSQL and the claim on the data directory.
#[derive(Debug, Default)]
pub struct Resources {
    cluster: Option<Arc<Cluster>>,
    keeper: Option<keeper::Keeper>,
    _lock: Option<DataDirLock>,
}

impl Resources {
    /// Stops the private PostgreSQL if nobody else uses it.
    ///
    /// # Errors
    /// When it can't be stopped.
    pub async fn close(self) -> Result<(), BootError> {
        if let Some(keeper) = self.keeper {
            keeper.end().await;
        }
        // The keeper held the only other one.
        let Some(cluster) = self.cluster.and_then(Arc::into_inner) else { return Ok(()) };
        let closed = tokio::task::spawn_blocking(|| cluster.close()).await;
        closed.map_err(|error| BootError::Database(error.to_string()))??;
        Ok(())
    }

    /// Whether the database is the private one.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.cluster.is_some()
    }

    /// Starts the private PostgreSQL again whenever it ends, until [`Resources::close`].
    fn keep_running(&mut self) {
        self.keeper = self.cluster.clone().map(keeper::Keeper::start);
    }
}

/// Opens the data directory, starts the private PostgreSQL where no other database is given, migrates, and judges the
/// master key.
///
/// # Errors
/// See [`BootError`]; nothing is left running.
pub async fn open(settings: Settings, env: Env, purpose: Purpose) -> Result<Instance, BootError> {
    let data_dir = settings.data_dir.clone();
    let private = settings.database_url.is_none();
    // A mistyped folder must not become a second installation, whose emptiness looks like lost data. With a database and a
    // master key given, nothing is looked for in the folder.
    let is_looked_into = private || settings.master_keys.is_none();
    if purpose == Purpose::Tool && is_looked_into && !is_installed(&settings) {
        return Err(BootError::NothingInstalled { path: data_dir });
    }
    let opening = move || -> Result<_, BootError> {
        let data_dir = statuspulse_embedded::prepare_data_dir(&data_dir)?;
        let lock = if purpose == Purpose::Server { Some(DataDirLock::acquire(&data_dir)?) } else { None };
        let cluster = if private { Some(Arc::new(Cluster::open(&ClusterOptions::new(&data_dir))?)) } else { None };
        Ok((data_dir, Resources { cluster, keeper: None, _lock: lock }))
    };
    let opened = tokio::task::spawn_blocking(opening).await;
    let (data_dir, mut resources) = opened.map_err(|error| BootError::Database(error.to_string()))??;
    match connect(settings, env, purpose, &data_dir, &resources).await {
        Ok((app, migrated)) => {
            if purpose == Purpose::Server {
                resources.keep_running();
            }
            Ok(Instance { app, migrated, resources })
        }
        Err(error) => {
            resources.close().await?;
            Err(error)
        }
    }
}

/// Whether a data directory is there, with a master key in it where none is given.
fn is_installed(settings: &Settings) -> bool {
    let folder = &settings.data_dir;
    let held = if settings.master_keys.is_none() { folder.join(MASTER_KEY_FILE) } else { folder.clone() };
    // What can't be looked at is for those to tell who need it.
    held.try_exists().unwrap_or(true)
}

async fn connect(
    settings: Settings,
    env: Env,
    purpose: Purpose,
    data_dir: &Path,
    resources: &Resources,
) -> Result<(App, Vec<String>), BootError> {
    let url = match (&settings.database_url, &resources.cluster) {
        (Some(url), _) => url.to_string(),
        (None, Some(cluster)) => cluster.url(DATABASE),
        (None, None) => return Err(BootError::Database("no database is given".into())),
    };
    let failed = |error: &dyn fmt::Display| BootError::Database(error.to_string());
    let database = pool::parse_url(&url).map_err(|error| failed(&error))?;
    let migrated = migrations::migrate(&database, env.now()).await.map_err(|error| failed(&error))?;
    let opening = async {
        let connections = if purpose == Purpose::Server { SERVER_CONNECTIONS } else { TOOL_CONNECTIONS };
        let pool = Pool::new(&url, connections).map_err(|error| failed(&error))?;
        let masters = match settings.master_keys {
            Some(keys) => keys,
            None => {
                // Asked before the file is looked for: of two first starts at once, the other may be faster.
                let mut conn = pool.get().await.map_err(|error| failed(&error))?;
                let known = peppers::knows_a_master_key(&mut conn).await.map_err(|error| failed(&error))?;
                generated_master_key(data_dir, &env, known)?
            }
        };
        let options = Options {
            pool,
            database_url: url,
            masters,
            catalog: settings.catalog,
            bcrypt_cost: settings.bcrypt_cost,
            max_staleness: settings.max_staleness,
            instance: instance_id(data_dir, &env)?,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            // Absolute, as the data directory is by now.
            audit: AuditOptions { dir: data_dir.join("audit"), ..settings.audit },
            shared: settings.redis.map(Shared::new),
        };
        Ok(App::open(options, env).await?)
    };
    let silent = |_| BootError::Database(format!("the database does not answer within {} s", ANSWER.as_secs()));
    let app = tokio::time::timeout(ANSWER, opening).await.unwrap_or_else(|elapsed| Err(silent(elapsed)))?;
    Ok((app, migrated))
}

/// How a start has ended.
#[derive(Debug)]
pub enum Start<T> {
    /// By itself.
    Done(T),
    /// By itself, after it was told to stop; none when it was given up.
    Stopped(Option<T>),
}

/// Waits for a start. When `stop` comes first, the start still has the time in which a database must answer: one that is
/// broken off could leave a PostgreSQL behind, and what it prints is printed once. One that hangs is then given up, and lets
/// go of what it has.
///
/// # Errors
/// When the start panicked.
pub async fn until_stopped<T: Send + 'static>(
    starting: impl Future<Output = T> + Send + 'static,
    stop: impl Future<Output = ()>,
) -> Result<Start<T>, io::Error> {
    let mut task = tokio::spawn(starting);
    tokio::select! {
        done = &mut task => return Ok(Start::Done(done?)),
        () = stop => {}
    }
    match tokio::time::timeout(ANSWER, &mut task).await {
        Ok(done) => Ok(Start::Stopped(Some(done?))),
        Err(_) => {
            task.abort();
            let _ = tokio::time::timeout(LET_GO, task).await;
            Ok(Start::Stopped(None))
        }
    }
}

#[cfg(test)]
mod tests;
