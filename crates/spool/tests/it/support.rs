//! A spool in a folder of its own, which can be closed, dropped and opened again.

use statuspulse_spool::{Batch, Mark, Options, Recovered, Spool, Tail};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) struct Place {
    folder: TempDir,
    starts: u128,
    /// As the database would keep them.
    pub(crate) offsets: HashMap<String, u64>,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { folder: TempDir::new().unwrap(), starts: 0, offsets: HashMap::new() }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// Options of a process that has not been there before.
    pub(crate) fn options(&mut self) -> Options {
        self.starts += 1;
        // Later starts have lower ids, so that no test passes because names happen to sort like times.
        Options::new(self.dir(), Uuid::from_u128(u128::MAX - self.starts), Uuid::from_u128(self.starts))
    }

    pub(crate) fn open(&mut self) -> Spool {
        Spool::open(self.options()).unwrap()
    }

    pub(crate) fn open_lanes(&mut self, lanes: usize) -> Spool {
        Spool::open(Options { lanes, ..self.options() }).unwrap()
    }

    pub(crate) fn tail(&self, spool: &Spool) -> Tail {
        spool.tail(&self.offsets).unwrap()
    }

    /// Stores a batch, the way one transaction would.
    pub(crate) fn store(&mut self, spool: &Spool, batch: &Batch) {
        self.offsets.extend(batch.offsets().iter().map(|(file, end)| (file.to_string(), *end)));
        for gone in spool.release(batch.offsets().iter().map(|(file, end)| (&**file, *end))).unwrap() {
            self.offsets.remove(&*gone);
        }
    }

    /// What a new process finds, all of it.
    pub(crate) fn reopen_and_read(&mut self) -> (Vec<Vec<u8>>, Recovered) {
        let spool = self.open();
        let mut tail = self.tail(&spool);
        let read = read_all(&mut tail);
        (read, tail.recovered().clone())
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        segments(&self.dir())
    }
}

/// The segment files of a spool.
pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "spool"));
    found.sort();
    found
}

pub(crate) fn payloads(batch: &Batch) -> Vec<Vec<u8>> {
    batch.entries.iter().map(|entry| entry.payload.clone()).collect()
}

/// Everything that can be read now, in batches of odd sizes.
pub(crate) fn read_all(tail: &mut Tail) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let batch = tail.drain(7, 100_000).unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(payloads(&batch));
    }
}

pub(crate) fn append_numbers(spool: &Spool, lane: usize, numbers: std::ops::Range<u32>) -> Vec<Mark> {
    numbers.map(|number| spool.append(lane, &number.to_le_bytes()).unwrap()).collect()
}

pub(crate) fn numbers(payloads: &[Vec<u8>]) -> Vec<u32> {
    payloads.iter().map(|bytes| u32::from_le_bytes(bytes[..4].try_into().unwrap())).collect()
}
