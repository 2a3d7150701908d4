//! What a call pays for its place in the audit trail: an append of 500 bytes, and one that waits for the disk.
//!
//! `cargo bench -p statuspulse-spool`; on a disk, not in memory: `TMPDIR` says where.
//!
//! spec: audit §2

use std::error::Error;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use statuspulse_spool::{AppendError, Options, Spool, Tail};
use tempfile::TempDir;
use tokio::runtime::Builder;
use uuid::Uuid;

const PAYLOAD: [u8; 500] = [b'x'; 500];

struct Bench {
    spool: Arc<Spool>,
    tail: Tail,
    _folder: TempDir,
}

impl Bench {
    fn new(lanes: usize) -> Result<Bench, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let options = Options::new(folder.path().join("spool"), Uuid::from_u128(1), Uuid::from_u128(2));
        let spool = Spool::open(Options { lanes, limit: 4 << 30, ..options })?;
        let tail = spool.tail(&Default::default())?;
        Ok(Bench { spool: Arc::new(spool), tail, _folder: folder })
    }

    /// Takes everything out, which no append waits for.
    fn empty(&mut self) -> Result<(), Box<dyn Error>> {
        loop {
            let batch = self.tail.drain(10_000, 16 << 20)?;
            self.spool.release(batch.offsets().iter().map(|(file, end)| (&**file, *end)))?;
            if batch.is_empty() {
                return Ok(());
            }
        }
    }
}

fn append(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let mut bench = Bench::new(1)?;
    criterion.bench_function("append/500_bytes", |bencher| {
        bencher.iter_custom(|count| {
            let mut took = Duration::ZERO;
            let mut left = count;
            while left > 0 {
                let now = left.min(100_000);
                let begun = Instant::now();
                for _ in 0..now {
                    let _ = black_box(bench.spool.append(0, black_box(&PAYLOAD)));
                }
                took += begun.elapsed();
                left -= now;
                let _ = bench.empty();
            }
            took
        });
    });
    Ok(())
}

/// The part of it that is the system's.
fn write_alone(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let file = tempfile::tempfile()?;
    let record = [b'x'; 508];
    let mut at = 0;
    criterion.bench_function("write_alone/508_bytes", |bencher| {
        bencher.iter(|| {
            at = if at > 64 << 20 { 0 } else { at + 508 };
            if at == 0 {
                let _ = file.set_len(0);
            }
            file.write_at(black_box(&record), at).is_ok()
        });
    });
    Ok(())
}

fn synced(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let mut group = criterion.benchmark_group("append_and_synced");
    for waiters in [1_usize, 64] {
        let mut bench = Bench::new(2)?;
        let runtime = Builder::new_multi_thread().worker_threads(2).build()?;
        group.throughput(Throughput::Elements(waiters as u64));
        group.bench_function(BenchmarkId::new("waiters", waiters), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let tasks: Vec<_> = (0..waiters)
                        .map(|lane| {
                            let spool = Arc::clone(&bench.spool);
                            tokio::spawn(async move {
                                let mark = spool.append(lane, &PAYLOAD)?;
                                Ok::<_, AppendError>(spool.synced(&mark).await)
                            })
                        })
                        .collect();
                    for task in tasks {
                        black_box(task.await.is_ok_and(|done| done.is_ok_and(|done| done.is_ok())));
                    }
                });
            });
        });
        bench.empty()?;
    }
    group.finish();
    Ok(())
}

fn run(criterion: &mut Criterion) {
    for part in [append, write_alone, synced] {
        if let Err(error) = part(criterion) {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(4));
    targets = run
}
criterion_main!(benches);
