//! Where the counters are: the URLs of `STATUSPULSE_REDIS_URL`.

use std::fmt::{self, Display, Formatter};

use redis::{ConnectionInfo, IntoConnectionInfo as _, io::tcp::TcpSettings};
use url::{Host, Url};

#[cfg(test)]
mod tests;

/// As many nodes may be named; a cluster tells of its other nodes by itself.
const MAX_NODES: usize = 32;
const DEFAULT_PORT: u16 = 6_379;

/// One server, or some nodes of a cluster: URLs that were judged. `Debug` and [`Target::shown`] hold neither user nor
/// password.
#[derive(Clone)]
pub struct Target {
    nodes: Vec<ConnectionInfo>,
    tls: bool,
    shown: String,
}

/// Why a text names no server. The message tells what is accepted, and shows nothing of the text, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetError {
    /// Which of the URLs it is about, counted from 1.
    node: usize,
    reason: &'static str,
}

impl Target {
    /// Reads one URL, or up to 32 of them with commas in between, which are nodes of one cluster:
    /// `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS. The port is 6379 unless one is named, the
    /// database 0; several nodes have the same scheme, user and password, and no database. A special character in a user's
    /// name or a password is percent-encoded, a comma as `%2C`.
    ///
    /// # Errors
    /// [`TargetError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let mut nodes = Vec::new();
        let mut shown = Vec::new();
        let mut first: Option<Url> = None;
        let several = text.contains(',');
        for (number, text) in (1..).zip(text.split(',')) {
            let wrong = |reason| TargetError { node: number, reason };
            if number > MAX_NODES {
                return Err(wrong("is one more than 32"));
            }
            let url = judge(text).map_err(wrong)?;
            if several && !matches!(url.path(), "" | "/" | "/0") {
                return Err(wrong("names a database, which a cluster does not have"));
            }
            let login =
                |url: &Url| (url.scheme().to_owned(), url.username().to_owned(), url.password().map(str::to_owned));
            if first.as_ref().is_some_and(|first| login(first) != login(&url)) {
                return Err(wrong("differs from the first in scheme, user or password"));
            }
            shown.push(show(&url));
            let node = url.clone().into_connection_info().map_err(|_| wrong("can't be read"))?;
            // Commands are short and somebody waits: none is held back to be sent along with the next.
            nodes.push(node.set_tcp_settings(TcpSettings::default().set_nodelay(true)));
            first.get_or_insert(url);
        }
        let tls = first.is_some_and(|url| url.scheme() == "rediss");
        Ok(Self { nodes, tls, shown: shown.join(",") })
    }

    /// The URLs without user and password.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    pub(crate) fn nodes(&self) -> &[ConnectionInfo] {
        &self.nodes
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.tls
    }
}

/// One URL, or what is wrong with it.
fn judge(text: &str) -> Result<Url, &'static str> {
    // The parser drops these where they stand; what is read must be what was written.
    if text.is_empty() || text.contains(|c: char| c.is_ascii_control() || c.is_whitespace()) {
        return Err("is empty, or holds a blank or a control character");
    }
    let url = Url::parse(text).map_err(|_| "is no URL")?;
    if !matches!(url.scheme(), "redis" | "rediss") {
        return Err("has another scheme");
    }
    let is_named = match url.host() {
        Some(Host::Domain(name)) => {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    };
    if !is_named || url.port() == Some(0) {
        return Err("has no host, or one or a port that can't be");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has something behind the database");
    }
    // Without a password nobody signs in, and the name would go unnoticed.
    if !url.username().is_empty() && url.password().is_none_or(str::is_empty) {
        return Err("has a user without a password");
    }
    let is_database = match url.path() {
        "" | "/" | "/0" => true,
        path => path
            .strip_prefix('/')
            .is_some_and(|name| name.starts_with(|c: char| matches!(c, '1'..='9')) && name.parse::<u16>().is_ok()),
    };
    if !is_database {
        return Err("has a database that is no number");
    }
    Ok(url)
}

fn show(url: &Url) -> String {
    let (host, port) = (url.host_str().unwrap_or_default(), url.port().unwrap_or(DEFAULT_PORT));
    let database = url.path().strip_prefix('/').filter(|database| !matches!(*database, "" | "0"));
    let (slash, database) = database.map_or(("", ""), |database| ("/", database));
    format!("{}://{host}:{port}{slash}{database}", url.scheme())
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.shown).finish()
    }
}

impl Display for TargetError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "URL {} {}; accepted is redis://[[user]:password@]host[:port][/database], rediss:// for TLS, or several of \
             them with commas in between: nodes of one cluster, with the same scheme, user and password, and no database",
            self.node, self.reason
        )
    }
}

impl std::error::Error for TargetError {}
