//! The configuration: the part of the server's that the command line needs, under the same names.

use clap::Args;
use statuspulse_app::boot::{self, ConfigError, Raw, RawAudit, Settings};

use crate::telemetry::{self, LogFormat};

/// The configuration as it is given.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct ConfigArgs {
    /// A PostgreSQL 14+ URL [default: the private PostgreSQL of the data directory].
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<String>,
    /// Private cluster and generated secrets [default: .statuspulse].
    #[arg(long, global = true, env = "STATUSPULSE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<String>,
    /// 32 bytes base64; several while it is rotated: `2:…,1:…`, newest first [default: that of the data directory].
    #[arg(long, global = true, env = "STATUSPULSE_MASTER_KEY", hide_env_values = true, value_name = "KEY")]
    master_key: Option<String>,
    /// File that holds the master key.
    #[arg(long, global = true, env = "STATUSPULSE_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<String>,
    /// TOML file of resources, scopes, presets and endpoint rules [default: built in].
    #[arg(long, global = true, env = "STATUSPULSE_CATALOG", value_name = "FILE")]
    catalog: Option<String>,
    /// Where the server is reached, which is what apps without audiences stand for [default: http://{listen}].
    #[arg(long, global = true, env = "STATUSPULSE_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// Address at which the server listens; what its URL is made of when none is given [default: 127.0.0.1:8080].
    #[arg(long, global = true, env = "STATUSPULSE_LISTEN", value_name = "ADDRESS")]
    listen: Option<String>,
    /// How long a server judges from memory without its database, 1s to 10m [default: 60s].
    #[arg(long, global = true, env = "STATUSPULSE_MAX_STALENESS", value_name = "SPAN")]
    max_staleness: Option<String>,
    /// Cost of new bcrypt hashes, 10 to 12 [default: 10].
    #[arg(long, global = true, env = "STATUSPULSE_BCRYPT_COST", value_name = "COST")]
    bcrypt_cost: Option<String>,
    /// MMDB file that says where addresses are [default: none].
    #[arg(long, global = true, env = "STATUSPULSE_GEO_DATABASE", value_name = "FILE")]
    geo_database: Option<String>,
    /// Filter of the log, such as `info` or `statuspulse_app=debug,warn`.
    #[arg(long, global = true, env = "STATUSPULSE_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// `pretty` or `json` [default: pretty on a terminal, else json].
    #[arg(long, global = true, env = "STATUSPULSE_LOG_FORMAT", value_name = "FORM")]
    log_format: Option<String>,
}

/// The configuration, read and judged.
pub(crate) struct Config {
    /// What both programs share.
    pub(crate) settings: Settings,
    /// The server's URL, without a closing slash.
    pub(crate) public_url: String,
}

impl ConfigArgs {
    /// Reads and judges every value before anything is touched, and starts the log.
    pub(crate) fn read(self) -> Result<Config, ConfigError> {
        let given = |value: Option<String>| value.filter(|text| !text.is_empty());
        telemetry::start(&self.log, LogFormat::read(given(self.log_format).as_deref())?)?;
        let listen = boot::read_listen(given(self.listen).as_deref().unwrap_or("127.0.0.1:8080"))?;
        let public_url = match given(self.public_url) {
            Some(text) => boot::read_public_url(&text)?,
            None => format!("http://{listen}"),
        };
        let settings = Raw {
            database_url: given(self.database_url),
            data_dir: given(self.data_dir),
            master_key: given(self.master_key),
            master_key_file: given(self.master_key_file),
            catalog: given(self.catalog),
            max_staleness: given(self.max_staleness),
            bcrypt_cost: given(self.bcrypt_cost),
            // It counts nothing.
            redis_url: None,
            audit: RawAudit { geo_database: given(self.geo_database), ..RawAudit::default() },
        }
        .read()?;
        Ok(Config { settings, public_url })
    }
}
