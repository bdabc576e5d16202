//! The read set of an execution, as key ranges: it alone decides whether a commit makes a result stale. A search depends
//! on some keys of a range only, which hold the values that it filters by.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::ops::Bound;

use bytes::Bytes;
use vestibule_schema::timestamp::Timestamp;

use super::error::LimitError;
use super::keys::{DOCUMENT_KEY_BYTES, IndexId};
use crate::storage::KeyRange;

/// The reads of an execution so far. They may never be queried, so ranges are put in order only when there are many.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Its narrowed ranges are all there are, and the others those that are not recent.
    ordered: ReadSet,
    recent: Vec<Read>,
    /// Reads of no document. They count against no limit. More than [`DEPENDENCIES_MAX`] of them count as all there are.
    dependencies: BTreeSet<Bytes>,
}

/// Modules and variables that are told apart.
const DEPENDENCIES_MAX: usize = 1_000;

#[derive(Debug)]
enum Read {
    /// A document's key, in `by_id`.
    Document([u8; DOCUMENT_KEY_BYTES]),
    /// All keys with this beginning.
    Prefix(Bytes),
    Range(KeyRange),
}

impl Reads {
    /// Notes a dependency on something that is no document.
    pub fn depend_on(&mut self, key: Bytes) {
        if self.dependencies.len() <= DEPENDENCIES_MAX {
            self.dependencies.insert(key);
        }
    }

    /// Notes that a document was read. Fails when more than `ranges_max` distinct ranges are held.
    pub fn record_document(
        &mut self,
        key: [u8; DOCUMENT_KEY_BYTES],
        ranges_max: usize,
    ) -> Result<(), LimitError> {
        self.push(Read::Document(key), ranges_max)
    }

    /// As [`Self::record_document`], for all keys that begin with `prefix`.
    pub fn record_prefix(&mut self, prefix: Bytes, ranges_max: usize) -> Result<(), LimitError> {
        self.push(Read::Prefix(prefix), ranges_max)
    }

    /// As [`Self::record_document`], for a range.
    pub fn record(&mut self, range: KeyRange, ranges_max: usize) -> Result<(), LimitError> {
        self.push(Read::Range(range), ranges_max)
    }

    /// As [`Self::record`], of the keys of a range that hold all `marks`.
    pub fn record_narrowed(
        &mut self,
        range: KeyRange,
        marks: &[Mark],
        ranges_max: usize,
    ) -> Result<(), LimitError> {
        if marks.is_empty() {
            return self.record(range, ranges_max);
        }
        let marks = marks.into();
        let narrowed = Narrowed { range, marks };
        if narrowed.range.is_empty() || self.ordered.narrowed.contains(&narrowed) {
            return Ok(());
        }
        self.ordered.narrowed.push(narrowed);
        match self.count() > ranges_max {
            true => Err(LimitError::RangesRead(ranges_max)),
            false => Ok(()),
        }
    }

    fn push(&mut self, read: Read, ranges_max: usize) -> Result<(), LimitError> {
        if self.ordered.len() + self.recent.len() < ranges_max {
            self.recent.push(read);
            return Ok(());
        }
        // Few are left, so each is looked at; one that was read before changes nothing.
        let range = KeyRange::from(read);
        if self.ordered.covers(&range) {
            return Ok(());
        }
        self.put_in_order();
        self.ordered.record(range);
        match self.ordered.len() > ranges_max {
            true => Err(LimitError::RangesRead(ranges_max)),
            false => Ok(()),
        }
    }

    fn put_in_order(&mut self) {
        let recent = self.recent.drain(..).map(KeyRange::from);
        self.ordered.record_all(recent);
    }

    /// How many distinct ranges are held.
    pub fn count(&mut self) -> usize {
        self.put_in_order();
        self.ordered.len()
    }

    /// All of it; leaves nothing behind.
    pub fn take(&mut self) -> ReadSet {
        self.put_in_order();
        let mut all = std::mem::take(&mut self.ordered);
        let dependencies = std::mem::take(&mut self.dependencies);
        if dependencies.len() > DEPENDENCIES_MAX {
            all.record(IndexId::DEPENDENCIES.range());
        } else if !dependencies.is_empty() {
            all.record_all(dependencies.into_iter().map(KeyRange::point));
        }
        all
    }
}

impl From<Read> for KeyRange {
    fn from(read: Read) -> KeyRange {
        match read {
            Read::Document(key) => KeyRange::point(Bytes::copy_from_slice(&key)),
            Read::Prefix(prefix) => KeyRange::prefix(prefix),
            Read::Range(range) => range,
        }
    }
}

