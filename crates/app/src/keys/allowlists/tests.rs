use std::collections::BTreeMap;

use chrono::DateTime;
use statuspulse_keys::Creator;
use statuspulse_policy::ScopeSet;

use super::*;

fn list(entries: &[&str]) -> Allowlist {
    Allowlist::parse(entries, AllowAny::Yes).unwrap()
}

fn key(entries: Option<&[&str]>) -> Key {
    Key {
        id: KeyId::from_uuid(uuid::Uuid::from_u128(1)),
        organization_id: OrganizationId::from_uuid(uuid::Uuid::from_u128(2)),
        environment: Environment::Production,
        name: "deploy".into(),
        scopes: ScopeSet::EMPTY,
        allowlist: entries.map(list),
        allow_any: false,
        allowlist_notes: BTreeMap::new(),
        rate_limit_per_minute: None,
        lifespan: Duration::days(90),
        auto_rotate: false,
        successor_public_key: None,
        canary: false,
        current_version: 1,
        created_at: DateTime::UNIX_EPOCH,
        created_by: Creator::Operator("root".into()),
        disabled_at: None,
        revoked_at: None,
        revoke_reason: None,
        last_used_at: None,
        last_used_ips: Vec::new(),
        sequence: 1,
    }
}

/// The list that a key gets, as text, or why it gets none.
fn grown_to(key: &Key, add: &[&str], create_lists: bool) -> Result<Vec<String>, Untouched> {
    grown(key, &list(add), create_lists).map(|(list, _)| list.iter().map(ToString::to_string).collect())
}

fn texts(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

#[test]
fn new_ranges_stand_behind_those_that_are_there_and_each_once() {
    let key = key(Some(&["192.0.2.0/24", "198.51.100.7"]));
    let seen = grown_to(&key, &["203.0.113.0/24", "192.0.2.0/24", "203.0.113.0/24"], false);
    assert_eq!(seen, Ok(texts(&["192.0.2.0/24", "198.51.100.7/32", "203.0.113.0/24"])));
}

#[test]
fn spellings_of_a_range_that_is_there_are_listed_already() {
    let key = key(Some(&["192.0.2.7/32"]));
    assert_eq!(grown_to(&key, &["192.0.2.7", "::ffff:192.0.2.7"], false), Err(Untouched::AlreadyListed));
}

#[test]
fn only_the_ranges_that_a_key_had_not_are_new_to_it() {
    let (_, fresh) = grown(&key(Some(&["192.0.2.0/24"])), &list(&["192.0.2.0/24", "203.0.113.0/24"]), false).unwrap();
    assert_eq!(fresh.iter().map(ToString::to_string).collect::<Vec<_>>(), ["203.0.113.0/24"]);
}

#[test]
fn a_key_without_a_list_gets_one_only_when_that_is_said() {
    let seen = [false, true].map(|create| grown_to(&key(None), &["203.0.113.0/24"], create));
    assert_eq!(seen, [Err(Untouched::NoList), Ok(texts(&["203.0.113.0/24"]))]);
}

#[test]
fn a_key_that_allows_any_is_left_as_it_is_whatever_its_list() {
    let any = |entries| Key { allow_any: true, ..key(entries) };
    let seen = [any(None), any(Some(&["192.0.2.0/24"]))].map(|key| grown_to(&key, &["203.0.113.0/24"], true));
    assert_eq!(seen, [Err(Untouched::AllowsAny), Err(Untouched::AllowsAny)]);
}

#[test]
fn a_preview_without_ranges_looks_at_the_lists_as_they_are() {
    let held = key(Some(&["192.0.2.0/24"]));
    let seen = [would_have(&held, None).unwrap(), would_have(&key(None), None).unwrap()];
    assert_eq!(seen, [Some(list(&["192.0.2.0/24"])), None]);
}

#[test]
fn a_preview_counts_a_key_without_a_list_as_if_it_got_one() {
    let add = list(&["203.0.113.0/24"]);
    assert_eq!(would_have(&key(None), Some(&add)).unwrap(), Some(add));
}

#[test]
fn a_preview_of_a_list_that_would_be_too_long_names_the_key() {
    let many: Vec<String> = (0..50).map(|number| format!("198.51.{number}.0/24")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let refused = would_have(&key(Some(&many)), Some(&list(&["203.0.113.0/24"]))).unwrap_err();
    let AppError::Invalid(fields) = refused else { panic!("{refused:?}") };
    let named = "keys.00000000-0000-0000-0000-000000000001";
    assert_eq!((fields[0].field.as_str(), fields[0].code), (named, "too_many_entries"));
}

fn refused(choice: &Choice) -> (String, &'static str) {
    match choice.read() {
        Err(AppError::Invalid(fields)) => (fields[0].field.clone(), fields[0].code),
        _ => panic!("{choice:?} is no choice"),
    }
}

#[test]
fn keys_or_an_environment_are_chosen_and_never_both_or_none() {
    let keys = Some(vec![uuid::Uuid::nil().to_string()]);
    let environment = Some("staging".to_owned());
    let seen = [
        refused(&Choice { keys: keys.clone(), environment }),
        refused(&Choice::default()),
        refused(&Choice { keys: Some(Vec::new()), environment: None }),
        refused(&Choice { keys: Some(vec![String::new(); 201]), environment: None }),
        refused(&Choice { keys: Some(vec!["mine".to_owned()]), environment: None }),
        refused(&Choice { keys: None, environment: Some("moon".to_owned()) }),
    ];
    let expected = [
        ("environment", "keys_and_environment"),
        ("keys", "required"),
        ("keys", "out_of_bounds"),
        ("keys", "out_of_bounds"),
        ("keys[0]", "unknown_key"),
        ("environment", "unknown_environment"),
    ];
    assert_eq!(seen, expected.map(|(field, code)| (field.to_owned(), code)));
}
