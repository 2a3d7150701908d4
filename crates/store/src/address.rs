//! The address of the database, and what is wrong with one that can't be used.

use std::error::Error as _;

use tokio_postgres::{
    Config,
    config::{ChannelBinding, SslMode, SslNegotiation},
};

/// What stands in the place of a password.
const MASK: &str = "***";

/// Why a text can't be the address of the database. Never repeats a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; give a PostgreSQL URL such as `postgresql://user@host/database`")]
pub struct UrlError {
    what: String,
    /// The text, with the password out of sight; none when it isn't clear where that would be.
    pub shown: Option<String>,
}

/// Reads a database address. Several hosts and `target_session_attrs` are allowed.
///
/// # Errors
/// [`UrlError`] when it isn't one, or asks for TLS, which the driver doesn't have here.
pub(crate) fn read(url: &str) -> Result<Config, UrlError> {
    let shown = masked(url);
    let refused = |what: String| UrlError { what, shown: shown.clone() };
    if let Some((scheme, _)) = url.split_once("://").filter(|_| shown.is_some())
        && !matches!(scheme, "postgresql" | "postgres")
    {
        return Err(refused(format!("`{scheme}` is not its scheme")));
    }
    let tls = "the connection can't be encrypted by the service; leave this out and use a private network or a tunnel";
    let config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        if cause.ends_with("`sslmode`") {
            return refused(format!("`sslmode` is `disable` or `prefer`: {tls}"));
        }
        // What is taken for the name of a parameter may be a piece of a password that was not encoded.
        let name = cause.strip_prefix("unknown option `").map(|rest| rest.trim_end_matches('`'));
        let is_seen = name.is_none_or(|name| shown.as_ref().is_some_and(|shown| shown.contains(name)));
        refused(if is_seen && !cause.is_empty() { cause.clone() } else { "it can't be read".into() })
    })?;
    if config.get_hosts().is_empty() {
        return Err(refused("it names no host".into()));
    }
    if config.get_ssl_mode() == SslMode::Require {
        return Err(refused(format!("`sslmode=require` is refused: {tls}")));
    }
    if config.get_ssl_negotiation() == SslNegotiation::Direct || config.get_channel_binding() == ChannelBinding::Require
    {
        return Err(refused(format!("TLS is asked for: {tls}")));
    }
    Ok(config)
}

/// The address without its password: not that before the last `@`, where one that was not encoded may hold anything, nor that
/// of a parameter.
fn masked(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
        return None;
    }
    let (account, rest) = rest.rsplit_once('@').map_or((None, rest), |(account, rest)| (Some(account), rest));
    let account = account.map(|account| match account.split_once(':') {
        Some((user, _)) => format!("{user}:{MASK}@"),
        None => format!("{account}@"),
    });
    let (place, parameters) = rest.split_once('?').map_or((rest, None), |(place, rest)| (place, Some(rest)));
    let parameters = parameters.map(|parameters| {
        let parameters: Vec<String> = parameters.split('&').map(masked_parameter).collect();
        format!("?{}", parameters.join("&"))
    });
    Some(format!("{scheme}://{}{place}{}", account.unwrap_or_default(), parameters.unwrap_or_default()))
}

fn masked_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        // An encoded name may be that of the password, too.
        Some((name, _)) if name.contains('%') || name.to_ascii_lowercase().contains("pass") => format!("{name}={MASK}"),
        _ => parameter.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a bad address, and what is shown of it.
    fn said(url: &str) -> (String, String) {
        let error = read(url).unwrap_err();
        (error.what, error.shown.unwrap_or_default())
    }

    #[test]
    fn what_is_wrong_is_said_and_the_password_is_not() {
        let bad = [
            "mysql://ops:hunter2@db/x",
            "postgresql://ops:hunter2@db:port/x",
            "postgresql://ops:hunter2@db/x?colour=red",
            "postgresql://ops:hunter2@/x",
        ];
        let expected = [
            ("`mysql` is not its scheme", "mysql://ops:***@db/x"),
            ("invalid value for option `port`", "postgresql://ops:***@db:port/x"),
            ("unknown option `colour`", "postgresql://ops:***@db/x?colour=red"),
            ("it names no host", "postgresql://ops:***@/x"),
        ];
        assert_eq!(bad.map(said), expected.map(|(what, shown)| (what.to_owned(), shown.to_owned())));
    }

    #[test]
    fn tls_is_refused_since_there_is_none() {
        let asked = ["sslmode=require", "sslmode=verify-full", "sslnegotiation=direct", "channel_binding=require"];
        let refused = asked.map(|asked| said(&format!("postgresql://db/x?{asked}")).0.contains("can't be encrypted"));
        assert_eq!(refused, [true; 4]);
    }

    #[test]
    fn a_password_is_shown_wherever_it_stands_by_nobody() {
        let urls = [
            "postgresql://u:hunter2@db:x/y",
            "postgresql://u:a@hunter2@db:x/y",
            "postgresql://u:a/hunter2@db:x/y",
            "postgresql://u:a?hunter2=b@db:x/y",
            "postgresql://u:a#hunter2@db:x/y",
            "postgresql://db:x/y?user=u&password=hunter2",
            "postgresql://db/y?p%61ssword=hunter2&a=b",
            "postgresql://u:p@db/hunter2=b?c@d:x",
            "host=db port=x password=hunter2",
            "hunter2",
            "u:hunter2@db://x",
        ];
        let leaks = urls.map(|url| format!("{:?}", read(url).unwrap_err())).map(|text| text.contains("hunter2"));
        assert_eq!(leaks, [false; 11]);
    }
}
