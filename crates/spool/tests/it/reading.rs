//! What is appended is read, once, in order.

use crate::support::{Place, append_numbers, numbers, payloads, read_all};
use statuspulse_spool::{AppendError, LONGEST_PAYLOAD, Options, Spool, SpoolError};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

#[test]
fn records_come_back_in_order_over_many_segments() {
    let mut place = Place::new();
    let spool = Spool::open(Options { segment: 10_000, ..place.options() }).unwrap();
    let written: Vec<Vec<u8>> = (0..300_usize).map(|n| vec![n as u8; 1 + n * 13 % 4_000]).collect();
    for payload in &written {
        spool.append(0, payload).unwrap();
    }
    assert!(place.files().len() > 10);
    assert_eq!(read_all(&mut place.tail(&spool)), written);
}

#[test]
fn the_longest_and_the_shortest_payload_come_back() {
    let mut place = Place::new();
    let spool = Spool::open(Options { segment: 5_000, ..place.options() }).unwrap();
    let written = [vec![7; LONGEST_PAYLOAD], vec![0], vec![8; LONGEST_PAYLOAD], vec![0; LONGEST_PAYLOAD]];
    for payload in &written {
        spool.append(0, payload).unwrap();
    }
    assert_eq!(read_all(&mut place.tail(&spool)), written);
    assert!(matches!(spool.append(0, &[]), Err(AppendError::Empty)));
    assert!(matches!(spool.append(0, &[0; LONGEST_PAYLOAD + 1]), Err(AppendError::TooLarge { len: 65_537 })));
}

#[test]
fn a_batch_ends_at_its_bounds() {
    let mut place = Place::new();
    let spool = place.open();
    for _ in 0..10 {
        spool.append(0, &[1; 100]).unwrap();
    }
    let mut tail = place.tail(&spool);
    assert_eq!(tail.drain(3, 1_000).unwrap().entries.len(), 3);
    assert_eq!(tail.drain(100, 150).unwrap().entries.len(), 2);
    assert_eq!(tail.drain(100, 1).unwrap().entries.len(), 1);
    assert_eq!(tail.drain(100, 1_000).unwrap().entries.len(), 4);
    assert!(tail.drain(100, 1_000).unwrap().is_empty());
}

#[test]
fn a_new_process_reads_what_is_not_stored_exactly_once() {
    let mut place = Place::new();
    let mut stored = Vec::new();
    for start in 0..6_u32 {
        let spool = Spool::open(Options { segment: 4_096, lanes: 2, ..place.options() }).unwrap();
        for number in start * 500..(start + 1) * 500 {
            spool.append(number as usize, &number.to_le_bytes()).unwrap();
        }
        let mut tail = place.tail(&spool);
        for _ in 0..3 {
            let batch = tail.drain(111, usize::MAX).unwrap();
            stored.extend(numbers(&payloads(&batch)));
            place.store(&spool, &batch);
        }
        // One that was read and not stored.
        tail.drain(50, usize::MAX).unwrap();
    }
    let (rest, recovered) = place.reopen_and_read();
    assert_eq!(recovered.records, rest.len() as u64);
    stored.extend(numbers(&rest));
    stored.sort_unstable();
    assert_eq!(stored, (0..3_000).collect::<Vec<_>>());
}

#[test]
fn earlier_processes_come_first_and_lanes_take_turns() {
    let mut place = Place::new();
    for start in 0..3 {
        let spool = place.open_lanes(2);
        append_numbers(&spool, 0, start * 100..start * 100 + 10);
        append_numbers(&spool, 1, start * 100 + 50..start * 100 + 60);
    }
    let spool = place.open_lanes(2);
    append_numbers(&spool, 1, 300..310);
    let mut tail = place.tail(&spool);
    let first = numbers(&payloads(&tail.drain(10, usize::MAX).unwrap()));
    assert_eq!(first.iter().filter(|number| **number >= 50).count(), 5, "{first:?}");
    let mut read = first;
    read.extend(numbers(&read_all(&mut tail)));
    assert!(read.is_sorted_by_key(|number| number / 100), "{read:?}");
    assert_eq!(read.len(), 70);
}

#[test]
fn a_reader_that_starts_again_gets_what_was_not_stored() {
    let mut place = Place::new();
    let spool = place.open();
    append_numbers(&spool, 0, 0..20);
    let mut tail = place.tail(&spool);
    assert!(matches!(spool.tail(&HashMap::new()), Err(SpoolError::Tailed)));
    let batch = tail.drain(5, usize::MAX).unwrap();
    place.store(&spool, &batch);
    tail.drain(5, usize::MAX).unwrap();
    drop(tail);
    assert_eq!(numbers(&read_all(&mut place.tail(&spool))), (5..20).collect::<Vec<_>>());
}

