//! The overlay's entries: an ordered map with snapshots, a B+tree whose nodes are shared between clones.
//!
//! A change copies its leaf and the branches above it if it is their first after a clone. Nodes are small for that reason.
//! Finding the start of a range costs the tree's depth.

use std::sync::Arc;

use bytes::Bytes;

use super::leaf::{Entry, Leaf};
use super::packed::{Packed, Record};
use super::{Direction, KeyRange};

/// Entries of a leaf, at most.
const LEAF_MAX: usize = 16;
/// Children of a branch, at most.
const BRANCH_MAX: usize = 16;

/// The map. Cloning costs one reference count.
#[derive(Clone)]
pub(super) struct Tree {
    root: Node,
    len: usize,
}

#[derive(Clone)]
enum Node {
    Leaf(Arc<Leaf>),
    Branch(Arc<Branch>),
}

#[derive(Clone)]
struct Branch {
    /// The lowest key of each child but the first. Changes only when a child splits or two merge.
    lows: Arc<Packed<()>>,
    /// At least one.
    children: Vec<Node>,
}

/// The right part of a node that was split, and its lowest key.
struct Split {
    low: Bytes,
    right: Node,
}

impl Tree {
    pub fn new() -> Self {
        Self {
            root: Node::Leaf(Arc::new(Leaf::empty())),
            len: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, key: &[u8]) -> Option<Entry<'_>> {
        let mut node = &self.root;
        loop {
            match node {
                Node::Branch(branch) => node = &branch.children[branch.child_of(key)],
                Node::Leaf(leaf) => return leaf.search(key).ok().map(|at| leaf.entry(at)),
            }
        }
    }

    /// Sets a key's entry. Returns the length of the value it had, none if it had no entry.
    pub fn insert(&mut self, key: &[u8], entry: Entry<'_>) -> Option<usize> {
        let (previous, split) = insert(&mut self.root, key, entry);
        if let Some(Split { low, right }) = split {
            let children = vec![self.root.clone(), right];
            self.root = Node::Branch(Arc::new(Branch {
                lows: pack([&low[..]].into_iter()),
                children,
            }));
        }
        self.len += usize::from(previous.is_none());
        previous
    }

    /// Hands out the entries of the range in the direction while `each` answers true; whether it always did.
    pub fn walk<'t>(
        &'t self,
        range: &KeyRange,
        direction: Direction,
        each: &mut impl FnMut(&'t [u8], Entry<'t>) -> bool,
    ) -> bool {
        range.is_empty() || walk(&self.root, range, direction, each)
    }
}

impl Branch {
    /// The child whose keys include this one.
    fn child_of(&self, key: &[u8]) -> usize {
        match self.lows.search(key) {
            Ok(at) => at + 1,
            Err(at) => at,
        }
    }

    fn lows(&self) -> impl Iterator<Item = &[u8]> + Clone {
        (0..self.lows.len()).map(|at| self.lows.key(at))
    }
}

fn pack<'k>(keys: impl Iterator<Item = &'k [u8]> + Clone) -> Arc<Packed<()>> {
    Arc::new(Packed::build(keys.map(|key| Record {
        key,
        payload: &[],
        tag: (),
    })))
}

/// Returns the length of the previous value, and the right part of the node if it had to split.
fn insert(node: &mut Node, key: &[u8], entry: Entry<'_>) -> (Option<usize>, Option<Split>) {
    match node {
        Node::Leaf(leaf) => insert_into_leaf(leaf, key, entry),
        Node::Branch(branch) => {
            let branch = Arc::make_mut(branch);
            let at = branch.child_of(key);
            let (previous, split) = insert(&mut branch.children[at], key, entry);
            (
                previous,
                split.and_then(|split| add_child(branch, at, split)),
            )
        }
    }
}

fn insert_into_leaf(
    leaf: &mut Arc<Leaf>,
    key: &[u8],
    entry: Entry<'_>,
) -> (Option<usize>, Option<Split>) {
    let found = leaf.search(key);
    let previous = found.ok().map(|at| leaf.entry(at).value.len());
    let changed = Arc::make_mut(leaf);
    changed.put(found, key, entry);
    let len = changed.len();
    if len <= LEAF_MAX {
        return (previous, None);
    }
    let middle = len / 2;
    let split = Split {
        low: Bytes::copy_from_slice(changed.key(middle)),
        right: Node::Leaf(Arc::new(Leaf::build(changed.entries(middle..len)))),
    };
    *changed = Leaf::build(changed.entries(0..middle));
    (previous, Some(split))
}

/// Adds a child right of the one at `at`; returns the branch's own right part if it had to split.
fn add_child(branch: &mut Branch, at: usize, Split { low, right }: Split) -> Option<Split> {
    branch.children.insert(at + 1, right);
    let lows = branch
        .lows()
        .take(at)
        .chain([&low[..]])
        .chain(branch.lows().skip(at));
    let len = branch.children.len();
    if len <= BRANCH_MAX {
        branch.lows = pack(lows);
        return None;
    }
    // The low of the right part's first child moves up.
    let middle = len / 2;
    let moved = lows
        .clone()
        .nth(middle - 1)
        .map(Bytes::copy_from_slice)
        .expect("every child but the first has a low");
    let right_lows = pack(lows.clone().skip(middle));
    branch.lows = pack(lows.take(middle - 1));
    let right = Branch {
        lows: right_lows,
        children: branch.children.split_off(middle),
    };
    Some(Split {
        low: moved,
        right: Node::Branch(Arc::new(right)),
    })
}

