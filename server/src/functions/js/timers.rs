//! The timers of one action: which one is due next. Equal times are due in the order in which they were set.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Timers that run.
#[derive(Default)]
pub(super) struct Timers {
    /// The operations, by when they are due and then by the order in which they were set.
    queue: BTreeMap<(Instant, u64), Timer>,
    /// The place in the queue of each timer.
    places: BTreeMap<u64, (Instant, u64)>,
    set_so_far: u64,
}

struct Timer {
    id: u64,
    operation: u64,
}

impl Timers {
    /// Sets timer `id`, at whose end `operation` ends.
    pub fn set(&mut self, id: u64, operation: u64, now: Instant, delay: Duration) {
        self.clear(id);
        let place = (now + delay, self.set_so_far);
        self.set_so_far += 1;
        self.queue.insert(place, Timer { id, operation });
        self.places.insert(id, place);
    }

    /// Forgets timer `id`, if it runs.
    pub fn clear(&mut self, id: u64) {
        if let Some(place) = self.places.remove(&id) {
            self.queue.remove(&place);
        }
    }

    /// When the next timer is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.queue.keys().next().map(|(due, _)| *due)
    }

    /// Takes the operation of the next timer, if it is due.
    pub fn take_due(&mut self, now: Instant) -> Option<u64> {
        let first = self.queue.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let timer = first.remove();
        self.places.remove(&timer.id);
        Some(timer.operation)
    }

    /// How many run.
    pub fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_is_due_first_and_equal_ones_in_their_order() {
        let mut timers = Timers::default();
        let now = Instant::now();
        let millis = Duration::from_millis;
        for (id, delay) in [(1, 5), (2, 0), (3, 9), (4, 0), (5, 2), (6, 0), (7, 5)] {
            timers.set(id, 10 * id, now, millis(delay));
        }
        timers.clear(4);
        timers.clear(40);
        assert_eq!(timers.len(), 6);
        assert_eq!(timers.next_due(), Some(now));
        let mut due = |after| -> Vec<u64> {
            std::iter::from_fn(|| timers.take_due(now + millis(after))).collect()
        };
        assert_eq!(due(0), [20, 60]);
        assert!(due(1).is_empty());
        assert_eq!(due(8), [50, 10, 70]);
        assert_eq!(due(9), [30]);
        assert_eq!((timers.len(), timers.next_due()), (0, None));
    }
}
