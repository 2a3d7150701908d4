mod checkpoints;
mod days;
mod properties;
mod trail;

use chrono::Duration;
use serde_json::json;

use self::trail::{Trail, seal, verify};
use super::*;
use crate::{
    bytes::Bytes,
    chain,
    checkpoint::{Checkpoint, tests::key},
};

/// Three streams, 30 records, a checkpoint each 10.
fn trail() -> Trail {
    let mut trail = Trail::new();
    for number in 0..30 {
        trail.event(number % 3);
        if number % 10 == 9 {
            trail.checkpoint();
        }
    }
    trail
}

fn after(change: impl FnOnce(&mut Trail)) -> Report {
    let mut trail = trail();
    change(&mut trail);
    trail.verify()
}

/// Verdict, reason and sequence of what is wrong.
fn told(report: &Report) -> (Verdict, Option<Reason>, Option<i64>) {
    let finding = report.first_bad.as_ref().or(report.incomplete.as_ref());
    (report.verdict, finding.map(|finding| finding.reason), finding.and_then(|finding| finding.sequence))
}

const fn tampered(reason: Reason, sequence: i64) -> (Verdict, Option<Reason>, Option<i64>) {
    (Verdict::Tampered, Some(reason), Some(sequence))
}

const fn of_checkpoint(reason: Reason) -> (Verdict, Option<Reason>, Option<i64>) {
    (Verdict::Tampered, Some(reason), None)
}

const fn incomplete(reason: Reason, sequence: Option<i64>) -> (Verdict, Option<Reason>, Option<i64>) {
    (Verdict::Incomplete, Some(reason), sequence)
}

const WHOLE: (Verdict, Option<Reason>, Option<i64>) = (Verdict::Whole, None, None);

/// spec: audit A22
#[test]
fn an_untouched_trail_of_three_streams_is_whole() {
    let report = trail().verify();
    assert_eq!((told(&report), report.events, report.checkpoints, report.uncovered), (WHOLE, 30, 3, 0));
}

#[test]
fn the_report_names_the_first_contradiction() {
    let report = after(|trail| trail.records[14].entry.status = Some(500));
    let value = serde_json::to_value(report).unwrap();
    let (ok, verdict, bad) = (&value["ok"], &value["verdict"], &value["first_bad"]);
    let stream = Trail::stream(2).to_string();
    assert_eq!(
        (ok, verdict, bad),
        (&json!(false), &json!("tampered"), &json!({"stream": stream, "sequence": 5, "reason": "changed"}))
    );
}

#[test]
fn each_verdict_has_its_exit_code() {
    assert_eq!([Verdict::Whole, Verdict::Tampered, Verdict::Incomplete].map(Verdict::exit_code), [0, 10, 11]);
}

#[test]
fn every_reason_has_a_word_of_its_own() {
    let words: HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
}

/// spec: audit A9
#[test]
fn a_changed_field_is_found_at_its_record() {
    let report = after(|trail| trail.records[4].entry.outcome = "denied".into());
    assert_eq!(told(&report), tampered(Reason::Changed, 2));
}

#[test]
fn a_changed_record_with_a_new_leaf_breaks_the_link_behind_it() {
    let report = after(|trail| trail.forge(4, |record| record.entry.status = Some(500)));
    assert_eq!(told(&report), tampered(Reason::Unlinked, 3));
}

#[test]
fn a_chain_that_was_written_anew_ends_at_another_head() {
    let report = after(|trail| trail.forge_from(4, |record| record.entry.status = Some(500)));
    assert_eq!(told(&report), tampered(Reason::HeadDiffers, 3));
}

/// spec: audit A10
#[test]
fn a_record_gone_from_the_middle_is_missing() {
    let report = after(|trail| drop(trail.records.remove(4)));
    assert_eq!(told(&report), tampered(Reason::Missing, 2));
}

/// spec: audit A10
#[test]
fn a_record_put_in_repeats_a_sequence() {
    let report = after(|trail| {
        let mut forged = trail.records[4].clone();
        forged.entry.id = Uuid::from_u128(99);
        Trail::reseal(&mut forged);
        trail.records.insert(5, forged);
    });
    assert_eq!(told(&report), tampered(Reason::Repeated, 2));
}

#[test]
fn a_record_of_no_place_is_forged() {
    let report = after(|trail| {
        let mut forged = trail.records[4].clone();
        forged.sequence = 0;
        Trail::reseal(&mut forged);
        trail.records.push(forged);
    });
    assert_eq!(told(&report), tampered(Reason::Forged, 0));
}

#[test]
fn another_address_is_not_the_one_that_was_written() {
    let report = after(|trail| trail.records[4].entry.ip = Some([203, 0, 113, 99].into()));
    assert_eq!(told(&report), tampered(Reason::Commitment, 2));
}

#[test]
fn an_address_without_commitment_is_no_address() {
    let report = after(|trail| {
        trail.forge_from(4, |record| record.ip_commit = None);
    });
    assert_eq!(told(&report), tampered(Reason::Commitment, 2));
}

/// spec: audit A15
#[test]
fn an_erased_address_that_an_event_names_is_whole() {
    let mut trail = trail();
    let id = trail.erase(4);
    trail.event_with(0, |entry| {
        entry.action = ERASE.into();
        entry.detail.insert("erased".into(), json!([id.to_string()]));
    });
    trail.checkpoint();
    let report = trail.verify();
    assert_eq!((told(&report), report.unaddressed), (WHOLE, 1));
}

