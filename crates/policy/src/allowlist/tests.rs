use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn list(entries: &[&str]) -> Allowlist {
    Allowlist::parse(entries, AllowAny::Yes).unwrap()
}

fn refused(entry: &str) -> &'static str {
    Allowlist::parse(&[entry], AllowAny::No).unwrap_err().code()
}

fn texts(list: &Allowlist) -> Vec<String> {
    list.entries().iter().map(ToString::to_string).collect()
}

/// spec: policy P22
#[test]
fn everything_is_refused_in_whatever_spelling() {
    let entries = ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96", "0:0:0:0:0:0:0:0/0"];
    assert_eq!(entries.map(refused), ["allows_everything"; 4]);
}

/// spec: policy P22
#[test]
fn everything_is_accepted_when_any_width_is_allowed() {
    assert!(list(&["0.0.0.0/0"]).allows_everything());
}

/// spec: policy P23
#[test]
fn a_wide_network_is_refused() {
    assert_eq!(["10.0.0.0/7", "0.0.0.0/1", "2001:db8::/31", "::ffff:10.0.0.0/103"].map(refused), ["too_wide"; 4]);
}

#[test]
fn the_widest_networks_that_need_no_permission_are_accepted() {
    assert!(Allowlist::parse(&["10.0.0.0/8", "2001:db8::/32"], AllowAny::No).is_ok());
}

#[test]
fn a_wide_network_is_told_apart_when_allowed() {
    let lists = [list(&["10.0.0.0/7"]), list(&["10.0.0.0/8"]), list(&["2001::/31"])];
    assert_eq!(lists.map(|list| list.is_wide()), [true, false, true]);
}

#[test]
fn halves_that_make_up_a_family_allow_everything() {
    assert!(list(&["0.0.0.0/1", "128.0.0.0/1"]).allows_everything());
}

/// spec: policy P24
#[test]
fn a_private_network_is_accepted_and_told_apart() {
    let given = Allowlist::parse(&["203.0.113.0/24", "192.168.0.0/16"], AllowAny::No).unwrap();
    assert!(given.has_private());
}

/// spec: policy P25
#[test]
fn an_entry_given_twice_is_kept_once_in_the_order_given() {
    let given = list(&["203.0.113.7", "10.0.0.0/8", "::ffff:203.0.113.7/128", "10.0.0.0/8"]);
    assert_eq!(texts(&given), ["203.0.113.7/32", "10.0.0.0/8"]);
}

/// spec: policy P26
#[test]
fn fifty_entries_are_accepted() {
    let entries: Vec<String> = (0..50).map(|n| format!("203.0.113.{n}")).collect();
    assert!(Allowlist::parse(&entries, AllowAny::No).is_ok());
}

/// spec: policy P26
#[test]
fn fifty_one_entries_are_refused_even_if_they_repeat() {
    let entries = vec!["203.0.113.7"; 51];
    assert_eq!(Allowlist::parse(&entries, AllowAny::No), Err(AllowlistError::TooMany { given: 51 }));
}

/// spec: policy P27
#[test]
fn an_empty_list_is_refused_and_null_is_named() {
    assert_eq!(
        Allowlist::parse::<&str>(&[], AllowAny::Yes).unwrap_err().to_string(),
        "the list is empty; use null for any address"
    );
}

#[test]
fn every_bad_entry_is_reported_with_its_place() {
    let entries = ["10.0.0.0/8", "10.0.0.1/8", "203.0.113.7", "x", "0.0.0.0/0"];
    let AllowlistError::Entries(errors) = Allowlist::parse(&entries, AllowAny::No).unwrap_err() else { panic!() };
    let found: Vec<_> = errors.iter().map(|error| (error.index, error.source.code())).collect();
    assert_eq!(found, [(1, "host_bits_set"), (3, "invalid_cidr"), (4, "allows_everything")]);
}

#[test]
fn allowing_any_width_does_not_allow_bad_spelling() {
    assert_eq!(Allowlist::parse(&["10.0.0.1/7"], AllowAny::Yes).unwrap_err().code(), "host_bits_set");
}

/// spec: policy P28
#[test]
fn a_mapped_client_is_on_the_list_of_its_ipv4_network() {
    assert!(list(&["10.0.0.0/8"]).contains(ip("::ffff:10.1.2.3")));
}

