use super::*;

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn split(line: &str) -> Vec<&str> {
    Entries::of(line.as_bytes(), b',').map(|entry| std::str::from_utf8(entry).unwrap()).collect()
}

#[test]
fn entries_come_from_the_right_without_their_blanks() {
    assert_eq!(split("a ,\tb,, c "), ["c", "", "b", "a"]);
}

#[test]
fn an_empty_line_is_one_empty_entry() {
    assert_eq!(split(""), [""]);
}

#[test]
fn a_comma_inside_quotes_does_not_split() {
    assert_eq!(split(r#"for=a, by="x, \"y", for=b"#), ["for=b", r#"by="x, \"y""#, "for=a"]);
}

#[test]
fn a_quote_left_open_by_the_client_does_not_swallow_the_proxys_entry() {
    assert_eq!(split(r#"for=10.0.0.1;x=", for="[2001:db8::1]""#).first(), Some(&r#"for="[2001:db8::1]""#));
}

#[test]
fn addresses_are_read_with_or_without_port() {
    let entries = ["203.0.113.7", "203.0.113.7:4711", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:65535"];
    assert_eq!(
        entries.map(|entry| list_address(entry.as_bytes())),
        [ip("203.0.113.7"), ip("203.0.113.7"), ip("2001:db8::1"), ip("2001:db8::1"), ip("2001:db8::1")]
    );
}

#[test]
fn whatever_is_not_an_address_is_not_read() {
    let entries = [
        "",
        "unknown",
        "_hidden",
        "1.2.3.4.5",
        "1.2.3",
        "010.0.0.1",
        "203.0.113.7:",
        "203.0.113.7:x",
        "203.0.113.7:65536",
        "203.0.113.7:+1",
        "203.0.113.7:1:2",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]x",
        "[2001:db8::1]:",
        "[203.0.113.7]",
        "fe80::1%eth0",
        "\"203.0.113.7\"",
        "203.0.113.7 x",
        "localhost",
        "203.0.113.7/32",
    ];
    assert_eq!(entries.map(|entry| list_address(entry.as_bytes())), [None; 21]);
}

#[test]
fn bytes_that_are_no_text_are_not_read() {
    assert_eq!(list_address(b"203.0.113.7\xff"), None);
}

/// spec: policy P34
#[test]
fn the_for_parameter_is_read_quoted_or_not() {
    let entries = [
        r#"for="[2001:db8::1]:4711""#,
        "For=203.0.113.7",
        "proto=https;FOR=203.0.113.7:80;by=_x",
        r#"for="203.0.113.7"; host="a;b""#,
        ";for=203.0.113.7;",
    ];
    assert_eq!(
        entries.map(|entry| forwarded_address(entry.as_bytes())),
        [ip("2001:db8::1"), ip("203.0.113.7"), ip("203.0.113.7"), ip("203.0.113.7"), ip("203.0.113.7")]
    );
}

/// spec: policy P34
#[test]
fn an_element_without_one_readable_for_is_not_read() {
    let entries = [
        "for=_obf",
        "for=unknown",
        "proto=https",
        "",
        "for",
        "for=",
        "for=1.1.1.1;for=2.2.2.2",
        r#"for="203.0.113.7"#,
        r#"for="203.0.113.7\"""#,
        r#"for=203.0.113.7""#,
        "for =203.0.113.7",
        "for=203.0.113.7;x",
        "203.0.113.7",
        r#"for="""#,
    ];
    assert_eq!(entries.map(|entry| forwarded_address(entry.as_bytes())), [None; 14]);
}
