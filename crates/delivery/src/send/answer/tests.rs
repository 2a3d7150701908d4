use proptest::prelude::*;

use super::*;

fn kept(pieces: &[&[u8]]) -> String {
    let mut beginning = Beginning::default();
    for piece in pieces {
        beginning.push(piece);
    }
    beginning.into_text()
}

/// 2026-01-01 00:00:00 UTC, a Thursday.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

fn seconds(value: &str) -> Option<u64> {
    retry_after(value, now()).map(|asked| asked.as_secs())
}

#[test]
fn a_short_answer_is_kept_whole() {
    assert_eq!(kept(&[b"thank ", b"you"]), "thank you");
}

#[test]
fn a_long_answer_is_cut() {
    let beginning = format!("{}{}", "a".repeat(1_000), "b".repeat(MOST_KEPT - 1_000));
    assert_eq!(kept(&[&[b'a'; 1_000], &[b'b'; 1_000]]), beginning);
}

#[test]
fn no_character_is_cut_in_two() {
    assert_eq!(kept(&["ä€😀".repeat(400).as_bytes()]), "ä€😀".repeat(MOST_KEPT / 9));
}

#[test]
fn what_could_act_on_a_terminal_is_escaped() {
    assert_eq!(kept(&[b"a\x1b[2J\0\r\n"]), r"a\u{1b}[2J\u{0}\r\n");
}

#[test]
fn what_could_turn_a_line_around_is_escaped() {
    assert_eq!(kept(&["x\u{202e}y".as_bytes()]), r"x\u{202e}y");
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    assert_eq!(kept(&[b"a\xffb"]), "a\u{fffd}b");
}

#[test]
fn retry_after_is_read_in_seconds() {
    assert_eq!(["0", "120", " 7 "].map(seconds), [Some(0), Some(120), Some(7)]);
}

#[test]
fn retry_after_is_read_as_a_date() {
    assert_eq!(seconds("Thu, 01 Jan 2026 00:02:00 GMT"), Some(120));
}

#[test]
fn a_date_that_has_passed_is_no_wait() {
    assert_eq!(seconds("Wed, 31 Dec 2025 23:00:00 GMT"), Some(0));
}

#[test]
fn no_wait_is_longer_than_an_hour() {
    let long = ["3601", "99999999999999999999999999", "Fri, 01 Jan 2027 00:00:00 GMT"];
    assert_eq!(long.map(seconds), [Some(3_600); 3]);
}

#[test]
fn what_is_neither_seconds_nor_a_date_is_no_wish() {
    assert_eq!(["", "-1", "1.5", "+3", "soon", "٣"].map(seconds), [None; 6]);
}

proptest! {
    #[test]
    fn whatever_comes_the_text_is_short_and_without_control_characters(bytes in proptest::collection::vec(any::<u8>(), 0..3_000)) {
        let text = kept(&[&bytes]);
        prop_assert!(text.len() <= MOST_KEPT && !text.chars().any(|character| character.is_control() || turns_text(character)));
    }
}
