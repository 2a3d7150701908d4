use super::*;
use crate::fixtures::{at, grant};

const END: i64 = ABSOLUTE_DAYS * 86_400;

fn pending() -> Grant {
    Grant { status: GrantStatus::Pending, ..grant() }
}

fn revoked() -> Grant {
    Grant { status: GrantStatus::Revoked, revoked_at: Some(at(1)), ..grant() }
}

fn of_an_app() -> Grant {
    Grant { user_id: None, absolute_expires_at: None, ..grant() }
}

#[test]
fn a_chain_ends_180_days_after_consent() {
    assert_eq!(Grant::absolute_end(at(0)), at(180 * 86_400));
}

#[test]
fn a_grant_lives_to_before_its_end() {
    let judged = [grant(), pending()].map(|grant| [0, END - 1, END].map(|now| grant.is_live(at(now))));
    assert_eq!(judged, [[true, true, false]; 2]);
}

#[test]
fn a_revoked_grant_does_not_live() {
    assert!(!revoked().is_live(at(0)));
}

#[test]
fn what_an_app_holds_for_itself_has_no_end() {
    assert!(of_an_app().is_live(at(100 * END)));
}

#[test]
fn what_an_app_held_for_itself_can_be_revoked() {
    assert!(!Grant { status: GrantStatus::Revoked, ..of_an_app() }.is_live(at(0)));
}

#[test]
fn an_active_grant_is_remembered_to_before_its_end() {
    assert_eq!([0, 300, END - 1, END].map(|now| grant().remembers(at(now))), [true, true, true, false]);
}

#[test]
fn a_decision_whose_code_waits_is_remembered_as_long_as_the_code_lives() {
    assert_eq!([0, 299, 300, END].map(|now| pending().remembers(at(now))), [true, true, false, false]);
}

#[test]
fn a_revoked_decision_is_forgotten() {
    assert_eq!([0, 299].map(|now| revoked().remembers(at(now))), [false; 2]);
}

#[test]
fn the_words_of_the_database_are_read_back() {
    let states = [GrantStatus::Pending, GrantStatus::Active, GrantStatus::Revoked];
    assert_eq!(states.map(|state| GrantStatus::from_word(state.as_str())), states.map(Some));
}

#[test]
fn another_word_is_no_state() {
    assert_eq!(["", "Active", "ended"].map(GrantStatus::from_word), [None; 3]);
}