/// The key ranges an execution read.
#[derive(Clone, Debug, Default)]
pub struct ReadSet {
    /// In ascending order. None is empty, and no two overlap or touch.
    ranges: Vec<KeyRange>,
    /// Ranges of which some keys count. None is empty, and no two are equal.
    narrowed: Vec<Narrowed>,
}

/// The keys of a range that hold all of some marks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Narrowed {
    range: KeyRange,
    marks: Box<[Mark]>,
}

/// Bytes at a place in a key, counted from its end: keys of one index may differ in length before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// From the first of the bytes to the key's end.
    pub from_end: usize,
    /// The bytes.
    pub bytes: [u8; Mark::BYTES],
}

impl Mark {
    /// Bytes of each mark.
    pub const BYTES: usize = 4;

    /// Whether a key holds it.
    pub fn is_in(&self, key: &[u8]) -> bool {
        let at = key.len().checked_sub(self.from_end);
        at.is_some_and(|at| key[at..].starts_with(&self.bytes))
    }
}

impl Narrowed {
    fn contains(&self, key: &[u8]) -> bool {
        self.range.contains(key) && self.has_marks_of(key)
    }

    fn has_marks_of(&self, key: &[u8]) -> bool {
        self.marks.iter().all(|mark| mark.is_in(key))
    }
}

impl ReadSet {
    /// Notes that a range was read.
    pub fn record(&mut self, range: KeyRange) {
        self.record_all([range]);
    }

    fn record_all(&mut self, ranges: impl IntoIterator<Item = KeyRange>) {
        let added = ranges.into_iter().filter(|range| !range.is_empty());
        self.ranges.extend(added);
        self.ranges.sort_by(|a, b| a.start.cmp(&b.start));
        self.ranges.dedup_by(|next, last| {
            let touches = last.end.as_ref().is_none_or(|end| *end >= next.start);
            if touches {
                last.end = later(last.end.take(), next.end.take());
            }
            touches
        });
    }

    /// The ranges that begin within `range`.
    pub fn within(&self, range: &KeyRange) -> ReadSet {
        let mut within = self.clone();
        within.ranges.retain(|read| range.contains(&read.start));
        within
            .narrowed
            .retain(|read| range.contains(&read.range.start));
        within
    }

    /// Both together.
    pub fn and(mut self, other: ReadSet) -> ReadSet {
        if !other.ranges.is_empty() {
            self.record_all(other.ranges);
        }
        for narrowed in other.narrowed {
            if !self.narrowed.contains(&narrowed) {
                self.narrowed.push(narrowed);
            }
        }
        self
    }

    /// Without the ranges that begin within `range`.
    pub fn without(mut self, range: &KeyRange) -> ReadSet {
        self.ranges.retain(|read| !range.contains(&read.start));
        self.narrowed
            .retain(|read| !range.contains(&read.range.start));
        self
    }

    /// The distinct ranges that count whole, in ascending order.
    #[cfg(test)]
    pub fn into_ranges(self) -> Vec<KeyRange> {
        self.ranges
    }

    /// Ranges that cover all that was read. Where [`Self::is_narrowed`], they may hold keys that were not.
    pub fn covering(&self) -> impl Iterator<Item = &KeyRange> {
        let narrowed = self.narrowed.iter().map(|narrowed| &narrowed.range);
        self.ranges.iter().chain(narrowed)
    }

    /// Whether only some keys of a covering range count.
    pub fn is_narrowed(&self) -> bool {
        !self.narrowed.is_empty()
    }

    /// How many ranges cover it.
    pub fn len(&self) -> usize {
        self.ranges.len() + self.narrowed.len()
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a commit that touched `key` changes anything this execution read.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.last_from(key).is_some_and(|range| range.contains(key))
            || self.narrowed.iter().any(|read| read.contains(key))
    }

    /// Whether one of `keys`, which are in order, was read, and is as `is_news` says.
    pub(super) fn meets(
        &self,
        keys: &BTreeMap<Bytes, Timestamp>,
        is_news: impl Fn(Timestamp) -> bool,
    ) -> bool {
        let is_met = |range: &KeyRange| held(keys, range).any(|(_, ts)| is_news(*ts));
        self.ranges.iter().any(is_met)
            || self.narrowed.iter().any(|read| {
                let mut held = held(keys, &read.range);
                held.any(|(key, ts)| is_news(*ts) && read.has_marks_of(key))
            })
    }

    fn covers(&self, range: &KeyRange) -> bool {
        range.is_empty()
            || self
                .last_from(&range.start)
                .is_some_and(|last| match (&last.end, &range.end) {
                    (None, _) => true,
                    (Some(_), None) => false,
                    (Some(last), Some(end)) => last >= end,
                })
    }

