//! Many writers and a reader at once.

use crate::support::Place;
use statuspulse_spool::{Options, Spool};
use std::sync::Arc;

/// Eight threads on three lanes, files that are exchanged all the time, and a reader that stores as it goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_is_read_once_and_each_writers_in_order() {
    const EACH: u32 = 5_000;
    let mut place = Place::new();
    let options = Options { lanes: 3, segment: 16_384, limit: 512 << 20, ..place.options() };
    let spool = Arc::new(Spool::open(options).unwrap());
    let mut tail = place.tail(&spool);
    let writers: Vec<_> = (0..8_u32)
        .map(|writer| {
            let spool = Arc::clone(&spool);
            std::thread::spawn(move || {
                for number in 0..EACH {
                    let mut payload = writer.to_le_bytes().to_vec();
                    payload.extend(number.to_le_bytes());
                    payload.resize(8 + (number as usize * 7) % 90, 1);
                    spool.append(writer as usize, &payload).unwrap();
                }
            })
        })
        .collect();
    let mut seen = [0_u32; 8];
    while seen.iter().sum::<u32>() < 8 * EACH {
        assert!(tail.wait_for_more().await);
        let batch = tail.drain(300, 1 << 20).unwrap();
        for entry in &batch.entries {
            let writer = entry.payload[0] as usize;
            let number = u32::from_le_bytes(entry.payload[4..8].try_into().unwrap());
            assert_eq!(number, seen[writer], "writer {writer}");
            seen[writer] += 1;
        }
        assert!(batch.damage.is_empty());
        place.store(&spool, &batch);
    }
    for writer in writers {
        writer.join().unwrap();
    }
    assert!(tail.drain(1, 1).unwrap().is_empty());
    assert_eq!(spool.figures().pending, 0);
    assert_eq!(spool.figures().bytes, place.files().iter().map(|path| path.metadata().unwrap().len()).sum::<u64>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_wait_for_the_disk_all_get_there() {
    let mut place = Place::new();
    let spool = Arc::new(Spool::open(Options { lanes: 2, segment: 4_096, ..place.options() }).unwrap());
    let tasks: Vec<_> = (0..40_usize)
        .map(|lane| {
            let spool = Arc::clone(&spool);
            tokio::spawn(async move {
                for _ in 0..25 {
                    let mark = spool.append(lane, &[3; 100]).unwrap();
                    spool.synced(&mark).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(spool.figures().syncs < 1_000, "{:?}", spool.figures());
}
