//! An ordered map of bytes with snapshots: a B+tree whose nodes are shared between clones and copied on their first
//! change after a clone.
//!
//! Nodes are small, since a change copies one leaf and the branches above it, once per clone: in a leaf each entry's
//! key and value count a reference. Finding the start of a range costs the tree's depth.

use std::sync::Arc;

use bytes::Bytes;

use super::{Direction, KeyRange};

/// Entries of a leaf, at most.
const LEAF_MAX: usize = 16;
/// Children of a branch, at most.
const BRANCH_MAX: usize = 32;

/// The map. Cloning costs one reference count.
#[derive(Clone)]
pub(super) struct Tree<V> {
    root: Arc<Node<V>>,
    len: usize,
}

#[derive(Clone)]
enum Node<V> {
    Leaf(Vec<(Bytes, V)>),
    /// At least one child. A child holds the keys from its `low` to before the next one's; the first one's bound is
    /// that of the branch itself.
    Branch(Vec<Child<V>>),
}

#[derive(Clone)]
struct Child<V> {
    low: Bytes,
    node: Arc<Node<V>>,
}

impl<V: Clone> Tree<V> {
    pub fn new() -> Self {
        Self {
            root: Arc::new(Node::Leaf(Vec::new())),
            len: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, key: &[u8]) -> Option<&V> {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Branch(children) => node = &children[child_of(children, key)].node,
                Node::Leaf(entries) => return place(entries, key).ok().map(|at| &entries[at].1),
            }
        }
    }

    /// Sets a key's value and returns the one it had.
    pub fn insert(&mut self, key: Bytes, value: V) -> Option<V> {
        let (previous, split) = insert(&mut self.root, key, value);
        if let Some(right) = split {
            let left = Child {
                low: Bytes::new(),
                node: Arc::clone(&self.root),
            };
            self.root = Arc::new(Node::Branch(vec![left, right]));
        }
        self.len += usize::from(previous.is_none());
        previous
    }

    pub fn remove(&mut self, key: &[u8]) -> Option<V> {
        // Looked for first, so that a key that is not there copies nothing.
        self.get(key)?;
        let removed = remove(&mut self.root, key);
        self.len -= usize::from(removed.is_some());
        while let Node::Branch(children) = &*self.root
            && let [only] = &children[..]
        {
            self.root = Arc::clone(&only.node);
        }
        removed
    }

    /// Hands out the entries of the range in the direction while `each` answers true; whether it always did.
    pub fn walk(
        &self,
        range: &KeyRange,
        direction: Direction,
        each: &mut impl FnMut(&Bytes, &V) -> bool,
    ) -> bool {
        range.is_empty() || walk(&self.root, range, direction, each)
    }
}

/// The child whose keys include this one.
fn child_of<V>(children: &[Child<V>], key: &[u8]) -> usize {
    children[1..].partition_point(|child| child.low <= key)
}

fn place<V>(entries: &[(Bytes, V)], key: &[u8]) -> Result<usize, usize> {
    entries.binary_search_by(|(found, _)| found[..].cmp(key))
}

/// The node for changing, copied first if it is shared. The copy has room for one more.
fn own<V: Clone>(node: &mut Arc<Node<V>>) -> &mut Node<V> {
    if Arc::get_mut(node).is_none() {
        *node = Arc::new(match &**node {
            Node::Leaf(entries) => Node::Leaf(copy_with_room(entries)),
            Node::Branch(children) => Node::Branch(copy_with_room(children)),
        });
    }
    Arc::get_mut(node).expect("the node was just made or is not shared")
}

fn copy_with_room<T: Clone>(items: &[T]) -> Vec<T> {
    let mut copy = Vec::with_capacity(items.len() + 1);
    copy.extend_from_slice(items);
    copy
}

/// Returns the previous value, and the right half of the node if it had to split.
fn insert<V: Clone>(
    node: &mut Arc<Node<V>>,
    key: Bytes,
    value: V,
) -> (Option<V>, Option<Child<V>>) {
    match own(node) {
        Node::Leaf(entries) => match place(entries, &key) {
            Ok(at) => (Some(std::mem::replace(&mut entries[at].1, value)), None),
            Err(at) => {
                entries.insert(at, (key, value));
                (None, split_leaf(entries))
            }
        },
        Node::Branch(children) => {
            let at = child_of(children, &key);
            let (previous, split) = insert(&mut children[at].node, key, value);
            let Some(right) = split else {
                return (previous, None);
            };
            children.insert(at + 1, right);
            (previous, split_branch(children))
        }
    }
}

fn split_leaf<V>(entries: &mut Vec<(Bytes, V)>) -> Option<Child<V>> {
    if entries.len() <= LEAF_MAX {
        return None;
    }
    let right = entries.split_off(entries.len() / 2);
    Some(Child {
        low: right[0].0.clone(),
        node: Arc::new(Node::Leaf(right)),
    })
}

fn split_branch<V>(children: &mut Vec<Child<V>>) -> Option<Child<V>> {
    if children.len() <= BRANCH_MAX {
        return None;
    }
    let right = children.split_off(children.len() / 2);
    Some(Child {
        low: right[0].low.clone(),
        node: Arc::new(Node::Branch(right)),
    })
}

fn remove<V: Clone>(node: &mut Arc<Node<V>>, key: &[u8]) -> Option<V> {
    match own(node) {
        Node::Leaf(entries) => place(entries, key).ok().map(|at| entries.remove(at).1),
        Node::Branch(children) => {
            let at = child_of(children, key);
            let removed = remove(&mut children[at].node, key);
            if children.len() > 1 {
                let left = at.min(children.len() - 2);
                merge_if_small(children, left);
            }
            removed
        }
    }
}

