//! Checkpoints among themselves, and against copies held elsewhere.

use super::*;

/// spec: audit A12
#[test]
fn a_checkpoint_of_another_key_is_found() {
    let report = after(|trail| {
        let mut body = trail.checkpoints[1].body.clone();
        body.key_id = key(9).public_key().key_id();
        trail.checkpoints[1] = body.sign(&key(9), None).unwrap();
    });
    assert_eq!(told(&report), of_checkpoint(Reason::CheckpointKey));
}

/// spec: audit A12
#[test]
fn a_changed_checkpoint_is_signed_by_nobody() {
    let report = after(|trail| trail.checkpoints[1].body.leaves += 1);
    assert_eq!(told(&report), of_checkpoint(Reason::CheckpointSignature));
}

#[test]
fn a_checkpoint_gone_from_the_middle_or_there_twice_is_found() {
    let gone = after(|trail| drop(trail.checkpoints.remove(1)));
    let twice = after(|trail| trail.checkpoints.insert(1, trail.checkpoints[1].clone()));
    assert_eq!([told(&gone), told(&twice)], [of_checkpoint(Reason::CheckpointNumber); 2]);
}

#[test]
fn a_checkpoint_that_was_made_anew_is_not_the_one_that_the_next_follows() {
    let report = after(|trail| trail.sign_anew(1, |body| body.at += Duration::seconds(1)));
    assert_eq!(told(&report), of_checkpoint(Reason::CheckpointPrevious));
}

#[test]
fn a_head_that_goes_back_is_found() {
    let report = after(|trail| {
        let head = trail.checkpoints[1].body.streams[0].clone();
        trail.sign_anew(2, |body| body.streams[0] = head);
        trail.checkpoints[2].body.streams[0].sequence -= 1;
        trail.sign_anew(2, |_| ());
    });
    assert_eq!(report.first_bad.map(|bad| bad.reason), Some(Reason::HeadDiffers));
}

#[test]
fn a_root_of_other_leaves_is_found() {
    let root = after(|trail| trail.sign_anew(2, |body| body.root = Bytes([1; 32])));
    let leaves = after(|trail| trail.sign_anew(2, |body| body.leaves = 11));
    assert_eq!([told(&root), told(&leaves)], [of_checkpoint(Reason::RootDiffers); 2]);
}

#[test]
fn a_checkpoint_out_of_order_is_none() {
    let report = after(|trail| trail.sign_anew(2, |body| body.streams.reverse()));
    assert_eq!(told(&report), of_checkpoint(Reason::CheckpointMalformed));
}

#[test]
fn a_checkpoint_when_nothing_happened_is_whole() {
    let mut trail = trail();
    trail.checkpoint();
    trail.checkpoint();
    assert_eq!(told(&trail.verify()), WHOLE);
}

#[test]
fn a_key_is_followed_by_the_one_that_it_hands_over_to() {
    let mut trail = trail();
    trail.rotate(2);
    trail.event(1);
    trail.checkpoint();
    assert_eq!(told(&trail.verify()), WHOLE);
}

#[test]
fn a_key_that_was_handed_over_signs_no_more() {
    let mut trail = trail();
    trail.rotate(2);
    trail.checkpoint();
    let mut body = trail.checkpoints[4].body.clone();
    body.key_id = key(1).public_key().key_id();
    trail.checkpoints[4] = body.sign(&key(1), None).unwrap();
    assert_eq!(told(&trail.verify()), of_checkpoint(Reason::CheckpointKey));
}

#[test]
fn a_new_key_that_has_not_signed_is_none() {
    let mut trail = trail();
    trail.rotate(2);
    trail.checkpoints[3].rotation_signature = Some(Bytes([1; 64]));
    let unsigned = told(&trail.verify());
    trail.checkpoints[3].rotation_signature = None;
    assert_eq!([unsigned, told(&trail.verify())], [of_checkpoint(Reason::CheckpointRotation); 2]);
}

#[test]
fn a_history_that_the_key_held_elsewhere_never_signed_is_somebody_elses() {
    let mut trail = trail();
    trail.rotate(2);
    trail.checkpoint();
    let anchored = [1, 2, 3].map(|seed| {
        let options = Options { anchor: Some(key(seed).public_key()), ..trail.options() };
        told(&verify(options, &trail.records, &trail.checkpoints, &[]))
    });
    assert_eq!(anchored, [WHOLE, WHOLE, of_checkpoint(Reason::CheckpointKey)]);
}

/// spec: audit A12
#[test]
fn a_copy_held_elsewhere_shows_that_a_checkpoint_was_exchanged() {
    let trail = trail();
    let mut exchanged = trail.clone();
    exchanged.sign_anew(2, |body| body.at += Duration::seconds(1));
    let found = [2, 1].map(|copy| told(&exchanged.verify_with(&trail.checkpoints[copy..=copy])));
    assert_eq!(found, [of_checkpoint(Reason::CheckpointExchanged), WHOLE]);
}

#[test]
fn two_copies_that_contradict_each_other_are_found() {
    let trail = trail();
    let mut other = trail.clone();
    other.sign_anew(2, |body| body.at += Duration::seconds(1));
    let copies = [trail.checkpoints[2].clone(), other.checkpoints[2].clone()];
    assert_eq!(told(&trail.verify_with(&copies)), of_checkpoint(Reason::CheckpointExchanged));
}

/// spec: audit A23
#[test]
fn a_restored_backup_is_whole_up_to_it_and_incomplete_beyond() {
    let trail = trail();
    let mut restored = trail.clone();
    restored.records.truncate(20);
    restored.checkpoints.truncate(2);
    let told = [told(&restored.verify()), told(&restored.verify_with(&trail.checkpoints))];
    assert_eq!(told, [WHOLE, incomplete(Reason::Truncated, Some(8))]);
}

#[test]
fn checkpoints_that_were_removed_with_nothing_else_are_told_of() {
    let trail = trail();
    let mut less = trail.clone();
    less.checkpoints.truncate(2);
    assert_eq!(told(&less.verify_with(&trail.checkpoints)), incomplete(Reason::CheckpointsEnd, None));
}

#[test]
fn a_copy_beyond_the_last_checkpoint_holds_the_records_too() {
    let trail = trail();
    let mut less = trail.clone();
    less.checkpoints.truncate(2);
    less.forge_from(26, |record| record.entry.status = Some(500));
    assert_eq!(told(&less.verify_with(&trail.checkpoints)), tampered(Reason::HeadDiffers, 10));
}

#[test]
fn a_copy_that_does_not_follow_the_last_checkpoint_shows_that_it_was_exchanged() {
    let trail = trail();
    let mut less = trail.clone();
    less.checkpoints.truncate(2);
    less.sign_anew(1, |body| body.at += Duration::seconds(1));
    assert_eq!(told(&less.verify_with(&trail.checkpoints[2..])), of_checkpoint(Reason::CheckpointExchanged));
}
