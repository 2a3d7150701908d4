use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn special(addresses: &[&'static str]) -> Vec<&'static str> {
    addresses.iter().copied().filter(|address| is_special(ip(address))).collect()
}

fn networks(text: &str) -> AllowedNetworks {
    AllowedNetworks::parse(text).unwrap()
}

/// Of each refused range: the address before it, its first, its last, the address behind it. A `-` is a neighbour that
/// is refused by another range or does not exist.
const RANGES: &[[&str; 4]] = &[
    ["-", "0.0.0.0", "0.255.255.255", "1.0.0.0"],
    ["9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"],
    ["100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"],
    ["126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"],
    ["169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"],
    ["172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"],
    ["191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"],
    ["192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"],
    ["192.31.195.255", "192.31.196.0", "192.31.196.255", "192.31.197.0"],
    ["192.52.192.255", "192.52.193.0", "192.52.193.255", "192.52.194.0"],
    ["192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"],
    ["192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"],
    ["192.175.47.255", "192.175.48.0", "192.175.48.255", "192.175.49.0"],
    ["198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"],
    ["198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"],
    ["203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"],
    ["223.255.255.255", "224.0.0.0", "239.255.255.255", "-"],
    ["-", "240.0.0.0", "255.255.255.255", "-"],
    ["-", "::", "::ffff:ffff", "::1:0:0"],
    ["::fffe:ffff:ffff:ffff", "::ffff:0:0:0", "::ffff:0:ffff:ffff", "::ffff:1:0:0"],
    ["64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "64:ff9b::", "64:ff9b::ffff:ffff", "64:ff9b::1:0:0"],
    ["64:ff9b:0:ffff:ffff:ffff:ffff:ffff", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:2::"],
    ["ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "100::", "100::ffff:ffff:ffff:ffff", "100:0:0:1::"],
    ["2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2001:1::"],
    ["2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"],
    ["2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"],
    ["3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"],
    ["5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "5f01::"],
    ["fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe00::"],
    ["fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "-"],
    ["-", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "-"],
    ["-", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "-"],
];

#[test]
fn first_and_last_address_of_each_range_are_refused() {
    let inside = RANGES.iter().flat_map(|range| [range[1], range[2]]);
    assert_eq!(inside.filter(|address| !is_special(ip(address))).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn neighbours_of_each_range_are_not_refused() {
    let outside = RANGES.iter().flat_map(|range| [range[0], range[3]]).filter(|address| *address != "-");
    assert_eq!(outside.filter(|address| is_special(ip(address))).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn every_range_has_its_line_in_the_table() {
    let listed = |first: IpAddr| RANGES.iter().any(|range| ip(range[1]) == first);
    let v4 = SPECIAL_V4.iter().map(|(first, _)| IpAddr::V4(*first));
    let v6 = SPECIAL_V6.iter().map(|(first, _)| IpAddr::V6(*first));
    assert_eq!(v4.chain(v6).filter(|first| !listed(*first)).collect::<Vec<_>>(), Vec::<IpAddr>::new());
}

#[test]
fn an_embedded_address_is_refused_even_if_it_is_a_public_one() {
    let embedded =
        ["::8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::8.8.8.8", "2002:808:808::1", "2001::808:808"];
    assert_eq!(special(&embedded), embedded);
}

#[test]
fn a_mapped_address_is_judged_as_the_ipv4_address() {
    assert_eq!(
        special(&["::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:10.0.0.1"]),
        ["::ffff:127.0.0.1", "::ffff:10.0.0.1"]
    );
}

#[test]
fn public_addresses_are_nothing_special() {
    assert_eq!(special(&["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::1"]), Vec::<&str>::new());
}

#[test]
fn networks_are_separated_by_commas_with_blanks_around_them() {
    let allowed = networks(" 10.0.0.0/8 ,fd00::/8,\t192.168.1.1 ");
    let inside = ["10.1.2.3", "fd12::1", "192.168.1.1", "::ffff:10.1.2.3"].map(|address| allowed.contains(ip(address)));
    assert_eq!(inside, [true; 4]);
}

#[test]
fn an_empty_setting_allows_no_network() {
    assert_eq!(["", "  "].map(|text| networks(text).is_empty()), [true; 2]);
}

#[test]
fn the_error_names_the_entry_that_is_no_network() {
    let refused = ["10.0.0.0/8,internal", "10.0.0.1/8", "10.0.0.0/8,,fd00::/8", "10.0.0.0/8,"]
        .map(|text| AllowedNetworks::parse(text).unwrap_err().to_string());
    assert_eq!(
        refused,
        [
            "`internal` is not a network: give an IPv4 or IPv6 address in its usual form, with `/length` behind it for a network",
            "`10.0.0.1/8` has bits set behind its length; write `10.0.0.0/8`",
            "`` is not a network: give an IPv4 or IPv6 address in its usual form, with `/length` behind it for a network",
            "`` is not a network: give an IPv4 or IPv6 address in its usual form, with `/length` behind it for a network",
        ]
    );
}

#[test]
fn an_allowed_network_may_be_dialled_and_nothing_else_of_its_kind() {
    let allowed = networks("10.1.0.0/16");
    let may = ["10.1.2.3", "10.2.0.1", "127.0.0.1", "8.8.8.8", "::ffff:10.1.0.1", "::10.1.0.1"];
    assert_eq!(may.map(|address| allowed.may_dial(ip(address))), [true, false, false, true, true, false]);
}

proptest! {
    #[test]
    fn every_address_of_a_refused_ipv4_range_is_refused(range in 0..SPECIAL_V4.len(), host: u32) {
        let (first, length) = SPECIAL_V4[range];
        prop_assert!(is_special(IpAddr::V4(Ipv4Addr::from(u32::from(first) | (host >> length)))));
    }

    #[test]
    fn every_address_of_a_refused_ipv6_range_is_refused(range in 0..SPECIAL_V6.len(), host: u128) {
        let (first, length) = SPECIAL_V6[range];
        prop_assert!(is_special(IpAddr::V6(Ipv6Addr::from(u128::from(first) | (host >> length)))));
    }

    #[test]
    fn what_the_policy_calls_private_is_refused(address: u128) {
        let address = IpAddr::V6(Ipv6Addr::from(address));
        prop_assert!(!Cidr::single(address).is_private() || is_special(address));
    }

    #[test]
    fn what_the_standard_library_knows_as_special_ipv4_is_refused(bits: u32) {
        let ip = Ipv4Addr::from(bits);
        let special = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast()
            || ip.is_documentation() || ip.is_broadcast() || ip.is_unspecified();
        prop_assert!(!special || is_special(IpAddr::V4(ip)));
    }

    #[test]
    fn a_mapped_address_gets_the_judgement_of_the_ipv4_address(bits: u32) {
        let address = Ipv4Addr::from(bits);
        prop_assert_eq!(is_special(IpAddr::V6(address.to_ipv6_mapped())), is_special(IpAddr::V4(address)));
    }
}
