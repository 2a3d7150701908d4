use proptest::prelude::*;

use super::*;
use crate::fixtures::{AUDIENCE, ISSUER, app, app_secret, at, known};

#[test]
fn ordinary_names_can_be_shown() {
    let names = ["C", "<img src=x onerror=…>", "Überwachung 24/7", "监控", "تطبيق", "👩‍💻 tools", "a\"b'c&d"];
    assert_eq!(names.into_iter().find(|name| !is_displayable(name)), None);
}

#[test]
fn characters_that_turn_the_text_can_not_be_shown() {
    let turning = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
    assert_eq!(turning.chars().find(|character| is_displayable(&format!("a{character}b"))), None);
}

#[test]
fn line_breaks_can_not_be_shown() {
    let breaks = "\n\r\u{b}\u{c}\u{85}\u{2028}\u{2029}";
    assert_eq!(breaks.chars().find(|character| is_displayable(&format!("a{character}b"))), None);
}

#[test]
fn control_characters_can_not_be_shown() {
    let controls = ('\0'..='\u{1f}').chain('\u{7f}'..='\u{9f}');
    assert_eq!(controls.clone().find(|character| is_displayable(&format!("a{character}b"))), None);
}

#[test]
fn the_contracts_words_are_read_back() {
    let kinds = [AppKind::Confidential, AppKind::Public].map(|kind| AppKind::from_word(kind.as_str()) == Some(kind));
    let states =
        [AppStatus::Active, AppStatus::Suspended].map(|state| AppStatus::from_word(state.as_str()) == Some(state));
    let formats =
        [TokenFormat::Opaque, TokenFormat::Jwt].map(|form| TokenFormat::from_word(form.as_str()) == Some(form));
    assert_eq!([kinds, states, formats], [[true; 2]; 3]);
}

#[test]
fn another_word_is_none_of_the_contracts() {
    let words = ["", "Public", "deleted", "JWT"];
    let known = |word: &&str| {
        AppKind::from_word(word).is_some()
            || AppStatus::from_word(word).is_some()
            || TokenFormat::from_word(word).is_some()
    };
    assert_eq!(words.iter().find(|word| known(word)), None);
}

#[test]
fn a_secret_without_an_end_lives() {
    assert!(app_secret(1, 1).is_live(at(0)));
}

#[test]
fn a_secret_ends_at_its_end_or_as_soon_as_somebody_has_ended_it() {
    let secret = |expires: i64, revoked: Option<i64>| AppSecret {
        expires_at: Some(at(expires)),
        revoked_at: revoked.map(at),
        ..app_secret(1, 1)
    };
    // Ended by an instance whose clock is ahead, it is ended all the same.
    let judged = [(1, None), (0, None), (1, Some(0)), (1, Some(1))];
    let judged = judged.map(|(expires, revoked)| secret(expires, revoked).is_live(at(0)));
    assert_eq!(judged, [true, false, false, false]);
}

#[test]
fn an_earlier_end_of_a_secret_stays_beside_a_new_one() {
    let ends = [None, Some(at(5)), Some(at(500))].map(|expires_at| {
        let secret = AppSecret { expires_at, ..app_secret(1, 1) };
        secret.end_beside_a_new_one(at(0), Duration::seconds(100))
    });
    assert_eq!(ends, [at(100), at(5), at(100)]);
}

#[test]
fn an_overlap_of_nothing_ends_a_secret_at_once() {
    let end = app_secret(1, 1).end_beside_a_new_one(at(0), Duration::zero());
    assert!(!AppSecret { expires_at: Some(end), ..app_secret(1, 1) }.is_live(at(0)));
}

#[test]
fn an_app_is_active_unless_it_is_suspended_or_deleted() {
    let suspended = App { status: AppStatus::Suspended, ..app() };
    let deleted = App { deleted_at: Some(at(0)), ..app() };
    assert_eq!([app(), suspended, deleted].map(|app| app.is_active()), [true, false, false]);
}

#[test]
fn what_was_issued_before_a_suspension_stays_dead_after_it() {
    let resumed = App { tokens_valid_from: at(10), ..app() };
    assert_eq!([9, 10].map(|issued| resumed.accepts_issued_at(at(issued))), [false, true]);
}

#[test]
fn a_suspended_app_accepts_nothing() {
    let suspended = App { status: AppStatus::Suspended, ..app() };
    assert!(!suspended.accepts_issued_at(at(0)));
}

#[test]
fn an_app_without_audiences_stands_for_the_public_url() {
    let stands = |resource: &str| app().stands_for(&Resources::from_stored(vec![resource.to_owned()]), &known());
    assert_eq!([ISSUER, "https://auth.example/", AUDIENCE].map(stands), [true, true, false]);
}

#[test]
fn an_app_with_audiences_stands_for_them_alone() {
    let server = App { audiences: vec![AUDIENCE.to_owned()], ..app() };
    let stands = |resource: &str| server.stands_for(&Resources::from_stored(vec![resource.to_owned()]), &known());
    assert_eq!([AUDIENCE, ISSUER].map(stands), [true, false]);
}

proptest! {
    #[test]
    fn one_turning_or_control_character_spoils_any_name(
        before in "[a-z ]{0,8}", bad in "[\\p{Cc}\\u{202a}-\\u{202e}\\u{2066}-\\u{2069}\\u{2028}\\u{2029}]", after in "[a-z ]{0,8}",
    ) {
        prop_assert!(!is_displayable(&[before, bad, after].concat()));
    }
}
