//! Segments of the audit spool: any bytes are covered once and in order by records and damaged places, in one go or as
//! the file grows; what is found as a record is one; and a whole record behind any bytes is found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use statuspulse_spool::LONGEST_PAYLOAD;
use statuspulse_spool::format::{Found, HEADER, Header, Scanner, SegmentName, encode_record, record_len};
use uuid::Uuid;

const NAME: SegmentName = SegmentName { owner: Uuid::nil(), lane: 0, number: 0 };
const LAST: &[u8] = b"written behind it";

fuzz_target!(|input: (&[u8], u16)| {
    let (bytes, middle) = input;
    let seed = NAME.seed();
    let _ = Header::decode(bytes, seed);
    let _ =
        std::str::from_utf8(bytes).map(|text| SegmentName::parse(text).map(|name| assert_eq!(name.to_string(), text)));

    let found = scan(bytes, &[bytes.len() as u64]);
    // What is read up to some end, and then on, is covered as well.
    let mut ends = vec![u64::from(middle).min(bytes.len() as u64), bytes.len() as u64];
    scan(bytes, &ends);

    // A record behind them is found, and what was found before it stays. Only a record that begins in the bytes and reaches
    // into the one behind them may change that: it was no whole record before, and can hold what looked like one.
    let mut file = bytes.to_vec();
    file.resize(file.len().max(HEADER as usize), 0);
    let start = file.len() as u64;
    let mut record = Vec::new();
    encode_record(&mut record, seed, start, LAST);
    file.extend_from_slice(&record);
    ends = vec![file.len() as u64];
    let with_last = scan(&file, &ends);
    if with_last.iter().all(|(from, payload)| from + record_len(payload.len()) <= start || *from >= start) {
        assert!(with_last.starts_with(&found));
        assert_eq!(with_last.last(), Some(&(start, LAST.to_vec())));
    }
});

/// The offsets and payloads of all records, read up to each of these ends.
fn scan(bytes: &[u8], ends: &[u64]) -> Vec<(u64, Vec<u8>)> {
    let seed = NAME.seed();
    let mut scanner = Scanner::new(bytes, seed, HEADER);
    let (mut at, mut records, mut record) = (HEADER, Vec::new(), Vec::new());
    for end in ends {
        while let Ok(Some(found)) = scanner.step(*end) {
            let (from, to) = match found {
                Found::Record { end, payload } => {
                    assert!(!payload.is_empty() && payload.len() <= LONGEST_PAYLOAD);
                    let from = end - record_len(payload.len());
                    encode_record(&mut record, seed, from, payload);
                    assert_eq!(bytes.get(from as usize..end as usize), Some(&*record));
                    records.push((from, payload.to_vec()));
                    (from, end)
                }
                Found::Damaged { from, to } => (from, to),
            };
            assert!(from == at && to > from);
            at = to;
        }
        assert_eq!(at, HEADER.max(*end));
    }
    records
}
