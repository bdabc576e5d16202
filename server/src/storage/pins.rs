//! Pins: the states and bases that are still read, so that slots know which versions to keep for them.

use std::sync::Arc;

use parking_lot::Mutex;
use vestibule_schema::timestamp::Timestamp;

use super::Published;
use super::store::Shared;

/// Everything that is pinned.
#[derive(Default)]
pub(super) struct Pins(Mutex<Pinned>);

#[derive(Default)]
struct Pinned {
    /// How many readers each state has, by its last commit.
    states: Readers,
    /// How many readers have a base that reaches as far as this fold position, or further.
    bases: Readers,
}

/// How many readers there are at each timestamp, in ascending order: few timestamps, mostly the newest.
type Readers = Vec<(Timestamp, usize)>;

/// Where a timestamp is among the readers, or would be.
fn place(readers: &Readers, ts: Timestamp) -> Result<usize, usize> {
    readers.binary_search_by_key(&ts, |(ts, _)| *ts)
}

impl Pinned {
    fn of(&mut self, kind: Kind) -> &mut Readers {
        match kind {
            Kind::State => &mut self.states,
            Kind::Base => &mut self.bases,
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    State,
    Base,
}

/// A state or a base that is read until this is dropped.
pub(super) struct Pin {
    shared: Arc<Shared>,
    kind: Kind,
    ts: Timestamp,
}

impl Pin {
    /// The newest durable state, pinned.
    pub fn published(shared: &Arc<Shared>) -> (Pin, Arc<Published>) {
        // Under the lock: a later request for the pinned states finds either this one or a newer published one.
        let mut pinned = shared.pins.0.lock();
        let published = shared.published.load_full();
        let pin = Pin::add(shared, &mut pinned, Kind::State, published.ts);
        (pin, published)
    }

    /// The head's state, by the thread that commits.
    pub fn head(shared: &Arc<Shared>, ts: Timestamp) -> Pin {
        Pin::add(shared, &mut shared.pins.0.lock(), Kind::State, ts)
    }

    /// Every base that is begun from now on.
    pub fn base(shared: &Arc<Shared>) -> Pin {
        let mut pinned = shared.pins.0.lock();
        Pin::add(shared, &mut pinned, Kind::Base, shared.folded())
    }

    /// The state, or the fold position that the base reaches.
    pub fn ts(&self) -> Timestamp {
        self.ts
    }

    fn add(shared: &Arc<Shared>, pinned: &mut Pinned, kind: Kind, ts: Timestamp) -> Pin {
        let readers = pinned.of(kind);
        match place(readers, ts) {
            Ok(at) => readers[at].1 += 1,
            Err(at) => readers.insert(at, (ts, 1)),
        }
        let shared = Arc::clone(shared);
        Pin { shared, kind, ts }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pinned = self.shared.pins.0.lock();
        let readers = pinned.of(self.kind);
        if let Ok(at) = place(readers, self.ts) {
            readers[at].1 -= 1;
            if readers[at].1 == 0 {
                readers.remove(at);
            }
        }
    }
}

/// The states that readers have, or may still be given.
#[derive(Clone, Debug, Default)]
pub(super) struct States {
    /// Those that are pinned, in ascending order.
    pinned: Vec<Timestamp>,
    /// Any state from this one on may be pinned next.
    from: Timestamp,
}

impl States {
    /// As they are now. Seen later, this copy holds more states than are left, never fewer.
    pub fn of(shared: &Shared) -> States {
        let mut states = States::default();
        states.refresh(shared);
        states
    }

    /// Becomes what they are now.
    pub fn refresh(&mut self, shared: &Shared) {
        let pinned = shared.pins.0.lock();
        self.pinned.clear();
        self.pinned.extend(pinned.states.iter().map(|(ts, _)| *ts));
        self.from = shared.published.load().ts;
    }

    /// Whether one of them shows what was committed at `since` and not yet what came at `until`.
    pub fn any_between(&self, since: Timestamp, until: Timestamp) -> bool {
        let after = self.pinned.partition_point(|ts| *ts < since);
        until > self.from || self.pinned.get(after).is_some_and(|ts| *ts < until)
    }
}

/// A fold position that every base reaches which is read now or begun from now on. The head's own is not counted.
pub(super) fn oldest_base(shared: &Shared) -> Timestamp {
    let pinned = shared.pins.0.lock();
    let folded = shared.folded();
    let oldest = pinned.bases.first();
    oldest.map_or(folded, |(oldest, _)| folded.min(*oldest))
}
