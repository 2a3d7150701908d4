//! Allowlists (policy §4).

use serde_json::{Value, json};
use statuspulse_policy::Role;

use crate::{
    attempt::{Attempt, both, passed},
    support::{PEER, World},
};

/// What becomes of a key with this list: status and errors by field.
async fn refused(list: Value) -> (u16, Vec<String>) {
    let world = World::new().await;
    let reply = world.create(json!({"allowed_cidrs": list})).await;
    (reply.status, reply.fields())
}

/// The list as it is kept.
async fn kept(list: Value) -> Value {
    let world = World::new().await;
    world.create(json!({"allowed_cidrs": list})).await.json()["key"]["allowed_cidrs"].clone()
}

/// `code field` of every warning.
fn warnings(reply: &Value) -> Vec<String> {
    let warnings = reply["warnings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    warnings.map(|warning| format!("{} {}", text(&warning["code"]), text(&warning["field"]))).collect()
}

/// spec: policy P18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bits_behind_the_length_are_refused() {
    assert_eq!(refused(json!(["10.0.0.1/8"])).await, (422, vec!["allowed_cidrs[0]: host_bits_set".to_owned()]));
}

/// spec: policy P18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_that_was_meant_is_suggested() {
    let world = World::new().await;
    let reply = world.create(json!({"allowed_cidrs": ["10.0.0.1/8"]})).await;
    let detail = reply.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("`10.0.0.0/8`"), "{detail}");
}

/// spec: policy P19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_readers_disagree_about_is_refused() {
    let entries = [
        "010.0.0.1/32",
        "10.0.0.0/08",
        "10.0.0.0/33",
        "10.0.0.0/255.0.0.0",
        " 10.0.0.0/8",
        "10.0.0.0/8 ",
        "10.0.0.0/+8",
        "10.0.0.0/-8",
        "10.0.0.0/",
        "10.0.0.0/8/8",
        "10.1",
        "0x0a.0.0.1",
        "167772161",
        "10.0.0.0-10.0.0.9",
        "example.com",
        "[2001:db8::1]",
        "fe80::1%eth0",
        "2001:db8::/129",
        "10.0.0.٣",
        "",
        "*",
    ];
    let expected = (0..entries.len()).map(|index| format!("allowed_cidrs[{index}]: invalid_cidr")).collect();
    assert_eq!(refused(json!(entries)).await, (422, expected));
}

/// spec: policy P19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_entry_refuses_the_list_and_is_named() {
    let refused = refused(json!(["203.0.113.0/24", "010.0.0.1/32"])).await;
    assert_eq!(refused, (422, vec!["allowed_cidrs[1]: invalid_cidr".to_owned()]));
}

/// spec: policy P20
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_address_gets_its_full_length() {
    let list = kept(json!(["203.0.113.7", "2001:DB8::1"])).await;
    assert_eq!(list, json!(["203.0.113.7/32", "2001:db8::1/128"]));
}

/// spec: policy P21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapped_network_is_kept_as_ipv4() {
    assert_eq!(kept(json!(["::ffff:10.0.0.0/104"])).await, json!(["10.0.0.0/8"]));
}

/// spec: policy §4.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapped_network_wider_than_ipv4_is_refused() {
    let refused = refused(json!(["::ffff:0:0/95"])).await;
    assert_eq!(refused, (422, vec!["allowed_cidrs[0]: mapped_too_wide".to_owned()]));
}

/// spec: policy P22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_refused_in_every_spelling() {
    let entries = ["0.0.0.0/0", "::/0", "0:0:0:0:0:0:0:0/0", "::ffff:0:0/96", "::ffff:0.0.0.0/96"];
    let expected = (0..entries.len()).map(|index| format!("allowed_cidrs[{index}]: allows_everything")).collect();
    assert_eq!(refused(json!(entries)).await, (422, expected));
}

/// spec: policy P22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_accepted_with_a_warning_when_it_is_meant() {
    let world = World::new().await;
    let created = world.create(json!({"allowed_cidrs": ["0.0.0.0/0", "::/0"], "allow_any": true})).await;
    let expected = ["allows_everything allowed_cidrs[0]", "allows_everything allowed_cidrs[1]"];
    assert_eq!((created.status, warnings(&created.json())), (201, expected.map(str::to_owned).to_vec()));
}

/// spec: policy P22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_developer_may_not_mean_everything() {
    let world = World::new().await;
    let developer = world.api.app.person(&world.org, "dev", Role::Developer).await;
    let developer = world.api.sign_in(&developer).await;
    let wanted = json!({"name": "ci", "environment": "staging", "scopes": ["checks:read"],
        "allowed_cidrs": ["0.0.0.0/0"], "allow_any": true});
    let reply = world.api.post("/v1/orgs/acme/keys").browser(&developer).json(&wanted).send().await;
    assert_eq!(reply.outcome(), (403, "role_not_sufficient".to_owned()));
}

