use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

/// A resolver for saving: what these names lead to.
fn names(name: &str) -> io::Result<Vec<IpAddr>> {
    let addresses: &[&str] = match name {
        "inside.example" => &["10.0.0.1", "10.0.0.2"],
        "both.example" => &["10.0.0.1", "8.8.8.8"],
        "outside.example" => &["8.8.8.8"],
        "empty.example" => &[],
        _ => return Err(io::ErrorKind::NotFound.into()),
    };
    Ok(addresses.iter().map(|address| address.parse().unwrap()).collect())
}

async fn accept(text: &str, kind: Kind, allowed: &str) -> Result<Target, UrlError> {
    Target::accept(text, kind, &AllowedNetworks::parse(allowed).unwrap(), &names).await
}

/// What becomes of each URL: how it is written from then on, or why it is refused.
async fn judged(texts: &[&str], kind: Kind, allowed: &str) -> Vec<Result<String, UrlError>> {
    let mut all = Vec::new();
    for text in texts {
        all.push(accept(text, kind, allowed).await.map(|target| target.as_str().to_owned()));
    }
    all
}

async fn refused(texts: &[&str]) -> Vec<UrlError> {
    judged(texts, Kind::Standard, "").await.into_iter().map(Result::unwrap_err).collect()
}

async fn accepted(texts: &[&str]) -> Vec<String> {
    judged(texts, Kind::Standard, "").await.into_iter().map(Result::unwrap).collect()
}

/// spec: keys K40
#[tokio::test]
async fn urls_that_lead_inside_are_refused() {
    let texts = [
        "http://example.com",
        "https://127.0.0.1",
        "https://169.254.169.254",
        "https://[::1]",
        "https://10.0.0.1",
        "https://user:p@example.com",
        "https://example.com:22",
    ];
    use UrlError::{Address, Port, Scheme, UserInfo};
    assert_eq!(refused(&texts).await, [Scheme, Address, Address, Address, Address, UserInfo, Port]);
}

#[tokio::test]
async fn an_address_is_refused_in_whatever_spelling() {
    let texts = [
        "https://2130706433",
        "https://0x7f.1",
        "https://0177.0.0.1",
        "https://127.1",
        "https://127.0.0.1.",
        "https://%31%32%37.0.0.1",
        "https://[::ffff:127.0.0.1]",
        "https://[::ffff:7f00:1]",
        "https://[::127.0.0.1]",
        "https://[0:0:0:0:0:0:0:1]",
        "https://[64:ff9b::a9fe:a9fe]",
        "https://[2002:7f00:1::]",
        "https://[fe80::1]",
        "https://0",
    ];
    assert_eq!(refused(&texts).await, [UrlError::Address; 14]);
}

#[tokio::test]
async fn a_public_address_is_kept_in_its_usual_spelling() {
    let texts = ["https://0x08080808/a", "https://[2606:4700:0::1111]:8443/b", "HTTPS://Hooks.Example:443/c?d=e"];
    assert_eq!(
        accepted(&texts).await,
        ["https://8.8.8.8/a", "https://[2606:4700::1111]:8443/b", "https://hooks.example/c?d=e"]
    );
}

#[tokio::test]
async fn names_are_not_looked_up_when_they_are_saved() {
    let texts = ["https://nowhere.example", "https://localhost", "https://localhost.", "https://inside.example:1024"];
    assert_eq!(accepted(&texts).await.len(), 4);
}

#[tokio::test]
async fn what_is_no_plain_absolute_url_is_refused() {
    let texts = [
        "",
        "hooks.example/x",
        "/x",
        "https:",
        "https://",
        "https:///hooks.example",
        "https:hooks.example",
        "https:/hooks.example",
        "https:/a:b@hooks.example/x//y://z",
        "https://?x",
        "https://256.256.256.256",
        "https://[::1",
        "https://hooks.example:99999",
        "https://[fe80::1%25eth0]",
    ];
    assert_eq!(refused(&texts).await, [UrlError::NotAbsolute; 14]);
}

#[tokio::test]
async fn other_schemes_are_refused() {
    let texts =
        ["ftp://hooks.example", "file:///etc/passwd", "gopher://hooks.example:70", "javascript:1", "wss://x.example"];
    assert_eq!(refused(&texts).await, [UrlError::Scheme; 5]);
}

