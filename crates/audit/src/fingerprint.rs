//! The request fingerprint: the same client looks the same from call to call, and means nothing outside (audit §1).

use std::{fmt, net::IpAddr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// First 16 bytes of the keyed digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What a fingerprint is made from; what isn't known is empty.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestTraits<'a> {
    /// Method.
    pub method: &'a str,
    /// Pattern of the route.
    pub route: &'a str,
    /// User agent, raw.
    pub user_agent: &'a [u8],
    /// `Accept`.
    pub accept: &'a [u8],
    /// `Accept-Language`.
    pub accept_language: &'a [u8],
    /// Names of the headers in order, joined by commas.
    pub header_names: &'a str,
    /// TLS fingerprint of a trusted proxy.
    pub tls: &'a [u8],
    /// Client address; its /24 or /48 counts.
    pub ip: Option<IpAddr>,
}

/// The key of the fingerprints, derived from the master key.
#[derive(Clone)]
pub struct FingerprintKey(Hmac<Sha256>);

impl FingerprintKey {
    /// From 32 derived bytes.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        // RFC 2104 pads a key with zeros to the block of 64 bytes; handing the block over leaves nothing that could fail.
        let mut block = [0_u8; 64];
        block.split_at_mut(key.len()).0.copy_from_slice(key);
        Self(Hmac::new(&block.into()))
    }

    /// The fingerprint of a request. Each part carries its length, so that parts can't run into each other.
    #[must_use]
    pub fn fingerprint(&self, traits: &RequestTraits<'_>) -> Fingerprint {
        let mut mac = self.0.clone();
        let (network, length) = network_of(traits.ip);
        let parts: [&[u8]; 8] = [
            traits.method.as_bytes(),
            traits.route.as_bytes(),
            traits.user_agent,
            traits.accept,
            traits.accept_language,
            traits.header_names.as_bytes(),
            traits.tls,
            network.get(..length).unwrap_or_default(),
        ];
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let mut out = [0_u8; 16];
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        out.copy_from_slice(digest.split_at(16).0);
        Fingerprint(out)
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FingerprintKey(…)")
    }
}

/// The first 3 bytes of an IPv4 address, the first 6 of an IPv6 one.
fn network_of(ip: Option<IpAddr>) -> ([u8; 16], usize) {
    let mut out = [0_u8; 16];
    let length = match ip {
        None => 0,
        Some(IpAddr::V4(v4)) => {
            out.split_at_mut(4).0.copy_from_slice(&v4.octets());
            3
        }
        Some(IpAddr::V6(v6)) => {
            out = v6.octets();
            6
        }
    };
    (out, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> FingerprintKey {
        FingerprintKey::new(&[1; 32])
    }

    fn of<'a>(method: &'a str, route: &'a str, ip: &str) -> RequestTraits<'a> {
        RequestTraits { method, route, ip: ip.parse().ok(), ..RequestTraits::default() }
    }

    #[test]
    fn a_client_looks_the_same_within_its_network() {
        let (a, b) = (of("GET", "/a", "203.0.113.7"), of("GET", "/a", "203.0.113.99"));
        assert_eq!(key().fingerprint(&a), key().fingerprint(&b));
    }

    #[test]
    fn another_network_looks_different() {
        let (a, b) = (of("GET", "/a", "203.0.113.7"), of("GET", "/a", "203.0.114.7"));
        assert_ne!(key().fingerprint(&a), key().fingerprint(&b));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let (a, b) = (of("GET", "/ab", ""), of("GET/", "ab", ""));
        assert_ne!(key().fingerprint(&a), key().fingerprint(&b));
    }

    #[test]
    fn another_key_gives_another_fingerprint() {
        let traits = of("GET", "/a", "203.0.113.7");
        assert_ne!(key().fingerprint(&traits), FingerprintKey::new(&[2; 32]).fingerprint(&traits));
    }
}
