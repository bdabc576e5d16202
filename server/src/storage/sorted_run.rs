//! A run: entries of a stretch of commits that no longer change, in the order of their keys, in leaves side by side.

use std::cmp::Ordering;

use vestibule_schema::timestamp::Timestamp;

use super::leaf::{Entry, Leaf};
use super::packed::{Packed, Record};
use super::{Direction, KeyRange};

/// Entries of a leaf.
const LEAF_ENTRIES: usize = 32;

/// Newest values of the keys that a stretch of commits wrote.
pub(super) struct SortedRun {
    leaves: Box<[Leaf]>,
    /// The lowest key of each leaf but the first.
    lows: Packed<()>,
    len: usize,
    /// The last commit of its stretch.
    pub newest: Timestamp,
    /// Memory it holds, as the overlay counts it.
    pub bytes: usize,
}

/// A place between two entries: before the one at `at` in a leaf, which is there, or behind the last leaf.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    leaf: usize,
    at: usize,
}

impl SortedRun {
    /// A run of entries in the order of their keys.
    pub fn build(entries: &[(&[u8], Entry<'_>)], newest: Timestamp, bytes: usize) -> Self {
        let chunks = entries.chunks(LEAF_ENTRIES);
        let lows = chunks.clone().skip(1).map(|chunk| Record {
            key: chunk[0].0,
            payload: &[],
            tag: (),
        });
        let lows = Packed::build(lows);
        Self {
            leaves: chunks
                .map(|chunk| Leaf::build(chunk.iter().copied()))
                .collect(),
            lows,
            len: entries.len(),
            newest,
            bytes,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// The leaf whose keys include this one.
    fn leaf_of(&self, key: &[u8]) -> usize {
        match self.lows.search(key) {
            Ok(at) => at + 1,
            Err(at) => at,
        }
    }

    pub fn get(&self, key: &[u8]) -> Option<Entry<'_>> {
        let leaf = self.leaves.get(self.leaf_of(key))?;
        leaf.search(key).ok().map(|at| leaf.entry(at))
    }

    /// Its entries in a range that is not empty.
    pub fn entries(&self, range: &KeyRange, direction: Direction) -> Entries<'_> {
        let end = Place {
            leaf: self.leaves.len(),
            at: 0,
        };
        Entries {
            run: self,
            direction,
            from: self.place(&range.start),
            to: range.end.as_ref().map_or(end, |end| self.place(end)),
        }
    }

    /// Where the first key is that is not below this one.
    fn place(&self, key: &[u8]) -> Place {
        let leaf = self.leaf_of(key);
        let at = self
            .leaves
            .get(leaf)
            .map_or(0, |leaf| leaf.lower_bound(key));
        self.settled(Place { leaf, at })
    }

    /// The same place, at the start of the next leaf rather than the end of one.
    fn settled(&self, place: Place) -> Place {
        match self.leaves.get(place.leaf) {
            Some(leaf) if place.at == leaf.len() => Place {
                leaf: place.leaf + 1,
                at: 0,
            },
            _ => place,
        }
    }
}

/// Entries of a run, one after the other.
pub(super) struct Entries<'r> {
    run: &'r SortedRun,
    direction: Direction,
    from: Place,
    to: Place,
}

impl<'r> Iterator for Entries<'r> {
    type Item = (&'r [u8], Entry<'r>);

    fn next(&mut self) -> Option<Self::Item> {
        let Self { run, from, to, .. } = self;
        if from == to {
            return None;
        }
        let place = match self.direction {
            Direction::Forward => {
                let here = *from;
                *from = run.settled(Place {
                    at: here.at + 1,
                    ..here
                });
                here
            }
            Direction::Reverse => {
                if to.at == 0 {
                    to.leaf -= 1;
                    to.at = run.leaves[to.leaf].len();
                }
                to.at -= 1;
                *to
            }
        };
        let leaf = &run.leaves[place.leaf];
        Some((leaf.key(place.at), leaf.entry(place.at)))
    }
}

/// Entries of several layers as one, the newest layer first: of a key that several have, the first one's entry.
pub(super) struct Merged<'r, L: Iterator<Item = (&'r [u8], Entry<'r>)>> {
    layers: Vec<std::iter::Peekable<L>>,
    direction: Direction,
}

impl<'r, L: Iterator<Item = (&'r [u8], Entry<'r>)>> Merged<'r, L> {
    /// Merges layers that all go in the direction.
    pub fn new(layers: impl Iterator<Item = L>, direction: Direction) -> Self {
        Self {
            layers: layers.map(Iterator::peekable).collect(),
            direction,
        }
    }
}

impl<'r, L: Iterator<Item = (&'r [u8], Entry<'r>)>> Iterator for Merged<'r, L> {
    type Item = (&'r [u8], Entry<'r>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut first: Option<(usize, &'r [u8])> = None;
        let mut is_twice = false;
        for (at, layer) in self.layers.iter_mut().enumerate() {
            let Some((key, _)) = layer.peek() else {
                continue;
            };
            let order = first.map_or(Ordering::Less, |(_, first)| match self.direction {
                Direction::Forward => (*key).cmp(first),
                Direction::Reverse => first.cmp(*key),
            });
            match order {
                Ordering::Less => {
                    first = Some((at, key));
                    is_twice = false;
                }
                Ordering::Equal => is_twice = true,
                Ordering::Greater => {}
            }
        }
        let (at, key) = first?;
        let next = self.layers[at].next();
        if is_twice {
            for layer in &mut self.layers[at + 1..] {
                layer.next_if(|(other, _)| *other == key);
            }
        }
        next
    }
}
