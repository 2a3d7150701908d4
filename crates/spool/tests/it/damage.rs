//! Files that are not as they were written.

use crate::support::{Place, payloads, read_all};
use proptest::prelude::*;
use statuspulse_spool::format::{HEADER, SegmentName};
use statuspulse_spool::{Spool, SpoolError};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..12)
}

/// A spool with these records that its process left without a close; the ends of the records.
fn left_behind(place: &mut Place, records: &[Vec<u8>]) -> Vec<u64> {
    let spool = place.open();
    records.iter().map(|record| spool.append(0, record).unwrap().end()).collect()
}

fn cut(place: &Place, len: u64) {
    OpenOptions::new().write(true).open(&place.files()[0]).unwrap().set_len(len).unwrap();
}

#[test]
fn every_length_of_a_torn_last_record_is_cut_off_and_told() {
    let records = [b"first".to_vec(), b"second".to_vec(), b"the last one".to_vec()];
    let mut template = Place::new();
    let ends = left_behind(&mut template, &records);
    let whole = fs::read(&template.files()[0]).unwrap();
    for len in 0..=whole.len() as u64 {
        let mut place = Place::new();
        left_behind(&mut place, &records);
        cut(&place, len);
        let spool = place.open();
        let mut tail = place.tail(&spool);
        let kept = ends.iter().filter(|end| **end <= len).count();
        let torn = if len < HEADER { len } else { len - ends[..kept].last().copied().unwrap_or(HEADER) };
        assert_eq!(tail.recovered().torn_bytes(), torn, "cut at {len}");
        assert_eq!(tail.recovered().records, kept as u64, "cut at {len}");
        assert_eq!(read_all(&mut tail), records[..kept], "cut at {len}");
        drop((tail, spool));
        let spool = place.open();
        let told_again = place.tail(&spool).recovered().torn_bytes();
        assert_eq!(told_again, if len < HEADER { len } else { 0 }, "cut at {len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whole_records_before_a_cut_are_read_and_later_appends_too(
        records in bodies(), at in any::<prop::sample::Index>(), later in bodies(),
    ) {
        let mut place = Place::new();
        let ends = left_behind(&mut place, &records);
        let len = at.index(*ends.last().unwrap() as usize + 1) as u64;
        cut(&place, len);
        let kept = ends.iter().filter(|end| **end <= len).count();

        let spool = place.open();
        for record in &later {
            spool.append(0, record).unwrap();
        }
        let mut tail = place.tail(&spool);
        let mut expected = records[..kept].to_vec();
        expected.extend(later);
        prop_assert_eq!(read_all(&mut tail), expected);
        prop_assert_eq!(tail.recovered().records, kept as u64);
    }

    #[test]
    fn a_changed_byte_costs_at_most_the_record_that_it_lies_in(
        records in bodies(), at in any::<prop::sample::Index>(), change in 1..=255_u8,
    ) {
        let mut place = Place::new();
        let ends = left_behind(&mut place, &records);
        let at = at.index(*ends.last().unwrap() as usize) as u64;
        let file = OpenOptions::new().read(true).write(true).open(&place.files()[0]).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ change], at).unwrap();

        let mut expected = records.clone();
        if at >= HEADER {
            expected.remove(ends.iter().filter(|end| **end <= at).count());
        }
        let (read, recovered) = place.reopen_and_read();
        prop_assert_eq!(read, expected);
        prop_assert!(recovered.torn_bytes() > 0);
    }

    #[test]
    fn a_lost_page_yields_nothing_that_was_not_written(
        records in bodies(), from in any::<prop::sample::Index>(), len in 1..600_usize,
    ) {
        let mut place = Place::new();
        let ends = left_behind(&mut place, &records);
        let end = *ends.last().unwrap() as usize;
        let from = from.index(end);
        let lost = vec![0; len.min(end - from)];
        let file = OpenOptions::new().write(true).open(&place.files()[0]).unwrap();
        file.write_all_at(&lost, from as u64).unwrap();
        let (read, _) = place.reopen_and_read();
        let mut left = records.iter();
        prop_assert!(read.iter().all(|record| left.any(|written| written == record)), "not in order, or not written");
        let untouched = ends.iter().filter(|end| **end <= from as u64).count();
        prop_assert!(read.len() >= untouched);
    }
}

