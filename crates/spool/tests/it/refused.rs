//! Writes that the system refuses, or takes in part.

use crate::support::{Place, numbers, segments};
use statuspulse_spool::{AppendError, Options, Spool};
use std::path::Path;
use std::process::{Command, Stdio};
use uuid::Uuid;

const CHILD: &str = "SPOOL_TEST_REFUSED";

/// The child, whose files may have 64 KiB or so: the write that goes past it is short, as on a full disk.
#[test]
fn child_whose_files_are_limited() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let options = Options::new(&dir, Uuid::from_u128(1), Uuid::from_u128(2));
    let spool = Spool::open(options).unwrap();
    let mut refused = 0;
    for number in 0..200_u32 {
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(1_000, 0);
        match spool.append(0, &payload) {
            Ok(_) => println!("\nappended {number}"),
            Err(AppendError::Io(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        // Shorter ones still fit.
        if refused == 1 {
            spool.append(0, &u32::MAX.to_le_bytes()).unwrap();
            refused += 1;
        }
    }
    assert!(refused > 50);
    let file = segments(Path::new(&dir)).remove(0);
    assert_eq!(spool.figures().bytes, file.metadata().unwrap().len());
    spool.close().unwrap();
    println!("\nclosed");
}

#[test]
fn a_refused_write_leaves_the_file_readable() {
    let mut place = Place::new();
    // The shell ignores the signal that would end the process, and so does what it becomes.
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact refused::child_whose_files_are_limited --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, place.dir())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("closed"), "{said}");
    let mut expected: Vec<u32> =
        said.lines().filter_map(|line| line.strip_prefix("appended ")).map(|number| number.parse().unwrap()).collect();
    assert!(expected.len() > 20 && expected.len() < 100, "{}", expected.len());
    expected.push(u32::MAX);
    let (read, recovered) = place.reopen_and_read();
    assert_eq!(numbers(&read), expected);
    assert_eq!(recovered.torn_bytes(), 0);
    assert!(recovered.was_clean);
}
