//! What keeps a failing server from costing every caller a wait.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long nobody asks after a failure.
pub(crate) const REST: Duration = Duration::from_secs(1);

/// Holds the connection while it works. Time is an argument.
#[derive(Debug)]
pub(crate) struct Circuit<L>(Mutex<State<L>>);

#[derive(Debug)]
enum State<L> {
    /// Nobody has tried yet.
    Untried,
    Works(Arc<L>),
    Rests {
        until: Instant,
    },
    /// One caller tries.
    Tried,
}

/// What a caller may do.
pub(crate) enum Entry<'a, L> {
    /// Connect, one after the other: nothing is known to be wrong.
    Untried,
    /// Use the connection.
    Works(Arc<L>),
    /// Nothing.
    Rests,
    /// Connect, and be the one whose luck decides.
    Try(Try<'a, L>),
}

impl<L> Circuit<L> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::Untried))
    }

    pub(crate) fn enter(&self, now: Instant) -> Entry<'_, L> {
        let mut state = self.state();
        match &*state {
            State::Untried => Entry::Untried,
            State::Works(link) => Entry::Works(Arc::clone(link)),
            State::Rests { until } if *until <= now => {
                *state = State::Tried;
                Entry::Try(Try { circuit: self, began: now, over: false })
            }
            State::Rests { .. } | State::Tried => Entry::Rests,
        }
    }

    /// A connection works.
    pub(crate) fn works(&self, link: Arc<L>) {
        *self.state() = State::Works(link);
    }

    /// No connection could be made.
    pub(crate) fn unreachable(&self, now: Instant) {
        *self.state() = State::Rests { until: now + REST };
    }

    /// A connection failed. One that was given up before says nothing about the present one.
    pub(crate) fn failed(&self, link: &Arc<L>, now: Instant) {
        let mut state = self.state();
        if matches!(&*state, State::Works(current) if Arc::ptr_eq(current, link)) {
            *state = State::Rests { until: now + REST };
        }
    }

    fn state(&self) -> MutexGuard<'_, State<L>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to try, which one caller has at a time. Whoever goes away without a result leaves it to the next.
pub(crate) struct Try<'a, L> {
    circuit: &'a Circuit<L>,
    began: Instant,
    over: bool,
}

impl<L> Try<'_, L> {
    pub(crate) fn worked(mut self, link: Arc<L>) {
        self.over = true;
        self.circuit.works(link);
    }

    pub(crate) fn failed(mut self, now: Instant) {
        self.over = true;
        self.circuit.unreachable(now);
    }
}

impl<L> Drop for Try<'_, L> {
    fn drop(&mut self) {
        if !self.over {
            *self.circuit.state() = State::Rests { until: self.began };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that failed at the moment that is answered too.
    fn failed() -> (Circuit<&'static str>, Instant) {
        let (circuit, now) = (Circuit::new(), Instant::now());
        circuit.unreachable(now);
        (circuit, now)
    }

    #[test]
    fn before_the_first_try_nothing_is_known() {
        assert!(matches!(Circuit::<()>::new().enter(Instant::now()), Entry::Untried));
    }

    #[test]
    fn a_connection_that_works_is_everybodys() {
        let circuit = Circuit::new();
        circuit.works(Arc::new("link"));
        assert!(matches!(circuit.enter(Instant::now()), Entry::Works(_)));
    }

    #[test]
    fn nobody_may_try_within_a_second_of_a_failure() {
        let (circuit, now) = failed();
        assert!(matches!(circuit.enter(now + Duration::from_millis(999)), Entry::Rests));
    }

    #[test]
    fn one_second_after_a_failure_somebody_may_try() {
        let (circuit, now) = failed();
        assert!(matches!(circuit.enter(now + REST), Entry::Try(_)));
    }

    #[test]
    fn while_one_tries_no_other_does() {
        let (circuit, now) = failed();
        let _first = circuit.enter(now + REST);
        assert!(matches!(circuit.enter(now + 2 * REST), Entry::Rests));
    }

    #[test]
    fn a_try_that_fails_begins_another_rest() {
        let (circuit, now) = failed();
        let Entry::Try(attempt) = circuit.enter(now + REST) else { panic!("a try") };
        attempt.failed(now + REST);
        assert!(matches!(circuit.enter(now + REST + REST / 2), Entry::Rests));
    }

    #[test]
    fn a_try_that_works_ends_the_rest() {
        let (circuit, now) = failed();
        let Entry::Try(attempt) = circuit.enter(now + REST) else { panic!("a try") };
        attempt.worked(Arc::new("link"));
        assert!(matches!(circuit.enter(now + REST), Entry::Works(_)));
    }

    #[test]
    fn a_try_that_is_given_up_is_the_next_callers() {
        let (circuit, now) = failed();
        drop(circuit.enter(now + REST));
        assert!(matches!(circuit.enter(now + REST), Entry::Try(_)));
    }

    #[test]
    fn a_late_failure_of_an_earlier_connection_changes_nothing() {
        let (circuit, now) = (Circuit::new(), Instant::now());
        let earlier = Arc::new("link");
        circuit.works(Arc::clone(&earlier));
        circuit.works(Arc::new("link"));
        circuit.failed(&earlier, now);
        assert!(matches!(circuit.enter(now), Entry::Works(_)));
    }
}
