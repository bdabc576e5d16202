//! The head: every commit so far, durable or not, as the lane sees it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use vestibule_schema::timestamp::Timestamp;

use super::lookups::{GROUP_ENTRIES_MAX, Group, Lookups};
use super::pins::{self, Pin, States};
use super::reader::BaseReader;
use super::slots::{Evicted, Pushed, SlotKey, Version};
use super::sqlite::Files;
use super::store::Shared;
use super::view::{self, Cursor, Entry, Layers, ReadView, Stamp};
use super::{Commit, Direction, KeyRange, LogRow, Overlay, Published, StorageError, StoreOptions};

/// Slots that one refresh considers for eviction: the lane waits for it.
const EVICTIONS_PER_REFRESH: usize = 1024;

/// The newest state, owned by the thread that commits. There is one at a time.
pub struct Head {
    shared: Arc<Shared>,
    overlay: Overlay,
    ts: Timestamp,
    stamp: Stamp,
    /// A fold position that the base reaches whenever it begins.
    folded: Timestamp,
    /// Every commit that was not folded at the last refresh, with the bytes it wrote.
    unfolded: VecDeque<(Timestamp, usize)>,
    unfolded_bytes: usize,
    lookups: RefCell<Lookups>,
    /// The slots, in the order in which they are next considered for eviction. A slot that a rollback took stays here
    /// until its turn comes.
    evictable: RefCell<VecDeque<SlotKey>>,
    /// The newest state that was handed out: slots keep the newest version up to there.
    handed_out: Cell<Timestamp>,
    /// The states that slots keep older versions for, as of the last refresh.
    states: States,
}

/// The head as it was at one commit, for as long as this is held.
pub struct PinnedHead {
    pub(super) published: Published,
    pub(super) pin: Pin,
}