#[test]
fn an_erased_address_that_no_event_names_is_found() {
    let report = after(|trail| {
        trail.erase(4);
    });
    assert_eq!(told(&report), tampered(Reason::ErasedWithoutEvent, 2));
}

/// spec: audit A11
#[test]
fn records_cut_off_behind_a_checkpoint_are_told_of() {
    let report = after(|trail| trail.records.truncate(25));
    assert_eq!(told(&report), incomplete(Reason::Truncated, Some(10)));
}

#[test]
fn what_is_cut_off_without_a_checkpoint_is_not_found() {
    let mut trail = trail();
    trail.checkpoints.clear();
    trail.records.truncate(25);
    assert_eq!(told(&trail.verify()), WHOLE);
}

#[test]
fn an_emptied_trail_is_incomplete() {
    let report = after(|trail| trail.records.clear());
    assert_eq!(told(&report), incomplete(Reason::Truncated, Some(1)));
}

#[test]
fn tampering_outranks_what_is_missing_at_the_end() {
    let report = after(|trail| {
        trail.records.truncate(25);
        trail.records[24].entry.status = None;
    });
    assert_eq!((report.verdict, report.incomplete.is_some()), (Verdict::Tampered, true));
}

/// A stream of one forged record, written a while before the newest checkpoint.
fn with_stranger(minutes: i64) -> Trail {
    let mut trail = trail();
    let mut stranger = Trail::new();
    stranger.event(7);
    trail.records.extend(stranger.records);
    trail.clock += Duration::minutes(minutes);
    trail.checkpoint();
    trail
}

#[test]
fn a_stream_that_no_checkpoint_knows_is_forged_unless_it_is_young() {
    let told = [11, 9].map(|minutes| told(&with_stranger(minutes).verify()));
    assert_eq!(told, [tampered(Reason::UnknownStream, 1), WHOLE]);
}

#[test]
fn a_stream_that_is_being_written_may_be_in_no_checkpoint() {
    let trail = with_stranger(11);
    let options = Options { live: HashSet::from([Trail::stream(7)]), ..trail.options() };
    assert_eq!(told(&verify(options, &trail.records, &trail.checkpoints, &[])), WHOLE);
}

#[test]
fn a_record_behind_the_end_of_a_dead_stream_is_forged() {
    let mut trail = trail();
    let mut more = trail.clone();
    more.event(0);
    trail.clock += Duration::minutes(11);
    trail.checkpoint();
    trail.records = more.records;
    assert_eq!(told(&trail.verify()), tampered(Reason::Forged, 11));
}

#[test]
fn a_spool_that_is_drained_late_forges_nothing() {
    let mut trail = trail();
    trail.event(7);
    let mut late = trail.records.pop().unwrap();
    trail.clock += Duration::hours(12);
    late.recorded_at = trail.clock;
    trail.heads.remove(&Trail::stream(7));
    trail.leaves.clear();
    trail.checkpoint();
    trail.records.push(late);
    assert_eq!(told(&trail.verify()), WHOLE);
}

#[test]
fn the_heads_that_the_database_knows_are_held_against_the_records() {
    let trail = trail();
    let last = trail.checkpoints[2].body.streams[0].clone();
    let heads = [
        last.clone(),
        Head { sequence: 9, ..last.clone() },
        Head { hash: Bytes([0; 32]), ..last.clone() },
        Head { sequence: 12, ..last },
    ];
    let told = heads.map(|head| {
        let options = Options { heads: vec![head], ..trail.options() };
        told(&verify(options, &trail.records, &trail.checkpoints, &[]))
    });
    let expected =
        [WHOLE, tampered(Reason::Forged, 10), tampered(Reason::Forged, 10), incomplete(Reason::Truncated, Some(11))];
    assert_eq!(told, expected);
}

#[test]
fn a_part_of_a_trail_is_checked_as_far_as_it_goes() {
    let verify_part = |change: fn(&mut Trail)| {
        let mut trail = trail();
        trail.records.retain(|record| record.sequence % 4 != 2 && record.stream != Trail::stream(1));
        change(&mut trail);
        let options = Options { partial: true, ..trail.options() };
        told(&verify(options, &trail.records, &trail.checkpoints[1..], &[]))
    };
    let parts = [
        verify_part(|_| ()),
        verify_part(|trail| trail.records[3].entry.status = None),
        verify_part(|trail| trail.forge(2, |record| record.entry.status = None)),
        verify_part(|trail| {
            let last = trail.records.iter().position(|record| record.sequence == 7).unwrap();
            trail.forge(last, |record| record.entry.status = None);
        }),
    ];
    let expected =
        [WHOLE, tampered(Reason::Changed, 3), tampered(Reason::Unlinked, 4), tampered(Reason::HeadDiffers, 7)];
    assert_eq!(parts, expected);
}

#[test]
fn more_holes_than_anybody_leaves_are_missing_records() {
    let mut trail = Trail::new();
    (0..2 * i64::try_from(stream::MAX_HOLES).unwrap() + 10).for_each(|_| trail.event(0));
    trail.records.retain(|record| record.sequence % 2 == 1);
    assert_eq!(told(&trail.verify()), tampered(Reason::Missing, 2));
}

#[test]
fn a_checkpoint_is_wanted_until_one_covers_the_record() {
    let trail = trail();
    let mut verifier = Verifier::new(trail.options());
    let mut wanted = Vec::new();
    for checkpoint in &trail.checkpoints {
        wanted.push(verifier.wants_checkpoint(&trail.records[14]));
        verifier.checkpoint(checkpoint);
    }
    assert_eq!(wanted, [true, true, false]);
}
