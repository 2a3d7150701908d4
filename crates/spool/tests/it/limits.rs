//! A spool that is full.

use crate::support::{Place, append_numbers, numbers, payloads};
use statuspulse_spool::{AppendError, Options, Spool};

fn fill(spool: &Spool, lanes: usize, payload: &[u8]) -> usize {
    let mut appended = 0;
    loop {
        match spool.append(appended % lanes, payload) {
            Ok(_) => appended += 1,
            Err(AppendError::Full { .. }) => return appended,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The spool's part of it: the append is refused.
///
/// spec: audit §2
#[test]
fn a_full_spool_refuses_and_has_room_again_once_records_are_stored() {
    let mut place = Place::new();
    let spool = Spool::open(Options { limit: 100_000, lanes: 3, ..place.options() }).unwrap();
    let mut tail = place.tail(&spool);
    for _ in 0..20 {
        let appended = fill(&spool, 3, &[9; 400]);
        // A quarter may be taken by what is stored and not yet deleted.
        assert!(appended > 75_000 / 420, "{appended}");
        assert!(spool.figures().bytes <= 100_000);
        let mut read = 0;
        loop {
            let batch = tail.drain(50, usize::MAX).unwrap();
            read += batch.entries.len();
            place.store(&spool, &batch);
            if batch.is_empty() {
                break;
            }
        }
        assert_eq!(read, appended);
    }
}

#[test]
fn files_on_the_disk_never_come_to_more_than_the_limit() {
    let mut place = Place::new();
    let spool = Spool::open(Options { limit: 50_000, ..place.options() }).unwrap();
    fill(&spool, 1, &[9; 300]);
    drop(spool);
    let spool = Spool::open(Options { limit: 60_000, ..place.options() }).unwrap();
    fill(&spool, 1, &[9; 300]);
    let bytes: u64 = place.files().iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!((59_000..=60_000).contains(&bytes), "{bytes}");
    assert_eq!(spool.figures().bytes, bytes);
}

/// A limit that is far too small for its lanes still lets records through, one after the other.
#[tokio::test]
async fn a_reader_with_nothing_to_read_makes_room() {
    let mut place = Place::new();
    let spool = Spool::open(Options { limit: 2_000, lanes: 8, ..place.options() }).unwrap();
    let mut tail = place.tail(&spool);
    let mut read = Vec::new();
    for number in 0..200_u32 {
        let mut payload = [0; 180];
        payload[..4].copy_from_slice(&number.to_le_bytes());
        while let Err(error) = spool.append(number as usize, &payload) {
            assert!(matches!(error, AppendError::Full { .. }), "{error}");
            assert!(tail.wait_for_more().await);
            let batch = tail.drain(100, usize::MAX).unwrap();
            read.extend(numbers(&payloads(&batch)));
            place.store(&spool, &batch);
        }
    }
    read.extend(numbers(&payloads(&tail.drain(100, usize::MAX).unwrap())));
    read.sort_unstable();
    assert_eq!(read, (0..200).collect::<Vec<_>>());
}

#[test]
fn figures_tell_what_is_pending() {
    let mut place = Place::new();
    let spool = place.open();
    append_numbers(&spool, 0, 0..10);
    assert_eq!((spool.figures().pending, spool.figures().bytes), (120, 140));
    assert_eq!((spool.figures().appended, spool.figures().segments), (10, 1));
    let mut tail = place.tail(&spool);
    let batch = tail.drain(4, usize::MAX).unwrap();
    place.store(&spool, &batch);
    assert_eq!((spool.figures().pending, spool.figures().bytes), (72, 140));
}
