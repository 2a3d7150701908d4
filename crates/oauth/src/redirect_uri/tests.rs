use super::*;
use crate::{
    app::App,
    authorize::AuthorizeRequest,
    fixtures::{R, app, public_app},
};

mod properties;

const LOOP: &str = "http://127.0.0.1/cb";

/// Whether a request with this `redirect_uri`, as it stands in the query, ends at a page instead of at the app.
fn ends_at_a_page(app: &App, raw: &str) -> bool {
    let query = format!("client_id={}&redirect_uri={raw}", app.client_id.as_str());
    AuthorizeRequest::parse(query.as_bytes()).target(Some(app)).is_err()
}

fn registered(text: &str) -> RedirectUri {
    RedirectUri::from_stored(text.to_owned())
}

fn code(text: &str, kind: AppKind) -> &'static str {
    RedirectUri::register(text, kind).map_or_else(RedirectUriError::code, |_| "registered")
}

fn for_confidential(text: &str) -> &'static str {
    code(text, AppKind::Confidential)
}

fn for_public(text: &str) -> &'static str {
    code(text, AppKind::Public)
}

/// spec: oauth C1
#[test]
fn a_trailing_slash_is_another_address() {
    assert!(ends_at_a_page(&app(), "https://app.example/cb/"));
}

/// spec: oauth C2
#[test]
fn a_path_in_another_case_is_another_address() {
    assert!(ends_at_a_page(&app(), "https://app.example/CB"));
}

/// spec: oauth C3
#[test]
fn a_host_in_another_case_is_another_address() {
    assert!(ends_at_a_page(&app(), "https://APP.example/cb"));
}

/// spec: oauth C6
#[test]
fn a_fragment_makes_another_address() {
    assert_eq!(["%23f", "%23", "#f"].map(|tail| ends_at_a_page(&app(), &format!("{R}{tail}"))), [true; 3]);
}

/// spec: oauth C9
#[test]
fn userinfo_makes_another_address() {
    let tricks = [
        "https://app.example@evil.example/cb",
        "https://evil.example\\@app.example/cb",
        "https://evil.example%5C@app.example/cb",
        "https://evil.example%5c%40app.example/cb",
        "https://@app.example/cb",
        "https://:@app.example/cb",
        "https://app.example:443@evil.example/cb",
    ];
    assert_eq!(tricks.map(|raw| ends_at_a_page(&app(), raw)), [true; 7]);
}

/// spec: oauth C11
#[test]
fn plain_http_is_another_address() {
    assert!(ends_at_a_page(&app(), "http://app.example/cb"));
}

/// spec: oauth C12
#[test]
fn a_script_is_no_address() {
    let tricks = ["javascript:alert(1)", "data:text/html,x", "javascript://app.example/cb", "vbscript:x", "blob:x"];
    assert_eq!(tricks.map(|raw| ends_at_a_page(&app(), raw)), [true; 5]);
}

/// spec: oauth C13
#[test]
fn a_line_break_makes_another_address() {
    assert!(ends_at_a_page(&app(), "https://app.example/cb%0d%0aSet-Cookie:%20a=b"));
}

/// spec: oauth C16
#[test]
fn a_registered_loopback_address_matches_any_port() {
    assert!(!ends_at_a_page(&public_app(LOOP), "http://127.0.0.1:51004/cb"));
}

/// spec: oauth C17
#[test]
fn a_registered_loopback_address_of_ip_version_6_matches_any_port() {
    assert!(!ends_at_a_page(&public_app("http://[::1]/cb"), "http://[::1]:51004/cb"));
}

/// spec: oauth C18
#[test]
fn localhost_is_not_the_loopback_address() {
    assert!(ends_at_a_page(&public_app(LOOP), "http://localhost:51004/cb"));
}

