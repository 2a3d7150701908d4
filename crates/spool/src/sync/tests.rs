use crate::{Options, Spool, SpoolError, SyncError};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

fn spool(folder: &TempDir) -> Spool {
    let options = Options::new(folder.path().join("spool"), Uuid::from_u128(1), Uuid::from_u128(2));
    Spool::open(Options { sync_every: Duration::from_secs(3_600), ..options }).unwrap()
}

/// The disk can't be made to fail on demand, so the call of the system is left out and its error put in its place.
#[tokio::test]
async fn what_a_failed_sync_was_to_cover_is_never_called_safe() {
    let folder = TempDir::new().unwrap();
    let spool = spool(&folder);
    let safe = spool.append(0, b"safe").unwrap();
    spool.synced(&safe).await.unwrap();
    let lost = spool.append(0, b"lost").unwrap();
    spool.shared().sync.fails.store(true, SeqCst);
    let failed = SyncError::Failed { file: lost.file().to_string(), reason: "planted".to_owned() };
    assert_eq!(spool.synced(&lost).await, Err(failed.clone()));

    let next = spool.append(0, b"next").unwrap();
    assert_ne!(next.file(), lost.file());
    spool.synced(&next).await.unwrap();
    assert_eq!(spool.synced(&lost).await, Err(failed));
    assert!(safe.is_synced() && !lost.is_synced());
    assert_eq!((spool.figures().failed_syncs, spool.figures().syncs), (1, 2));
}

#[tokio::test]
async fn what_could_not_be_synced_is_read_as_long_as_it_is_there() {
    let folder = TempDir::new().unwrap();
    let spool = spool(&folder);
    let lost = spool.append(0, b"lost").unwrap();
    spool.shared().sync.fails.store(true, SeqCst);
    assert!(spool.synced(&lost).await.is_err());
    spool.append(0, b"next").unwrap();
    let mut tail = spool.tail(&HashMap::new()).unwrap();
    let batch = tail.drain(10, usize::MAX).unwrap();
    let read: Vec<_> = batch.entries.iter().map(|entry| &*entry.payload).collect();
    assert_eq!(read, [b"lost", b"next"]);
}

#[tokio::test]
async fn an_end_with_a_failed_sync_is_no_clean_one_until_all_is_stored() {
    for is_stored in [false, true] {
        let folder = TempDir::new().unwrap();
        let spool = spool(&folder);
        let lost = spool.append(0, b"lost").unwrap();
        spool.shared().sync.fails.store(true, SeqCst);
        assert!(spool.synced(&lost).await.is_err());
        if is_stored {
            spool.release([(&**lost.file(), lost.end())]).unwrap();
        }
        let closed = spool.close();
        assert_eq!(matches!(closed, Err(SpoolError::NotSynced { .. })), !is_stored, "{closed:?}");
    }
}

#[tokio::test]
async fn all_who_wait_are_told_of_a_failed_sync() {
    let folder = TempDir::new().unwrap();
    let spool = Arc::new(spool(&folder));
    let marks: Vec<_> = (0..50).map(|_| spool.append(0, b"lost").unwrap()).collect();
    spool.shared().sync.fails.store(true, SeqCst);
    for mark in marks {
        assert!(spool.synced(&mark).await.is_err());
    }
}
