//! The log. Every line passes the redactor: callers put secrets in odd places.

use std::io::{self, IsTerminal as _, Write};

use statuspulse_app::boot::ConfigError;
use statuspulse_audit::redact::redact;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Reads the configuration's word; without one, a terminal gets the form for people.
    ///
    /// # Errors
    /// When it is another word.
    pub fn read(word: Option<&str>) -> Result<Self, ConfigError> {
        match word {
            None if io::stderr().is_terminal() => Ok(Self::Pretty),
            None | Some("json") => Ok(Self::Json),
            Some("pretty") => Ok(Self::Pretty),
            Some(other) => Err(ConfigError::new("STATUSPULSE_LOG_FORMAT", other, "`pretty` or `json`")),
        }
    }
}

/// Whether a text is a filter.
///
/// # Errors
/// When it isn't.
pub(crate) fn check_filter(filter: &str) -> Result<(), ConfigError> {
    EnvFilter::try_new(filter).map(|_| ()).map_err(|_| {
        ConfigError::new("STATUSPULSE_LOG", filter, "a filter such as `info` or `statuspulse_app=debug,warn`")
    })
}

/// The HTTP library reports each request that can't be parsed as an error: strangers could fill the log, and bury in it what
/// matters. A filter that names the library gets what it asks for.
fn without_strangers(filter: &str) -> String {
    const LIBRARY: &str = "actix_http";
    if filter.contains(LIBRARY) { filter.to_owned() } else { format!("{filter},{LIBRARY}=off") }
}

/// Starts the log on standard error. A second call changes nothing.
pub(crate) fn start(filter: &str, format: LogFormat) {
    let Ok(filter) = EnvFilter::try_new(without_strangers(filter)) else { return };
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(Redacted);
    // Somebody who runs the server inside a test may have a log already.
    let _ = match format {
        LogFormat::Json => registry.with(layer.json()).try_init(),
        LogFormat::Pretty => registry.with(layer.with_ansi(io::stderr().is_terminal())).try_init(),
    };
}

struct Redacted;

struct Line;

impl<'a> MakeWriter<'a> for Redacted {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
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
