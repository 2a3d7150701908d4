//! `jsonl`: the record itself, one JSON object a line (RFC 8259, newline-delimited).

use super::inert;
use crate::record::Record;

pub(super) fn write(record: &Record, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    inert::write_json(record, out)?;
    out.push(b'\n');
    Ok(())
}
