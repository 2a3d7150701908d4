//! Redirect URIs: what is registered has one reading, matches itself and nothing else but other ports of the loopback
//! address, and stays in front of what is added to it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use statuspulse_oauth::{
    AppKind, RedirectUri,
    redirect_uri::{LONGEST, RedirectUriError, cors_origin, display_host, form_action, with_parameters},
};

const PARAMETERS: [(&str, &str); 3] =
    [("code", "sp_ac_x"), ("state", "a b&c=#\u{e9}"), ("iss", "https://auth.example")];
const ADDED: &str = "code=sp_ac_x&state=a+b%26c%3D%23%C3%A9&iss=https%3A%2F%2Fauth.example";

fuzz_target!(|text: &str| {
    let (text, presented) = text.split_once('\n').unwrap_or((text, text));
    let longer = with_parameters(text, &PARAMETERS);
    let glue = longer.strip_prefix(text).and_then(|rest| rest.strip_suffix(ADDED));
    assert!(matches!(glue, Some("" | "?" | "&")));

    for kind in [AppKind::Confidential, AppKind::Public] {
        let Ok(uri) = RedirectUri::register(text, kind) else { continue };
        assert_eq!(RedirectUri::register(uri.as_str(), kind).as_ref(), Ok(&uri));
        assert_eq!(uri.as_str(), text);
        assert!(
            text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['#', '*'])
        );
        assert!(text.split('%').skip(1).all(|rest| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2));
        assert!(uri.matches(text, false));

        // With the parameters of an answer it is still one clean address of the same host: nothing but their names keeps it
        // from being registered.
        let whole = with_parameters(text, &PARAMETERS);
        assert!(whole.len() > LONGEST || RedirectUri::register(&whole, kind) == Err(RedirectUriError::Parameter));
        assert_eq!(display_host(&whole), display_host(text));
        assert!(!display_host(text).is_empty());
        assert!(text.to_ascii_lowercase().contains(&display_host(text)));
        assert!(form_action(text).is_some_and(|source| !source.contains([' ', ';', ',', '\''])));
        assert_eq!(cors_origin(text).is_some(), text.starts_with("https://"));
        if uri.matches(presented, true) && presented != text {
            assert_eq!(without_port(text), without_port(presented));
            assert!(without_port(text).is_some());
        }
        assert!(!uri.matches(presented, false) || uri.matches(presented, true));
    }
});

/// A loopback address, cut in two around its port.
fn without_port(text: &str) -> Option<(&str, &str)> {
    let bases = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
    let (base, rest) = bases.into_iter().find_map(|base| Some((base, text.strip_prefix(base)?)))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (port, rest) = rest.split_at(end);
    let decimal = |port: &str| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    (port.is_empty() || port.strip_prefix(':').is_some_and(decimal)).then_some((base, rest))
}
