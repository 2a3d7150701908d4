//! Sets of addresses, compiled: per family a sorted list of inclusive integer ranges, overlapping and adjacent ones joined,
//! searched by bisection. Built once per change, asked at every call.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cidr::{Cidr, canonical_ip};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ranges {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Ranges {
    pub(crate) fn compile(cidrs: &[Cidr]) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for cidr in cidrs {
            match (cidr.first(), cidr.last()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((u32::from(first), u32::from(last))),
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push((u128::from(first), u128::from(last))),
                // Both ends come from one network, so they are of one family; a mix would allow nothing.
                _ => {}
            }
        }
        Self { v4: merge(v4, |end| end.checked_add(1)), v6: merge(v6, |end| end.checked_add(1)) }
    }

    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        match canonical_ip(ip) {
            IpAddr::V4(ip) => find(&self.v4, u32::from(ip)),
            IpAddr::V6(ip) => find(&self.v6, u128::from(ip)),
        }
    }

    /// Whether a whole family is covered, also by parts that together make it up.
    pub(crate) fn covers_a_family(&self) -> bool {
        *self.v4 == [(u32::from(Ipv4Addr::UNSPECIFIED), u32::from(Ipv4Addr::BROADCAST))]
            || *self.v6 == [(u128::from(Ipv6Addr::UNSPECIFIED), u128::MAX)]
    }

    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.v4.len(), self.v6.len())
    }
}

fn merge<T: Copy + Ord>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            // No number behind the end: the range reaches the top of its family and takes in whatever comes.
            Some(open) if next(open.1).is_none_or(|behind| first <= behind) => open.1 = open.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged.into_boxed_slice()
}

fn find<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= address);
    behind.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| address <= *last)
}