/// spec: policy §4.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_may_mean_everything() {
    let world = World::new().await;
    let admin = world.api.app.person(&world.org, "admin", Role::Admin).await;
    let admin = world.api.sign_in(&admin).await;
    let wanted = json!({"name": "ci", "environment": "staging", "scopes": ["checks:read"],
        "allowed_cidrs": ["0.0.0.0/0"], "allow_any": true});
    assert_eq!(world.api.post("/v1/orgs/acme/keys").browser(&admin).json(&wanted).send().await.status, 201);
}

/// spec: policy P23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_wide_networks_are_refused() {
    let expected = ["allowed_cidrs[0]: too_wide", "allowed_cidrs[1]: too_wide"].map(str::to_owned);
    assert_eq!(
        refused(json!(["10.0.0.0/7", "2001:d00::/24", "2001:db8::/32", "10.0.0.0/8"])).await,
        (422, expected.to_vec())
    );
}

/// spec: policy §4.5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wide_network_is_accepted_with_a_warning_when_it_is_meant() {
    let world = World::new().await;
    let created = world.create(json!({"allowed_cidrs": ["8.0.0.0/7"], "allow_any": true})).await;
    assert_eq!((created.status, warnings(&created.json())), (201, vec!["wide_network allowed_cidrs[0]".to_owned()]));
}

/// spec: policy P24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_network_on_a_production_key_is_accepted_with_a_warning() {
    let world = World::new().await;
    let created = world.create(json!({"allowed_cidrs": ["192.168.0.0/16"]})).await;
    assert_eq!((created.status, warnings(&created.json())), (201, vec!["private_network allowed_cidrs[0]".to_owned()]));
}

/// spec: policy P24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_network_on_a_staging_key_deserves_no_warning() {
    let world = World::new().await;
    let created = world.create(json!({"environment": "staging", "allowed_cidrs": ["192.168.0.0/16"]})).await;
    assert_eq!((created.status, warnings(&created.json())), (201, Vec::new()));
}

/// spec: policy P25
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_network_twice_is_kept_once() {
    let list = kept(json!(["203.0.113.0/24", "203.0.113.0/24"])).await;
    assert_eq!(list, json!(["203.0.113.0/24"]));
}

/// spec: policy §4.6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spellings_of_one_network_collapse_and_the_order_stays() {
    let list = kept(json!(["203.0.113.7", "198.51.100.0/24", "::ffff:203.0.113.7", "192.0.2.0/24"])).await;
    assert_eq!(list, json!(["203.0.113.7/32", "198.51.100.0/24", "192.0.2.0/24"]));
}

fn addresses(count: usize) -> Value {
    json!((0..count).map(|number| format!("198.51.100.{number}")).collect::<Vec<_>>())
}

/// spec: policy P26
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_entries_are_accepted() {
    assert_eq!(refused(addresses(50)).await, (201, Vec::new()));
}

/// spec: policy P26
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_one_entries_are_refused() {
    assert_eq!(refused(addresses(51)).await, (422, vec!["allowed_cidrs: too_many_entries".to_owned()]));
}

/// spec: policy P27
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_list_is_refused() {
    assert_eq!(refused(json!([])).await, (422, vec!["allowed_cidrs: empty_allowlist".to_owned()]));
}

/// spec: policy P27
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_not_emptied_by_a_change() {
    let world = World::new().await;
    let (id, _) = world.listed_key(&["203.0.113.0/24"]).await;
    let put = format!("/v1/orgs/acme/keys/{id}/allowlist");
    let replies = [
        world.patch(&id, &json!({"allowed_cidrs": []})).await,
        world.owner("PUT", &put, &json!({"allowed_cidrs": []})).await,
    ];
    let told = replies.map(|reply| (reply.status, reply.fields()));
    assert_eq!(told.to_vec(), vec![(422, vec!["allowed_cidrs: empty_allowlist".to_owned()]); 2]);
}

/// spec: policy P27
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_refusal_of_an_empty_list_says_what_to_use() {
    let world = World::new().await;
    let reply = world.create(json!({"allowed_cidrs": []})).await;
    assert!(reply.json()["errors"][0]["detail"].as_str().unwrap().contains("use null"), "{}", reply.text);
}

/// spec: policy §4.1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_takes_a_list_away() {
    let world = World::new().await;
    let (id, token) = world.listed_key(&["198.51.100.0/24"]).await;
    let before = Attempt::of(&token).outcomes(&world).await;
    world.patch(&id, &json!({"allowed_cidrs": null})).await;
    let after = Attempt::of(&token).outcomes(&world).await;
    assert_eq!((before, after), (both(403, "ip_not_allowed"), passed()));
}

