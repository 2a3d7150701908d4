//! Whatever is done to a trail of which a checkpoint is held elsewhere, it isn't whole any more.

use proptest::{prelude::*, sample::Index};

use super::*;

/// A trail of random records, streams, checkpoints and rotations, which ends with a checkpoint.
fn trails() -> impl Strategy<Value = Trail> {
    let steps = proptest::collection::vec((0_u128..4, 0_u8..24), 12..80);
    steps.prop_map(|steps| {
        let mut trail = Trail::new();
        let mut seed = 1;
        for (stream, then) in steps {
            trail.event(stream);
            match then {
                0 if seed < 5 => {
                    seed += 1;
                    trail.rotate(seed);
                }
                1..4 => trail.checkpoint(),
                _ => {}
            }
        }
        trail.checkpoint();
        trail
    })
}

/// The same records, each at most so many places away from its own.
fn late(records: &[Record], delays: &[u8]) -> Vec<Record> {
    let mut order: Vec<_> = records.iter().enumerate().zip(delays.iter().cycle()).collect();
    order.sort_by_key(|((place, _), delay)| place + usize::from(**delay));
    order.into_iter().map(|((_, record), _)| record.clone()).collect()
}

/// Exchanges one byte of a text that is still one of its kind. None when it says the same as before.
fn flipped<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq>(
    whole: &T,
    at: Index,
    byte: u8,
    same: impl Fn(&mut T),
) -> Option<T> {
    let line = serde_json::to_vec(whole).unwrap();
    let first = at.index(line.len());
    // The next place, too, where the byte makes a difference and the text is still one of its kind.
    (first..line.len()).chain(0..first).find_map(|at| {
        let mut line = line.clone();
        line[at] = byte;
        let mut read: T = serde_json::from_slice(&line).ok()?;
        same(&mut read);
        (read != *whole).then_some(read)
    })
}

/// Does one thing of many to a trail. None where it would do nothing.
fn tamper(trail: &mut Trail, what: u8, (one, other): (Index, Index), byte: u8) -> Option<()> {
    let (records, checkpoints) = (trail.records.len(), trail.checkpoints.len());
    let (record, checkpoint) = (one.index(records), one.index(checkpoints));
    let second = other.index(records);
    match what {
        // A byte of a record; when it was written is not vouched for.
        0..=5 => {
            let recorded_at = trail.records[record].recorded_at;
            let keep = |read: &mut Record| read.recorded_at = recorded_at;
            trail.records[record] = flipped(&trail.records[record], other, byte, keep)?;
        }
        6 => drop(trail.records.remove(record)),
        7 => {
            // Two records exchange what they say.
            let entries = [record, second].map(|index| trail.records[index].clone());
            if entries[0].entry == entries[1].entry {
                return None;
            }
            trail.records[record].entry = entries[1].entry.clone();
            trail.records[second].entry = entries[0].entry.clone();
        }
        8 => {
            let mut forged = trail.records[record].clone();
            forged.entry.id = Uuid::from_u128(7);
            Trail::reseal(&mut forged);
            trail.records.insert(second, forged);
        }
        9 => trail.records.insert(second, trail.records[record].clone()),
        10 => trail.forge(record, |record| record.entry.reason = Some("x".into())),
        11 => trail.forge_from(record, |record| record.entry.reason = Some("x".into())),
        12 => trail.records.truncate(record),
        13 => drop(trail.erase(record)),
        14 => drop(trail.checkpoints.remove(checkpoint)),
        15 => trail.checkpoints.insert(other.index(checkpoints), trail.checkpoints[checkpoint].clone()),
        16..=19 => {
            trail.checkpoints[checkpoint] = flipped(&trail.checkpoints[checkpoint], other, byte, |_| ())?;
        }
        20 => {
            let mut body = trail.checkpoints[checkpoint].body.clone();
            body.key_id = key(9).public_key().key_id();
            trail.checkpoints[checkpoint] = body.sign(&key(9), None).unwrap();
        }
        21 => trail.sign_anew(checkpoint, |body| body.at += Duration::microseconds(1)),
        22 => {
            // The records go, and the checkpoints that tell of them.
            trail.records.truncate(record);
            trail.checkpoints.truncate(checkpoint);
        }
        _ => {
            if checkpoint == other.index(checkpoints) {
                return None;
            }
            trail.checkpoints.swap(checkpoint, other.index(checkpoints));
        }
    }
    Some(())
}

proptest! {
    #[test]
    fn an_untouched_trail_is_whole_however_late_its_records_come(
        trail in trails(),
        delays in proptest::collection::vec(0_u8..40, 1..50),
        ahead in any::<bool>(),
    ) {
        let mut trail = trail;
        trail.records = late(&trail.records, &delays);
        let mut verifier = Verifier::new(trail.options());
        if ahead {
            trail.checkpoints.iter().for_each(|checkpoint| verifier.checkpoint(checkpoint));
        }
        trail.records.iter().for_each(|record| verifier.record(record));
        if !ahead {
            trail.checkpoints.iter().for_each(|checkpoint| verifier.checkpoint(checkpoint));
        }
        let whole = [verifier.finish(), trail.verify(), trail.verify_with(&trail.checkpoints)];
        prop_assert!(whole.iter().all(|report| report.ok), "{whole:?}");
    }

    /// spec: audit A9
    #[test]
    fn a_trail_that_was_tampered_with_is_never_whole(
        trail in trails(),
        what in 0_u8..24,
        at in any::<(Index, Index)>(),
        byte in prop_oneof!["[0-9a-f]".prop_map(|text| text.as_bytes()[0]), 0x20_u8..0x7f],
        delays in proptest::collection::vec(0_u8..6, 1..10),
    ) {
        let held = trail.checkpoints.last().cloned();
        let mut trail = trail;
        trail.records = late(&trail.records, &delays);
        // What does nothing, such as erasing no address, leaves the trail whole.
        let before = (trail.records.clone(), trail.checkpoints.clone());
        let did = tamper(&mut trail, what, at, byte).is_some();
        prop_assume!(did && before != (trail.records.clone(), trail.checkpoints.clone()));
        let report = trail.verify_with(held.as_slice());
        prop_assert!(!report.ok, "{what}: {report:?}");
    }
}
