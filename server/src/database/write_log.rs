//! The write log: recent commits in order, as the keys they touched. News of commits reaches the rooms below through
//! it and through nothing else.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::watch;
use vestibule_schema::id::TableNumber;
use vestibule_schema::timestamp::Timestamp;

use super::catalog::TableMeta;
use super::keys::{IndexId, document_key, push_index_key};
use super::read_set::ReadSet;
use super::stored::StoredDocument;

/// One commit's part of the write log.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// The commit.
    pub ts: Timestamp,
    /// Every index key, old or new, of every document it wrote.
    pub touched: Arc<Touched>,
}

/// The index keys that a transaction touched.
#[derive(Clone, Debug, Default)]
pub struct Touched {
    keys: Keys,
    /// Documents that moved in no index. Their index keys are computed only on request, which is rare.
    unmoved: Vec<Unmoved>,
    unmoved_keys: OnceLock<Keys>,
    /// Whole tables changed places, so no list of keys would end.
    everything: bool,
}

/// Keys in one buffer: a commit has many, and all that is ever done with them is to look at each.
#[derive(Clone, Debug, Default)]
struct Keys {
    bytes: Vec<u8>,
    /// Where each key ends.
    ends: Vec<usize>,
}

/// About as many bytes as most index keys have.
const KEY_BYTES: usize = 48;
/// Keys that a document touches which comes or goes, about.
const FIRST_KEYS: usize = 4;

impl Keys {
    /// With room for so many keys, so that they are not moved while they become so many.
    fn with_room_for(keys: usize) -> Keys {
        Keys {
            bytes: Vec::with_capacity(keys * KEY_BYTES),
            ends: Vec::with_capacity(keys),
        }
    }

    fn push(&mut self, key: &[u8]) {
        if self.ends.is_empty() && self.ends.capacity() == 0 {
            *self = Keys::with_room_for(FIRST_KEYS);
        }
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends
            .iter()
            .map(move |&end| &self.bytes[std::mem::replace(&mut start, end)..end])
    }
}

/// A document that changed where it is.
#[derive(Clone, Debug)]
struct Unmoved {
    table: Arc<TableMeta>,
    document: StoredDocument,
}

impl Unmoved {
    /// Its keys in all indexes.
    fn push_keys(&self, keys: &mut Keys) {
        let (id, document) = (self.document.id().internal(), self.document.bytes());
        keys.push(&document_key(self.table.by_id, id));
        for (index, fields) in self.table.keyed() {
            push_index_key(&mut keys.bytes, index, fields, document, id)
                .expect("a stored document was walked from end to end when it was made");
            keys.ends.push(keys.bytes.len());
        }
    }

    fn keys_len(&self) -> usize {
        1 + self.table.keyed().count()
    }
}

/// A state of [`Touched`] to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct TouchedMark {
    bytes: usize,
    keys: usize,
    unmoved: usize,
}

impl Touched {
    /// Adds a key.
    pub fn push(&mut self, key: &[u8]) {
        self.keys.push(key);
    }

    /// Adds the index keys of a document that moved in no index. A document that did not move has still changed for its
    /// readers.
    pub(super) fn push_unmoved(&mut self, table: Arc<TableMeta>, document: StoredDocument) {
        self.unmoved.push(Unmoved { table, document });
    }

    /// The keys as they are now.
    pub(super) fn mark(&self) -> TouchedMark {
        TouchedMark {
            bytes: self.keys.bytes.len(),
            keys: self.keys.ends.len(),
            unmoved: self.unmoved.len(),
        }
    }

    /// Takes out every key that was added since `mark`.
    pub(super) fn truncate(&mut self, mark: TouchedMark) {
        self.keys.bytes.truncate(mark.bytes);
        self.keys.ends.truncate(mark.keys);
        self.unmoved.truncate(mark.unmoved);
        self.unmoved_keys.take();
    }

    /// Makes every earlier read stale.
    pub(super) fn push_everything(&mut self) {
        self.everything = true;
    }

    /// Whether every earlier read is stale.
    pub fn is_everything(&self) -> bool {
        self.everything
    }

