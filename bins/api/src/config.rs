//! The configuration: each flag is an environment variable, `--help` lists all.

use std::{net::SocketAddr, num::NonZeroUsize};

use clap::{Args, Parser, Subcommand};
use statuspulse_app::{
    boot::{self, ConfigError, Raw, RawAudit, Settings},
    leaks::github::Source,
};
use statuspulse_delivery::AllowedNetworks;
use statuspulse_policy::{ClientIpPolicy, HeaderKind, TrustedProxies};

use crate::telemetry::{self, LogFormat};

/// Credentials for an infrastructure-monitoring product: API keys, their policy, and the judgement of every call.
#[derive(Debug, Parser)]
#[command(name = "statuspulse-auth", version)]
pub struct Cli {
    /// What to do; `serve` when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The configuration.
    #[command(flatten)]
    pub options: ServeArgs,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the server (the default).
    Serve,
    /// Print the OpenAPI document of this version.
    Openapi,
}

/// The configuration as it is given.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub struct ServeArgs {
    /// Address of the API; port 0 picks one and prints it.
    #[arg(long, global = true, env = "STATUSPULSE_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// Issuer and base of every absolute URL; never taken from `Host` [default: http://{listen}].
    #[arg(long, global = true, env = "STATUSPULSE_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// A PostgreSQL 14+ URL, several hosts and `target_session_attrs` allowed [default: a private PostgreSQL].
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Private cluster and generated secrets [default: .statuspulse].
    #[arg(long, global = true, env = "STATUSPULSE_DATA_DIR")]
    pub data_dir: Option<String>,
    /// 32 bytes base64; several while it is rotated: `2:…,1:…`, newest first [default: generated into the data directory].
    #[arg(long, global = true, env = "STATUSPULSE_MASTER_KEY", hide_env_values = true)]
    pub master_key: Option<String>,
    /// File that holds the master key.
    #[arg(long, global = true, env = "STATUSPULSE_MASTER_KEY_FILE")]
    pub master_key_file: Option<String>,
    /// TOML file of resources, scopes, presets, endpoint rules and audiences [default: built in].
    #[arg(long, global = true, env = "STATUSPULSE_CATALOG")]
    pub catalog: Option<String>,
    /// CIDRs, separated by commas, whose forwarding headers are believed.
    #[arg(long, global = true, env = "STATUSPULSE_TRUSTED_PROXIES", default_value = "")]
    pub trusted_proxies: String,
    /// The one header that is read from a trusted proxy.
    #[arg(long, global = true, env = "STATUSPULSE_CLIENT_IP_HEADER", default_value = "x-forwarded-for")]
    pub client_ip_header: String,
    /// Private networks that webhooks may reach: CIDRs, separated by commas.
    #[arg(long, global = true, env = "STATUSPULSE_WEBHOOK_ALLOWED_CIDRS", default_value = "")]
    pub webhook_allowed_cidrs: String,
    /// File or `https` address of GitHub's secret-scanning public keys [default: reports of GitHub are not taken].
    #[arg(long, global = true, env = "STATUSPULSE_GITHUB_KEYS")]
    pub github_keys: Option<String>,
    /// How long calls are judged from memory without the database, 1s to 10m [default: 60s].
    #[arg(long, global = true, env = "STATUSPULSE_MAX_STALENESS")]
    pub max_staleness: Option<String>,
    /// Cost of new bcrypt hashes, 10 to 12 [default: 10].
    #[arg(long, global = true, env = "STATUSPULSE_BCRYPT_COST")]
    pub bcrypt_cost: Option<String>,
    /// MMDB file for countries and places (MaxMind, DB-IP, ip-location-db layouts) [default: none].
    #[arg(long, global = true, env = "STATUSPULSE_GEO_DATABASE")]
    pub geo_database: Option<String>,
    /// Redis or Valkey in which several instances count together: a `redis://` or `rediss://` address, nodes of a cluster
    /// separated by commas [default: rates count in this process, alerts sum through the database].
    #[arg(long, global = true, env = "STATUSPULSE_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// What happens to an allowed call whose audit event can't be kept: `strict` (503) or `best_effort` [default: strict].
    #[arg(long, global = true, env = "STATUSPULSE_AUDIT_MODE")]
    pub audit_mode: Option<String>,
    /// Room of the audit spool on disk [default: 2GiB].
    #[arg(long, global = true, env = "STATUSPULSE_AUDIT_SPOOL_LIMIT")]
    pub audit_spool_limit: Option<String>,
    /// How long allowed calls stay in the audit table [default: 30d].
    #[arg(long, global = true, env = "STATUSPULSE_AUDIT_KEEP_CALLS")]
    pub audit_keep_calls: Option<String>,
    /// How long everything else stays there [default: 400d].
    #[arg(long, global = true, env = "STATUSPULSE_AUDIT_KEEP_CHANGES")]
    pub audit_keep_changes: Option<String>,
    /// Folder for the compressed files of days that leave the audit table [default: no archive].
    #[arg(long, global = true, env = "STATUSPULSE_AUDIT_ARCHIVE_DIR")]
    pub audit_archive_dir: Option<String>,
    /// HTTP workers [default: cores].
    #[arg(long, global = true, env = "STATUSPULSE_WORKERS")]
    pub workers: Option<String>,
    /// Filter of the log, such as `info` or `statuspulse_app=debug,warn`.
    #[arg(long, global = true, env = "STATUSPULSE_LOG", default_value = "info")]
    pub log: String,
    /// `pretty` or `json` [default: pretty on a terminal, else json].
    #[arg(long, global = true, env = "STATUSPULSE_LOG_FORMAT")]
    pub log_format: Option<String>,
}

