use super::*;
use crc32c::crc32c_append;
use proptest::prelude::*;
use uuid::Uuid;

const NAME: SegmentName = SegmentName { owner: Uuid::from_u128(7), lane: 3, number: 12 };

fn file(records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = encode_header(NAME.seed(), 1_700_000_000_000_000);
    let mut record = Vec::new();
    for payload in records {
        encode_record(&mut record, NAME.seed(), bytes.len() as u64, payload);
        bytes.extend_from_slice(&record);
    }
    bytes
}

fn read(bytes: &[u8], seed: Seed) -> (Vec<Vec<u8>>, Vec<(u64, u64)>) {
    let (mut records, mut damaged) = (Vec::new(), Vec::new());
    let mut scanner = Scanner::new(bytes, seed, HEADER);
    while let Some(found) = scanner.step(bytes.len() as u64).unwrap() {
        match found {
            Found::Record { payload, .. } => records.push(payload.to_vec()),
            Found::Damaged { from, to } => damaged.push((from, to)),
        }
    }
    (records, damaged)
}

/// Changing this makes the files of yesterday unreadable: it is a new version of the format.
#[test]
fn the_bytes_of_a_file_are_what_they_always_were() {
    let bytes = file(&[b"abc".to_vec()]);
    assert_eq!(bytes[..8], *b"SPSPOOL\x01");
    assert_eq!(bytes[8..16], 1_700_000_000_000_000_u64.to_le_bytes());
    let mut named = Uuid::from_u128(7).into_bytes().to_vec();
    named.extend([3, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0]);
    let seed = crc32c(&named);
    assert_eq!(bytes[16..20], crc32c_append(seed, &bytes[..16]).to_le_bytes());
    assert_eq!(bytes[20..24], [3, 0, 0, 0]);
    let covered = [&[20, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0][..], b"abc"].concat();
    assert_eq!(bytes[24..28], crc32c_append(seed, &covered).to_le_bytes());
    assert_eq!(bytes[28..], *b"abc");
}

#[test]
fn names_have_one_spelling() {
    let text = "00000000-0000-0000-0000-000000000007.3.12.spool";
    assert_eq!(NAME.to_string(), text);
    assert_eq!(SegmentName::parse(text), Some(NAME));
    for other in [
        "00000000-0000-0000-0000-000000000007.03.12.spool",
        "00000000-0000-0000-0000-000000000007.3.+12.spool",
        "00000000000000000000000000000007.3.12.spool",
        "00000000-0000-0000-0000-000000000007.3.12.1.spool",
        "00000000-0000-0000-0000-000000000007.3.spool",
        "00000000-0000-0000-0000-000000000007.3.12.spool.new",
        "00000000-0000-0000-0000-00000000000A.3.12.spool",
        "",
    ] {
        assert_eq!(SegmentName::parse(other), None, "{other}");
    }
}

#[test]
fn a_later_version_is_told_from_a_damaged_one() {
    let mut header = encode_header(NAME.seed(), 5);
    assert_eq!(Header::decode(&header, NAME.seed()), Header::Known { created_at: 5 });
    header[7] = 2;
    assert_eq!(Header::decode(&header, NAME.seed()), Header::Damaged);
    let checksum = crc32c_append(NAME.seed().0, &header[..16]);
    header[16..].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(Header::decode(&header, NAME.seed()), Header::Newer { version: 2 });
    assert_eq!(Header::decode(&header[..19], NAME.seed()), Header::Damaged);
    assert_eq!(Header::decode(&header, SegmentName { number: 13, ..NAME }.seed()), Header::Damaged);
}

#[test]
fn records_longer_than_what_is_read_at_once_come_out() {
    let records: Vec<_> = (0..40_u8).map(|n| vec![n; LONGEST_PAYLOAD - usize::from(n)]).collect();
    assert_eq!(read(&file(&records), NAME.seed()), (records, vec![]));
}

#[test]
fn a_record_inside_a_payload_is_no_record() {
    // Whoever writes the payload knows the format and the offset, but not the name of the file.
    let mut inner = Vec::new();
    let guess = SegmentName { owner: Uuid::from_u128(8), ..NAME }.seed();
    encode_record(&mut inner, guess, HEADER + RECORD_HEADER as u64, b"forged");
    let mut bytes = file(&[inner, b"next".to_vec()]);
    bytes[24] ^= 1;
    assert_eq!(read(&bytes, NAME.seed()).0, [b"next".to_vec()]);
}

proptest! {
    #[test]
    fn any_bytes_are_covered_once_and_in_order(bytes in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..2_000)) {
        let mut scanner = Scanner::new(&*bytes, NAME.seed(), HEADER);
        let mut at = HEADER;
        while let Some(found) = scanner.step(bytes.len() as u64).unwrap() {
            let (from, to) = match found {
                Found::Record { end, payload } => (end - record_len(payload.len()), end),
                Found::Damaged { from, to } => (from, to),
            };
            prop_assert!(from == at && to > from);
            at = to;
        }
        prop_assert_eq!(at, HEADER.max(bytes.len() as u64));
    }

    #[test]
    fn damage_costs_only_what_it_touches(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 2..20),
        at in any::<prop::sample::Index>(),
        by in prop::collection::vec(any::<u8>(), 1..50),
    ) {
        let bytes = file(&records);
        let mut changed = bytes.clone();
        let from = HEADER as usize + at.index(bytes.len() - HEADER as usize);
        for (byte, new) in changed[from..].iter_mut().zip(&by) {
            *byte = *new;
        }
        let mut end = HEADER as usize;
        let mut expected = Vec::new();
        for record in &records {
            let start = end;
            end += RECORD_HEADER + record.len();
            if bytes[start..end] == changed[start..end] {
                expected.push(record.clone());
            }
        }
        prop_assert_eq!(read(&changed, NAME.seed()).0, expected);
    }

    #[test]
    fn a_file_that_is_shorter_than_its_end_is_damaged_there(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..5), missing in 1..2_000_u64,
    ) {
        let bytes = file(&records);
        let end = bytes.len() as u64 + missing;
        let mut scanner = Scanner::new(&*bytes, NAME.seed(), HEADER);
        for _ in &records {
            let is_record = matches!(scanner.step(end).unwrap(), Some(Found::Record { .. }));
            prop_assert!(is_record);
        }
        prop_assert_eq!(scanner.step(end).unwrap(), Some(Found::Damaged { from: bytes.len() as u64, to: end }));
        prop_assert_eq!(scanner.step(end).unwrap(), None);
    }
}

/// A reader that begins anew behind the writer may see another thing than one that read on while the file was cut: why one
/// that tails a file is given the ends of records alone.
#[test]
fn what_looked_like_a_record_within_a_cut_one_is_its_payload_when_it_is_whole() {
    let seed = NAME.seed();
    let (mut inner, mut outer) = (Vec::new(), Vec::new());
    encode_record(&mut inner, seed, HEADER + RECORD_HEADER as u64, b"inner");
    let payload = [&inner[..], b" and the rest"].concat();
    encode_record(&mut outer, seed, HEADER, &payload);
    let whole = [&encode_header(seed, 0)[..], &outer[..]].concat();
    assert_eq!(read(&whole, seed), (vec![payload], vec![]));

    let cut = &whole[..whole.len() - 1];
    let (from, to) = (HEADER, HEADER + RECORD_HEADER as u64);
    let behind = to + inner.len() as u64;
    assert_eq!(read(cut, seed), (vec![b"inner".to_vec()], vec![(from, to), (behind, cut.len() as u64)]));
}
