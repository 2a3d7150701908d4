//! Which addresses may be dialled (keys §9.4): those of the public internet, and the operator's exceptions. The address
//! decides, never its spelling.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use statuspulse_policy::{Cidr, CidrError, canonical_ip};

/// The networks that the operator lets webhooks reach although they are not of the public internet
/// (`STATUSPULSE_WEBHOOK_ALLOWED_CIDRS`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<Cidr>);

impl AllowedNetworks {
    /// Reads the setting: networks separated by commas, with blanks around them if one likes. An empty text is none.
    ///
    /// # Errors
    /// The first entry that is no network; the error names it.
    pub fn parse(text: &str) -> Result<Self, CidrError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(|entry| Cidr::parse(entry.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the setting names the address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whether the setting names no address at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a webhook may go to the address: it is allowed by name, or nothing special.
    #[must_use]
    pub fn may_dial(&self, address: IpAddr) -> bool {
        self.contains(address) || !is_special(address)
    }
}

/// Whether the address is refused unless the operator allows it: everything that leads back into a private network, to this
/// machine, or nowhere. An IPv4-mapped address is judged as the IPv4 address. An IPv4 address that is embedded any other way
/// is refused whatever it is, since who unpacks it, and into which network, is decided elsewhere.
#[must_use]
pub fn is_special(address: IpAddr) -> bool {
    match canonical_ip(address) {
        IpAddr::V4(address) => {
            let bits = u32::from(address);
            SPECIAL_V4.iter().any(|(first, length)| (bits ^ u32::from(*first)).leading_zeros() >= *length)
        }
        IpAddr::V6(address) => {
            let bits = u128::from(address);
            SPECIAL_V6.iter().any(|(first, length)| (bits ^ u128::from(*first)).leading_zeros() >= *length)
        }
    }
}

const SPECIAL_V4: [(Ipv4Addr, u32); 18] = [
    // "This network" (RFC 1122); Linux takes 0.0.0.0 for itself.
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    // Private (RFC 1918), here and below.
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Carrier NAT (RFC 6598).
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // Loopback.
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local (RFC 3927), where clouds keep their metadata.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    // IETF assignments (RFC 6890).
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // Documentation (RFC 5737), here and twice below.
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // AS112 (RFC 7535), answered by whoever is near.
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    // Automatic multicast tunnels (RFC 7450).
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    // 6to4 relays (RFC 7526).
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // AS112 (RFC 7534).
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    // Benchmarks (RFC 2544).
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // Class E and broadcast.
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

const SPECIAL_V6: [(Ipv6Addr, u32); 14] = [
    // Unspecified, loopback, IPv4-compatible (RFC 4291).
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 0), 96),
    // IPv4-translated (RFC 2765).
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96),
    // NAT64 (RFC 6052), and that of a site (RFC 8215).
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    // Discard (RFC 6666).
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64),
    // Teredo (RFC 4380).
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
    // Documentation (RFC 3849, RFC 9637).
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    // 6to4 (RFC 3056).
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    // Segment routing (RFC 9602).
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16),
    // Unique local (RFC 4193).
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    // Link-local, and site-local (RFC 3879), which some networks still have.
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10),
    // Multicast.
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

#[cfg(test)]
mod tests;
