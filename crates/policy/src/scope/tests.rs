use proptest::prelude::*;

use super::*;

fn bit(index: u8) -> ScopeBit {
    ScopeBit::new(index).unwrap()
}

#[test]
fn there_are_sixty_four_bits() {
    assert_eq!((0..=255).filter_map(ScopeBit::new).count(), 64);
}

#[test]
fn the_empty_set_contains_nothing() {
    assert_eq!(ScopeSet::EMPTY.iter().count(), 0);
}

#[test]
fn the_highest_bit_is_contained() {
    assert!(ScopeSet::EMPTY.with(bit(63)).contains(bit(63)));
}

#[test]
fn debug_lists_the_bits() {
    assert_eq!(format!("{:?}", ScopeSet::from_bits(0b101)), "{0, 2}");
}

#[test]
fn a_scope_name_has_two_parts() {
    let name = ScopeName::parse("metrics:export").unwrap();
    assert_eq!((name.resource(), name.action(), name.as_str()), ("metrics", "export", "metrics:export"));
}

/// spec: policy P4
#[test]
fn a_wildcard_is_no_scope_name() {
    assert_eq!(["*", "incidents:*", "*:read", "incidents:"].map(ScopeName::parse), [const { None }; 4]);
}

proptest! {
    #[test]
    fn a_scope_name_is_two_plain_words_and_nothing_else(text in "[a-zA-Z0-9:_* -]{0,12}|[a-z]{1,33}:[a-z]{1,33}") {
        let word = |part: &&str| {
            let mut chars = part.chars();
            chars.next().is_some_and(|c| c.is_ascii_lowercase())
                && part.len() <= 32
                && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
        };
        let parts: Vec<&str> = text.split(':').collect();
        prop_assert_eq!(ScopeName::parse(&text).is_some(), parts.len() == 2 && parts.iter().all(word));
    }

    #[test]
    fn a_set_of_bits_behaves_like_a_set(a: u64, b: u64, index in 0_u8..64) {
        let (left, right, scope) = (ScopeSet::from_bits(a), ScopeSet::from_bits(b), bit(index));
        let (inside_left, inside_right) = (left.contains(scope), right.contains(scope));
        prop_assert_eq!(
            [
                left.union(right).contains(scope),
                left.intersection(right).contains(scope),
                left.difference(right).contains(scope),
            ],
            [inside_left || inside_right, inside_left && inside_right, inside_left && !inside_right]
        );
    }

    #[test]
    fn a_set_is_rebuilt_from_its_bits(a: u64) {
        prop_assert_eq!(ScopeSet::from_bits(a).iter().collect::<ScopeSet>().bits(), a);
    }

    #[test]
    fn a_subset_has_nothing_of_its_own(a: u64, b: u64) {
        let (left, right) = (ScopeSet::from_bits(a), ScopeSet::from_bits(b));
        prop_assert_eq!(left.is_subset_of(right), left.iter().all(|scope| right.contains(scope)));
    }

    #[test]
    fn the_length_is_the_number_of_bits(a: u64) {
        prop_assert_eq!(ScopeSet::from_bits(a).len(), ScopeSet::from_bits(a).iter().count());
    }
}
