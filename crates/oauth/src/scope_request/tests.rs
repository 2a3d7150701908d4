use proptest::{prelude::*, sample::subsequence};

use super::*;
use crate::fixtures::{CATALOG, scopes};

fn read(text: &str) -> Result<Option<ScopeSet>, ScopeRefusal> {
    parse(Some(Field::Text(text)), &CATALOG)
}

fn asked(text: &str) -> Result<ScopeSet, ScopeRefusal> {
    requested(Some(Field::Text(text)), &CATALOG, scopes("monitoring:read alerts:write"), scopes("monitoring:read"))
}

#[test]
fn blanks_and_commas_separate_in_any_mix() {
    let texts = [
        "monitoring:read alerts:write",
        "monitoring:read,alerts:write",
        " ,monitoring:read ,, alerts:write , ",
        "alerts:write,monitoring:read alerts:write",
    ];
    assert_eq!(texts.map(read), [Ok(Some(scopes("monitoring:read alerts:write"))); 4]);
}

#[test]
fn an_answer_has_each_name_once_in_the_order_of_the_catalog() {
    let set = read("incidents:write,alerts:write  monitoring:read,alerts:write").unwrap().unwrap();
    assert_eq!(text(&CATALOG, set), "monitoring:read incidents:write alerts:write");
}

#[test]
fn case_matters() {
    assert_eq!(read("Monitoring:Read"), Err(ScopeRefusal::Unknown));
}

#[test]
fn a_name_outside_the_catalog_is_refused_and_not_dropped() {
    let texts = ["bogus", "monitoring:read bogus", "monitoring", "monitoring:read;alerts:write", "*", "monitoring:*"];
    assert_eq!(texts.map(read), [Err(ScopeRefusal::Unknown); 6]);
}

#[test]
fn a_character_that_rfc_6749_does_not_allow_is_refused() {
    let texts = ["a\"b", "a\\b", "a\tb", "a\nb", "a\u{7f}b", "monitoring:réad", "monitoring:read\u{a0}alerts:write"];
    assert_eq!(texts.map(read), [Err(ScopeRefusal::Malformed); 7]);
}

#[test]
fn what_does_not_decode_is_refused() {
    assert_eq!(parse(Some(Field::Broken), &CATALOG), Err(ScopeRefusal::Malformed));
}

#[test]
fn the_longest_parameter_has_1024_characters() {
    let of = |length: usize| format!("{:length$}", "monitoring:read");
    assert_eq!([1_024, 1_025].map(|length| read(&of(length)).err()), [None, Some(ScopeRefusal::Malformed)]);
}

fn left(text: &str) -> Result<ScopeSet, ScopeRefusal> {
    remaining(Some(Field::Text(text)), &CATALOG, scopes("monitoring:read alerts:write"), scopes("monitoring:read"))
}

#[test]
fn of_a_request_that_was_judged_before_what_the_app_still_has_is_left() {
    let texts = ["incidents:write,alerts:write", "incidents:write monitoring:read bogus", "incidents:write", "bogus"];
    let expected = [scopes("alerts:write"), scopes("monitoring:read"), ScopeSet::EMPTY, ScopeSet::EMPTY];
    assert_eq!(texts.map(left), expected.map(Ok));
}

#[test]
fn of_a_request_for_nothing_in_particular_the_default_is_left() {
    assert_eq!(["", " ,"].map(left), [Ok(scopes("monitoring:read")); 2]);
}

#[test]
fn separators_alone_name_nothing() {
    assert_eq!([" ", ",", " , ,"].map(read), [Ok(None); 3]);
}

#[test]
fn nothing_asked_gives_the_default() {
    assert_eq!(asked(" "), Ok(scopes("monitoring:read")));
}

#[test]
fn nothing_asked_without_a_default_is_refused() {
    let judged = requested(None, &CATALOG, scopes("monitoring:read"), ScopeSet::EMPTY);
    assert_eq!(judged, Err(ScopeRefusal::NoDefault));
}

#[test]
fn a_default_gives_no_more_than_the_app_may_have() {
    let judged = requested(None, &CATALOG, scopes("alerts:write"), scopes("alerts:write checks:read"));
    assert_eq!(judged, Ok(scopes("alerts:write")));
}

#[test]
fn a_default_that_is_outside_of_what_the_app_may_have_is_none() {
    assert_eq!(requested(None, &CATALOG, scopes("alerts:write"), scopes("checks:read")), Err(ScopeRefusal::NoDefault));
}

#[test]
fn a_scope_outside_of_what_the_app_may_have_is_refused_and_not_dropped() {
    assert_eq!(asked("monitoring:read incidents:write"), Err(ScopeRefusal::NotAllowed));
}

#[test]
fn each_refusal_has_a_word_of_its_own() {
    let all = [ScopeRefusal::Malformed, ScopeRefusal::Unknown, ScopeRefusal::NotAllowed, ScopeRefusal::NoDefault];
    assert_eq!(
        all.map(ScopeRefusal::as_str),
        ["scope_malformed", "scope_unknown", "scope_not_allowed", "scope_missing"]
    );
}

fn names() -> impl Strategy<Value = Vec<String>> {
    let all: Vec<String> = CATALOG.names(CATALOG.all()).into_iter().map(str::to_owned).collect();
    subsequence(all.clone(), 0..=all.len()).prop_shuffle()
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(names in names(), glue in "[ ,]{1,3}") {
        let set = read(&names.join(&glue)).unwrap().unwrap_or(ScopeSet::EMPTY);
        let again = read(&text(&CATALOG, set)).unwrap().unwrap_or(ScopeSet::EMPTY);
        prop_assert_eq!((set.len(), again), (names.len(), set));
    }

    #[test]
    fn what_is_given_was_asked_for_and_is_allowed(text in "[ -~]{0,40}", names in names(), bits in any::<u64>()) {
        let allowed = ScopeSet::from_bits(bits).intersection(CATALOG.all());
        let text = [names.join(" "), text].join(" ");
        if let Ok(given) = requested(Some(Field::Text(&text)), &CATALOG, allowed, CATALOG.all()) {
            let named = read(&text).unwrap().unwrap_or(allowed);
            prop_assert!(given.is_subset_of(allowed) && given == named && !given.is_empty());
        }
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text in ".*") {
        let odd = text.bytes().any(|byte| !(0x20..=0x7e).contains(&byte) || matches!(byte, b'"' | b'\\'));
        prop_assert!(!odd || read(&text) == Err(ScopeRefusal::Malformed));
    }
}
