//! The client's address (policy §5).

use serde_json::{Value, json};

use crate::{
    attempt::{Attempt, both, passed},
    support::{Api, PEER, World},
};

/// A proxy that the worlds below trust.
const PROXY: &str = "10.9.0.1";
const PROXIES: &str = "10.9.0.0/16, 2001:db8:9::/48";
/// On the list of the keys below, and not.
const LISTED: &str = "198.51.100.7";
const UNLISTED: &str = "192.0.2.66";

/// A world behind proxies with a key that has a list.
struct Proxied {
    world: World,
    token: String,
}

impl Proxied {
    async fn by(header: &str) -> Self {
        let world = World::behind(PROXIES, header).await;
        let (_, token) = world.listed_key(&["198.51.100.0/24", "2001:db8:1::/48"]).await;
        Self { world, token }
    }

    /// Status of the key's call to an endpoint of ours and to one behind forward-auth, with these lines of headers.
    async fn through(&self, peer: &str, lines: &[(&'static str, &str)]) -> [u16; 2] {
        statuses(&self.world.api, &self.token, peer, lines).await
    }

    async fn forwarded_for(&self, value: &str) -> [u16; 2] {
        self.through(PROXY, &[("x-forwarded-for", value)]).await
    }
}

async fn statuses(api: &Api, token: &str, peer: &str, lines: &[(&'static str, &str)]) -> [u16; 2] {
    let mut own = api.get("/v1/keys/self").key(token).peer(peer);
    let mut forward = api.get("/v1/forward-auth/api/v1/checks").key(token).peer(peer);
    for (name, value) in lines {
        own = own.header(name, value);
        forward = forward.header(name, value);
    }
    [own.send().await.status, forward.send().await.status]
}

/// spec: policy P28
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapped_address_is_judged_as_ipv4() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&["10.0.0.0/8"]).await;
    assert_eq!(Attempt::of(&token).from("::ffff:10.1.2.3").outcomes(&world).await, passed());
}

/// spec: policy P28
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapped_peer_is_judged_as_ipv4() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&["10.0.0.0/8"]).await;
    assert_eq!(world.api.get("/v1/keys/self").key(&token).peer("::ffff:10.1.2.3").send().await.status, 200);
}

/// spec: policy P28
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapped_address_is_in_the_trail_as_ipv4() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&["10.0.0.0/8"]).await;
    Attempt::of(&token).from("::ffff:10.1.2.3").outcomes(&world).await;
    let events = world.events("api.call").await;
    assert_eq!(events.iter().map(|event| event["ip"].clone()).collect::<Vec<_>>(), ["10.1.2.3", "10.1.2.3"]);
}

/// spec: policy P29
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_trusted_proxies_the_peer_is_the_client_whatever_headers_say() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&["198.51.100.0/24"]).await;
    let ask = world.api.get("/v1/keys/self").key(&token).peer(UNLISTED).header("x-forwarded-for", LISTED);
    assert_eq!(ask.send().await.outcome(), (403, "ip_not_allowed".to_owned()));
}

/// spec: policy P29
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loopback_is_trusted_by_forward_auth_alone() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&["198.51.100.0/24"]).await;
    let statuses = statuses(&world.api, &token, "127.0.0.1", &[("x-forwarded-for", LISTED)]).await;
    assert_eq!(statuses, [403, 200]);
}

/// spec: policy §5.2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_no_trusted_proxy_is_the_client() {
    let proxied = Proxied::by("x-forwarded-for").await;
    let own = proxied.through(UNLISTED, &[("x-forwarded-for", LISTED)]).await[0];
    assert_eq!(own, 403);
}

/// spec: policy P30
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rightmost_entry_that_is_no_proxy_counts() {
    let proxied = Proxied::by("x-forwarded-for").await;
    assert_eq!(proxied.forwarded_for(&format!("{LISTED}, {UNLISTED}")).await, [403, 403]);
}

/// spec: policy P31
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_left_of_the_client_does_not_count() {
    let proxied = Proxied::by("x-forwarded-for").await;
    assert_eq!(proxied.forwarded_for(&format!("{UNLISTED}, {LISTED}")).await, [200, 200]);
}

/// spec: policy §5.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trusted_proxies_are_skipped() {
    let proxied = Proxied::by("x-forwarded-for").await;
    assert_eq!(proxied.forwarded_for(&format!("{UNLISTED}, {LISTED}, 10.9.1.1, 2001:db8:9::1")).await, [200, 200]);
}