#[tokio::test]
async fn characters_that_readers_disagree_about_are_refused() {
    let texts = [
        "https://hooks.example/a b",
        " https://hooks.example",
        "https://hooks.example/\n",
        "https://hooks.\u{9}example",
        "https://hooks.example\\@evil.example",
        "https://höoks.example",
        "https://hooks.example/\0",
        "https://hooks.example/<x>",
        "https://hooks%22.example/",
        "https://hooks.example%7B%7D/",
    ];
    assert_eq!(refused(&texts).await, [UrlError::Characters; 10]);
}

#[tokio::test]
async fn a_fragment_is_refused_even_if_it_is_empty() {
    assert_eq!(refused(&["https://hooks.example/#x", "https://hooks.example/#"]).await, [UrlError::Fragment; 2]);
}

#[tokio::test]
async fn a_user_name_is_refused_even_if_it_is_empty() {
    let texts =
        ["https://user@hooks.example", "https://:p@hooks.example", "https://@hooks.example", "https://:@hooks.example"];
    assert_eq!(refused(&texts).await, [UrlError::UserInfo; 4]);
}

#[tokio::test]
async fn an_at_sign_behind_the_host_is_a_character_like_others() {
    assert_eq!(accepted(&["https://hooks.example/@team?to=a@b"]).await, ["https://hooks.example/@team?to=a@b"]);
}

#[tokio::test]
async fn ports_of_other_services_are_refused() {
    let texts = [
        "https://hooks.example:1",
        "https://hooks.example:80",
        "https://hooks.example:1023",
        "https://hooks.example:0",
    ];
    assert_eq!(refused(&texts).await, [UrlError::Port; 4]);
}

#[tokio::test]
async fn port_443_and_those_from_1024_are_accepted() {
    let texts = ["https://hooks.example:443", "https://hooks.example:1024", "https://hooks.example:65535"];
    assert_eq!(accepted(&texts).await.len(), 3);
}

#[tokio::test]
async fn a_url_has_at_most_2048_characters() {
    let base = "https://hooks.example/";
    let of_length = |length: usize| format!("{base}{}", "a".repeat(length - base.len()));
    let longest = [of_length(LONGEST), of_length(LONGEST + 1)];
    let judged = judged(&[&longest[0], &longest[1]], Kind::Standard, "").await;
    assert_eq!(judged, [Ok(longest[0].clone()), Err(UrlError::TooLong)]);
}

#[tokio::test]
async fn http_and_any_port_are_good_for_an_address_in_the_allowed_networks() {
    let texts = ["http://10.0.0.1/x", "https://10.0.0.1:22/", "http://0xa.1/", "https://10.0.0.1/"];
    assert_eq!(
        judged(&texts, Kind::Standard, "10.0.0.0/8").await,
        [
            Ok("http://10.0.0.1/x".to_owned()),
            Ok("https://10.0.0.1:22/".to_owned()),
            Ok("http://10.0.0.1/".to_owned()),
            Ok("https://10.0.0.1/".to_owned()),
        ]
    );
}

#[tokio::test]
async fn http_is_refused_for_addresses_outside_the_allowed_networks_public_ones_too() {
    let texts = ["http://8.8.8.8/", "http://10.1.0.1/", "https://8.8.8.8:80/"];
    let expected = [Err(UrlError::Scheme), Err(UrlError::Scheme), Err(UrlError::Port)];
    assert_eq!(judged(&texts, Kind::Standard, "10.0.0.0/16").await, expected);
}

#[tokio::test]
async fn http_to_a_name_is_good_if_all_its_addresses_are_allowed() {
    let texts =
        ["http://inside.example/", "http://both.example/", "http://outside.example/", "http://nowhere.example/"];
    assert_eq!(
        judged(&texts, Kind::Standard, "10.0.0.0/8").await,
        [
            Ok("http://inside.example/".to_owned()),
            Err(UrlError::Scheme),
            Err(UrlError::Scheme),
            Err(UrlError::UnknownHost),
        ]
    );
}

#[tokio::test]
async fn a_name_without_addresses_is_not_found() {
    assert_eq!(judged(&["http://empty.example/"], Kind::Standard, "10.0.0.0/8").await, [Err(UrlError::UnknownHost)]);
}

