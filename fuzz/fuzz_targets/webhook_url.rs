//! Webhook URLs: what is accepted has one spelling that is accepted again, and without an operator's leave no URL with a
//! special address in it, in whatever spelling, is accepted.
#![no_main]

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use statuspulse_delivery::{AllowedNetworks, Kind, Target, UrlError, is_special, target::LONGEST};

fuzz_target!(|text: &str| {
    for kind in [Kind::Standard, Kind::Slack] {
        let Ok(target) = accept(text, kind) else { continue };
        let url = target.as_str();
        assert_eq!(accept(url, kind).as_ref(), Ok(&target));
        assert_eq!(Target::from_stored(url, kind).as_ref(), Ok(&target));
        assert!(url.len() <= LONGEST && url.bytes().all(|byte| byte.is_ascii_graphic()) && !url.contains('#'));
        let authority = url.strip_prefix("https://").and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
        assert!(!authority.is_empty() && !authority.contains('@'));
        assert!(kind == Kind::Standard || url.starts_with("https://hooks.slack.com/services/"));

        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().ok()),
            _ => (authority, Some(443)),
        };
        assert!(port.is_some_and(|port| port == 443 || port >= 1_024));
        let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
        assert!(!literal.is_ok_and(is_special));
    }
});

/// Without allowed networks nothing is looked up, so the answer is there at once.
fn accept(text: &str, kind: Kind) -> Result<Target, UrlError> {
    let names = |_: &str| -> io::Result<Vec<IpAddr>> { unreachable!("a name was looked up") };
    let allowed = AllowedNetworks::default();
    match pin!(Target::accept(text, kind, &allowed, &names)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(judged) => judged,
        Poll::Pending => unreachable!("nothing to wait for"),
    }
}
