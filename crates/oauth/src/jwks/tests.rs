use proptest::prelude::*;

use super::*;
use crate::fixtures::at;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// What a process does that looks at these instants, each in seconds: it makes a key whenever one is due. With the
/// instant at which each was made.
fn simulate(looks: impl IntoIterator<Item = i64>) -> Vec<(i64, Times)> {
    let mut held: Vec<(i64, Times)> = Vec::new();
    for now in looks {
        let times: Vec<Times> = held.iter().map(|(_, times)| *times).collect();
        held.extend(due(&times, at(now)).map(|made| (now, made)));
    }
    held
}

fn times(held: &[(i64, Times)]) -> Vec<Times> {
    held.iter().map(|(_, times)| *times).collect()
}

/// The instants at which something can change, and their neighbours.
fn edges(held: &[Times]) -> Vec<DateTime<Utc>> {
    let instants =
        held.iter().flat_map(|times| [times.publish_at, times.sign_from, times.sign_until, times.publish_until]);
    instants.flat_map(|instant| [-1, 0, 1].map(|second| instant + Duration::seconds(second))).collect()
}

fn signing(held: &[Times], now: DateTime<Utc>) -> usize {
    held.iter().filter(|times| times.signs(now)).count()
}

#[test]
fn the_first_key_is_published_and_signs_at_once() {
    assert_eq!(due(&[], at(0)), Some(Times::starting(at(0), at(0))));
}

#[test]
fn a_key_signs_for_30_days_and_stays_published_until_its_last_token_has_ended_and_an_hour_more() {
    let key = Times::starting(at(0), at(0));
    assert_eq!((key.sign_until, key.publish_until), (at(30 * DAY), at(30 * DAY + 2 * HOUR + HOUR)));
}

#[test]
fn a_key_signs_from_its_first_instant_to_before_its_last() {
    let key = Times::starting(at(0), at(DAY));
    assert_eq!([DAY - 1, DAY, 31 * DAY - 1, 31 * DAY].map(|now| key.signs(at(now))), [false, true, true, false]);
}

#[test]
fn a_key_is_published_before_it_signs_and_after() {
    let key = Times::starting(at(0), at(DAY));
    let end = 31 * DAY + 3 * HOUR;
    assert_eq!([-1, 0, end - 1, end].map(|now| key.is_published(at(now))), [false, true, true, false]);
}

#[test]
fn the_successor_is_made_two_days_before_and_published_one_day_before_it_signs() {
    let first = Times::starting(at(0), at(0));
    let successor = Times::starting(at(29 * DAY), at(30 * DAY));
    assert_eq!([28 * DAY - 1, 28 * DAY].map(|now| due(&[first], at(now))), [None, Some(successor)]);
}

#[test]
fn with_a_successor_nothing_more_is_due() {
    let held = [Times::starting(at(0), at(0)), Times::starting(at(29 * DAY), at(30 * DAY))];
    assert_eq!([28 * DAY, 29 * DAY, 30 * DAY, 58 * DAY - 1].map(|now| due(&held, at(now))), [None; 4]);
}

#[test]
fn a_process_that_looks_late_publishes_the_successor_at_once() {
    let first = Times::starting(at(0), at(0));
    let now = 30 * DAY - HOUR;
    assert_eq!(due(&[first], at(now)), Some(Times::starting(at(now), at(30 * DAY))));
}

#[test]
fn after_an_outage_a_key_signs_at_once() {
    let first = Times::starting(at(0), at(0));
    assert_eq!(due(&[first], at(30 * DAY)), Some(Times::starting(at(30 * DAY), at(30 * DAY))));
}

#[test]
fn a_key_from_a_clock_that_was_ahead_does_not_leave_us_without_one() {
    let ahead = Times::starting(at(90 * DAY), at(90 * DAY));
    assert_eq!(due(&[ahead], at(0)), Some(Times::starting(at(0), at(0))));
}

#[test]
fn over_two_years_exactly_one_key_signs_at_any_time() {
    let held = times(&simulate((0..720 * DAY).step_by(10 * 60)));
    let within = edges(&held).into_iter().filter(|now| (at(0)..at(720 * DAY)).contains(now));
    assert_eq!(within.clone().find(|now| signing(&held, *now) != 1), None);
}

