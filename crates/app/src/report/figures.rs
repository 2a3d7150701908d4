//! Times and medians.

use chrono::{DateTime, Utc};

/// Minutes to one digit behind the point; never less than none: clocks of instances differ.
pub(super) fn minutes(seconds: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "the seconds of some years are exact in a double")]
    let tenths = (seconds.max(0) as f64 / 6.0).round();
    tenths / 10.0
}

/// Minutes between two moments.
pub(super) fn minutes_between(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    minutes((to - from).num_seconds())
}

/// The median, in minutes: of an even number the middle of the two in the middle. None of nothing.
pub(super) fn median_minutes(seconds: impl Iterator<Item = i64>) -> Option<f64> {
    let mut seconds: Vec<i64> = seconds.map(|seconds| seconds.max(0)).collect();
    seconds.sort_unstable();
    let upper = *seconds.get(seconds.len() / 2)?;
    if seconds.len() % 2 == 1 {
        return Some(minutes(upper));
    }
    let lower = *seconds.get((seconds.len() / 2).checked_sub(1)?)?;
    Some(minutes(i64::midpoint(lower, upper)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median(seconds: &[i64]) -> Option<f64> {
        median_minutes(seconds.iter().copied())
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn of_an_odd_number_it_is_the_one_in_the_middle_in_whatever_order() {
        assert_eq!([median(&[60]), median(&[600, 60, 6_000])], [Some(1.0), Some(10.0)]);
    }

    #[test]
    fn of_an_even_number_it_is_the_middle_of_two() {
        assert_eq!([median(&[60, 180]), median(&[6_000, 60, 120, 180])], [Some(2.0), Some(2.5)]);
    }

    #[test]
    fn a_clock_that_runs_behind_makes_no_negative_time() {
        assert_eq!([median(&[-30]), median(&[-30, 60])], [Some(0.0), Some(0.5)]);
    }

    #[test]
    fn minutes_have_one_digit_behind_the_point() {
        assert_eq!([0, 2, 3, 59, 89, 90, 3_601].map(minutes), [0.0, 0.0, 0.1, 1.0, 1.5, 1.5, 60.0]);
    }
}
