//! What a record costs on its way into the trail, and what its checkpoint and its verification cost.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::hint::black_box;

use chrono::DateTime;
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Map, Value};
use statuspulse_audit::{
    Bytes, Checkpoint, Digest, Entry, Record, SigningKey, chain,
    checkpoint::{Head, NO_PREVIOUS, VERSION},
    merkle::{self, StreamingRoot},
    record::ActorRef,
    verify::{Options, Verifier},
};
use uuid::Uuid;
use zeroize::Zeroizing;

const LEAVES: usize = 10_000;

fn entry(number: u128) -> Entry {
    Entry {
        id: Uuid::from_u128(number),
        occurred_at: DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap(),
        class: 3,
        action: "api.call".into(),
        outcome: "allowed".into(),
        reason: None,
        organization_id: Some(Uuid::from_u128(8)),
        actor: ActorRef { kind: "api_key".into(), id: Some(Uuid::from_u128(9).to_string()), version: Some(3) },
        method: Some("POST".into()),
        route: Some("/api/v1/incidents/**".into()),
        status: Some(200),
        ip: Some("203.0.113.7".parse().unwrap()),
        country: Some("DE".into()),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into()),
        fingerprint: Some(Bytes([5; 16])),
        request_id: Some(Uuid::from_u128(10)),
        detail: Map::from_iter([
            ("latency_us".to_owned(), Value::from(412)),
            ("via".to_owned(), Value::from("gateway")),
        ]),
    }
}

fn records(stream: Uuid) -> Vec<Record> {
    let mut prev = chain::beginning(stream);
    (1..=LEAVES)
        .map(|number| {
            let entry = entry(number as u128);
            let at = entry.occurred_at;
            let record = Record::place(entry, (stream, i64::try_from(number).unwrap()), prev, [6; 16], at).unwrap();
            prev = record.hash;
            record
        })
        .collect()
}

fn checkpoint(key: &SigningKey, records: &[Record], leaves: &[Digest]) -> Checkpoint {
    let last = records.last().unwrap();
    Checkpoint {
        version: VERSION,
        number: 1,
        at: last.entry.occurred_at,
        previous: NO_PREVIOUS,
        streams: vec![Head { stream: last.stream, sequence: last.sequence, hash: last.hash }],
        leaves: leaves.len() as u64,
        root: merkle::root(leaves),
        sealed: Vec::new(),
        key_id: key.public_key().key_id(),
        rotation: None,
    }
}

fn chain(c: &mut Criterion) {
    let records = records(Uuid::from_u128(1));
    let leaves: Vec<Digest> = records.iter().map(|record| record.leaf).collect();
    let first = records.first().unwrap();
    let key = SigningKey::from_seed(&Zeroizing::new([1; 32]));
    let body = checkpoint(&key, &records, &leaves);
    let signed = body.clone().sign(&key, None).unwrap();

    c.bench_function("chain_leaf", |b| b.iter(|| chain::leaf(black_box(first)).unwrap()));
    c.bench_function("chain_link", |b| b.iter(|| chain::link(black_box(&first.prev), black_box(&first.leaf))));
    c.bench_function("chain_commit", |b| b.iter(|| chain::commit(&Bytes([6; 16]), black_box("203.0.113.7"))));
    c.bench_function("checkpoint_sign", |b| b.iter(|| black_box(&body).clone().sign(&key, None).unwrap()));
    c.bench_function("checkpoint_check_signature", |b| {
        b.iter(|| black_box(&signed).is_signed_by(&key.public_key()).unwrap());
    });
    c.bench_function("verify_10000_records", |b| {
        b.iter(|| {
            let mut verifier = Verifier::new(Options { keys: vec![key.public_key()], ..Options::default() });
            verifier.checkpoint(&signed);
            records.iter().for_each(|record| verifier.record(record));
            assert!(verifier.finish().ok);
        });
    });
    c.bench_function("merkle_root_of_10000", |b| b.iter(|| merkle::root(black_box(&leaves))));
    c.bench_function("merkle_streaming_root_of_10000", |b| {
        b.iter(|| {
            let mut root = StreamingRoot::default();
            leaves.iter().for_each(|leaf| root.push(*leaf));
            root.root()
        });
    });
}

criterion_group!(benches, chain);
criterion_main!(benches);
