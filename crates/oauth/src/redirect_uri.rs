//! Redirect URIs: strict at registration, equality of bytes at use (RFC 9700 §2.1, RFC 8252 §7.3; oauth §2.4, §3.3).

use std::net::Ipv4Addr;

use url::{Host, ParseError, Url};

use crate::app::AppKind;

/// Characters of a redirect URI, at most.
pub const LONGEST: usize = 2_048;
/// Redirect URIs of an app, at most.
pub const MOST: usize = 20;

/// Parameters of an answer.
const ANSWERED: [&str; 5] = ["code", "state", "iss", "error", "error_description"];
const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];
const LOCALHOST: &str = "http://localhost";

/// Why a redirect URI can't be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedirectUriError {
    /// Over [`LONGEST`] characters.
    #[error("a redirect uri has at most 2048 characters")]
    TooLong,
    /// A blank, a control character, or anything beyond ASCII.
    #[error("a redirect uri consists of visible ASCII characters; percent-encode others")]
    Characters,
    /// Relative, or not a URI.
    #[error("a redirect uri is absolute, such as `https://app.example/callback`")]
    NotAbsolute,
    /// With a `#`.
    #[error("a redirect uri has no fragment (`#`)")]
    Fragment,
    /// With a user name or password.
    #[error("a redirect uri has no user name or password (`@`)")]
    UserInfo,
    /// With a `*`.
    #[error("a redirect uri is one address and has no wildcard (`*`)")]
    Wildcard,
    /// With a host that readers of URIs spell differently.
    #[error("the host of a redirect uri is a name or an address in its usual spelling, without escapes")]
    Host,
    /// With a port that isn't one, or not in its usual spelling.
    #[error("the port of a redirect uri is a number from 1 to 65535 without leading zeros, or left out with its `:`")]
    Port,
    /// With a `%` that begins no escape.
    #[error("a `%` in a redirect uri is followed by two hexadecimal digits")]
    Escape,
    /// With a parameter of the answer in its query.
    #[error("the query of a redirect uri does not hold `code`, `state`, `iss`, `error` or `error_description`")]
    Parameter,
    /// A scheme that can't be used.
    #[error(
        "a redirect uri is `https`, or `http` on `127.0.0.1` or `[::1]`; public apps may also use `http` on `localhost` \
         and a private scheme with a dot, such as `com.example.app:/callback` or `com.example.app://callback`"
    )]
    Scheme,
}

impl RedirectUriError {
    /// The stable word.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "redirect_uri_too_long",
            Self::Characters => "redirect_uri_characters",
            Self::NotAbsolute => "redirect_uri_not_absolute",
            Self::Fragment => "redirect_uri_fragment",
            Self::UserInfo => "redirect_uri_userinfo",
            Self::Wildcard => "redirect_uri_wildcard",
            Self::Host => "redirect_uri_host",
            Self::Port => "redirect_uri_port",
            Self::Escape => "redirect_uri_escape",
            Self::Parameter => "redirect_uri_parameter",
            Self::Scheme => "redirect_uri_scheme",
        }
    }
}

/// A registered redirect URI, kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// Judges a redirect URI that is to be registered.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn register(text: &str, kind: AppKind) -> Result<Self, RedirectUriError> {
        if text.len() > LONGEST {
            return Err(RedirectUriError::TooLong);
        }
        // Readers of URIs disagree about `\`, `"`, `<` and the like; what is registered must have one reading.
        let plain = |byte: u8| {
            byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
        };
        if !text.bytes().all(plain) {
            return Err(RedirectUriError::Characters);
        }
        if text.contains('#') {
            return Err(RedirectUriError::Fragment);
        }
        if text.contains('*') {
            return Err(RedirectUriError::Wildcard);
        }
        // Some readers keep such a `%`, some escape it, some give up.
        if !text.split('%').skip(1).all(begins_with_two_digits) {
            return Err(RedirectUriError::Escape);
        }
        let url = Url::parse(text).map_err(|error| match error {
            ParseError::InvalidPort => RedirectUriError::Port,
            _ => RedirectUriError::NotAbsolute,
        })?;
        let behind_scheme = text.split_once(':').map_or("", |(_, rest)| rest);
        let authority = behind_scheme.strip_prefix("//").map(|rest| rest.split(['/', '?']).next().unwrap_or(rest));
        if !url.username().is_empty() || url.password().is_some() || authority.is_some_and(|part| part.contains('@')) {
            return Err(RedirectUriError::UserInfo);
        }
        // In the answer each of them stands once (RFC 6749 §4.1.2, RFC 9207 §2).
        if url.query_pairs().any(|(name, _)| ANSWERED.contains(&&*name)) {
            return Err(RedirectUriError::Parameter);
        }
        let loopback = LOOPBACK.iter().any(|base| follows(text, base).is_some());
        let localhost = kind == AppKind::Public && follows(text, LOCALHOST).is_some();
        let private = kind == AppKind::Public && is_private_scheme(text);
        let https = text.starts_with("https://");
        if https || private {
            match authority {
                // Behind `com.example.app:///` there is a path and no host.
                None | Some("") if private => {}
                authority => check_authority(authority.unwrap_or_default(), &url)?,
            }
        }
        if https || loopback || localhost || private {
            Ok(Self(text.to_owned()))
        } else {
            Err(RedirectUriError::Scheme)
        }
    }

    /// From a row that [`RedirectUri::register`] let in.
    #[must_use]
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a request's redirect URI is this one: equal bytes, or another port of a registered loopback address.
    #[must_use]
    pub fn matches(&self, presented: &str, any_port_on_localhost: bool) -> bool {
        if self.0 == presented {
            return true;
        }
        let bases = LOOPBACK.into_iter().chain(any_port_on_localhost.then_some(LOCALHOST));
        bases.into_iter().any(|base| match (follows(&self.0, base), follows(presented, base)) {
            (Some((_, registered)), Some((_, asked))) => registered == asked,
            _ => false,
        })
    }
}

