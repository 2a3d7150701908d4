//! Waiting for something that happens elsewhere.

use std::time::Duration;

/// How long a test waits before it fails; long, since a machine that runs all tests at once is slow.
pub const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until a condition holds.
///
/// # Panics
/// With the description, when it doesn't within [`PATIENCE`].
pub async fn eventually(description: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "this did not happen within {} s: {description}",
            PATIENCE.as_secs()
        );
        a_moment().await;
    }
}

pub(crate) async fn a_moment() {
    tokio::time::sleep(LOOK_EVERY).await; // house: allow the one place where tests wait between two looks, with a bound
}
