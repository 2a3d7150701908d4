//! The bytes of a segment file. Pure: no file is opened here, so that any bytes can be tried.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 7 | `SPSPOOL` |
//! | 7 | 1 | version, 1 |
//! | 8 | 8 | created at, microseconds since 1970 UTC |
//! | 16 | 4 | CRC-32C of the name and of bytes 0 to 15 |
//! | 20 | … | records, one behind the other |
//!
//! | record offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | length of the payload, 1 to 65,536 |
//! | 4 | 4 | CRC-32C of the name, the record's offset in the file, the length, and the payload |
//! | 8 | … | payload |
//!
//! Numbers are little-endian. The first 20 bytes keep their meaning in every version, so that an older program can
//! tell a newer file from a damaged one.
//!
//! The checksum covers the file's name and the record's place. A record that got into another file or to another
//! place (a stale block, a copied file) does not pass, and neither does one that somebody smuggled into a payload for
//! the moment when a reader looks for the next whole record behind a damaged one: the name has 122 random bits in it
//! that no caller knows.

mod name;
mod scan;
#[cfg(test)]
mod tests;

pub use name::{Seed, SegmentName};
pub use scan::{Found, ReadAt, Scanner};

use crc32c::{crc32c, crc32c_append};

/// The longest payload, in bytes.
pub const LONGEST_PAYLOAD: usize = 65_536;
/// The length of a file's header, in bytes: the offset of its first record.
pub const HEADER: u64 = 20;
/// The bytes of a record in front of its payload.
pub const RECORD_HEADER: usize = 8;

const MAGIC: &[u8; 7] = b"SPSPOOL";
const VERSION: u8 = 1;

/// What a file's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The file is of this version.
    Known {
        /// When the file was made, in microseconds since 1970 UTC.
        created_at: u64,
    },
    /// A later version made the file.
    Newer {
        /// Its version.
        version: u8,
    },
    /// The header is cut, or not as it was written. The records behind it can be read nevertheless.
    Damaged,
}

impl Header {
    /// Reads the first bytes of a file.
    #[must_use]
    pub fn decode(bytes: &[u8], seed: Seed) -> Header {
        let Some((said, rest)) = bytes.split_first_chunk::<16>() else { return Header::Damaged };
        let Some(checksum) = rest.first_chunk::<4>() else { return Header::Damaged };
        let [magic @ .., _, _, _, _, _, _, _, _, _] = said;
        let [_, _, _, _, _, _, _, version, created_at @ ..] = said;
        if magic != MAGIC || crc32c_append(seed.0, said) != u32::from_le_bytes(*checksum) {
            return Header::Damaged;
        }
        match *version {
            VERSION => Header::Known { created_at: u64::from_le_bytes(*created_at) },
            version => Header::Newer { version },
        }
    }
}

/// The header of a file that is made at this time, in microseconds since 1970 UTC.
#[must_use]
pub fn encode_header(seed: Seed, created_at: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(20);
    header.extend_from_slice(MAGIC);
    header.push(VERSION);
    header.extend_from_slice(&created_at.to_le_bytes());
    let checksum = crc32c_append(seed.0, &header);
    header.extend_from_slice(&checksum.to_le_bytes());
    header
}

/// Replaces the content of `buffer` by the record that holds `payload` at this offset of the file.
///
/// The payload has to be 1 to [`LONGEST_PAYLOAD`] bytes long: a reader takes no other for a record.
pub fn encode_record(buffer: &mut Vec<u8>, seed: Seed, offset: u64, payload: &[u8]) {
    // A longer payload is refused before; a length that no reader believes is the harmless way to be wrong.
    let length = u32::try_from(payload.len()).unwrap_or(0);
    buffer.clear();
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&checksum(seed, offset, length, payload).to_le_bytes());
    buffer.extend_from_slice(payload);
}

/// The bytes that a payload of this length takes in a file.
#[must_use]
pub fn record_len(payload: usize) -> u64 {
    RECORD_HEADER as u64 + payload as u64
}

fn checksum(seed: Seed, offset: u64, length: u32, payload: &[u8]) -> u32 {
    let placed = crc32c_append(seed.0, &offset.to_le_bytes());
    crc32c_append(crc32c_append(placed, &length.to_le_bytes()), payload)
}

/// The start value of a file's checksums.
fn seed_of(name: &SegmentName) -> Seed {
    let owner = crc32c(name.owner.as_bytes());
    Seed(crc32c_append(crc32c_append(owner, &name.lane.to_le_bytes()), &name.number.to_le_bytes()))
}
