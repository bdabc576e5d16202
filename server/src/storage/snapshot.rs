//! A snapshot: the newest durable state at the moment it was taken, for as long as it is held.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use vestibule_schema::timestamp::Timestamp;

use super::bases::Base;
use super::pins::Pin;
use super::reader::BaseReader;
use super::store::Shared;
use super::view::{self, Cursor, Entry, Layers, ReadView, Stamp};
use super::{Direction, KeyRange, Overlay, PinnedHead, Published, StorageError};

/// A durable state, fixed. It holds a read connection and its transaction, which keeps the write-ahead log from starting
/// anew, so hold it for a bounded time. Dropping it leaves the transaction to the next snapshot. One thread at a time.
pub struct Snapshot {
    shared: Arc<Shared>,
    /// Taken by drop only.
    base: Option<Base>,
    published: Arc<Published>,
    /// The fold position of the base.
    folded: Timestamp,
    /// The pins by which slots keep versions for this state, and for its base.
    _pins: [Pin; 2],
    stamp: Stamp,
    /// A connection that met an error is not used for another snapshot.
    failed: Cell<bool>,
}

/// How often a read transaction is begun anew because the overlay published meanwhile no longer reaches down to it.
const ATTEMPTS_MAX: usize = 100;

impl Snapshot {
    pub(super) fn take(shared: &Arc<Shared>) -> Result<Self, StorageError> {
        for _ in 0..ATTEMPTS_MAX {
            // The order matters. Only published commits are folded, so an overlay loaded after the transaction began is
            // at least as new as the base. But it may have forgotten commits that the base does not hold yet.
            let (base, base_pin) = Base::begin(shared)?;
            let (state_pin, published) = Pin::published(shared);
            if fits(&published, base.folded) {
                return Ok(Self {
                    shared: Arc::clone(shared),
                    folded: base.folded,
                    base: Some(base),
                    published,
                    _pins: [state_pin, base_pin],
                    stamp: Stamp::fresh(),
                    failed: Cell::new(false),
                });
            }
            base.end(shared);
        }
        Err(StorageError::SnapshotContended)
    }

    /// Begins the base of a snapshot whose published state comes later, such as a head that is not durable yet.
    pub(super) fn begin(shared: &Arc<Shared>) -> Result<SnapshotBase, StorageError> {
        let (base, pin) = Base::begin(shared)?;
        Ok(SnapshotBase {
            shared: Arc::clone(shared),
            base: Some(base),
            pin: Some(pin),
        })
    }

    fn base<T>(
        &self,
        read: impl FnOnce(&BaseReader) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let base = self.base.as_ref();
        let base = base.expect("the base leaves only on drop");
        let result = read(&base.reader);
        if result.is_err() {
            self.failed.set(true);
        }
        result
    }
}

/// A read transaction that waits for the commits to put over it.
pub struct SnapshotBase {
    shared: Arc<Shared>,
    /// Taken by `over` and by drop only.
    base: Option<Base>,
    /// Taken by `over` only.
    pin: Option<Pin>,
}

impl SnapshotBase {
    /// The snapshot of a head that was pinned after this base began. `None` when that head has forgotten what this base
    /// does not hold yet: begin another one.
    pub fn over(mut self, head: PinnedHead) -> Option<Snapshot> {
        let PinnedHead { published, pin } = head;
        let base = self.base.take_if(|base| fits(&published, base.folded))?;
        let base_pin = self.pin.take().expect("the pin leaves only here");
        Some(Snapshot {
            shared: Arc::clone(&self.shared),
            folded: base.folded,
            base: Some(base),
            published: Arc::new(published),
            _pins: [pin, base_pin],
            stamp: Stamp::fresh(),
            failed: Cell::new(false),
        })
    }
}

impl Drop for SnapshotBase {
    fn drop(&mut self) {
        if let Some(base) = self.base.take() {
            base.end(&self.shared);
        }
    }
}

/// Whether a base with this fold position and a published state make one consistent state.
fn fits(published: &Published, folded: Timestamp) -> bool {
    published.overlay.complete_after() <= folded && folded <= published.ts
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(base) = self.base.take()
            && !self.failed.get()
        {
            base.keep(&self.shared);
        }
    }
}

impl Layers for Snapshot {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn overlay(&self) -> &Overlay {
        &self.published.overlay
    }

    fn base_folded(&self) -> Timestamp {
        self.folded
    }

    fn slot_value(&self, key: &[u8]) -> Option<Option<Bytes>> {
        self.shared.slots.value_at(key, self.published.ts)
    }

    fn base_value(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.base(|reader| reader.value(key))
    }

    fn base_read(
        &self,
        range: &KeyRange,
        direction: Direction,
        count: usize,
        each: &mut dyn FnMut(Bytes, Bytes),
    ) -> Result<bool, StorageError> {
        self.base(|reader| reader.read(range, direction, count, each))
    }
}

impl ReadView for Snapshot {
    fn ts(&self) -> Timestamp {
        self.published.ts
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        view::value(self, key)
    }

    fn next(&self, cursor: &mut Cursor) -> Result<Option<Entry>, StorageError> {
        cursor.advance(self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Commit, FoldProgress, LogRow, Store, StoreOptions, Write};
    use super::*;

    #[test]
    fn a_base_older_than_what_was_forgotten_is_not_read_under_that_overlay() {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            overlay_bytes_max: 0,
            ..StoreOptions::default()
        };
        let (store, mut appender) = Store::open(dir.path(), options).unwrap();
        let mut head = store.head();
        let reader = store.shared.idle_reader().unwrap();
        let folded = reader.begin().unwrap();
        assert!(fits(&store.durable(), folded));
        for ts in 1..=2 {
            let write = Write {
                key: Bytes::from("k"),
                value: Some(Bytes::from("v")),
            };
            let commit = Commit {
                ts: Timestamp(ts),
                writes: vec![write],
            };
            let mut row = LogRow::default();
            head.apply(&commit, &mut row);
            appender.append(row).unwrap();
            appender.publish(head.freeze());
            assert_eq!(fits(&store.durable(), folded), ts == 1);
            while appender.fold().unwrap() != FoldProgress::Idle {}
            head.refresh();
        }
        reader.end().unwrap();
        assert!(fits(&store.durable(), reader.begin().unwrap()));
        assert_eq!(reader.value(b"k").unwrap().unwrap(), "v");
    }
}