#[test]
fn stored_files_are_deleted_and_their_offsets_can_be_forgotten() {
    let mut place = Place::new();
    let spool = Spool::open(Options { segment: 4_096, ..place.options() }).unwrap();
    append_numbers(&spool, 0, 0..2_000);
    let files = place.files().len();
    let mut tail = place.tail(&spool);
    let batch = tail.drain(10_000, usize::MAX).unwrap();
    let gone = spool.release(batch.offsets().iter().map(|(file, end)| (&**file, *end))).unwrap();
    // The last one is stored too, and has a quarter of its length or not.
    assert!(gone.len() >= files - 1);
    assert_eq!(place.files().len(), files - gone.len());
    assert_eq!(spool.figures().bytes, place.files().iter().map(|path| path.metadata().unwrap().len()).sum::<u64>());

    drop((tail, spool));
    let spool = place.open();
    place.offsets.extend(gone.iter().map(|file| (file.to_string(), 5_000)));
    let tail = place.tail(&spool);
    assert_eq!(tail.recovered().forgotten.len(), gone.len());
}

#[test]
fn a_live_file_is_exchanged_once_it_is_stored_and_long_enough() {
    let mut place = Place::new();
    let spool = Spool::open(Options { segment: 8_192, ..place.options() }).unwrap();
    let mut tail = place.tail(&spool);
    let mut read = Vec::new();
    for number in 0..1_000_u32 {
        spool.append(0, &number.to_le_bytes()).unwrap();
        let batch = tail.drain(10, usize::MAX).unwrap();
        read.extend(numbers(&payloads(&batch)));
        place.store(&spool, &batch);
        assert!(spool.figures().bytes <= 8_192 / 4 + 12);
    }
    assert_eq!(read, (0..1_000).collect::<Vec<_>>());
}

#[test]
fn the_second_opener_is_refused() {
    let mut place = Place::new();
    let spool = place.open();
    let refused = Spool::open(place.options()).unwrap_err();
    assert!(matches!(refused, SpoolError::InUse { .. }));
    assert!(refused.to_string().contains("is in use by another process"), "{refused}");
    let tail = place.tail(&spool);
    drop(spool);
    assert!(matches!(Spool::open(place.options()), Err(SpoolError::InUse { .. })), "its reader still reads");
    drop(tail);
    place.open();
}

#[test]
fn the_identity_stays_and_is_not_made_up_for_files_that_are_there() {
    let mut place = Place::new();
    let spool = place.open();
    let id = spool.id();
    append_numbers(&spool, 0, 0..1);
    drop(spool);
    assert_eq!(place.open().id(), id);

    fs::write(place.dir().join("id"), "something else").unwrap();
    assert!(matches!(Spool::open(place.options()), Err(SpoolError::BadIdentity { .. })));
    fs::remove_file(place.dir().join("id")).unwrap();
    assert!(matches!(Spool::open(place.options()), Err(SpoolError::NoIdentity { .. })));
}

#[test]
fn an_owner_cannot_come_twice() {
    let mut place = Place::new();
    let options = place.options();
    append_numbers(&Spool::open(options.clone()).unwrap(), 0, 0..1);
    assert!(matches!(Spool::open(options), Err(SpoolError::OwnerReused { .. })));
}

#[test]
fn the_directory_is_for_its_owner_alone() {
    let mut place = Place::new();
    fs::create_dir(place.dir()).unwrap();
    fs::set_permissions(place.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    let spool = place.open();
    append_numbers(&spool, 0, 0..1);
    assert_eq!(place.dir().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(place.files()[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn only_a_close_is_a_clean_end() {
    let mut place = Place::new();
    let spool = place.open();
    assert!(spool.was_clean(), "nobody was here before");
    append_numbers(&spool, 0, 0..3);
    spool.close().unwrap();
    spool.close().unwrap();
    assert!(matches!(spool.append(0, b"late"), Err(AppendError::Closed)));
    drop(spool);

    let spool = place.open();
    assert!(spool.was_clean());
    drop(spool);
    let spool = place.open();
    assert!(!spool.was_clean());
    assert_eq!(numbers(&read_all(&mut place.tail(&spool))), [0, 1, 2]);
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_by_an_append_and_told_of_the_end() {
    let mut place = Place::new();
    let spool = Arc::new(place.open());
    let mut tail = place.tail(&spool);
    let reader = tokio::spawn(async move {
        let mut read = Vec::new();
        while tail.wait_for_more().await {
            read.extend(payloads(&tail.drain(100, usize::MAX).unwrap()));
        }
        numbers(&read)
    });
    for number in 0..200_u32 {
        spool.append(0, &number.to_le_bytes()).unwrap();
        tokio::task::yield_now().await;
    }
    spool.close().unwrap();
    assert_eq!(reader.await.unwrap(), (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_position_is_committed_once_everything_before_it_is_stored() {
    let mut place = Place::new();
    let spool = place.open_lanes(2);
    append_numbers(&spool, 0, 0..10);
    append_numbers(&spool, 1, 10..20);
    let position = spool.position();
    append_numbers(&spool, 1, 20..30);
    let mut tail = place.tail(&spool);
    let mut stored = 0;
    while !position.is_committed() {
        let batch = tail.drain(1, usize::MAX).unwrap();
        stored += batch.entries.len();
        place.store(&spool, &batch);
    }
    assert!((20..30).contains(&stored), "{stored}");
    spool.committed(&position).await;
    assert!(!spool.position().is_committed());
}
