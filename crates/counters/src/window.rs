//! The window that is summed over, and the names of its counters.

use uuid::Uuid;

/// How many one-second counters a window has. One more than a minute has seconds, since the first and the last of them are
/// only partly in it.
pub const WINDOW: u64 = 61;

/// The first second of the window that ends with one.
pub(crate) fn first(second: u64) -> u64 {
    second.saturating_sub(WINDOW - 1)
}

/// The field of what an instance has counted in a second.
pub(crate) fn field(second: u64, instance: Uuid) -> String {
    format!("{second}:{instance}")
}

/// What the other instances have counted in the window up to a second. Fields that are none are not of ours, and don't
/// count.
pub(crate) fn others(fields: &[(String, u64)], instance: Uuid, second: u64) -> u64 {
    let window = first(second)..=second;
    let counts = fields
        .iter()
        .filter(|(name, _)| parse(name).is_some_and(|(counted, by)| by != instance && window.contains(&counted)));
    counts.fold(0, |sum, (_, calls)| sum.saturating_add(*calls))
}

fn parse(field: &str) -> Option<(u64, Uuid)> {
    let (second, instance) = field.split_once(':')?;
    Some((second.parse().ok()?, Uuid::try_parse(instance).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: Uuid = Uuid::from_u128(1);
    const THEIRS: Uuid = Uuid::from_u128(2);

    #[test]
    fn a_window_near_the_beginning_of_time_begins_there() {
        assert_eq!(first(59), 0);
    }

    #[test]
    fn fields_of_others_are_passed_over() {
        let fields = ["x", "5", ":", "5:", "-5:00000000-0000-0000-0000-000000000002", "5:nobody"];
        assert_eq!(others(&fields.map(|name| (name.to_owned(), 1)), OURS, 5), 0);
    }

    #[test]
    fn a_sum_that_is_too_large_stays_the_largest() {
        let fields = [1, 2].map(|second| (field(second, THEIRS), u64::MAX));
        assert_eq!(others(&fields, OURS, 2), u64::MAX);
    }

    proptest! {
        #[test]
        fn exactly_the_last_61_counters_of_others_count(
            second in 0_u64..10_000_000_000,
            counts in prop::collection::vec((0_u64..200, any::<bool>(), 0_u64..1_000_000), 0..200),
        ) {
            let fields: Vec<_> = counts
                .iter()
                .map(|(ago, ours, calls)| {
                    // Up to 100 s old, and up to 100 s ahead.
                    let counted = (second + 100).saturating_sub(*ago);
                    (field(counted, if *ours { OURS } else { THEIRS }), *calls)
                })
                .collect();
            let expected: u64 = counts
                .iter()
                .filter(|(ago, ours, _)| {
                    let counted = (second + 100).saturating_sub(*ago);
                    !ours && counted <= second && counted + 60 >= second
                })
                .map(|(_, _, calls)| calls)
                .sum();
            prop_assert_eq!(others(&fields, OURS, second), expected);
        }
    }
}