/// spec: policy §4.1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_without_a_list_is_no_replacement_by_null() {
    let world = World::new().await;
    let (id, _) = world.listed_key(&["198.51.100.0/24"]).await;
    let reply = world.owner("PUT", &format!("/v1/orgs/acme/keys/{id}/allowlist"), &json!({})).await;
    assert_eq!((reply.status, reply.fields()), (422, vec!["allowed_cidrs: required".to_owned()]));
}

/// spec: policy §4.1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_was_emptied_in_the_table_lets_nobody_in() {
    let world = World::new().await;
    let (id, token) = world.listed_key(&["203.0.113.0/24"]).await;
    world.force(&id, "allowed_cidrs = '{}'").await;
    let outcomes = Attempt::of(&token).outcomes_on(&world.second().await, &world.gateway).await;
    assert_eq!(outcomes, both(403, "ip_not_allowed"));
}

/// spec: policy §4.4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_ipv6_does_not_contain_ipv4() {
    let world = World::new().await;
    let created = world.create(json!({"allowed_cidrs": ["::/0"], "allow_any": true})).await.json();
    let token = created["token"].as_str().unwrap();
    let outcomes = [
        Attempt::of(token).from("203.0.113.7").outcomes(&world).await,
        Attempt::of(token).from("2001:db8::1").outcomes(&world).await,
    ];
    assert_eq!(outcomes, [both(403, "ip_not_allowed"), passed()]);
}

/// spec: policy §4.7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bounds_of_a_network_belong_to_it() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&["198.51.100.0/25", "198.51.100.128/26", "192.0.2.4"]).await;
    let mut allowed = Vec::new();
    for ip in [
        "198.51.99.255",
        "198.51.100.0",
        "198.51.100.127",
        "198.51.100.128",
        "198.51.100.191",
        "198.51.100.192",
        "192.0.2.3",
        "192.0.2.4",
        "192.0.2.5",
    ] {
        allowed.push(Attempt::of(&token).from(ip).outcomes(&world).await == passed());
    }
    assert_eq!(allowed, [false, true, true, true, true, false, false, true, false]);
}

async fn organization_list(world: &World, list: Value) -> (u16, Vec<String>) {
    let reply = world.owner("PATCH", "/v1/orgs/acme/settings", &json!({"allowed_cidrs": list})).await;
    (reply.status, reply.fields())
}

/// The two lists of a key with `203.0.113.0/24`, judged for an address under a list of the organization.
async fn two_lists(organization: &str, ip: &str) -> [(u16, String); 2] {
    let world = World::new().await;
    let (_, token) = world.listed_key(&["203.0.113.0/24"]).await;
    // The gateway's own key is held to the list as well, so both of its networks stay in.
    assert_eq!(organization_list(&world, json!([organization, PEER])).await, (200, Vec::new()));
    Attempt::of(&token).from(ip).outcomes(&world).await
}

/// spec: policy §4.8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_lists_must_allow() {
    let outcomes = [
        two_lists("198.51.100.0/24", "203.0.113.7").await,
        two_lists("198.51.100.0/24", "203.0.113.8").await,
        two_lists("198.51.100.0/24", "198.51.100.1").await,
        two_lists("192.0.2.0/24", "198.51.100.1").await,
    ];
    let refused = || both(403, "ip_not_allowed");
    assert_eq!(outcomes, [passed(), refused(), refused(), refused()]);
}

/// spec: policy §4.8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_organizations_list_binds_keys_without_a_list() {
    let world = World::new().await;
    let (_, token) = world.key(&["checks:read"]).await;
    organization_list(&world, json!([PEER])).await;
    let outcomes = Attempt::of(&token).from("198.51.100.1").outcomes(&world).await;
    assert_eq!(outcomes, both(403, "ip_not_allowed"));
}

/// spec: policy §4.8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_organizations_list_is_as_strict_as_a_keys() {
    let world = World::new().await;
    let told = [
        organization_list(&world, json!([])).await,
        organization_list(&world, json!(["10.0.0.1/8"])).await,
        organization_list(&world, json!(["0.0.0.0/0"])).await,
        organization_list(&world, addresses(51)).await,
    ];
    let refused = |field: &str| (422, vec![field.to_owned()]);
    let expected = [
        refused("allowed_cidrs: empty_allowlist"),
        refused("allowed_cidrs[0]: host_bits_set"),
        refused("allowed_cidrs[0]: allows_everything"),
        refused("allowed_cidrs: too_many_entries"),
    ];
    assert_eq!(told, expected);
}

