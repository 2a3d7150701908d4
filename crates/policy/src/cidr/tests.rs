use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn parsed(entry: &str) -> String {
    Cidr::parse(entry).unwrap().to_string()
}

fn refused(entry: &str) -> &'static str {
    Cidr::parse(entry).unwrap_err().code()
}

/// spec: policy P18
#[test]
fn set_host_bits_are_refused_with_the_network_in_the_text() {
    assert_eq!(
        Cidr::parse("10.0.0.1/8").unwrap_err().to_string(),
        "`10.0.0.1/8` has bits set behind its length; write `10.0.0.0/8`"
    );
}

#[test]
fn set_host_bits_have_a_code_of_their_own() {
    assert_eq!(["10.0.0.1/8", "2001:db8::1/64", "::ffff:10.0.0.1/104"].map(refused), ["host_bits_set"; 3]);
}

/// spec: policy P19
#[test]
fn spellings_that_readers_disagree_about_are_refused() {
    let entries = ["010.0.0.1/32", "10.0.0.0/08", "10.0.0.0/33", "10.0.0.0/255.0.0.0", " 10.0.0.0/8"];
    assert_eq!(entries.map(refused), ["invalid_cidr"; 5]);
}

#[test]
fn whatever_is_not_an_address_and_a_length_is_refused() {
    let entries = [
        "",
        "/",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "10.0.0.0/-8",
        "10.0.0.0/8/8",
        "10.0.0.0/8 ",
        "10.0.0.0/ 8",
        "10.0.0.0/00",
        "10.0.0.0/٨",
        "10.0.0/8",
        "10/8",
        "0x0a.0.0.0/8",
        "167772160/8",
        "10.0.0.0-10.0.0.9",
        "example.com",
        "fe80::1%eth0",
        "fe80::%1/10",
        "[2001:db8::1]",
        "[2001:db8::]/32",
        "2001:db8::/129",
        "2001:db8::/0128",
        "10.0.0.0/256",
        "10.0.0.0/264",
        "10.0.0.0:80",
        "１０.0.0.0/8",
        "10.0.0.0\0/8",
        "any",
        "*",
        "2001:db8:::/32",
    ];
    assert_eq!(entries.map(refused), ["invalid_cidr"; 31]);
}

/// spec: policy P20
#[test]
fn a_bare_address_is_a_network_of_one() {
    assert_eq!(["203.0.113.7", "2001:DB8::1"].map(parsed), ["203.0.113.7/32", "2001:db8::1/128"]);
}

/// spec: policy P21
#[test]
fn a_mapped_network_is_the_ipv4_network() {
    assert_eq!(
        ["::ffff:10.0.0.0/104", "::ffff:10.1.2.3", "::FFFF:0:0/96"].map(parsed),
        ["10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0"]
    );
}

#[test]
fn a_mapped_network_wider_than_the_mapped_range_is_refused() {
    assert_eq!(["::ffff:0:0/95", "::ffff:10.0.0.0/8", "::ffff:0.0.0.0/0"].map(refused), ["mapped_too_wide"; 3]);
}

#[test]
fn the_ends_of_a_network_are_its_first_and_last_address() {
    let cidr = Cidr::parse("203.0.113.64/26").unwrap();
    assert_eq!((cidr.first(), cidr.last()), (ip("203.0.113.64"), ip("203.0.113.127")));
}

#[test]
fn all_of_a_family_ends_at_its_last_address() {
    let last = |entry| Cidr::parse(entry).unwrap().last();
    assert_eq!(
        [last("0.0.0.0/0"), last("::/0")],
        [ip("255.255.255.255"), ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]
    );
}

/// spec: policy P28
#[test]
fn a_mapped_client_is_in_the_ipv4_network() {
    assert!(Cidr::parse("10.0.0.0/8").unwrap().contains(ip("::ffff:10.1.2.3")));
}

#[test]
fn all_of_ipv6_does_not_contain_ipv4() {
    let everything = Cidr::parse("::/0").unwrap();
    assert_eq!([ip("10.1.2.3"), ip("::ffff:10.1.2.3")].map(|ip| everything.contains(ip)), [false; 2]);
}

