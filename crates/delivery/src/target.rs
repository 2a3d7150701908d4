//! Where a webhook goes (keys §9.4): a URL that was judged when it was saved, and is judged again whenever it is dialled.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use url::{Host, Url};

use crate::names::{Names, Reach};
use crate::networks::AllowedNetworks;

/// Characters of a URL, at most.
pub const LONGEST: usize = 2_048;

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
const SLACK_HOST: &str = "hooks.slack.com";
const SLACK_PATH: &str = "/services/";

/// The form in which an endpoint gets its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Standard Webhooks 1.0.0.
    Standard,
    /// Slack's incoming webhooks.
    Slack,
}

impl Kind {
    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Slack => "slack",
        }
    }
}

/// A word that is no kind of endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the kind of a webhook is `standard` or `slack`")]
pub struct KindError;

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(word: &str) -> Result<Self, KindError> {
        match word {
            "standard" => Ok(Self::Standard),
            "slack" => Ok(Self::Slack),
            _ => Err(KindError),
        }
    }
}

/// Why a webhook can't go to a URL. On the wire all of them are `url_not_allowed`; the sentence says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Over [`LONGEST`] characters.
    #[error("a webhook url has at most 2048 characters")]
    TooLong,
    /// A blank, a control character, anything beyond ASCII, or a character that readers of URLs disagree about.
    #[error(
        "a webhook url consists of visible ASCII characters without quotes, braces and backslashes; percent-encode others"
    )]
    Characters,
    /// Relative, without a host, or not a URL.
    #[error("a webhook url is absolute and has a host, such as `https://hooks.example/statuspulse`")]
    NotAbsolute,
    /// Neither `https` nor, where the operator allows it, `http`.
    #[error(
        "a webhook url is `https`; `http` goes only to networks that the operator allows \
         (`STATUSPULSE_WEBHOOK_ALLOWED_CIDRS`)"
    )]
    Scheme,
    /// With a `#`.
    #[error("a webhook url has no fragment (`#`)")]
    Fragment,
    /// With a user name or password.
    #[error("a webhook url has no user name or password (`@`); deliveries are signed instead")]
    UserInfo,
    /// A port that other services live on.
    #[error(
        "the port of a webhook url is 443, or 1024 and up; others go only to networks that the operator allows \
         (`STATUSPULSE_WEBHOOK_ALLOWED_CIDRS`)"
    )]
    Port,
    /// An address of a private or otherwise special network.
    #[error(
        "the address of a webhook url is a public one; others must lie in a network that the operator allows \
         (`STATUSPULSE_WEBHOOK_ALLOWED_CIDRS`)"
    )]
    Address,
    /// A Slack endpoint that is not Slack's.
    #[error("the url of a slack webhook is `https://hooks.slack.com/services/…`, as Slack shows it")]
    NotSlack,
    /// A name that has to be looked up now and has no address.
    #[error("the host of the webhook url can't be found; check its spelling, or try again later")]
    UnknownHost,
}

/// Where an endpoint's events go. The URL is in the one spelling that is dialled, whatever spelling it was given in.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    kind: Kind,
    /// Why the address must lie in the operator's networks; none where any public address will do.
    inside_because: Option<UrlError>,
}

impl Target {
    /// Judges a URL that is to be saved. Literal addresses are judged here, names when they are dialled; but a URL that is
    /// only good within the operator's networks has its name looked up, and all its addresses must lie there.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub async fn accept(
        text: &str,
        kind: Kind,
        allowed: &AllowedNetworks,
        names: &dyn Names,
    ) -> Result<Self, UrlError> {
        let target = Self::from_stored(text, kind)?;
        match (target.host(), target.inside_because) {
            (Some(Host::Domain(_)), None) => Ok(target),
            (Some(Host::Domain(name)), Some(reason)) => {
                // Nothing is asked about a name that can't be good: it would be a free look into the operator's DNS.
                if allowed.is_empty() {
                    return Err(reason);
                }
                let lookup = tokio::time::timeout(LOOKUP_TIMEOUT, names.addresses(name));
                let found = lookup.await.ok().and_then(Result::ok).unwrap_or_default();
                if found.is_empty() {
                    return Err(UrlError::UnknownHost);
                }
                if found.iter().all(|address| allowed.contains(*address)) { Ok(target) } else { Err(reason) }
            }
            (_, reason) => match target.literal() {
                Some(address) if target.reach().may_dial(address, allowed) => Ok(target),
                _ => Err(reason.unwrap_or(UrlError::Address)),
            },
        }
    }

    /// From a row that [`Target::accept`] let in. Judges the form only; the address is judged when it is dialled, by the
    /// networks that are allowed then.
    ///
    /// # Errors
    /// A URL that no setting makes good: the row was not written by this service.
    pub fn from_stored(text: &str, kind: Kind) -> Result<Self, UrlError> {
        if text.len() > LONGEST {
            return Err(UrlError::TooLong);
        }
        // Readers of URLs disagree about `\`, `"`, `<` and the like; what people see must have one reading.
        let plain = |byte: u8| {
            byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
        };
        if !text.bytes().all(plain) {
            return Err(UrlError::Characters);
        }
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        let url = Url::parse(text).map_err(|_| UrlError::NotAbsolute)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(UrlError::Scheme);
        }
        // The parser repairs `https:host`, `https:/host` and `https:///host`, and drops an empty user name.
        let behind = text.get(url.scheme().len()..).and_then(|rest| rest.strip_prefix("://")).unwrap_or_default();
        let authority = behind.split(['/', '?']).next().unwrap_or_default();
        if authority.is_empty() {
            return Err(UrlError::NotAbsolute);
        }
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        // No socket has this port.
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(UrlError::Port)?;
        if url.as_str().len() > LONGEST {
            return Err(UrlError::TooLong);
        }
        // A host is percent-decoded, so `%22` in one turns into a quote.
        if !url.as_str().bytes().all(plain) {
            return Err(UrlError::Characters);
        }
        let inside_because = if url.scheme() != "https" {
            Some(UrlError::Scheme)
        } else if port != 443 && port < 1_024 {
            Some(UrlError::Port)
        } else if kind == Kind::Slack && !is_slack(&url) {
            Some(UrlError::NotSlack)
        } else {
            None
        };
        Ok(Self { url, kind, inside_because })
    }

    /// The URL, to be stored and shown. Whoever knows a Slack URL can post there.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The form in which events go there.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) const fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) const fn reach(&self) -> Reach {
        if self.inside_because.is_some() { Reach::AllowedOnly } else { Reach::Public }
    }

    /// The address where the host is one: no resolver is asked about it.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        match self.host()? {
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
            Host::Domain(_) => None,
        }
    }

    fn host(&self) -> Option<Host<&str>> {
        self.url.host()
    }
}

/// Without the path: Slack's is the secret, and others keep tokens in theirs.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({} {}/…)", self.kind.as_str(), self.url.origin().ascii_serialization())
    }
}

fn is_slack(url: &Url) -> bool {
    url.host_str() == Some(SLACK_HOST)
        && url.port().is_none()
        && url.path().strip_prefix(SLACK_PATH).is_some_and(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests;
