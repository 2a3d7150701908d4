//! What is called safe is on the disk.

use crate::support::{Place, append_numbers, numbers, read_all};
use statuspulse_spool::{Options, Spool};
use std::fs::OpenOptions;
use std::sync::Arc;
use std::time::Duration;

/// So late that nothing is synced that nobody waits for.
const NEVER: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_wait_share_few_syncs() {
    let mut place = Place::new();
    let spool = Arc::new(Spool::open(Options { sync_every: NEVER, lanes: 2, ..place.options() }).unwrap());
    let waiters = 500;
    let marks: Vec<_> = (0..waiters).map(|lane| spool.append(lane, b"refused").unwrap()).collect();
    assert!(marks.iter().all(|mark| !mark.is_synced()));
    let tasks: Vec<_> = marks
        .into_iter()
        .map(|mark| {
            let spool = Arc::clone(&spool);
            tokio::spawn(async move {
                spool.synced(&mark).await.unwrap();
                assert!(mark.is_synced());
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let syncs = spool.figures().syncs;
    assert!((2..=10).contains(&syncs), "{syncs}");
}

#[tokio::test]
async fn one_who_waits_does_not_wait_for_other_lanes() {
    let mut place = Place::new();
    let spool = Spool::open(Options { sync_every: NEVER, lanes: 2, ..place.options() }).unwrap();
    let other = spool.append(0, b"allowed").unwrap();
    let mark = spool.append(1, b"refused").unwrap();
    spool.synced(&mark).await.unwrap();
    assert_eq!(spool.figures().syncs, 1);
    assert!(!other.is_synced());
}

#[tokio::test]
async fn what_nobody_waits_for_is_synced_too() {
    let mut place = Place::new();
    let spool = Spool::open(Options { sync_every: Duration::from_millis(1), ..place.options() }).unwrap();
    for number in 0..20_u32 {
        let mark = append_numbers(&spool, 0, number..number + 1).remove(0);
        tokio::time::timeout(Duration::from_secs(10), async {
            while !mark.is_synced() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
    assert!(spool.figures().last_sync.is_some());
}

#[test]
fn the_age_of_what_is_not_synced_is_told() {
    let mut place = Place::new();
    let spool = Spool::open(Options { sync_every: NEVER, ..place.options() }).unwrap();
    assert_eq!(spool.figures().unsynced_for, None);
    append_numbers(&spool, 0, 0..1);
    assert!(spool.figures().unsynced_for.is_some());
    spool.close().unwrap();
    assert_eq!(spool.figures().unsynced_for, None);
}

#[tokio::test]
async fn a_close_syncs_what_is_left_and_leaves_nobody_waiting() {
    let mut place = Place::new();
    let spool = Spool::open(Options { sync_every: NEVER, ..place.options() }).unwrap();
    let mark = append_numbers(&spool, 0, 0..1).remove(0);
    spool.close().unwrap();
    spool.synced(&mark).await.unwrap();
}

#[tokio::test]
async fn what_is_stored_and_deleted_needs_no_sync() {
    let mut place = Place::new();
    let spool = Spool::open(Options { sync_every: NEVER, segment: 4_096, ..place.options() }).unwrap();
    let mark = append_numbers(&spool, 0, 0..500).remove(0);
    let mut tail = place.tail(&spool);
    let batch = tail.drain(10_000, usize::MAX).unwrap();
    place.store(&spool, &batch);
    spool.synced(&mark).await.unwrap();
    assert_eq!(spool.figures().syncs, 0);
}

/// A power cut leaves at least what the last sync covered, and anything up to what was appended: each such length.
/// What was called safe (class B) is there, and of the rest (class C) what is missing was appended after the sync.
///
/// spec: audit A6
#[tokio::test]
async fn a_file_cut_back_to_any_place_behind_its_last_sync_has_all_that_was_called_safe() {
    for missing in (0..=96).step_by(5) {
        let mut place = Place::new();
        let spool = Spool::open(Options { sync_every: NEVER, ..place.options() }).unwrap();
        append_numbers(&spool, 0, 0..10);
        let safe = append_numbers(&spool, 0, 10..11).remove(0);
        spool.synced(&safe).await.unwrap();
        let last = append_numbers(&spool, 0, 11..19).pop().unwrap();
        drop(spool);
        let len = last.end() - missing;
        assert!(len >= safe.end());
        OpenOptions::new().write(true).open(&place.files()[0]).unwrap().set_len(len).unwrap();

        let spool = place.open();
        let mut tail = place.tail(&spool);
        let whole = (len - safe.end()) / 12;
        assert!(!tail.recovered().was_clean);
        assert_eq!(tail.recovered().torn_bytes(), (len - safe.end()) % 12);
        assert_eq!(numbers(&read_all(&mut tail)), (0..11 + whole as u32).collect::<Vec<_>>());
    }
}
