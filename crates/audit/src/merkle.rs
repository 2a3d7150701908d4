//! The tree over a checkpoint's leaves, in the shape of RFC 6962 §2.1; only the byte before a node is our own.

use rs_merkle::{Hasher, MerkleTree};
use sha2::{Digest as _, Sha256};

use crate::{
    bytes::{Bytes, Digest},
    chain::node,
};

/// Our node for the tree of `rs_merkle`. A node without a sibling goes up as it is, which gives the shape of RFC 6962.
#[derive(Clone)]
struct Node;

impl Hasher for Node {
    type Hash = [u8; 32];

    /// Not used: what goes in is a digest already.
    fn hash(data: &[u8]) -> [u8; 32] {
        Sha256::digest(data).into()
    }

    fn concat_and_hash(left: &[u8; 32], right: Option<&[u8; 32]>) -> [u8; 32] {
        right.map_or(*left, |right| node(&Bytes(*left), &Bytes(*right)).0)
    }
}

/// Root of a tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty() -> Digest {
    Bytes(Sha256::digest([]).into())
}

fn tree(leaves: &[Digest]) -> MerkleTree<Node> {
    let leaves: Vec<[u8; 32]> = leaves.iter().map(|leaf| leaf.0).collect();
    MerkleTree::from_leaves(&leaves)
}

/// The root over leaves in their order.
#[must_use]
pub fn root(leaves: &[Digest]) -> Digest {
    tree(leaves).root().map_or_else(empty, Bytes)
}

/// The inclusion path of one leaf, from the leaf's sibling upwards (RFC 6962 §2.1.1). None when there is no such leaf.
#[must_use]
pub fn path(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    (index < leaves.len())
        .then(|| tree(leaves).proof(&[index]).proof_hashes().iter().map(|sibling| Bytes(*sibling)).collect())
}

/// The root to which a path leads from a leaf (RFC 9162 §2.1.3.2). None when the path is none of such a leaf: too short, too
/// long, or the index is beyond the number of leaves.
#[must_use]
pub fn root_from_path(leaf: &Digest, index: u64, leaves: u64, path: &[Digest]) -> Option<Digest> {
    let mut last = leaves.checked_sub(1)?;
    let mut index = (index <= last).then_some(index)?;
    let mut root = *leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if index & 1 == 1 || index == last {
            root = node(sibling, &root);
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            root = node(&root, sibling);
        }
        index >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

/// The root over leaves that come one by one, in memory that doesn't grow with them: a day may have many millions.
#[derive(Debug, Clone, Default)]
pub struct StreamingRoot {
    leaves: u64,
    /// Roots of whole subtrees from left to right, each with its height; every one is higher than the next.
    whole: Vec<(u8, Digest)>,
}

impl StreamingRoot {
    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Digest) {
        self.leaves += 1;
        let (mut height, mut digest) = (0, leaf);
        while let Some((_, left)) = self.whole.pop_if(|(left, _)| *left == height) {
            digest = node(&left, &digest);
            height += 1;
        }
        self.whole.push((height, digest));
    }

    /// Leaves so far.
    #[must_use]
    pub const fn leaves(&self) -> u64 {
        self.leaves
    }

    /// The root over the leaves so far.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut subtrees = self.whole.iter().rev().map(|(_, digest)| *digest);
        let last = subtrees.next();
        last.map_or_else(empty, |last| subtrees.fold(last, |right, left| node(&left, &right)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 6962 §2.1, word for word.
    fn reference(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => empty(),
            [leaf] => *leaf,
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                node(&reference(&leaves[..k]), &reference(&leaves[k..]))
            }
        }
    }

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count).map(|n| Bytes(Sha256::digest(n.to_be_bytes()).into())).collect()
    }

    #[test]
    fn no_leaves_are_the_digest_of_nothing() {
        assert_eq!(root(&[]).to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    proptest! {
        #[test]
        fn the_root_is_that_of_the_standard(count in 0_usize..300) {
            prop_assert_eq!(root(&leaves(count)), reference(&leaves(count)));
        }

        #[test]
        fn a_root_of_leaves_one_by_one_is_the_same(count in 0_usize..300) {
            let mut streaming = StreamingRoot::default();
            leaves(count).into_iter().for_each(|leaf| streaming.push(leaf));
            prop_assert_eq!(streaming.root(), root(&leaves(count)));
        }

        #[test]
        fn a_path_leads_from_its_leaf_to_the_root((count, index) in (1_usize..300).prop_flat_map(|n| (Just(n), 0..n))) {
            let leaves = leaves(count);
            let path = path(&leaves, index).unwrap();
            let led = root_from_path(&leaves[index], index as u64, count as u64, &path);
            prop_assert_eq!(led, Some(root(&leaves)));
        }

        #[test]
        fn a_path_proves_no_other_place(
            (count, index, other) in (2_usize..100).prop_flat_map(|n| (Just(n), 0..n, 0..n))
        ) {
            prop_assume!(index != other);
            let leaves = leaves(count);
            let path = path(&leaves, index).unwrap();
            let led = root_from_path(&leaves[index], other as u64, count as u64, &path);
            prop_assert_ne!(led, Some(root(&leaves)));
        }
    }

    #[test]
    fn a_path_of_another_length_leads_nowhere() {
        let leaves = leaves(5);
        let mut path = path(&leaves, 2).unwrap();
        let short = root_from_path(&leaves[2], 2, 5, &path[1..]);
        path.push(empty());
        let led = [short, root_from_path(&leaves[2], 2, 5, &path), root_from_path(&leaves[2], 5, 5, &path)];
        assert_eq!(led, [None; 3]);
    }

    #[test]
    fn a_leaf_that_is_not_there_has_no_path() {
        assert_eq!(path(&leaves(3), 3), None);
    }
}
