//! Holds on the commit log: rows that are folded already and still wanted, by a backup under way or by the next one.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vestibule_schema::timestamp::Timestamp;

use super::store::Shared;

/// How many hold the rows behind each timestamp.
#[derive(Default)]
pub(super) struct LogHolds(Mutex<BTreeMap<Timestamp, usize>>);

impl LogHolds {
    fn add(&self, after: Timestamp) {
        *self.0.lock().entry(after).or_default() += 1;
    }

    fn remove(&self, after: Timestamp) {
        let mut holds = self.0.lock();
        if let Some(count) = holds.get_mut(&after) {
            *count -= 1;
            if *count == 0 {
                holds.remove(&after);
            }
        }
    }
}

impl Shared {
    /// The rows up to here are folded, old enough and held by nobody. To be asked within a transaction of the appender:
    /// then a hold is respected by every transaction that begins after it was taken.
    pub fn deletable(&self, folded: Timestamp) -> Timestamp {
        let kept = u64::try_from(self.options.log_kept.as_nanos()).unwrap_or(u64::MAX);
        let old = Timestamp(folded.0.saturating_sub(kept));
        let holds = self.log_holds.0.lock();
        let held = holds.keys().next();
        held.map_or(old, |held| old.min(*held))
    }
}

/// Keeps the rows of the log behind a timestamp while it exists.
pub(super) struct LogHold {
    shared: Arc<Shared>,
    after: Timestamp,
}

impl LogHold {
    /// Keeps every row behind `after` that is there once this returns.
    pub fn take(shared: &Arc<Shared>, after: Timestamp) -> LogHold {
        shared.log_holds.add(after);
        let hold = LogHold {
            shared: Arc::clone(shared),
            after,
        };
        // A transaction that began before may still delete rows, and ends before this lock is given.
        drop(shared.checkpoints.writing.lock());
        hold
    }

    /// Lets go of the rows up to `after`.
    pub fn advance(&mut self, after: Timestamp) {
        self.shared.log_holds.add(after);
        self.shared.log_holds.remove(self.after);
        self.after = after;
    }
}

impl Drop for LogHold {
    fn drop(&mut self) {
        self.shared.log_holds.remove(self.after);
    }
}
