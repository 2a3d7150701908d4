use proptest::prelude::*;

use super::*;

fn shown(text: &str) -> String {
    Target::parse(text).unwrap().shown().to_owned()
}

#[test]
fn the_port_is_6379_unless_one_is_named() {
    assert_eq!(shown("redis://cache"), "redis://cache:6379");
}

#[test]
fn user_and_password_are_not_shown() {
    assert_eq!(shown("rediss://auth:hunter2@cache.internal:6380/3"), "rediss://cache.internal:6380/3");
}

#[test]
fn debug_shows_no_user_and_no_password() {
    let target = Target::parse("redis://auth:hunter2@cache").unwrap();
    assert_eq!(format!("{target:?}"), "Target(\"redis://cache:6379\")");
}

#[test]
fn a_password_needs_no_user() {
    assert_eq!(shown("redis://:hunter2@cache"), "redis://cache:6379");
}

#[test]
fn an_escaped_password_is_sent_as_it_is() {
    let target = Target::parse("redis://:a%2Cb%40c@cache").unwrap();
    assert_eq!(target.nodes()[0].redis_settings().password(), Some("a,b@c"));
}

#[test]
fn an_ipv6_address_stands_in_brackets() {
    assert_eq!(shown("redis://[::1]:7000"), "redis://[::1]:7000");
}

#[test]
fn nodes_of_a_cluster_have_commas_in_between() {
    assert_eq!(shown("redis://:p@a:7000,redis://:p@b,redis://:p@c/0"), "redis://a:7000,redis://b:6379,redis://c:6379");
}

#[test]
fn every_node_of_a_cluster_is_kept() {
    assert_eq!(Target::parse("redis://a,redis://b,redis://c").unwrap().nodes().len(), 3);
}

#[test]
fn tls_is_a_matter_of_the_scheme() {
    let has_tls = |text| Target::parse(text).unwrap().has_tls();
    assert_eq!(["redis://a", "rediss://a"].map(has_tls), [false, true]);
}

#[test]
fn anything_else_is_refused() {
    let refused = [
        "",
        " ",
        "cache",
        "cache:6379",
        "http://cache",
        "redis+unix:///run/redis.sock",
        "unix:///run/redis.sock",
        "redis:cache",
        "redis://",
        "redis:///0",
        "redis://:p@",
        "redis://ca che",
        " redis://cache",
        "redis://cache\n",
        "redis://cac\the",
        "redis://cache:0",
        "redis://cache:65536",
        "redis://cache:x",
        "redis://ca%63he",
        "redis://0.0.0.0",
        "redis://[::]",
        "redis://user@cache",
        "redis://user:@cache",
        "redis://:%ff@cache",
        "redis://cache/x",
        "redis://cache/-1",
        "redis://cache/01",
        "redis://cache/0/",
        "redis://cache//",
        "redis://cache/65536",
        "redis://cache?protocol=resp3",
        "redis://cache?",
        "rediss://cache#insecure",
        "redis://a,",
        ",redis://a",
        "redis://a,redis://b/1",
        "redis://a/1,redis://b",
        "redis://a,rediss://b",
        "redis://:p@a,redis://b",
        "redis://:p@a,redis://:q@b",
        "redis://u:p@a,redis://v:p@b",
        "redis://a, redis://b",
        "redis://a,b",
    ];
    let accepted: Vec<_> = refused.into_iter().filter(|text| Target::parse(text).is_ok()).collect();
    assert_eq!(accepted, [""; 0]);
}

#[test]
fn at_most_32_nodes_are_named() {
    let of = |count: usize| Target::parse(&vec!["redis://a"; count].join(",")).is_ok();
    assert_eq!([32, 33].map(of), [true, false]);
}

#[test]
fn an_error_names_the_url_and_what_is_accepted() {
    let message = Target::parse("redis://a,redis://b#c").unwrap_err().to_string();
    assert_eq!(
        message,
        "URL 2 has something behind the database; accepted is redis://[[user]:password@]host[:port][/database], \
         rediss:// for TLS, or several of them with commas in between: nodes of one cluster, with the same scheme, user \
         and password, and no database"
    );
}

proptest! {
    #[test]
    fn no_error_shows_a_password(scheme in "(redis|rediss|http|x)", tail in "[ -~]{0,20}") {
        let text = format!("{scheme}://qwertz:hunter2@{tail}");
        if let Err(error) = Target::parse(&text) {
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains("hunter2"));
        }
    }

    #[test]
    fn what_is_shown_holds_no_password(tail in "[ -~]{0,20}") {
        if let Ok(target) = Target::parse(&format!("redis://qwertz:hunter2@{tail}")) {
            prop_assert!(!target.shown().contains("hunter2") && !target.shown().contains("qwertz"));
        }
    }

    #[test]
    fn no_text_breaks_the_reading(text in any::<String>()) {
        let _ = Target::parse(&text);
    }

    #[test]
    fn what_is_shown_is_read_as_the_same(
        host in "[a-z][a-z0-9.-]{0,20}",
        port in 1_u16..,
        database in 0_u16..16,
    ) {
        let target = Target::parse(&format!("redis://:p@{host}:{port}/{database}")).unwrap();
        prop_assert_eq!(shown(target.shown()), target.shown());
    }
}