#[test]
fn over_two_years_a_key_is_made_each_month() {
    assert_eq!(simulate((0..720 * DAY).step_by(10 * 60)).len(), 25);
}

#[test]
fn after_a_month_without_a_process_the_chain_goes_on() {
    let looks = (0..10 * DAY).step_by(600).chain((50 * DAY..200 * DAY).step_by(600));
    let held = times(&simulate(looks));
    let running = |now: &DateTime<Utc>| (at(50 * DAY)..at(200 * DAY)).contains(now);
    assert_eq!(edges(&held).into_iter().filter(running).find(|now| signing(&held, *now) != 1), None);
}

#[test]
fn a_rotation_at_once_leaves_one_key_that_signs() {
    let now = at(10 * DAY);
    let held = [Times::starting(at(0), at(0)).ending(now), Times::starting(now, now)];
    assert_eq!((signing(&held, now), signer(&held, now)), (1, Some(1)));
}

#[test]
fn a_key_that_is_ended_early_stays_published_for_its_last_token() {
    let key = Times::starting(at(0), at(0)).ending(at(DAY));
    assert_eq!([DAY + 3 * HOUR - 1, DAY + 3 * HOUR].map(|now| key.is_published(at(now))), [true, false]);
}

#[test]
fn a_rotation_at_once_beside_a_waiting_successor_hands_over_to_it() {
    let now = at(29 * DAY);
    let (first, successor) = (Times::starting(at(0), at(0)).ending(now), Times::starting(at(29 * DAY), at(30 * DAY)));
    let held = [first, successor, Times::starting(now, now)];
    assert_eq!([29 * DAY, 30 * DAY].map(|now| signer(&held, at(now))), [Some(2), Some(1)]);
}

#[test]
fn of_two_keys_the_one_that_began_later_signs() {
    let held = [Times::starting(at(0), at(5)), Times::starting(at(0), at(0))];
    assert_eq!(signer(&held, at(10)), Some(0));
}

#[test]
fn without_keys_none_signs() {
    assert_eq!(signer(&[], at(0)), None);
}

#[test]
fn a_published_key_has_public_members_alone() {
    let member = public_member("k", "x", "y");
    let names: Vec<&str> = member.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
}

#[test]
fn a_published_key_says_what_it_is_for() {
    let member = public_member("k", "x", "y");
    assert_eq!([&member["kid"], &member["alg"], &member["use"], &member["crv"]], ["k", "ES256", "sig", "P-256"]);
}

/// Looks of a process that never sleeps for longer than a day.
fn looks() -> impl Strategy<Value = Vec<i64>> {
    proptest::collection::vec(1..=DAY, 200..400).prop_map(|steps| {
        let sum = |now: &mut i64, step: i64| {
            *now += step;
            Some(*now)
        };
        std::iter::once(0).chain(steps.into_iter().scan(0, sum)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn however_it_looks_exactly_one_key_signs(looks in looks()) {
        let last = at(*looks.last().unwrap());
        let held = times(&simulate(looks));
        let within = edges(&held).into_iter().filter(|now| (at(0)..last).contains(now));
        prop_assert_eq!(within.clone().find(|now| signing(&held, *now) != 1), None);
    }

    #[test]
    fn however_it_looks_a_successor_is_published_for_a_day_before_it_signs(looks in looks()) {
        let held = simulate(looks);
        let short = |(_, times): &&(i64, Times)| times.sign_from - times.publish_at < PUBLISHED_BEFORE;
        prop_assert_eq!(held.iter().skip(1).find(short), None);
    }

    #[test]
    fn however_it_looks_a_successor_is_made_before_it_is_published(looks in looks()) {
        let held = simulate(looks);
        prop_assert_eq!(held.iter().find(|(made, times)| at(*made) > times.publish_at), None);
    }

    #[test]
    fn a_key_is_published_as_long_as_any_token_that_it_signed_lives(looks in looks(), issued in 0..40 * DAY, age in 0..=3 * HOUR) {
        let held = times(&simulate(looks));
        let issued = at(issued);
        if let Some(place) = signer(&held, issued) {
            prop_assert!(held[place].is_published(issued) && held[place].is_published(issued + Duration::seconds(age)));
        }
    }
}
