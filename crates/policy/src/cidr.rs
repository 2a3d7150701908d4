//! Networks. Reading is strict, since lenient readers disagree about what `010.0.0.1` is; the value is canonical from then on.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::IpNetwork;
use serde::{Serialize, Serializer};

use crate::error::CidrError;

/// A network in canonical form: no bit behind the length is set, and an IPv4-mapped IPv6 network is the IPv4 network. The
/// families are separate: `::/0` does not contain IPv4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    length: u8,
}

impl Cidr {
    /// Reads `address` or `address/length`, strictly: the address as [`std::net::IpAddr`] reads it, the length in ASCII digits
    /// without sign or leading zero. A bare address gets its full length. The width is not judged here but by
    /// [`Allowlist::parse`](crate::Allowlist::parse).
    ///
    /// # Errors
    /// [`CidrError::Invalid`], [`CidrError::HostBitsSet`] or [`CidrError::MappedTooWide`].
    pub fn parse(entry: &str) -> Result<Self, CidrError> {
        let invalid = |why| CidrError::Invalid { entry: entry.to_owned(), why };
        let (address, length) = match entry.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (entry, None),
        };
        let address = IpAddr::from_str(address).map_err(|_| {
            invalid("give an IPv4 or IPv6 address in its usual form, with `/length` behind it for a network")
        })?;
        let full = full_length(address);
        let length = match length {
            None => full,
            Some(digits) => parse_length(digits)
                .filter(|length| *length <= full)
                .ok_or_else(|| invalid("the length is plain digits, at most 32 for IPv4 and 128 for IPv6"))?,
        };
        Self::from_parts(address, length, || entry.to_owned())
    }

    /// Takes a value from the database.
    ///
    /// # Errors
    /// [`CidrError::HostBitsSet`] or [`CidrError::MappedTooWide`], which a `cidr` column written by this service does not hold.
    pub fn from_ip_network(network: IpNetwork) -> Result<Self, CidrError> {
        Self::from_parts(network.ip(), network.prefix(), || network.to_string())
    }

    /// The value for a `cidr` column.
    pub fn to_ip_network(self) -> IpNetwork {
        match IpNetwork::new(self.address, self.length) {
            Ok(network) => network,
            // The length is within the family's bound by construction; the single address is the narrowest there is.
            Err(_) => IpNetwork::from(self.address),
        }
    }

    /// The network of one address.
    pub fn single(address: IpAddr) -> Self {
        let address = canonical_ip(address);
        Self { address, length: full_length(address) }
    }

    /// The first `length` bits of an address, the rest cut off; `None` where the length is over 32 or 128. An IPv4-mapped
    /// address counts as IPv4.
    pub fn enclosing(address: IpAddr, length: u8) -> Option<Self> {
        let address = canonical_ip(address);
        (length <= full_length(address)).then(|| Self { address: cut(address, length), length })
    }

    /// The first address, which is the network's own.
    pub const fn first(self) -> IpAddr {
        self.address
    }

    /// The last address.
    pub fn last(self) -> IpAddr {
        match self.address {
            IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from(u32::from(ip) | !mask_v4(self.length))),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(u128::from(ip) | !mask_v6(self.length))),
        }
    }

    /// The number of leading bits that count: 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether the network is of IPv4.
    pub const fn is_ipv4(self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether the address lies in the network. An IPv4-mapped address counts as IPv4.
    pub fn contains(self, ip: IpAddr) -> bool {
        let ip = canonical_ip(ip);
        ip.is_ipv4() == self.is_ipv4() && cut(ip, self.length) == self.address
    }

    /// Whether every address of `other` lies in this network.
    pub fn covers(self, other: Self) -> bool {
        self.length <= other.length && self.contains(other.address)
    }

    /// Whether the network lies within addresses that the public internet does not route: RFC 1918, carrier NAT (RFC 6598),
    /// loopback, link-local, unique local IPv6 (RFC 4193).
    pub fn is_private(self) -> bool {
        PRIVATE.iter().any(|private| private.covers(self))
    }

    /// Whether the network is all of its family.
    pub const fn is_everything(self) -> bool {
        self.length == 0
    }

    /// The shortest length that a list accepts without being told to allow any: 8 for IPv4, 32 for IPv6.
    pub const fn shortest_length(self) -> u8 {
        if self.is_ipv4() { 8 } else { 32 }
    }

    fn from_parts(address: IpAddr, length: u8, entry: impl Fn() -> String) -> Result<Self, CidrError> {
        let (address, length) = match address {
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) => {
                    let length = length.checked_sub(96).ok_or_else(|| CidrError::MappedTooWide { entry: entry() })?;
                    (IpAddr::V4(ip), length)
                }
                None => (address, length),
            },
            IpAddr::V4(_) => (address, length),
        };
        let cidr = Self { address: cut(address, length), length };
        if cidr.address == address {
            Ok(cidr)
        } else {
            Err(CidrError::HostBitsSet { entry: entry(), suggestion: cidr })
        }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(entry: &str) -> Result<Self, CidrError> {
        Self::parse(entry)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cidr({self})")
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The one form of an address: IPv4-mapped IPv6 (`::ffff:10.1.2.3`) is the IPv4 address.
pub fn canonical_ip(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// The address as a counter's key: canonical, and IPv6 cut to /64, since one customer owns that many.
pub fn counter_key(ip: IpAddr) -> IpAddr {
    match canonical_ip(ip) {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => cut(IpAddr::V6(ip), 64),
    }
}

pub(crate) const LOOPBACK: [Cidr; 2] = [v4(127, 0, 8), v6(0, 0, 0, 0, 0, 0, 0, 1, 128)];

const PRIVATE: [Cidr; 9] = [
    v4(10, 0, 8),
    v4(172, 16, 12),
    v4(192, 168, 16),
    v4(100, 64, 10),
    v4(169, 254, 16),
    LOOPBACK[0],
    LOOPBACK[1],
    v6(0xfc00, 0, 0, 0, 0, 0, 0, 0, 7),
    v6(0xfe80, 0, 0, 0, 0, 0, 0, 0, 10),
];

const fn v4(a: u8, b: u8, length: u8) -> Cidr {
    Cidr { address: IpAddr::V4(Ipv4Addr::new(a, b, 0, 0)), length }
}

#[expect(clippy::too_many_arguments, reason = "the eight groups of an address and the length")]
const fn v6(a: u16, b: u16, c: u16, d: u16, e: u16, f: u16, g: u16, h: u16, length: u8) -> Cidr {
    Cidr { address: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), length }
}

/// ASCII digits, no sign, no leading zero but `0` itself.
fn parse_length(digits: &str) -> Option<u8> {
    let plain = matches!(digits.as_bytes(), [b'0'] | [b'1'..=b'9', ..])
        && digits.len() <= 3
        && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

const fn full_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask_v4(length: u8) -> u32 {
    u32::MAX.checked_shl(32_u32.saturating_sub(length.into())).unwrap_or(0)
}

fn mask_v6(length: u8) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(length.into())).unwrap_or(0)
}

fn cut(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from(u32::from(ip) & mask_v4(length))),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(u128::from(ip) & mask_v6(length))),
    }
}

#[cfg(test)]
mod tests;