#[test]
fn damage_in_what_is_stored_hides_nothing_behind_it() {
    let mut place = Place::new();
    let spool = place.open();
    for number in 0..10_u8 {
        spool.append(0, &[number; 50]).unwrap();
    }
    let mut tail = place.tail(&spool);
    let batch = tail.drain(5, usize::MAX).unwrap();
    place.store(&spool, &batch);
    drop((tail, spool));
    OpenOptions::new().write(true).open(&place.files()[0]).unwrap().write_all_at(&[0xff; 60], HEADER + 2).unwrap();
    let (read, recovered) = place.reopen_and_read();
    assert_eq!(read, (5..10_u8).map(|number| vec![number; 50]).collect::<Vec<_>>());
    assert!(recovered.damage.is_empty());
}

#[test]
fn damage_in_a_live_file_is_passed_over_and_told() {
    let mut place = Place::new();
    let spool = place.open();
    let first = spool.append(0, b"first").unwrap().end();
    let second = spool.append(0, b"second").unwrap().end();
    OpenOptions::new().write(true).open(&place.files()[0]).unwrap().write_all_at(b"!", second - 1).unwrap();
    let mut tail = place.tail(&spool);
    let batch = tail.drain(10, usize::MAX).unwrap();
    assert_eq!(payloads(&batch), [b"first".to_vec()]);
    assert_eq!((batch.damage[0].from, batch.damage[0].to), (first, second));
    // Nobody waits for it for ever.
    place.store(&spool, &batch);
    assert!(spool.position().is_committed());
    spool.append(0, b"third").unwrap();
    assert_eq!(read_all(&mut tail), [b"third".to_vec()]);
}

#[test]
fn a_file_shorter_than_what_is_stored_of_it_has_nothing_more() {
    let mut place = Place::new();
    let ends = left_behind(&mut place, &[vec![1; 100], vec![2; 100]]);
    let name = place.files()[0].file_name().unwrap().to_str().unwrap().to_owned();
    place.offsets.insert(name, ends[1]);
    cut(&place, ends[0] + 5);
    let spool = place.open();
    let mut tail = place.tail(&spool);
    assert_eq!((tail.recovered().records, tail.recovered().torn_bytes()), (0, 0));
    assert!(read_all(&mut tail).is_empty());
    assert_eq!(spool.release([]).unwrap().len(), 1);
    assert!(place.files().is_empty());
    assert_eq!(spool.figures().bytes, 0);
}

#[test]
fn a_renamed_file_is_not_read_twice() {
    let mut place = Place::new();
    left_behind(&mut place, &[b"once".to_vec()]);
    let original = place.files()[0].clone();
    let copy = original.to_str().unwrap().replace(".0.spool", ".9.spool");
    fs::copy(&original, copy).unwrap();
    let (read, recovered) = place.reopen_and_read();
    assert_eq!(read, [b"once".to_vec()]);
    assert!(recovered.torn_bytes() > 0);
}

#[test]
fn a_torn_file_without_records_can_be_released_before_it_is_cut() {
    let mut place = Place::new();
    left_behind(&mut place, &[vec![1; 100]]);
    cut(&place, HEADER + 50);
    let spool = place.open();
    let mut tail = place.tail(&spool);
    assert_eq!(tail.recovered().torn_bytes(), 50);
    assert_eq!(spool.release([]).unwrap().len(), 1);
    assert!(tail.drain(1, 1).unwrap().is_empty());
    assert_eq!(spool.figures().bytes, 0);
}

#[test]
fn a_file_of_a_later_version_is_refused_and_stays() {
    let mut place = Place::new();
    left_behind(&mut place, &[vec![1; 100]]);
    let path = place.files()[0].clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] = 2;
    let name = SegmentName::parse(path.file_name().unwrap().to_str().unwrap()).unwrap();
    let named = [&name.owner.as_bytes()[..], &[0; 12], &bytes[..16]].concat();
    bytes[16..20].copy_from_slice(&crc32c::crc32c(&named).to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(Spool::open(place.options()), Err(SpoolError::NewerFormat { version: 2, .. })));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}
