//! The head: every commit so far, durable or not, as the lane sees it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use vestibule_schema::timestamp::Timestamp;

use super::head_cache::{GROUP_ENTRIES_MAX, Group, HeadCache};
use super::reader::BaseReader;
use super::sqlite::Files;
use super::store::Shared;
use super::view::{self, Cursor, Entry, Layers, ReadView, Stamp};
use super::{Commit, Direction, KeyRange, Overlay, Published, StorageError, StoreOptions};

/// The newest state, owned by the thread that commits.
pub struct Head {
    shared: Arc<Shared>,
    overlay: Overlay,
    ts: Timestamp,
    stamp: Stamp,
    /// Every commit that was not folded at the last refresh, with the bytes it wrote.
    unfolded: VecDeque<(Timestamp, usize)>,
    unfolded_bytes: usize,
    cache: RefCell<HeadCache>,
}

impl Head {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let published = shared.published.load_full();
        let bytes = published.overlay.bytes_after(shared.folded());
        Self {
            shared: Arc::clone(shared),
            overlay: published.overlay.clone(),
            ts: published.ts,
            stamp: Stamp::fresh(),
            unfolded: VecDeque::from([(published.ts, bytes)]),
            unfolded_bytes: bytes,
            cache: RefCell::new(HeadCache::new(shared.options.head_cache_bytes)),
        }
    }

    /// The last commit applied.
    pub fn last_ts(&self) -> Timestamp {
        self.ts
    }

    /// The state's commits, cheap to clone.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// This state, to be published once its last commit is durable. Cheap.
    pub fn freeze(&self) -> Published {
        Published {
            ts: self.ts,
            overlay: self.overlay.clone(),
        }
    }

    /// Makes a commit visible to the next reads.
    ///
    /// # Panics
    /// If its timestamp is not after the last.
    pub fn apply(&mut self, commit: &Commit) {
        assert!(
            commit.ts > self.ts,
            "commits are applied in the order of their timestamps"
        );
        let bytes = self.overlay.apply(commit);
        let cache = self.cache.get_mut();
        commit.writes.iter().for_each(|write| cache.apply(write));
        self.ts = commit.ts;
        self.stamp = Stamp::fresh();
        self.unfolded.push_back((commit.ts, bytes));
        self.unfolded_bytes += bytes;
    }

    /// Takes back every commit after a published state, once appending them failed as not committed.
    pub fn roll_back_to(&mut self, published: &Published) {
        while let Some(&(ts, bytes)) = self.unfolded.back()
            && ts > published.ts
        {
            self.unfolded.pop_back();
            self.unfolded_bytes -= bytes;
        }
        self.overlay = published.overlay.clone();
        self.ts = published.ts;
        self.stamp = Stamp::fresh();
        self.cache.get_mut().clear();
    }

    /// The entries of a group from first to last, if they are few.
    fn read_group(&self, prefix: &[u8]) -> Result<Group, StorageError> {
        let range = KeyRange::prefix(Bytes::copy_from_slice(prefix));
        let entries = self.scan(range, Direction::Forward);
        let entries: Vec<Entry> = entries
            .take(GROUP_ENTRIES_MAX + 1)
            .collect::<Result<_, _>>()?;
        Ok(match entries.len() > GROUP_ENTRIES_MAX {
            true => Group::Large,
            false => Group::Small(entries.into()),
        })
    }

    /// Takes note of folding, and forgets folded entries as far as needed to hold no more than `overlay_bytes_max`.
    /// A folded entry that is still held is a cache. Call it once a batch.
    pub fn refresh(&mut self) {
        let folded = self.shared.folded();
        while let Some(&(ts, bytes)) = self.unfolded.front()
            && ts <= folded
        {
            self.unfolded.pop_front();
            self.unfolded_bytes -= bytes;
        }
        let bytes_max = self.shared.options.overlay_bytes_max;
        if self.overlay.bytes() <= bytes_max || self.overlay.bytes() <= self.unfolded_bytes() {
            return;
        }
        // The base must reach as far as what is forgotten, before it is forgotten.
        self.shared.head_base.lock().end_before(folded);
        self.overlay.forget(folded, bytes_max);
        self.stamp = Stamp::fresh();
    }

    /// Bytes that commits wrote which were not folded at the last refresh. Beside them the overlay keeps what is folded of
    /// a run that is not folded whole, an eighth of `overlay_bytes_max` at the most.
    pub fn unfolded_bytes(&self) -> usize {
        self.unfolded_bytes.min(self.overlay.bytes())
    }
}