/// spec: policy §5.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_lines_of_the_header_are_joined_in_their_order() {
    let proxied = Proxied::by("x-forwarded-for").await;
    let lines = [("x-forwarded-for", LISTED), ("x-forwarded-for", UNLISTED), ("x-forwarded-for", "10.9.1.1")];
    assert_eq!(proxied.through(PROXY, &lines).await, [403, 403]);
}

/// spec: policy §5.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_are_proxies_the_leftmost_is_the_client() {
    let world = World::behind(PROXIES, "x-forwarded-for").await;
    let (_, token) = world.listed_key(&["10.9.3.3"]).await;
    let lines = [("x-forwarded-for", "10.9.3.3, 10.9.2.2")];
    assert_eq!(statuses(&world.api, &token, PROXY, &lines).await, [200, 200]);
}

/// spec: policy §5.3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_header_the_proxy_itself_is_the_client() {
    let world = World::behind(PROXIES, "x-forwarded-for").await;
    let (_, token) = world.listed_key(&[PROXY]).await;
    assert_eq!(statuses(&world.api, &token, PROXY, &[]).await, [200, 200]);
}

/// spec: policy P32
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_no_address_ends_the_walk() {
    let proxied = Proxied::by("x-forwarded-for").await;
    let mut outcomes = Vec::new();
    for last in ["unknown", "1.2.3.4.5", "_hidden", "", "\"198.51.100.7\"", "198.51.100.7:99999", "0306.51.100.7"] {
        outcomes.push(proxied.forwarded_for(&format!("{LISTED}, {last}")).await);
    }
    assert_eq!(outcomes, vec![[403, 403]; 7]);
}

/// spec: policy §5.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_may_carry_a_port_and_brackets() {
    let proxied = Proxied::by("x-forwarded-for").await;
    let mut outcomes = Vec::new();
    for entry in ["198.51.100.7:4711", "[2001:db8:1::1]", "[2001:db8:1::1]:4711", "2001:DB8:1::1"] {
        outcomes.push(proxied.forwarded_for(entry).await);
    }
    assert_eq!(outcomes, vec![[200, 200]; 4]);
}

/// spec: policy §5.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_of_more_than_4_kib_makes_the_address_unknown() {
    let proxied = Proxied::by("x-forwarded-for").await;
    let blanks = " ".repeat(4_096 - LISTED.len());
    let fits = proxied.forwarded_for(&format!("{LISTED},{}{LISTED}", &blanks[LISTED.len() + 1..])).await;
    let too_long = proxied.forwarded_for(&format!("{LISTED}, {blanks}{LISTED}")).await;
    assert_eq!([fits, too_long], [[200, 200], [403, 403]]);
}

/// spec: policy §5.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_of_more_than_50_entries_makes_the_address_unknown() {
    let proxied = Proxied::by("x-forwarded-for").await;
    let outcomes = [
        proxied.forwarded_for(&vec![LISTED; 50].join(",")).await,
        proxied.forwarded_for(&vec![LISTED; 51].join(",")).await,
    ];
    assert_eq!(outcomes, [[200, 200], [403, 403]]);
}

/// spec: policy P33
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_headers_only_the_configured_one_is_read() {
    let proxied = Proxied::by("x-forwarded-for").await;
    let lines = [("forwarded", "for=192.0.2.66"), ("x-forwarded-for", LISTED)];
    let swapped = [("forwarded", "for=198.51.100.7"), ("x-forwarded-for", UNLISTED)];
    let outcomes = [proxied.through(PROXY, &lines).await, proxied.through(PROXY, &swapped).await];
    assert_eq!(outcomes, [[200, 200], [403, 403]]);
}

/// spec: policy P34
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_standard_header_is_read_where_it_is_configured() {
    let proxied = Proxied::by("forwarded").await;
    let mut outcomes = Vec::new();
    for value in ["for=\"[2001:db8:1::1]:4711\"", "for=198.51.100.7;proto=https;by=10.9.0.1", "FOR=\"198.51.100.7\""] {
        outcomes.push(proxied.through(PROXY, &[("forwarded", value)]).await);
    }
    assert_eq!(outcomes, vec![[200, 200]; 3]);
}