/// spec: oauth C21
#[test]
fn what_could_lead_elsewhere_can_not_be_registered() {
    let long = format!("{R}?{}", "x".repeat(LONGEST));
    let texts = [
        "http://app.example/cb",
        "https://*.example/cb",
        "https://app.example/cb#x",
        "javascript:alert(1)",
        "/cb",
        "https://user@app.example/cb",
        &long,
        "https://app.example/c\nb",
    ];
    let refused = [
        "redirect_uri_scheme",
        "redirect_uri_wildcard",
        "redirect_uri_fragment",
        "redirect_uri_scheme",
        "redirect_uri_not_absolute",
        "redirect_uri_userinfo",
        "redirect_uri_too_long",
        "redirect_uri_characters",
    ];
    assert_eq!(texts.map(for_confidential), refused);
}

/// spec: oauth C22
#[test]
fn a_registered_query_is_kept_and_extended() {
    let parameters = [("code", "sp_ac_x"), ("state", "a b&c"), ("iss", "https://auth.example")];
    assert_eq!(
        with_parameters("https://app.example/cb?tenant=7", &parameters),
        "https://app.example/cb?tenant=7&code=sp_ac_x&state=a+b%26c&iss=https%3A%2F%2Fauth.example"
    );
}

#[test]
fn the_registered_address_matches_itself() {
    assert!(!ends_at_a_page(&app(), R));
}

#[test]
fn an_encoded_address_is_decoded_once() {
    assert!(!ends_at_a_page(&app(), "https%3A%2F%2Fapp%2Eexample%2F%63b"));
}

#[test]
fn near_misses_of_the_registered_address_are_others() {
    let tricks = [
        "",
        "https://app.example",
        "https://app.example/",
        "https://app.example/c",
        "https://app.example/cbx",
        "https://app.example/cb%252F",
        "https://app.example/c%2562",
        "https://app.example/%252e/cb",
        "https://app.example//cb",
        "https://app.example/./cb",
        "https://app.example/x/../cb",
        "https://app.example/cb/..",
        "https://app.example/cb;x",
        "https://app.example/cb?",
        "https://app.example/cb?x=1",
        "https://app.example/cb%3Fx=1",
        "https://app.example/cb%26x=1",
        "https://app.example/cb+",
        "+https://app.example/cb",
        "https://app.example/cb%09",
        "https://app.example/cb%0A",
        "https://app.example/cb%7F",
        "https://app.example/cb%C2%A0",
        "https://app.example/cb%00",
        "https://app.example/cb%FF",
        "https://app.example/cb%",
        "https://app.example:443/cb",
        "https://app.example:/cb",
        "https://app.example:8443/cb",
        "https://app.example./cb",
        "https://www.app.example/cb",
        "https://app.example.evil.example/cb",
        "https://evilapp.example/cb",
        "https://app%E3%80%82example/cb",
        "https://%61pp.example/cb%20",
        "https://%EF%BD%81pp.example/cb",
        "https:app.example/cb",
        "https:/app.example/cb",
        "https:///app.example/cb",
        "https:\\\\app.example\\cb",
        "HTTPS://app.example/cb",
        "//app.example/cb",
        "app.example/cb",
        "/cb",
        "wss://app.example/cb",
        "view-source:https://app.example/cb",
    ];
    assert_eq!(tricks.into_iter().find(|raw| !ends_at_a_page(&app(), raw)), None);
}

#[test]
fn what_looks_like_the_loopback_address_is_not() {
    let tricks = [
        "https://127.0.0.1/cb",
        "https://127.0.0.1:51004/cb",
        "http://127.0.0.2/cb",
        "http://127.0.0.2:51004/cb",
        "http://127.1/cb",
        "http://127.1:51004/cb",
        "http://2130706433/cb",
        "http://0x7f000001/cb",
        "http://0177.0.0.1/cb",
        "http://127.000.000.001/cb",
        "http://127.0.0.1./cb",
        "http://127.0.0.1.evil.example/cb",
        "http://0.0.0.0:51004/cb",
        "http://[::1]:51004/cb",
        "http://[::ffff:127.0.0.1]:51004/cb",
        "http://[0:0:0:0:0:0:0:1]/cb",
        "http://localhost/cb",
        "http://u@127.0.0.1:51004/cb",
        "http://127.0.0.1:51004@evil.example/cb",
        "http://127.0.0.1@evil.example/cb",
        "http://127.0.0.1:51004/",
        "http://127.0.0.1:51004/cb/",
        "http://127.0.0.1:51004/CB",
        "http://127.0.0.1:51004/cb?x=1",
        "http://127.0.0.1:51004/cb%23f",
        "http://127.0.0.1:51004cb",
        "http://127.0.0.1:51004%5Ccb",
        "HTTP://127.0.0.1:51004/cb",
        "http:127.0.0.1:51004/cb",
        "http:///127.0.0.1:51004/cb",
    ];
    assert_eq!(tricks.into_iter().find(|raw| !ends_at_a_page(&public_app(LOOP), raw)), None);
}

