//! The writes of a transaction so far, and the way back to an earlier state of them.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use bytes::Bytes;

use crate::storage::Write;

/// Entries that a transaction has written. `None` is a deletion.
#[derive(Default)]
pub(super) struct OwnWrites {
    /// Up to [`FEW_MAX`] entries, in ascending order of their keys.
    few: Vec<Write>,
    /// All entries, once they have been more: then `few` stays empty until there is none.
    many: BTreeMap<Bytes, Option<Bytes>>,
    /// How each write since the first mark is undone. Nothing is kept before a mark is asked for.
    undo: Option<Vec<Undo>>,
}

/// Most transactions write so few entries that moving them costs less than the nodes of a tree.
const FEW_MAX: usize = 16;

/// A key, and what it held before a write. `None`: this transaction had not written it.
type Undo = (Bytes, Option<Option<Bytes>>);

/// A state of [`OwnWrites`] to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct WritesMark(usize);

impl OwnWrites {
    pub fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.is_empty()
    }

    /// The transaction's write under a key, if there was one.
    pub fn get(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        match self.many.is_empty() {
            true => self.place(key).ok().map(|at| &self.few[at].value),
            false => self.many.get(key),
        }
    }

    pub fn insert(&mut self, key: Bytes, value: Option<Bytes>) {
        match &mut self.undo {
            None => {
                self.set(key, value);
            }
            Some(_) => {
                let old = self.set(key.clone(), value);
                self.undo.get_or_insert_default().push((key, old));
            }
        }
    }

    /// Sets an entry. Returns what was there.
    fn set(&mut self, key: Bytes, value: Option<Bytes>) -> Option<Option<Bytes>> {
        if !self.many.is_empty() {
            return self.many.insert(key, value);
        }
        match self.place(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.few[at].value, value)),
            Err(at) if self.few.len() < FEW_MAX => {
                self.few.insert(at, Write { key, value });
                None
            }
            Err(_) => {
                let few = self.few.drain(..);
                self.many.extend(few.map(|write| (write.key, write.value)));
                self.many.insert(key, value)
            }
        }
    }

    fn remove(&mut self, key: &[u8]) {
        match self.place(key) {
            Ok(at) => drop(self.few.remove(at)),
            Err(_) => drop(self.many.remove(key)),
        }
    }

    /// Where a key is among the few, or would be.
    fn place(&self, key: &[u8]) -> Result<usize, usize> {
        self.few.binary_search_by(|write| write.key[..].cmp(key))
    }

    pub fn range(
        &self,
        bounds: impl RangeBounds<Bytes>,
    ) -> impl DoubleEndedIterator<Item = (&Bytes, &Option<Bytes>)> {
        let is_before = |write: &Write| match bounds.start_bound() {
            Bound::Included(start) => write.key < *start,
            Bound::Excluded(start) => write.key <= *start,
            Bound::Unbounded => false,
        };
        let is_not_behind = |write: &Write| match bounds.end_bound() {
            Bound::Included(end) => write.key <= *end,
            Bound::Excluded(end) => write.key < *end,
            Bound::Unbounded => true,
        };
        let from = self.few.partition_point(is_before);
        let to = self.few.partition_point(is_not_behind).max(from);
        let few = self.few[from..to].iter();
        let few = few.map(|Write { key, value }| (key, value));
        few.chain(self.many.range(bounds))
    }

    /// The state as it is now.
    pub fn mark(&mut self) -> WritesMark {
        WritesMark(self.undo.get_or_insert_default().len())
    }

    /// Takes back every write since `mark`.
    pub fn roll_back_to(&mut self, mark: WritesMark) {
        let Some(mut undo) = self.undo.take() else {
            return;
        };
        for (key, old) in undo.drain(mark.0..).rev() {
            match old {
                Some(old) => drop(self.set(key, old)),
                None => self.remove(&key),
            };
        }
        self.undo = Some(undo);
    }

    pub fn into_writes(self) -> Vec<Write> {
        match self.many.is_empty() {
            true => self.few,
            false => {
                let many = self.many.into_iter();
                many.map(|(key, value)| Write { key, value }).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u8, Option<u8>),
        Mark,
        RollBack,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            20 => (0..40u8, any::<Option<u8>>()).prop_map(|(key, value)| Step::Write(key, value)),
            1 => Just(Step::Mark),
            1 => Just(Step::RollBack),
        ]
    }

    fn bytes(byte: u8) -> Bytes {
        Bytes::copy_from_slice(&[byte])
    }

    /// All keys between two, from both ends.
    fn between(writes: &OwnWrites, from: u8, to: u8) -> [Vec<u8>; 2] {
        let (from, to) = (bytes(from), bytes(to));
        let range = || writes.range((Bound::Excluded(&from), Bound::Included(&to)));
        let mut backwards: Vec<u8> = range().rev().map(|(key, _)| key[0]).collect();
        backwards.reverse();
        [range().map(|(key, _)| key[0]).collect(), backwards]
    }

    proptest! {
        #[test]
        fn few_and_many_writes_are_as_in_a_map(steps in vec(step(), 0..80), from in 0..40u8, len in 0..40u8) {
            let mut writes = OwnWrites::default();
            let mut model = BTreeMap::new();
            let mut marks = Vec::new();
            for step in steps {
                match step {
                    Step::Write(key, value) => {
                        let value = value.map(bytes);
                        writes.insert(bytes(key), value.clone());
                        model.insert(bytes(key), value);
                    }
                    Step::Mark => marks.push((writes.mark(), model.clone())),
                    Step::RollBack => {
                        if let Some((mark, before)) = marks.pop() {
                            writes.roll_back_to(mark);
                            model = before;
                        }
                    }
                }
                prop_assert_eq!(writes.is_empty(), model.is_empty());
                for key in 0..40 {
                    prop_assert_eq!(writes.get(&[key]), model.get(&[key][..]));
                }
                let to = from + len;
                let expected = model.keys().map(|key| key[0]).filter(|key| *key > from && *key <= to);
                let expected: Vec<u8> = expected.collect();
                prop_assert_eq!(between(&writes, from, to), [expected.clone(), expected]);
            }
            let expected = model.into_iter().map(|(key, value)| Write { key, value });
            prop_assert_eq!(writes.into_writes(), expected.collect::<Vec<_>>());
        }
    }
}