/// The configuration, read and judged.
#[derive(Debug)]
pub struct Config {
    /// What both programs share.
    pub settings: Settings,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Base of absolute URLs, without a closing slash; none means that of the listening address.
    pub public_url: Option<String>,
    /// How the client's address is found.
    pub client_ip: ClientIpPolicy,
    /// Whether any proxies are trusted.
    pub has_proxies: bool,
    /// Private networks that webhooks may reach.
    pub webhook_networks: AllowedNetworks,
    /// Where GitHub's public keys are.
    pub github_keys: Option<Source>,
    /// HTTP workers.
    pub workers: Option<NonZeroUsize>,
    /// Filter of the log.
    pub log_filter: String,
    /// Form of the log.
    pub log_format: LogFormat,
    /// The data directory as it was given, where it isn't the default one.
    pub data_dir: Option<String>,
}

impl ServeArgs {
    /// Reads and judges every value before anything is touched.
    ///
    /// # Errors
    /// The first bad value.
    pub fn read(self) -> Result<Config, ConfigError> {
        let given = |value: Option<String>| value.filter(|text| !text.is_empty());
        let listen = boot::read_listen(&self.listen)?;
        let public_url = given(self.public_url).as_deref().map(boot::read_public_url).transpose()?;
        let proxies = TrustedProxies::parse(&self.trusted_proxies).map_err(|error| {
            ConfigError::new("STATUSPULSE_TRUSTED_PROXIES", &self.trusted_proxies, error.to_string())
        })?;
        let header = read_client_ip_header(&self.client_ip_header)?;
        let webhook_networks = AllowedNetworks::parse(&self.webhook_allowed_cidrs).map_err(|error| {
            ConfigError::new("STATUSPULSE_WEBHOOK_ALLOWED_CIDRS", &self.webhook_allowed_cidrs, error.to_string())
        })?;
        let github_keys = given(self.github_keys).as_deref().map(read_github_keys).transpose()?;
        let workers = given(self.workers)
            .map(|text| {
                let read = text.parse::<NonZeroUsize>().ok().filter(|workers| workers.get() <= 1_024);
                read.ok_or_else(|| ConfigError::new("STATUSPULSE_WORKERS", &text, "a number from 1 to 1024"))
            })
            .transpose()?;
        telemetry::check_filter(&self.log)?;
        let log_format = LogFormat::read(given(self.log_format).as_deref())?;
        let data_dir = given(self.data_dir);
        let settings = Raw {
            database_url: given(self.database_url),
            data_dir: data_dir.clone(),
            master_key: given(self.master_key),
            master_key_file: given(self.master_key_file),
            catalog: given(self.catalog),
            max_staleness: given(self.max_staleness),
            bcrypt_cost: given(self.bcrypt_cost),
            redis_url: given(self.redis_url),
            audit: RawAudit {
                mode: given(self.audit_mode),
                spool_limit: given(self.audit_spool_limit),
                keep_calls: given(self.audit_keep_calls),
                keep_changes: given(self.audit_keep_changes),
                archive_dir: given(self.audit_archive_dir),
                geo_database: given(self.geo_database),
                workers: workers.map(NonZeroUsize::get),
            },
        }
        .read()?;
        Ok(Config {
            settings,
            listen,
            public_url,
            client_ip: ClientIpPolicy::new(&proxies, header),
            has_proxies: !proxies.is_empty(),
            webhook_networks,
            github_keys,
            workers,
            log_filter: self.log,
            log_format,
            data_dir,
        })
    }
}

/// A header whose content is known to be no address is a mistake, and one that would go unseen: behind it every client's
/// address is unknown, or the client's own choice.
fn read_client_ip_header(text: &str) -> Result<HeaderKind, ConfigError> {
    const NAME: &str = "STATUSPULSE_CLIENT_IP_HEADER";
    let header = HeaderKind::from_name(text).map_err(|error| ConfigError::new(NAME, text, error.to_string()))?;
    if NO_ADDRESSES.contains(&header.name()) {
        let accepted = "a header into which proxies write addresses, such as `x-forwarded-for`";
        return Err(ConfigError::new(NAME, text, accepted));
    }
    Ok(header)
}

/// Headers of HTTP and of this service that mean something else.
const NO_ADDRESSES: [&str; 36] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "host",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "keep-alive",
    "max-forwards",
    "origin",
    "proxy-authorization",
    "range",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-csrf-token",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-request-id",
];

/// A file must be there: who names one wants reports to be taken.
fn read_github_keys(text: &str) -> Result<Source, ConfigError> {
    const NAME: &str = "STATUSPULSE_GITHUB_KEYS";
    let source = Source::parse(text).map_err(|accepted| ConfigError::new(NAME, text, accepted))?;
    match &source {
        Source::File(path) => match std::fs::File::open(path) {
            Ok(_) => Ok(source),
            Err(error) => {
                Err(ConfigError::new(NAME, text, format!("a readable file, or an `https` address ({error})")))
            }
        },
        Source::Address(_) => Ok(source),
    }
}
