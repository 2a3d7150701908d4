//! Waiting for other processes, which only tell when they are asked.

use std::time::Duration;

/// How often the state of something that changes is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Lets other processes work until it is time to look again. Every caller has a bound.
#[expect(clippy::disallowed_methods, reason = "the one place of this crate that lets time pass between two looks")]
pub(crate) fn a_moment() {
    std::thread::sleep(POLL);
}
