//! The overlay: what is committed and not yet folded, in key order, with snapshots for the price of a reference.

use bytes::Bytes;
use immutable_chunkmap::map::Map;
use vestibule_schema::timestamp::Timestamp;

use super::{Commit, Direction, KeyRange};

/// Entries per node of the map. Copying a node on its first change after a publication costs by this, finding a key
/// costs by the depth.
const ENTRIES_PER_NODE: usize = 32;
/// What an entry costs in memory beyond its key and value: two handles, two allocations and its share of a node.
const ENTRY_OVERHEAD_BYTES: usize = 160;

/// The newest value of a key and the commit that wrote it.
#[derive(Clone, Debug)]
pub(super) struct OverlayEntry {
    pub ts: Timestamp,
    /// `None` hides the key in the base.
    pub value: Option<Bytes>,
}

/// Every key written after some timestamp, with its newest value. It may hold older ones too. Cloning is cheap and
/// shares structure; a clone never changes.
#[derive(Clone)]
pub struct Overlay {
    entries: Map<Bytes, OverlayEntry, ENTRIES_PER_NODE>,
    complete_after: Timestamp,
    bytes: usize,
}

impl Overlay {
    pub(super) fn new(complete_after: Timestamp) -> Self {
        Self {
            entries: Map::new(),
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

    pub(super) fn entry(&self, key: &[u8]) -> Option<&OverlayEntry> {
        self.entries.get(key)
    }

    /// Bytes held for commits after `folded`.
    pub(super) fn bytes_after(&self, folded: Timestamp) -> usize {
        self.entries
            .into_iter()
            .filter(|(_, entry)| entry.ts > folded)
            .map(|(key, entry)| entry_bytes(key, entry))
            .sum()
    }

    /// Adds the commit's writes; returns the bytes they hold by themselves.
    pub(super) fn apply(&mut self, commit: &Commit) -> usize {
        let mut added = 0;
        for write in &commit.writes {
            let entry = OverlayEntry {
                ts: commit.ts,
                value: write.value.clone(),
            };
            let bytes = entry_bytes(&write.key, &entry);
            added += bytes;
            self.bytes += bytes;
            if let Some(previous) = self.entries.insert_cow(write.key.clone(), entry) {
                self.bytes -= entry_bytes(&write.key, &previous);
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
        mut each: impl FnMut(&Bytes, &OverlayEntry) -> bool,
    ) -> bool {
        if range.is_empty() {
            return false;
        }
        let mut entries = self.entries.range::<[u8], _>(range.bounds());
        for _ in 0..count {
            let next = match direction {
                Direction::Forward => entries.next(),
                Direction::Reverse => entries.next_back(),
            };
            match next {
                None => return false,
                Some((key, entry)) if !each(key, entry) => return true,
                Some(_) => {}
            }
        }
        true
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
        let mut excess = self.bytes.saturating_sub(bytes_max);
        let mut forgotten = Vec::new();
        let mut bytes = 0;
        let mut next_hand = Bytes::new();
        for (visit, (key, entry)) in self
            .entries
            .range::<[u8], _>(KeyRange::new(hand, None).bounds())
            .enumerate()
        {
            if excess == 0 || visit == visits {
                next_hand = key.clone();
                break;
            }
            if entry.ts <= folded {
                bytes += entry_bytes(key, entry);
                excess = excess.saturating_sub(entry_bytes(key, entry));
                forgotten.push(key.clone());
            }
        }
        if !forgotten.is_empty() {
            self.entries = self.entries.remove_many(forgotten);
            self.bytes -= bytes;
            self.complete_after = self.complete_after.max(folded);
        }
        next_hand
    }
}

fn entry_bytes(key: &Bytes, entry: &OverlayEntry) -> usize {
    ENTRY_OVERHEAD_BYTES + key.len() + entry.value.as_ref().map_or(0, Bytes::len)
}