    /// The keys, in no order; some may be there twice.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().chain(self.unmoved_keys().iter())
    }

    /// As [`Self::iter`], but that keys of other tables may be left out.
    pub(super) fn iter_of(&self, table: TableNumber) -> impl Iterator<Item = &[u8]> {
        let is_of_table = |unmoved: &Unmoved| unmoved.table.number == table;
        let unmoved = self.unmoved.iter().any(is_of_table);
        let unmoved = unmoved.then(|| self.unmoved_keys().iter());
        self.keys.iter().chain(unmoved.into_iter().flatten())
    }

    /// Whether a document was written whose `by_id` index this is.
    pub(super) fn has_document_in(&self, by_id: IndexId) -> bool {
        let prefix = by_id.0.to_be_bytes();
        let mut unmoved = self.unmoved.iter();
        unmoved.any(|unmoved| unmoved.table.by_id == by_id)
            || self.keys.iter().any(|key| key.starts_with(&prefix))
    }

    fn unmoved_keys(&self) -> &Keys {
        self.unmoved_keys.get_or_init(|| {
            let count = self.unmoved.iter().map(Unmoved::keys_len).sum();
            let mut keys = Keys::with_room_for(count);
            let unmoved = self.unmoved.iter();
            unmoved.for_each(|unmoved| unmoved.push_keys(&mut keys));
            keys
        })
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        let unmoved = self.unmoved.iter().map(Unmoved::keys_len);
        self.keys.ends.len() + unmoved.sum::<usize>()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && !self.everything
    }
}

impl<K: AsRef<[u8]>> FromIterator<K> for Touched {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Touched {
        let mut touched = Touched::default();
        keys.into_iter().for_each(|key| touched.push(key.as_ref()));
        touched
    }
}

/// Recent commits, newest last, bounded in entries and touched keys.
pub struct WriteLog {
    state: Mutex<State>,
    newest: watch::Sender<Timestamp>,
}

struct State {
    entries: VecDeque<LogEntry>,
    /// The total weight of `entries`, as [`LogEntry::weight`] counts.
    weight: usize,
    /// Commits since the start.
    commits: u64,
    /// Every commit after this one is in `entries`.
    complete_after: Timestamp,
}

/// Entries and touched keys kept: some tens of MiB, seconds of commits at full speed.
const WEIGHT_MAX: usize = 1 << 19;

impl LogEntry {
    /// A commit that touched nothing takes room as well.
    fn weight(&self) -> usize {
        1 + self.touched.len()
    }
}

/// The write log's answer about a read set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// No commit after the given one touched it.
    Fresh,
    /// The first commit that touched it.
    StaleSince(Timestamp),
}

impl WriteLog {
    /// An empty log that starts behind `ts`, the newest durable commit.
    pub fn new(ts: Timestamp) -> WriteLog {
        let state = State {
            entries: VecDeque::new(),
            weight: 0,
            commits: 0,
            complete_after: ts,
        };
        WriteLog {
            state: Mutex::new(state),
            newest: watch::Sender::new(ts),
        }
    }

    /// Appends commits that have become durable, in order, and wakes the waiters for news.
    pub(crate) fn publish(&self, entries: Vec<LogEntry>, newest: Timestamp) {
        let mut state = self.state.lock();
        state.commits += entries.len() as u64;
        for entry in entries {
            state.weight += entry.weight();
            state.entries.push_back(entry);
        }
        while state.weight > WEIGHT_MAX {
            let Some(oldest) = state.entries.pop_front() else {
                break;
            };
            state.weight -= oldest.weight();
            state.complete_after = oldest.ts;
        }
        drop(state);
        self.newest.send_replace(newest);
    }

    /// The newest durable timestamp, to await changes of.
    pub fn subscribe(&self) -> watch::Receiver<Timestamp> {
        self.newest.subscribe()
    }

    /// The newest commit whose news is here. The newest durable one may be a moment ahead.
    pub fn newest(&self) -> Timestamp {
        *self.newest.borrow()
    }

    /// The commits after `after`, oldest first; `None` when the log no longer reaches back that far.
    pub fn since(&self, after: Timestamp) -> Option<Vec<LogEntry>> {
        let state = self.state.lock();
        if after < state.complete_after {
            return None;
        }
        let first = state.entries.partition_point(|entry| entry.ts <= after);
        Some(state.entries.range(first..).cloned().collect())
    }

