//! Which live queries read a key: an index over their key ranges.
//!
//! A commit asks it once for every key it touched, so the cost must be the logarithm of all subscribed ranges plus the
//! ranges hit. Single keys, the most common range, are looked up in a hash map. Other ranges live in a treap ordered by
//! their start, and each node knows how far its subtree reaches.

use std::collections::HashMap;

use bytes::Bytes;

use crate::storage::{KeyRange, successor};

/// Key ranges with their owners. An owner may hold many ranges; a range may have many owners.
pub struct IntervalIndex {
    points: HashMap<Bytes, Vec<u64>>,
    nodes: Vec<Node>,
    free: Vec<u32>,
    root: Link,
    priority: u64,
}

type Link = Option<u32>;

struct Node {
    start: Bytes,
    end: End,
    owner: u64,
    /// The furthest end in this node's subtree.
    reach: End,
    priority: u64,
    left: Link,
    right: Link,
}

/// An exclusive end, unbounded ends behind all others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    At(Bytes),
    Unbounded,
}

impl End {
    fn of(range: &KeyRange) -> End {
        range.end.clone().map_or(End::Unbounded, End::At)
    }

    fn is_behind(&self, key: &[u8]) -> bool {
        match self {
            End::At(end) => &end[..] > key,
            End::Unbounded => true,
        }
    }
}

impl Node {
    fn is_before(&self, range: &KeyRange, owner: u64) -> bool {
        let by_start = self.start.cmp(&range.start).then(self.owner.cmp(&owner));
        by_start.then_with(|| self.end.cmp(&End::of(range))).is_lt()
    }
}

impl Default for IntervalIndex {
    fn default() -> Self {
        IntervalIndex {
            points: HashMap::new(),
            nodes: Vec::new(),
            free: Vec::new(),
            root: None,
            priority: 0x9E37_79B9_7F4A_7C15,
        }
    }
}

impl IntervalIndex {
    /// Adds a range. Empty ranges hold no key and are left out.
    pub fn insert(&mut self, range: &KeyRange, owner: u64) {
        if range.is_empty() {
            return;
        }
        if is_point(range) {
            self.points
                .entry(range.start.clone())
                .or_default()
                .push(owner);
            return;
        }
        let end = End::of(range);
        let priority = self.next_priority();
        let node = Node {
            start: range.start.clone(),
            reach: end.clone(),
            end,
            owner,
            priority,
            left: None,
            right: None,
        };
        let node = self.store(node);
        let (before, behind) = self.split(self.root, range, owner);
        let left = self.join(before, Some(node));
        self.root = self.join(left, behind);
    }

    /// Removes a range that `owner` added once.
    pub fn remove(&mut self, range: &KeyRange, owner: u64) {
        if range.is_empty() {
            return;
        }
        if is_point(range) {
            self.remove_point(&range.start, owner);
            return;
        }
        let (before, rest) = self.split(self.root, range, owner);
        let (removed, behind) = self.split_first(rest);
        debug_assert!(removed.is_some_and(|node| self.nodes[node as usize].owner == owner));
        if let Some(node) = removed {
            self.free.push(node);
        }
        self.root = self.join(before, behind);
    }

    /// Calls `visit` with the owner of every range that contains `key`.
    pub fn stab(&self, key: &[u8], visit: &mut impl FnMut(u64)) {
        if let Some(owners) = self.points.get(key) {
            owners.iter().copied().for_each(&mut *visit);
        }
        self.stab_below(self.root, key, visit);
    }