/// Joins two neighbours once they fit well into one node, so that removing much leaves a small tree.
fn merge_if_small<V: Clone>(children: &mut Vec<Child<V>>, left: usize) {
    let merged = match (&*children[left].node, &*children[left + 1].node) {
        (Node::Leaf(a), Node::Leaf(b)) if a.len() + b.len() <= LEAF_MAX / 2 => {
            Node::Leaf([&a[..], &b[..]].concat())
        }
        (Node::Branch(a), Node::Branch(b)) if a.len() + b.len() <= BRANCH_MAX / 2 => {
            let mut merged = a.clone();
            merged.extend_from_slice(b);
            // The first child's own bound was not used so far; now it stands between others.
            merged[a.len()].low = children[left + 1].low.clone();
            Node::Branch(merged)
        }
        _ => return,
    };
    children[left].node = Arc::new(merged);
    children.remove(left + 1);
}

fn walk<V>(
    node: &Node<V>,
    range: &KeyRange,
    direction: Direction,
    each: &mut impl FnMut(&Bytes, &V) -> bool,
) -> bool {
    match node {
        Node::Leaf(entries) => {
            let from = entries.partition_point(|(key, _)| *key < range.start);
            let to = match &range.end {
                Some(end) => entries.partition_point(|(key, _)| key < end),
                None => entries.len(),
            };
            let entries = entries[from.min(to)..to].iter();
            match direction {
                Direction::Forward => entries.into_iter().all(|(key, value)| each(key, value)),
                Direction::Reverse => entries.rev().all(|(key, value)| each(key, value)),
            }
        }
        Node::Branch(children) => {
            let from = child_of(children, &range.start);
            let to = match &range.end {
                Some(end) => child_of(children, end),
                None => children.len() - 1,
            };
            let mut children = children[from..=to].iter();
            match direction {
                Direction::Forward => {
                    children.all(|child| walk(&child.node, range, direction, each))
                }
                Direction::Reverse => children
                    .rev()
                    .all(|child| walk(&child.node, range, direction, each)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn key(number: u16) -> Bytes {
        Bytes::copy_from_slice(&number.to_be_bytes())
    }

    fn contents(tree: &Tree<u32>, range: &KeyRange, direction: Direction) -> Vec<(Bytes, u32)> {
        let mut found = Vec::new();
        tree.walk(range, direction, &mut |key, value| {
            found.push((key.clone(), *value));
            true
        });
        found
    }

    fn expected(model: &BTreeMap<Bytes, u32>, range: &KeyRange) -> Vec<(Bytes, u32)> {
        model
            .iter()
            .filter(|(key, _)| range.contains(key))
            .map(|(key, value)| (key.clone(), *value))
            .collect()
    }

    fn nodes<V>(node: &Node<V>) -> usize {
        match node {
            Node::Leaf(_) => 1,
            Node::Branch(children) => {
                1 + children
                    .iter()
                    .map(|child| nodes(&child.node))
                    .sum::<usize>()
            }
        }
    }

    /// Inserts or removes a run of keys, so that trees grow to several levels and shrink again.
    #[derive(Clone, Debug)]
    struct Run {
        insert: bool,
        first: u16,
        count: u16,
        stride: u16,
    }

    fn run() -> impl Strategy<Value = Run> {
        (any::<bool>(), 0..4096u16, 0..3000u16, 1..7u16).prop_map(
            |(insert, first, count, stride)| Run {
                insert,
                first,
                count,
                stride,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn a_tree_equals_a_sorted_map_and_its_clones_never_change(
            runs in vec(run(), 1..12),
            ranges in vec((0..5000u16, prop::option::of(0..5000u16)), 8),
        ) {
            let (mut tree, mut model) = (Tree::new(), BTreeMap::new());
            let mut clones = Vec::new();
            let mut value = 0;
            for Run { insert, first, count, stride } in runs {
                clones.push((tree.clone(), model.clone()));
                for number in 0..count {
                    let key = key(first.wrapping_add(number.wrapping_mul(stride)) % 4096);
                    value += 1;
                    if insert {
                        prop_assert_eq!(tree.insert(key.clone(), value), model.insert(key, value));
                    } else {
                        prop_assert_eq!(tree.remove(&key), model.remove(&key));
                    }
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
                    prop_assert_eq!(tree.get(&range.start), model.get(&range.start));
                }
            }
        }
    }

    #[test]
    fn a_tree_that_lost_its_keys_is_small_again() {
        let mut tree = Tree::new();
        (0..20_000).for_each(|number| drop(tree.insert(key(number), 0)));
        assert!(nodes(&tree.root) > 1000);
        (0..20_000)
            .filter(|number| number % 1000 != 0)
            .for_each(|number| drop(tree.remove(&key(number))));
        assert_eq!(tree.len(), 20);
        assert!(nodes(&tree.root) < 30, "{} nodes", nodes(&tree.root));
        (0..20_000).for_each(|number| drop(tree.remove(&key(number))));
        assert_eq!(nodes(&tree.root), 1);
    }

    #[test]
    fn a_walk_stops_when_told_to() {
        let mut tree = Tree::new();
        (0..1000).for_each(|number| drop(tree.insert(key(number), number)));
        let mut seen = Vec::new();
        let all = tree.walk(
            &KeyRange::new(key(500), None),
            Direction::Reverse,
            &mut |_, number| {
                seen.push(*number);
                seen.len() < 3
            },
        );
        assert!(!all);
        assert_eq!(seen, [999, 998, 997]);
    }
}