#[test]
fn a_list_of_no_network_contains_nothing() {
    let empty = Allowlist::from_cidrs(Vec::new());
    assert_eq!([ip("10.0.0.1"), ip("::1"), ip("0.0.0.0")].map(|ip| empty.contains(ip)), [false; 3]);
}

#[test]
fn all_of_ipv6_does_not_let_ipv4_in() {
    assert!(!list(&["::/0"]).contains(ip("10.0.0.1")));
}

#[test]
fn overlapping_and_adjacent_networks_are_one_range() {
    let compiled =
        list(&["10.0.0.0/9", "10.128.0.0/9", "10.1.0.0/16", "255.0.0.0/8", "255.255.0.0/16", "::/1", "8000::/1"]);
    assert_eq!(compiled.ranges.counts(), (2, 1));
}

#[test]
fn the_edges_of_a_network_are_on_the_list_and_their_neighbours_are_not() {
    let given = list(&["203.0.113.64/26"]);
    let edges = ["203.0.113.63", "203.0.113.64", "203.0.113.127", "203.0.113.128"];
    assert_eq!(edges.map(|edge| given.contains(ip(edge))), [false, true, true, false]);
}

/// What the list means, said with masks and a walk.
fn naive(entries: &[(bool, u128, u8)], v4: bool, address: u128) -> bool {
    entries.iter().any(|(entry_v4, network, length)| {
        let width = if v4 { 32 } else { 128 };
        *entry_v4 == v4 && (*length == 0 || (network ^ address) >> (width - u32::from(*length)) == 0)
    })
}

fn address(v4: bool, bits: u128) -> IpAddr {
    if v4 { IpAddr::V4((bits as u32).into()) } else { IpAddr::V6(bits.into()) }
}

/// Networks and addresses that lie close together, so that they overlap, touch and just miss.
fn close_by() -> impl Strategy<Value = (bool, u128)> {
    (any::<bool>(), prop_oneof![0_u128..64, any::<u128>(), (0_u128..64).prop_map(|n| u128::MAX - n)]).prop_map(
        |(v4, bits)| {
            // Outside of the mapped range, whose members are of the other family.
            if v4 {
                (true, bits & 0xffff_ffff)
            } else {
                (false, if bits >> 32 == 0xffff { bits | 1 << 127 } else { bits })
            }
        },
    )
}

proptest! {
    #[test]
    fn the_compiled_list_agrees_with_a_walk_over_masks(
        networks in proptest::collection::vec((close_by(), 0_u8..=128), 0..40),
        probes in proptest::collection::vec(close_by(), 1..40),
        own in any::<proptest::sample::Index>(),
    ) {
        let entries: Vec<(bool, u128, u8)> = networks
            .into_iter()
            .map(|((v4, bits), length)| {
                let width = if v4 { 32 } else { 128 };
                // Mostly long networks: short ones would swallow every probe.
                let length = if length < 8 { length } else { width - length % 12 };
                (v4, bits, length)
            })
            .collect();
        let cidrs: Vec<Cidr> = entries
            .iter()
            .map(|(v4, bits, length)| Cidr::enclosing(address(*v4, *bits), *length).unwrap())
            .collect();
        let list = Allowlist::from_cidrs(cidrs);
        let mut probes = probes;
        if !entries.is_empty() {
            let (v4, bits, _) = entries[own.index(entries.len())];
            probes.push((v4, bits));
        }
        let compiled: Vec<bool> = probes.iter().map(|(v4, bits)| list.contains(address(*v4, *bits))).collect();
        let walked: Vec<bool> = probes.iter().map(|(v4, bits)| naive(&entries, *v4, *bits)).collect();
        prop_assert_eq!(compiled, walked);
    }

    #[test]
    fn a_list_is_read_back_from_its_entries(
        networks in proptest::collection::vec((close_by(), 8_u8..=32), 1..50),
    ) {
        let cidrs = networks.iter().map(|((v4, bits), length)| Cidr::enclosing(address(*v4, *bits), *length).unwrap());
        let list = Allowlist::from_cidrs(cidrs.collect());
        prop_assert_eq!(Allowlist::parse(&texts(&list), AllowAny::Yes), Ok(list));
    }
}
