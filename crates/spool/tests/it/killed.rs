//! A process that is killed while it appends.

use crate::support::{Place, numbers, payloads};
use statuspulse_spool::{Options, Spool};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use uuid::Uuid;

const CHILD: &str = "SPOOL_TEST_KILLED";

/// The child: appends numbers from two threads, and says each one once its append has returned. Without the variable
/// it is a test of nothing.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Ok(settings) = std::env::var(CHILD) else { return };
    let (start, dir) = settings.split_once(' ').unwrap();
    let start: u32 = start.parse().unwrap();
    let options = Options::new(dir, Uuid::from_u128(u128::from(start) + 1), Uuid::from_u128(1));
    let spool = Spool::open(Options { lanes: 2, segment: 20_000, ..options }).unwrap();
    std::thread::scope(|scope| {
        for lane in 0..2_u32 {
            let spool = &spool;
            scope.spawn(move || {
                let mut number = start + lane;
                loop {
                    let mut payload = number.to_le_bytes().to_vec();
                    payload.resize(4 + number as usize % 500, 0);
                    spool.append(lane as usize, &payload).unwrap();
                    // Nobody reads any more: killed in a moment.
                    if writeln!(std::io::stdout(), "\nappended {number}").is_err() {
                        return;
                    }
                    number += 2;
                }
            });
        }
    });
}

/// Again and again, with a reader that stores a part in between: the spool's share of A5.
///
/// spec: audit §2
#[test]
fn what_a_killed_process_has_reported_is_read_once() {
    let mut place = Place::new();
    let mut reported = BTreeSet::new();
    let mut stored: Vec<u32> = Vec::new();
    for round in 0..5_u32 {
        let start = round * 10_000_000;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::child_that_appends_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{start} {}", place.dir().display()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut wanted = 300 + round * 171;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(number) = line.strip_prefix("appended ") else { continue };
            // The last line may be cut.
            if let Some(number) = number.parse().ok().filter(|number| (start..start + 10_000_000).contains(number)) {
                reported.insert(number);
            }
            wanted = wanted.saturating_sub(1);
            if wanted == 0 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();

        let spool = place.open();
        let mut tail = place.tail(&spool);
        assert!(!tail.recovered().was_clean);
        for _ in 0..=round {
            let batch = tail.drain(200, usize::MAX).unwrap();
            stored.extend(numbers(&payloads(&batch)));
            place.store(&spool, &batch);
        }
    }
    let (rest, _) = place.reopen_and_read();
    stored.extend(numbers(&rest));
    let once: BTreeSet<_> = stored.iter().copied().collect();
    assert_eq!(once.len(), stored.len(), "a record was read twice");
    assert!(reported.len() > 1_000, "{}", reported.len());
    let missing: Vec<_> = reported.difference(&once).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
