//! What the counting of a call costs, and the memory that it needs.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a load is so many calls a second: between them it waits")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use statuspulse_app::{
    Env,
    counters::{Counters, Place, Subject},
};
use statuspulse_policy::OrganizationId;
use uuid::Uuid;

fn subjects(number: u128) -> Vec<Subject> {
    // Spread like UUIDv7 of one moment: their last bytes are random.
    let id = |number: u128| Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    let organization = OrganizationId::from_uuid(Uuid::from_u128(1));
    (0..number).map(|number| Subject { kind: "key", id: id(number), organization }).collect()
}

const PLACE: Place<'_> = Place { route: Some("/api/v1/checks/**"), ip: None, event: None };

/// Resident memory of this process in bytes, as Linux tells it.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() * 4_096
}

fn memory() {
    for number in [100_000_u32, 1_000_000] {
        let (env, subjects) = (Env::system(), subjects(number.into()));
        let before = resident();
        let counters = Counters::new(&env, None);
        for subject in &subjects {
            counters.count(subject, &PLACE, &env);
        }
        let bytes = resident().saturating_sub(before);
        println!("counters of {number} keys: {} MB, {} bytes each", bytes / 1_000_000, bytes / number as usize);
        drop(black_box(counters));
    }
}

/// 20,000 calls a second over 100,000 keys for five seconds, twenty in each millisecond: how much of a core they take.
fn load() {
    const SECONDS: u32 = 5;
    let (env, subjects) = (Env::system(), subjects(100_000));
    let counters = Counters::new(&env, None);
    let mut next = subjects.iter().cycle();
    let (began, mut counting, mut calls) = (Instant::now(), Duration::ZERO, 0_u32);
    for millisecond in 0..SECONDS * 1_000 {
        let start = Instant::now();
        for _ in 0..20 {
            counters.count(black_box(next.next().unwrap()), &PLACE, &env);
            calls += 1;
        }
        counting += start.elapsed();
        std::thread::sleep((began + Duration::from_millis(u64::from(millisecond) + 1)) - Instant::now());
    }
    let (each, rate) = (counting / calls, f64::from(calls) / began.elapsed().as_secs_f64());
    println!(
        "load of {rate:.0} calls/s over 100000 keys: {each:?} a call, {:?} of a core each second",
        counting / SECONDS
    );
}

fn count(criterion: &mut Criterion) {
    memory();
    load();
    let env = Env::system();
    for number in [1, 1_000, 100_000, 1_000_000] {
        let (counters, subjects) = (Counters::new(&env, None), subjects(number));
        let mut next = subjects.iter().cycle();
        criterion.bench_function(&format!("count a call, {number} keys in turn"), |bencher| {
            bencher.iter(|| counters.count(black_box(next.next().unwrap()), &PLACE, &env));
        });
    }
}

criterion_group!(benches, count);
criterion_main!(benches);
