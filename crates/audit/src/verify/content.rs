//! What can be told of a record by itself.

use crate::{chain, record::Record};

/// How address and user agent stand to what the chain covers of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Texts {
    /// Each is the one that was written, or there never was one.
    Fit,
    /// One that was written is gone. Somebody must have said so in the trail.
    Erased,
    /// One is not the one that was written, or can't be shown to be.
    Wrong,
}

/// Compares address and user agent with their commitments.
pub(crate) fn texts(record: &Record) -> Texts {
    let ip = record.entry.ip.map(|ip| ip.to_string());
    let pairs = [(ip.as_deref(), record.ip_commit), (record.entry.user_agent.as_deref(), record.user_agent_commit)];
    let mut texts = Texts::Fit;
    for (text, commit) in pairs {
        match (text, commit, &record.salt) {
            (None, None, _) => {}
            (None, Some(_), _) => texts = Texts::Erased,
            (Some(text), Some(commit), Some(salt)) if chain::commit(salt, text) == commit => {}
            (Some(_), _, _) => return Texts::Wrong,
        }
    }
    texts
}

/// Whether leaf and link are those of the record's own fields.
pub(crate) fn is_what_it_says(record: &Record) -> bool {
    chain::leaf(record).is_ok_and(|leaf| leaf == record.leaf) && chain::link(&record.prev, &record.leaf) == record.hash
}
