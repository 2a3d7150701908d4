//! What holds of one server and of a cluster alike; each of them is asked by a test of `server` and one of `cluster`.

use std::sync::Arc;

use statuspulse_counters::{Admission, Count, Shared, Target};
use uuid::Uuid;

/// Some second of the year 2026.
pub(crate) const NOW: u64 = 1_780_000_000;
pub(crate) const HERE: Uuid = Uuid::from_u128(1);
pub(crate) const THERE: Uuid = Uuid::from_u128(2);

/// Far enough apart that a cluster has them on different nodes.
pub(crate) fn key(number: u128) -> Uuid {
    Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

pub(crate) fn shared(url: &str) -> Shared {
    Shared::new(Target::parse(url).expect("a target"))
}

fn count(key: Uuid, second: u64, calls: u64) -> Count {
    Count { key, second, calls }
}

pub(crate) async fn admit(shared: &Shared, second: u64, limit: u32) -> Admission {
    shared.admit(key(7), second, limit).await.expect("an answer")
}

/// How many of 200 calls at the same time, half of them of another instance, are accepted within a limit.
pub(crate) async fn accepted_of_200(url: &str, limit: u32) -> usize {
    let instances = [Arc::new(shared(url)), Arc::new(shared(url))];
    let calls: Vec<_> = (0..200_usize)
        .map(|number| {
            let instance = Arc::clone(&instances[number % 2]);
            tokio::spawn(async move { admit(&instance, NOW, limit).await.accepted })
        })
        .collect();
    let mut accepted = 0;
    for call in calls {
        accepted += usize::from(call.await.expect("a call"));
    }
    accepted
}

/// Whether a call is accepted, the limit being 2, at each of these seconds.
pub(crate) async fn accepted_at(url: &str, seconds: &[u64]) -> Vec<bool> {
    let shared = shared(url);
    let mut accepted = Vec::new();
    for second in seconds {
        accepted.push(admit(&shared, *second, 2).await.accepted);
    }
    accepted
}

/// Many keys, published by two instances, as a third sees them.
pub(crate) async fn published_by_two(url: &str) -> Vec<(Uuid, u64)> {
    let shared = shared(url);
    let keys: Vec<_> = (0..100).map(key).collect();
    for (instance, calls) in [(HERE, 5), (THERE, 7)] {
        let counts: Vec<_> =
            keys.iter().flat_map(|key| [count(*key, NOW, calls), count(*key, NOW - 60, 100)]).collect();
        // Twice, which changes nothing.
        shared.publish(instance, NOW, &counts).await.expect("published");
        shared.publish(instance, NOW, &counts).await.expect("published");
    }
    shared.others(Uuid::from_u128(3), NOW, &keys).await.expect("the sums")
}

/// The sum of what `HERE` and `THERE` published in these seconds, 1 call each, as `HERE` sees it.
pub(crate) async fn others_of(url: &str, here: &[u64], there: &[u64], second: u64) -> u64 {
    let shared = shared(url);
    for (instance, seconds) in [(HERE, here), (THERE, there)] {
        let counts: Vec<_> = seconds.iter().map(|second| count(key(1), *second, 1)).collect();
        shared.publish(instance, NOW, &counts).await.expect("published");
    }
    let sums = shared.others(HERE, second, &[key(1)]).await.expect("the sum");
    sums.iter().map(|(_, calls)| calls).sum()
}

/// The keys that were published within the minute before a second, of those of 100, 61 and 60 s ago and of now.
pub(crate) async fn lately(url: &str, second: u64) -> Vec<Uuid> {
    let shared = shared(url);
    for (number, ago) in [(1, 100), (2, 61), (3, 60), (4, 0)] {
        let counts = [count(key(number), NOW - ago, 1)];
        shared.publish(HERE, NOW - ago, &counts).await.expect("published");
    }
    let mut keys = shared.lately(second).await.expect("the keys");
    keys.sort_unstable();
    keys
}

/// Publishes a second of a key by many instances, one after the other and 100 s later.
pub(crate) async fn publish_for_long(url: &str) {
    let shared = shared(url);
    for second in (NOW..=NOW + 300).step_by(10) {
        shared.publish(HERE, second, &[count(key(1), second, 1)]).await.expect("published");
    }
}
