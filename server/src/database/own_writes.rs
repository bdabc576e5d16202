//! The writes of a transaction so far, and the way back to an earlier state of them.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use bytes::Bytes;

use crate::storage::Write;

/// Entries that a transaction has written. `None` is a deletion.
#[derive(Default)]
pub(super) struct OwnWrites {
    entries: BTreeMap<Bytes, Option<Bytes>>,
    /// How each write since the first mark is undone. Nothing is kept before a mark is asked for.
    undo: Option<Vec<Undo>>,
}

/// A key, and what it held before a write. `None`: this transaction had not written it.
type Undo = (Bytes, Option<Option<Bytes>>);

/// A state of [`OwnWrites`] to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct WritesMark(usize);

impl OwnWrites {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The transaction's write under a key, if there was one.
    pub fn get(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.entries.get(key)
    }

    pub fn insert(&mut self, key: Bytes, value: Option<Bytes>) {
        let old = self.entries.insert(key.clone(), value);
        if let Some(undo) = &mut self.undo {
            undo.push((key, old));
        }
    }

    pub fn range(
        &self,
        bounds: impl RangeBounds<Bytes>,
    ) -> impl DoubleEndedIterator<Item = (&Bytes, &Option<Bytes>)> {
        self.entries.range(bounds)
    }

    /// The state as it is now.
    pub fn mark(&mut self) -> WritesMark {
        WritesMark(self.undo.get_or_insert_default().len())
    }

    /// Takes back every write since `mark`.
    pub fn roll_back_to(&mut self, mark: WritesMark) {
        let undo = self.undo.iter_mut();
        for (key, old) in undo.flat_map(|undo| undo.drain(mark.0..).rev()) {
            match old {
                Some(old) => self.entries.insert(key, old),
                None => self.entries.remove(&key),
            };
        }
    }

    pub fn into_writes(self) -> Vec<Write> {
        let entries = self.entries.into_iter();
        entries.map(|(key, value)| Write { key, value }).collect()
    }
}
