//! The overlay: what is committed and not yet folded, in key order, with snapshots for the price of a few references.
//!
//! A small tree holds the newest entries. When the tree is full it becomes a run, which never changes again; runs of
//! similar size become a larger one. So a commit changes a few nodes that are at hand, where one large tree would be
//! changed all over. Folded entries are forgotten a run at a time, oldest first.

use std::sync::Arc;

use vestibule_schema::timestamp::Timestamp;

use super::leaf::{Entry, Value};
use super::sorted_run::{self, Merged, SortedRun};
use super::tree::Tree;
use super::{Direction, KeyRange, Write};

/// Memory that an entry costs beyond its key and value: its share of a leaf and of the branches above it.
const ENTRY_OVERHEAD_BYTES: usize = 64;
/// Merge this many runs of similar size into one.
const MERGED_RUNS: usize = 4;

/// How large its parts become.
#[derive(Clone, Copy)]
struct Sizes {
    /// The newest commits become a run when they hold this many bytes: as many as stay in the processor's caches.
    recent_bytes_max: usize,
    /// Runs do not grow beyond this many bytes: merging larger runs would hold up the lane, and a large run is
    /// forgotten late.
    run_bytes_max: usize,
}

impl Sizes {
    /// Those of an overlay that is to hold `bytes_max`.
    fn of(bytes_max: usize) -> Self {
        Self {
            recent_bytes_max: (bytes_max / 64).max(4 * ENTRY_OVERHEAD_BYTES),
            run_bytes_max: bytes_max / 8,
        }
    }
}

/// Every key written after some timestamp, with its newest value. It may hold older ones too. Cloning is cheap and
/// shares structure; a clone never changes.
#[derive(Clone)]
pub struct Overlay {
    recent: Tree,
    recent_bytes: usize,
    /// The last commit in `recent`.
    recent_newest: Timestamp,
    /// Older commits, oldest first.
    runs: Vec<Arc<SortedRun>>,
    complete_after: Timestamp,
    sizes: Sizes,
}

impl Overlay {
    /// An empty overlay over a base that reaches to `complete_after`. Later it is to hold about `bytes_max`.
    pub(super) fn new(complete_after: Timestamp, bytes_max: usize) -> Self {
        Self {
            recent: Tree::new(),
            recent_bytes: 0,
            recent_newest: complete_after,
            runs: Vec::new(),
            complete_after,
            sizes: Sizes::of(bytes_max),
        }
    }

    /// It holds every write of every commit after this. A base with an earlier fold position must not be read under it.
    pub fn complete_after(&self) -> Timestamp {
        self.complete_after
    }

    /// Memory it holds, with a fixed overhead per entry. A key that was written again may count more than once.
    pub fn bytes(&self) -> usize {
        self.recent_bytes + self.runs.iter().map(|run| run.bytes).sum::<usize>()
    }

    /// The number of entries it holds; a key that was written again may count more than once.
    pub fn len(&self) -> usize {
        self.recent.len() + self.runs.iter().map(|run| run.len()).sum::<usize>()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn entry(&self, key: &[u8]) -> Option<Entry<'_>> {
        let mut runs = self.runs.iter().rev();
        self.recent
            .get(key)
            .or_else(|| runs.find_map(|run| run.get(key)))
    }

    /// The same commits but for runs that end at or before `folded`.
    pub(super) fn after(&self, folded: Timestamp) -> Self {
        let runs = self.runs.iter().filter(|run| run.newest > folded);
        Self {
            runs: runs.cloned().collect(),
            complete_after: self.complete_after.max(folded),
            ..self.clone()
        }
    }

    /// Bytes held for commits after `folded`.
    pub(super) fn bytes_after(&self, folded: Timestamp) -> usize {
        let mut bytes = 0;
        self.read(
            &KeyRange::all(),
            Direction::Forward,
            usize::MAX,
            |key, entry| {
                if entry.ts > folded {
                    bytes += entry_bytes(key, entry.value.len());
                }
                true
            },
        );
        bytes
    }

