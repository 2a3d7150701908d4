//! A trail as the service would write it.

use chrono::Duration;
use serde_json::{Map, Value};

use super::*;
use crate::{
    checkpoint::{NO_PREVIOUS, Rotation, SealedDay, VERSION},
    merkle,
    record::{ActorRef, Entry},
};

#[derive(Debug, Clone)]
pub(super) struct Trail {
    pub(super) records: Vec<Record>,
    pub(super) checkpoints: Vec<SignedCheckpoint>,
    pub(super) clock: DateTime<Utc>,
    pub(super) heads: BTreeMap<Uuid, (i64, Digest)>,
    /// Leaves that no checkpoint covers.
    pub(super) leaves: BTreeMap<(Uuid, i64), Digest>,
    /// Seed of the key in force.
    seed: u8,
}

impl Trail {
    pub(super) fn new() -> Self {
        Self {
            records: Vec::new(),
            checkpoints: Vec::new(),
            clock: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
            heads: BTreeMap::new(),
            leaves: BTreeMap::new(),
            seed: 1,
        }
    }

    pub(super) fn stream(number: u128) -> Uuid {
        Uuid::from_u128(100 + number)
    }

    pub(super) fn options(&self) -> Options {
        Options { at: self.clock, keys: vec![key(1).public_key()], ..Options::default() }
    }

    pub(super) fn event(&mut self, stream: u128) {
        self.event_with(stream, |_| ());
    }

    pub(super) fn event_with(&mut self, stream: u128, change: impl FnOnce(&mut Entry)) {
        let number = self.records.len();
        self.clock += Duration::milliseconds(700);
        let mut entry = Entry {
            id: Uuid::from_u128(1_000_000 + number as u128),
            occurred_at: self.clock,
            class: 3,
            action: "api.call".into(),
            outcome: "allowed".into(),
            reason: None,
            organization_id: Some(Uuid::from_u128(8)),
            actor: ActorRef { kind: "api_key".into(), id: Some("k".into()), version: Some(3) },
            method: Some("GET".into()),
            route: Some("/a".into()),
            status: Some(200),
            ip: (number % 3 != 2).then(|| [203, 0, 113, 7].into()),
            country: None,
            user_agent: number.is_multiple_of(2).then(|| "curl/8.9".into()),
            fingerprint: Some(Bytes([5; 16])),
            request_id: Some(Uuid::from_u128(10)),
            detail: Map::from_iter([("latency_us".to_owned(), Value::from(number))]),
        };
        change(&mut entry);
        let stream = Self::stream(stream);
        let (sequence, prev) = self.heads.get(&stream).copied().unwrap_or((0, chain::beginning(stream)));
        let record = Record::place(entry, (stream, sequence + 1), prev, [6; 16], self.clock).unwrap();
        self.heads.insert(stream, (record.sequence, record.hash));
        self.leaves.insert((stream, record.sequence), record.leaf);
        self.records.push(record);
    }

    pub(super) fn checkpoint(&mut self) {
        self.checkpoint_with(|_| ());
    }

    pub(super) fn checkpoint_with(&mut self, change: impl FnOnce(&mut Checkpoint)) {
        let leaves: Vec<Digest> = std::mem::take(&mut self.leaves).into_values().collect();
        let last = self.checkpoints.last();
        let head = |(stream, (sequence, hash)): (&Uuid, &(i64, Digest))| Head {
            stream: *stream,
            sequence: *sequence,
            hash: *hash,
        };
        let mut body = Checkpoint {
            version: VERSION,
            number: self.checkpoints.len() as i64 + 1,
            at: self.clock,
            previous: last.map_or(NO_PREVIOUS, |last| last.body.digest().unwrap()),
            streams: self.heads.iter().map(head).collect(),
            leaves: leaves.len() as u64,
            root: merkle::root(&leaves),
            sealed: Vec::new(),
            key_id: key(self.seed).public_key().key_id(),
            rotation: None,
        };
        change(&mut body);
        self.checkpoints.push(body.sign(&key(self.seed), None).unwrap());
    }