#[test]
fn a_port_is_a_decimal_number_from_1_to_65535() {
    let ports = ["", "0", "00", "080", "65536", "99999", "+80", "-1", "8%20", "0x50", "8e1", "%D9%A8", "80:80"];
    let matched = |port: &&str| !ends_at_a_page(&public_app(LOOP), &format!("http://127.0.0.1:{port}/cb"));
    assert_eq!(ports.iter().find(|port| matched(port)), None);
}

#[test]
fn a_loopback_address_registered_with_a_port_matches_another_one_or_none() {
    let app = public_app("http://127.0.0.1:8000/cb");
    assert_eq!(["http://127.0.0.1:9000/cb", LOOP].map(|raw| ends_at_a_page(&app, raw)), [false; 2]);
}

#[test]
fn a_loopback_address_keeps_its_query() {
    let uri = registered("http://127.0.0.1?tenant=7");
    let presented = ["http://127.0.0.1:1?tenant=7", "http://127.0.0.1:1?tenant=8", "http://127.0.0.1:1/?tenant=7"];
    assert_eq!(presented.map(|text| uri.matches(text, false)), [true, false, false]);
}

#[test]
fn localhost_has_one_port_unless_the_app_says_otherwise() {
    let uri = registered("http://localhost/cb");
    assert_eq!([false, true].map(|any| uri.matches("http://localhost:51004/cb", any)), [false, true]);
}

#[test]
fn any_port_on_localhost_makes_no_other_host_match() {
    let uri = registered("http://localhost/cb");
    let presented = ["http://127.0.0.1:51004/cb", "http://[::1]:51004/cb", "http://localhost.evil.example/cb"];
    assert!(!presented.iter().any(|text| uri.matches(text, true)));
}

#[test]
fn another_port_of_an_https_address_never_matches() {
    let uri = registered("https://localhost/cb");
    assert!(!uri.matches("https://localhost:8443/cb", true));
}

#[test]
fn the_first_difference_is_that_from_the_nearest_registered_address() {
    let uris = ["https://a.example/cb", "https://app.example/cb"].map(registered);
    assert_eq!(find(&uris, "https://app.example/ct", false), Err(Mismatch { first_difference: 21 }));
}

#[test]
fn the_first_difference_of_a_longer_text_is_the_end_of_the_shorter() {
    assert_eq!([first_difference("ab", "abc"), first_difference("abc", "ab")], [2, 2]);
}

#[test]
fn an_app_without_addresses_matches_none() {
    assert_eq!(find(&[], R, true), Err(Mismatch { first_difference: 0 }));
}

#[test]
fn ordinary_addresses_can_be_registered() {
    let texts = [
        R,
        "https://app.example",
        "https://app.example?tenant=7",
        "https://app.example:8443/cb?a=b&c=%20",
        "https://APP.example/cb",
        "https://xn--bcher-kva.example/@me/cb",
        "https://203.0.113.7/cb",
        "https://[2001:db8::1]:8443/cb",
        "https://localhost/cb",
        "http://127.0.0.1",
        "http://127.0.0.1:8000/cb",
        "http://[::1]/cb",
    ];
    assert_eq!(texts.into_iter().find(|text| for_confidential(text) != "registered"), None);
}

#[test]
fn localhost_and_private_schemes_are_for_public_apps() {
    let texts = [
        "http://localhost/cb",
        "http://localhost:8000",
        "com.example.app:/cb",
        "com.example.app:/cb?to=a://b@c",
        "com.example.app://cb",
        "com.example.app://oauth.example:8000/cb?to=a://b@c",
        "com.example.app:///cb",
    ];
    let judged = texts.map(|text| [for_public(text), for_confidential(text)]);
    assert_eq!(judged, [["registered", "redirect_uri_scheme"]; 7]);
}