    /// Adds writes of the commit at `ts`; returns the bytes they hold by themselves.
    pub(super) fn apply<'w>(
        &mut self,
        ts: Timestamp,
        writes: impl Iterator<Item = &'w Write>,
    ) -> usize {
        let mut added = 0;
        for write in writes {
            self.recent_newest = ts;
            let value = Value::of(write.value.as_ref());
            let bytes = entry_bytes(&write.key, value.len());
            added += bytes;
            self.recent_bytes += bytes;
            if let Some(previous_len) = self.recent.insert(&write.key, Entry { ts, value }) {
                self.recent_bytes -= entry_bytes(&write.key, previous_len);
            }
        }
        if self.recent_bytes >= self.sizes.recent_bytes_max {
            self.end_recent();
            self.merge_runs();
        }
        added
    }

    /// Makes a run of what is newest.
    fn end_recent(&mut self) {
        let mut entries = Vec::with_capacity(self.recent.len());
        self.recent
            .walk(&KeyRange::all(), Direction::Forward, &mut |key, entry| {
                entries.push((key, entry));
                true
            });
        let run = SortedRun::build(&entries, self.recent_newest, self.recent_bytes);
        self.recent = Tree::new();
        self.recent_bytes = 0;
        self.runs.push(Arc::new(run));
    }

    /// Merges the newest runs into one when enough of them have a similar size.
    fn merge_runs(&mut self) {
        while let Some(first) = self.first_to_merge() {
            let runs = &self.runs[first..];
            let all = KeyRange::all();
            let layers = runs.iter().rev();
            let layers = layers.map(|run| run.entries(&all, Direction::Forward));
            let entries: Vec<_> = Merged::new(layers, Direction::Forward).collect();
            let bytes = entries.iter();
            let bytes = bytes.map(|(key, entry)| entry_bytes(key, entry.value.len()));
            let newest = runs.last().map_or(self.complete_after, |run| run.newest);
            let merged = Arc::new(SortedRun::build(&entries, newest, bytes.sum()));
            self.runs.truncate(first);
            self.runs.push(merged);
        }
    }

    fn first_to_merge(&self) -> Option<usize> {
        let last = self.runs.last()?.bytes;
        let alike = self.runs.iter().rev();
        let alike = alike.take_while(|run| run.bytes <= 2 * last);
        let (count, bytes) =
            alike.fold((0, 0), |(count, bytes), run| (count + 1, bytes + run.bytes));
        let is_due = count >= MERGED_RUNS && bytes <= self.sizes.run_bytes_max;
        is_due.then(|| self.runs.len() - count)
    }

    /// Hands out up to `count` entries of the range in the direction, while `each` answers true. Returns false if that
    /// was all, true if there may be more.
    pub(super) fn read(
        &self,
        range: &KeyRange,
        direction: Direction,
        count: usize,
        mut each: impl FnMut(&[u8], Entry<'_>) -> bool,
    ) -> bool {
        if range.is_empty() {
            return false;
        }
        let mut recent = Vec::new();
        self.recent.walk(range, direction, &mut |key, entry| {
            recent.push((key, entry));
            recent.len() < count
        });
        let runs = self.runs.iter().rev();
        let runs = runs.map(|run| Layer::SortedRun(run.entries(range, direction)));
        let layers = std::iter::once(Layer::Recent(recent.into_iter())).chain(runs);
        let mut left = count;
        for (key, entry) in Merged::new(layers, direction) {
            left -= 1;
            if !each(key, entry) || left == 0 {
                return true;
            }
        }
        false
    }

    /// Forgets the oldest commits at or before `folded`, until it holds no more than `bytes_max`.
    pub(super) fn forget(&mut self, folded: Timestamp, bytes_max: usize) {
        if self.recent_newest <= folded && self.bytes() > bytes_max && self.recent.len() > 0 {
            self.end_recent();
        }
        while let Some(oldest) = self.runs.first()
            && oldest.newest <= folded
            && self.bytes() > bytes_max
        {
            self.complete_after = oldest.newest;
            self.runs.remove(0);
        }
    }
}

/// The entries of one part of the overlay.
enum Layer<'o> {
    Recent(std::vec::IntoIter<(&'o [u8], Entry<'o>)>),
    SortedRun(sorted_run::Entries<'o>),
}

impl<'o> Iterator for Layer<'o> {
    type Item = (&'o [u8], Entry<'o>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Layer::Recent(entries) => entries.next(),
            Layer::SortedRun(entries) => entries.next(),
        }
    }
}

fn entry_bytes(key: &[u8], value_len: usize) -> usize {
    ENTRY_OVERHEAD_BYTES + key.len() + value_len
}
