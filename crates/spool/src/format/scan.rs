//! Reading records one after the other, past what is damaged.

use super::{LONGEST_PAYLOAD, RECORD_HEADER, Seed, checksum};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much is read at once, in bytes; more than the longest record.
const CHUNK: usize = 256 * 1024;

/// Something that can be read at any offset: a file, or bytes in memory.
pub trait ReadAt {
    /// Reads at most `into.len()` bytes from this offset on. 0 says that nothing is there.
    ///
    /// # Errors
    /// The failure of the system.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }
}

impl ReadAt for &[u8] {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        io::Read::read(&mut &*rest, into)
    }
}

/// One thing that lies in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A whole record.
    Record {
        /// The offset behind it.
        end: u64,
        /// Its payload.
        payload: &'a [u8],
    },
    /// Bytes that are no whole record.
    Damaged {
        /// The offset of the first of them.
        from: u64,
        /// The offset behind the last of them: that of a whole record, or the end.
        to: u64,
    },
}

/// Reads the records of one file in order.
#[derive(Debug)]
pub struct Scanner<R> {
    source: R,
    seed: Seed,
    offset: u64,
    buffer: Vec<u8>,
    /// The offset in the file of the first byte of `buffer`.
    base: u64,
}

enum Judged {
    Record {
        payload: usize,
    },
    Nothing,
    /// Too few bytes are left for any record.
    Over,
}

impl<R: ReadAt> Scanner<R> {
    /// Reads from this offset on, which is that of a record: [`HEADER`](super::HEADER), or the end of another one.
    pub fn new(source: R, seed: Seed, offset: u64) -> Scanner<R> {
        Scanner { source, seed, offset, buffer: Vec::new(), base: offset }
    }

    /// The offset behind what was found last.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record or damaged place in front of `end`; `None` when nothing is left.
    ///
    /// `end` is the end of a record or of the file, and never less than in an earlier call; nothing behind it is
    /// read. Each call moves forward, and what it finds together covers every byte up to `end`.
    ///
    /// Behind a record that fails its checksum every offset is tried until a whole record is there: a flipped bit
    /// or a page that a power cut has lost costs the records that it touches, not those behind them.
    ///
    /// # Errors
    /// The failure of the source.
    pub fn step(&mut self, end: u64) -> io::Result<Option<Found<'_>>> {
        let from = self.offset;
        if from >= end {
            return Ok(None);
        }
        let mut at = from;
        let found = loop {
            match self.judge(at, end)? {
                Judged::Record { payload } => break Some(payload),
                Judged::Nothing => at += 1,
                Judged::Over => break None,
            }
        };
        match found {
            Some(payload) if at == from => {
                let len = RECORD_HEADER + payload;
                self.offset = at + len as u64;
                let record = self.window(at, len, end)?;
                let payload = record.get(RECORD_HEADER..).unwrap_or_default();
                Ok(Some(Found::Record { end: at + len as u64, payload }))
            }
            Some(_) => {
                self.offset = at;
                Ok(Some(Found::Damaged { from, to: at }))
            }
            None => {
                self.offset = end;
                Ok(Some(Found::Damaged { from, to: end }))
            }
        }
    }

    fn judge(&mut self, at: u64, end: u64) -> io::Result<Judged> {
        let head = self.window(at, RECORD_HEADER, end)?;
        let Some((length, rest)) = head.split_first_chunk::<4>() else { return Ok(Judged::Over) };
        let Some(expected) = rest.first_chunk::<4>() else { return Ok(Judged::Over) };
        let (length, expected) = (u32::from_le_bytes(*length), u32::from_le_bytes(*expected));
        let payload = length as usize;
        if payload == 0 || payload > LONGEST_PAYLOAD || (end - at) < (RECORD_HEADER + payload) as u64 {
            return Ok(Judged::Nothing);
        }
        let seed = self.seed;
        let record = self.window(at, RECORD_HEADER + payload, end)?;
        let is_whole = record
            .get(RECORD_HEADER..)
            .is_some_and(|bytes| bytes.len() == payload && checksum(seed, at, length, bytes) == expected);
        Ok(if is_whole { Judged::Record { payload } } else { Judged::Nothing })
    }

    /// `len` bytes from this offset on; fewer when the file or `end` is reached before.
    fn window(&mut self, at: u64, len: usize, end: u64) -> io::Result<&[u8]> {
        let mut skip = usize::try_from(at - self.base).unwrap_or(usize::MAX);
        if self.buffer.len().saturating_sub(skip) < len {
            self.buffer.drain(..skip.min(self.buffer.len()));
            self.base = at;
            skip = 0;
            let left = usize::try_from(end - at).unwrap_or(usize::MAX);
            self.fill(len.max(CHUNK).min(left))?;
        }
        let there = self.buffer.get(skip..).unwrap_or_default();
        Ok(there.get(..len).unwrap_or(there))
    }

    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        while self.buffer.len() < wanted {
            let have = self.buffer.len();
            self.buffer.resize(wanted, 0);
            let into = self.buffer.get_mut(have..).unwrap_or_default();
            let read = self.source.read_at(into, self.base + have as u64);
            self.buffer.truncate(have + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
