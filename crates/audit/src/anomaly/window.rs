//! How often something has happened in the last minute, counted by the second (audit §7).

/// Counters of a window: one more than a minute has seconds, since a minute that begins in the middle of a second touches
/// sixty-one of them. What is counted may therefore span up to 61 s, and nothing within 60 s is missed.
pub const SECONDS: usize = 61;
/// Seconds behind the window that are remembered: what others have counted is known a moment later, and the window of that
/// moment is summed then.
pub const BEHIND: usize = 3;
const CELLS: usize = SECONDS + BEHIND;

/// A ring of one-second counters. Seconds are those of one clock that never goes back.
#[derive(Debug, Clone)]
pub struct Window {
    counts: [u32; CELLS],
    newest: u64,
    sum: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { counts: [0; CELLS], newest: 0, sum: 0 }
    }
}

impl Window {
    /// Counts happenings of a second, and answers how many are in the window that ends with the newest second seen. A
    /// thread may come with a second that another one has left behind; what has left the window counts no more.
    pub fn add(&mut self, second: u64, number: u32) -> u64 {
        self.move_on(second);
        let age = self.newest - second;
        if age < CELLS as u64
            && let Some(count) = self.counts.get_mut(place(second))
        {
            let before = *count;
            *count = before.saturating_add(number);
            if age < SECONDS as u64 {
                self.sum += u64::from(*count - before);
            }
        }
        self.sum
    }

    /// How many are in the window that ends with a second, or with the newest one if that is later.
    pub fn sum(&mut self, second: u64) -> u64 {
        self.move_on(second);
        self.sum
    }

    /// How many were in the window that ended with a second, at most [`BEHIND`] before the newest one.
    #[must_use]
    pub fn until(&self, second: u64) -> u64 {
        let first = second.saturating_sub(SECONDS as u64 - 1);
        (first..=second).map(|second| u64::from(self.at(second))).sum()
    }

    /// How many there were in a second; none when it is no longer remembered.
    #[must_use]
    pub fn at(&self, second: u64) -> u32 {
        if second > self.newest || self.newest - second >= CELLS as u64 {
            return 0;
        }
        self.counts.get(place(second)).copied().unwrap_or_default()
    }

    /// The seconds of the window in which something happened, oldest first.
    pub fn seconds(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let first = self.newest.saturating_sub(SECONDS as u64 - 1);
        (first..=self.newest).map(|second| (second, self.at(second))).filter(|(_, count)| *count > 0)
    }

    /// The second from which on fewer than `limit` of those that are counted now are in the window.
    #[must_use]
    pub fn room_from(&self, limit: u64) -> u64 {
        let mut left = self.sum;
        for (second, count) in self.seconds() {
            if left < limit {
                break;
            }
            left -= u64::from(count);
            if left < limit {
                return second + SECONDS as u64;
            }
        }
        self.newest
    }

    /// The newest second that was seen.
    #[must_use]
    pub const fn newest(&self) -> u64 {
        self.newest
    }

    fn move_on(&mut self, second: u64) {
        if second <= self.newest {
            return;
        }
        if second - self.newest >= CELLS as u64 {
            self.counts = [0; CELLS];
            self.sum = 0;
            self.newest = second;
            return;
        }
        for passed in self.newest + 1..=second {
            let left = passed.checked_sub(SECONDS as u64).map_or(0, |left| self.at(left));
            self.sum -= u64::from(left);
            if let Some(count) = self.counts.get_mut(place(passed)) {
                *count = 0;
            }
            self.newest = passed;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a remainder of 64")]
const fn place(second: u64) -> usize {
    (second % CELLS as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the window must come to, from all timestamps in whole seconds.
    fn naive(happened: &[u64], now: u64) -> u64 {
        happened.iter().filter(|second| **second <= now && now - **second < SECONDS as u64).count() as u64
    }

    /// Milliseconds between one happening and the next: crowds, pauses and long silences.
    fn pauses() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(prop_oneof![5 => 0_u64..40, 3 => 0_u64..3_000, 1 => 0_u64..200_000], 1..400)
    }

    proptest! {
        #[test]
        fn it_holds_what_all_timestamps_hold(pauses in pauses()) {
            let (mut window, mut happened, mut now) = (Window::default(), Vec::new(), 1_700_000_000_000_u64);
            for pause in pauses {
                now += pause;
                happened.push(now / 1_000);
                prop_assert_eq!(window.add(now / 1_000, 1), naive(&happened, now / 1_000));
                for end in now / 1_000 - BEHIND as u64..=now / 1_000 {
                    prop_assert_eq!(window.until(end), naive(&happened, end));
                }
            }
            for later in 0..70 {
                prop_assert_eq!(window.sum(now / 1_000 + later), naive(&happened, now / 1_000 + later));
            }
        }

        /// The attack: a burst that lies across the border of two minutes.
        #[test]
        fn nothing_within_sixty_seconds_is_missed(pauses in pauses()) {
            let (mut window, mut millis, mut now) = (Window::default(), Vec::new(), 1_700_000_000_000_u64);
            for pause in pauses {
                now += pause;
                millis.push(now);
                let exact = millis.iter().filter(|at| now - **at < 60_000).count() as u64;
                let wide = millis.iter().filter(|at| now - **at < 61_000).count() as u64;
                let counted = window.add(now / 1_000, 1);
                prop_assert!(exact <= counted && counted <= wide, "{} <= {} <= {}", exact, counted, wide);
            }
        }

        #[test]
        fn threads_that_lag_by_seconds_are_counted(lags in prop::collection::vec((0_u64..3, 0_u64..5), 1..200)) {
            let (mut window, mut happened, mut now) = (Window::default(), Vec::new(), 1_700_000_000_u64);
            for (pause, lag) in lags {
                now += pause;
                window.sum(now);
                happened.push(now - lag);
                prop_assert_eq!(window.add(now - lag, 1), naive(&happened, now));
            }
        }

        #[test]
        fn there_is_room_from_the_second_that_is_told(pauses in pauses(), limit in 1_u64..50) {
            let (mut window, mut now) = (Window::default(), 1_700_000_000_000_u64);
            for pause in pauses {
                now += pause;
                window.add(now / 1_000, 1);
            }
            let from = window.room_from(limit);
            if window.sum >= limit {
                prop_assert!(window.clone().sum(from - 1) >= limit);
            }
            prop_assert!(window.clone().sum(from) < limit);
        }
    }

    /// spec: audit A24
    #[test]
    fn five_thousand_are_five_thousand_wherever_the_minute_ends() {
        let mut window = Window::default();
        let sums: Vec<u64> = (0..60).map(|second| window.add(1_700_000_030 + second, 84)).collect();
        assert_eq!((sums.last(), window.sum(1_700_000_090)), (Some(&5_040), 5_040));
        assert_eq!(window.sum(1_700_000_091), 4_956);
    }

    #[test]
    fn a_second_that_holds_more_than_its_counter_stays_full() {
        let mut window = Window::default();
        window.add(5, u32::MAX);
        assert_eq!(window.add(5, 10), u64::from(u32::MAX));
        assert_eq!(window.sum(5 + SECONDS as u64), 0);
    }
}
