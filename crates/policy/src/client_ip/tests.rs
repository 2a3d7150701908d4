use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn known(text: &str) -> ClientAddress {
    ClientAddress::Known(ip(text))
}

fn policy(header: &str) -> ClientIpPolicy {
    let proxies = TrustedProxies::parse("10.0.0.0/8, 2001:db8:ffff::/48").unwrap();
    ClientIpPolicy::new(&proxies, HeaderKind::from_name(header).unwrap())
}

/// Behind the trusted proxy 10.0.0.1, with these lines of the configured header.
fn behind(header: &str, lines: &[&str]) -> ClientAddress {
    policy(header).resolve(Some(ip("10.0.0.1")), lines.iter().map(|line| line.as_bytes()))
}

/// spec: policy P28
#[test]
fn a_mapped_peer_is_the_ipv4_address() {
    let no_proxies = ClientIpPolicy::new(&TrustedProxies::default(), HeaderKind::x_forwarded_for());
    assert_eq!(no_proxies.resolve(Some(ip("::ffff:10.1.2.3")), [].into_iter()), known("10.1.2.3"));
}

#[test]
fn a_mapped_peer_is_a_trusted_proxy_as_ipv4() {
    assert_eq!(
        policy("x-forwarded-for").resolve(Some(ip("::ffff:10.0.0.1")), [&b"203.0.113.7"[..]].into_iter()),
        known("203.0.113.7")
    );
}

#[test]
fn a_peer_without_address_is_unknown_whatever_the_header_says() {
    assert_eq!(policy("x-forwarded-for").resolve(None, [&b"203.0.113.7"[..]].into_iter()), ClientAddress::Unknown);
}

/// spec: policy P29
#[test]
fn a_peer_that_is_not_trusted_is_the_client_whatever_the_header_says() {
    assert_eq!(
        policy("x-forwarded-for").resolve(Some(ip("198.51.100.9")), [&b"203.0.113.7"[..]].into_iter()),
        known("198.51.100.9")
    );
}

/// spec: policy P30
#[test]
fn the_rightmost_entry_that_is_not_trusted_is_the_client() {
    assert_eq!(behind("x-forwarded-for", &["203.0.113.7, 198.51.100.9"]), known("198.51.100.9"));
}

/// spec: policy P31
#[test]
fn entries_left_of_the_client_do_not_count() {
    assert_eq!(behind("x-forwarded-for", &["garbage \", , 198.51.100.9, 203.0.113.7"]), known("203.0.113.7"));
}

/// spec: policy P32
#[test]
fn an_entry_that_can_not_be_read_ends_the_walk_with_unknown() {
    let headers = ["203.0.113.7, unknown", "203.0.113.7, 1.2.3.4.5", "203.0.113.7,", "203.0.113.7, _x, 10.0.0.2", ""];
    assert_eq!(headers.map(|header| behind("x-forwarded-for", &[header])), [ClientAddress::Unknown; 5]);
}

#[test]
fn trusted_proxies_on_the_way_are_skipped() {
    assert_eq!(
        behind("x-forwarded-for", &["1.1.1.1, 203.0.113.7:99, 10.2.3.4, [2001:db8:ffff::1]:80, ::ffff:10.0.0.9"]),
        known("203.0.113.7")
    );
}

#[test]
fn where_all_are_trusted_the_leftmost_is_the_client() {
    assert_eq!(behind("x-forwarded-for", &["10.9.9.9, 10.0.0.2", "10.0.0.3"]), known("10.9.9.9"));
}

#[test]
fn without_the_header_the_trusted_peer_is_the_client() {
    assert_eq!(behind("x-forwarded-for", &[]), known("10.0.0.1"));
}

#[test]
fn lines_are_walked_as_if_joined_in_their_order() {
    assert_eq!(behind("x-forwarded-for", &["203.0.113.7", "198.51.100.9", "10.0.0.2"]), known("198.51.100.9"));
}

#[test]
fn fifty_entries_are_walked_and_fifty_one_are_unknown() {
    let header = |count: usize| format!("203.0.113.7{}", ",10.0.0.2".repeat(count - 1));
    assert_eq!(
        [50, 51].map(|count| behind("x-forwarded-for", &[&header(count)])),
        [known("203.0.113.7"), ClientAddress::Unknown]
    );
}

#[test]
fn fifty_one_lines_are_unknown() {
    assert_eq!(behind("x-forwarded-for", &["203.0.113.7"; 51]), ClientAddress::Unknown);
}

#[test]
fn a_header_over_four_kibibytes_is_unknown() {
    let header = |length: usize| format!("{}203.0.113.7", " ".repeat(length - 11));
    assert_eq!(
        [4096, 4097].map(|length| behind("x-forwarded-for", &[&header(length)])),
        [known("203.0.113.7"), ClientAddress::Unknown]
    );
}

/// spec: policy P34
#[test]
fn forwarded_is_read_where_it_is_configured() {
    let headers = [
        r#"for=198.51.100.9, For="[2001:db8::1]:4711";proto=https"#,
        "for=203.0.113.7, for=_obf",
        r#"for=203.0.113.7;x=", for=198.51.100.9"#,
        "203.0.113.7",
    ];
    assert_eq!(
        headers.map(|header| behind("Forwarded", &[header])),
        [known("2001:db8::1"), ClientAddress::Unknown, known("198.51.100.9"), ClientAddress::Unknown]
    );
}

