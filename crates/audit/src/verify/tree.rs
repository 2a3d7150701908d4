//! The tree of a checkpoint, filled in whatever order its leaves come.

use std::collections::HashMap;

use crate::{bytes::Digest, chain::node};

/// Keeps only nodes whose sibling isn't known yet. Leaves that come nearly in order, from several streams at once, leave a
/// few of them for each stream, however many leaves there are.
#[derive(Debug)]
pub(super) struct Tree {
    leaves: u64,
    expected: Digest,
    lone: HashMap<(u8, u64), Digest>,
}

impl Tree {
    pub(super) fn new(leaves: u64, expected: Digest) -> Self {
        Self { leaves, expected, lone: HashMap::new() }
    }

    /// Puts a leaf in its place, from 0, which is empty yet. Behind the last one: whether the root is the expected one.
    pub(super) fn insert(&mut self, place: u64, leaf: Digest) -> Option<bool> {
        let (mut height, mut index, mut digest) = (0, place, leaf);
        let mut width = self.leaves;
        while width > 1 {
            let sibling = index ^ 1;
            // The last node of an uneven row has none and goes up as it is.
            if sibling < width {
                let Some(other) = self.lone.remove(&(height, sibling)) else {
                    self.lone.insert((height, index), digest);
                    return None;
                };
                digest = if index & 1 == 0 { node(&digest, &other) } else { node(&other, &digest) };
            }
            index >>= 1;
            width = width.div_ceil(2);
            height += 1;
        }
        Some(digest == self.expected)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{bytes::Bytes, merkle};

    proptest! {
        #[test]
        fn leaves_in_whatever_order_give_the_root(
            order in (1_usize..200).prop_flat_map(|count| Just((0..count).collect::<Vec<_>>()).prop_shuffle())
        ) {
            let leaves: Vec<Digest> = (0..order.len()).map(|n| Bytes([u8::try_from(n).unwrap(); 32])).collect();
            let mut tree = Tree::new(leaves.len() as u64, merkle::root(&leaves));
            let said: Vec<_> = order.iter().filter_map(|place| tree.insert(*place as u64, leaves[*place])).collect();
            prop_assert_eq!(said, [true]);
        }
    }

    #[test]
    fn leaves_in_order_leave_few_nodes() {
        let mut tree = Tree::new(100_000, Bytes([0; 32]));
        let most = (0..99_999).map(|place| (tree.insert(place, Bytes([1; 32])), tree.lone.len()).1).max();
        assert!(most < Some(20), "{most:?}");
    }
}