/// As in the other forms, `//` begins an authority (RFC 3986 §3.2).
#[test]
fn what_follows_a_private_scheme_is_judged_like_any_other_address() {
    let texts = [
        "com.example.app://user@cb",
        "com.example.app://@cb",
        "com.example.app://cb#x",
        "com.example.app://*.cb",
        "com.example.app://a;b/cb",
        "com.example.app://cb:0/x",
        "com.example.app://cb?code=1",
    ];
    let refused = [
        "redirect_uri_userinfo",
        "redirect_uri_userinfo",
        "redirect_uri_fragment",
        "redirect_uri_wildcard",
        "redirect_uri_host",
        "redirect_uri_port",
        "redirect_uri_parameter",
    ];
    assert_eq!(texts.map(for_public), refused);
}

#[test]
fn other_schemes_can_not_be_registered() {
    let texts = [
        "ftp://app.example/cb",
        "file:///etc/passwd",
        "data:text/html,x",
        "blob:https://app.example/x",
        "about:blank",
        "mailto:a",
        "urn:ietf:wg:oauth:2.0:oob",
        "myapp:/cb",
        "HTTPS://app.example/cb",
        "https:app.example/cb",
        "https:/app.example/cb",
        "com.example.app:cb",
        "com.example.app:?cb",
        "com.example.app://",
        "com.example.app://?cb",
        "com..app:/cb",
        "Com.example.app:/cb",
        "com.example+app:/cb",
        "http://app.example/cb",
        "http://127.0.0.2/cb",
        "http://127.1/cb",
        "http://127.0.0.1:080/cb",
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://[::ffff:127.0.0.1]/cb",
        "http://localhost.evil.example/cb",
        "http://LOCALHOST/cb",
    ];
    assert_eq!(texts.into_iter().find(|text| for_public(text) != "redirect_uri_scheme"), None);
}

#[test]
fn a_host_in_an_unusual_spelling_can_not_be_registered() {
    let texts = [
        "https:///app.example/cb",
        "https:////app.example/cb",
        "https:///@app.example/cb",
        "https://%61pp.example/cb",
        "https://0x7f.1/cb",
        "https://127.1/cb",
        "https://2130706433/cb",
        "https://[0:0:0:0:0:0:0:1]/cb",
        "https://[::ffff:127.0.0.1]/cb",
        "https://a;b.example/cb",
        "https://a,b.example/cb",
        "https://a'b.example/cb",
        "https://a&b.example/cb",
        "https://a$b.example/cb",
        "https://app..example/cb",
        "https://.app.example/cb",
        "https://app.example./cb",
        "https://./cb",
        "https://-app.example/cb",
        "https://app-.example/cb",
        "https://app.-example/cb",
        "https://app.example-/cb",
        "https://app.example-:8443/cb",
    ];
    assert_eq!(texts.into_iter().find(|text| for_confidential(text) != "redirect_uri_host"), None);
}

#[test]
fn a_port_that_can_not_be_or_has_another_spelling_can_not_be_registered() {
    let ports = ["", "0", "00", "0443", "08443", "65536", "99999", "+80", "8x"];
    let of = |port: &str| {
        ["app.example", "[2001:db8::1]"].map(|host| for_confidential(&format!("https://{host}:{port}/cb")))
    };
    assert_eq!(ports.into_iter().find(|port| of(port) != ["redirect_uri_port"; 2]), None);
}

#[test]
fn the_first_and_the_last_port_can_be_registered() {
    let of = |port: &str| for_confidential(&format!("https://app.example:{port}/cb"));
    assert_eq!(["1", "443", "65535"].map(of), ["registered"; 3]);
}

#[test]
fn a_broken_escape_can_not_be_registered() {
    let broken = ["%", "%2", "%zz", "%2z", "%%20", "%20%", "%u0041", "x%?y=1", "?a=%"];
    let of = |base: &str| broken.map(|text| for_public(&format!("{base}{text}")));
    assert_eq!([R, LOOP, "com.example.app:/cb"].map(of), [["redirect_uri_escape"; 9]; 3]);
}