    /// The last range that begins at `key` or before.
    fn last_from(&self, key: &[u8]) -> Option<&KeyRange> {
        let behind = self.ranges.partition_point(|range| range.start <= key);
        self.ranges[..behind].last()
    }
}

/// The keys of a range, which is not empty.
fn held<'k>(
    keys: &'k BTreeMap<Bytes, Timestamp>,
    range: &KeyRange,
) -> btree_map::Range<'k, Bytes, Timestamp> {
    let end = range.end.as_ref();
    let end = end.map_or(Bound::Unbounded, Bound::Excluded);
    keys.range::<Bytes, _>((Bound::Included(&range.start), end))
}

fn later(a: Option<Bytes>, b: Option<Bytes>) -> Option<Bytes> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn range(start: &'static str, end: &'static str) -> KeyRange {
        KeyRange {
            start: Bytes::from(start),
            end: Some(Bytes::from(end)),
        }
    }

    #[test]
    fn overlapping_and_touching_ranges_become_one() {
        let mut reads = Reads::default();
        for (start, end) in [("m", "p"), ("a", "c"), ("c", "d"), ("b", "bb"), ("x", "z")] {
            reads.record(range(start, end), 10).unwrap();
        }
        assert_eq!(
            reads.take().into_ranges(),
            vec![range("a", "d"), range("m", "p"), range("x", "z")]
        );
    }

    #[test]
    fn repeated_reads_do_not_count_towards_the_limit_but_distinct_ones_do() {
        let mut reads = Reads::default();
        for _ in 0..10 {
            reads.record(KeyRange::point(Bytes::from("aa")), 3).unwrap();
            for (start, end) in [("a", "b"), ("c", "d"), ("e", "f")] {
                reads.record(range(start, end), 3).unwrap();
            }
        }
        assert_eq!(
            reads.record(range("g", "h"), 3),
            Err(LimitError::RangesRead(3))
        );
    }

    #[test]
    fn a_narrowed_range_holds_the_keys_with_its_marks_and_no_others() {
        let mark = Mark {
            from_end: 5,
            bytes: *b"mark",
        };
        let mut reads = Reads::default();
        for _ in 0..2 {
            reads.record_narrowed(range("a", "c"), &[mark], 2).unwrap();
        }
        reads.record(range("x", "z"), 2).unwrap();
        assert_eq!(
            reads.record_narrowed(range("d", "e"), &[mark], 2),
            Err(LimitError::RangesRead(2))
        );
        let reads = reads.take();
        assert!(reads.is_narrowed());
        let news = Timestamp(2);
        for (key, expected) in [
            ("b mark.", true),
            ("b a longer mark.", true),
            ("b mark", false),
            ("b mork.", false),
            ("mark.", false),
            ("b", false),
            ("c mark.", false),
            ("d mark.", true),
            ("y", true),
        ] {
            assert_eq!(reads.contains(key.as_bytes()), expected, "{key}");
            let keys = BTreeMap::from([(Bytes::from(key), news)]);
            assert_eq!(reads.meets(&keys, |ts| ts == news), expected, "{key}");
            assert!(!reads.meets(&keys, |ts| ts > news), "{key}");
            let covered = reads.covering().any(|range| range.contains(key.as_bytes()));
            assert!(covered || !expected, "{key}");
        }
        let twice = reads.clone().and(reads.clone());
        assert_eq!(twice.len(), reads.len());
        let others = reads.clone().without(&range("a", "b"));
        assert!(!others.contains(b"b mark.") && others.contains(b"d mark."));
        assert_eq!(reads.within(&range("a", "b")).len(), 1);
    }

    proptest! {
        #[test]
        fn a_read_set_holds_the_keys_of_its_ranges_and_no_others(
            ranges in vec((0..40u8, 0..41u8), 0..12),
            in_order: bool,
        ) {
            let key = |at: u8| Bytes::copy_from_slice(&[at]);
            let ranges = ranges.into_iter().map(|(start, end)| KeyRange {
                start: key(start),
                end: (end < 40).then(|| key(end)),
            });
            let ranges: Vec<_> = ranges.collect();
            let mut reads = Reads::default();
            for range in &ranges {
                // In order at once, or at the end.
                let ranges_max = if in_order { ranges.len() } else { usize::MAX };
                reads.record(range.clone(), ranges_max).unwrap();
            }
            let reads = reads.take();
            for at in 0..=40 {
                let expected = ranges.iter().any(|range| range.contains(&[at]));
                prop_assert_eq!(reads.contains(&[at]), expected, "at {}", at);
            }
            for pair in reads.into_ranges().windows(2) {
                prop_assert!(pair[0].end.as_ref().unwrap() < &pair[1].start);
            }
        }
    }
}
