use zeroize::Zeroizing;

use super::*;
use crate::merkle;

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Zeroizing::new([seed; 32]))
}

pub(crate) fn body() -> Checkpoint {
    Checkpoint {
        version: VERSION,
        number: 1,
        at: DateTime::from_timestamp_micros(1_790_000_000_000_001).unwrap(),
        previous: NO_PREVIOUS,
        streams: vec![Head { stream: Uuid::from_u128(1), sequence: 3, hash: Bytes([1; 32]) }],
        leaves: 3,
        root: merkle::empty(),
        sealed: vec![SealedDay { day: NaiveDate::from_ymd_opt(2026, 9, 20).unwrap(), rows: 3, root: Bytes([2; 32]) }],
        key_id: key(1).public_key().key_id(),
        rotation: None,
    }
}

fn rotating() -> SignedCheckpoint {
    let public_key = key(2).public_key();
    let rotation = Some(Rotation { key_id: public_key.key_id(), public_key });
    Checkpoint { rotation, ..body() }.sign(&key(1), Some(&key(2))).unwrap()
}

#[test]
fn a_checkpoint_is_read_back_from_its_line() {
    let both = [body().sign(&key(1), None).unwrap(), rotating()];
    let read = both.clone().map(|signed| SignedCheckpoint::from_line(&signed.to_line().unwrap()).unwrap());
    assert_eq!(read, both);
}

#[test]
fn a_line_names_no_rotation_where_there_is_none() {
    let line = body().sign(&key(1), None).unwrap().to_line().unwrap();
    assert!(!line.contains("rotation") && !line.contains('\n'));
}

#[test]
fn what_is_signed_has_the_form_of_the_standard() {
    let text = String::from_utf8(canonical(&body()).unwrap()).unwrap();
    assert!(text.starts_with(r#"{"at":"2026-09-21T14:13:20.000001Z","key_id":""#), "{text}");
}

#[test]
fn a_line_with_something_else_in_it_is_refused() {
    let line = body().sign(&key(1), None).unwrap().to_line().unwrap();
    let others = [
        line.replacen('{', r#"{"extra":1,"#, 1),
        line.replace(r#""version":1"#, r#""version":2"#),
        line.replace("2026-09-20", "2026-9-20"),
        line.replace(".000001Z", ".000001+00:00"),
        line.replacen('{', r#"{"number":1,"#, 1),
    ];
    assert_eq!(others.map(|line| SignedCheckpoint::from_line(&line).is_ok()), [false; 5]);
}

#[test]
fn a_rotation_is_signed_by_both_keys() {
    let signed = rotating();
    let by = [1, 2, 3].map(|seed| signed.is_signed_by(&key(seed).public_key()).unwrap());
    assert_eq!(by, [true, true, false]);
}

#[test]
fn a_changed_body_is_signed_by_nobody() {
    let mut signed = body().sign(&key(1), None).unwrap();
    signed.body.leaves += 1;
    assert!(!signed.is_signed_by(&key(1).public_key()).unwrap());
}

#[test]
fn streams_out_of_order_or_twice_are_no_checkpoint() {
    let head = |id| Head { stream: Uuid::from_u128(id), sequence: 1, hash: Bytes([0; 32]) };
    let formed = [vec![1, 2], vec![2, 1], vec![1, 1], vec![]]
        .map(|ids| Checkpoint { streams: ids.into_iter().map(head).collect(), ..body() }.is_well_formed());
    assert_eq!(formed, [true, false, false, true]);
}
