use proptest::prelude::*;

use super::*;

fn canonical(raw: &str) -> Result<String, PathError> {
    CanonicalPath::parse(raw).map(|path| path.as_str().to_owned())
}

fn ok(raw: &str) -> String {
    canonical(raw).unwrap()
}

#[test]
fn a_canonical_path_is_borrowed() {
    let path = CanonicalPath::parse("/api/v1/checks/%2B/x?a=b").unwrap();
    assert!(matches!(path.0, Cow::Borrowed("/api/v1/checks/%2B/x")));
}

/// spec: policy P14
#[test]
fn harmless_spellings_have_one_form() {
    let raw = ["/api/v1/checks", "/api/v1/checks/", "/api/v1/%63hecks", "/api/v1/checks?x=/../", "/api/v1/checks#/../"];
    assert_eq!(raw.map(ok), ["/api/v1/checks"; 5]);
}

/// spec: policy P15
#[test]
fn paths_with_two_readings_are_refused() {
    let raw = [
        "/api/v1//checks",
        "/api/v1/checks/../incidents",
        "/api/v1/checks/%2e%2e/incidents",
        "/api/v1/checks%2f..%2fincidents",
    ];
    assert_eq!(
        raw.map(canonical),
        [
            Err(PathError::EmptySegment),
            Err(PathError::DotSegment),
            Err(PathError::DotSegment),
            Err(PathError::ForbiddenEscape)
        ]
    );
}

#[test]
fn the_root_is_a_path_without_segments() {
    let raw = ["/", "/?x", "http://api.example.com/"];
    assert_eq!(
        raw.map(|raw| (ok(raw), CanonicalPath::parse(raw).unwrap().segments().count())),
        [const { "/" }; 3].map(|root| (root.to_owned(), 0))
    );
}

#[test]
fn an_absolute_form_uri_is_reduced_to_its_path() {
    assert_eq!(
        ["http://api.example.com/api/v1", "HTTPS://a:b@[::1]:443/api/v1/?x", "https://h/a%2Db"].map(ok),
        ["/api/v1", "/api/v1", "/a-b"]
    );
}

#[test]
fn what_does_not_begin_with_a_slash_is_refused() {
    let raw = [
        "",
        "*",
        "api/v1",
        "?/api",
        "#/api",
        "http://host",
        "http:///api",
        "://host/api",
        "1x://host/api",
        "%2Fapi",
        "api.example.com:443",
        "http:/api",
    ];
    assert_eq!(raw.map(canonical), [const { Err(PathError::NotAbsolute) }; 12]);
}

#[test]
fn empty_segments_are_refused_but_for_one_closing_slash() {
    let raw = ["//", "//api", "/api//", "//host/api", "/api//v1", "http://host//api"];
    assert_eq!(raw.map(canonical), [const { Err(PathError::EmptySegment) }; 6]);
}

#[test]
fn dot_segments_are_refused_in_every_spelling() {
    let raw = [
        "/.",
        "/..",
        "/./",
        "/a/.",
        "/a/../b",
        "/%2e",
        "/.%2E/b",
        "/a/..;/b",
        "/a/.;x=1/b",
        "/a/%2e%2e;x",
        "/a/..%3bx/b",
        "/a/;/../b",
    ];
    assert_eq!(raw.map(canonical), [const { Err(PathError::DotSegment) }; 12]);
}

#[test]
fn dots_within_a_name_are_kept() {
    assert_eq!(
        ["/a/...", "/.well-known/x", "/a/..b", "/a/b..", "/a/;.."].map(ok),
        ["/a/...", "/.well-known/x", "/a/..b", "/a/b..", "/a/;.."]
    );
}

#[test]
fn characters_that_servers_read_differently_are_refused() {
    let raw = ["/a b", "/a\tb", "/a\\b", "/a\0", "/a\r\n", "/ä", "/a\u{7f}", "/\u{ff0f}a", " /a", "ht tp://h/a"];
    assert_eq!(raw.map(canonical), [const { Err(PathError::Character) }; 10]);
}

#[test]
fn escaped_separators_and_control_characters_are_refused() {
    let raw = ["/a%2fb", "/a%2F", "/a%5cb", "/a%5C", "/a%25", "/%252e%252e", "/a%00", "/a%0d%0a", "/a%1F", "/a%7f"];
    assert_eq!(raw.map(canonical), [const { Err(PathError::ForbiddenEscape) }; 10]);
}