    /// Commits since the start whose news is here.
    pub fn commits(&self) -> u64 {
        self.state.lock().commits
    }

    /// How many commits came after `after`, as far as the log reaches back.
    pub fn commits_after(&self, after: Timestamp) -> usize {
        let state = self.state.lock();
        let first = state.entries.partition_point(|entry| entry.ts <= after);
        state.entries.len() - first
    }

    /// Whether a commit after `after` touched `reads`. A log that does not reach back calls it stale.
    pub fn freshness(&self, reads: &ReadSet, after: Timestamp) -> Freshness {
        let state = self.state.lock();
        if after < state.complete_after {
            return Freshness::StaleSince(Timestamp(after.0 + 1));
        }
        let first = state.entries.partition_point(|entry| entry.ts <= after);
        let mut later = state.entries.range(first..);
        let stale = later.find(|entry| {
            let touched = &entry.touched;
            touched.is_everything() || touched.iter().any(|key| reads.contains(key))
        });
        stale.map_or(Freshness::Fresh, |entry| Freshness::StaleSince(entry.ts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::KeyRange;

    fn entry(ts: u64, key: &'static str) -> LogEntry {
        LogEntry {
            ts: Timestamp(ts),
            touched: Arc::new(Touched::from_iter([key])),
        }
    }

    #[test]
    fn a_read_set_is_stale_from_the_first_commit_that_touched_it() {
        let log = WriteLog::new(Timestamp(10));
        log.publish(
            vec![entry(11, "a"), entry(12, "b"), entry(13, "b")],
            Timestamp(13),
        );
        let mut reads = ReadSet::default();
        reads.record(KeyRange::point("b"));
        assert_eq!(
            log.freshness(&reads, Timestamp(10)),
            Freshness::StaleSince(Timestamp(12))
        );
        assert_eq!(
            log.freshness(&reads, Timestamp(12)),
            Freshness::StaleSince(Timestamp(13))
        );
        assert_eq!(log.freshness(&reads, Timestamp(13)), Freshness::Fresh);
        assert_eq!(*log.subscribe().borrow(), Timestamp(13));
    }

    #[test]
    fn a_commit_that_touched_everything_makes_every_read_stale() {
        let log = WriteLog::new(Timestamp(10));
        let mut touched = Touched::default();
        touched.push_everything();
        let touched = Arc::new(touched);
        let ts = Timestamp(11);
        log.publish(vec![LogEntry { ts, touched }], ts);
        let mut reads = ReadSet::default();
        reads.record(KeyRange::point("b"));
        let stale = Freshness::StaleSince(ts);
        assert_eq!(log.freshness(&reads, Timestamp(10)), stale);
    }

    #[test]
    fn what_the_log_has_forgotten_counts_as_stale() {
        let log = WriteLog::new(Timestamp(0));
        let touched = std::iter::repeat_n("k", WEIGHT_MAX / 2 + 1);
        let touched: Arc<Touched> = Arc::new(touched.collect());
        for ts in 1..=3 {
            log.publish(
                vec![LogEntry {
                    ts: Timestamp(ts),
                    touched: touched.clone(),
                }],
                Timestamp(ts),
            );
        }
        assert!(log.since(Timestamp(0)).is_none());
        assert_eq!(
            log.freshness(&ReadSet::default(), Timestamp(0)),
            Freshness::StaleSince(Timestamp(1))
        );
        assert_eq!(log.since(Timestamp(2)).unwrap().len(), 1);
    }

    #[test]
    fn commits_that_touched_nothing_are_bounded_too() {
        let log = WriteLog::new(Timestamp(0));
        let entries = (1..=WEIGHT_MAX as u64 + 1).map(|ts| LogEntry {
            ts: Timestamp(ts),
            touched: Arc::default(),
        });
        log.publish(entries.collect(), Timestamp(WEIGHT_MAX as u64 + 1));
        assert!(log.since(Timestamp(0)).is_none());
        assert_eq!(log.since(Timestamp(1)).unwrap().len(), WEIGHT_MAX);
    }
}