/// spec: policy §4.8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trail_says_which_list_refused() {
    let world = World::new().await;
    let (_, token) = world.listed_key(&["203.0.113.0/24"]).await;
    Attempt::of(&token).from("198.51.100.1").verify(&world.api, &world.gateway).await;
    organization_list(&world, json!([PEER])).await;
    Attempt::of(&token).from("203.0.113.8").verify(&world.api, &world.gateway).await;
    let events = world.events("api.call").await;
    let told: Vec<_> =
        events.iter().map(|event| [&event["detail"]["list"], &event["detail"]["allowed_cidrs"]]).collect();
    let expected =
        [[&json!("key"), &json!(["203.0.113.0/24"])], [&json!("organization"), &json!([format!("{PEER}/32")])]];
    assert_eq!(told, expected);
}

async fn explained_list(world: &World, key: &str, ip: &str) -> String {
    let call = json!({"method": "GET", "path": "/api/v1/checks", "client_ip": ip});
    let reply = world.owner("POST", &format!("/v1/orgs/acme/keys/{key}/explain"), &call).await.json();
    let steps = reply["steps"].as_array().unwrap().clone();
    let step = steps.iter().find(|step| step["step"] == "allowlist").unwrap();
    step["detail"].as_str().unwrap().to_owned()
}

/// spec: policy §4.8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explanation_says_which_list_refused() {
    let world = World::new().await;
    let (id, _) = world.listed_key(&["203.0.113.0/24"]).await;
    organization_list(&world, json!([PEER, "192.0.2.0/24"])).await;
    let details = [
        explained_list(&world, &id, "192.0.2.1").await,
        explained_list(&world, &id, "203.0.113.8").await,
        explained_list(&world, &id, "198.51.100.1").await,
        explained_list(&world, &id, PEER).await,
    ];
    let expected = [
        "the key's list does not hold 192.0.2.1",
        "the organization's list does not hold 203.0.113.8",
        "the key's list and the organization's do not hold 198.51.100.1",
        "the key's list and the organization's hold the address",
    ];
    assert_eq!(details, expected);
}

async fn replace_list(world: &World, key: &str, networks: &[&str]) -> Value {
    world.api.app.flush().await;
    let list = json!({"allowed_cidrs": networks});
    let reply = world.owner("PUT", &format!("/v1/orgs/acme/keys/{key}/allowlist"), &list).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

/// spec: policy §4.9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_list_warns_of_each_recent_source_that_it_blocks() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    for ip in ["203.0.113.7", "198.51.100.1", "198.51.100.2", "2001:db8:7::1"] {
        Attempt::of(&token).from(ip).verify(&world.api, &world.gateway).await;
    }
    let replaced = replace_list(&world, &id, &["203.0.113.0/24"]).await;
    let told: Vec<_> =
        replaced["warnings"].as_array().unwrap().iter().map(|warning| warning["detail"].clone()).collect();
    let expected = [
        "the new list blocks 198.51.100.0/24, from which 2 calls came in the last 7 days",
        "the new list blocks 2001:db8:7::/48, from which 1 calls came in the last 7 days",
    ];
    assert_eq!(told, expected);
}

/// spec: policy §4.9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_list_is_answered_with_the_key() {
    let world = World::new().await;
    let (id, _) = world.key(&["checks:read"]).await;
    let replaced = replace_list(&world, &id, &["203.0.113.0/24"]).await;
    assert_eq!(
        (&replaced["key"]["id"], &replaced["key"]["allowed_cidrs"], warnings(&replaced)),
        (&json!(id), &json!(["203.0.113.0/24"]), Vec::new())
    );
}

/// spec: policy §4.9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_list_is_in_force_at_once() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    replace_list(&world, &id, &["198.51.100.0/24"]).await;
    assert_eq!(Attempt::of(&token).outcomes(&world).await, both(403, "ip_not_allowed"));
}

/// spec: policy §4.9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_of_more_than_seven_days_ago_deserve_no_warning() {
    let world = World::new().await;
    let (id, token) = world.key(&["checks:read"]).await;
    Attempt::of(&token).from("198.51.100.1").verify(&world.api, &world.gateway).await;
    world.api.app.advance_days(8).await;
    let owner = world.api.sign_in(&world.org.owner).await;
    let list = json!({"allowed_cidrs": ["203.0.113.0/24"]});
    let path = format!("/v1/orgs/acme/keys/{id}/allowlist");
    let replaced = world.api.ask("PUT", &path).browser(&owner).json(&list).send().await;
    assert_eq!((replaced.status, warnings(&replaced.json())), (200, Vec::new()));
}

/// spec: policy §4.9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calls_of_other_keys_deserve_no_warning() {
    let world = World::new().await;
    let (id, _) = world.key(&["checks:read"]).await;
    let (_, other) = world.key(&["checks:read"]).await;
    Attempt::of(&other).from("198.51.100.1").verify(&world.api, &world.gateway).await;
    assert_eq!(warnings(&replace_list(&world, &id, &["203.0.113.0/24"]).await), Vec::<String>::new());
}
