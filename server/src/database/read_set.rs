//! The read set of an execution, as key ranges: it alone decides whether a commit makes a result stale.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::error::LimitError;
use super::keys::{DOCUMENT_KEY_BYTES, IndexId};
use crate::storage::KeyRange;

/// The reads of an execution so far. They may never be queried, so ranges are put in order only when there are many.
#[derive(Debug, Default)]
pub(super) struct Reads {
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

    fn push(&mut self, read: Read, ranges_max: usize) -> Result<(), LimitError> {
        if self.ordered.ranges.len() + self.recent.len() < ranges_max {
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
        match self.ordered.ranges.len() > ranges_max {
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
        self.ordered.ranges.len()
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
    }

    /// Both together.
    pub fn and(mut self, other: ReadSet) -> ReadSet {
        if !other.ranges.is_empty() {
            self.record_all(other.ranges);
        }
        self
    }

    /// Without the ranges that begin within `range`.
    pub fn without(mut self, range: &KeyRange) -> ReadSet {
        self.ranges.retain(|read| !range.contains(&read.start));
        self
    }

    /// The distinct ranges in ascending order.
    pub fn into_ranges(self) -> Vec<KeyRange> {
        self.ranges
    }

    /// The distinct ranges in ascending order.
    pub fn ranges(&self) -> &[KeyRange] {
        &self.ranges
    }

    /// Whether a commit that touched `key` changes anything this execution read.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.last_from(key).is_some_and(|range| range.contains(key))
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