fn walk<'t>(
    node: &'t Node,
    range: &KeyRange,
    direction: Direction,
    each: &mut impl FnMut(&'t [u8], Entry<'t>) -> bool,
) -> bool {
    match node {
        Node::Leaf(leaf) => {
            let from = leaf.lower_bound(&range.start);
            let to = range
                .end
                .as_ref()
                .map_or(leaf.len(), |end| leaf.lower_bound(end));
            let mut entries = leaf.entries(from..to);
            match direction {
                Direction::Forward => entries.all(|(key, entry)| each(key, entry)),
                Direction::Reverse => entries.rev().all(|(key, entry)| each(key, entry)),
            }
        }
        Node::Branch(branch) => {
            let from = branch.child_of(&range.start);
            let to = range
                .end
                .as_ref()
                .map_or(branch.children.len() - 1, |end| branch.child_of(end));
            let mut children = branch.children[from..=to].iter();
            match direction {
                Direction::Forward => children.all(|child| walk(child, range, direction, each)),
                Direction::Reverse => children
                    .rev()
                    .all(|child| walk(child, range, direction, each)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use vestibule_schema::timestamp::Timestamp;

    use super::super::leaf::Value;
    use super::*;

    fn key(number: u16) -> Bytes {
        Bytes::copy_from_slice(&number.to_be_bytes())
    }

    /// Deletions, small values and large ones.
    fn value(number: u32) -> Option<Bytes> {
        let len = match number % 11 {
            0 => return None,
            1 => 300,
            n => n as usize,
        };
        Some(Bytes::from(number.to_le_bytes().repeat(len)))
    }

    fn set(tree: &mut Tree, key: &Bytes, number: u32) -> Option<usize> {
        let value = value(number);
        tree.insert(
            key,
            Entry {
                ts: Timestamp(number.into()),
                value: Value::of(value.as_ref()),
            },
        )
    }

    fn contents(tree: &Tree, range: &KeyRange, direction: Direction) -> Vec<(Bytes, u32)> {
        let mut found = Vec::new();
        tree.walk(range, direction, &mut |key, entry| {
            found.push((Bytes::copy_from_slice(key), number_of(entry)));
            true
        });
        found
    }

    fn number_of(entry: Entry<'_>) -> u32 {
        let number = u32::try_from(entry.ts.0).unwrap();
        assert_eq!(entry.value.to_bytes(), value(number));
        number
    }

    fn expected(model: &BTreeMap<Bytes, u32>, range: &KeyRange) -> Vec<(Bytes, u32)> {
        model
            .iter()
            .filter(|(key, _)| range.contains(key))
            .map(|(key, value)| (key.clone(), *value))
            .collect()
    }

    /// Inserts a series of keys, so that trees grow to several levels.
    #[derive(Clone, Debug)]
    struct Series {
        first: u16,
        count: u16,
        stride: u16,
    }

    fn series() -> impl Strategy<Value = Series> {
        (0..4096u16, 0..3000u16, 1..7u16).prop_map(|(first, count, stride)| Series {
            first,
            count,
            stride,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn a_tree_equals_a_sorted_map_and_its_clones_never_change(
            all in vec(series(), 1..12),
            ranges in vec((0..5000u16, prop::option::of(0..5000u16)), 8),
        ) {
            let (mut tree, mut model) = (Tree::new(), BTreeMap::new());
            let mut clones = Vec::new();
            let mut last = 0;
            for Series { first, count, stride } in all {
                clones.push((tree.clone(), model.clone()));
                for number in 0..count {
                    let key = key(first.wrapping_add(number.wrapping_mul(stride)) % 4096);
                    last += 1;
                    let previous = set(&mut tree, &key, last);
                    let expected = model.insert(key, last).map(|number| value(number).map_or(0, |value| value.len()));
                    prop_assert_eq!(previous, expected);
                }
            }
            clones.push((tree, model));
            for (tree, model) in &clones {
                prop_assert_eq!(tree.len(), model.len());
                for (start, end) in &ranges {
                    let range = KeyRange::new(key(*start), end.map(key));
                    let mut expected = expected(model, &range);
                    prop_assert_eq!(&contents(tree, &range, Direction::Forward), &expected);
                    expected.reverse();
                    prop_assert_eq!(&contents(tree, &range, Direction::Reverse), &expected);
                    prop_assert_eq!(tree.get(&range.start).map(number_of), model.get(&range.start).copied());
                }
            }
        }
    }

    #[test]
    fn a_walk_stops_when_told_to() {
        let mut tree = Tree::new();
        for number in 0..1000 {
            set(&mut tree, &key(number), number.into());
        }
        let mut seen = Vec::new();
        let all = tree.walk(
            &KeyRange::new(key(500), None),
            Direction::Reverse,
            &mut |_, entry| {
                seen.push(number_of(entry));
                seen.len() < 3
            },
        );
        assert!(!all);
        assert_eq!(seen, [999, 998, 997]);
    }
}
