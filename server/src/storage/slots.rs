//! Slots: keys whose values change where they are. A slot holds the newest value of its key and the few older ones that
//! a reader may still ask for. It is the head's memory of a key and the key's unfolded part, in one.
//!
//! The head makes a slot of each short key that it is asked for. From then on every commit to the key reaches the slot.
//! A commit that replaces a value goes nowhere else. The keys and their order have not changed, so the overlay need not
//! know. Keys that come or go are the overlay's as well.
//!
//! A reader takes the newest version at or before its timestamp. Where its slot has none, nothing has changed in place
//! since the state of its overlay and its base. These rules keep that true:
//!
//! - A version goes only when no reader stands between it and the next one ([`States::any_between`]). It also goes when
//!   every open base holds it and nothing newer is there ([`Slots::evict`]).
//! - A version that is not folded is newer than every fold position, so it is never evicted.
//! - A commit that was not written takes its versions with it ([`Slots::roll_back_to`]).
//!
//! The thread that commits changes slots; every thread may read them.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use foldhash::fast::RandomState;
use vestibule_schema::timestamp::Timestamp;

use super::pins::States;

/// Longer keys have no slots.
pub const SLOT_KEY_BYTES_MAX: usize = 23;
/// Memory that a slot costs beyond the bytes of its values: the map's entry, and the head's list of slots.
const SLOT_OVERHEAD_BYTES: usize = 160;

/// A key that is kept beside its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SlotKey {
    /// Zeros behind the key.
    bytes: [u8; SLOT_KEY_BYTES_MAX],
    len: u8,
}

impl SlotKey {
    /// `None` for a key that is too long.
    pub fn of(key: &[u8]) -> Option<SlotKey> {
        let mut bytes = [0; SLOT_KEY_BYTES_MAX];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        let len = key.len() as u8;
        Some(SlotKey { bytes, len })
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Hash for SlotKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.as_slice());
    }
}

/// A commit's value of a key. `None` is a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// The commit; of a value that came from the base, a fold position that includes it.
    pub ts: Timestamp,
    pub value: Option<Bytes>,
}

impl Version {
    fn bytes(&self) -> usize {
        size_of::<Version>() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

struct Slot {
    newest: Version,
    /// In ascending order.
    older: Vec<Version>,
    /// A read has asked for it since it was last considered for eviction.
    is_wanted: AtomicBool,
}

impl Slot {
    fn at(&self, ts: Timestamp) -> Option<&Version> {
        if self.newest.ts <= ts {
            return Some(&self.newest);
        }
        self.older.iter().rev().find(|version| version.ts <= ts)
    }

    /// Drops the older versions that no state shows.
    fn prune(&mut self, states: &States) -> usize {
        let mut dropped = 0;
        let mut at = 0;
        while at < self.older.len() {
            let next = self.older.get(at + 1).unwrap_or(&self.newest).ts;
            match states.any_between(self.older[at].ts, next) {
                true => at += 1,
                false => dropped += self.older.remove(at).bytes(),
            }
        }
        dropped
    }
}

/// The work that a commit to a key leaves for other places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// Nothing: the value under the key was replaced where it is. So many bytes were written.
    InPlace(SlotKey, usize),
    /// The key has no slot, or it came or went: the overlay must know.
    Elsewhere,
}

/// The fate of a slot that was considered for eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evicted {
    /// It is gone.
    Gone,
    /// It was asked for lately, or a reader may need it.
    Stays,
}

#[derive(Default)]
pub(super) struct Slots {
    slots: DashMap<SlotKey, Slot, RandomState>,
    bytes: AtomicUsize,
}

impl Slots {
    /// The value for a reader of the state at `ts`: `None` if the slot does not have it, `Some(None)` if the key was
    /// gone.
    pub fn value_at(&self, key: &[u8], ts: Timestamp) -> Option<Option<Bytes>> {
        let slot = self.slots.get(&SlotKey::of(key)?)?;
        let value = slot.at(ts)?.value.clone();
        if !slot.is_wanted.load(Ordering::Relaxed) {
            slot.is_wanted.store(true, Ordering::Relaxed);
        }
        Some(value)
    }

