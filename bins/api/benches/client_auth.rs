//! Whether a client that fails can tell from the time of the answer why it failed: unknown and wrong, interleaved,
//! through the API in process over real PostgreSQL.
//!
//! Prints the medians; exit code 1 when they differ by more than the spec allows.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench fails by panicking")]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use serde_json::json;

#[allow(dead_code, reason = "a bench uses its part of the client")]
#[path = "../tests/support/oauth.rs"]
mod client;
#[allow(dead_code, reason = "a bench uses its part of the client")]
#[path = "../tests/support/api.rs"]
mod support;

use client::{basic, confidential};
use support::World;

/// Requests of each kind.
const ROUNDS: usize = 300;
/// Requests before the first that counts: connections, plans and caches are warm by then.
const WARM_UP: usize = 50;
/// How far apart the medians of an unknown client and a wrong secret may be.
const ALLOWED: Duration = Duration::from_micros(300);

const WRONG: &str = "sp_cs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const NAMES: [&str; 4] = ["unknown client", "wrong secret", "ended secret", "suspended app"];

/// spec: oauth F22
fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut times = runtime.block_on(measured());
    let medians = times.each_mut().map(|times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    println!("client authentication that fails, medians of {ROUNDS} requests each, interleaved:");
    for (name, median) in NAMES.iter().zip(medians) {
        println!("  {name:<15} {:>7.3} ms", millis(median));
    }
    let apart = medians[0].abs_diff(medians[1]);
    println!("  unknown and wrong are {:.3} ms apart; {:.3} ms are allowed", millis(apart), millis(ALLOWED));
    if apart < ALLOWED { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The times of each kind of failure.
async fn measured() -> [Vec<Duration>; 4] {
    let world = World::new().await;
    let (known, ended, suspended) =
        (world.app(confidential()).await, world.app(confidential()).await, world.app(confidential()).await);
    let path = format!("/v1/orgs/acme/apps/{}/secrets", ended.app);
    let renewed = world.owner("POST", &path, &json!({"overlap_seconds": 0})).await;
    let changed = world.change_app(&suspended, &json!({"status": "suspended"})).await;
    assert_eq!((renewed.status, changed.status), (201, 200), "{} {}", renewed.text, changed.text);
    let headers =
        [basic("sp_app_AAAAAAAAAAAAAAAAAAAAAA", WRONG), basic(&known.id, WRONG), ended.basic(), suspended.basic()];
    let mut times = [const { Vec::new() }; 4];
    for round in 0..WARM_UP + ROUNDS {
        // An address of its own for each round, so that the limit on failures never answers.
        let ip = format!("10.0.{}.{}", round / 256, round % 256);
        for turn in 0..headers.len() {
            // Each kind comes first, second, third and last equally often.
            let kind = (turn + round) % headers.len();
            let ask = world.api.post("/oauth/token").peer(&ip).header("authorization", &headers[kind]);
            let ask = ask.form(&[("grant_type", "client_credentials")]);
            let started = Instant::now();
            let status = ask.send().await.status;
            let taken = started.elapsed();
            assert_eq!(status, 401);
            if round >= WARM_UP {
                times[kind].push(taken);
            }
        }
    }
    times
}
