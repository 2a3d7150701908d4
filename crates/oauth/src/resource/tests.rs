use proptest::{prelude::*, sample::select};

use super::*;
use crate::fixtures::{AUDIENCE, ISSUER, known};

const SLASHED: &str = "https://auth.example/";

fn requested(texts: &[&str]) -> Result<Vec<String>, UnknownResource> {
    let fields = texts.iter().map(|text| Field::Text(text));
    Resources::requested(fields, &known()).map(|resources| resources.as_slice().to_vec())
}

fn of(texts: &[&str]) -> Resources {
    Resources::from_stored(texts.iter().map(|text| (*text).to_owned()).collect())
}

fn narrowed(held: &[&str], asked: &[&str]) -> Result<Vec<String>, UnknownResource> {
    let fields = asked.iter().map(|text| Field::Text(text));
    of(held).narrowed(fields, &known()).map(|resources| resources.as_slice().to_vec())
}

#[test]
fn nothing_asked_gives_the_public_url() {
    assert_eq!([requested(&[]), requested(&["", ""])], [Ok(vec![ISSUER.to_owned()]), Ok(vec![ISSUER.to_owned()])]);
}

#[test]
fn the_public_url_is_known_with_and_without_a_slash_and_kept_as_it_was_written() {
    assert_eq!(
        [ISSUER, SLASHED].map(|text| requested(&[text])),
        [Ok(vec![ISSUER.to_owned()]), Ok(vec![SLASHED.to_owned()])]
    );
}

#[test]
fn two_known_resources_are_accepted() {
    assert_eq!(requested(&[AUDIENCE, ISSUER]), Ok(vec![AUDIENCE.to_owned(), ISSUER.to_owned()]));
}

#[test]
fn a_resource_counts_once_in_whatever_spelling() {
    assert_eq!(requested(&[SLASHED, ISSUER, SLASHED]), Ok(vec![SLASHED.to_owned()]));
}

#[test]
fn whatever_is_not_known_is_refused() {
    let texts = [
        "https://evil.example",
        "https://auth.example//",
        "https://auth.example/x",
        "https://auth.example?",
        "https://auth.example#",
        "https://auth.example/#f",
        "https://AUTH.example",
        "https://auth.example:443",
        "http://auth.example",
        "auth.example",
        "/",
        " https://auth.example",
        "https://metrics.example/api/",
        "https://metrics.example",
    ];
    assert_eq!(texts.into_iter().find(|text| requested(&[text]).is_ok()), None);
}

#[test]
fn one_unknown_resource_spoils_the_request() {
    assert_eq!(requested(&[ISSUER, "https://evil.example"]), Err(UnknownResource));
}

#[test]
fn what_does_not_decode_is_unknown() {
    let fields = [Field::Text(ISSUER), Field::Broken].into_iter();
    assert_eq!(Resources::requested(fields, &known()), Err(UnknownResource));
}

#[test]
fn at_most_ten_resources_are_granted() {
    let audiences: Vec<String> = (0..11).map(|number| format!("https://{number}.example")).collect();
    let known = Known { public_url: ISSUER, audiences: &audiences };
    let ask = |count: usize| {
        let fields = audiences.iter().take(count).map(|text| Field::Text(text));
        Resources::requested(fields, &known).is_ok()
    };
    assert_eq!([10, 11].map(ask), [true, false]);
}

#[test]
fn a_token_request_that_names_nothing_gets_all_of_the_grant() {
    assert_eq!(narrowed(&[AUDIENCE, SLASHED], &["", ""]), Ok(vec![AUDIENCE.to_owned(), SLASHED.to_owned()]));
}

#[test]
fn a_token_request_gets_the_part_that_it_names() {
    assert_eq!(narrowed(&[AUDIENCE, SLASHED], &[ISSUER]), Ok(vec![ISSUER.to_owned()]));
}

#[test]
fn a_known_resource_that_was_not_granted_is_refused() {
    assert_eq!(narrowed(&[ISSUER], &[AUDIENCE]), Err(UnknownResource));
}

#[test]
fn a_granted_resource_beside_another_does_not_help_it() {
    assert_eq!(narrowed(&[ISSUER], &[ISSUER, AUDIENCE]), Err(UnknownResource));
}

#[test]
fn a_resource_that_is_no_longer_known_can_not_be_asked_for() {
    assert_eq!(narrowed(&["https://gone.example"], &["https://gone.example"]), Err(UnknownResource));
}

#[test]
fn a_resource_that_is_no_longer_known_is_still_itself() {
    let held = of(&["https://gone.example"]);
    let asked = ["https://gone.example", "https://gone.example/", "https://other.example"];
    assert_eq!(asked.map(|text| held.contains(text, &known())), [true, false, false]);
}

#[test]
fn audiences_meet_resources_in_either_spelling_of_the_public_url() {
    let meets = |audience: &str| of(&[SLASHED]).meet(&[audience.to_owned()], &known());
    assert_eq!([ISSUER, SLASHED, AUDIENCE].map(meets), [true, true, false]);
}

#[test]
fn no_audience_meets_nothing() {
    assert!(!of(&[ISSUER]).meet(&[], &known()));
}

#[test]
fn a_set_covers_its_parts_alone() {
    let covers = |held: &[&str], other: &[&str]| of(held).cover(&of(other), &known());
    assert_eq!(
        [
            covers(&[SLASHED, AUDIENCE], &[ISSUER]),
            covers(&[ISSUER], &[ISSUER, AUDIENCE]),
            covers(&[AUDIENCE], &[ISSUER])
        ],
        [true, false, false]
    );
}

proptest! {
    #[test]
    fn what_is_narrowed_is_covered(
        held in proptest::collection::vec(select(vec![ISSUER, SLASHED, AUDIENCE]), 1..4),
        asked in proptest::collection::vec(select(vec![ISSUER, SLASHED, AUDIENCE, "", "https://evil.example"]), 0..4),
    ) {
        let held = of(&held);
        if let Ok(part) = held.narrowed(asked.iter().map(|text| Field::Text(text)), &known()) {
            prop_assert!(held.cover(&part, &known()) && !part.as_slice().is_empty());
        }
    }
}
