//! The names of what lies in Redis. What stands in braces decides about the node of a cluster.

use uuid::Uuid;

/// Members are keys, scores the second in which somebody last published counts of them.
pub(crate) const LATELY: &str = "sp:{usage}:lately";

/// The accepted calls of a key: a hash of `second` (the latest), `total`, and one counter for each second.
pub(crate) fn rate(key: Uuid) -> String {
    format!("sp:{{{key}}}:rate")
}

/// All calls of a key: a hash of `<second>:<instance>`.
pub(crate) fn usage(key: Uuid) -> String {
    format!("sp:{{{key}}}:usage")
}
