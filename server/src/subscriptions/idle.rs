//! Answers without watchers, kept for the next request, oldest out first.

use std::collections::BTreeMap;

/// Bytes of results kept without watchers.
pub(super) const IDLE_BYTES_MAX: usize = 64 << 20;

/// The live queries without watchers, in the order in which they were left.
#[derive(Default)]
pub(super) struct Idle {
    by_age: BTreeMap<u64, u64>,
    bytes: usize,
}

/// A live query's place among those without watchers.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdlePlace {
    age: u64,
    bytes: usize,
}

impl Idle {
    /// Puts a live query behind all others. `age` must be later than every earlier one.
    pub fn add(&mut self, live: u64, age: u64, bytes: usize) -> IdlePlace {
        self.by_age.insert(age, live);
        self.bytes += bytes;
        IdlePlace { age, bytes }
    }

    pub fn remove(&mut self, place: IdlePlace) {
        if self.by_age.remove(&place.age).is_some() {
            self.bytes -= place.bytes;
        }
    }

    /// The live query to drop next, while more is held than may be.
    pub fn surplus(&self) -> Option<u64> {
        let oldest = self.by_age.first_key_value().map(|(_, live)| *live);
        oldest.filter(|_| self.bytes > IDLE_BYTES_MAX)
    }

    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
