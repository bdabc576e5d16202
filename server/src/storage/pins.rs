//! Pins: the states and bases that are still read, so that slots know which versions to keep for them.

use std::collections::BTreeMap;
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
    states: BTreeMap<Timestamp, usize>,
    /// How many readers have a base that reaches as far as this fold position, or further.
    bases: BTreeMap<Timestamp, usize>,
}

impl Pinned {
    fn of(&mut self, kind: Kind) -> &mut BTreeMap<Timestamp, usize> {
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

    fn add(shared: &Arc<Shared>, pinned: &mut Pinned, kind: Kind, ts: Timestamp) -> Pin {
        *pinned.of(kind).entry(ts).or_default() += 1;
        let shared = Arc::clone(shared);
        Pin { shared, kind, ts }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pinned = self.shared.pins.0.lock();
        let readers = pinned.of(self.kind);
        if let Some(count) = readers.get_mut(&self.ts) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.ts);
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
        let pinned = shared.pins.0.lock();
        States {
            pinned: pinned.states.keys().copied().collect(),
            from: shared.published.load().ts,
        }
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
    let oldest = pinned.bases.keys().next();
    oldest.map_or(folded, |oldest| folded.min(*oldest))
}
