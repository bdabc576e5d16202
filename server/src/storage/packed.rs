//! A sorted list of records in two allocations: it holds the keys of one node of the overlay's tree.
//!
//! Copying a list is a copy of bytes and touches no reference counts. A search reads eight bytes of each key it looks
//! at, and these lie beside each other. Both matter because nearly everything the overlay does waits for memory.

/// A record: a key, bytes that belong to it, and a tag.
#[derive(Clone, Copy)]
pub(super) struct Record<'r, T> {
    pub key: &'r [u8],
    pub payload: &'r [u8],
    pub tag: T,
}

/// Records in the order of their keys.
#[derive(Clone)]
pub(super) struct Packed<T> {
    slots: Vec<Slot<T>>,
    /// Each record's key and payload, one after the other.
    bytes: Vec<u8>,
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
            let key_from = position(bytes.len());
            bytes.extend_from_slice(key);
            slots.push(Slot {
                head: 0,
                key_from,
                payload_from: position(bytes.len()),
                tag,
            });
            bytes.extend_from_slice(payload);
        }
        let mut packed = Self {
            slots,
            bytes,
            common: 0,
        };
        packed.set_heads();
        packed
    }

    /// Sets the record of a key, where [`search`](Self::search) found it or its place. Moves bytes, and looks at the other
    /// keys only when it becomes the first or the last.
    pub fn put(
        &mut self,
        found: Result<usize, usize>,
        Record { key, payload, tag }: Record<'_, T>,
    ) {
        let (Ok(at) | Err(at)) = found;
        let from = self.key_from(at);
        let old_to = match found {
            Ok(at) => self.key_from(at + 1),
            Err(_) => from,
        };
        let payload_from = from + key.len();
        let to = payload_from + payload.len();
        self.move_rest(old_to, to);
        self.bytes[from..payload_from].copy_from_slice(key);
        self.bytes[payload_from..to].copy_from_slice(payload);
        let slot = Slot {
            head: key.get(self.common..).map_or(0, head),
            key_from: position(from),
            payload_from: position(payload_from),
            tag,
        };
        match found {
            Ok(at) => self.slots[at] = slot,
            Err(at) => self.slots.insert(at, slot),
        }
        let (old_to, to) = (position(old_to), position(to));
        for slot in &mut self.slots[at + 1..] {
            slot.key_from = slot.key_from - old_to + to;
            slot.payload_from = slot.payload_from - old_to + to;
        }
        let is_end = at == 0 || at + 1 == self.len();
        if found.is_err() && is_end && self.common_of_ends() != self.common {
            self.set_heads();
        }
    }

    /// Moves what begins at `old` so that it begins at `new`.
    fn move_rest(&mut self, old: usize, new: usize) {
        let len = self.bytes.len() - old;
        if new > old {
            self.bytes.resize(new + len, 0);
        }
        self.bytes.copy_within(old..old + len, new);
        self.bytes.truncate(new + len);
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

fn position(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a node holds few keys and small payloads, far below 4 GiB")
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
                let found = packed.search(wanted);
                let (Ok(at) | Err(at)) = found;
                let mut with = packed.clone();
                with.put(found, Record { key: wanted, payload: b"new", tag: 99 });
                prop_assert_eq!(with.len(), packed.len() + usize::from(found.is_err()));
                prop_assert_eq!(with.search(wanted), Ok(at));
                prop_assert_eq!((with.payload(at), with.tag(at)), (&b"new"[..], 99));
                for key in keys.iter().filter(|key| *key != wanted) {
                    let found = with.search(key).unwrap();
                    prop_assert_eq!(with.key(found), key);
                    prop_assert_eq!(with.payload(found), &key[key.len() / 2..]);
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
