//! Of any text.

use proptest::prelude::*;

use super::*;

/// Texts that are often nearly an address.
fn nearly() -> impl Strategy<Value = String> {
    let scheme = "(https|http|HTTPS|com\\.example\\.app|javascript|a)?(:|:/|://|:///)";
    let host = "([a-z0-9.:@%\\[\\];-]{0,12}|127\\.0\\.0\\.1|\\[::1\\]|localhost|app\\.example)(:[0-9]{0,6})?";
    (scheme, host, "([/?][ -~]{0,16})?").prop_map(|(scheme, host, rest)| [scheme, host, rest].concat())
}

fn pairs(uri: &str) -> Vec<(String, String)> {
    Url::parse(uri).unwrap().query_pairs().into_owned().collect()
}

proptest! {
    #[test]
    fn what_is_registered_is_one_absolute_address_and_matches_itself(text in nearly(), public in any::<bool>()) {
        let kind = if public { AppKind::Public } else { AppKind::Confidential };
        if let Ok(uri) = RedirectUri::register(&text, kind) {
            let url = Url::parse(&text).unwrap();
            let clean = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
            prop_assert!(clean && uri.as_str() == text && uri.matches(&text, false));
        }
    }

    #[test]
    fn what_is_registered_leads_to_the_host_that_people_read(text in nearly()) {
        if RedirectUri::register(&text, AppKind::Public).is_ok() {
            let host = display_host(&text);
            prop_assert!(!host.is_empty() && text.to_ascii_lowercase().contains(&host));
        }
    }

    #[test]
    fn another_text_than_the_registered_never_matches_beyond_the_loopback(text in nearly(), other in nearly()) {
        prop_assume!(!text.starts_with("http://"));
        prop_assert_eq!(registered(&text).matches(&other, true), text == other);
    }

    #[test]
    fn one_changed_byte_makes_another_address(place in 0..R.len(), put in any::<u8>()) {
        let mut bytes = R.as_bytes().to_vec();
        bytes[place] = put;
        let changed = String::from_utf8_lossy(&bytes).into_owned();
        prop_assert_eq!(registered(R).matches(&changed, true), changed == R);
    }

    #[test]
    fn every_port_of_a_loopback_address_matches(port in 1_u16.., six in any::<bool>()) {
        let base = if six { "http://[::1]" } else { "http://127.0.0.1" };
        let (held, presented) = (format!("{base}/cb"), format!("{base}:{port}/cb"));
        prop_assert!(registered(&held).matches(&presented, false));
    }

    #[test]
    fn what_matches_a_loopback_address_is_a_url_of_that_host_and_path(text in nearly()) {
        if registered(LOOP).matches(&text, true) {
            let url = Url::parse(&text).unwrap();
            let same = (url.scheme(), url.host_str(), url.path(), url.query(), url.username());
            prop_assert_eq!(same, ("http", Some("127.0.0.1"), "/cb", None, ""));
        }
    }

    #[test]
    fn parameters_are_added_and_nothing_is_taken_away(
        query in "(\\?[a-z0-9=&%+]{0,12})?", names in "[a-z]{1,4}", value in any::<String>(),
    ) {
        let uri = format!("{R}{query}");
        let longer = with_parameters(&uri, &[(&names, &value)]);
        let mut expected = pairs(&uri);
        expected.push((names, value));
        prop_assert_eq!((longer.starts_with(&uri), pairs(&longer)), (true, expected));
    }

    #[test]
    fn parameters_are_visible_ascii_whatever_they_hold(value in any::<String>()) {
        prop_assert!(with_parameters(R, &[("state", &value)]).bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
