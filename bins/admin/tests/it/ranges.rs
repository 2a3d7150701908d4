//! Networks for the lists of many keys.

use serde_json::{Value, json};

use crate::support::{Admin, NOBODY, text};

const ADD: &str = "key allowlist add --org acme --allow-cidr 203.0.113.0/24";
const CREATE: &str = "key create --org acme --scope checks:read --environment";

/// With a key for production that has a list, one that has none, and a listed one for staging: their ids.
async fn three_keys() -> (Admin, [String; 3]) {
    let admin = Admin::with_org().await;
    let create = |fields: &str| text(&admin.json(&format!("{CREATE} {fields}"))["key"]["id"]);
    let ids = [
        create("production --name held --allow-cidr 192.0.2.0/24"),
        create("production --name free"),
        create("staging --name apart --allow-cidr 192.0.2.0/24"),
    ];
    (admin, ids)
}

/// The lists of all keys by name.
async fn lists(admin: &Admin) -> String {
    admin
        .value("SELECT string_agg(name || '=' || coalesce(allowed_cidrs::text, 'any'), ' ' ORDER BY name) FROM keys")
        .await
}

const BEFORE: &str = "apart={192.0.2.0/24} free=any held={192.0.2.0/24}";

#[tokio::test]
async fn the_networks_are_added_to_the_listed_keys_of_an_environment() {
    let (admin, [held, free, _]) = three_keys().await;
    let answer = admin.json(&format!("{ADD} --environment production --yes"));
    let changed = [&answer["changed"][0]["id"], &answer["changed"][0]["allowed_cidrs"], &answer["changed"][1]];
    let expected = [&json!(held), &json!(["192.0.2.0/24", "203.0.113.0/24"]), &Value::Null];
    assert_eq!((changed, &answer["unchanged"]), (expected, &json!([{"id": free, "reason": "no_list"}])));
}

#[tokio::test]
async fn named_keys_get_a_list_when_that_is_said() {
    let (admin, [_, free, apart]) = three_keys().await;
    admin.json(&format!("{ADD} --key {free},{apart} --create-lists --yes"));
    let expected = "apart={192.0.2.0/24,203.0.113.0/24} free={203.0.113.0/24} held={192.0.2.0/24}";
    assert_eq!(lists(&admin).await, expected);
}

#[tokio::test]
async fn a_dry_run_answers_the_preview_and_changes_nothing() {
    let (admin, [held, free, _]) = three_keys().await;
    let answer = admin.json(&format!("{ADD} --environment production --dry-run"));
    let key = |id: &str, name: &str, list: Value| {
        json!({"id": id, "name": name, "environment": "production", "had_list": name == "held", "allowed_cidrs": list,
            "calls": 0, "would_be_blocked": 0, "sources": []})
    };
    let expected = json!({
        "keys": [
            key(&free, "free", json!(["203.0.113.0/24"])),
            key(&held, "held", json!(["192.0.2.0/24", "203.0.113.0/24"])),
        ],
        "calls": 0, "would_be_blocked": 0,
    });
    assert_eq!((answer, lists(&admin).await), (expected, BEFORE.to_owned()));
}

#[tokio::test]
async fn at_a_terminal_the_lists_are_shown_and_anything_but_a_yes_changes_nothing() {
    let (admin, _) = three_keys().await;
    let ran = admin.run_at_terminal(&format!("{ADD} --environment production"), "y\n");
    let asked = ["  held  ", "Keys without a list stay", "Add 203.0.113.0/24 to the lists of these 2 keys?"];
    let asked = asked.map(|part| ran.stderr.contains(part));
    assert_eq!((ran.code, asked, lists(&admin).await), (1, [true; 3], BEFORE.to_owned()), "{}", ran.stderr);
}

#[tokio::test]
async fn a_yes_at_the_terminal_adds_the_networks() {
    let (admin, _) = three_keys().await;
    let ran = admin.run_at_terminal(&format!("{ADD} --environment staging"), "yes\n");
    let expected = "apart={192.0.2.0/24,203.0.113.0/24} free=any held={192.0.2.0/24}";
    assert_eq!((ran.code, lists(&admin).await.as_str()), (0, expected));
}

#[tokio::test]
async fn where_nobody_can_be_asked_a_yes_is_demanded_for_networks() {
    let (admin, _) = three_keys().await;
    let ran = admin.run(&format!("{ADD} --environment production"));
    assert_eq!((ran.refusal("give --dry-run"), lists(&admin).await), ((2, true), BEFORE.to_owned()));
}

#[tokio::test]
async fn keys_or_an_environment_are_wanted_and_never_both() {
    let (admin, [held, ..]) = three_keys().await;
    let codes = [
        admin.run(&format!("{ADD} --yes")).code,
        admin.run(&format!("{ADD} --environment production --key {held} --yes")).code,
    ];
    assert_eq!(codes, [2, 2]);
}

#[tokio::test]
async fn an_unknown_key_among_the_named_ones_changes_none_and_ends_with_4() {
    let (admin, [held, ..]) = three_keys().await;
    let ran = admin.run(&format!("{ADD} --key {held} --key {NOBODY} --yes"));
    assert_eq!((ran.refusal("\n  keys[1]: "), lists(&admin).await), ((4, true), BEFORE.to_owned()));
}

#[tokio::test]
async fn what_deserves_a_second_look_is_told_with_the_name_of_the_key() {
    let (admin, [held, ..]) = three_keys().await;
    let ran = admin.run(&format!("key allowlist add --org acme --allow-cidr 10.0.0.0/8 --key {held} --yes"));
    assert!(ran.stderr.contains("warning[private_network]: held: allowed_cidrs[1]: "), "{}", ran.stderr);
}
