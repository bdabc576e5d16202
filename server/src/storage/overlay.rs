//! The overlay: what is committed and not yet folded, in key order, with snapshots for the price of a reference.

use bytes::Bytes;
use vestibule_schema::timestamp::Timestamp;

use super::leaf::{Entry, Value};
use super::tree::Tree;
use super::{Commit, Direction, KeyRange};

/// What an entry costs in memory beyond its key and value: its share of a leaf and of the branches above.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// Every key written after some timestamp, with its newest value. It may hold older ones too. Cloning is cheap and
/// shares structure; a clone never changes.
#[derive(Clone)]
pub struct Overlay {
    entries: Tree,
    complete_after: Timestamp,
    bytes: usize,
}

impl Overlay {
    pub(super) fn new(complete_after: Timestamp) -> Self {
        Self {
            entries: Tree::new(),
            complete_after,
            bytes: 0,
        }
    }

    /// It holds every write of every commit after this. A base with an earlier fold position must not be read under it.
    pub fn complete_after(&self) -> Timestamp {
        self.complete_after
    }

    /// Memory it holds, with a fixed overhead per entry.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn entry(&self, key: &[u8]) -> Option<Entry<'_>> {
        self.entries.get(key)
    }

    /// Bytes held for commits after `folded`.
    pub(super) fn bytes_after(&self, folded: Timestamp) -> usize {
        let mut bytes = 0;
        self.entries
            .walk(&KeyRange::all(), Direction::Forward, &mut |key, entry| {
                if entry.ts > folded {
                    bytes += entry_bytes(key, entry.value.len());
                }
                true
            });
        bytes
    }

    /// Adds the commit's writes; returns the bytes they hold by themselves.
    pub(super) fn apply(&mut self, commit: &Commit) -> usize {
        let mut added = 0;
        for write in &commit.writes {
            let value = Value::of(write.value.as_ref());
            let bytes = entry_bytes(&write.key, value.len());
            added += bytes;
            self.bytes += bytes;
            if let Some(previous_len) = self.entries.insert(
                &write.key,
                Entry {
                    ts: commit.ts,
                    value,
                },
            ) {
                self.bytes -= entry_bytes(&write.key, previous_len);
            }
        }
        added
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
        let mut left = count;
        !self.entries.walk(range, direction, &mut |key, entry| {
            left -= 1;
            each(key, entry) && left > 0
        })
    }

    /// Forgets entries at or before `folded`, looking at up to `visits` of them from `hand` on, until it holds no more
    /// than `bytes_max`. Returns where to look next.
    pub(super) fn forget(
        &mut self,
        folded: Timestamp,
        bytes_max: usize,
        visits: usize,
        hand: Bytes,
    ) -> Bytes {
        let excess = self.bytes.saturating_sub(bytes_max);
        let (mut forgotten, mut bytes) = (Vec::new(), 0);
        let mut last = Vec::new();
        let more = self.read(
            &KeyRange::new(hand, None),
            Direction::Forward,
            visits,
            |key, entry| {
                last.clear();
                last.extend_from_slice(key);
                if entry.ts <= folded {
                    bytes += entry_bytes(key, entry.value.len());
                    forgotten.push(Bytes::copy_from_slice(key));
                }
                bytes < excess
            },
        );
        if !forgotten.is_empty() {
            forgotten.iter().for_each(|key| self.entries.remove(key));
            self.bytes -= bytes;
            self.complete_after = self.complete_after.max(folded);
        }
        if more { last.into() } else { Bytes::new() }
    }
}

fn entry_bytes(key: &[u8], value_len: usize) -> usize {
    ENTRY_OVERHEAD_BYTES + key.len() + value_len
}