/// A request through the trusted proxy 10.0.0.1 with all these headers, of which the policy names the one to read.
fn request(header: &str, headers: &[(&str, &'static str)]) -> ClientAddress {
    let policy = policy(header);
    let lines = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(policy.header().name()));
    policy.resolve(Some(ip("10.0.0.1")), lines.map(|(_, value)| value.as_bytes()))
}

/// spec: policy P33
#[test]
fn only_the_configured_one_of_two_headers_is_read() {
    let headers = [("Forwarded", "for=198.51.100.9"), ("X-Forwarded-For", "203.0.113.7")];
    assert_eq!(
        ["X-Forwarded-For", "forwarded"].map(|header| request(header, &headers)),
        [known("203.0.113.7"), known("198.51.100.9")]
    );
}

/// spec: policy P35
#[test]
fn a_header_that_is_not_configured_is_not_read() {
    let headers = [("CF-Connecting-IP", "198.51.100.9"), ("X-Real-IP", "198.51.100.9")];
    assert_eq!(request("x-forwarded-for", &headers), known("10.0.0.1"));
}

#[test]
fn a_header_of_a_single_address_is_read_as_a_list_of_one() {
    assert_eq!(behind("cf-connecting-ip", &["203.0.113.7"]), known("203.0.113.7"));
}

#[test]
fn a_name_that_no_header_has_is_refused() {
    assert_eq!(["", "x forwarded", "x:y", "x\r\n", "ä"].map(|name| HeaderKind::from_name(name).is_err()), [true; 5]);
}

#[test]
fn loopback_is_trusted_at_forward_auth_where_no_proxies_are_configured() {
    let no_proxies = ClientIpPolicy::new(&TrustedProxies::default(), HeaderKind::x_forwarded_for());
    let peers = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "10.0.0.1"];
    assert_eq!(
        peers.map(|peer| (no_proxies.is_trusted(ip(peer)), no_proxies.with_loopback().is_trusted(ip(peer)))),
        [(false, true), (false, true), (false, true), (false, true), (false, false)]
    );
}

#[test]
fn loopback_is_not_trusted_at_forward_auth_where_proxies_are_configured() {
    assert!(!policy("x-forwarded-for").with_loopback().is_trusted(ip("127.0.0.1")));
}

#[test]
fn no_text_is_no_trusted_proxy() {
    assert_eq!(["", "  "].map(TrustedProxies::parse), [const { Ok(TrustedProxies(Vec::new())) }; 2]);
}

#[test]
fn a_trusted_proxy_that_can_not_be_read_is_named_by_its_place() {
    assert_eq!(
        TrustedProxies::parse("10.0.0.0/8,10.0.0.1/8").unwrap_err().to_string(),
        "trusted proxy 2: `10.0.0.1/8` has bits set behind its length; write `10.0.0.0/8`"
    );
}

#[test]
fn an_empty_trusted_proxy_between_commas_is_refused() {
    assert_eq!(["10.0.0.0/8,", ",", "a,,b"].map(|text| TrustedProxies::parse(text).is_err()), [true; 3]);
}

#[test]
fn trusted_proxies_may_be_of_any_width() {
    assert!(TrustedProxies::parse("0.0.0.0/0").is_ok());
}

#[test]
fn an_address_given_outright_is_canonical() {
    assert_eq!(ClientAddress::from(Some(ip("::ffff:10.1.2.3"))), known("10.1.2.3"));
}

proptest! {
    /// The walk said with a list: cut what is trusted off the right end and look at what then stands there.
    #[test]
    fn the_walk_agrees_with_cutting_trusted_entries_off_the_right(
        entries in proptest::collection::vec(
            prop::sample::select(vec!["10.0.0.2", "10.0.0.3:80", "203.0.113.7", "198.51.100.9", "[2001:db8::1]:1", "unknown", "", "1.2.3.4.5"]),
            1..12,
        ),
        lines in proptest::collection::vec(any::<bool>(), 12),
        blanks in prop::sample::select(vec!["", " ", "\t "]),
    ) {
        let mut header = vec![String::new()];
        for (at, entry) in entries.iter().enumerate() {
            match header.last_mut() {
                Some(line) if at > 0 && lines[at] => *line += &format!(",{blanks}{entry}"),
                Some(line) if at == 0 => *line += entry,
                _ => header.push((*entry).to_owned()),
            }
        }
        let rest: Vec<&str> = {
            let mut rest = entries.clone();
            while rest.last().is_some_and(|entry| entry.starts_with("10.")) {
                rest.pop();
            }
            rest
        };
        let expected = match rest.last() {
            None => known(entries[0].split(':').next().unwrap()),
            Some(&"[2001:db8::1]:1") => known("2001:db8::1"),
            Some(entry) => entry.parse().map_or(ClientAddress::Unknown, ClientAddress::Known),
        };
        let lines: Vec<&str> = header.iter().map(String::as_str).collect();
        prop_assert_eq!(behind("x-forwarded-for", &lines), expected);
    }

    #[test]
    fn any_bytes_are_read_without_panic(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..5), forwarded: bool) {
        let header = if forwarded { "forwarded" } else { "x-forwarded-for" };
        let client = policy(header).resolve(Some(ip("10.0.0.1")), lines.iter().map(Vec::as_slice));
        prop_assert!(client == known("10.0.0.1") || !lines.is_empty());
    }

    #[test]
    fn what_a_client_puts_in_front_never_changes_who_it_is(front in "[ -~]{0,60}", forwarded: bool) {
        let (header, entry) = if forwarded { ("forwarded", "for=\"203.0.113.7\"") } else { ("x-forwarded-for", "203.0.113.7") };
        prop_assert_eq!(behind(header, &[&format!("{front}, {entry}")]), known("203.0.113.7"));
    }
}