    /// The version that is to be folded, if it is newer than what was folded.
    pub fn version_between(
        &self,
        key: &SlotKey,
        folded: Timestamp,
        target: Timestamp,
    ) -> Option<Version> {
        let slot = self.slots.get(key)?;
        slot.at(target).filter(|found| found.ts > folded).cloned()
    }

    fn contains(&self, key: &SlotKey) -> bool {
        self.slots.contains_key(key)
    }

    /// Makes a slot of what the head was asked for, unless there is one. Returns whether there was none.
    pub fn keep(&self, key: SlotKey, newest: Version) -> bool {
        let Entry::Vacant(entry) = self.slots.entry(key) else {
            return false;
        };
        self.add_bytes(SLOT_OVERHEAD_BYTES + newest.bytes());
        entry.insert(Slot {
            newest,
            older: Vec::new(),
            is_wanted: AtomicBool::new(false),
        });
        true
    }

    /// Takes a commit to a key. `handed_out` is the last state that a reader has, or that a rollback may return to.
    /// Later versions are visible to no reader, and are replaced.
    pub fn push(
        &self,
        key: &[u8],
        version: Version,
        handed_out: Timestamp,
        states: &States,
    ) -> Pushed {
        let Some(key) = SlotKey::of(key) else {
            return Pushed::Elsewhere;
        };
        let Some(mut slot) = self.slots.get_mut(&key) else {
            return Pushed::Elsewhere;
        };
        let bytes = version.bytes();
        let is_in_place = slot.newest.value.is_some() && version.value.is_some();
        let before = std::mem::replace(&mut slot.newest, version);
        let dropped = match before.ts > handed_out {
            true => before.bytes(),
            false => {
                slot.older.reserve_exact(1);
                slot.older.push(before);
                slot.prune(states)
            }
        };
        drop(slot);
        self.add_bytes(bytes);
        self.take_bytes(dropped);
        match is_in_place {
            true => Pushed::InPlace(key, key.as_slice().len() + bytes),
            false => Pushed::Elsewhere,
        }
    }

    /// Takes every version after `ts` back.
    pub fn roll_back_to(&self, ts: Timestamp) {
        self.slots.retain(|_, slot| {
            let mut dropped = 0;
            while slot.newest.ts > ts {
                let Some(before) = slot.older.pop() else {
                    self.take_bytes(dropped + SLOT_OVERHEAD_BYTES + slot.newest.bytes());
                    return false;
                };
                dropped += std::mem::replace(&mut slot.newest, before).bytes();
            }
            self.take_bytes(dropped);
            true
        });
    }

    /// Lets a slot go that no read has asked for since the last time, if every base reaches `oldest_base` and so holds
    /// its values. Of one that stays, what no state shows goes.
    pub fn evict(&self, key: &SlotKey, oldest_base: Timestamp, states: &States) -> Evicted {
        let mut bytes = 0;
        let gone = self.slots.remove_if_mut(key, |_, slot| {
            let was_wanted = std::mem::take(slot.is_wanted.get_mut());
            if slot.newest.ts > oldest_base || was_wanted {
                bytes = slot.prune(states);
                return false;
            }
            let older = slot.older.iter().map(Version::bytes).sum::<usize>();
            bytes = SLOT_OVERHEAD_BYTES + slot.newest.bytes() + older;
            true
        });
        self.take_bytes(bytes);
        match gone.is_some() || !self.contains(key) {
            true => Evicted::Gone,
            false => Evicted::Stays,
        }
    }

    /// The keys that have slots, in no order.
    pub fn keys(&self) -> Vec<SlotKey> {
        self.slots.iter().map(|slot| *slot.key()).collect()
    }

    /// Memory that slots hold, about.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take_bytes(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
