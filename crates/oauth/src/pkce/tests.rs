use proptest::prelude::*;

use super::*;
use crate::fixtures::{CHALLENGE, VERIFIER};

fn challenge_of(verifier: &str) -> Challenge {
    Challenge::parse(&URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))).unwrap()
}

#[test]
fn the_example_of_rfc_7636_appendix_b_fits() {
    let challenge = Challenge::parse(CHALLENGE).unwrap();
    assert!(challenge.fits(&Verifier::parse(VERIFIER).unwrap()));
}

#[test]
fn the_challenge_itself_is_a_wrong_verifier() {
    let challenge = Challenge::parse(CHALLENGE).unwrap();
    assert!(!challenge.fits(&Verifier::parse(CHALLENGE).unwrap()));
}

#[test]
fn a_challenge_has_exactly_43_characters() {
    let lengths = [0, 42, 43, 44, 64, 86].map(|length| Challenge::parse(&"A".repeat(length)).is_some());
    assert_eq!(lengths, [false, false, true, false, false, false]);
}

#[test]
fn a_challenge_has_no_other_characters_than_base64url() {
    let with = |put: &str| Challenge::parse(&format!("{put}{}", "A".repeat(43 - put.len())));
    assert_eq!(["+", "/", "=", ".", "~", " ", "\n", "\0", "é"].map(with), [const { None }; 9]);
}

#[test]
fn a_verifier_has_43_to_128_characters() {
    let lengths = [0, 42, 43, 128, 129].map(|length| Verifier::parse(&"a".repeat(length)).is_some());
    assert_eq!(lengths, [false, false, true, true, false]);
}

#[test]
fn a_verifier_has_no_other_characters_than_unreserved_ones() {
    let with = |put: &str| Verifier::parse(&format!("{put}{}", "a".repeat(43 - put.len()))).is_some();
    assert_eq!(["+", "/", "=", "%", " ", "\n", "\0", "é", "._~-"].map(with), {
        let mut expected = [false; 9];
        expected[8] = true;
        expected
    });
}

#[test]
fn debug_hides_the_verifier() {
    assert_eq!(format!("{:?}", Verifier::parse(VERIFIER).unwrap()), "Verifier(…)");
}

proptest! {
    #[test]
    fn a_verifier_fits_its_own_challenge_alone(one in "[A-Za-z0-9._~-]{43,128}", other in "[A-Za-z0-9._~-]{43,128}") {
        let fits = challenge_of(&one).fits(&Verifier::parse(&other).unwrap());
        prop_assert_eq!(fits, one == other);
    }

    #[test]
    fn a_verifier_in_another_case_does_not_fit(verifier in "[a-z]{43}") {
        prop_assert!(!challenge_of(&verifier).fits(&Verifier::parse(&verifier.to_uppercase()).unwrap()));
    }
}