#[test]
fn characters_that_readers_disagree_about_can_not_be_registered() {
    let characters =
        [' ', '\t', '\r', '\n', '\0', '\u{7f}', '\\', '"', '<', '>', '^', '`', '{', '|', '}', 'é', '\u{202e}'];
    let refused = |character: &char| for_public(&format!("{R}{character}x")) == "redirect_uri_characters";
    assert_eq!(characters.iter().find(|character| !refused(character)), None);
}

#[test]
fn userinfo_can_not_be_registered_even_when_it_is_empty() {
    let texts = [
        "https://@app.example/cb",
        "https://:@app.example/cb",
        "https://a:b@app.example/cb",
        "https://app.example@evil.example",
        "https://app.example:443@evil.example/cb",
        "http://a@127.0.0.1/cb",
        "com.example.app://a@b/cb",
    ];
    assert_eq!(texts.map(for_public), ["redirect_uri_userinfo"; 7]);
}

#[test]
fn an_empty_fragment_can_not_be_registered() {
    assert_eq!(for_confidential("https://app.example/cb#"), "redirect_uri_fragment");
}

#[test]
fn whatever_has_no_scheme_or_host_is_not_absolute() {
    let texts = ["", "app.example/cb", "//app.example/cb", "cb", "https://", "https://?x"];
    assert_eq!(texts.map(for_confidential), ["redirect_uri_not_absolute"; 6]);
}

#[test]
fn the_longest_address_has_2048_characters() {
    let of = |length: usize| format!("{R}?{}", "x".repeat(length - R.len() - 1));
    assert_eq!([2_048, 2_049].map(|length| for_confidential(&of(length))), ["registered", "redirect_uri_too_long"]);
}

#[test]
fn parameters_follow_whatever_query_there_is() {
    let uris =
        ["https://a.example", "https://a.example/?", "https://a.example/?x", "https://a.example/?x&", "a.b:/c?d=?"];
    assert_eq!(
        uris.map(|uri| with_parameters(uri, &[("code", "1")])),
        [
            "https://a.example?code=1",
            "https://a.example/?code=1",
            "https://a.example/?x&code=1",
            "https://a.example/?x&code=1",
            "a.b:/c?d=?&code=1"
        ]
    );
}

#[test]
fn people_are_told_the_host_or_the_scheme() {
    let uris = [R, "https://app.example:8443/cb", "http://[::1]:51004/cb", "com.example.app:/cb", "nonsense"];
    assert_eq!(uris.map(display_host), ["app.example", "app.example", "[::1]", "com.example.app:", ""]);
}

/// Otherwise an app could have the page say that people are sent to a bank.
#[test]
fn people_are_not_told_a_host_that_a_private_scheme_only_seems_to_have() {
    assert_eq!(display_host("com.example.app://bank.example/cb"), "com.example.app:");
}

#[test]
fn a_form_may_lead_to_the_origin_or_where_a_policy_can_not_name_it_to_the_scheme() {
    let uris = [
        "https://app.example:8443/cb",
        "http://127.0.0.1:51004/cb",
        "http://localhost:51004/cb",
        "http://[::1]:51004/cb",
        "https://203.0.113.7/cb",
        "com.example.app:/cb",
        "com.example.app://cb",
    ];
    let sources = [
        "https://app.example:8443",
        "http://127.0.0.1:51004",
        "http://localhost:51004",
        "http:",
        "https:",
        "com.example.app:",
        "com.example.app:",
    ];
    assert_eq!(uris.map(|uri| form_action(uri).unwrap()), sources);
}

#[test]
fn only_https_addresses_may_call_from_a_browser() {
    let uris = ["https://app.example:443/cb", "https://app.example:8443/cb", LOOP, "com.example.app:/cb"];
    let origins = [Some("https://app.example".to_owned()), Some("https://app.example:8443".to_owned()), None, None];
    assert_eq!(uris.map(cors_origin), origins);
}