/// Splits what follows `http://host` into a port, if there is one that can be (1 to 65535, in decimal), and the rest.
/// None when the text has another host, or anything but a port behind it.
fn follows<'t>(text: &'t str, base: &str) -> Option<(Option<u16>, &'t str)> {
    let rest = text.strip_prefix(base)?;
    let (port, rest) = match rest.strip_prefix(':') {
        Some(rest) => {
            let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
            let (digits, rest) = rest.split_at_checked(end)?;
            (Some(port_of(digits)?), rest)
        }
        None => (None, rest),
    };
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((port, rest))
}

fn begins_with_two_digits(text: &str) -> bool {
    text.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2
}

/// The number that a port is written as: 1 to 65535, in decimal, in the one way there is.
fn port_of(digits: &str) -> Option<u16> {
    let decimal = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| decimal)
}

/// Whether host and port are written the way browsers write them. They repair `https:///host`, `%61pp.example`, `0x7f.1` and
/// `:0443`, other readers don't, and the consent page must not name another host than the one that people are sent to.
fn check_authority(authority: &str, url: &Url) -> Result<(), RedirectUriError> {
    let end = if authority.starts_with('[') { authority.find(']').map(|at| at + 1) } else { authority.find(':') };
    let (host, port) = authority.split_at_checked(end.unwrap_or(authority.len())).ok_or(RedirectUriError::Host)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    // Of a name, each label is one that can be looked up (RFC 1123 §2.1); the dot that may end a name makes another
    // spelling of the same.
    let label = |part: &str| !part.is_empty() && !part.starts_with('-') && !part.ends_with('-');
    let spelled = host.bytes().all(plain)
        && host.split('.').all(label)
        && url.host_str().is_some_and(|understood| understood.eq_ignore_ascii_case(host));
    if !spelled {
        return Err(RedirectUriError::Host);
    }
    let port = port.strip_prefix(':').map(port_of);
    if port == Some(None) { Err(RedirectUriError::Port) } else { Ok(()) }
}

/// RFC 8252 §7.1: a reversed domain name, which somebody can be asked about.
fn is_private_scheme(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let labels = scheme.split('.');
    let label = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    // The app that holds the scheme gets all of it, so that `//` and what stands behind it name nobody else.
    let place = rest.starts_with('/')
        && !matches!(rest.strip_prefix("//"), Some(behind) if behind.is_empty() || behind.starts_with('?'));
    scheme.contains('.')
        && scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && labels.into_iter().all(label)
        && place
}

/// A redirect URI that is none of the registered ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    /// Where it leaves the registered one to which it is nearest: the offset of the first byte that differs.
    pub first_difference: usize,
}

/// Looks for a request's redirect URI among the registered ones.
///
/// # Errors
/// [`Mismatch`].
pub fn find(registered: &[RedirectUri], presented: &str, any_port_on_localhost: bool) -> Result<(), Mismatch> {
    if registered.iter().any(|uri| uri.matches(presented, any_port_on_localhost)) {
        return Ok(());
    }
    let common = |uri: &RedirectUri| uri.0.bytes().zip(presented.bytes()).take_while(|(a, b)| a == b).count();
    Err(Mismatch { first_difference: registered.iter().map(common).max().unwrap_or(0) })
}

/// Where a first byte differs between two texts; for the app's owner.
#[must_use]
pub fn first_difference(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
}

/// A redirect URI with parameters in its query; what the registered query has stays (RFC 6749 §3.1.2).
#[must_use]
pub fn with_parameters(uri: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    let query = query.finish();
    let glue = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some((_, held)) if held.ends_with('&') => "",
        Some(_) => "&",
    };
    [uri, glue, &query].concat()
}

/// The host that people are told they are sent to; of a private scheme the scheme, since whatever stands behind it is the
/// business of the app that holds it and says nothing about where people are sent.
#[must_use]
pub fn display_host(uri: &str) -> String {
    match Url::parse(uri) {
        Ok(url) => match url.host_str().filter(|_| matches!(url.scheme(), "https" | "http")) {
            Some(host) => host.to_owned(),
            None => format!("{}:", url.scheme()),
        },
        Err(_) => String::new(),
    }
}

/// What a page must allow its form to lead to (Content-Security-Policy's `form-action`): the origin, or the scheme. A policy
/// has no words for an address other than `127.0.0.1` (CSP 3, host-part), so that such a one is allowed by its scheme.
#[must_use]
pub fn form_action(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok()?;
    let origin = url.origin();
    let nameable = match url.host() {
        Some(Host::Ipv4(address)) => address == Ipv4Addr::LOCALHOST,
        Some(Host::Ipv6(_)) => false,
        _ => true,
    };
    let named = origin.is_tuple() && nameable;
    let source = if named { origin.ascii_serialization() } else { format!("{}:", url.scheme()) };
    Some(source).filter(|source| !source.contains([' ', ';', ',', '\'', '"']))
}

/// The origin of an `https` redirect URI, which may call the token endpoint from a browser (oauth §4.11).
#[must_use]
pub fn cors_origin(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok()?;
    (url.scheme() == "https").then(|| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests;
