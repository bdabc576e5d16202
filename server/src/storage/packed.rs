//! A sorted run of records in two allocations: what a node of the overlay's tree keeps its keys in.
//!
//! Copying a run is a copy of bytes and touches no reference counts, and a search reads eight bytes of each key where it
//! looks, beside each other. Both matter because nearly everything the overlay does waits for memory.

use std::ops::Range;

/// A record: a key, bytes that belong to it, and a tag.
#[derive(Clone, Copy)]
pub(super) struct Record<'r, T> {
    pub key: &'r [u8],
    pub payload: &'r [u8],
    pub tag: T,
}

/// Records in the order of their keys. Never changes; [`Packed::build`] makes the next one.
pub(super) struct Packed<T> {
    slots: Box<[Slot<T>]>,
    /// Each record's key and payload, one after the other.
    bytes: Box<[u8]>,
    /// How many bytes at their start all keys have in common.
    common: usize,
}

#[derive(Clone, Copy)]
struct Slot<T> {
    /// The eight bytes of the key after the common ones, big endian, zeros for what is missing. Orders as the keys do,
    /// but for ties.
    head: u64,
    key_from: u32,
    payload_from: u32,
    tag: T,
}

impl<T: Copy> Packed<T> {
    pub fn build<'r>(records: impl Iterator<Item = Record<'r, T>> + Clone) -> Self
    where
        T: 'r,
    {
        let len = records
            .clone()
            .map(|record| record.key.len() + record.payload.len())
            .sum();
        let mut bytes = Vec::with_capacity(len);
        let mut slots = Vec::with_capacity(records.clone().count());
        for Record { key, payload, tag } in records {
            let key_from = position(&bytes);
            bytes.extend_from_slice(key);
            slots.push(Slot {
                head: 0,
                key_from,
                payload_from: position(&bytes),
                tag,
            });
            bytes.extend_from_slice(payload);
        }
        let mut packed = Self {
            slots: slots.into(),
            bytes: bytes.into(),
            common: 0,
        };
        packed.set_heads();
        packed
    }

    /// A copy with the records of a range replaced by one or none, whose key belongs there. In the main a copy of bytes.
    pub fn splice(&self, range: Range<usize>, new: Option<Record<'_, T>>) -> Self {
        let (from, to) = (self.key_from(range.start), self.key_from(range.end));
        let new_len = new
            .as_ref()
            .map_or(0, |record| record.key.len() + record.payload.len());
        let mut bytes = Vec::with_capacity(self.bytes.len() - (to - from) + new_len);
        let mut slots = Vec::with_capacity(self.len() - range.len() + usize::from(new.is_some()));
        bytes.extend_from_slice(&self.bytes[..from]);
        slots.extend_from_slice(&self.slots[..range.start]);
        if let Some(Record { key, payload, tag }) = new {
            let key_from = position(&bytes);
            bytes.extend_from_slice(key);
            let head = key.get(self.common..).map_or(0, head);
            slots.push(Slot {
                head,
                key_from,
                payload_from: position(&bytes),
                tag,
            });
            bytes.extend_from_slice(payload);
        }
        let (old, now) = (position(&self.bytes[..to]), position(&bytes));
        bytes.extend_from_slice(&self.bytes[to..]);
        slots.extend(self.slots[range.end..].iter().map(|slot| Slot {
            key_from: slot.key_from - old + now,
            payload_from: slot.payload_from - old + now,
            ..*slot
        }));
        let mut spliced = Self {
            slots: slots.into(),
            bytes: bytes.into(),
            common: self.common,
        };
        if spliced.common_of_ends() != self.common {
            spliced.set_heads();
        }
        spliced
    }

    fn common_of_ends(&self) -> usize {
        match self.len().checked_sub(1) {
            Some(last) => common_len(self.key(0), self.key(last)),
            None => 0,
        }
    }

    /// Where a record begins; where they end, for the one after the last.
    fn key_from(&self, at: usize) -> usize {
        self.slots
            .get(at)
            .map_or(self.bytes.len(), |slot| slot.key_from as usize)
    }

    fn set_heads(&mut self) {
        self.common = self.common_of_ends();
        for at in 0..self.slots.len() {
            self.slots[at].head = head(&self.key(at)[self.common..]);
        }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn key(&self, at: usize) -> &[u8] {
        let slot = &self.slots[at];
        &self.bytes[slot.key_from as usize..slot.payload_from as usize]
    }

    pub fn payload(&self, at: usize) -> &[u8] {
        &self.bytes[self.slots[at].payload_from as usize..self.key_from(at + 1)]
    }

    pub fn tag(&self, at: usize) -> T {
        self.slots[at].tag
    }

    pub fn tags(&self) -> impl Iterator<Item = T> {
        self.slots.iter().map(|slot| slot.tag)
    }

    /// Where the key is, or where it would be.
    pub fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let Some(first) = (self.len() > 0).then(|| self.key(0)) else {
            return Err(0);
        };
        let compared = key.len().min(self.common);
        let common = key[..compared].cmp(&first[..compared]);
        if common.is_lt() || (common.is_eq() && compared < self.common) {
            return Err(0);
        }
        if common.is_gt() {
            return Err(self.len());
        }
        let rest = &key[self.common..];
        let wanted = head(rest);
        let from = self.slots.partition_point(|slot| slot.head < wanted);
        // Keys of one head are rare and few.
        for at in from..self.len() {
            if self.slots[at].head != wanted {
                return Err(at);
            }
            match self.key(at)[self.common..].cmp(rest) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(at),
                std::cmp::Ordering::Greater => return Err(at),
            }
        }
        Err(self.len())
    }

    /// The first place whose key is not below this one.
    pub fn lower_bound(&self, key: &[u8]) -> usize {
        self.search(key).unwrap_or_else(|at| at)
    }
}

