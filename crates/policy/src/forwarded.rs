//! Reading forwarding headers, from the right and strictly: what the nearest proxy wrote stands at the end, and everything in
//! front of it may be the client's own writing, unbalanced quotes included.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

const MAX_BYTES: usize = 4 * 1024;
const MAX_ENTRIES: usize = 50;

/// The lines of one header, within bounds, without a copy of them.
pub(crate) struct HeaderLines<'a> {
    lines: [&'a [u8]; MAX_ENTRIES],
    count: usize,
}

impl<'a> HeaderLines<'a> {
    /// `None` where the joined header is longer than 4 KiB or has more than 50 entries. Commas inside quotes count as well:
    /// no address has one.
    pub(crate) fn collect(given: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut lines = Self { lines: [&[]; MAX_ENTRIES], count: 0 };
        let (mut bytes, mut entries) = (0_usize, 0_usize);
        for line in given {
            // Joined with a comma and a blank (RFC 9110 §5.3).
            bytes = bytes.saturating_add(line.len()).saturating_add(if lines.count == 0 { 0 } else { 2 });
            if bytes > MAX_BYTES {
                return None;
            }
            entries += 1 + line.iter().filter(|b| **b == b',').count();
            if entries > MAX_ENTRIES {
                return None;
            }
            *lines.lines.get_mut(lines.count)? = line;
            lines.count += 1;
        }
        Some(lines)
    }

    pub(crate) fn rightmost_first(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.lines.iter().take(self.count).rev().copied()
    }
}

/// Parts of a line from the right, split at a separator outside of quoted strings, blanks around them cut off.
///
/// The scan starts outside of quotes at the end of the line, so a quote that the client left open in front of the proxy's own
/// entry can't swallow it.
pub(crate) struct Entries<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Entries<'a> {
    pub(crate) const fn of(line: &'a [u8], separator: u8) -> Self {
        Self { rest: Some(line), separator }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.rest.take()?;
        let mut quoted = false;
        for (at, byte) in line.iter().enumerate().rev() {
            if *byte == b'"' && !is_escaped(line, at) {
                quoted = !quoted;
            } else if *byte == self.separator && !quoted {
                let (front, entry) = line.split_at_checked(at)?;
                self.rest = Some(front);
                return entry.get(1..).map(trim_blanks);
            }
        }
        Some(trim_blanks(line))
    }
}

fn is_escaped(line: &[u8], at: usize) -> bool {
    line.iter().take(at).rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

fn trim_blanks(mut entry: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = entry {
        entry = rest;
    }
    entry
}

/// An entry of `X-Forwarded-For` and its kind: `address`, `v4:port`, `[v6]` or `[v6]:port`.
pub(crate) fn list_address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?;
    if let Some(bracketed) = entry.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let plausible = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return if plausible { Ipv6Addr::from_str(address).ok().map(IpAddr::V6) } else { None };
    }
    match entry.split_once(':') {
        Some((address, port)) if is_port(port) && address.contains('.') => {
            Ipv4Addr::from_str(address).ok().map(IpAddr::V4)
        }
        _ => IpAddr::from_str(entry).ok(),
    }
}

/// An entry of `Forwarded` (RFC 7239 §4): the address of its one `for` parameter, quoted or not.
pub(crate) fn forwarded_address(entry: &[u8]) -> Option<IpAddr> {
    let mut address = None;
    for pair in Entries::of(entry, b';').filter(|pair| !pair.is_empty()) {
        let equals = pair.iter().position(|b| *b == b'=')?;
        let (name, value) = pair.split_at_checked(equals)?;
        let value = unquote(value.get(1..)?)?;
        if name.eq_ignore_ascii_case(b"for") {
            // Two of them: which one is meant is anybody's guess.
            if address.is_some() {
                return None;
            }
            address = Some(list_address(value)?);
        }
    }
    address
}

/// The inside of a quoted string, or a value without quotes. One with an escape or a stray quote is not read.
fn unquote(value: &[u8]) -> Option<&[u8]> {
    let inside = match value {
        [b'"', inside @ .., b'"'] => inside,
        _ => value,
    };
    if inside.iter().any(|b| matches!(b, b'"' | b'\\')) { None } else { Some(inside) }
}

fn is_port(port: &str) -> bool {
    (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests;
