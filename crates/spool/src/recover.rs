//! What earlier processes left behind.

use crate::SpoolError;
use crate::format::{Found, HEADER, Header, Scanner};
use crate::segment::Segment;
use crate::shared::Shared;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of a file that are no whole record: torn off by the end of a process or of the machine, or changed since.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Damage {
    /// The name of the segment file.
    pub file: Arc<str>,
    /// The offset of the first byte.
    pub from: u64,
    /// The offset behind the last byte.
    pub to: u64,
}

/// What a new reader finds of earlier processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Whether the spool was closed before. If not, the last process was killed, which loses nothing, or the machine
    /// went down, which may have taken what was not synced without leaving a torn record behind.
    pub was_clean: bool,
    /// Files of earlier processes.
    pub files: usize,
    /// Whole records in them that are not yet stored.
    pub records: u64,
    /// Damaged places behind what is stored.
    pub damage: Vec<Damage>,
    /// Names with a stored offset whose files are not there any more: their offsets can be forgotten.
    pub forgotten: Vec<String>,
}

impl Recovered {
    /// The bytes of all damaged places.
    #[must_use]
    pub fn torn_bytes(&self) -> u64 {
        self.damage.iter().map(|damage| damage.to - damage.from).sum()
    }
}

/// A torn tail that is yet to be cut off.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) file: Arc<str>,
    pub(crate) len: u64,
}

impl Shared {
    /// Looks at everything of earlier processes that is not stored yet. Changes nothing on the disk.
    pub(crate) fn recover(&self, offsets: &HashMap<String, u64>) -> Result<(Recovered, Vec<Cut>), SpoolError> {
        let segments = self.snapshot();
        let mut recovered = Recovered { was_clean: self.was_clean, ..Recovered::default() };
        let mut cuts = Vec::new();
        for segment in &segments {
            if let Some(end) = offsets.get(&*segment.file_name) {
                segment.commit(*end);
            }
            if !segment.is_live() {
                recovered.files += 1;
                cuts.extend(self.look_at(segment, &mut recovered)?);
            }
        }
        let is_gone = |name: &&String| !segments.iter().any(|segment| *segment.file_name == ***name);
        recovered.forgotten = offsets.keys().filter(is_gone).cloned().collect();
        recovered.forgotten.sort_unstable();
        Ok((recovered, cuts))
    }

    fn look_at(&self, segment: &Segment, recovered: &mut Recovered) -> Result<Option<Cut>, SpoolError> {
        let (start, len) = (segment.committed(), segment.written());
        let damage = |from, to| Damage { file: Arc::clone(&segment.file_name), from, to };
        let file = self.directory.read(&segment.file_name)?;
        if start == HEADER {
            let mut header = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(&file, HEADER), &mut header)
                .map_err(self.directory.failed("read", &segment.file_name))?;
            if Header::decode(&header, segment.seed) == Header::Damaged {
                recovered.damage.push(damage(0, len.min(HEADER)));
            }
        }
        // What is stored is not looked at: damage in it does no harm, and cuts nothing off from what is behind it.
        let mut scanner = Scanner::new(file, segment.seed, start);
        let (mut whole, mut torn) = (start, None);
        while let Some(found) = scanner.step(len).map_err(self.directory.failed("read", &segment.file_name))? {
            match found {
                Found::Record { end, .. } => {
                    recovered.records += 1;
                    (whole, torn) = (end, None);
                }
                Found::Damaged { from, to } => {
                    recovered.damage.push(damage(from, to));
                    torn = Some(to);
                }
            }
        }
        let Some(end) = torn else { return Ok(None) };
        segment.publish(whole);
        self.give_back(end - whole);
        Ok(Some(Cut { file: Arc::clone(&segment.file_name), len: whole }))
    }
}