    /// A checkpoint that hands over to another key.
    pub(super) fn rotate(&mut self, next: u8) {
        let public_key = key(next).public_key();
        self.checkpoint_with(|body| body.rotation = Some(Rotation { key_id: public_key.key_id(), public_key }));
        let body = self.checkpoints.pop().unwrap().body;
        self.checkpoints.push(body.sign(&key(self.seed), Some(&key(next))).unwrap());
        self.seed = next;
    }

    /// Somebody with the key signs another body.
    pub(super) fn sign_anew(&mut self, index: usize, change: impl FnOnce(&mut Checkpoint)) {
        let mut body = self.checkpoints[index].body.clone();
        change(&mut body);
        let seed = (1..=9).find(|seed| key(*seed).public_key().key_id() == body.key_id).unwrap();
        let next = body.rotation.as_ref().map(|_| key(seed + 1));
        self.checkpoints[index] = body.sign(&key(seed), next.as_ref()).unwrap();
    }

    /// Gives a record leaf and link of what it says now.
    pub(super) fn reseal(record: &mut Record) {
        record.leaf = chain::leaf(record).unwrap();
        record.hash = chain::link(&record.prev, &record.leaf);
    }

    pub(super) fn forge(&mut self, index: usize, change: impl FnOnce(&mut Record)) {
        change(&mut self.records[index]);
        Self::reseal(&mut self.records[index]);
    }

    /// Forges a record and writes the rest of its chain anew.
    pub(super) fn forge_from(&mut self, index: usize, change: impl FnOnce(&mut Record)) {
        self.forge(index, change);
        let (stream, mut prev) = (self.records[index].stream, self.records[index].hash);
        let sequence = self.records[index].sequence;
        let mut behind: Vec<&mut Record> =
            self.records.iter_mut().filter(|record| record.stream == stream && record.sequence > sequence).collect();
        behind.sort_by_key(|record| record.sequence);
        for record in behind {
            record.prev = prev;
            Self::reseal(record);
            prev = record.hash;
        }
    }

    /// Takes what can be erased out of a record.
    pub(super) fn erase(&mut self, index: usize) -> Uuid {
        let record = &mut self.records[index];
        (record.salt, record.entry.ip, record.entry.user_agent) = (None, None, None);
        record.entry.id
    }

    pub(super) fn days(&self) -> Vec<NaiveDate> {
        let days: BTreeSet<_> = self.records.iter().map(|record| record.entry.occurred_at.date_naive()).collect();
        days.into_iter().collect()
    }

    pub(super) fn verify(&self) -> Report {
        self.verify_with(&[])
    }

    pub(super) fn verify_with(&self, copies: &[SignedCheckpoint]) -> Report {
        verify(self.options(), &self.records, &self.checkpoints, copies)
    }
}

pub(super) fn seal(records: &[Record], day: NaiveDate) -> SealedDay {
    let mut leaves: Vec<_> = records
        .iter()
        .filter(|record| record.entry.occurred_at.date_naive() == day)
        .map(|record| ((record.stream, record.sequence), record.leaf))
        .collect();
    leaves.sort_unstable();
    let leaves: Vec<_> = leaves.into_iter().map(|(_, leaf)| leaf).collect();
    SealedDay { day, rows: leaves.len() as u64, root: merkle::root(&leaves) }
}

/// As the command line does it: each checkpoint when it is wanted, copies at the end.
pub(super) fn verify(
    options: Options,
    records: &[Record],
    checkpoints: &[SignedCheckpoint],
    copies: &[SignedCheckpoint],
) -> Report {
    let mut verifier = Verifier::new(options);
    let mut checkpoints = checkpoints.iter();
    for record in records {
        while verifier.wants_checkpoint(record) {
            let Some(checkpoint) = checkpoints.next() else { break };
            verifier.checkpoint(checkpoint);
        }
        verifier.record(record);
    }
    checkpoints.for_each(|checkpoint| verifier.checkpoint(checkpoint));
    copies.iter().for_each(|copy| verifier.compare(copy.clone()));
    verifier.finish()
}
