//! The client's address: from the peer of the connection, and from one header where the peer is a trusted proxy.

use std::net::IpAddr;

use crate::cidr::{Cidr, LOOPBACK, canonical_ip};
use crate::error::{HeaderNameError, TrustedProxiesError};
use crate::forwarded::{Entries, HeaderLines, forwarded_address, list_address};
use crate::ranges::Ranges;

/// The address from which a call comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientAddress {
    /// This one, in canonical form when it comes from [`ClientIpPolicy::resolve`].
    Known(IpAddr),
    /// It can't be told. Credentials with a list are refused, those without are judged on.
    Unknown,
}

impl ClientAddress {
    /// The address, if it is known.
    pub const fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Known(ip) => Some(ip),
            Self::Unknown => None,
        }
    }
}

impl From<Option<IpAddr>> for ClientAddress {
    /// For an address that is given outright, such as `client_ip` of a verification: absent is unknown.
    fn from(ip: Option<IpAddr>) -> Self {
        ip.map_or(Self::Unknown, |ip| Self::Known(canonical_ip(ip)))
    }
}

/// The proxies whose forwarding header is believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies(Vec<Cidr>);

impl TrustedProxies {
    /// Reads networks separated by commas, blanks around them allowed; nothing at all is no proxy. Any width is accepted, and
    /// each network is read as strictly as [`Cidr::parse`] does.
    ///
    /// # Errors
    /// The first entry that can't be read.
    pub fn parse(text: &str) -> Result<Self, TrustedProxiesError> {
        if text.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let entries = text.split(',').enumerate();
        let cidrs = entries.map(|(index, entry)| {
            Cidr::parse(entry.trim_ascii()).map_err(|source| TrustedProxiesError { index, source })
        });
        cidrs.collect::<Result<_, _>>().map(Self)
    }

    /// The networks in the order given.
    pub fn cidrs(&self) -> &[Cidr] {
        &self.0
    }

    /// Whether none is configured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Cidr>> for TrustedProxies {
    fn from(cidrs: Vec<Cidr>) -> Self {
        Self(cidrs)
    }
}

/// The one header that is read from a trusted proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeaderKind {
    name: Box<str>,
    grammar: Grammar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Grammar {
    /// Addresses separated by commas: `X-Forwarded-For`, and every header of a single address.
    List,
    /// RFC 7239.
    Forwarded,
}

impl HeaderKind {
    /// The header of this name, in any case: `forwarded` is read as RFC 7239 says, every other as addresses separated by commas.
    ///
    /// # Errors
    /// A name that no HTTP message can carry (RFC 9110 §5.6.2).
    pub fn from_name(name: &str) -> Result<Self, HeaderNameError> {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || name.len() > 256 || !name.bytes().all(is_token) {
            return Err(HeaderNameError(name.to_owned()));
        }
        let name = name.to_ascii_lowercase();
        let grammar = if name == "forwarded" { Grammar::Forwarded } else { Grammar::List };
        Ok(Self { name: name.into(), grammar })
    }

    /// `X-Forwarded-For`, the default.
    pub fn x_forwarded_for() -> Self {
        Self { name: "x-forwarded-for".into(), grammar: Grammar::List }
    }

    /// The name in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// How the client's address is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIpPolicy {
    trusted: Ranges,
    any_trusted: bool,
    header: HeaderKind,
}

impl ClientIpPolicy {
    /// Believes `header` of the proxies in `trusted`, and no other header of anyone.
    pub fn new(trusted: &TrustedProxies, header: HeaderKind) -> Self {
        Self { trusted: Ranges::compile(trusted.cidrs()), any_trusted: !trusted.is_empty(), header }
    }

    /// The header of which [`ClientIpPolicy::resolve`] takes the lines.
    pub fn header(&self) -> &HeaderKind {
        &self.header
    }

    /// Whether this peer is a trusted proxy.
    pub fn is_trusted(&self, peer: IpAddr) -> bool {
        self.trusted.contains(peer)
    }

    /// The same, with loopback trusted where no proxies are configured: the rule of forward-auth, and of nothing else.
    #[must_use]
    pub fn with_loopback(&self) -> Self {
        if self.any_trusted {
            return self.clone();
        }
        Self { trusted: Ranges::compile(&LOOPBACK), any_trusted: true, header: self.header.clone() }
    }

    /// The client's address of a request: `peer` as the connection has it (`None` for a Unix socket), and the values of all
    /// lines of the configured header in their order.
    ///
    /// A peer that is not trusted is the client, whatever the header says. Behind a trusted one the entries are walked from the
    /// right, trusted proxies skipped; the first that is not is the client, and where all are, the leftmost. An entry that
    /// can't be read ends the walk with [`ClientAddress::Unknown`]: what stands left of it is the client's own writing. So does
    /// a header of more than 4 KiB or 50 entries. No allocation.
    pub fn resolve<'a>(&self, peer: Option<IpAddr>, header_lines: impl Iterator<Item = &'a [u8]>) -> ClientAddress {
        let Some(peer) = peer.map(canonical_ip) else {
            return ClientAddress::Unknown;
        };
        if !self.is_trusted(peer) {
            return ClientAddress::Known(peer);
        }
        let Some(lines) = HeaderLines::collect(header_lines) else {
            return ClientAddress::Unknown;
        };
        let mut leftmost = peer;
        for entry in lines.rightmost_first().flat_map(|line| Entries::of(line, b',')) {
            let address = match self.header.grammar {
                Grammar::List => list_address(entry),
                Grammar::Forwarded => forwarded_address(entry),
            };
            match address.map(canonical_ip) {
                None => return ClientAddress::Unknown,
                Some(ip) if !self.is_trusted(ip) => return ClientAddress::Known(ip),
                Some(ip) => leftmost = ip,
            }
        }
        ClientAddress::Known(leftmost)
    }
}

#[cfg(test)]
mod tests;
