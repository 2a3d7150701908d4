use std::time::Duration;

/// Why the shared counters gave no answer. Whoever gets one counts alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SharedError {
    /// They failed less than a second ago, or somebody is trying them just now; nothing was sent.
    #[error("the shared counters failed a moment ago and are not asked again yet")]
    Resting,
    /// No answer in time. What was asked may have been done all the same.
    #[error("no answer of the shared counters within {} ms", .0.as_millis())]
    Late(Duration),
    /// Several servers were named, and they are not a cluster: each of them would count for itself.
    #[error("several servers were named for the shared counters, but they are not a cluster")]
    NoCluster,
    /// The server is not there, refused, or answered with something else.
    #[error("the shared counters failed: {0}")]
    Failed(String),
}

impl From<redis::RedisError> for SharedError {
    fn from(error: redis::RedisError) -> Self {
        Self::Failed(error.to_string())
    }
}