#[test]
fn networks_within_private_ranges_are_private() {
    let entries = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "192.168.1.7",
        "100.64.0.0/10",
        "169.254.1.1",
        "127.0.0.1",
        "::1",
        "fd00::/8",
        "fe80::1",
    ];
    assert_eq!(entries.map(|entry| Cidr::parse(entry).unwrap().is_private()), [true; 10]);
}

#[test]
fn networks_that_reach_beyond_private_ranges_are_not_private() {
    let entries = ["10.0.0.0/7", "172.0.0.0/8", "203.0.113.0/24", "100.0.0.0/9", "2001:db8::/32", "::/0"];
    assert_eq!(entries.map(|entry| Cidr::parse(entry).unwrap().is_private()), [false; 6]);
}

#[test]
fn a_counter_counts_a_whole_ipv6_customer_together() {
    assert_eq!(
        [ip("2001:db8:1:2:3:4:5:6"), ip("203.0.113.7"), ip("::ffff:203.0.113.7")].map(counter_key),
        [ip("2001:db8:1:2::"), ip("203.0.113.7"), ip("203.0.113.7")]
    );
}

#[test]
fn a_database_value_with_host_bits_is_refused() {
    let network = IpNetwork::new(ip("10.0.0.1"), 8).unwrap();
    assert_eq!(Cidr::from_ip_network(network).unwrap_err().code(), "host_bits_set");
}

#[test]
fn an_enclosing_network_is_cut_to_its_length() {
    assert_eq!(
        Cidr::enclosing(ip("::ffff:203.0.113.7"), 24).map(|cidr| cidr.to_string()).as_deref(),
        Some("203.0.113.0/24")
    );
}

#[test]
fn an_enclosing_length_beyond_the_family_is_none() {
    assert_eq!(Cidr::enclosing(ip("203.0.113.7"), 33), None);
}

#[test]
fn a_long_refused_entry_is_not_repeated_whole() {
    let text = Cidr::parse(&"9".repeat(10_000)).unwrap_err().to_string();
    assert!(text.len() < 300, "{text}");
}

proptest! {
    #[test]
    fn the_text_of_an_ipv4_network_is_read_back(address: u32, length in 0_u8..=32) {
        let cidr = Cidr::enclosing(IpAddr::V4(address.into()), length).unwrap();
        prop_assert_eq!(Cidr::parse(&cidr.to_string()), Ok(cidr));
    }

    #[test]
    fn the_text_of_an_ipv6_network_is_read_back(address: u128, length in 0_u8..=128) {
        let address = IpAddr::V6(address.into());
        prop_assume!(canonical_ip(address).is_ipv6());
        let cidr = Cidr::enclosing(address, length).unwrap();
        // Cut short, an address can land on the mapped range only by being all zero up to there, which it then is not.
        prop_assert_eq!(Cidr::parse(&cidr.to_string()), Ok(cidr));
    }

    #[test]
    fn the_database_value_is_read_back(address: u128, v4: bool, length in 0_u8..=32) {
        let address = if v4 { IpAddr::V4((address as u32).into()) } else { IpAddr::V6(address.into()) };
        let cidr = Cidr::enclosing(address, length).unwrap();
        prop_assert_eq!(Cidr::from_ip_network(cidr.to_ip_network()), Ok(cidr));
    }

    #[test]
    fn what_is_read_is_canonical_or_refused(entry in "[0-9a-f:./ +]{0,24}") {
        if let Ok(cidr) = Cidr::parse(&entry) {
            prop_assert_eq!(Cidr::parse(&cidr.to_string()), Ok(cidr));
        }
    }

    #[test]
    fn an_ipv4_address_is_in_a_network_where_the_leading_bits_agree(network: u32, address: u32, length in 0_u8..=32) {
        let cidr = Cidr::enclosing(IpAddr::V4(network.into()), length).unwrap();
        let agree = length == 0 || (network ^ address) >> (32 - u32::from(length)) == 0;
        prop_assert_eq!(cidr.contains(IpAddr::V4(address.into())), agree);
    }
}
