//! What an execution read, as key ranges: the one thing that decides what a commit makes stale.

use bytes::Bytes;

use super::error::LimitError;
use crate::storage::KeyRange;

/// The key ranges an execution read.
#[derive(Clone, Debug, Default)]
pub struct ReadSet {
    ranges: Vec<KeyRange>,
    /// Merging waits until this many ranges have gathered, so that recording stays a push.
    merge_at: usize,
}

const MERGE_AT_FIRST: usize = 64;

impl ReadSet {
    /// Notes that `range` was read, empty or not. Fails when more than `ranges_max` distinct ranges are held.
    pub fn record(&mut self, range: KeyRange, ranges_max: usize) -> Result<(), LimitError> {
        self.ranges.push(range);
        if self.ranges.len() > self.merge_at.max(MERGE_AT_FIRST) {
            self.merge();
            self.merge_at = self.ranges.len() * 2;
            if self.ranges.len() > ranges_max {
                return Err(LimitError::RangesRead(ranges_max));
            }
        }
        Ok(())
    }

    /// The distinct ranges in ascending order.
    pub fn into_ranges(mut self) -> Vec<KeyRange> {
        self.merge();
        self.ranges
    }

    /// Whether a commit that touched `key` changes anything this execution read.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.ranges.iter().any(|range| range.contains(key))
    }

    fn merge(&mut self) {
        self.ranges.sort_by(|a, b| a.start.cmp(&b.start));
        let mut merged: Vec<KeyRange> = Vec::with_capacity(self.ranges.len());
        for range in self.ranges.drain(..) {
            match merged.last_mut() {
                Some(last) if reaches(&last.end, &range.start) => last.end = later(last.end.take(), range.end),
                _ => merged.push(range),
            }
        }
        self.ranges = merged;
    }
}

fn reaches(end: &Option<Bytes>, start: &Bytes) -> bool {
    end.as_ref().is_none_or(|end| end >= start)
}

fn later(a: Option<Bytes>, b: Option<Bytes>) -> Option<Bytes> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &'static str, end: &'static str) -> KeyRange {
        KeyRange { start: Bytes::from(start), end: Some(Bytes::from(end)) }
    }

    #[test]
    fn overlapping_and_touching_ranges_become_one() {
        let mut reads = ReadSet::default();
        for (start, end) in [("m", "p"), ("a", "c"), ("c", "d"), ("b", "bb"), ("x", "z")] {
            reads.record(range(start, end), 10).unwrap();
        }
        assert_eq!(reads.into_ranges(), vec![range("a", "d"), range("m", "p"), range("x", "z")]);
    }

    #[test]
    fn repeated_reads_do_not_count_towards_the_limit_but_distinct_ones_do() {
        let mut reads = ReadSet::default();
        for _ in 0..10_000 {
            reads.record(range("a", "b"), 100).unwrap();
        }
        let mut reads = ReadSet::default();
        let outcome = (0..100_000u32).try_for_each(|n| {
            let start = Bytes::copy_from_slice(&(n * 2).to_be_bytes());
            let end = Bytes::copy_from_slice(&(n * 2 + 1).to_be_bytes());
            reads.record(KeyRange { start, end: Some(end) }, 100)
        });
        assert_eq!(outcome, Err(LimitError::RangesRead(100)));
    }
}