#[test]
fn broken_escapes_are_refused() {
    let raw = ["/%", "/a%4", "/a%4/b", "/%gg", "/%%41", "/% 41".trim_end(), "/a%-1"].map(|raw| raw.replace(' ', "+"));
    assert_eq!(raw.each_ref().map(|raw| canonical(raw)), [const { Err(PathError::BrokenEscape) }; 7]);
}

#[test]
fn escapes_that_remain_are_in_upper_case() {
    assert_eq!(ok("/a%20%c3%a4%3a%7Eb"), "/a%20%C3%A4%3A~b");
}

#[test]
fn case_is_kept() {
    assert_eq!(ok("/API/v1"), "/API/v1");
}

#[test]
fn eight_kibibytes_are_read_and_one_byte_more_is_not() {
    let longest = format!("/{}", "a".repeat(MAX_PATH_BYTES - 1));
    let results = [canonical(&format!("{longest}?{longest}")).is_ok(), canonical(&format!("{longest}a")).is_ok()];
    assert_eq!(results, [true, false]);
}

/// The same rules said slowly: byte by byte, segment by segment, with allocation.
fn naive(raw: &str) -> Option<String> {
    let end = raw.find(['?', '#']).unwrap_or(raw.len());
    let bytes = &raw.as_bytes()[..end];
    if bytes.first() != Some(&b'/') || bytes.iter().any(|b| *b <= b' ' || *b >= 127 || *b == b'\\') {
        return None;
    }
    let mut segments: Vec<String> = vec![];
    for segment in bytes[1..].split(|b| *b == b'/') {
        let mut out = String::new();
        let mut at = 0;
        while at < segment.len() {
            if segment[at] == b'%' {
                let digits = segment.get(at + 1..at + 3)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                let byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
                match byte {
                    0..=31 | 127 | b'/' | b'\\' | b'%' => return None,
                    b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => out.push(b.into()),
                    b => out.push_str(&format!("%{b:02X}")),
                }
                at += 3;
            } else {
                out.push(segment[at].into());
                at += 1;
            }
        }
        let name = out.replace("%3B", ";");
        if name == "." || name == ".." || name.starts_with(".;") || name.starts_with("..;") {
            return None;
        }
        segments.push(out);
    }
    if segments.len() > 1 && segments.last().is_some_and(String::is_empty) {
        segments.pop();
    }
    if segments.iter().any(String::is_empty) && segments.len() > 1 || segments == [""] && bytes.len() > 1 {
        return None;
    }
    Some(format!("/{}", segments.join("/")))
}

/// Paths made of what hurts.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-cA-C]{1,3}",
        2 => Just("/".to_owned()),
        1 => prop::sample::select(vec![
            ".", "..", ";", "%2e", "%2E", "%2f", "%63", "%3b", "%3B", "%", "%4", "%C3", "%c3", "%25", "%00", "?", "#", " ", "\\", ":", "//",
            "/./", "/../", "%7E", "%7f", "ä", "~", "+", "%20",
        ]).prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_one_form_agrees_with_a_slow_reading(raw in nasty()) {
        prop_assert_eq!(canonical(&raw).ok(), naive(&raw));
    }

    #[test]
    fn the_one_form_is_its_own_form(raw in nasty()) {
        if let Ok(path) = canonical(&raw) {
            prop_assert_eq!(canonical(&path), Ok(path.clone()));
        }
    }

    #[test]
    fn the_one_form_leaves_nothing_to_interpret(raw in nasty()) {
        if let Ok(path) = canonical(&raw) {
            let dots = path.split('/').any(|segment| segment == "." || segment == "..");
            let needless = (0_u8..128).filter(|b| is_unreserved(*b)).any(|b| path.contains(&format!("%{b:02X}")));
            let lower = path.split('%').skip(1).any(|rest| rest.bytes().take(2).any(|b| b.is_ascii_lowercase()));
            prop_assert_eq!((path.contains("//"), dots, needless, lower, path.contains(['?', '#'])), (false, false, false, false, false));
        }
    }

    #[test]
    fn any_text_is_read_or_refused_without_panic(raw in any::<String>()) {
        prop_assert!(canonical(&raw).is_ok_and(|path| path.starts_with('/')) || canonical(&raw).is_err());
    }
}
