//! How far the trail had come at a moment: what is written behind that is told from what is there, while it is being written.

use std::collections::{HashMap, HashSet};

use statuspulse_audit::Record;
use statuspulse_store::{Conn, StoreError, audit::checkpoints};
use uuid::Uuid;

/// How far each stream had come. What is written since may lie before the place that a reader has reached, so that reader
/// would see some of it and not all. No clock is asked: those of instances differ.
#[derive(Debug)]
pub(crate) struct Until {
    heads: HashMap<Uuid, i64>,
    /// How far streams have come since, as far as that was asked.
    moved: HashMap<Uuid, i64>,
    /// Those that were asked since the page was read.
    asked: HashSet<Uuid>,
}

impl Until {
    pub(crate) fn new(heads: impl IntoIterator<Item = (Uuid, i64)>) -> Self {
        Self { heads: heads.into_iter().collect(), moved: HashMap::new(), asked: HashSet::new() }
    }

    /// To be said before the records of a page are asked about.
    pub(crate) fn next_page(&mut self) {
        self.asked.clear();
    }

    /// Whether a record was written since. One that is beyond even the head of now was written by nobody, and is none such.
    pub(crate) async fn is_new(&mut self, conn: &mut Conn, record: &Record) -> Result<bool, StoreError> {
        let stream = record.stream;
        let reaches = |heads: &HashMap<Uuid, i64>| heads.get(&stream).is_some_and(|head| record.sequence <= *head);
        if reaches(&self.heads) {
            return Ok(false);
        }
        // A head moves in the transaction of its records, so who sees a record sees its head too.
        if !reaches(&self.moved) && self.asked.insert(stream) {
            let head = checkpoints::sequence_of(conn, stream).await?;
            self.moved.insert(stream, head.unwrap_or_default());
        }
        Ok(reaches(&self.moved))
    }
}
