//! Days that are sealed, dropped or gone.

use super::*;

/// Two days of 30 records each, both sealed; the first one's records are those up to 30.
fn two_days() -> Trail {
    let mut trail = trail();
    trail.clock += Duration::days(3);
    for number in 0..30 {
        trail.event(number % 3);
    }
    trail.clock += Duration::days(1);
    let sealed = trail.days().into_iter().map(|day| seal(&trail.records, day)).collect();
    trail.checkpoint_with(|body| body.sealed = sealed);
    trail
}

fn drop_first_day(trail: &mut Trail, kept: &[usize]) -> DroppedDay {
    let day = trail.days()[0];
    let sealed = seal(&trail.records, day);
    let mut number = 0;
    trail.records.retain(|record| {
        number += 1;
        record.entry.occurred_at.date_naive() != day || kept.contains(&(number - 1))
    });
    DroppedDay { day, sealed: Some((sealed.rows, sealed.root)), kept: kept.len() as u64 }
}

fn verify_dropped(trail: &Trail, dropped: DroppedDay) -> Report {
    let options = Options { dropped: vec![dropped], ..trail.options() };
    verify(options, &trail.records, &trail.checkpoints, &[])
}

#[test]
fn sealed_days_that_are_there_are_whole() {
    assert_eq!(told(&two_days().verify()), WHOLE);
}

#[test]
fn a_day_of_other_rows_or_another_root_than_sealed_is_found() {
    let told = [(29, None), (30, Some(Bytes([0; 32])))].map(|(rows, root)| {
        let mut trail = two_days();
        trail.sign_anew(3, |body| body.sealed[0].rows = rows);
        let sealed = seal(&trail.records, trail.days()[0]);
        let mut verifier = Verifier::new(trail.options());
        trail.checkpoints.iter().for_each(|checkpoint| verifier.checkpoint(checkpoint));
        trail.records.iter().for_each(|record| verifier.record(record));
        verifier.day(sealed.day, sealed.rows, root.unwrap_or(sealed.root));
        told(&verifier.finish())
    });
    assert_eq!(told, [of_checkpoint(Reason::SealDiffers); 2]);
}

/// spec: audit A14
#[test]
fn a_sealed_day_that_retention_dropped_is_whole() {
    let told = [&[][..], &[4, 5, 17], &[0, 29]].map(|kept| {
        let mut trail = two_days();
        let dropped = drop_first_day(&mut trail, kept);
        told(&verify_dropped(&trail, dropped))
    });
    assert_eq!(told, [WHOLE; 3]);
}

/// spec: audit A13
#[test]
fn a_day_that_is_gone_without_a_seal_is_incomplete() {
    let mut trail = two_days();
    trail.sign_anew(3, |body| body.sealed.truncate(0));
    let dropped = drop_first_day(&mut trail, &[]);
    assert_eq!(told(&verify_dropped(&trail, dropped)), incomplete(Reason::DayUnsealed, None));
}

#[test]
fn a_kept_row_that_is_gone_too_is_missed() {
    let mut trail = two_days();
    let dropped = drop_first_day(&mut trail, &[4, 5, 17]);
    trail.records.remove(1);
    assert_eq!(verify_dropped(&trail, dropped).verdict, Verdict::Tampered);
}

#[test]
fn a_record_gone_behind_a_dropped_day_is_missed() {
    let mut trail = two_days();
    let dropped = drop_first_day(&mut trail, &[4, 5, 17]);
    trail.records.remove(20);
    assert_eq!(verify_dropped(&trail, dropped).verdict, Verdict::Tampered);
}

#[test]
fn records_cut_off_behind_a_dropped_day_are_told_of() {
    let mut trail = two_days();
    let dropped = drop_first_day(&mut trail, &[4, 5, 17]);
    trail.records.truncate(25);
    assert_eq!(verify_dropped(&trail, dropped).verdict, Verdict::Incomplete);
}