fn position(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a node holds few keys and small payloads, far below 4 GiB")
}

fn head(key: &[u8]) -> u64 {
    match key.first_chunk() {
        Some(head) => u64::from_be_bytes(*head),
        None => key
            .iter()
            .chain(std::iter::repeat(&0))
            .take(size_of::<u64>())
            .fold(0, |head, byte| head << 8 | u64::from(*byte)),
    }
}

fn common_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    fn packed(keys: &BTreeSet<Vec<u8>>) -> Packed<usize> {
        Packed::build(keys.iter().enumerate().map(|(tag, key)| Record {
            key,
            payload: &key[key.len() / 2..],
            tag,
        }))
    }

    /// Long common prefixes, zeros, and keys that are prefixes of others.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            vec(0..2u8, 0..12),
            vec(0..2u8, 0..12).prop_map(|end| [&b"a common prefix"[..], &end].concat())
        ]
    }

    proptest! {
        #[test]
        fn a_search_finds_what_a_binary_search_finds(keys in btree_set(key(), 0..40), wanted in vec(key(), 20)) {
            let packed = packed(&keys);
            let keys: Vec<_> = keys.into_iter().collect();
            prop_assert_eq!(packed.len(), keys.len());
            for wanted in wanted.iter().chain(&keys) {
                prop_assert_eq!(packed.search(wanted), keys.binary_search(wanted));
            }
            for wanted in &wanted {
                let (Ok(at) | Err(at)) = packed.search(wanted);
                let to = at + usize::from(packed.search(wanted).is_ok());
                let with = packed.splice(at..to, Some(Record { key: wanted, payload: b"new", tag: 99 }));
                prop_assert_eq!(with.search(wanted), Ok(at));
                prop_assert_eq!((with.payload(at), with.tag(at)), (&b"new"[..], 99));
                let without = with.splice(at..at + 1, None);
                prop_assert_eq!(without.search(wanted), Err(at));
                for key in keys.iter().filter(|key| *key != wanted) {
                    let found = without.search(key).unwrap();
                    prop_assert_eq!(without.payload(found), &key[key.len() / 2..]);
                    prop_assert!(with.search(key).is_ok());
                }
            }
            for (at, key) in keys.iter().enumerate() {
                prop_assert_eq!(packed.key(at), key);
                prop_assert_eq!(packed.payload(at), &key[key.len() / 2..]);
                prop_assert_eq!(packed.tag(at), at);
            }
        }
    }
}
