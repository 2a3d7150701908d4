use proptest::prelude::*;

use super::*;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

fn wait(attempts_made: u32, jitter: u16, retry_after: Option<Duration>) -> Option<i64> {
    next_attempt(attempts_made, now(), jitter, retry_after).map(|at| (at - now()).num_milliseconds())
}

#[test]
fn ten_attempts_are_spread_over_three_days() {
    let waits: Vec<_> = (0..11).map(|made| wait(made, 0, None).map(|milliseconds| milliseconds / 1_000)).collect();
    let planned = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400].map(Some);
    assert_eq!(waits, [planned.as_slice(), &[None]].concat());
}

#[test]
fn jitter_lengthens_a_wait_by_a_tenth_at_most() {
    assert_eq!([0, u16::MAX].map(|jitter| wait(2, jitter, None)), [Some(300_000), Some(330_000)]);
}

#[test]
fn nobody_comes_back_earlier_than_the_endpoint_wishes() {
    assert_eq!(wait(1, u16::MAX, Some(Duration::from_secs(90))), Some(90_000));
}

#[test]
fn a_wish_is_kept_for_an_hour_and_never_shortens_a_wait() {
    let wishes = [Duration::ZERO, Duration::from_secs(60), Duration::from_secs(86_400), Duration::MAX];
    let waits = wishes.map(|wish| wait(2, 0, Some(wish)));
    assert_eq!(waits, [Some(300_000), Some(300_000), Some(3_600_000), Some(3_600_000)]);
}

#[test]
fn nothing_follows_the_tenth_attempt_even_if_the_endpoint_asks_for_it() {
    assert_eq!([10, 11, u32::MAX].map(|made| wait(made, 0, Some(Duration::from_secs(1)))), [None; 3]);
}

proptest! {
    #[test]
    fn no_wait_is_shorter_than_planned_or_longer_by_more_than_a_tenth(made in 0..MOST_ATTEMPTS, jitter: u16) {
        let (least, got) = (wait(made, 0, None).unwrap(), wait(made, jitter, None).unwrap());
        prop_assert!(least <= got && got <= least + least / 10);
    }
}
