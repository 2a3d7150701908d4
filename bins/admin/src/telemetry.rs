//! The log, on standard error. Every line passes the redactor.

use std::io::{self, IsTerminal as _, Write};

use statuspulse_app::boot::ConfigError;
use statuspulse_audit::redact::redact;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Reads the configuration's word; without one, a terminal gets the form for people.
    pub(crate) fn read(word: Option<&str>) -> Result<Self, ConfigError> {
        match word {
            None if io::stderr().is_terminal() => Ok(Self::Pretty),
            None | Some("json") => Ok(Self::Json),
            Some("pretty") => Ok(Self::Pretty),
            Some(other) => Err(ConfigError::new("STATUSPULSE_LOG_FORMAT", other, "`pretty` or `json`")),
        }
    }
}

/// Starts the log.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), ConfigError> {
    const ACCEPTED: &str = "a filter such as `info` or `statuspulse_app=debug,warn`";
    let read = EnvFilter::try_new(filter).map_err(|_| ConfigError::new("STATUSPULSE_LOG", filter, ACCEPTED))?;
    let registry = tracing_subscriber::registry().with(read);
    let layer = tracing_subscriber::fmt::layer().with_writer(Redacted);
    // It only fails where there is a log already, which then stays.
    let _ = match format {
        LogFormat::Json => registry.with(layer.json()).try_init(),
        LogFormat::Pretty => registry.with(layer.with_ansi(io::stderr().is_terminal())).try_init(),
    };
    Ok(())
}

struct Redacted;

struct Line;

impl MakeWriter<'_> for Redacted {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line
    }
}

impl Write for Line {
    /// The subscriber hands over whole events. One that can't be written is lost: the subscriber would report it to the same
    /// place, and a panic over it would take a request along.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let _ = io::stderr().lock().write_all(redact(&text).as_bytes());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