#[tokio::test]
async fn no_name_is_looked_up_where_no_network_is_allowed() {
    let asked = AtomicUsize::new(0);
    let counting = |name: &str| {
        asked.fetch_add(1, Ordering::Relaxed);
        names(name)
    };
    let judged = Target::accept("http://inside.example", Kind::Standard, &AllowedNetworks::default(), &counting).await;
    assert_eq!((judged.unwrap_err(), asked.into_inner()), (UrlError::Scheme, 0));
}

#[tokio::test]
async fn slack_endpoints_are_slack_s() {
    let texts = ["https://hooks.slack.com/services/T0/B0/x", "https://hooks.slack.com:443/services/x"];
    assert!(judged(&texts, Kind::Slack, "").await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn other_urls_are_no_slack_endpoints() {
    let texts = [
        "https://hooks.slack.com/services/",
        "https://hooks.slack.com/services",
        "https://hooks.slack.com/services/../x",
        "https://hooks.slack.com/workflows/x",
        "https://hooks.slack.com:8443/services/x",
        "https://hooks.slack.com./services/x",
        "https://hooks.slack.com.evil.example/services/x",
        "https://slack.com/services/x",
        "https://8.8.8.8/services/x",
    ];
    assert_eq!(judged(&texts, Kind::Slack, "").await, [const { Err(UrlError::NotSlack) }; 9]);
}

#[tokio::test]
async fn a_slack_endpoint_may_lie_in_the_allowed_networks() {
    let texts = ["https://10.0.0.1/hooks/x", "http://inside.example/hooks/x", "https://outside.example/services/x"];
    assert_eq!(
        judged(&texts, Kind::Slack, "10.0.0.0/8").await,
        [
            Ok("https://10.0.0.1/hooks/x".to_owned()),
            Ok("http://inside.example/hooks/x".to_owned()),
            Err(UrlError::NotSlack),
        ]
    );
}

#[tokio::test]
async fn a_target_that_is_only_good_inside_stays_so_when_it_is_read_back() {
    let stored = ["http://inside.example/", "https://inside.example:22/", "https://inside.example/"];
    let reach = stored.map(|text| Target::from_stored(text, Kind::Standard).unwrap().reach());
    assert_eq!(reach, [Reach::AllowedOnly, Reach::AllowedOnly, Reach::Public]);
}

#[test]
fn debug_output_does_not_show_the_path() {
    let target = Target::from_stored("https://hooks.slack.com/services/T0/B0/secret", Kind::Slack).unwrap();
    assert_eq!(format!("{target:?}"), "Target(slack https://hooks.slack.com/…)");
}

#[test]
fn every_kind_is_read_back() {
    assert!([Kind::Standard, Kind::Slack].iter().all(|kind| kind.as_str().parse() == Ok(*kind)));
}

#[test]
fn another_case_is_another_kind() {
    assert_eq!("Slack".parse::<Kind>(), Err(KindError));
}

proptest! {
    #[test]
    fn what_is_kept_is_read_back_as_the_same_target(text in "(https?|HTTPS)://[a-z0-9.\\[\\]:%x-]{1,24}(/[!-~]{0,20})?") {
        if let Ok(target) = Target::from_stored(&text, Kind::Standard) {
            let again = Target::from_stored(target.as_str(), Kind::Standard);
            prop_assert_eq!(again, Ok(target));
        }
    }

    #[test]
    fn no_spelling_of_an_address_changes_the_judgement(bits: u32, spelling in 0..4_usize) {
        let [a, b, c, d] = bits.to_be_bytes();
        let host = match spelling {
            0 => format!("{a}.{b}.{c}.{d}"),
            1 => format!("{bits}"),
            2 => format!("0x{a:x}.0{b:o}.{}", u16::from_be_bytes([c, d])),
            _ => format!("[::ffff:{a}.{b}.{c}.{d}]"),
        };
        let target = Target::from_stored(&format!("https://{host}"), Kind::Standard).unwrap();
        let expected = IpAddr::from([a, b, c, d]);
        prop_assert_eq!(target.literal().map(|address| address.to_canonical()), Some(expected));
    }
}