/// spec: policy P34
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_obfuscated_name_in_the_standard_header_is_an_unknown_address() {
    let proxied = Proxied::by("forwarded").await;
    let mut outcomes = Vec::new();
    for value in ["for=198.51.100.7, for=_obf", "for=198.51.100.7, for=unknown", "for=198.51.100.7, proto=https"] {
        outcomes.push(proxied.through(PROXY, &[("forwarded", value)]).await);
    }
    assert_eq!(outcomes, vec![[403, 403]; 3]);
}

/// spec: policy P35
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_are_not_configured_are_not_read() {
    let proxied = Proxied::by("x-forwarded-for").await;
    let mut outcomes = Vec::new();
    for name in ["cf-connecting-ip", "x-real-ip", "true-client-ip", "forwarded", "x-client-ip"] {
        let listed = if name == "forwarded" { "for=198.51.100.7" } else { LISTED };
        let lines = [("x-forwarded-for", UNLISTED), (name, listed)];
        outcomes.push(proxied.through(PROXY, &lines).await);
    }
    assert_eq!(outcomes, vec![[403, 403]; 5]);
}

/// spec: policy P35
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_header_may_be_the_configured_one() {
    let proxied = Proxied::by("cf-connecting-ip").await;
    let lines = [("cf-connecting-ip", LISTED), ("x-forwarded-for", UNLISTED)];
    assert_eq!(proxied.through(PROXY, &lines).await, [200, 200]);
}

/// spec: policy P36
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_a_list_is_refused_where_the_address_is_unknown() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&["198.51.100.0/24"]).await;
    assert_eq!(Attempt::of(&token).with_unknown_address().outcomes(&world).await, both(403, "ip_not_allowed"));
}

/// spec: policy §5.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_without_a_list_is_judged_on_where_the_address_is_unknown() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    assert_eq!(Attempt::of(&token).with_unknown_address().outcomes(&world).await, passed());
}

/// spec: policy §5.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_address_is_null_in_the_trail() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    Attempt::of(&token).with_unknown_address().outcomes(&world).await;
    let events = world.events("api.call").await;
    assert_eq!(events.iter().map(|event| event["ip"].clone()).collect::<Vec<_>>(), [Value::Null, Value::Null]);
}

/// spec: policy §5.7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_cannot_be_read_is_the_gateways_fault() {
    let world = World::new().await;
    let mut told = Vec::new();
    for ip in ["", "unknown", "203.0.113.7:80", "203.0.113.007", " 203.0.113.7", "203.0.113.0/24"] {
        let question = json!({"token": "x", "method": "GET", "path": "/", "client_ip": ip});
        let reply = world.api.post("/v1/verify").key(&world.gateway).json(&question).send().await;
        told.push((reply.status, reply.fields()));
    }
    assert_eq!(told, vec![(422, vec!["client_ip: invalid_address".to_owned()]); 6]);
}

/// spec: policy §5.7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateways_own_key_is_judged_by_the_gateways_address() {
    let world = World::new().await;
    let wanted = json!({"scopes": ["credentials:verify"], "allowed_cidrs": [LISTED]});
    let created = world.create(wanted).await.json();
    let gateway = created["token"].as_str().unwrap();
    let (_, token) = world.key(&["checks:read"]).await;
    let question = json!({"token": token, "method": "GET", "path": "/api/v1/checks", "client_ip": LISTED});
    let ask = |peer| world.api.post("/v1/verify").key(gateway).peer(peer).json(&question);
    let outcomes = [ask(PEER).send().await.outcome(), ask(LISTED).send().await.outcome()];
    assert_eq!(outcomes, [(403, "ip_not_allowed".to_owned()), (200, "allowed".to_owned())]);
}

/// spec: policy §5.7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_call_is_not_judged_by_the_gateways_address() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&[PEER]).await;
    let verdict = Attempt::of(&token).from(UNLISTED).verify(&world.api, &world.gateway).await;
    assert_eq!(verdict["code"], "ip_not_allowed");
}

/// spec: policy §5.1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapped_peer_may_be_a_trusted_proxy() {
    let proxied = Proxied::by("x-forwarded-for").await;
    let lines = [("x-forwarded-for", LISTED)];
    assert_eq!(proxied.through("::ffff:10.9.0.1", &lines).await, [200, 200]);
}