impl Head {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let published = shared.published.load_full();
        let folded = shared.folded();
        let bytes = published.overlay.bytes_after(folded);
        // An earlier head may have left what never became durable.
        shared.slots.roll_back_to(published.ts);
        Self {
            shared: Arc::clone(shared),
            overlay: published.overlay.clone(),
            ts: published.ts,
            stamp: Stamp::fresh(),
            folded,
            unfolded: VecDeque::from([(published.ts, bytes)]),
            unfolded_bytes: bytes,
            lookups: RefCell::new(Lookups::new(shared.options.lookup_bytes_max)),
            evictable: RefCell::new(shared.slots.keys().into()),
            handed_out: Cell::new(published.ts),
            states: States::of(shared),
        }
    }

    /// The last commit applied.
    pub fn last_ts(&self) -> Timestamp {
        self.ts
    }

    /// The state's commits, but for what they replaced in slots. Cheap to clone.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// This state, to be published once its last commit is durable. Cheap.
    pub fn freeze(&self) -> Published {
        self.handed_out.set(self.ts);
        Published {
            ts: self.ts,
            overlay: self.overlay.clone(),
        }
    }

    /// This state, to be read beside the thread that commits. Cheap.
    pub fn pin(&self) -> PinnedHead {
        PinnedHead {
            published: self.freeze(),
            pin: Pin::head(&self.shared, self.ts),
        }
    }

    /// Makes a commit visible to the next reads and adds it to the row that makes it durable.
    ///
    /// # Panics
    /// If its timestamp is not after the last.
    pub fn apply(&mut self, commit: &Commit, row: &mut LogRow) {
        let ts = commit.ts;
        assert!(
            ts > self.ts,
            "commits are applied in the order of their timestamps"
        );
        row.push(commit);
        let slots = &self.shared.slots;
        let handed_out = self.handed_out.get();
        let mut bytes = 0;
        let elsewhere = commit.writes.iter().filter(|write| {
            let value = write.value.clone();
            let version = Version { ts, value };
            match slots.push(&write.key, version, handed_out, &self.states) {
                Pushed::InPlace(key, written) => {
                    row.replaced.push(key);
                    bytes += written;
                    false
                }
                Pushed::Elsewhere => {
                    row.note_moved(&write.key);
                    true
                }
            }
        });
        let lookups = self.lookups.get_mut();
        let elsewhere = elsewhere.inspect(|write| lookups.apply(write));
        let in_overlay = self.overlay.apply(ts, elsewhere);
        bytes += in_overlay;
        self.ts = ts;
        self.stamp = Stamp::fresh();
        self.unfolded.push_back((ts, bytes));
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
        self.lookups.get_mut().clear();
        self.shared.slots.roll_back_to(published.ts);
    }

    /// The entries of a group from first to last, if they are few.
    fn read_group(&self, prefix: &[u8]) -> Result<Group, StorageError> {
        let range = KeyRange::prefix(Bytes::copy_from_slice(prefix));
        let entries = self.scan(range, Direction::Forward);
        let entries = entries.take(GROUP_ENTRIES_MAX + 1);
        Ok(Group::of(entries.collect::<Result<_, _>>()?))
    }

    /// A key that has no slot, as the layers below show it.
    fn version(&self, key: &[u8]) -> Result<Version, StorageError> {
        if let Some(entry) = self.overlay.entry(key)
            && entry.ts > self.folded
        {
            let (ts, value) = (entry.ts, entry.value.to_bytes());
            return Ok(Version { ts, value });
        }
        // A later commit to the key would be in the overlay.
        let ts = self.folded;
        let value = self.base_value(key)?;
        Ok(Version { ts, value })
    }

    /// Takes note of folding, and forgets folded entries as far as needed to hold no more than `overlay_bytes_max` and
    /// `slot_bytes_max`. A folded entry that is still held is a cache. Call it once a batch.
    pub fn refresh(&mut self) {
        self.note_folded();
        self.states.refresh(&self.shared);
        self.evict();
        let bytes_max = self.shared.options.overlay_bytes_max;
        if self.overlay.bytes() <= bytes_max {
            return;
        }
        self.overlay.forget(self.folded, bytes_max);
        self.stamp = Stamp::fresh();
    }

    fn note_folded(&mut self) {
        let folded = self.shared.folded();
        if folded == self.folded {
            return;
        }
        // The base must already hold every entry that is about to be forgotten.
        self.shared.head_base.lock().end_before(folded);
        self.folded = folded;
        while let Some(&(ts, bytes)) = self.unfolded.front()
            && ts <= folded
        {
            self.unfolded.pop_front();
            self.unfolded_bytes -= bytes;
        }
    }

    /// Lets slots go whose value every base has and that no read asks for, while there are too many.
    fn evict(&mut self) {
        let Shared { slots, options, .. } = &*self.shared;
        if slots.bytes() <= options.slot_bytes_max {
            return;
        }
        let oldest_base = pins::oldest_base(&self.shared).min(self.folded);
        let evictable = self.evictable.get_mut();
        for _ in 0..EVICTIONS_PER_REFRESH.min(evictable.len()) {
            let Some(key) = evictable.pop_front() else {
                return;
            };
            if slots.evict(&key, oldest_base, &self.states) == Evicted::Stays {
                evictable.push_back(key);
            }
            if slots.bytes() <= options.slot_bytes_max {
                return;
            }
        }
    }

    /// Bytes that commits wrote which were not folded at the last refresh. Beside them the overlay keeps what is folded of
    /// a run that is not folded whole, an eighth of `overlay_bytes_max` at the most.
    pub fn unfolded_bytes(&self) -> usize {
        let held = self.overlay.bytes() + self.shared.slots.bytes();
        self.unfolded_bytes.min(held)
    }
}

impl Layers for Head {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    fn base_folded(&self) -> Timestamp {
        self.folded
    }

    fn slot_value(&self, key: &[u8]) -> Option<Option<Bytes>> {
        self.shared.slots.value_at(key, self.ts)
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
        let Some(slot) = SlotKey::of(key) else {
            return view::value(self, key);
        };
        if let Some(value) = self.slot_value(key) {
            return Ok(value);
        }
        let version = self.version(key)?;
        let value = version.value.clone();
        let is_room = self.shared.slots.bytes() <= self.shared.options.slot_bytes_max;
        if is_room && self.shared.slots.keep(slot, version) {
            self.evictable.borrow_mut().push_back(slot);
        }
        Ok(value)
    }

    fn peek(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        match SlotKey::of(key).and_then(|_| self.slot_value(key)) {
            Some(value) => Ok(value),
            None => Ok(self.version(key)?.value),
        }
    }

    fn has_groups(&self) -> bool {
        true
    }

    fn group(&self, prefix: &[u8]) -> Result<Option<Arc<[Entry]>>, StorageError> {
        let known = self.lookups.borrow_mut().group(prefix);
        let group = match known {
            Some(group) => group,
            None => {
                let group = self.read_group(prefix)?;
                let prefix = Bytes::copy_from_slice(prefix);
                self.lookups.borrow_mut().keep(prefix, group.clone());
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
/// It may end and begin anew between any two reads without a visible difference. The head's overlay holds everything
/// after its `complete_after`, so it fits every base whose fold position is at or after that. Every later base
/// qualifies. The appender uses this to end the transaction when it would keep the write-ahead log from starting anew.
/// It is the one lock that lane and appender share, held for one read or one ending.
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