    /// Whether it holds no range.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.root.is_none()
    }

    /// Ranges held.
    pub fn len(&self) -> usize {
        self.points.values().map(Vec::len).sum::<usize>() + self.nodes.len() - self.free.len()
    }

    fn stab_below(&self, link: Link, key: &[u8], visit: &mut impl FnMut(u64)) {
        let Some(node) = link.map(|link| &self.nodes[link as usize]) else {
            return;
        };
        if !node.reach.is_behind(key) {
            return;
        }
        self.stab_below(node.left, key, visit);
        if &node.start[..] <= key {
            if node.end.is_behind(key) {
                visit(node.owner);
            }
            self.stab_below(node.right, key, visit);
        }
    }

    fn remove_point(&mut self, key: &Bytes, owner: u64) {
        let Some(owners) = self.points.get_mut(key) else {
            return;
        };
        if let Some(at) = owners.iter().position(|other| *other == owner) {
            owners.swap_remove(at);
        }
        if owners.is_empty() {
            self.points.remove(key);
        }
    }

    /// Priorities only balance the tree, so a xorshift sequence will do.
    fn next_priority(&mut self) -> u64 {
        self.priority ^= self.priority << 13;
        self.priority ^= self.priority >> 7;
        self.priority ^= self.priority << 17;
        self.priority
    }

    fn store(&mut self, node: Node) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.nodes[slot as usize] = node;
                slot
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1)
                    .expect("live queries are bounded far below 2^32 ranges")
            }
        }
    }

    /// Splits into the nodes before (range, owner) and the rest.
    fn split(&mut self, link: Link, range: &KeyRange, owner: u64) -> (Link, Link) {
        let Some(at) = link else { return (None, None) };
        let node = &self.nodes[at as usize];
        if node.is_before(range, owner) {
            let (before, behind) = self.split(node.right, range, owner);
            self.nodes[at as usize].right = before;
            self.update(at);
            (link, behind)
        } else {
            let (before, behind) = self.split(node.left, range, owner);
            self.nodes[at as usize].left = behind;
            self.update(at);
            (before, link)
        }
    }

    fn split_first(&mut self, link: Link) -> (Link, Link) {
        let Some(at) = link else { return (None, None) };
        match self.nodes[at as usize].left {
            None => {
                let rest = self.nodes[at as usize].right.take();
                self.update(at);
                (link, rest)
            }
            left => {
                let (first, rest) = self.split_first(left);
                self.nodes[at as usize].left = rest;
                self.update(at);
                (first, link)
            }
        }
    }

    /// Joins two trees of which every node of the first comes before every node of the second.
    fn join(&mut self, before: Link, behind: Link) -> Link {
        let (Some(a), Some(b)) = (before, behind) else {
            return before.or(behind);
        };
        if self.nodes[a as usize].priority >= self.nodes[b as usize].priority {
            self.nodes[a as usize].right = self.join(self.nodes[a as usize].right, behind);
            self.update(a);
            before
        } else {
            self.nodes[b as usize].left = self.join(before, self.nodes[b as usize].left);
            self.update(b);
            behind
        }
    }

    fn update(&mut self, at: u32) {
        let node = &self.nodes[at as usize];
        let reach_of = |link: Link| link.map(|link| &self.nodes[link as usize].reach);
        let furthest = [reach_of(node.left), reach_of(node.right), Some(&node.end)]
            .into_iter()
            .flatten()
            .max();
        let reach = furthest
            .expect("a node's own end is among the candidates")
            .clone();
        self.nodes[at as usize].reach = reach;
    }
}

fn is_point(range: &KeyRange) -> bool {
    range
        .end
        .as_ref()
        .is_some_and(|end| *end == successor(&range.start))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arb_range() -> impl Strategy<Value = KeyRange> {
        let key = proptest::collection::vec(0u8..4, 0..4);
        (key.clone(), proptest::option::of(key), any::<bool>()).prop_map(|(start, end, point)| {
            let start = Bytes::from(start);
            let end = match point {
                true => Some(successor(&start)),
                false => end.map(Bytes::from),
            };
            KeyRange { start, end }
        })
    }

    #[test]
    fn ranges_of_one_owner_with_one_start_are_told_apart_by_their_end() {
        let start = Bytes::from_static(b"a");
        let short = KeyRange {
            start: start.clone(),
            end: Some(Bytes::from_static(b"b")),
        };
        let open = KeyRange { start, end: None };
        for (kept, removed, reaches_c) in [(&short, &open, 0), (&open, &short, 1)] {
            let mut index = IntervalIndex::default();
            index.insert(&open, 7);
            index.insert(&short, 7);
            index.remove(removed, 7);
            let mut found = 0;
            index.stab(b"c", &mut |_| found += 1);
            assert_eq!((index.len(), found), (1, reaches_c), "{kept:?}");
        }
    }

    proptest! {
        #[test]
        fn a_stab_finds_what_a_list_would_find(
            steps in proptest::collection::vec((arb_range(), 0u64..5, any::<prop::sample::Index>(), any::<bool>()), 1..80),
            keys in proptest::collection::vec(proptest::collection::vec(0u8..4, 0..5), 1..20),
        ) {
            let mut index = IntervalIndex::default();
            let mut list: Vec<(KeyRange, u64)> = Vec::new();
            for (range, owner, pick, removes) in steps {
                if removes && !list.is_empty() {
                    let (range, owner) = list.swap_remove(pick.index(list.len()));
                    index.remove(&range, owner);
                } else if !range.is_empty() {
                    index.insert(&range, owner);
                    list.push((range, owner));
                }
                prop_assert_eq!(index.len(), list.len());
            }
            for key in keys {
                let mut found = Vec::new();
                index.stab(&key, &mut |owner| found.push(owner));
                let mut expected: Vec<u64> =
                    list.iter().filter(|(range, _)| range.contains(&key)).map(|(_, owner)| *owner).collect();
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
