//! Lines of an export and of a file of checkpoints, as somebody hands them over for verification: none stops the process,
//! what was read and is written again says the same, and only a line with its own leaf and link is taken for whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use statuspulse_audit::{
    Proof, Record, SignedCheckpoint, Verdict, Verifier,
    chain::{leaf, link},
    verify::Options,
};

/// A record, a checkpoint, one that hands over to another key, and a proof. Few texts out of nothing are any of these.
const SEEDS: &str = include_str!("../seeds/audit_line.jsonl");

fuzz_target!(|input: &[u8]| {
    if let Ok(line) = str::from_utf8(input) {
        judge(line);
    }
    // The first byte names a seed, and each three more say which byte of it becomes what.
    let Some((which, edits)) = input.split_first() else { return };
    let seed = SEEDS.lines().cycle().nth(usize::from(which % 4)).unwrap_or_default();
    let mut line = seed.as_bytes().to_vec();
    for edit in edits.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([edit[0], edit[1]])) % line.len();
        line[place] = edit[2];
    }
    if let Ok(line) = str::from_utf8(&line) {
        judge(line);
    }
});

fn judge(line: &str) {
    if let Ok(record) = serde_json::from_str::<Record>(line) {
        let written = serde_json::to_string(&record).expect("a record that was read can be written");
        let again: Record = serde_json::from_str(&written).expect("a line of ours is read");
        assert_eq!(again, record);
        assert_eq!(serde_json::to_string(&again).ok().as_ref(), Some(&written));
        assert!(!written.contains('\n'));

        let mut verifier = Verifier::new(Options { partial: true, ..Options::default() });
        assert!(verifier.wants_checkpoint(&record));
        verifier.record(&record);
        let says = leaf(&record).is_ok_and(|leaf| leaf == record.leaf);
        let whole = says && link(&record.prev, &record.leaf) == record.hash;
        assert!(whole || verifier.finish().verdict == Verdict::Tampered);
    }
    if let Ok(signed) = SignedCheckpoint::from_line(line) {
        let written = signed.to_line().expect("a checkpoint that was read can be written");
        assert_eq!(SignedCheckpoint::from_line(&written).as_ref().ok(), Some(&signed));
        assert!(!written.contains('\n'));

        // Nobody's key has signed it.
        let mut verifier = Verifier::new(Options::default());
        verifier.checkpoint(&signed);
        verifier.compare(signed);
        assert_eq!(verifier.finish().verdict, Verdict::Tampered);
    }
    if let Ok(proof) = serde_json::from_str::<Proof>(line) {
        let written = serde_json::to_string(&proof).expect("a proof that was read can be written");
        assert_eq!(serde_json::from_str::<Proof>(&written).ok(), Some(proof));
    }
}