impl Layers for Head {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    fn base_value(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.shared
            .head_base
            .lock()
            .read(&self.shared, |reader| reader.value(key))
    }

    fn base_read(
        &self,
        range: &KeyRange,
        direction: Direction,
        count: usize,
        each: &mut dyn FnMut(Bytes, Bytes),
    ) -> Result<bool, StorageError> {
        self.shared.head_base.lock().read(&self.shared, |reader| {
            reader.read(range, direction, count, each)
        })
    }
}

impl ReadView for Head {
    fn ts(&self) -> Timestamp {
        self.ts
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        if let Some(value) = self.cache.borrow_mut().value(key) {
            return Ok(value);
        }
        let value = view::value(self, key)?;
        let key = Bytes::copy_from_slice(key);
        self.cache.borrow_mut().keep_value(key, value.clone());
        Ok(value)
    }

    fn group(&self, prefix: &[u8]) -> Result<Option<Arc<[Entry]>>, StorageError> {
        let known = self.cache.borrow_mut().group(prefix);
        let group = match known {
            Some(group) => group,
            None => {
                let group = self.read_group(prefix)?;
                let prefix = Bytes::copy_from_slice(prefix);
                self.cache.borrow_mut().keep_group(prefix, group.clone());
                group
            }
        };
        Ok(match group {
            Group::Small(entries) => Some(entries),
            Group::Large => None,
        })
    }

    fn next(&self, cursor: &mut Cursor) -> Result<Option<Entry>, StorageError> {
        cursor.advance(self)
    }
}

/// The head's base: a read transaction held across reads, since beginning one costs more than a read.
///
/// It may end and begin anew between any two reads without a difference to be seen: the head's overlay holds everything
/// after its `complete_after`, so it fits every base whose fold position is at or after that, which every later one is.
/// The appender uses this to end the transaction when it would keep the write-ahead log from starting anew. It is the
/// one lock that lane and appender share, held for one read or one ending.
#[derive(Default)]
pub(super) struct HeadBase {
    reader: Option<BaseReader>,
    /// The fold position that the open transaction sees; `None` between transactions.
    folded: Option<Timestamp>,
}

impl HeadBase {
    fn read<T>(
        &mut self,
        shared: &Shared,
        read: impl FnOnce(&BaseReader) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let result = self.begun(&shared.files, &shared.options).and_then(read);
        if result.is_err() {
            // A connection that met an error is not used again.
            *self = Self::default();
        }
        result
    }

    fn begun(
        &mut self,
        files: &Files,
        options: &StoreOptions,
    ) -> Result<&BaseReader, StorageError> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => BaseReader::open(files, options)?,
        };
        if self.folded.is_none() {
            self.folded = Some(reader.begin()?);
        }
        Ok(self.reader.insert(reader))
    }

    /// Ends the transaction if it does not see everything folded up to `folded`.
    fn end_before(&mut self, folded: Timestamp) {
        if self.folded.is_some_and(|seen| seen < folded) {
            self.end();
        }
    }

    /// Ends the transaction, so that it no longer pins the write-ahead log.
    pub fn end(&mut self) {
        let ended = match (&self.reader, self.folded.take()) {
            (Some(reader), Some(_)) => reader.end().is_ok(),
            _ => true,
        };
        if !ended {
            self.reader = None;
        }
    }
}
